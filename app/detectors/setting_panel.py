"""A setting chosen on ID data alone: a detector, a button, the curve."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import figures
from app.detectors.setting_curve import (
    TRUST,
    SettingCurve,
    curve_figure,
    curve_finding,
    curve_work,
    tunable_detectors,
)
from app.job import Job
from app.pack.data import PackData, leave_job, start_job, watched_job
from app.pack.progress import show_cancellable, show_failure
from app.pack.shown import shown_detectors


def show(pack_data: PackData) -> None:
    """Offers to compare a detector's settings on ID data, where the pack allows it."""
    from heat_core.detectors.choosing import can_choose

    if pack_data.pack.extra.val is None or not can_choose(pack_data.pack.extra):
        return
    panel = st.expander("Choose a setting on ID data alone", on_change="rerun", key="setting-panel")
    if not panel.open:
        return
    settings = tunable_detectors(pack_data.pack, shown_detectors())
    with panel:
        if not settings:
            st.info("No detector on this page has a setting to choose.", icon=":material/info:")
            return
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.selectbox(
                "Setting of",
                list(settings),
                format_func=lambda name: f"{name}: {settings[name].name}",
                key="setting-of",
                width=260,
            )
            st.button(
                "Compare its values",
                icon=":material/tune:",
                on_click=_start,
                args=(pack_data, name),
            )
        _show_job(pack_data, name, watched_job(pack_data, _key(pack_data, name)))
        st.caption(TRUST)


def _show_job(pack_data: PackData, name: str, job: Job | None) -> None:
    """Shows a curve, or what becomes of it."""
    if job is None or show_failure(job, _start, pack_data, name):
        return
    if not job.over:
        show_cancellable(job, "Fitting with each value", partial(leave_job, job))
    elif job.state == "done":
        _show_curve(job.result)


def _show_curve(curve: SettingCurve) -> None:
    st.markdown(f"**{curve_finding(curve)}**")
    st.plotly_chart(
        curve_figure(curve),
        key="setting-curve",
        alt=f"The ID-only criterion by {curve.setting} of {curve.detector}",
        config=figures.QUIET,
    )


def _start(pack_data: PackData, name: str) -> None:
    start_job(pack_data, _key(pack_data, name), curve_work(pack_data.pack, name))


def _key(pack_data: PackData, name: str) -> str:
    return f"setting/{pack_data.key}/{name}"
