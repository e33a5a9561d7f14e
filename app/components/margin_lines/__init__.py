"""Two margins to drag over the histograms of ID and auxiliary energies.

They move in the browser alone; one small message comes when one of them is let go.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import ArrayLike, NDArray

from app.components import declared
from app.incoming import numbers_within

Margins = tuple[float, float]  # of ID and of the auxiliary points

MAX_MARGIN = 1e4  # nats, up or down
_mount = declared("margin_lines", "dragging")


def margin_lines(
    data: Mapping[str, Any], key: str, on_release: Callable[[Margins], None] | None = None
) -> None:
    """Shows the margins, and calls `on_release` with both where one was let go.

    What is no pair of margins in order is passed over: it comes from a browser.

    Args:
        data: as `margin_data` returns it.
        key: of the component.
        on_release: takes the margins.
    """

    def released() -> None:
        margins = released_margins(st.session_state[key].released)
        if margins is not None and on_release is not None:
            on_release(margins)

    _mount(data=data, key=key, on_released_change=released)


def released_margins(message: Any) -> Margins | None:
    """Returns the margins that were let go; None if the message is none.

    >>> released_margins([-2, 3]), released_margins([3, -2]), released_margins([1e308, 0])
    ((-2.0, 3.0), None, None)
    """
    numbers = numbers_within(message, -MAX_MARGIN, MAX_MARGIN, 2)
    if numbers is None or numbers[0] > numbers[1]:
        return None
    return numbers[0], numbers[1]


def margin_data(
    id_energy: ArrayLike,
    auxiliary_energy: ArrayLike,
    margins: Margins,
    colours: tuple[str, str],
    *,
    before: tuple[ArrayLike, ArrayLike] | None = None,
    fixed: bool = False,
) -> dict[str, Any]:
    """Returns what the browser needs: both energies as float32 in base64.

    Args:
        id_energy, auxiliary_energy: (N,) and (M,).
        margins: where the lines are.
        colours: of ID and of the auxiliary points.
        before: both energies before fine-tuning, drawn as outlines.
        fixed: the margins cannot be moved.
    """
    sets = [np.asarray(energy, "<f4") for energy in (id_energy, auxiliary_energy)]
    earlier = [np.asarray(energy, "<f4") for energy in before or ()]
    low, high = _axis([*sets, *earlier], margins)
    return {
        "sets": [_text(energy) for energy in sets],
        "before": [_text(energy) for energy in earlier],
        "margins": list(margins),
        "low": low,
        "high": high,
        "ticks": [
            (share, f"{low + share * (high - low):.0f}") for share in (0.1, 0.3, 0.5, 0.7, 0.9)
        ],
        "colours": list(colours),
        "names": ["ID", "auxiliary points"],
        "labels": ["m_in", "m_out"],
        "fixed": fixed,
    }


def _text(values: NDArray[np.float32]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _axis(sets: list[NDArray[np.float32]], margins: Margins) -> tuple[float, float]:
    """Returns the ends of an axis that holds nearly all energies and both margins."""
    low = min(margins[0], *(float(np.quantile(energy, 0.01)) for energy in sets))
    high = max(margins[1], *(float(np.quantile(energy, 0.99)) for energy in sets))
    room = max(0.08 * (high - low), 1.0)
    return float(math.floor(low - room)), float(math.ceil(high + room))
