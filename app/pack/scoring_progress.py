"""Scores that are on their way: how far they are, a way to stop, and why they ended early."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

from app.job import Job
from app.pack.data import PackData
from app.pack.progress import show_failure, show_progress
from app.pack.scores import (
    ScoringJobs,
    go_on_scoring,
    is_scoring_stopped,
    score_again,
    stop_scoring,
    watch_scoring,
)


def show_scoring(job: Job | ScoringJobs, doing: str, wanted: Collection[str]) -> None:
    """Shows how far scoring is, with a button to stop it.

    Args:
        job: that is not over.
        doing: what it does, such as `Fitting the detectors`.
        wanted: detectors; the page can show more when one is ready, or cannot be made ready.
    """
    watch_scoring(job)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        show_progress(job, doing, lambda job: any(own.detector in wanted for own in job.frames))
        st.button(
            "Stop",
            key="stop-scoring",
            icon=":material/stop:",
            on_click=stop_scoring,
            args=(job,),
            help="What is ready stays, and you can go on later. The work goes on for other tabs "
            "that wait for it.",
        )


def show_early_end(pack_data: PackData, job: Job | ScoringJobs) -> None:
    """Says that scoring failed or was stopped, if so, with a button to go on."""
    show_failure(job, score_again, pack_data)
    if not is_scoring_stopped(job):
        return
    count = len(job.frames)
    st.info(
        f"You stopped fitting the detectors: {count} {'is' if count == 1 else 'are'} ready.",
        icon=":material/stop_circle:",
    )
    st.button(
        "Go on",
        key="go-on-scoring",
        icon=":material/play_arrow:",
        on_click=go_on_scoring,
        args=(pack_data,),
    )
