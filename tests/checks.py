"""Checks that several test files share: refusals in one line, and features that are the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from heat_core.features import Features


def refused(act: Callable[[], object], *words: str) -> str:
    """Returns the one line that `act` refuses its input with, which holds every word."""
    with pytest.raises(ValueError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) > 10
    for word in words:
        assert word in message
    return message


def harmless_or_refused(act: Callable[[], object]) -> None:
    """Passes if `act` accepts its input, or refuses it in one line."""
    try:
        act()
    except ValueError as error:
        message = str(error)
    else:
        return
    assert "\n" not in message


def assert_same_features(one: Features, other: Features) -> None:
    """Passes if every array is the same, and of the same precision."""
    assert one.source == other.source
    assert set(one.views) == set(other.views)
    pairs = [(one.z, other.z), (one.y, other.y), (one.index, other.index)]
    pairs += [(one.views[name], other.views[name]) for name in one.views]
    assert (one.head is None) == (other.head is None)
    if one.head is not None and other.head is not None:
        pairs += [(one.head.weight, other.head.weight), (one.head.bias, other.head.bias)]
    for a, b in pairs:
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert a.dtype == b.dtype
            assert torch.equal(a, b)
