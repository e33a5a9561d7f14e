"""A moment to drag over a stream of scores.

It moves in the browser alone; one small message comes when it is let go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import ArrayLike

from app.components import declared
from app.incoming import number_within

MOST_DOTS = 4000
_mount = declared("moment_line", "dragging")


def moment_line(data: Mapping[str, Any], on_release: Callable[[int], None], key: str) -> None:
    """Shows a stream with its moment, and calls `on_release` with the row where it was let go.

    A value beyond the stream is passed over: it comes from a browser.

    Args:
        data: as `dots` returns it.
        on_release: takes the row.
        key: of the component.
    """

    def released() -> None:
        row = released_row(st.session_state[key].released, data["low"], data["high"])
        if row is not None:
            on_release(row)

    _mount(data=data, key=key, on_released_change=released)


def released_row(message: Any, low: int, high: int) -> int | None:
    """Returns the row where the line was let go; None if the message is no row in the range.

    >>> released_row(7, 0, 9), released_row(1e308, 0, 9), released_row("7", 0, 9)
    (7, None, None)
    """
    row = number_within(message, low, high)
    return None if row is None else round(row)


def dots(
    scores: ArrayLike,
    is_changed: ArrayLike | None,
    threshold: float,
    moment: int,
    first_row: int,
    colours: Mapping[str, str],
    *,
    low: int,
    high: int,
    label: str,
) -> dict[str, Any]:
    """Returns what the browser draws: a dot a row, of long streams one in several.

    Args:
        scores: (N,) of the stream; those far beyond the others are drawn at the edge.
        is_changed: (N,) which rows were mixed in; None where that is not known.
        threshold: above it rows are flagged.
        moment: the row at which the line is.
        first_row: the number that the first row is shown with.
        colours: of `inside`, `changed` and `limit`.
        low, high: between which the line can be dragged.
        label: of the line, for a screen reader.
    """
    values = np.asarray(scores, np.float64)
    rows = np.arange(0, len(values), -(-len(values) // MOST_DOTS))
    bottom, top = np.quantile(values, [0.002, 0.99])
    bottom, top = min(bottom, threshold), max(top, threshold)
    span = top - bottom if top > bottom else 1.0
    heights = np.clip((values[rows] - bottom) / span, 0, 1)
    changed = np.zeros(len(values), np.bool) if is_changed is None else np.asarray(is_changed)
    return {
        "rows": (first_row + rows).tolist(),
        "heights": np.round(heights, 3).tolist(),
        "changed": changed[rows].astype(int).tolist(),
        "threshold": float((threshold - bottom) / span),
        "moment": moment,
        "first": first_row,
        "last": first_row + len(values),
        "low": low,
        "high": high,
        "step": max(1, (high - low) // 400),
        "colours": dict(colours),
        "label": label,
    }
