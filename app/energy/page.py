"""Energy: softmax against energy on a classifier of a toy, and fine-tuning of the energy."""

from functools import partial

import streamlit as st

from app.energy.controls import classifier_choice, wants_tuned
from app.energy.panels import (
    decomposition,
    density_panels,
    facts,
    finding,
    landscapes,
    temperature_panel,
    training_course,
)
from app.energy.state import last_tuning, start_classifier, watch_classifier
from app.energy.training import ClassifierResult, accuracy_note
from app.energy.tuning_panel import tuning_section
from app.job import Job
from app.pack import header
from app.pack.progress import show_failure
from app.plane.panels import follow_training
from app.plane.replay import show_replayed, snapshot_slider
from app.plane.state import is_gone, is_shown_whole, toy_preview

header.show(
    "Energy",
    "A classifier's softmax and its energy, where the exact density is known: which of them "
    "notices what is out of distribution.",
    uses_pack=False,
)
choice = classifier_choice()
preview = toy_preview(choice.toy, choice.seed)
classes = f"{preview.modes} class{'es' * (preview.modes > 1)}"
training_set = f"{preview.title}: {preview.size:,} training points, {classes}"


def show_training_set() -> None:
    """Says what the classifier is trained on."""
    st.markdown(f":small[:material/scatter_plot: {training_set}]")


@st.fragment(run_every=0.5)
def live_training(job: Job) -> None:
    """Shows a training under way; paused, it stays where this tab has paused it."""
    if is_gone(choice) or is_shown_whole(job):
        st.rerun()
    place = st.container()
    snapshots = follow_training(choice, job, "the classifier", accuracy_note)
    if snapshots:
        with place:
            landscapes(snapshots[-1], preview, "classifier")
    show_training_set()


def finished_training(job: Job) -> None:
    """Shows a trained classifier, and any snapshot on the way there."""
    result: ClassifierResult = job.result
    st.subheader(finding(result))
    place = st.container()
    snapshot = snapshot_slider(choice, job.frames, accuracy_note)
    with place:
        landscapes(snapshot or result.snapshot, preview, "classifier")
    facts(result)
    show_training_set()
    with st.expander("Accuracy by step"):
        training_course(job.frames, snapshot.record.step if snapshot else None)


def trained_classifier(job: Job) -> None:
    """Shows a trained classifier from all sides."""
    show_replayed([choice], partial(finished_training, job))
    tuned = last_tuning(choice)
    shown = tuned if tuned is not None and wants_tuned() else job.result
    temperature_panel(shown)
    decomposition(shown.snapshot, preview)
    density_panels(shown, choice.toy)
    tuning_section(choice, job.result, preview)


if preview.modes < 2:
    st.error(f"{preview.title} has 1 class, so there is nothing to classify: choose another toy.")
    st.stop()
job = watch_classifier(choice)
if job is not None and not is_shown_whole(job):
    live_training(job)
elif job is not None and job.state == "done":
    trained_classifier(job)
else:
    show_training_set()
    if not show_failure(job, start_classifier, choice):
        st.info("Nothing is trained yet on these settings: press “Train the classifier”.")
    st.button(
        "Train the classifier",
        type="primary",
        icon=":material/play_arrow:",
        on_click=start_classifier,
        args=(choice,),
    )
