"""Detectors: every detector on the same features, side by side."""

import streamlit as st

from app.detectors import comparison
from app.detectors import flips as disagreement
from app.detectors.own_image import own_picture
from app.detectors.tables import contents_rows
from app.pack import header, inspector
from app.pack.controls import score_unit, selection_chips, share_to_keep
from app.pack.scores import fit_warnings, ready_scores, scoring_job
from app.pack.selected import opened_item
from app.pack.tables import classifier_sentence
from app.text import plain


def about(pack) -> None:
    """Says what the data is: the card of its sets."""
    with st.expander("What this data is"):
        if classifier := classifier_sentence(pack):
            st.markdown(plain(classifier))
        st.dataframe(contents_rows(pack), hide_index=True)


@st.fragment(run_every=1.0)
def progress(job, shown: int) -> None:
    """Shows how far the scoring is, and redraws the page when another detector is ready."""
    if job.over or len(job.frames) != shown:
        st.rerun()
    st.progress(
        job.progress, f"Fitting the {'other ' if shown else ''}detectors: {job.progress:.0%}"
    )


def show(pack_data) -> None:
    """Shows all that is known of the data so far."""
    about(pack_data.pack)
    job = scoring_job(pack_data, "modern")
    if job.state == "failed":
        st.error(plain(job.error), icon=":material/error:")
    if not job.over:
        progress(job, len(job.frames))
    scores, absent = ready_scores(job)
    for said in dict.fromkeys((*absent.values(), *fit_warnings(job))):
        st.info(plain(said), icon=":material/info:")
    if scores:
        comparison.table(pack_data, scores, job.result)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            keep, unit = share_to_keep(), score_unit()
        selection_chips()
        comparison.selected(pack_data, scores)
        comparison.histograms(pack_data, scores, keep, unit)
        comparison.curves(pack_data, scores, keep)
        disagreement.flips(pack_data, keep)
        own_picture(pack_data, keep)
    else:
        inspector.show(pack_data, opened_item())


data = header.show(
    "Detectors",
    "The same features, every detector. A score is an energy: larger means more out-of-distribution (OOD).",
)
if data is not None:
    show(data)
