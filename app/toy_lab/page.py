"""Toy lab: train in the plane and hold the energy against the exact truth."""

from collections.abc import Sequence
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.job import Job
from app.pack import header
from app.plane.controls import toy_choice
from app.plane.own_points import OWN
from app.plane.panels import (
    follow_training,
    kl_note,
    start_button,
    training_alarm,
)
from app.plane.replay import show_replayed, snapshot_slider
from app.plane.state import (
    is_gone,
    is_shown_whole,
    toy_preview,
    training_seen,
    watch_training,
)
from app.plane.training import Snapshot
from app.toy_lab.chains_panel import chains_panel
from app.toy_lab.comparison import comparison
from app.toy_lab.controls import comparison_choice, drawn_input
from app.toy_lab.own_panel import own_choice
from app.toy_lab.panels import (
    distance_note,
    energy_panels,
    state_message,
    training_curves,
    training_result,
)

header.show(
    "Toy lab",
    "Train a detector on points in the plane and see what its energy gets right. "
    "The truth is known exactly here.",
    uses_pack=False,
)
choice = toy_choice(offers_own=True)
if choice.toy == OWN:
    choice = own_choice(choice)
with st.container(horizontal=True, vertical_alignment="bottom"):
    compared = comparison_choice(choice)
    drawn = drawn_input()
preview = toy_preview(choice.toy, choice.seed)
modes = f"{preview.modes} mode{'s' * (preview.modes > 1)}"
training_set = f"{preview.title}: {preview.size:,} training points, {modes}"
changed = f"; {choice.preset_title}: {choice.knobs.description}" if choice.knobs.text else ""


def snapshots_so_far(snapshots: Sequence[Snapshot], place: DeltaGenerator) -> None:
    """Shows the last snapshot and the curves up to it, or the truth alone.

    Args:
        place: of the maps, above the buttons.
    """
    training_alarm(snapshots)
    with place:
        energy_panels(choice, preview, snapshots[-1] if snapshots else None, drawn)
    training_curves(choice, snapshots)


@st.fragment(run_every=0.4)
def live_training(job: Job) -> None:
    """Shows a training under way; paused, it stays where this tab has paused it."""
    if is_gone(choice) or is_shown_whole(job):
        st.rerun()
    place = st.container()
    snapshots_so_far(follow_training(choice, job, choice.detector, kl_note), place)


def finished_training(job: Job) -> None:
    """Shows the result, any snapshot on the way there, and chains."""
    place = st.container()
    training_alarm(job.frames, job.result)
    training_result(choice, preview, job.result)
    snapshot = snapshot_slider(choice, job.frames, distance_note)
    record = snapshot.record if snapshot else None
    with place:
        energy_panels(choice, preview, snapshot or job.result.snapshot, drawn)
    training_curves(choice, job.frames, record.step if record else None, job.result)
    chains_panel(choice, preview, job.result)


def one_detector() -> None:
    """Shows one detector, in whatever state its training is."""
    job = watch_training(choice)
    if job is not None and not is_shown_whole(job):
        live_training(job)
    elif job is not None and job.state == "done":
        show_replayed([choice], partial(finished_training, job))
    else:
        place = st.container()
        start_button(choice)
        seen = training_seen(choice)
        state_message(choice, preview, job, seen)
        if job is not None:
            snapshots_so_far(job.frames, place)
        else:
            snapshots_so_far(seen.snapshots if seen else [], place)


if compared:
    comparison(compared, preview, drawn)
else:
    one_detector()
st.markdown(f":small[:material/scatter_plot: {training_set}{changed}]")
