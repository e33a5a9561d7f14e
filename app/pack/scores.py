"""Scores of the pack on the page, as far as they are ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.incoming import number_within
from app.job import Job
from app.pack.data import PackData, find_job, start_job
from app.pack.insight import Insight, inspect_row
from app.pack.items import PackRow
from app.pack.jobs import DetectorScores, scoring_work
from app.session import SHARE_TO_KEEP_KEY

if TYPE_CHECKING:
    from heat_core.results.table import Table
    from heat_core.scores import SetScores

Array = NDArray[np.float64]
ScoresByDetector = Mapping[str, "SetScores"]
"""{detector: its scores}."""


def ensure_scoring_job(pack_data: PackData, preset: str = "modern") -> Job:
    """Returns the job that scores the data with every detector.

    The first to ask starts it, for everybody. One that failed stays until `score_again`, and says
    why; one that was refused is asked for anew.
    """
    job = find_job(pack_data, _scoring_key(pack_data, preset))
    if job is not None and not job.was_refused:
        return job
    return _start_scoring(pack_data, preset)


def score_again(pack_data: PackData, preset: str = "modern") -> None:
    """Starts scoring the data anew if that has failed."""
    _start_scoring(pack_data, preset)


def _start_scoring(pack_data: PackData, preset: str) -> Job:
    keep_runs = pack_data.weights is not None
    work = scoring_work(pack_data.pack, preset, keep_runs)
    return start_job(pack_data, _scoring_key(pack_data, preset), work)


def _scoring_key(pack_data: PackData, preset: str) -> str:
    return f"scores/{pack_data.key}/{preset}"


def ready_scores(job: Job) -> tuple[dict[str, SetScores], dict[str, str]]:
    """Returns ({detector: its scores}, {detector: why it has none}) of what is ready."""
    from heat_core.scores import SetScores

    scores_by_detector = {}
    missing_reasons = {}
    for detector_scores in _ready(job):
        if detector_scores.missing_reason:
            missing_reasons[detector_scores.detector] = detector_scores.missing_reason
        else:
            scores_by_detector[detector_scores.detector] = SetScores(detector_scores.scores)
    return scores_by_detector, missing_reasons


def fit_warnings(job: Job) -> list[str]:
    """Returns what must be said of the detectors that are ready."""
    return [
        f"{detector_scores.detector}: {detector_scores.warning}"
        for detector_scores in _ready(job)
        if detector_scores.warning
    ]


def _ready(job: Job) -> list[DetectorScores]:
    return list(job.frames)


def heat_correction(pack_data: PackData, detector: str = "HEAT") -> dict[str, Array]:
    """Returns {set: what the correction of HEAT, or of HEAT-GMM ..., adds to each row (n,)}.

    Nothing while it is not ready, or where it has no correction.
    """
    return _values_of_term(pack_data, detector, "correction")


def heat_prior(pack_data: PackData) -> dict[str, Array]:
    """Returns {set: what HEAT's prior by itself says of each row (n,)}.

    Nothing while HEAT is not ready, or where it has no prior.
    """
    return _values_of_term(pack_data, "HEAT", "prior")


def _values_of_term(pack_data: PackData, detector: str, term: str) -> dict[str, Array]:
    for detector_scores in _ready(ensure_scoring_job(pack_data)):
        terms = detector_scores.terms
        if (
            detector_scores.detector == detector
            and terms is not None
            and term in terms.names
            and detector_scores.term_values
        ):
            column = terms.names.index(term)
            return {name: values[:, column] for name, values in detector_scores.term_values.items()}
    return {}


def left_out_sentences(job: Job) -> list[str]:
    """Returns what the detectors that are ready go without, since the pack lacks it."""
    sentences = (detector_scores.left_out for detector_scores in _ready(job))
    return list(dict.fromkeys(filter(None, sentences)))


def results_table(pack_data: PackData, scores_by_detector: ScoresByDetector) -> Table:
    """Returns the paper's table of the detectors that are ready."""
    from heat_core.results.table import tabulate

    names = tuple(scores_by_detector)
    if names not in pack_data.tables:
        pack_data.tables[names] = tabulate(scores_by_detector, pack_data.pack.ood)
    return pack_data.tables[names]


def row_insight(pack_data: PackData, pack_row: PackRow, thresholds: Mapping[str, float]) -> Insight:
    """Returns what is known so far of a row.

    Args:
        pack_row: (set, row).
        thresholds: {detector: threshold}, of every detector that is ready.
    """
    all_detector_scores = [
        detector_scores
        for detector_scores in _ready(ensure_scoring_job(pack_data))
        if detector_scores.missing_reason or detector_scores.detector in thresholds
    ]
    return inspect_row(
        pack_data.pack, pack_data.class_mahalanobis, all_detector_scores, pack_row, thresholds
    )


def current_share_to_keep() -> float:
    """Returns the share of ID that thresholds keep in this tab, where no page says otherwise."""
    percent = number_within(st.session_state.get(SHARE_TO_KEEP_KEY), 50.0, 99.9)
    return 0.95 if percent is None else percent / 100
