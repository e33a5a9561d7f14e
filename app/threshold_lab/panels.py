"""The panels of the Threshold lab: the line, every number at it, other lines, images near it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import ArrayLike, NDArray

from app import figures
from app.components.threshold_line import ComparedScores, binned, threshold_line
from app.pack import inspector
from app.pack.controls import gallery_page
from app.pack.data import PackData
from app.pack.gallery import show_tiles
from app.pack.items import MIN_OOD_SELECTED, LabelledItems, PackRow, find_item, items_of
from app.pack.selected import current_selection, opened_item, selected_masks, set_part
from app.pack.slices_panel import column_input, show_slices, slices_expander
from app.pack.tables import assignment, format_score, style_digits
from app.pack.threshold_state import set_by_hand
from app.text import number_text, plain
from app.threshold_lab.controls import nearest_count_input
from app.threshold_lab.evaluation import Evaluation
from app.threshold_lab.same_share import same_share_thresholds
from app.threshold_lab.tables import (
    class_thresholds_table,
    line_interval,
    margin_texts,
    nearest_pack_rows,
    nearest_table,
    outcomes_table,
    row_outcome,
    selected_finding,
    sets_table_at_threshold,
)
from heat_core.results.table import tabulate
from heat_core.set_name import SetName
from heat_core.thresholds import evaluate, sweep

if TYPE_CHECKING:
    from heat_core.pack import Pack
    from heat_core.scores import SetScores
    from heat_core.thresholds import GroupedScores

Array = NDArray[np.float64]
Selected = Mapping[str, Array]  # {set: (n,) scores of its rows that are selected}

FROM_LINE = "line"
NEAREST_FORMATS = {
    "Score": st.column_config.NumberColumn(format="%.4g"),
    "Above the line": st.column_config.NumberColumn(format="%+.3g"),
}


# -- the line --------------------------------------------------------------------------------------


def selected_scores(pack_data: PackData, evaluation: Evaluation) -> Selected:
    """Returns {set: (n,) scores of its rows that are selected} of the sets that are drawn."""
    selection = current_selection()
    if not selection:
        return {}
    masks = selected_masks(pack_data, selection)
    return {
        name: scores[masks[name]]
        for name, scores in evaluation.counted_scores.items()
        if name in masks
    }


def line(evaluation: Evaluation, titles: Mapping[str, str], selected: Selected) -> None:
    """Shows the line over histograms of the scores, to be dragged.

    Args:
        evaluation: of the threshold.
        titles: {set name: title} of the OOD sets.
        selected: as `selected_scores` returns it.
    """
    choice, scores = evaluation.choice, evaluation.set_scores
    threshold = evaluation.outcome.threshold
    if current_selection():
        st.caption(selected_finding(selected, len(current_selection()), threshold))
    data = binned(
        scores.test,
        _titled(scores, choice.set_names, titles),
        threshold,
        choice.deployment,
        figures.GROUP_COLOURS,
        unit=choice.unit,
        fixed=bool(evaluation.class_thresholds),
        selected=figures.scores_by_group(selected),
        interval=line_interval(evaluation.rule, scores),
        compared=_compared_scores(evaluation, titles),
    )
    if data["note"]:
        st.caption(data["note"])
    threshold_line(data, set_by_hand, key="line")
    if data["compared"]:
        st.caption(
            f"{plain(choice.compared)}'s bars hang below those of {plain(choice.detector)}, on the "
            f"axis of the latter: at every place both keep the same share of the "
            f"{len(scores.calibration):,} ID scores that lines are chosen on. A dashed line is "
            f"{plain(choice.compared)}'s own, where the rule puts it elsewhere."
        )


def _titled(
    scores: SetScores, set_names: Sequence[str], titles: Mapping[str, str]
) -> GroupedScores:
    """Returns {group: {title: (n,) scores}} of OOD sets."""
    return {
        group: {
            titles[str(SetName(group, short_name))]: values
            for short_name, values in by_short_name.items()
        }
        for group, by_short_name in scores.ood(set_names).items()
    }


def _compared_scores(evaluation: Evaluation, titles: Mapping[str, str]) -> ComparedScores | None:
    """Returns what is drawn of the compared detector, if there is one."""
    choice, outcome = evaluation.choice, evaluation.compared_outcome
    if outcome is None:
        return None
    scores, other = evaluation.set_scores, evaluation.shown_scores[choice.compared]

    def same_share(thresholds: ArrayLike) -> Array:
        return same_share_thresholds(thresholds, scores.calibration, other.calibration)

    return ComparedScores(
        names=(choice.detector, choice.compared),
        inside=other.test,
        outside=_titled(other, choice.set_names, titles),
        threshold=outcome.threshold,
        same_share=same_share,
    )


# -- numbers ---------------------------------------------------------------------------------------


def numbers(
    pack: Pack, evaluation: Evaluation, titles: Mapping[str, str], selected: Selected
) -> None:
    """Shows every other number at the line, those of the selection beside those of all images.

    Args:
        pack: the data.
        evaluation: of the threshold.
        titles: {set name: title} of the OOD sets.
        selected: as `selected_scores` returns it.
    """
    is_comparison = len(evaluation.outcomes) > 1
    with st.container() if is_comparison else st.expander("The same as a table"):
        st.dataframe(
            outcomes_table(evaluation.outcomes, evaluation.choice.deployment),
            height="content",
            alt="What the line does, by detector",
        )
    if evaluation.choice.set_names:
        other_thresholds(evaluation, selected)
        every_set(pack, evaluation, titles, selected)


def every_set(
    pack: Pack, evaluation: Evaluation, titles: Mapping[str, str], selected: Selected
) -> None:
    """Shows what the line does to every OOD set that counts, or that no average counts."""
    choice, scores = evaluation.choice, evaluation.set_scores
    set_names = [name for name in pack.ood if str(name) in (*choice.set_names, *pack.apart)]
    results = tabulate({choice.detector: scores}, set_names)
    outside = scores.ood(map(str, set_names))
    outcome = evaluate(evaluation.outcome.threshold, scores.test, outside)
    sets_table = sets_table_at_threshold(results, outcome, titles, selected)
    st.markdown("**Every set at the line**")
    st.dataframe(
        style_digits(sets_table), hide_index=True, alt="What the line does to every OOD set"
    )
    if pack.apart_sentence:
        st.caption(plain(pack.apart_sentence))
    if evaluation.class_thresholds:
        st.caption(
            "FPR95 and AUROC are of scores less their class's threshold here, and so are not "
            "those of the Detectors page."
        )


def other_thresholds(evaluation: Evaluation, selected: Selected) -> None:
    """Shows what other lines would catch, and what they would cost."""
    left, right = st.columns(2)
    with left:
        _roc_curves(evaluation, selected)
    with right:
        _cost_curve(evaluation)


def _roc_curves(evaluation: Evaluation, selected: Selected) -> None:
    """Shows a curve a detector, or a group of OOD sets and the selection where there is only
    one."""
    is_comparison = len(evaluation.outcomes) > 1
    marked = _detector_curves(evaluation) if is_comparison else _group_curves(evaluation, selected)
    curves = {name: curve for name, (curve, _) in marked.items()}
    points = {name: point for name, (_, point) in marked.items()}
    st.markdown("**What other lines would catch**")
    st.plotly_chart(
        figures.roc(curves, points),
        key="roc",
        alt="OOD caught by ID flagged (ROC), and the line",
        config=figures.QUIET,
    )


MarkedCurve = tuple[tuple[Array, Array], tuple[float, float]]
"""((ID flagged, OOD caught) at every threshold, (K,) each; the same at the line)."""


def _detector_curves(evaluation: Evaluation) -> dict[str, MarkedCurve]:
    """Returns {detector: its curve on all groups}."""
    curves = {}
    for name, outcome in evaluation.outcomes.items():
        scores = evaluation.shown_scores[name]
        candidates = sweep(scores.test, scores.ood(evaluation.choice.set_names))
        point = (outcome.false_alarms, outcome.caught)
        curves[name] = (candidates.false_alarms, candidates.caught), point
    return curves


def _group_curves(evaluation: Evaluation, selected: Selected) -> dict[str, MarkedCurve]:
    """Returns {group: its curve}, with one of the OOD images selected if they are enough."""
    scores, outcome = evaluation.set_scores, evaluation.outcome
    curves = {}
    for group, scores_by_name in scores.ood(evaluation.choice.set_names).items():
        candidates = sweep(scores.test, {group: scores_by_name})
        point = (outcome.false_alarms, outcome.caught_by_group[group])
        curves[group] = (candidates.false_alarms, candidates.caught), point
    selected_ood = [values for name, values in selected.items() if name != "test"]
    if sum(map(len, selected_ood)) >= MIN_OOD_SELECTED:
        together = np.concatenate(selected_ood)
        candidates = sweep(scores.test, {"selected": {"selected": together}})
        point = (outcome.false_alarms, float((together > outcome.threshold).mean()))
        curves["selected"] = (candidates.false_alarms, candidates.caught), point
    return curves


def _cost_curve(evaluation: Evaluation) -> None:
    """Shows what inputs cost at other lines, and at this one."""
    scores, outcome = evaluation.set_scores, evaluation.outcome
    candidates = sweep(scores.test, scores.ood(evaluation.choice.set_names))
    costs = candidates.cost(evaluation.choice.deployment)
    cost = outcome.cost(evaluation.choice.deployment)
    here, least = number_text(cost, 1), number_text(float(costs.min()), 1)
    st.markdown(f"**1000 inputs cost {here} here, {least} at the cheapest line**")
    st.plotly_chart(
        figures.cost(candidates.kept, costs, (outcome.kept, cost)),
        key="cost",
        alt="Expected cost of 1000 inputs by the ID kept, and the line",
        config=figures.QUIET,
    )


@st.fragment
def slices(pack_data: PackData, evaluation: Evaluation) -> None:
    """Shows, folded, what the line does by a metadata column; nothing where the data has none."""
    fold = slices_expander(pack_data)
    if fold is not None:
        with fold:
            show_slices(
                pack_data,
                column_input(pack_data),
                evaluation.set_scores,
                evaluation.outcome.threshold,
                evaluation.choice.set_names,
            )


def class_thresholds(pack_data: PackData, evaluation: Evaluation) -> None:
    """Shows the threshold of every class."""
    choice = evaluation.choice
    table = class_thresholds_table(
        pack_data.pack,
        evaluation.class_thresholds[choice.detector],
        pack_data.assigned_classes,
        evaluation.set_scores,
        choice.set_names,
    )
    st.markdown(
        f"**{len(table)} thresholds of {choice.detector}, one for each class that an image is "
        f"{assignment(pack_data.pack)}**"
    )
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        alt="The threshold of every class, and what it does",
    )
    st.caption(
        "The promise is of new inputs, on average over calibration sets: what is counted here may "
        "be a little lower."
    )


# -- images near the line --------------------------------------------------------------------------


@st.fragment
def nearest_images(pack_data: PackData, evaluation: Evaluation) -> None:
    """Shows the images whose scores are nearest the line, and the one that is opened."""
    selection = current_selection().without(FROM_LINE)  # what was selected elsewhere holds here
    masks = selected_masks(pack_data, selection) if selection else None
    st.subheader("Which images sit at the line")
    count = nearest_count_input()
    threshold = evaluation.outcome.threshold
    pack_rows = nearest_pack_rows(evaluation.counted_scores, threshold, count, masks)
    if pack_rows:
        _gallery(pack_data, evaluation, pack_rows)
        _select_button(pack_data, evaluation, pack_rows)
        with st.expander("The same as a table"):
            _show_nearest_table(pack_data, evaluation, pack_rows)
    else:
        st.info("Nothing of the selection is in these sets.", icon=":material/info:")
    if opened_item():
        _inspect(pack_data, evaluation)


def _gallery(pack_data: PackData, evaluation: Evaluation, pack_rows: list[PackRow]) -> None:
    """Shows a page of images around the line."""
    counted_scores, threshold = evaluation.counted_scores, evaluation.outcome.threshold
    sorted_scores = [counted_scores[set_name][row] for set_name, row in pack_rows]
    below = int(np.searchsorted(sorted_scores, threshold, "right"))
    st.caption(
        f"{below} at or below the line, {len(pack_rows) - below} above it, from the lowest score "
        "up. Click one to look into it."
    )
    list_id = (evaluation.choice.detector, tuple(pack_rows))
    page = gallery_page(len(pack_rows), "line-page", list_id)
    scores = sorted_scores[page]
    captions = []
    for (set_name, _), score, margin in zip(
        pack_rows[page], scores, margin_texts(scores, threshold), strict=True
    ):
        outcome = row_outcome(score > threshold, set_name)
        captions.append((pack_data.pack.title_of(set_name), f"{margin} {outcome}"))
    show_tiles(pack_data, pack_rows[page], captions, "line-images", opened_item())


def _select_button(pack_data: PackData, evaluation: Evaluation, pack_rows: list[PackRow]) -> None:
    """Offers all images around the line as the selection."""
    is_pressed = st.button(
        f"Select these {len(pack_rows):,}",
        icon=":material/filter_alt:",
        help="On every page, until cleared.",
    )
    if not is_pressed:
        return
    rows: dict[str, list[int]] = {}
    for set_name, row in pack_rows:
        rows.setdefault(set_name, []).append(row)
    items = items_of(
        pack_data.pack, {set_name: np.array(indices) for set_name, indices in rows.items()}
    )
    threshold = format_score(evaluation.outcome.threshold)
    label = f"Nearest {evaluation.choice.detector}'s line at {threshold}"
    set_part(LabelledItems(FROM_LINE, label, items))
    st.rerun()


def _show_nearest_table(
    pack_data: PackData, evaluation: Evaluation, pack_rows: list[PackRow]
) -> None:
    """Shows the images around the line as a table, with what the compared detector says of them."""
    choice, compared = evaluation.choice, evaluation.compared_outcome
    compared_out = None
    if compared is not None:
        compared_scores = evaluation.shown_scores[choice.compared]
        compared_out = {
            set_name: compared_scores[set_name] > compared.threshold
            for set_name in evaluation.counted_scores
        }
    table = nearest_table(
        pack_data.pack,
        evaluation.counted_scores,
        pack_rows,
        evaluation.outcome.threshold,
        compared_out,
    )
    if evaluation.class_thresholds:  # scores are margins here, which "Above the line" says
        table = table.drop(columns="Score")
    st.dataframe(
        table,
        hide_index=True,
        column_config=NEAREST_FORMATS,
        alt="The rows whose scores are nearest the line",
    )


def _inspect(pack_data: PackData, evaluation: Evaluation) -> None:
    """Shows the image that is opened, judged by the line and by other detectors' thresholds."""
    if evaluation.class_thresholds:
        _inspect_by_class(pack_data, evaluation)
        return
    if evaluation.rule is None:
        others = "where they keep the same share of ID"
    else:
        others = f"by the same rule ({evaluation.rule.title})"
    detector = evaluation.choice.detector
    thresholds, refusals = evaluation.matching_thresholds()
    inspector.show(
        pack_data,
        opened_item(),
        thresholds,
        f"{detector}'s threshold is the line; others have theirs {others}.",
        refusals,
    )


def _inspect_by_class(pack_data: PackData, evaluation: Evaluation) -> None:
    """Shows the image that is opened, judged by the thresholds of its assigned class."""
    pack_row = find_item(pack_data.pack, opened_item())
    if pack_row is None or pack_row[0] not in pack_data.assigned_classes:
        inspector.show(pack_data, opened_item())
        return
    set_name, row = pack_row
    label = int(pack_data.assigned_classes[set_name][row])
    thresholds = {name: by_class[label] for name, by_class in evaluation.class_thresholds.items()}
    class_name = plain(pack_data.pack.class_name(label))
    assigned = f"{assignment(pack_data.pack)} {class_name}"
    inspector.show(
        pack_data,
        opened_item(),
        thresholds,
        f"Each threshold is the detector's for images that are {assigned}.",
    )
