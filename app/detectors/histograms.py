"""A histogram of the scores of every detector shown, with bars to click."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import figures
from app.detectors.controls import score_range_input
from app.detectors.state import ood_names
from app.detectors.tables import ON_TEST
from app.incoming import number_within
from app.pack.data import PackData
from app.pack.items import Mask, Part, items_of
from app.pack.scores import ScoresByDetector
from app.pack.selected import current_selection, selected_masks, set_part
from app.pack.shown import added_detectors, approach_of
from heat_core.metrics import percentile, threshold_keeping

if TYPE_CHECKING:
    from heat_core.scores import SetScores

Array = NDArray[np.floating]

COLUMNS = 3


def show(
    pack_data: PackData, scores_by_detector: ScoresByDetector, share_to_keep: float, unit: str
) -> None:
    """Shows a histogram per detector, its title the finding at the threshold.

    A click on a bar selects what lies in it.

    Args:
        pack_data: the data.
        scores_by_detector: of the detectors that are ready.
        share_to_keep: the share of ID that thresholds keep.
        unit: `ID percentile` or `raw`.
    """
    st.subheader(f"At a threshold that keeps {100 * share_to_keep:g} % of ID")
    st.caption(ON_TEST)
    selected = selected_masks(pack_data, current_selection())
    requested = score_range_input(tuple(scores_by_detector))
    if requested:
        _select_range(pack_data, scores_by_detector, *requested)
    for heading, names in _groups(tuple(scores_by_detector)).items():
        if heading:
            st.markdown(f"**{heading}**")
        columns: list = []
        for _ in range(0, len(names), COLUMNS):
            columns += st.columns(COLUMNS)  # row by row, on a phone too
        for column, name in zip(columns, names, strict=False):
            scores = _AxisScores(scores_by_detector[name], unit)
            with column.container(border=True):
                _histogram(pack_data, name, scores, share_to_keep, selected)


def _groups(names: Sequence[str]) -> dict[str, list[str]]:
    """Returns {heading: detectors}: by approach if some were added, else all without a heading."""
    if not added_detectors():
        return {"": list(names)}
    groups: dict[str, list[str]] = {}
    for name in names:
        approach = approach_of(name)
        groups.setdefault(approach[:1].upper() + approach[1:], []).append(name)
    return groups


class _AxisScores:
    """One detector's scores on the axis of its histogram: as they are, or as ID percentiles.

    Args:
        scores: of the detector.
        unit: `ID percentile` or `raw`.
    """

    def __init__(self, scores: SetScores, unit: str) -> None:
        self.axis = unit if unit == "ID percentile" else "score"
        self.sets = dict(scores)
        if unit == "ID percentile":
            inside = scores.test
            self.sets = {name: 100 * percentile(inside, s) for name, s in scores.items()}

    def of_rows(self, masks: Mapping[str, Mask]) -> Array:
        """Returns the scores of some rows, {set: mask (n,)}, put together (M,)."""
        return np.concatenate([self.sets[name][mask] for name, mask in masks.items()])

    def between(self, low: float, high: float) -> dict[str, Mask]:
        """Returns {set: mask of the rows from `low` to below `high` (n,)}, without held-out ID."""
        return {
            name: (scores >= low) & (scores < high)
            for name, scores in self.sets.items()
            if name != "val"
        }


def _histogram(
    pack_data: PackData,
    name: str,
    scores: _AxisScores,
    share_to_keep: float,
    selected: Mapping[str, Mask],
) -> None:
    """Shows one detector's histogram; `selected` are masks of the selected rows of every set."""
    groups = figures.scores_by_group(scores.sets)
    threshold = threshold_keeping(groups["ID"], share_to_keep)
    edges = figures.bin_edges(groups, threshold)

    counted: dict[str, Array] = {group: values for group, values in groups.items() if group != "ID"}
    selected_ood = {n: selected[n] for n in ood_names(pack_data) if n in selected}
    if selected_ood:
        counted["the OOD selected"] = scores.of_rows(selected_ood)
    findings = [
        f"{100 * np.mean(values > threshold):.0f}\u00a0% of {group}"
        for group, values in counted.items()
    ]
    st.markdown(f"**{name}** catches {', '.join(findings)}")

    key = f"histogram-{name}"
    selected_scores = scores.of_rows(selected) if selected else None
    st.plotly_chart(
        figures.histogram(groups, edges, threshold, scores.axis, selected_scores),
        key=key,
        alt=f"{name}: the {scores.axis} of ID and of near, mid and far OOD; the threshold is "
        f"{threshold:.4g}",
        config=figures.QUIET,
        on_select=_bar_selector(pack_data, name, scores, edges, key),
        selection_mode="points",
    )


def _bar_selector(
    pack_data: PackData, name: str, scores: _AxisScores, edges: Array, key: str
) -> Callable[[], None]:
    """Returns what selects the rows in the bar that is clicked.

    Args:
        pack_data: whose rows.
        name: of the detector.
        scores: of the detector, on the axis.
        edges: of the bars, (bars + 1,); the first and the last bar hold all beyond the axis as
            well.
        key: of the chart.
    """

    def select_bar() -> None:
        bar = clicked_bar(st.session_state[key], len(edges) - 1)
        if bar is None:
            return
        is_first, is_last = bar == 0, bar == len(edges) - 2
        low = -np.inf if is_first else edges[bar]
        high = np.inf if is_last else edges[bar + 1]
        label = f"{name} {scores.axis} {_range_text(low, high)}"
        items = items_of(pack_data.pack, scores.between(low, high))
        set_part(Part(f"bar-{name}", label, items))

    return select_bar


def clicked_bar(message: Any, bars: int) -> int | None:
    """Returns the bar that a browser says was clicked; None if it says none, or one of no chart.

    Args:
        message: a chart's selection.
        bars: how many there are.

    >>> clicked_bar({"selection": {"points": [{"point_index": 3}]}}, bars=9)
    3
    """
    try:
        index = message["selection"]["points"][0]["point_index"]
    except (LookupError, TypeError):
        return None
    bar = number_within(index, 0, bars - 1)
    return None if bar is None else int(bar)


def _range_text(low: float, high: float) -> str:
    if np.isinf(low):
        return f"below {high:.4g}"
    if np.isinf(high):
        return f"from {low:.4g} up"
    return f"{low:.4g} to {high:.4g}"


def _select_range(
    pack_data: PackData, scores_by_detector: ScoresByDetector, name: str, low: float, high: float
) -> None:
    """Selects the rows that one detector scores between two ID percentiles, both as fractions."""
    inside = scores_by_detector[name].test
    masks = {}
    for set_name, values in scores_by_detector[name].items():
        if set_name != "val":
            percentiles = percentile(inside, values)
            masks[set_name] = (percentiles >= low) & (percentiles <= high)
    label = f"{name} ID percentile {100 * low:g} to {100 * high:g}"
    set_part(Part(f"bar-{name}", label, items_of(pack_data.pack, masks)))
    st.rerun()
