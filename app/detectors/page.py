"""Detectors: those that this tab shows, on the same features, side by side."""

import streamlit as st

from app.detectors import (
    flips,
    lines,
    own_image,
    paper_table,
    roc_curves,
    selection,
    setting_panel,
)
from app.detectors.controls import added_detectors_input
from app.detectors.tables import contents_table
from app.pack import header, inspector
from app.pack.controls import score_unit_input, selection_chips, share_to_keep_input
from app.pack.lights import show_lights
from app.pack.scores import (
    chosen_sentence,
    ensure_scoring_job,
    fit_warnings,
    ready_scores,
)
from app.pack.scoring_progress import show_early_end, show_scoring
from app.pack.selected import opened_item
from app.pack.shown import shown_detectors
from app.pack.tables import classifier_sentence
from app.text import plain

NO_OOD = (
    "This data has no OOD set, so nothing says what the detectors catch: the table, its intervals "
    "and the ROC curves are absent. Scores, thresholds, flips and images are here."
)


def describe(pack) -> None:
    """Shows what the data is: its classifier, and the card of its sets."""
    with st.expander("What this data is"):
        classifier = classifier_sentence(pack)
        if classifier:
            st.markdown(plain(classifier))
        st.dataframe(contents_table(pack), hide_index=True)


def show_progress_of(job) -> None:
    """Shows how far the scoring is; the page follows with every further detector."""
    names = [detector_scores.detector for detector_scores in job.frames]
    missing = [name for name in shown_detectors() if name not in names]
    show_scoring(job, "Fitting the other detectors" if names else "Fitting the detectors", missing)


def compare(pack_data, scores_by_detector, bootstrap) -> None:
    """Shows the detectors that are ready, side by side."""
    has_ood = bool(pack_data.pack.ood)
    if has_ood:
        paper_table.show(pack_data, scores_by_detector, bootstrap)
    else:
        st.info(NO_OOD, icon=":material/info:")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        share_to_keep = share_to_keep_input()
        unit = score_unit_input()
    selection_chips()
    selection.show(pack_data, scores_by_detector)
    lines.show(pack_data, scores_by_detector, share_to_keep, unit)
    if has_ood:
        roc_curves.show(pack_data, scores_by_detector, share_to_keep)
    flips.show(pack_data, share_to_keep)
    setting_panel.show(pack_data)
    own_image.show(pack_data, share_to_keep)


def show(pack_data) -> None:
    """Shows all that is known of the data so far."""
    describe(pack_data.pack)
    added_detectors_input()
    job = ensure_scoring_job(pack_data, "modern")
    show_early_end(pack_data, job)
    if not job.over:
        show_progress_of(job)
    bootstrap = job.result  # read first: of no detector whose scores are not among those below
    scores_by_detector, missing_reasons = ready_scores(job)
    for message in dict.fromkeys((*missing_reasons.values(), *fit_warnings(job))):
        st.info(plain(message), icon=":material/info:")
    show_lights(job)
    if chosen := chosen_sentence(pack_data, job):
        st.caption(plain(chosen, 500))
    if scores_by_detector:
        compare(pack_data, scores_by_detector, bootstrap)
    else:
        inspector.show(pack_data, opened_item())


pack_data = header.show(
    "Detectors",
    "The same features, detectors side by side; more can be added. A score is an energy: larger "
    "means more out-of-distribution (OOD).",
)
if pack_data is not None:
    show(pack_data)
