"""Threshold lab: choose where to cut, by hand or by what matters."""

import streamlit as st

from app import figures
from app.components.threshold_line import binned, threshold_line
from app.pack import header, inspector
from app.pack.controls import selection_chips
from app.pack.scores import ready_scores, scoring_job
from app.pack.selected import opened_item
from app.text import plain
from app.threshold_lab import panels as evidence
from app.threshold_lab.controls import on_drag, threshold_choice, threshold_input
from app.threshold_lab.tables import how_chosen, threshold_finding
from heat_core.detectors.presets import DETECTORS
from heat_core.thresholds import KeepShare, PerClassConformal, by_group, choose_threshold, evaluate

HEIGHT = 560  # of the line and its numbers, in pixels, while they are on their way
NO_OOD = "No OOD set counts, so the page says only what becomes of ID. Choose some above to see what is caught."
AT_ZERO = "Scores are shown less their class's threshold, so that one line at 0 stands for all of them; it is not to be moved."


@st.fragment(run_every=1.0)
def waiting(job, wanted: list) -> None:
    """Shows how far the fitting is, and draws the page when a detector that is wanted is ready."""
    scores, absent = ready_scores(job)
    if job.over or {*scores, *absent} & {*wanted}:
        st.rerun()
    st.progress(
        job.progress,
        f"Fitting the detectors, {plain(' and '.join(wanted))} among them: {job.progress:.0%}",
    )


def lab(pack_data, choice, scores, titles: dict) -> None:
    """Shows the line, and what it does."""
    rule, sets, lines, proposed = choice.objective, choice.sets, {}, None
    try:
        if isinstance(rule, PerClassConformal):
            scores, lines = evidence.by_class(pack_data, rule, scores)
        elif rule is not None:
            proposed = choose_threshold(rule, scores[choice.detector], sets)
    except ValueError as error:
        st.warning(f"{plain(error)} The line keeps 95 % of ID instead.", icon=":material/warning:")
        rule = KeepShare()
        proposed = choose_threshold(rule, scores[choice.detector], sets)
    by_set = scores[choice.detector]
    cut = (
        0.0
        if lines
        else threshold_input(proposed, otherwise=choose_threshold(KeepShare(), by_set, sets))
    )
    outside = by_group(by_set, sets)
    outcomes = {choice.detector: (what := evaluate(cut, by_set["test"], outside))}
    st.session_state["line_kept"] = float(
        (by_set["val" if "val" in by_set else "test"] <= cut).mean()
    )  # as `Keep` counts
    if other := scores.get(choice.other):
        outcomes[choice.other] = evaluate(
            evidence.like(rule, what.kept, other, sets), other["test"], by_group(other, sets)
        )
    st.subheader(threshold_finding(outcomes))
    by_hand = (
        rule is None and st.session_state.get("cut") is not None
    )  # a link may leave it to a hand that has not come yet
    st.caption(
        how_chosen(None if by_hand else rule or KeepShare(), by_set)
        + (f" {AT_ZERO}" if lines else "")
    )
    titled = {
        group: {titles[f"{group}_{name}"]: s for name, s in members.items()}
        for group, members in outside.items()
    }
    found = evidence.picked(pack_data, choice, by_set)
    data = binned(
        by_set["test"],
        titled,
        cut,
        vars(choice.traffic),
        figures.BY_ROW,
        percentiles=choice.percentiles,
        fixed=bool(lines),
        selected=evidence.selected(found, cut),
    )
    threshold_line(data, on_drag, key="line")
    evidence.numbers(pack_data.pack, choice, scores, outcomes, titles, found)
    if lines:
        evidence.class_lines(pack_data, choice, scores, lines)
    evidence.at_the_line(pack_data, choice, scores, outcomes, rule, lines)


def show(pack_data) -> None:
    """Shows the choices, and the line as soon as its detector is ready."""
    titles = {
        f"{group}_{name}": pack_data.pack.set_title(f"{group}_{name}")
        for group, name in pack_data.pack.ood
    }
    choice = threshold_choice(tuple(DETECTORS), titles, pack_data.key)
    job = scoring_job(pack_data, "modern")
    scores, absent = ready_scores(job)
    wanted = [name for name in (choice.detector, choice.other) if name]
    if job.state == "failed":
        st.error(plain(job.error), icon=":material/error:")
    for name in wanted:
        if name in absent:
            st.info(plain(absent[name]), icon=":material/info:")
    lacking = [name for name in wanted if name not in scores and name not in absent]
    if lacking and not job.over:
        waiting(job, lacking)
    if not choice.sets:
        st.info(NO_OOD, icon=":material/info:")
    selection_chips()
    if choice.detector in scores:
        lab(pack_data, choice, scores, titles)
        return
    if choice.detector in lacking and not job.over:
        st.skeleton(height=HEIGHT)
    inspector.show(pack_data, opened_item())


data = header.show(
    "Threshold lab",
    "A score above the line is called out-of-distribution (OOD). Drag the line, or say what matters and let a rule place it.",
)
if data is not None:
    show(data)
