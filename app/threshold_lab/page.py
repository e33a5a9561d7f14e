"""Threshold lab: choose the threshold, by hand or by what matters."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.pack import header, inspector
from app.pack.controls import selection_chips
from app.pack.lights import show_lights
from app.pack.scores import ensure_scoring_job, ready_scores
from app.pack.scoring_progress import show_early_end, show_scoring
from app.pack.selected import opened_item
from app.pack.shown import add_detectors
from app.pack.tables import unique_titles
from app.pack.threshold_state import has_threshold, remember_share_kept
from app.text import plain
from app.threshold_lab import panels
from app.threshold_lab.controls import threshold_choice, threshold_input
from app.threshold_lab.evaluation import evaluate_per_class, evaluate_threshold
from app.threshold_lab.shipping import ship_panel
from app.threshold_lab.tables import (
    how_chosen,
    threshold_finding,
    what_is_promised,
)
from heat_core.detectors.presets import DETECTORS
from heat_core.thresholds import KeepShare, choose_threshold

HEIGHT = 560  # of the line and its numbers, in pixels, while they are on their way
NONE_COUNTS = (
    "No OOD set counts, so the page says only what becomes of ID. "
    "Choose some above to see what is caught."
)
NO_OOD = "This data has no OOD set, so the page says only what becomes of ID."


def evaluate_choice(pack_data, choice, scores_by_detector, place: DeltaGenerator):
    """Returns the effect of the thresholds; of one that keeps 95 % of ID where the rule refuses.

    Args:
        place: of the widget that sets the line.
    """
    set_scores = scores_by_detector[choice.detector]
    try:
        if choice.rule is not None and choice.rule.per_class:
            return evaluate_per_class(
                choice, choice.rule, scores_by_detector, pack_data.assigned_classes
            )
        decision = choose_threshold(choice.rule or KeepShare(), set_scores, choice.set_names)
    except ValueError as error:
        st.warning(f"{plain(error)} The line keeps 95 % of ID instead.", icon=":material/warning:")
        decision = choose_threshold(KeepShare(), set_scores)
    by_hand = choice.rule is None
    with place:
        threshold = threshold_input(decision.threshold, by_hand)
    return evaluate_threshold(
        choice, None if by_hand else decision.rule, threshold, scores_by_detector
    )


def show_lab(pack_data, choice, scores_by_detector, titles, place: DeltaGenerator) -> None:
    """Shows the line, and what it does."""
    evaluation = evaluate_choice(pack_data, choice, scores_by_detector, place)
    remember_share_kept(evaluation.set_scores, evaluation.outcome.threshold)
    for name in choice.detectors:
        if name in evaluation.refusals:
            reason = plain(evaluation.refusals[name])
            st.warning(f"{plain(name)} is left out: {reason}", icon=":material/warning:")
    rule = evaluation.rule
    if rule is None and not has_threshold():
        rule = KeepShare()

    st.subheader(threshold_finding(evaluation.outcomes))
    selected = panels.selected_scores(pack_data, evaluation)
    panels.line(evaluation, titles, selected)
    st.caption(how_chosen(rule, evaluation.set_scores))
    promise = what_is_promised(rule, evaluation.set_scores)
    if promise:
        st.caption(promise)
    ship_panel(pack_data, evaluation)
    panels.numbers(pack_data.pack, evaluation, titles, selected)
    panels.slices(pack_data, evaluation)
    if evaluation.class_thresholds:
        panels.class_thresholds(pack_data, evaluation)
    panels.nearest_images(pack_data, evaluation)


def show(pack_data) -> None:
    """Shows the choices, and the line as soon as its detector is ready."""
    titles = unique_titles(pack_data.pack)
    averaged = {name: title for name, title in titles.items() if name not in pack_data.pack.apart}
    toolbar = st.container(horizontal=True, vertical_alignment="bottom")
    place = toolbar.container(horizontal=True, vertical_alignment="bottom", width="content")
    choice = threshold_choice(toolbar, place, tuple(DETECTORS), averaged, pack_data.key)
    add_detectors(choice.detectors)

    job = ensure_scoring_job(pack_data, "modern")
    scores_by_detector, missing_reasons = ready_scores(job)
    show_early_end(pack_data, job)
    for name in choice.detectors:
        if name in missing_reasons:
            st.info(plain(missing_reasons[name]), icon=":material/info:")
    missing = [
        name
        for name in choice.detectors
        if name not in scores_by_detector and name not in missing_reasons
    ]
    if missing and not job.over:
        names = plain(" and ".join(missing))
        show_scoring(job, f"Fitting the detectors, {names} among them", missing)
    if not choice.set_names:
        message = NONE_COUNTS if pack_data.pack.ood else NO_OOD
        st.info(message, icon=":material/info:")
    selection_chips()

    if choice.detector in scores_by_detector:
        show_lab(pack_data, choice, scores_by_detector, titles, place)
        show_lights(job, choice.detectors)
        return
    if choice.detector in missing and not job.over:
        st.skeleton(height=HEIGHT)
    inspector.show(pack_data, opened_item())


pack_data = header.show(
    "Threshold lab",
    "A score above the line is called out-of-distribution (OOD). Drag the line, or say what "
    "matters and let a rule place it.",
)
if pack_data is not None:
    show(pack_data)
