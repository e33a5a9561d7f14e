"""The panels of the Detectors page with all detectors side by side: table, histograms, ROC
curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from app import figures
from app.detectors.controls import drawn_detectors, drawn_group, score_range
from app.detectors.tables import (
    FPR,
    ON_TEST,
    average_finding,
    averages_table,
    curve_rows,
    interval_rows,
    roc_finding,
    selection_rows,
    set_rows,
)
from app.incoming import number_within
from app.pack.data import PackData
from app.pack.items import MIN_OOD_SELECTED, Mask, Part, items_of
from app.pack.scores import results_table
from app.pack.selected import add_to_selection, current_selection, selected_masks
from app.pack.tables import style_digits
from heat_core.metrics import auroc, percentile, threshold_keeping
from heat_core.results.formats import to_latex, to_markdown
from heat_core.results.table import Table, scores_by_group
from heat_core.thresholds import GroupedScores, Outcome, evaluate, sweep

if TYPE_CHECKING:
    from heat_core.pack import Pack
    from heat_core.results.bootstrap import Bootstrap
    from heat_core.scores import SetScores

Array = NDArray[np.floating]
AllScores = Mapping[str, "SetScores"]  # {detector: its scores}

COLUMNS = 3
NAME_COLUMN = {"Detector": st.column_config.TextColumn(width=95)}  # pixels: the longest name fits
LEARNED_FROM_IMAGES = (
    "EBM, HEAT and Composed learn here from destroyed ID images (jigsaws, warps, noise …), never "
    "from OOD data: their correction is a bounded verdict of ID against destroyed ID, not the log "
    "of a density."
)
LEARNED_FROM_FEATURES = (
    "EBM and HEAT learn here from the features alone, against broad Gaussian noise (T_G = 9, set "
    "beforehand): no image, no OOD data. Expect HEAT near its MoG, and the EBM behind it."
)


# -- the table -------------------------------------------------------------------------------------


def table(pack_data: PackData, scores: AllScores, bootstrap: Bootstrap | None) -> None:
    """Shows the paper's table, best figures in bold, with exports.

    Args:
        pack_data: the data.
        scores: {detector: its scores} of those that are ready.
        bootstrap: that says what is significant, once all detectors are scored.
    """
    pack, results = pack_data.pack, results_table(pack_data, scores)
    st.subheader(average_finding(results, bootstrap))
    st.dataframe(
        averages_table(results, bootstrap),
        column_config={"_index": st.column_config.Column(width=110)},
        alt="FPR95 and AUROC of every detector by group of OOD sets",
    )
    st.caption(_table_caption(pack, bootstrap is not None))
    if bootstrap is not None:
        with st.expander("What is more than chance"):
            _show_intervals(bootstrap)
    with st.expander("Every set, with the 95 % interval of the AUROC"):
        titles = {name: pack.set_title(name) for name, _ in pack.sets()}
        st.dataframe(
            style_digits(set_rows(results, titles)),
            hide_index=True,
            alt="Every detector on every OOD set",
        )
    _export_buttons(pack, results)


def _table_caption(pack: Pack, has_bootstrap: bool) -> str:
    """Returns what the table's figures are of, and what the detectors learned from."""
    parts = []
    if current_selection():
        parts.append("All images; those of the selection alone stand below.")
    parts.append(
        "FPR95: OOD accepted where 95 % of ID is kept. Averages: over sets in a group, then over "
        "groups."
    )
    if has_bootstrap:
        parts.append(
            "Bold: the best, lightly tinted what does not differ significantly from it (paired "
            "bootstrap over images)."
        )
    else:
        parts.append("Bold: the best.")
    parts.append(LEARNED_FROM_IMAGES if pack.extra.pseudo else LEARNED_FROM_FEATURES)
    return " ".join(parts)


def _show_intervals(bootstrap: Bootstrap) -> None:
    st.dataframe(
        interval_rows(bootstrap),
        hide_index=True,
        height="content",
        alt="Averages with 95 % intervals",
    )
    st.caption(
        f"In brackets: where 95 % of {len(bootstrap.resampled)} resamples of the images lie, the "
        "same for all detectors. Seeds, other networks and other OOD sets are not in it."
    )


def _export_buttons(pack: Pack, results: Table) -> None:
    """Offers the table as files."""
    rows = pd.DataFrame([{"pack": pack.title, **vars(row)} for row in results.rows])
    exports = {
        "CSV": (rows.to_csv(index=False), "csv"),
        "Markdown": (to_markdown(results), "md"),
        "LaTeX": (to_latex(results), "tex"),
    }
    with st.container(horizontal=True):
        for label, (content, ending) in exports.items():
            st.download_button(
                label,
                content,
                f"detectors.{ending}",
                icon=":material/download:",
                on_click="ignore",
            )


# -- what is selected ------------------------------------------------------------------------------


def selection(pack_data: PackData, scores: AllScores) -> None:
    """Shows how each detector tells the selected OOD images from ID test; nothing without any."""
    total = len(current_selection())
    if not current_selection():
        return
    masks = _selected_ood_masks(pack_data)
    count = _count(masks)
    if count < MIN_OOD_SELECTED:
        st.info(
            f"Of the {total:,} selected, {count} {'is' if count == 1 else 'are'} OOD: too few for "
            f"figures and curves of their own, which need {MIN_OOD_SELECTED}.",
            icon=":material/info:",
        )
        return
    rows = selection_rows(scores, masks)
    best = rows.iloc[0]
    st.subheader(
        f"Of the {count:,} OOD images selected, {best['Detector']} lets the least pass, "
        f"{best[FPR]:.1f}\u00a0%."
    )
    st.dataframe(
        style_digits(rows),
        hide_index=True,
        height="content",
        width=560,
        column_config=NAME_COLUMN,
        alt="FPR95 and AUROC on the selected OOD images",
    )
    st.caption(
        f"{count:,} of the {total:,} selected are OOD; put together, against all "
        f"{len(pack_data.pack.test):,} ID test images. Images picked by a detector's own scores "
        "are no fair test of that detector."
    )


def _ood_names(pack_data: PackData, group: str = "all") -> list[str]:
    """Returns the names of the OOD sets of a group, or of all."""
    return [str(name) for name in pack_data.pack.ood if group in ("all", name.group)]


def _selected_ood_masks(pack_data: PackData, group: str = "all") -> dict[str, Mask]:
    """Returns {set: mask of its selected rows (n,)} of the OOD sets of a group, or of all."""
    if not current_selection():
        return {}
    masks = selected_masks(pack_data, current_selection())
    return {name: masks[name] for name in _ood_names(pack_data, group) if name in masks}


def _count(masks: Mapping[str, Mask]) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


# -- histograms ------------------------------------------------------------------------------------


def histograms(pack_data: PackData, scores: AllScores, keep: float, unit: str) -> None:
    """Shows a histogram per detector, its title the finding at the threshold.

    A click on a bar selects what lies in it.

    Args:
        pack_data: the data.
        scores: {detector: its scores} of those that are ready.
        keep: the share of ID that thresholds keep.
        unit: `ID percentile` or `raw`.
    """
    st.subheader(f"At a threshold that keeps {100 * keep:g} % of ID")
    st.caption(ON_TEST)
    selected = selected_masks(pack_data, current_selection())
    requested = score_range(tuple(scores))
    if requested:
        _select_range(pack_data, scores, *requested)
    columns: list = []
    for _ in range(0, len(scores), COLUMNS):
        columns += st.columns(COLUMNS)  # row by row, on a phone too
    for column, (name, detector_scores) in zip(columns, scores.items(), strict=False):
        with column.container(border=True):
            _histogram(pack_data, name, _AxisScores(detector_scores, unit), keep, selected)


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

    def rows(self, masks: Mapping[str, Mask]) -> Array:
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
    keep: float,
    selected: Mapping[str, Mask],
) -> None:
    """Shows one detector's histogram; `selected` are masks of the selected rows of every set."""
    groups = scores_by_group(scores.sets, pack_data.pack.ood)
    threshold = threshold_keeping(groups["ID"], keep)
    edges = figures.bins(groups, threshold)

    counted: dict[str, Array] = {group: values for group, values in groups.items() if group != "ID"}
    selected_ood = {n: selected[n] for n in _ood_names(pack_data) if n in selected}
    if selected_ood:
        counted["the OOD selected"] = scores.rows(selected_ood)
    findings = [
        f"{100 * np.mean(values > threshold):.0f}\u00a0% of {group}"
        for group, values in counted.items()
    ]
    st.markdown(f"**{name}** catches {', '.join(findings)}")

    key = f"histogram-{name}"
    selected_scores = scores.rows(selected) if selected else None
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
        add_to_selection(Part(f"bar-{name}", label, items))

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
    pack_data: PackData, scores: AllScores, name: str, low: float, high: float
) -> None:
    """Selects the rows that one detector scores between two ID percentiles, both as fractions."""
    inside = scores[name].test
    masks = {}
    for set_name, values in scores[name].items():
        if set_name != "val":
            ranks = percentile(inside, values)
            masks[set_name] = (ranks >= low) & (ranks <= high)
    label = f"{name} ID percentile {100 * low:g} to {100 * high:g}"
    add_to_selection(Part(f"bar-{name}", label, items_of(pack_data.pack, masks)))
    st.rerun()


# -- ROC curves ------------------------------------------------------------------------------------


class _Curves(NamedTuple):
    """The OOD scores that ROC curves are drawn of, {detector: {group: {set: (n,)}}}, and their
    areas."""

    outside: Mapping[str, GroupedScores]
    areas: Mapping[str, float]
    kind: str  # what the curves are on, in words


@st.fragment
def curves(pack_data: PackData, scores: AllScores, keep: float) -> None:
    """Shows ROC curves of a few detectors, on the selection alone if that is enough.

    Args:
        pack_data: the data.
        scores: {detector: its scores} of those that are ready.
        keep: the share of ID that the marked thresholds keep.
    """
    heading = st.container()
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        requested = drawn_detectors()
    with right:
        groups = dict.fromkeys(name.group for name in pack_data.pack.ood)
        group = drawn_group(tuple(groups))
    drawn = {name: scores[name] for name in requested if name in scores}
    if not drawn:
        message = (
            "None of these detectors is ready."
            if requested
            else "Choose a detector above to see its curve."
        )
        st.info(message, icon=":material/info:")
        return

    content = _selection_curves(pack_data, drawn, group)
    if content is None:
        content = _group_curves(pack_data, scores, list(drawn), group)
    heading.subheader(roc_finding(content.areas, content.kind))
    outcomes = {}
    for name, detector_scores in drawn.items():
        threshold = threshold_keeping(detector_scores.test, keep)
        outcomes[name] = evaluate(threshold, detector_scores.test, content.outside[name])
    _draw_curves(drawn, content, outcomes)


def _draw_curves(drawn: AllScores, content: _Curves, outcomes: Mapping[str, Outcome]) -> None:
    lines, points = {}, {}
    for name, detector_scores in drawn.items():
        candidates = sweep(detector_scores.test, content.outside[name])
        lines[name] = (candidates.flagged, candidates.caught)
        points[name] = (outcomes[name].flagged, outcomes[name].caught)
    left, right = st.columns([3, 2], vertical_alignment="center")
    left.plotly_chart(
        figures.roc(lines, points),
        key="roc",
        alt=f"OOD caught by ID flagged (ROC) of {', '.join(drawn)}, on {content.kind}",
        config=figures.QUIET,
    )
    right.dataframe(
        style_digits(curve_rows(content.areas, outcomes)),
        hide_index=True,
        height="content",
        alt="The curves in figures",
        column_config=NAME_COLUMN,
    )


def _group_curves(
    pack_data: PackData, scores: AllScores, names: Sequence[str], group: str
) -> _Curves:
    """Returns the curves of some detectors on a group of OOD sets, or on all."""
    results = results_table(pack_data, scores)
    ood_names = _ood_names(pack_data, group)
    column = "average" if group == "all" else group
    kind = "all OOD, every group counting the same" if group == "all" else f"{group} OOD"
    return _Curves(
        outside={name: scores[name].ood(ood_names) for name in names},
        areas={name: results.average(name, column).auroc for name in names},
        kind=kind,
    )


def _selection_curves(pack_data: PackData, scores: AllScores, group: str) -> _Curves | None:
    """Returns the curves on the selected images of a group, put together; None of too few."""
    masks = _selected_ood_masks(pack_data, group)
    count = _count(masks)
    if count < MIN_OOD_SELECTED:
        return None
    kind = "OOD" if group == "all" else f"{group} OOD"
    outside, areas = {}, {}
    for name, detector_scores in scores.items():
        selected = np.concatenate([detector_scores[n][mask] for n, mask in masks.items()])
        outside[name] = {"selected": {kind: selected}}
        areas[name] = auroc(detector_scores.test, selected)
    return _Curves(outside, areas, f"the {count:,} {kind} images selected")
