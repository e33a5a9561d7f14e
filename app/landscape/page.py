"""Landscape: a trained energy taken apart, point by point and as a whole."""

import streamlit as st

from app.landscape import panels as relief
from app.pack import header
from app.plane.controls import landscape_view, toy_choice
from app.plane.state import (
    energy_layers,
    energy_reading,
    find_training,
    is_hidden,
    spell_point,
    toy_preview,
    visible_snapshots,
)
from app.session import tab_id
from app.text import plain
from app.toy_lab import panels as lab

header.show(
    "Landscape",
    "Take a trained energy apart: what the prior says, what the correction adds, and where the sum is right.",
    real=False,
)
choice = toy_choice()
picture = toy_preview(choice.toy, choice.seed)
known = "threshold and ranks from 4,000 fresh ID points"
st.markdown(
    f":small[:material/terrain: {picture.title}: {picture.size:,} training points; {known}]"
)


@st.fragment(run_every=0.5)
def under_way(job) -> None:
    """Shows how far a training is; the room opens when it is there."""
    if job.over or is_hidden(choice):
        st.rerun()
    job.watch(tab_id())
    lab.transport(choice, job)
    lab.progress(choice, job, visible_snapshots(job))
    st.container(height=360, border=True).caption(
        "The landscape comes when the training is done. The Toy lab shows it live."
    )


def show(result) -> None:
    """Shows the room."""
    lab.warn([], result)
    reading = energy_reading(choice, result)
    drawn, limit, window, point = landscape_view(picture.extent)
    layers = energy_layers(choice, window, result)
    relief.panels(layers, drawn, limit, window, point, reading.threshold)
    relief.spelled(spell_point(choice, point, result, reading), picture, point)
    relief.facts(reading)
    relief.truth(layers, reading, result, window, limit, point)
    relief.away(choice, result, reading, point)


job = find_training(choice)
if job is not None and job.state == "done":
    st.fragment(show)(job.result)
elif job is not None and not job.over:
    under_way(job)
else:
    lab.start(choice)
    if job is not None and job.state == "failed":
        st.error(plain(job.error), icon=":material/error:")
    else:
        st.info(f"There is no landscape yet: press “Train {choice.detector}”, and it opens here.")
