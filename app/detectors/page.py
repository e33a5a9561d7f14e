"""Detectors: those that this tab shows, on the same features, side by side."""

import streamlit as st

from app.detectors import (
    flips,
    lines,
    own_image,
    paper_table,
    roc_curves,
    runs,
    selection,
    setting_panel,
    slices,
)
from app.detectors.controls import LineChoice, added_detectors_input, line_choice
from app.detectors.tables import contents_table
from app.pack import header, inspector
from app.pack.controls import selection_chips
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
        st.dataframe(contents_table(pack), hide_index=True, alt="The sets of this data")


def show_progress_of(job) -> None:
    """Shows how far the scoring is; the page follows with every further detector."""
    names = [detector_scores.detector for detector_scores in job.frames]
    missing = [name for name in shown_detectors() if name not in names]
    show_scoring(job, "Fitting the other detectors" if names else "Fitting the detectors", missing)


def compare(pack_data, scores_by_detector, settings: LineChoice, bootstrap) -> None:
    """Shows the detectors that are ready, side by side."""
    has_ood = bool(pack_data.pack.ood)
    share_to_keep = settings.share_to_keep
    selection_chips()
    lines.show(pack_data, scores_by_detector, share_to_keep, settings.unit)
    selection.show(pack_data, scores_by_detector)
    slices.show(pack_data, scores_by_detector, share_to_keep)
    if has_ood:
        paper_table.show(pack_data, scores_by_detector, bootstrap)
        roc_curves.show(pack_data, scores_by_detector, share_to_keep)
        runs.show(pack_data, share_to_keep)
    else:
        st.info(NO_OOD, icon=":material/info:")
    describe(pack_data.pack)
    flips.show(pack_data, share_to_keep)
    setting_panel.show(pack_data)
    own_image.show(pack_data, share_to_keep)


def show_notes(pack_data, job, missing_reasons) -> None:
    """Says what detectors are absent or not to be trusted, and which settings ID data chose."""
    messages = dict.fromkeys((*missing_reasons.values(), *fit_warnings(job)))
    if messages:
        st.info("\n\n".join(map(plain, messages)), icon=":material/info:")
    show_lights(job)
    if chosen := chosen_sentence(pack_data, job):
        st.caption(plain(chosen, 500))


def show(pack_data) -> None:
    """Shows all that is known of the data so far."""
    toolbar = st.container(horizontal=True, vertical_alignment="bottom")
    with toolbar:
        settings = line_choice()
        added_detectors_input()
    job = ensure_scoring_job(pack_data, "modern")
    show_early_end(pack_data, job)
    if not job.over:
        show_progress_of(job)
    bootstrap = job.result  # read first: of no detector whose scores are not among those below
    scores_by_detector, missing_reasons = ready_scores(job)
    if scores_by_detector:
        with toolbar:
            lines.select_by_score(pack_data, scores_by_detector)
        compare(pack_data, scores_by_detector, settings, bootstrap)
    else:
        describe(pack_data.pack)
        inspector.show(pack_data, opened_item())
    show_notes(pack_data, job, missing_reasons)


pack_data = header.show(
    "Detectors",
    "The same features, detectors side by side; more can be added. A score is an energy: larger "
    "means more out-of-distribution (OOD).",
)
if pack_data is not None:
    show(pack_data)
