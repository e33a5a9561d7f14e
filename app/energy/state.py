"""State of the Energy page: its trainings, the margins that are set, and what was drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.components.margin_lines import Margins, released_margins
from app.energy.training import (
    SIDE,
    AuxiliaryChoice,
    ClassifierChoice,
    ClassifierResult,
    ReadingPoints,
    TuningChoice,
    auxiliary_points,
    reading_points,
    train_work,
    tune_work,
    tuning_prefix,
)
from app.job import Job
from app.plane.polygons import Polygon, parse_polygons, polygons_text
from app.plane.state import JOB_KEY, TUNING_KEY, start_job_of, toy_grid, watch_jobs_of
from app.session import job_queue, write_to_link

if TYPE_CHECKING:
    from heat_core.plane.classifier import Points

AROUND = AuxiliaryChoice("around")
AUXILIARY_COUNT = 4000
MARGINS_KEY = "margins"  # in the link, too
DRAWN_KEY = "drawn"


# -- trainings -------------------------------------------------------------------------------------


@st.cache_resource(max_entries=16, show_spinner="Drawing points …")
def points_to_read(toy: str, seed: int, auxiliary: AuxiliaryChoice) -> ReadingPoints:
    """Returns fresh ID points of a toy, and OOD points as an auxiliary set has them.

    Raises ValueError where there is no such auxiliary set.
    """
    return reading_points(toy_grid(toy, SIDE), seed, auxiliary)


@st.cache_resource(max_entries=16, show_spinner="Drawing points …")
def points_to_train_on(toy: str, seed: int, auxiliary: AuxiliaryChoice) -> Points:
    """Returns the points (M, 2) of an auxiliary set.

    Raises ValueError where there is no such set, or it lies where ID points do.
    """
    return auxiliary_points(toy_grid(toy, SIDE).toy, auxiliary, AUXILIARY_COUNT, seed)


def start_classifier(choice: ClassifierChoice) -> None:
    """Starts the training of a classifier, or joins the one there is."""
    points = points_to_read(choice.toy, choice.seed, AROUND)
    start_job_of(choice, train_work(choice, points))


def watch_classifier(choice: ClassifierChoice) -> Job | None:
    """Returns the training of a classifier, which starts if the link asks for it."""
    return watch_jobs_of([choice], start_classifier, JOB_KEY)[0]


def start_tuning(choice: TuningChoice) -> None:
    """Starts a fine-tuning, or joins the one there is; nothing where its start is gone."""
    job = job_queue().get(choice.classifier.key)
    if job is None or job.state != "done":
        return
    toy, seed = choice.classifier.toy, choice.classifier.seed
    points = points_to_read(toy, seed, choice.auxiliary)
    auxiliary = points_to_train_on(toy, seed, choice.auxiliary)
    result: ClassifierResult = job.result
    start_job_of(choice, tune_work(choice, result.classifier, auxiliary, points))


def watch_tuning(choice: TuningChoice) -> Job | None:
    """Returns a fine-tuning, which starts if the link asks for it."""
    return watch_jobs_of([choice], start_tuning, TUNING_KEY)[0]


def last_tuning(choice: ClassifierChoice) -> ClassifierResult | None:
    """Returns the fine-tuning of a classifier that the link has open; None unless it is done."""
    job = job_queue().get(st.query_params.get(TUNING_KEY, ""))
    is_of_choice = job is not None and job.key.startswith(tuning_prefix(choice))
    return job.result if job is not None and is_of_choice and job.state == "done" else None


# -- margins ---------------------------------------------------------------------------------------


def current_margins(start: str, default: Margins) -> Margins:
    """Returns the margins that somebody has set for a start; the default where there are none.

    Args:
        start: the classifier and the auxiliary set that they are for. Those of another are dropped.
    """
    state = st.session_state
    if state.get("margins_for", start) != start:
        state.pop(MARGINS_KEY, None)
        st.query_params.pop(MARGINS_KEY, None)
    state["margins_for"] = start
    if MARGINS_KEY not in state:
        state[MARGINS_KEY] = _linked_margins()
    margins = state[MARGINS_KEY]
    write_to_link(MARGINS_KEY, f"{margins[0]:g}_{margins[1]:g}" if margins else "")
    return margins or default


def set_margins(margins: Margins) -> None:
    """Sets the margins."""
    st.session_state[MARGINS_KEY] = (round(margins[0], 2), round(margins[1], 2))


def forget_margins() -> None:
    """Goes back to the default margins."""
    st.session_state[MARGINS_KEY] = None


def _linked_margins() -> Margins | None:
    try:
        return released_margins(
            [float(part) for part in st.query_params.get(MARGINS_KEY, "").split("_")]
        )
    except ValueError:
        return None


# -- what was drawn --------------------------------------------------------------------------------


def drawn_polygons() -> tuple[Polygon, ...]:
    """Returns the polygons that were drawn, in extents of the toy, and keeps them in the link."""
    state = st.session_state
    if DRAWN_KEY not in state:
        state[DRAWN_KEY] = parse_polygons(st.query_params.get(DRAWN_KEY, ""))
    write_to_link(DRAWN_KEY, polygons_text(state[DRAWN_KEY]))
    return state[DRAWN_KEY]


def set_polygons(polygons: tuple[Polygon, ...]) -> None:
    """Takes polygons for those that were drawn; drawn points become the auxiliary set."""
    st.session_state[DRAWN_KEY] = parse_polygons(polygons_text(polygons))
    st.session_state["aux"] = "drawn"


def forget_polygons() -> None:
    """Forgets what was drawn."""
    st.session_state[DRAWN_KEY] = ()
