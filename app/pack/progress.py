"""Background work on a page: how far it is, and why it failed."""

from __future__ import annotations

from collections.abc import Callable, Collection

import streamlit as st

from app.jobs import Job
from app.text import plain


def show_failure(job: Job | None, start: Callable[..., None], *args: object) -> bool:
    """Shows why a job failed, with a button to try again; returns whether it did.

    Args:
        job: the work.
        start: what starts it anew, called with `args`.
    """
    if job is None or job.state != "failed":
        return False
    st.error(plain(job.error), icon=":material/error:")
    st.button(
        "Try again",
        key=f"try-again-{job.key}",
        icon=":material/refresh:",
        on_click=start,
        args=args,
    )
    return True


@st.fragment(run_every=1.0)
def show_progress(
    job: Job,
    doing: str,
    wanted: Collection[str] = (),
    note: Callable[[Job], str] = lambda job: "",
) -> None:
    """Shows how far a job is and what it does, every second.

    It runs the page anew once that can show more.

    Args:
        job: the work; it is over at the latest when the page can show more.
        doing: what it does, such as `Fitting the detectors`.
        wanted: detectors; the page can show more when one is ready, or cannot be made ready.
        note: what to add to the percentage, such as `. It waits in line.`
    """
    if job.over or any(frame.detector in wanted for frame in job.frames):
        st.rerun()
    step = f" ({job.doing})" if job.doing else ""
    st.progress(job.progress, f"{doing}: {job.progress:.0%}{step}{note(job)}")
