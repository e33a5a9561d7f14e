"""Data that several drawings on a page read in the browser. They travel again only if they change.

Nothing is seen of it. A message of more than 10 KB that is as it was does not travel: that is why
what stays the same is apart from what changes with every click.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.components import declared

_mount = declared("shared_data")

UNITS = 65534  # of which a fraction is packed as a number of them
NOTHING = 65535  # what is packed for a number that is not there


def shared_data(name: str, content: Mapping[str, Any]) -> None:
    """Gives the browser data under a name.

    Args:
        name: by which the drawings on the page know it.
        content: what they read: texts, numbers, and arrays as `packed` returns them.
    """
    _mount(data={"name": name, **content}, key=f"shared-{name}")


def packed(fractions: NDArray[np.floating]) -> str:
    """Returns fractions of any shape as text, two bytes each; nan and what is beyond is nothing.

    >>> packed(np.array([0.0, 1.0, np.nan]))
    'AAD+////'
    """
    is_there = (fractions >= 0) & (fractions <= 1)
    units = np.round(np.where(is_there, fractions, 0) * UNITS)
    return packed_numbers(np.where(is_there, units, NOTHING))


def packed_numbers(numbers: NDArray) -> str:
    """Returns whole numbers from 0 to 65,535 of any shape as text, two bytes each."""
    return base64.b64encode(numbers.astype("<u2").tobytes()).decode()
