"""Landscape: a trained energy taken apart, point by point and as a whole."""

import streamlit as st

from app.job import Job
from app.landscape.controls import landscape_choice
from app.landscape.panels import (
    energy_rays,
    layer_panels,
    model_facts,
    point_panel,
    truth_and_error,
)
from app.pack import header
from app.pack.progress import show_failure
from app.plane.controls import toy_choice
from app.plane.panels import (
    follow_training,
    kl_note,
    start_button,
    training_alarm,
)
from app.plane.reading import point_terms
from app.plane.state import (
    energy_layers,
    energy_reading,
    is_gone,
    start_training,
    toy_preview,
    watch_training,
)
from app.plane.training import ToyResult

header.show(
    "Landscape",
    "Take a trained energy apart: what the prior says, what the correction adds, "
    "and where the sum is right.",
    uses_pack=False,
)
choice = toy_choice()
preview = toy_preview(choice.toy, choice.seed)
training_set = f"{preview.title}: {preview.size:,} training points"
fresh_points = "threshold and percentiles from 4,000 fresh ID points"


@st.fragment(run_every=0.5)
def live_training(job: Job) -> None:
    """Shows how far a training is; the landscape comes when it is done."""
    if job.over or is_gone(choice):
        st.rerun()
    follow_training(choice, job, choice.detector, kl_note)
    empty = st.container(height=360, border=True)
    empty.caption("The landscape comes when the training is done. The Toy lab shows it live.")


@st.fragment
def finished_landscape(result: ToyResult) -> None:
    """Shows a trained energy."""
    training_alarm([], result)
    reading = energy_reading(choice, result)
    settings = landscape_choice(preview.extent)
    layers = energy_layers(choice, settings.window, result)
    terms = point_terms(result.terms, reading, choice.toy, *settings.point)
    layer_panels(layers, settings, reading)
    point_panel(terms, preview, settings.point)
    model_facts(reading)
    truth_and_error(layers["truth"], reading, result, settings)
    energy_rays(choice, result, reading, settings.point)


job = watch_training(choice)
if job is not None and job.state == "done":
    finished_landscape(job.result)
elif job is not None and not job.over:
    live_training(job)
else:
    start_button(choice)
    if not show_failure(job, start_training, choice):
        st.info(f"There is no landscape yet: press “Train {choice.detector}”, and it opens here.")
st.markdown(f":small[:material/terrain: {training_set}; {fresh_points}]")
