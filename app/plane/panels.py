"""What both pages of the plane show of a training: start, play and pause, progress, alarms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from app.job import Job
from app.plane.state import (
    AnySnapshot,
    Trainable,
    leave_training,
    reset_training,
    start_training,
    visible_snapshots,
)
from app.plane.training import Snapshot, ToyChoice, ToyResult, kl_alarm
from app.session import job_queue, tab_id
from app.text import number_text, plain, time_text


@dataclass(frozen=True)
class PanelTitle:
    """What is written above a panel.

    Args:
        title: in bold.
        meaning: below it, small.
    """

    title: str
    meaning: str


def start_button(choice: ToyChoice) -> None:
    """Offers to train."""
    st.button(
        f"Train {choice.detector}",
        type="primary",
        icon=":material/play_arrow:",
        on_click=start_training,
        args=(choice,),
    )


def transport_buttons(choice: Trainable, job: Job) -> None:
    """Shows play, pause, step, reset and cancel for a training under way.

    They stop the work only if nobody else watches it; Cancel leaves it then.
    """
    tab = tab_id()
    is_paused = job.allowed_frames(tab) < math.inf
    with st.container(horizontal=True):
        st.button(
            "Play",
            icon=":material/play_arrow:",
            disabled=not is_paused,
            on_click=job.play,
            args=(tab,),
        )
        st.button(
            "Pause",
            icon=":material/pause:",
            disabled=is_paused,
            on_click=job.pause,
            args=(tab,),
        )
        st.button(
            "Step",
            icon=":material/skip_next:",
            on_click=job.step,
            args=(tab,),
            help="One snapshot more, then pause.",
        )
        st.button("Reset", icon=":material/restart_alt:", on_click=reset_training, args=(choice,))
        st.button(
            "Cancel",
            icon=":material/stop:",
            on_click=leave_training,
            args=(choice,),
            help="You leave the training. It ends unless somebody else watches it.",
        )


def follow_training(
    choice: Trainable, job: Job, name: str, note: Callable[[AnySnapshot], str]
) -> list[AnySnapshot]:
    """Watches a training under way, with its buttons and how far it is; returns its snapshots.

    Args:
        choice, job: what is trained, and the work.
        name: of what is trained.
        note: what is said of a snapshot, such as `KL 0.1 nats`.
    """
    job.watch(tab_id())
    snapshots = visible_snapshots(job)
    transport_buttons(choice, job)
    _training_progress(name, job, snapshots, f", {note(snapshots[-1])}" if snapshots else "")
    return snapshots


def kl_note(snapshot: Snapshot) -> str:
    """Returns how far a snapshot is from the truth; its validation loss, where that is unknown."""
    if snapshot.distance is not None:
        return f"KL {number_text(snapshot.distance.kl, 3)} nats"
    return f"validation loss {snapshot.record.val_loss:.3f}" if snapshot.record else ""


def _training_progress(name: str, job: Job, snapshots: Sequence[AnySnapshot], note: str) -> None:
    """Says how far a training is, or where in line."""
    record = snapshots[-1].record if snapshots and not job.doing else None
    share = record.step / record.steps if record else job.progress
    st.progress(share, _progress_text(name, job, len(snapshots), note))


def _progress_text(name: str, job: Job, count: int, note: str) -> str:
    duration_note = time_text(job.seconds_left, job.stage_seconds)
    doing = f"{job.doing or 'Training'} {name}: {job.progress:.0%}{note}{duration_note}"
    if job.state == "waiting":
        if job.has_begun:
            return f"{doing}, in turn with others' work"
        number = job_queue().ahead_of(job) + 1
        return f"Waiting: number {number} in line. Two jobs are under way, and this one follows."
    is_paused = job.allowed_frames(tab_id()) < math.inf
    if is_paused:
        return f"Paused after snapshot {count}{note}.{_paused_text(job)}"
    return doing


def _paused_text(job: Job) -> str:
    """Returns what goes on while this tab has paused a training."""
    if job.state != "running":
        return ""
    if job.other_watchers(tab_id()):
        return " It goes on behind this picture, for somebody else watches it too."
    return " The next snapshot is under way."


def training_alarm(snapshots: Sequence[Snapshot], result: ToyResult | None = None) -> None:
    """Raises the alarm where training goes wrong, and says why it ended before its time."""
    if result is not None and result.end_reason:
        show = st.error if result.diverged else st.info
        show(plain(result.end_reason), icon=":material/alarm:")
        return
    alarm = kl_alarm(snapshots)
    if alarm:
        st.warning(plain(alarm), icon=":material/alarm:")
