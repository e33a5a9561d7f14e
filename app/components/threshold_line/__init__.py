"""A threshold to drag over histograms of scores.

It moves in the browser alone; one small message comes when it is let go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import streamlit as st
from numpy.typing import ArrayLike, NDArray

from app.components import declared
from app.incoming import number_within
from heat_core.results.score_axis import (
    SYMLOG_NOTE,
    ScoreUnit,
    Ticks,
    digits,
    is_even,
    needs_symlog,
    places,
    round_step,
    rounded,
    symlog_edges,
    ticks_at,
)
from heat_core.thresholds import Deployment, GroupedScores

Array = NDArray[np.floating]

STEPS = 1000  # places of the threshold at most: about one a pixel
BAR_COUNT = 100  # about
NOTHING: Mapping[str, ArrayLike] = MappingProxyType({})
_mount = declared("threshold_line", "dragging", "score_steps")


class ComparedScores(NamedTuple):
    """The scores of a detector that is compared with the one whose line is dragged.

    Args:
        names: of the detector whose line is dragged, and of this one.
        inside: ID scores, (N,).
        outside: {group: {title: (n,) scores}}, the groups and sets of the other detector.
        threshold: of this detector, where the line is not dragged.
        same_share: returns its thresholds (K,) that keep as much of ID as (K,) of the other's do.
    """

    names: tuple[str, str]
    inside: Array
    outside: GroupedScores
    threshold: float
    same_share: Callable[[Array], Array]


def threshold_line(data: Mapping[str, Any], on_release: Callable[[float], None], key: str) -> None:
    """Shows the threshold over histograms, and calls `on_release` with it where it was let go.

    A value that is not near the axis is passed over: it comes from a browser.

    Args:
        data: as `binned` returns it.
        on_release: takes the threshold.
        key: of the component.
    """

    def released() -> None:
        threshold = released_threshold(st.session_state[key].released, data["edges"])
        if threshold is not None:
            on_release(threshold)

    _mount(data=data, key=key, on_released_change=released)


def released_threshold(message: Any, edges: Sequence[float]) -> float | None:
    """Returns where the line was let go; None if the message is no number near the axis.

    Args:
        edges: of the axis' steps, in order.

    >>> released_threshold(2, [0.0, 1.0]), released_threshold(1e308, [0.0, 1.0])
    (2.0, None)
    """
    span = edges[-1] - edges[0]
    return number_within(message, edges[0] - span, edges[-1] + span)


def binned(
    inside: ArrayLike,
    outside: GroupedScores,
    threshold: float,
    deployment: Deployment,
    colours: Mapping[str, str],
    *,
    label: str = "Threshold",
    unit: ScoreUnit = "raw",
    fixed: bool = False,
    selected: Mapping[str, ArrayLike] = NOTHING,
    interval: tuple[float, float] | None = None,
    compared: ComparedScores | None = None,
) -> dict[str, Any]:
    """Returns what the browser needs to show every number at every threshold, exactly: about 20 KB.

    Args:
        inside: ID scores, (N,).
        outside: {group: {title: (n,) scores}}.
        threshold: where the line is.
        deployment: what arrives in use, and what mistakes cost.
        colours: {group: colour}, `ID` among the groups; and of `selected`.
        label: of the slider, for a screen reader.
        unit: of the axis; one of ID percentiles is even in ID inputs instead of in scores.
        fixed: the threshold cannot be moved.
        selected: {group: (n,) scores} of what is selected, drawn as an outline over its bars.
        interval: where the threshold may lie, drawn as a band behind the bars.
        compared: a second detector, drawn below the first; nothing else is counted of it.
    """
    groups = _sorted_groups(inside, outside)
    sorted_inside = groups["ID"]["ID"]
    pooled_scores = np.concatenate([scores for sets in groups.values() for scores in sets.values()])
    edges, ticks = _axis(unit, pooled_scores, sorted_inside)
    bar = max(1, round((len(edges) - 1) / BAR_COUNT))
    return {
        "edges": edges.tolist(),
        "ticks": ticks,
        "note": "" if unit != "raw" or is_even(edges) else SYMLOG_NOTE,
        "bar": bar,
        "label": label,
        "threshold": threshold,
        "deployment": asdict(deployment),
        "fixed": fixed,
        "interval": interval,
        "selected_colour": colours["selected"],
        "compared": None if compared is None else _compared_data(compared, edges),
        "groups": [
            {
                "name": group,
                "colour": colours[group],
                "sets": [
                    _counts_of(name, scores, edges, threshold) for name, scores in sets.items()
                ],
                "selected_counts": _bar_counts(selected.get(group, ()), edges, bar),
            }
            for group, sets in groups.items()
        ],
    }


def _sorted_groups(inside: ArrayLike, outside: GroupedScores) -> dict[str, dict[str, Array]]:
    """Returns {group: {title: (n,) scores in order}} of groups that have any, ID the first."""
    by_group = {"ID": {"ID": inside}, **{group: sets for group, sets in outside.items() if sets}}
    return {
        group: {name: np.sort(np.asarray(scores, np.float64)) for name, scores in sets.items()}
        for group, sets in by_group.items()
    }


def _compared_data(compared: ComparedScores, edges: Array) -> dict[str, Any]:
    """Returns the compared detector's counts at the steps of the other's axis, and its own line.

    Args:
        edges: of the steps, as scores of the other detector.
    """
    own_edges = compared.same_share(edges)
    place = places(np.array([compared.threshold]), own_edges)
    return {
        "names": compared.names,
        "place": float(place[0]),
        "groups": [
            {
                "sets": [
                    _counts_of(name, scores, own_edges, compared.threshold)
                    for name, scores in sets.items()
                ]
            }
            for sets in _sorted_groups(compared.inside, compared.outside).values()
        ],
    }


def _counts_of(name: str, scores: Array, edges: Array, threshold: float) -> dict[str, Any]:
    """Returns a set's name and size, and how many of its sorted scores, (n,), lie where.

    `counts` are those that each step adds, the first all below it; `passed` those at or below the
    threshold.
    """
    below_edges = np.searchsorted(scores, edges, "right")
    return {
        "name": name,
        "n": len(scores),
        "counts": np.diff(below_edges, prepend=0).tolist(),
        "passed": int(np.searchsorted(scores, threshold, "right")),
    }


def _bar_counts(scores: ArrayLike, edges: Array, bar: int) -> list[int]:
    """Returns how many of (n,) scores each bar of `bar` steps holds; [] of none.

    Those beyond the axis are in the first and the last bar.
    """
    if not np.size(scores):
        return []
    steps = len(edges) - 1
    right_edges = np.searchsorted(edges, np.ravel(scores), "left")  # a step holds its upper edge
    bars = np.clip(right_edges - 1, 0, steps - 1) // bar
    return np.bincount(bars, minlength=-(-steps // bar)).tolist()


def _axis(unit: ScoreUnit, pooled_scores: Array, inside: Array) -> tuple[Array, Ticks]:
    """Returns the edges of an axis and its ticks.

    Args:
        pooled_scores: (M,) of ID and OOD.
        inside: (N,) of ID, in order.
    """
    if unit == "ID percentile":
        return _percentile_axis(inside)
    low = float(np.quantile(pooled_scores, 0.001))
    high = float(max(np.quantile(pooled_scores, 0.99), np.quantile(inside, 0.999)))
    if unit == "symlog" or needs_symlog(low, high, inside):
        edges = rounded(symlog_edges(pooled_scores, inside, STEPS))
        return edges, ticks_at(edges, 6)
    return _even_axis(low, high)


def _even_axis(low: float, high: float) -> tuple[Array, Ticks]:
    """Returns edges at round numbers over nearly all of the scores, and the axis' ticks."""
    least = max(1e-6 * abs(low), 1e-6 * abs(high), 1e-9)  # below this, doubles run out of digits
    if high - low < least:
        low, high = low - least, high + least
    step = round_step((high - low) / STEPS)
    multiples = np.arange(math.floor(low / step), math.ceil(high / step) + 1)
    edges = np.round(multiples * step, digits(step))

    span = edges[-1] - edges[0]
    tick_step = round_step(span / 5)
    first, last = math.ceil(edges[0] / tick_step), math.floor(edges[-1] / tick_step)
    decimals = digits(tick_step)
    ticks = []
    for mark in np.arange(first, last + 1) * tick_step:
        ticks.append((float((mark - edges[0]) / span), f"{mark:.{decimals}f}"))
    return edges, ticks


def _percentile_axis(inside: Array) -> tuple[Array, Ticks]:
    """Returns the quantiles of (N,) ID scores as edges, and ticks in percent."""
    decimals = digits(max(float(np.ptp(inside)), 1e-9) / STEPS) + 1
    edges = np.round(np.quantile(inside, np.linspace(0, 1, STEPS // 2 + 1)), decimals)
    edges[-1] += 10.0**-decimals  # so that rounding leaves no ID score beyond the last
    return edges, [(share, f"{100 * share:g} % of ID") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
