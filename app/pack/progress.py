"""Work that a page waits for: how far it is, and why it failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import streamlit as st

from app.text import PATIENCE_SECONDS, plain, time_text


class FollowedJob(Protocol):
    """What a page follows: a job, or several seen as one."""

    @property
    def key(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def error(self) -> str: ...
    @property
    def over(self) -> bool: ...
    @property
    def progress(self) -> float: ...
    @property
    def doing(self) -> str: ...
    @property
    def stage_seconds(self) -> float: ...
    @property
    def seconds_left(self) -> float | None: ...
    @property
    def frames(self) -> Sequence[Any]: ...


AnyFollowedJob = TypeVar("AnyFollowedJob", bound=FollowedJob)


def show_failure(job: FollowedJob | None, start: Callable[..., None], *args: object) -> bool:
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
    job: AnyFollowedJob,
    doing: str,
    has_more: Callable[[AnyFollowedJob], bool] = lambda job: False,
    note: Callable[[AnyFollowedJob], str] = lambda job: "",
) -> None:
    """Shows how far a job is, what it does and how long it takes still, every second.

    It runs the page anew once that can show more.

    Args:
        job: the work; it is over at the latest when the page can show more.
        doing: what it does, such as `Fitting the detectors`.
        has_more: whether the page can show more than it does, before the job is over.
        note: what to add to the percentage, such as `. It waits in line.`
    """
    if job.over or has_more(job):
        st.rerun()
    step = f" ({job.doing})" if job.doing else ""
    duration_note = time_text(job.seconds_left, job.stage_seconds)
    st.progress(job.progress, f"{doing}: {job.progress:.0%}{step}{duration_note}{note(job)}")


def show_cancellable(
    job: AnyFollowedJob,
    doing: str,
    on_cancel: Callable[[], None],
    has_more: Callable[[AnyFollowedJob], bool] = lambda job: False,
    note: Callable[[AnyFollowedJob], str] = lambda job: "",
    help: str | None = None,
) -> None:
    """Shows how far a job is, as `show_progress` does, beside a button that cancels it.

    Args:
        job, doing, has_more, note: as of `show_progress`.
        on_cancel: called when the button is pressed.
        help: what becomes of the work then.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        show_progress(job, doing, has_more, note)
        st.button(
            "Cancel",
            key=f"cancel-{job.key}",
            icon=":material/close:",
            on_click=on_cancel,
            help=help,
        )


@contextmanager
def show_waiting() -> Iterator[None]:
    """Shows what the page itself computes in a block, and how far it is, once that takes long."""
    from heat_core.progress import progress_text, progress_to

    start = time.monotonic()
    places = []

    def show(doing: str, share: float | None) -> None:
        if not places and time.monotonic() - start < PATIENCE_SECONDS:
            return
        if not places:
            places.append(st.empty())
        places[0].progress(share or 0.0, progress_text(doing, share).capitalize())

    try:
        with progress_to(show):
            yield
    finally:
        for place in places:
            place.empty()
