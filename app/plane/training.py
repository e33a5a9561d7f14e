"""Background trainings in the plane: snapshots on the way, early stopping, alarms. No Streamlit."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.job import Job, Work
from app.plane.knobs import Knobs, knob_values, with_knobs
from app.text import number_text

if TYPE_CHECKING:
    from torch import Tensor

    from heat_core.detectors.detector import Detector
    from heat_core.diagnostics import Diagnosis
    from heat_core.energies import Energy
    from heat_core.features import Features
    from heat_core.plane.grid import Distance, Grid
    from heat_core.training.trainer import Record

COARSE_SIDE = 200  # points a side of the grid that snapshots are measured on
FINE_SIDE = 300  # and of the one that a result is measured on
DRAW_EVERY = 2  # points of the coarse grid: every second one is drawn
MAX_SNAPSHOTS = 60  # of a training; of a longer history every n-th is kept
PATIENCE = 5  # snapshots without progress after which KL has stopped falling
MIN_FALL = 0.02  # the share by which KL must come down to count as progress
DRAWN_NEGATIVES = 200  # of a snapshot
ALARM_RISE = 2.0  # an alarm is raised when KL is this many times its lowest, and above the MoG's

TOTAL = "total"  # what the terms add up to; the only term of an energy is the total itself

Layer = NDArray[np.float32]
"""(side, side) energies over the plane, the first axis y."""


@dataclass(frozen=True)
class ToyChoice:
    """A toy, a detector's preset and a seed to train with.

    Args:
        toy, detector, preset: names.
        seed: of the training points and of the training.
        early_stopping: whether to stop when KL to the truth stops falling.
        knobs: what is changed of the preset.
    """

    toy: str
    detector: str
    preset: str
    seed: int
    early_stopping: bool = False
    knobs: Knobs = Knobs()

    @property
    def key(self) -> str:
        """The key of its job, which says all of it."""
        early = ".early" if self.early_stopping else ""
        knobs = f".{self.knobs.text}" if self.knobs.text else ""
        return f"toy.{self.toy}.{self.detector}.{self.preset}.{self.seed}{early}{knobs}"

    @property
    def preset_title(self) -> str:
        """What its preset is called: another than the preset itself, once a knob is changed."""
        return f"{self.preset}, changed" if self.knobs.text else self.preset

    def build_detector(self) -> Detector:
        """Returns the detector with its values. Raises ValueError where a knob is not of it."""
        from heat_core.detectors.presets import preset_detector

        return with_knobs(preset_detector(self.detector, self.preset, "plane"), self.knobs)


@dataclass(frozen=True)
class Snapshot:
    """A moment of a training.

    Args:
        terms: {name: (n, n)} energies that add up, on the drawn grid with first axis y. A term that
            does not change, such as a prior, is one array, shared by all snapshots.
        distance: of the model from the truth; None where the truth is not known.
        mog_distance: of one Gaussian a class on the same grid, to compare with.
        record: of the training; none at its end.
        negatives: (n, 2) some that the step before it learned from: noise, or where chains have
            ended; none of what was not learned.
    """

    terms: Mapping[str, Layer]
    distance: Distance | None
    mog_distance: Distance | None
    record: Record | None = None
    negatives: NDArray[np.float32] | None = None

    @property
    def layers(self) -> Mapping[str, Layer]:
        """The terms by name, and `total`."""
        terms = tuple(self.terms.values())
        return {**self.terms, TOTAL: np.add.reduce(terms, axis=0, dtype=np.float32)}


@dataclass(frozen=True, eq=False)
class ToyResult:
    """A finished training.

    Args:
        snapshot: the last one.
        distance, mog_distance: of the model and of one Gaussian a class, on the fine grid; None
            where the truth is not known.
        seconds: of training alone, without snapshots and pauses.
        energy: the fitted energy.
        term_names: of its terms, as the detector calls them; a single one is `total`.
        end_reason: why it ended before its time, if it did.
        diverged: whether that is why.
        diagnosis: whether the learned energy can be trusted; None for one that was not learned, or
            whose training ended before its time.
    """

    snapshot: Snapshot
    distance: Distance | None
    mog_distance: Distance | None
    seconds: float
    energy: Energy
    term_names: tuple[str, ...]
    end_reason: str = ""
    diverged: bool = False
    diagnosis: Diagnosis | None = None

    @property
    def terms(self) -> dict[str, Energy]:
        """{name: term} of the fitted energy, in the order in which they add up."""
        return dict(zip(self.term_names, self.energy.addends(), strict=True))


def names_of_terms(detector: Detector, train: Features) -> tuple[str, ...]:
    """Returns the names of the terms of a detector's energy; a single one is `total`."""
    from heat_core.detectors.detector import Shape

    names = detector.term_names(Shape.of(train))
    return names if len(names) > 1 else (TOTAL,)


def drawn_values(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns the drawn part of values on the coarse grid, (n, n), or on its axis, (n,)."""
    stride = (slice(None, None, DRAW_EVERY),) * values.ndim
    return np.ascontiguousarray(values[stride], dtype=np.float32)


def train_toy(choice: ToyChoice, coarse: Grid, fine: Grid) -> Work:
    """Returns the work of fitting a detector to a toy.

    It reports a `Snapshot` at every record, and ends with a `ToyResult`.

    Args:
        coarse, fine: grids over the toy, for snapshots and for the result. They compute the truth
            once: keep them.
    """

    def work(job: Job) -> ToyResult:
        from heat_core.detectors.presets import preset_detector
        from heat_core.progress import progress_to
        from heat_core.run import fit

        train = fine.toy.features(seed=choice.seed)
        mog = fit(preset_detector("MoG", domain="plane"), train).energy
        mog_distance = distance_on(coarse, coarse.evaluate(mog))
        detector = choice.build_detector()
        term_names = names_of_terms(detector, train)
        snapshots = SnapshotTaker(job, coarse, mog_distance, term_names, choice.early_stopping)
        job.report(0.0)
        outcome = _fit(detector, train, choice.seed, snapshots)
        job.report(1.0)
        with progress_to(partial(_say_measuring, job)):
            return ToyResult(
                snapshots.take(outcome.energy),
                distance_on(fine, fine.evaluate(outcome.energy)),
                distance_on(fine, fine.evaluate(mog)),
                snapshots.seconds,
                outcome.energy,
                term_names,
                outcome.end_reason,
                outcome.diverged,
                outcome.diagnosis,
            )

    return work


def distance_on(grid: Grid, energy: NDArray[np.float64]) -> Distance | None:
    """Returns how far an energy on a grid, (side, side), is from the truth, where that is known.

    Raises:
        ValueError: an energy is not finite.
    """
    if not grid.toy.has_density:
        if not np.isfinite(energy).all():
            raise ValueError("the energy must be finite on the grid.")
        return None
    return grid.distance(energy)


def _say_measuring(job: Job, doing: str, share: float | None) -> None:
    """Reports how far a fitted energy is measured on a grid."""
    job.report(share or 0.0, doing="Measuring")


def say_fitting(job: Job, doing: str, share: float | None) -> None:
    """Reports what a fit does beside its training, of which snapshots tell."""
    if doing != "training":
        job.report(job.progress if share is None else share, doing=doing.capitalize())


@dataclass(frozen=True, eq=False)
class _FitResult:
    """How a fit ended: what is kept of it, and why it ended before its time, if it did."""

    energy: Energy
    end_reason: str = ""
    diverged: bool = False
    diagnosis: Diagnosis | None = None


def _fit(detector: Detector, train: Features, seed: int, snapshots: SnapshotTaker) -> _FitResult:
    """Returns the outcome of a fit, also of one that was stopped or diverged.

    Raises:
        ArithmeticError: it diverged before there was a sound state.
    """
    from heat_core.progress import progress_to
    from heat_core.run import fit
    from heat_core.training.negatives import negatives_to
    from heat_core.training.trainer import Diverged

    try:
        with (
            progress_to(partial(say_fitting, snapshots.job)),
            negatives_to(snapshots.see_negatives),
        ):
            run = fit(detector, train, seed, on_record=snapshots)
    except KlStoppedFalling:
        assert snapshots.best_energy is not None
        end_reason = (
            f"Stopped at step {snapshots.step}: KL had stopped falling. "
            f"The model of step {snapshots.best_step} was kept."
        )
        return _FitResult(snapshots.best_energy, end_reason)
    except Diverged as error:
        end_reason = f"The alarm went off: {error} What is shown is the last state that was sound."
        if snapshots.last_energy is None:
            raise ArithmeticError(end_reason) from error
        return _FitResult(snapshots.last_energy, end_reason, diverged=True)
    return _FitResult(run.energy, diagnosis=run.diagnosis)


class KlStoppedFalling(Exception):
    """Raised to end a training whose KL to the truth has stopped falling."""


@dataclass(eq=False)
class SnapshotTaker:
    """Takes snapshots of a training: it is called at every record.

    Args:
        job: that gets the snapshots.
        grid: that they are measured on.
        mog_distance: of one Gaussian a class there, where the truth is known.
        term_names: of the energy's terms.
        early_stopping: whether to keep the best energy, and to raise `KlStoppedFalling`.
    """

    job: Job
    grid: Grid
    mog_distance: Distance | None
    term_names: tuple[str, ...]
    early_stopping: bool
    best_energy: Energy | None = None
    last_energy: Energy | None = None
    best_kl: float = math.inf
    best_step: int = 0
    step: int = 0
    seconds: float = 0.0
    _records: int = 0
    _snapshots_without_progress: int = 0
    _overhead: float = 0.0  # seconds of snapshots and pauses
    _last_terms: Mapping[str, Layer] = field(default_factory=dict, repr=False)
    _negatives: NDArray[np.float32] | None = None

    def see_negatives(self, negatives: Tensor) -> None:
        """Takes the negatives (batch, 2) that the next snapshot shows."""
        self._negatives = negatives[:DRAWN_NEGATIVES].numpy().copy()

    def __call__(self, record: Record, energy: Energy) -> None:
        start = time.perf_counter()
        self.step = record.step
        self.seconds = record.seconds - self._overhead
        self.last_energy = energy
        self._records += 1

        total_records = record.steps / (record.step / self._records)
        records_per_snapshot = math.ceil(total_records / MAX_SNAPSHOTS)
        if self._records % records_per_snapshot == 0 or record.step == record.steps:
            snapshot = self.take(energy, record)
            self.job.report(record.step / record.steps, snapshot)
            if self.early_stopping and snapshot.distance is not None:
                self._stop_without_progress(snapshot.distance.kl, energy)
        else:
            self.job.report(record.step / record.steps)
        self._overhead += time.perf_counter() - start

    def _stop_without_progress(self, kl: float, energy: Energy) -> None:
        if kl < (1 - MIN_FALL) * self.best_kl:
            self._snapshots_without_progress = 0
        else:
            self._snapshots_without_progress += 1
        if kl < self.best_kl:
            self.best_kl = kl
            self.best_step = self.step
            self.best_energy = copy.deepcopy(energy)
        if self._snapshots_without_progress >= PATIENCE:
            raise KlStoppedFalling

    def take(self, energy: Energy, record: Record | None = None) -> Snapshot:
        """Returns a snapshot of an energy.

        Raises:
            ValueError: the energy is not finite.
        """
        terms = [self.grid.evaluate(term) for term in energy.addends()]
        self._last_terms = {
            name: self._shared(name, drawn_values(term))
            for name, term in zip(self.term_names, terms, strict=True)
        }
        distance = distance_on(self.grid, np.sum(terms, axis=0))
        return Snapshot(self._last_terms, distance, self.mog_distance, record, self._negatives)

    def _shared(self, name: str, term: Layer) -> Layer:
        """Returns a term, (n, n): the last snapshot's own array where it has not changed."""
        last_term = self._last_terms.get(name)
        if last_term is not None and np.array_equal(last_term, term):
            return last_term
        return term


def kl_alarm(snapshots: Sequence[Snapshot]) -> str:
    """Returns a warning, in a sentence, where KL to the truth has risen; an empty one elsewhere."""
    recorded = [
        (snapshot.record.step, snapshot.distance.kl)
        for snapshot in snapshots
        if snapshot.record and snapshot.distance
    ]
    mog_distance = snapshots[-1].mog_distance if snapshots else None
    if len(recorded) < 2 or mog_distance is None:
        return ""
    lowest_step, lowest_kl = min(recorded, key=lambda pair: pair[1])
    kl = recorded[-1][1]
    if kl <= ALARM_RISE * lowest_kl or kl <= mog_distance.kl:
        return ""
    return (
        f"KL has risen from {number_text(lowest_kl, 3)} nats at step {lowest_step} to "
        f"{number_text(kl, 3)}: "
        "training moves away from the truth."
    )


def result_snapshot(snapshots: Sequence[Snapshot], result: Snapshot) -> Snapshot | None:
    """Returns the snapshot whose energy was kept as the result; None if it is none of them."""
    for snapshot in snapshots:
        if snapshot.record and all(
            np.array_equal(snapshot.terms[name], term) for name, term in result.terms.items()
        ):
            return snapshot
    return None


def result_sentence(snapshots: Sequence[Snapshot], result: Snapshot) -> str:
    """Returns which snapshot was kept as the result and why, and how the last one differs.

    Nothing where the last one was kept.
    """
    recorded = [snapshot for snapshot in snapshots if snapshot.record]
    kept = result_snapshot(recorded, result)
    if not recorded or kept is recorded[-1]:
        return ""
    last_distance = recorded[-1].distance
    last = (
        f" At the last step KL was {number_text(last_distance.kl, 3)} nats."
        if last_distance
        else ""
    )
    if kept is None or kept.record is None:
        return f"The result is none of the snapshots.{last}"
    reasons = {
        "its validation loss is the lowest": _is_lowest(
            kept.record.val_loss,
            [snapshot.record.val_loss for snapshot in recorded if snapshot.record],
        ),
        "its KL is the lowest": kept.distance is not None
        and _is_lowest(kept.distance.kl, [one.distance.kl for one in recorded if one.distance]),
    }
    why = next((f": {reason}" for reason, holds in reasons.items() if holds), "")
    return f"The result is the model of step {kept.record.step}{why}.{last}"


def _is_lowest(value: float, values: Sequence[float]) -> bool:
    return value <= min(values)


def loss_levels(choice: ToyChoice, mog_distance: Distance | None) -> dict[str, float]:
    """Returns {name: nats}: levels to hold a loss against, where the objective has any.

    Of logistic noise-contrastive learning: 2 log 2 is guessing; against noise q the truth's own
    loss is 2 log 2 - 2 JSD(p, q), which no model beats on average. q is known here where it is the
    MoG itself.
    """
    from heat_core.detectors.heat import HEAT
    from heat_core.training.objectives import NoiseContrastive

    detector = choice.build_detector()
    if not isinstance(detector.objective, NoiseContrastive):
        return {}
    guessing = 2 * math.log(2)
    levels = {"guessing": guessing}
    noise_is_mog = (
        isinstance(detector, HEAT)
        and detector.prior_temperature == 1
        and knob_values(detector)["noise"] == 1
    )
    if noise_is_mog and mog_distance is not None:
        levels["truth"] = guessing - 2 * mog_distance.jsd
    return levels
