"""Scores of the pack on the page, as far as they are ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.incoming import number_within
from app.job import Job
from app.pack.data import PackData, find_job, start_job
from app.pack.insight import Insight, inspect_row
from app.pack.items import PackRow
from app.pack.own_data import result_keeper
from app.pack.shown import added_detectors, first_detectors, place_of
from app.pack.work import DetectorScores, ignore, scoring_work
from app.session import SHARE_TO_KEEP_KEY, tab_id

if TYPE_CHECKING:
    from app.pack.kept_results import ResultKeeper
    from heat_core.results.bootstrap import Bootstrap
    from heat_core.results.table import Table
    from heat_core.run import Run
    from heat_core.scores import SetScores

Array = NDArray[np.float64]
ScoresByDetector = Mapping[str, "SetScores"]
"""{detector: its scores}."""


@dataclass(frozen=True, eq=False)
class ScoringJobs:
    """Two jobs that score the data, seen as one: with the first detectors, and with added ones.

    Args:
        first: with the detectors that everybody sees; it is everybody's.
        added: with those that this tab has added.
    """

    first: Job
    added: Job

    @property
    def _jobs(self) -> tuple[Job, Job]:
        return self.first, self.added

    @property
    def _failed(self) -> Job | None:
        return next((job for job in self._jobs if job.state == "failed"), None)

    @property
    def key(self) -> str:
        return self.added.key

    @property
    def state(self) -> str:
        """`failed` if one of them has; else that of the first, or of the other once it is over."""
        if self._failed is not None:
            return "failed"
        return self.first.state if not self.first.over else self.added.state

    @property
    def error(self) -> str:
        return "" if self._failed is None else self._failed.error

    @property
    def over(self) -> bool:
        return all(job.over for job in self._jobs)

    @property
    def progress(self) -> float:
        return self._under_way.progress

    @property
    def doing(self) -> str:
        return self._under_way.doing

    @property
    def _under_way(self) -> Job:
        """The one that is not over; of both, the first."""
        return self.added if self.first.over else self.first

    @property
    def stage_seconds(self) -> float:
        return self._under_way.stage_seconds

    @property
    def seconds_left(self) -> float | None:
        """Of the one that is under way: the other may follow."""
        return self._under_way.seconds_left

    @property
    def frames(self) -> list[DetectorScores]:
        """What is ready, approach by approach."""
        frames = [frame for job in self._jobs for frame in list(job.frames)]
        return sorted(frames, key=lambda frame: place_of(frame.detector))

    @property
    def result(self) -> Bootstrap | None:
        """The bootstrap of all detectors that have scores, once both jobs are over; else None."""
        results: list[Bootstrap] = [job.result for job in self._jobs if job.result is not None]
        if not self.over or not results:
            return None
        return results[0] if len(results) == 1 else results[0].joined(results[1])


def ensure_scoring_job(pack_data: PackData, preset: str = "modern") -> Job | ScoringJobs:
    """Returns what scores the data with the detectors that this tab shows.

    Those that everybody sees are fitted for everybody, by the first to ask; others where they were
    added, and once. What failed stays until `score_again`, and says why; what was refused is asked
    for anew.
    """
    first = _job_for(pack_data, preset, ())
    added = added_detectors()
    return ScoringJobs(first, _job_for(pack_data, preset, added)) if added else first


def score_again(pack_data: PackData, preset: str = "modern") -> None:
    """Starts scoring the data anew where that has failed."""
    for names in ((), added_detectors()):
        job = find_job(pack_data, _scoring_key(pack_data, preset, names))
        if job is None or job.state == "failed":
            _start_scoring(pack_data, preset, names)


def stop_scoring(job: Job | ScoringJobs) -> None:
    """Stops waiting for scores, and the work unless other tabs wait for it.

    What is ready stays. It is not begun anew before `go_on_scoring`.
    """
    for each in _single_jobs(job):
        if not each.over:
            each.leave(tab_id())
            stopped = Job(each.key, lambda job: None)
            stopped.frames = list(each.frames)
            stopped.cancel()
            _stopped_jobs()[each.key] = stopped


def is_scoring_stopped(job: Job | ScoringJobs) -> bool:
    """Returns whether this tab has stopped waiting for scores."""
    return any(each.key in _stopped_jobs() for each in _single_jobs(job))


def go_on_scoring(pack_data: PackData, preset: str = "modern") -> None:
    """Goes on where `stop_scoring` has stopped, or joins whoever has not."""
    for names in ((), added_detectors()):
        stopped = _stopped_jobs().pop(_scoring_key(pack_data, preset, names), None)
        if stopped is not None:
            _start_scoring(pack_data, preset, names, stopped.frames)


def watch_scoring(job: Job | ScoringJobs) -> None:
    """Counts this tab among those that wait for scores."""
    for each in _single_jobs(job):
        each.watch(tab_id())


def _single_jobs(job: Job | ScoringJobs) -> tuple[Job, ...]:
    return (job.first, job.added) if isinstance(job, ScoringJobs) else (job,)


def _stopped_jobs() -> dict[str, Job]:
    """Returns {key: what stands for a job that this tab has stopped}, with what was ready."""
    return st.session_state.setdefault("stopped_scoring", {})


def _job_for(pack_data: PackData, preset: str, added: tuple[str, ...]) -> Job:
    """Returns the job that scores the data with added detectors; without any, with the first.

    What it has scored is kept with own data that is kept.
    """
    key = _scoring_key(pack_data, preset, added)
    if key in _stopped_jobs():
        return _stopped_jobs()[key]
    job = find_job(pack_data, key)
    if job is None or job.was_refused or job.was_cancelled:
        job = _start_scoring(pack_data, preset, added)
    keeper = result_keeper()
    if keeper is not None:
        keeper.keep(preset, list(job.frames))  # of before it was kept; later ones the job keeps
    return job


def _start_scoring(
    pack_data: PackData,
    preset: str,
    added: tuple[str, ...],
    ready: Sequence[DetectorScores] = (),
) -> Job:
    keep_runs = pack_data.weights is not None
    known = pack_data.added_scores if added else {}
    known.update({detector_scores.detector: detector_scores for detector_scores in ready})
    names = added or first_detectors()
    keeper = result_keeper()
    kept = {} if keeper is None else keeper.known(preset)
    kept = {name: kept[name] for name in names if name in kept}
    known.update(kept)
    work = scoring_work(
        pack_data.pack,
        preset,
        keep_runs,
        names,
        known,
        on_scored=ignore if keeper is None else partial(_keep_score, keeper, preset),
        reported=kept,
    )
    key = _scoring_key(pack_data, preset, added)
    job = start_job(pack_data, key, work, for_everybody=not added)
    there = {scores.detector for scores in list(job.frames)}
    job.frames.extend(scores for name, scores in kept.items() if name not in there)
    return job


def _keep_score(keeper: ResultKeeper, preset: str, scores: DetectorScores) -> None:
    keeper.keep(preset, [scores])


def _scoring_key(pack_data: PackData, preset: str, added: tuple[str, ...]) -> str:
    return "/".join(("scores", pack_data.key, preset, *added))


def ready_scores(job: Job | ScoringJobs) -> tuple[dict[str, SetScores], dict[str, str]]:
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


def ready_pseudo_scores(job: Job | ScoringJobs, detector: str) -> Mapping[str, Array]:
    """Returns {set: (n,) scores} of the pseudo-OOD families by a detector, once it is ready."""
    for detector_scores in _ready(job):
        if detector_scores.detector == detector:
            return detector_scores.pseudo_scores
    return {}


def fit_warnings(job: Job | ScoringJobs) -> list[str]:
    """Returns what must be said of the detectors that are ready."""
    return [
        f"{detector_scores.detector}: {detector_scores.warning}"
        for detector_scores in _ready(job)
        if detector_scores.warning
    ]


def chosen_sentence(pack_data: PackData, job: Job | ScoringJobs) -> str:
    """Returns which values settings have that were left open, in a sentence; or nothing."""
    from heat_core.detectors.choosing import choice_sentence

    settings = [
        f"{detector_scores.detector} {setting} {value:.3g}"
        for detector_scores in _ready(job)
        for setting, value in detector_scores.chosen.items()
    ]
    return choice_sentence(settings, pack_data.pack.extra)


def _ready(job: Job | ScoringJobs) -> list[DetectorScores]:
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


def left_out_sentences(job: Job | ScoringJobs) -> list[str]:
    """Returns what the detectors that are ready go without, since the pack lacks it."""
    sentences = (detector_scores.left_out for detector_scores in _ready(job))
    return list(dict.fromkeys(filter(None, sentences)))


def results_table(pack_data: PackData, scores_by_detector: ScoresByDetector) -> Table:
    """Returns the paper's table of the detectors that are ready."""
    from heat_core.results.table import tabulate

    names = tuple(scores_by_detector)
    if names not in pack_data.tables:
        pack_data.tables[names] = tabulate(
            scores_by_detector, pack_data.pack.ood, pack_data.pack.averaged
        )
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


def fitted_run(pack_data: PackData, detector: str) -> Run | None:
    """Returns a detector as it was fitted to the data, where that was kept."""
    ready = {scores.detector: scores for scores in _ready(ensure_scoring_job(pack_data))}
    return ready[detector].run if detector in ready else None


def current_share_to_keep() -> float:
    """Returns the share of ID that thresholds keep in this tab, where no page says otherwise."""
    percent = number_within(st.session_state.get(SHARE_TO_KEEP_KEY), 50.0, 99.9)
    return 0.95 if percent is None else percent / 100
