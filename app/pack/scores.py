"""Scores of the pack on the page, as far as they are ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.jobs import Job
from app.pack.insight import Insight, inspect_row
from app.pack.jobs import DetectorScores, score_pack

if TYPE_CHECKING:
    from heat_core.results.table import Table
    from heat_core.scores import SetScores
from app.pack.data import PackData, find_job, start_job


def scoring_job(pack_data: PackData, preset: str) -> Job:
    """Returns the job that scores the data with every detector; the first to ask starts it, for everybody.

    One that failed stays, and says why.
    """
    key = f"scores/{pack_data.key}/{preset}"
    return find_job(pack_data, key) or start_job(
        pack_data, key, score_pack(pack_data.pack, preset, pack_data.weights is not None)
    )


def ready_scores(job: Job) -> tuple[dict[str, SetScores], dict[str, str]]:
    """Returns ({detector: its scores}, {detector: why it has none}) of what is ready."""
    from heat_core.scores import SetScores

    scores, absent = {}, {}
    frames: list[DetectorScores] = list(job.frames)
    for frame in frames:
        if frame.reason:
            absent[frame.detector] = frame.reason
        else:
            scores[frame.detector] = SetScores(frame.scores)
    return scores, absent


def fit_warnings(job: Job) -> list[str]:
    """Returns what must be said of the detectors that are ready."""
    return [f"{frame.detector}: {frame.note}" for frame in job.frames if frame.note]


def heat_correction(pack_data: PackData) -> dict[str, NDArray[np.float64]]:
    """Returns {set: what HEAT's correction adds to each row (n,)}; nothing while HEAT is not ready, or where it has none."""
    found = [
        frame
        for frame in scoring_job(pack_data, "modern").frames
        if frame.detector == "HEAT" and frame.terms
    ]
    if not found:
        return {}
    column = found[0].how.names.index("correction")
    return {name: values[:, column] for name, values in found[0].terms.items()}


def results_table(
    pack_data: PackData, scores: Mapping[str, Mapping[str, NDArray[np.float64]]]
) -> Table:
    """Returns the paper's table of the detectors that are ready."""
    from heat_core.results.table import tabulate

    names = tuple(scores)
    if names not in pack_data.tables:
        pack_data.tables[names] = tabulate(scores, pack_data.pack.ood)
    return pack_data.tables[names]


def row_insight(pack_data: PackData, place: tuple[str, int], cuts: Mapping[str, float]) -> Insight:
    """Returns what is known so far of a row: (name of its set, row).

    Args:
        cuts: {detector: threshold}, of every detector that is ready.
    """
    frames = [
        frame
        for frame in scoring_job(pack_data, "modern").frames
        if frame.reason or frame.detector in cuts
    ]
    return inspect_row(pack_data.pack, pack_data.classes, frames, place, cuts)


def current_share_to_keep() -> float:
    """Returns the share of ID that thresholds keep in this tab, where no page says otherwise."""
    return float(st.session_state.get("keep") or 95.0) / 100
