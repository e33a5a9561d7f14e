"""What the background jobs on a pack do: score it with every detector, lay it out. No Streamlit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.job import Job, Work
from app.pack.layout import Layout, layout_of

if TYPE_CHECKING:
    from heat_core.detectors.detector import Detector
    from heat_core.diagnostics import Diagnosis
    from heat_core.energies import Energy
    from heat_core.explain import ScoreTerms
    from heat_core.pack import Pack
    from heat_core.results.bootstrap import Bootstrap
    from heat_core.run import Run
    from heat_core.training.trainer import OnRecord, Record

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DetectorScores:
    """A detector's scores on a pack, or the reason why there are none.

    Args:
        detector: its name.
        scores: {set: (n,)}.
        missing_reason: why there are no scores: the pack does not allow them, or fitting failed.
        warning: what must be said of the fitted detector, if anything.
        left_out: what it goes without, since the pack lacks it, in a sentence; mostly nothing.
        run: the fitted detector, where that is wanted.
        terms: what its score is put together from.
        term_values: {set: (n, terms)}, what each term adds; nothing where there is one term, which
            is the score.
        part_values: {set: (n, parts)}, what each part of the prior adds, where it has several.
        chosen: {setting: value} of what was left open, and found at fit.
        pseudo_scores: {set: (n,)} of the pseudo-OOD families, destroyed held-out images where
            there are some and else training images.
        diagnosis: whether a learned energy can be trusted; None for a closed form.
    """

    detector: str
    scores: Mapping[str, Array]
    missing_reason: str = ""
    warning: str = ""
    left_out: str = ""
    run: Run | None = None
    terms: ScoreTerms | None = None
    term_values: Mapping[str, Array] = field(default_factory=dict)
    part_values: Mapping[str, Array] = field(default_factory=dict)
    chosen: Mapping[str, float] = field(default_factory=dict)
    pseudo_scores: Mapping[str, Array] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None


OnScored = Callable[[DetectorScores], None]


def ignore(scores: DetectorScores) -> None:
    """Does nothing with scores."""


def scoring_work(
    pack: Pack,
    preset: str,
    keep_runs: bool = False,
    names: Sequence[str] = (),
    known: dict[str, DetectorScores] | None = None,
    seed: int = 0,
    on_scored: OnScored = ignore,
    reported: Collection[str] = (),
) -> Work:
    """Returns the work of scoring a pack with detectors of a preset, quick ones first.

    It reports a `DetectorScores` for each; its result is the `Bootstrap` of those that have scores,
    or None without any, and without an OOD set. A detector that the pack does not allow, or that
    fails on it, says why and leaves the others alone.

    Args:
        keep_runs: whether to keep the fitted detectors, to score more with.
        names: of the detectors; all if there is none.
        known: {detector: its scores} that need not be computed again; what is new is added.
        on_scored: called with each that is ready.
        reported: the names of those that are known and that the job has from its beginning.
    """
    known = {} if known is None else known

    def work(job: Job) -> Bootstrap | None:
        from heat_core.detectors.presets import DETECTORS, supported_detectors
        from heat_core.detectors.shared_learning import learn_once
        from heat_core.progress import progress_to
        from heat_core.results.bootstrap import bootstrap

        wanted = tuple(names or DETECTORS)
        detectors, unsupported_reasons = supported_detectors(pack, preset, wanted)
        count = len(wanted)
        with learn_once():
            for i, name in enumerate(wanted):
                job.report(i / count)
                if name in unsupported_reasons and name not in reported:
                    known[name] = DetectorScores(name, {}, unsupported_reasons[name])
                elif name not in known:
                    on_record = _progress_of_fit(job, i, count)
                    with progress_to(partial(_say_step, job, name)):
                        known[name] = _score_detector(
                            name, detectors[name], pack, seed, on_record, keep_runs
                        )
                if name in reported:
                    continue
                on_scored(known[name])
                job.report((i + 1) / count, known[name])
        scores_by_detector = {
            name: known[name].scores for name in wanted if not known[name].missing_reason
        }
        if not scores_by_detector or not pack.ood:
            return None
        with progress_to(partial(_say_step, job, "Intervals")):
            return bootstrap(scores_by_detector, pack.averaged)

    return work


@dataclass(frozen=True)
class RunChoice:
    """A detector as it is fitted once.

    Args:
        detector: its name.
        preset: of its settings.
        seed: of whatever is random in fitting.
    """

    detector: str
    preset: str = "modern"
    seed: int = 0


@dataclass(frozen=True)
class RunScores:
    """The scores of a run, under the title that tells it from the runs it is compared with."""

    title: str
    scores: DetectorScores


def runs_work(
    pack: Pack,
    runs: Mapping[str, RunChoice],
    known: dict[RunChoice, DetectorScores],
    on_scored: Callable[[RunChoice, DetectorScores], None] = lambda run, scores: None,
) -> Work:
    """Returns the work of fitting and scoring runs; it reports a `RunScores` for each.

    Args:
        runs: {title: run}.
        known: {run: its scores} that need not be computed again; what is new is added.
        on_scored: called with each that is new.
    """

    def work(job: Job) -> None:
        from heat_core.progress import progress_to

        for i, (title, run) in enumerate(runs.items()):
            job.report(i / len(runs))
            if run not in known:
                on_record = _progress_of_fit(job, i, len(runs))
                with progress_to(partial(_say_step, job, title)):
                    known[run] = _score_run(pack, run, on_record)
                on_scored(run, known[run])
            job.report((i + 1) / len(runs), RunScores(title, known[run]))

    return work


def _score_run(pack: Pack, run: RunChoice, on_record: OnRecord) -> DetectorScores:
    """Returns the scores of a run, or why the pack does not allow it."""
    from heat_core.detectors.presets import domain_of, preset_detector

    detector = preset_detector(run.detector, run.preset, domain_of(pack.extra))
    reason = detector.unsupported_features(pack.train)
    if reason:
        return DetectorScores(run.detector, {}, reason)
    return _score_detector(run.detector, detector, pack, run.seed, on_record, keep_run=False)


def _say_step(job: Job, name: str, doing: str, share: float | None) -> None:
    """Reports what is being done for a detector, or all of them, and how far that is."""
    from heat_core.progress import progress_text

    job.report(job.progress, doing=f"{name}: {progress_text(doing, share)}")


def _progress_of_fit(job: Job, i: int, count: int) -> OnRecord:
    """Returns what reports the progress of fitting the i-th of `count` detectors."""

    def on_record(record: Record, energy: Energy) -> None:
        job.report(i / count + record.step / record.steps / count)

    return on_record


def _score_detector(
    name: str, detector: Detector, pack: Pack, seed: int, on_record: OnRecord, keep_run: bool
) -> DetectorScores:
    """Returns a detector's scores on a pack, and what its terms add to them."""
    from heat_core import explain
    from heat_core.run import fit
    from heat_core.scores import score_pack

    try:
        run = fit(detector, pack.train, seed, on_record=on_record, extra=pack.extra)
        scores = score_pack(pack, run.score)
    except (ValueError, ArithmeticError) as error:
        return DetectorScores(name, {}, f"{name} failed on these features: {error}")
    terms = explain.ScoreTerms.of(run)
    term_values, part_values = {}, {}
    if len(terms.names) > 1:
        term_values = score_pack(pack, partial(explain.term_values, run))
    if len(terms.prior_parts) > 1:
        part_values = score_pack(pack, partial(explain.prior_part_values, run))
    return DetectorScores(
        name,
        scores,
        warning=run.warning,
        run=run if keep_run else None,
        terms=terms,
        term_values=term_values,
        part_values=part_values,
        left_out=run.left_out,
        chosen=run.chosen_settings,
        pseudo_scores=_pseudo_scores(run, pack),
        diagnosis=run.diagnosis,
    )


def _pseudo_scores(run: Run, pack: Pack) -> dict[str, Array]:
    """Returns {set: (n,) scores} of the pseudo-OOD families that have what the detector reads."""
    scores = {}
    for name, features in pack.extra.destroyed().items():
        try:
            scores[name] = run.score(features)
        except (ValueError, ArithmeticError):
            continue
    return scores


def layout_work(pack: Pack, method: str) -> Work:
    """Returns the work of laying a pack out on a map; its result is a `Layout`."""

    def work(job: Job) -> Layout:
        from heat_core.projection import lay_out

        job.report(0.0)
        layout = layout_of(lay_out(pack, method, on_progress=job.report))
        assert layout is not None
        return layout

    return work
