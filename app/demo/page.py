"""Demo: the whole story in five steps, a stage that fills the window."""

import streamlit as st

from app import session
from app.components.stage import stage
from app.demo.export import html_file
from app.demo.slides import data_sentence, slide_data
from app.demo.state import (
    LEADS,
    OWN_DATA,
    choose_line,
    is_of_shipped_story,
    shipped_story,
    told_story,
)
from app.demo.story import DETECTORS
from app.pack import header
from app.pack.scores import ensure_scoring_job, ready_scores
from app.pack.scoring_progress import show_early_end, show_scoring
from app.text import plain

LOW = "<style>[data-testid='stMainBlockContainer'] {padding-bottom: 0.5rem}</style>"


def story_on_page(pack_data):
    """Returns the story of the data on the page, and its key; says how far its scores are."""
    shipped = shipped_story()
    if is_of_shipped_story(shipped, pack_data):
        return shipped, "shipped"
    job = ensure_scoring_job(pack_data)
    scores, reasons = ready_scores(job)
    show_early_end(pack_data, job)
    missing = [name for name in DETECTORS if name not in scores and name not in reasons]
    if missing and not job.over:
        show_scoring(job, "Fitting the detectors", missing)
    return told_story(shipped, pack_data, scores)


def show(pack_data, story, data_key) -> None:
    """Shows the slides, and below them which data they are of and a way to take them along."""

    def on_step(number: int) -> None:
        st.session_state["step"] = str(number)

    def on_lead(page: str, threshold: float | None) -> None:
        if page == OWN_DATA:
            header.open_data_choice()
            return
        query = {}
        if page == "threshold_lab" and pack_data is not None and threshold is not None:
            query = choose_line(pack_data, story.line_detector, threshold)
        st.session_state["demo_leads_to"] = page, query

    slides = slide_data(story)
    session.from_link("step", [str(number) for number in range(1, len(slides) + 1)])
    step = int(st.session_state.setdefault("step", "1"))
    session.to_link("step", str(step))
    stage(slides, LEADS, step, on_step, on_lead, "stage", data_key)
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.caption(plain(data_sentence(story), 400), width="content")
        st.download_button(
            "Save as one file",
            lambda: html_file(story),
            "heat-demo.html",
            "text/html",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
            help="The demo as one HTML file that opens without a network.",
        )


def follow_lead() -> None:
    """Goes to the page that a lead was pressed for."""
    page, query = st.session_state.pop("demo_leads_to", ("", {}))
    if page:
        st.switch_page(f"{page}/page.py", query_params=query)


follow_lead()
pack_data = header.show(
    "Demo",
    "What this is about, in five steps. Go on with → and back with ←, on the keyboard or here.",
    is_opened_by_page=True,
)
st.html(LOW)
try:
    story, data_key = story_on_page(pack_data)
except ValueError as error:
    st.error(plain(error), icon=":material/error:")
else:
    show(pack_data, story, data_key)
