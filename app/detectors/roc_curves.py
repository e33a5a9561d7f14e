"""ROC curves of a few detectors, of all OOD sets, of a group, or of what is selected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import streamlit as st

from app import figures
from app.detectors.controls import drawn_detectors_input, drawn_group_input
from app.detectors.state import row_count, selected_ood_masks
from app.detectors.tables import NAME_WIDTH, curves_table, roc_finding
from app.pack.data import PackData, unsupported_reasons
from app.pack.items import MIN_OOD_SELECTED
from app.pack.scores import ScoresByDetector, results_table
from app.pack.shown import shown_detectors
from app.pack.tables import style_digits
from heat_core.metrics import auroc, threshold_keeping
from heat_core.thresholds import GroupedScores, Outcome, evaluate, sweep


class _Curves(NamedTuple):
    """The OOD scores that ROC curves are drawn of, {detector: {group: {set: (n,)}}}, and their
    areas."""

    outside: Mapping[str, GroupedScores]
    areas: Mapping[str, float]
    kind: str  # what the curves are on, in words


@st.fragment
def show(pack_data: PackData, scores_by_detector: ScoresByDetector, share_to_keep: float) -> None:
    """Shows ROC curves of a few detectors, on the selection alone if that is enough.

    Args:
        pack_data: the data.
        scores_by_detector: of the detectors that are ready.
        share_to_keep: the share of ID that the marked thresholds keep.
    """
    heading = st.container()
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        shown = shown_detectors()
        absent = unsupported_reasons(pack_data, shown)
        requested = drawn_detectors_input([name for name in shown if name not in absent])
    with right:
        groups = dict.fromkeys(name.group for name in pack_data.pack.averaged)
        group = drawn_group_input(tuple(groups))
    drawn = {name: scores_by_detector[name] for name in requested if name in scores_by_detector}
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
        content = _group_curves(pack_data, scores_by_detector, list(drawn), group)
    heading.subheader(roc_finding(content.areas, content.kind))
    outcomes = {}
    for name, set_scores in drawn.items():
        threshold = threshold_keeping(set_scores.calibration, share_to_keep)
        outcomes[name] = evaluate(threshold, set_scores.test, content.outside[name])
    _draw_curves(drawn, content, outcomes)


def _draw_curves(
    drawn: ScoresByDetector, content: _Curves, outcomes: Mapping[str, Outcome]
) -> None:
    curves, points = {}, {}
    for name, set_scores in drawn.items():
        candidates = sweep(set_scores.test, content.outside[name])
        curves[name] = (candidates.false_alarms, candidates.caught)
        points[name] = (outcomes[name].false_alarms, outcomes[name].caught)
    left, right = st.columns([3, 2], vertical_alignment="center")
    left.plotly_chart(
        figures.roc(curves, points),
        key="roc",
        alt=f"OOD caught by ID flagged (ROC) of {', '.join(drawn)}, on {content.kind}",
        config=figures.QUIET,
    )
    right.dataframe(
        style_digits(curves_table(content.areas, outcomes)),
        hide_index=True,
        height="content",
        alt="The curves in figures",
        column_config={"Detector": st.column_config.TextColumn(width=NAME_WIDTH)},
    )


def _group_curves(
    pack_data: PackData, scores_by_detector: ScoresByDetector, names: Sequence[str], group: str
) -> _Curves:
    """Returns the curves of some detectors on a group of OOD sets, or on all."""
    results = results_table(pack_data, scores_by_detector)
    set_names = [str(name) for name in pack_data.pack.averaged if group in ("all", name.group)]
    column = "average" if group == "all" else group
    kind = "all OOD, every group counting the same" if group == "all" else f"{group} OOD"
    return _Curves(
        outside={name: scores_by_detector[name].ood(set_names) for name in names},
        areas={name: results.average(name, column).auroc for name in names},
        kind=kind,
    )


def _selection_curves(
    pack_data: PackData, scores_by_detector: ScoresByDetector, group: str
) -> _Curves | None:
    """Returns the curves on the selected images of a group, put together; None of too few."""
    masks = selected_ood_masks(pack_data, group)
    count = row_count(masks)
    if count < MIN_OOD_SELECTED:
        return None
    kind = "OOD" if group == "all" else f"{group} OOD"
    outside, areas = {}, {}
    for name, set_scores in scores_by_detector.items():
        selected = np.concatenate([set_scores[n][mask] for n, mask in masks.items()])
        outside[name] = {"selected": {kind: selected}}
        areas[name] = auroc(set_scores.test, selected)
    return _Curves(outside, areas, f"the {count:,} {kind} images selected")
