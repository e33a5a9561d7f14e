"""A line to drag over histograms of scores. It moves in the browser alone; one small message comes when it is let go."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import ArrayLike, NDArray

from app.components import declared

Array = NDArray[np.floating]
Groups = Mapping[str, Mapping[str, ArrayLike]]

STEPS = 1000  # places of the line at most: about one a pixel
BARS = 100  # about
NOTHING: Mapping[str, ArrayLike] = MappingProxyType({})
_mount = declared("threshold_line")


def threshold_line(data: Mapping[str, Any], on_release: Callable[[float], None], key: str) -> None:
    """Shows the line over what `binned` made, and calls `on_release` with the cut where it was let go.

    A value that is no finite number is passed over: it comes from a browser.
    """

    def released() -> None:
        cut = st.session_state[key].released
        if isinstance(cut, int | float) and math.isfinite(cut):
            on_release(float(cut))

    _mount(data=data, key=key, on_released_change=released)


def binned(
    inside: ArrayLike,
    outside: Groups,
    cut: float,
    traffic: Mapping[str, float],
    colours: Mapping[str, str],
    *,
    label: str = "Threshold",
    percentiles: bool = False,
    fixed: bool = False,
    selected: Mapping[str, ArrayLike] = NOTHING,
) -> dict[str, Any]:
    """Returns what the browser needs to show every number at every place of the line, exactly: about 20 KB.

    Args:
        inside: ID scores, (N,).
        outside: {group: {title: (n,) scores}}.
        cut: where the line is.
        traffic: `prevalence`, and the costs `miss` and `alarm`.
        colours: {row: colour}, of `ID` and of the groups; and of `selected`.
        label: of the slider, for a screen reader.
        percentiles: an axis of ID percentiles, even in ID inputs instead of in scores.
        fixed: the line cannot be moved.
        selected: {row: (n,) scores} of what is selected, drawn as an outline over the row's bars.
    """
    named = {"ID": {"ID": inside}, **{group: sets for group, sets in outside.items() if sets}}
    rows = {
        row: {name: np.sort(np.asarray(s, np.float64)) for name, s in sets.items()}
        for row, sets in named.items()
    }
    everything = np.concatenate([scores for sets in rows.values() for scores in sets.values()])
    edges, ticks = (
        _percentiles(rows["ID"]["ID"]) if percentiles else _even(everything, rows["ID"]["ID"])
    )
    bar = max(1, round((len(edges) - 1) / BARS))
    return {
        "edges": edges.tolist(),
        "ticks": ticks,
        "bar": bar,
        "label": label,
        "cut": cut,
        "traffic": dict(traffic),
        "fixed": fixed,
        "selected": colours["selected"],
        "rows": [
            {
                "name": row,
                "colour": colours[row],
                "sets": [_counted(name, scores, edges, cut) for name, scores in sets.items()],
                "selected": _bars(selected.get(row, ()), edges, bar),
            }
            for row, sets in rows.items()
        ],
    }


def _counted(name: str, scores: Array, edges: Array, cut: float) -> dict[str, Any]:
    """Returns a set's name, its size, how many scores each step adds, the first all below it, and how many pass `cut`."""
    upto = np.searchsorted(scores, edges, "right")
    passed = int(np.searchsorted(scores, cut, "right"))
    return {
        "name": name,
        "n": len(scores),
        "counts": np.diff(upto, prepend=0).tolist(),
        "passed": passed,
    }


def _bars(scores: ArrayLike, edges: Array, bar: int) -> list[int]:
    """Returns how many scores each bar of `bar` steps holds, those beyond the axis in the first and the last; [] of none."""
    if not np.size(scores):
        return []
    steps = len(edges) - 1
    after = np.searchsorted(
        edges, np.ravel(scores), "left"
    )  # a step holds its upper edge, as `_counted` counts
    return np.bincount(np.clip(after - 1, 0, steps - 1) // bar, minlength=-(-steps // bar)).tolist()


def _even(everything: Array, inside: Array) -> tuple[Array, list[tuple[float, str]]]:
    """Returns edges at round numbers over nearly all of the scores, and the axis' ticks as (fraction, text)."""
    low = float(np.quantile(everything, 0.001))
    high = float(max(np.quantile(everything, 0.99), np.quantile(inside, 0.999)))
    least = max(
        1e-6 * abs(low), 1e-6 * abs(high), 1e-9
    )  # narrower than this, doubles run out of digits
    if high - low < least:
        low, high = low - least, high + least
    step = _round_step((high - low) / STEPS)
    edges = np.round(
        np.arange(math.floor(low / step), math.ceil(high / step) + 1) * step, _digits(step)
    )
    wide = _round_step((edges[-1] - edges[0]) / 5)
    marks = np.arange(math.ceil(edges[0] / wide), math.floor(edges[-1] / wide) + 1) * wide
    span = edges[-1] - edges[0]
    return edges, [(float((mark - edges[0]) / span), f"{mark:.{_digits(wide)}f}") for mark in marks]


def _percentiles(inside: Array) -> tuple[Array, list[tuple[float, str]]]:
    """Returns the ID scores' quantiles as edges, and ticks in percent."""
    digits = _digits(max(float(np.ptp(inside)), 1e-9) / STEPS) + 1
    edges = np.round(np.quantile(inside, np.linspace(0, 1, STEPS // 2 + 1)), digits)
    edges[-1] += 10.0**-digits  # so that rounding leaves no ID score beyond the last
    return edges, [(share, f"{100 * share:g} % of ID") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]


def _round_step(least: float) -> float:
    """Returns the smallest of 1, 2 and 5 times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= least * (1 - 1e-9))


def _digits(step: float) -> int:
    """Returns how many digits after the point tell multiples of a step apart."""
    return max(0, -math.floor(math.log10(step) + 1e-9))
