"""Monitor: a stream of scores in use, and when each test notices that it changed."""

from dataclasses import replace

import streamlit as st

from app.monitor import panels
from app.monitor.controls import (
    file_choice,
    file_input,
    moment_input,
    set_titles,
    show_file_error,
    stream_choice,
)
from app.monitor.evaluation import monitor_file, simulate, source_of
from app.monitor.figures import HEIGHT
from app.monitor.state import remembered, stream_file
from app.monitor.tables import file_finding, source_sentences, stream_finding
from app.pack import header
from app.pack.controls import detector_input, selection_chips
from app.pack.scores import ensure_scoring_job, ready_pseudo_scores, ready_scores
from app.pack.scoring_progress import show_early_end, show_scoring
from app.pack.shown import add_detectors
from app.session import SCORES_OF_KEY, warn_if_not_offered
from app.text import plain
from heat_core.detectors.presets import DETECTORS

CHANGE_LABEL = "The moment: first row of the change"
TOOLBAR_WIDTHS = (150, 250, 150, 150, 160, 190)  # of the widgets, in pixels
PARTING_LABEL = "Compare before and from row"
NO_SCORES = "{} reads what these destroyed images lack, so there are no scores of them to mix in."


def show_simulation(pack_data) -> None:
    """Shows a stream of the pack's rows, as soon as the detector is ready."""
    warn_if_not_offered(SCORES_OF_KEY, DETECTORS, "detector")
    toolbar = st.container(horizontal=True, vertical_alignment="bottom")
    places = [toolbar.container(width=width) for width in TOOLBAR_WIDTHS]
    with places[0]:
        detector = detector_input(tuple(DETECTORS), "Whose scores come in the stream.")
    with places[-1]:
        file_input()
    add_detectors([detector])
    job = ensure_scoring_job(pack_data, "modern")
    scores_by_detector, missing_reasons = ready_scores(job)
    show_early_end(pack_data, job)
    if detector in missing_reasons:
        st.info(plain(missing_reasons[detector]), icon=":material/info:")
    elif detector not in scores_by_detector and not job.over:
        show_scoring(job, f"Fitting the detectors, {plain(detector)} among them", [detector])
        st.skeleton(height=HEIGHT)
    selection_chips()
    pseudo_scores = ready_pseudo_scores(job, detector)
    choice = stream_choice(places[1:-1], detector, set_titles(pack_data.pack))
    if detector in scores_by_detector:
        show_stream(pack_data, choice, scores_by_detector[detector], pseudo_scores)


def show_stream(pack_data, choice, set_scores, pseudo_scores) -> None:
    """Shows a simulated stream, with the moment to drag."""
    if choice.mixed not in ("", *set_scores, *pseudo_scores):
        st.info(NO_SCORES.format(plain(choice.detector)), icon=":material/info:")
        return
    source = source_of(pack_data, set_scores, pseudo_scores, choice.mixed)
    choice = choice.within(len(source.inside.scores))
    place = st.container()
    choice = replace(choice, moment=moment_input(CHANGE_LABEL, 0, choice.rows))
    monitored = remembered((pack_data.key, choice), lambda: simulate(choice, source))
    title = plain(set_titles(pack_data.pack).get(choice.mixed, ""))
    place.subheader(stream_finding(choice, monitored, title))
    st.caption(source_sentences(choice, source))
    panels.tests(place, monitored, CHANGE_LABEL, choice.has_change)
    panels.classes(pack_data.pack, monitored)


def show_file(stream) -> None:
    """Shows a stream file, its later rows held against its first ones."""
    choice = file_choice(stream)
    place = st.container()
    moment = moment_input(PARTING_LABEL, choice.calm_rows, len(stream.scores))
    choice = replace(choice, moment=moment)
    monitored = remembered((id(stream), choice), lambda: monitor_file(choice, stream))
    place.subheader(file_finding(plain(stream.name, 60), monitored))
    panels.tests(place, monitored, PARTING_LABEL, has_change=False)
    if choice.column:
        panels.column(stream, choice.column, monitored)


pack_data = header.show(
    "Monitor",
    "A stream of inputs in use, simulated or your own: how much of it is flagged, and when each "
    "test notices that it changed.",
)
show_file_error()
stream = stream_file()
if stream is not None:
    show_file(stream)
elif pack_data is not None:
    show_simulation(pack_data)
else:
    file_input()
