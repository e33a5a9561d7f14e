"""Toy lab: train in the plane and hold the energy against the exact truth."""

import streamlit as st

from app.pack import header
from app.plane.controls import paper_figures, toy_choice
from app.plane.state import (
    find_training,
    find_trainings,
    is_hidden,
    stopped_training,
    toy_preview,
    visible_snapshots,
)
from app.session import tab_id
from app.text import plain
from app.toy_lab import panels as lab

header.show(
    "Toy lab",
    "Train a detector on points in the plane and see what its energy gets right. The truth is known exactly here.",
    real=False,
)
choice = toy_choice()
compare = paper_figures()
picture = toy_preview(choice.toy, choice.seed)
modes = f"{picture.modes} mode{'s' * (picture.modes > 1)}"
st.markdown(
    f":small[:material/scatter_plot: {picture.title}: {picture.size:,} training points, {modes}]"
)


@st.fragment(run_every=0.4)
def live(job) -> None:
    """Shows a training under way. Paused, it stays where this tab paused it, even if it goes on for somebody else."""
    frames = visible_snapshots(job)
    if is_hidden(choice) or (job.over and len(frames) == len(job.frames)):
        st.rerun()
    job.watch(tab_id())
    lab.transport(choice, job)
    lab.progress(choice, job, frames)
    lab.so_far(choice, picture, frames)


def finished(job) -> None:
    """Shows what came out, any snapshot on the way there, and chains."""
    playing = st.session_state.get("replaying", False)
    if is_hidden(choice):
        st.rerun()
    lab.warn(job.frames, job.result)
    lab.finding(choice, job.result)
    frame = lab.scrubber(choice, job.frames)
    if st.session_state.get("replaying", False) != playing:
        st.rerun()
    lab.panels(choice, picture, (frame or job.result.frame).layers)
    lab.curves(choice, job.frames, frame.record.step if frame and frame.record else None)
    lab.chains(choice, picture, job.result)


def alone() -> None:
    """Shows one detector, in whatever state its training is."""
    job, left = find_training(choice), stopped_training(choice)
    if job is not None and job.state == "done" and len(visible_snapshots(job)) == len(job.frames):
        st.fragment(finished, run_every=0.5 if st.session_state.get("replaying") else None)(job)
        return
    if job is not None and not (job.over and len(visible_snapshots(job)) == len(job.frames)):
        live(job)
        return
    lab.start(choice)
    if job is not None and job.state == "failed":
        st.error(plain(job.error), icon=":material/error:")
    elif job is not None or left is not None:
        goes_on = (
            f" It goes on for {left.others} more who watch{'es' * (left.others == 1)}."
            if left and left.others
            else ""
        )
        st.warning(
            f"Training was cancelled.{goes_on} This is how far it came; press the button to start again."
        )
    else:
        st.info(
            f"Nothing is trained yet on these settings. The truth is below; press “Train {choice.detector}” to see the model."
        )
    lab.so_far(choice, picture, job.frames if job else left.frames if left else [])


def side_by_side() -> None:
    """Shows three detectors at once."""
    choices = lab.compared(choice)
    jobs = dict(zip(choices, find_trainings(list(choices.values())), strict=True))
    lab.start_all(choices, jobs)
    under_way = any(job is not None and not job.over for job in jobs.values())

    def show() -> None:
        if under_way and all(job is None or job.over for job in jobs.values()):
            st.rerun()
        lab.comparison(choice, picture, jobs)

    st.fragment(show, run_every=0.5 if under_way else None)()


if compare:
    side_by_side()
else:
    alone()
