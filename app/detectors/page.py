"""Detectors: every detector on the same features, side by side."""

import streamlit as st

from app import session
from app.detectors import comparison
from app.detectors import flips as disagreement
from app.detectors.own_image import own_picture
from app.pack import controls, header, inspector, tables
from app.text import plain


def about(pack) -> None:
    """Says what the data is: the card of its sets."""
    with st.expander("What this data is"):
        if classifier := tables.classifier(pack):
            st.markdown(plain(classifier))
        st.dataframe(tables.contents(pack), hide_index=True)


@st.fragment(run_every=1.0)
def progress(job, shown: int) -> None:
    """Shows how far the scoring is, and redraws the page when another detector is ready."""
    if job.over or len(job.frames) != shown:
        st.rerun()
    st.progress(job.progress, f"Fitting the {'other ' if shown else ''}detectors: {job.progress:.0%}")


def show(given) -> None:
    """Shows all that is known of the data so far."""
    about(given.pack)
    job = session.scoring(given, "modern")
    if job.state == "failed":
        st.error(plain(job.error), icon=":material/error:")
    if not job.over:
        progress(job, len(job.frames))
    scores, absent = session.scored(job)
    for said in dict.fromkeys((*absent.values(), *session.notes(job))):
        st.info(plain(said), icon=":material/info:")
    if scores:
        comparison.table(given, scores, job.result)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            keep, unit = controls.kept_share(), controls.scale()
        controls.chips()
        comparison.selected(given, scores)
        comparison.histograms(given, scores, keep, unit)
        comparison.curves(given, scores, keep)
        disagreement.flips(given, keep)
        own_picture(given, keep)
    else:
        inspector.show(given, session.item())


data = header.show(
    "Detectors", "The same features, every detector. A score is an energy: larger means more out-of-distribution (OOD)."
)
if data is not None:
    show(data)
