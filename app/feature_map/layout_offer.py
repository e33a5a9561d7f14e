"""A layout that is not there yet: offered, or on its way."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.job import Job
from app.pack.data import PackData, leave_job
from app.pack.layout import mapped_sets
from app.pack.layout_state import layout_job, start_layout
from app.pack.progress import show_cancellable, show_failure

MAP_HEIGHT = 480  # in pixels, while the map is on its way


def offer_layout(pack_data: PackData, method: str) -> None:
    """Shows the progress of a layout under way, or offers to make one."""
    job = layout_job(pack_data, method)
    if job is not None and not job.over:
        _show_layout_progress(method, job)
        return
    if show_failure(job, start_layout, pack_data, method):
        return
    names = mapped_sets(pack_data.pack)
    rows = sum(len(features) for name, features in pack_data.pack.sets() if name in names)
    cost = "about a minute for 20,000 points" if method == "umap" else "seconds"
    st.info(
        f"There is no map of these {rows:,} points by {method.upper()} yet. It takes {cost}.",
        icon=":material/map:",
    )
    st.button(
        f"Lay them out by {method.upper()}",
        icon=":material/map:",
        type="primary",
        on_click=start_layout,
        args=(pack_data, method),
    )


def _show_layout_progress(method: str, job: Job) -> None:
    """Shows how far a layout is, with a way to end it."""
    doing = f"Laying the points out by {method.upper()}"
    show_cancellable(job, doing, partial(leave_job, job), note=partial(_progress_note, method))
    st.skeleton(height=MAP_HEIGHT)


def _progress_note(method: str, job: Job) -> str:
    """Returns why a layout shows no progress, if it may show none."""
    if job.state == "waiting":
        return ". It waits in line for other work."
    if method == "umap":
        return ". It first looks for every point's neighbours, which shows no progress."
    return "."
