"""What the background jobs do in the plane: train, take snapshots, notice when it goes wrong. No Streamlit here."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.jobs import Job, Work

if TYPE_CHECKING:
    from heat_core.diagnostics import Diagnosis
    from heat_core.energies import Energy
    from heat_core.plane.grid import Distance, Grid
    from heat_core.training.trainer import Record


SIDE, FINE = 200, 300  # points a side of the grids that a training and its result are measured on
DRAWN = 2  # every second one is drawn
SNAPSHOTS = 60  # kept of a training at most; of a longer history every n-th
PATIENCE, FALL = (
    5,
    0.02,
)  # KL has stopped falling if for so many records it has not come down by this share
RISE = 2.0  # an alarm is raised when KL is this many times its lowest, and worse than the MoG's

Layer = NDArray[np.float32]


@dataclass(frozen=True)
class ToyChoice:
    """What to train on what, and whether to stop when KL stops falling. The key says it all."""

    toy: str
    detector: str
    preset: str
    seed: int
    early: bool = False

    @property
    def key(self) -> str:
        return f"toy.{self.toy}.{self.detector}.{self.preset}.{self.seed}{'.early' * self.early}"


@dataclass(frozen=True)
class Snapshot:
    """A moment of a training.

    Args:
        terms: the energies that add up, on the drawn grid (float32, first axis y). A prior that does not change is one
            array, shared by all frames.
        distance: of the model then.
        mog: distance of one Gaussian a class on the same grid, to compare with.
        record: of the training; none at its end.
    """

    terms: tuple[Layer, ...]
    distance: Distance
    mog: Distance
    record: Record | None = None

    @property
    def layers(self) -> Mapping[str, Layer]:
        """`prior` and `correction` where the energy is a sum of two, and always `total`."""
        named = (
            dict(zip(("prior", "correction"), self.terms, strict=True))
            if len(self.terms) == 2
            else {}
        )
        return {**named, "total": np.add.reduce(self.terms, axis=0, dtype=np.float32)}


@dataclass(frozen=True, eq=False)
class ToyResult:
    """A finished training.

    Args:
        frame: the last one.
        distance, mog: of the model and of one Gaussian a class, on the fine grid.
        seconds: of training alone, without snapshots and pauses.
        energy: the fitted energy.
        note: why it ended before its time, if it did.
        diverged: whether that is why.
        diagnosis: whether what was learned can be trusted; None where nothing was, or it ended before its time.
    """

    frame: Snapshot
    distance: Distance
    mog: Distance
    seconds: float
    energy: Energy
    note: str = ""
    diverged: bool = False
    diagnosis: Diagnosis | None = None


def thinned(values: NDArray[np.float64]) -> Layer:
    """Returns the part that is drawn of values on the grid's axis, (n,), or on the grid, (n, n)."""
    return np.ascontiguousarray(values[(slice(None, None, DRAWN),) * values.ndim], dtype=np.float32)


def train_toy(choice: ToyChoice, coarse: Grid, fine: Grid) -> Work:
    """Returns the work of fitting a detector to a toy: a frame at every record, a `ToyResult` at the end.

    Args:
        coarse, fine: grids over the toy, for frames and for the result. They compute the truth once: keep them.
    """

    def work(job: Job) -> ToyResult:
        from heat_core.detectors.presets import preset_detector
        from heat_core.run import fit
        from heat_core.training.trainer import Diverged

        train = fine.toy.features(seed=choice.seed)
        mog = fit(preset_detector("MoG", space="plane"), train).energy
        watcher = SnapshotTaker(job, coarse, coarse.distance(coarse.energy(mog)), choice.early)
        note, diverged, diagnosis = "", False, None
        job.report(0.0)
        try:
            run = fit(
                preset_detector(choice.detector, choice.preset, "plane"),
                train,
                choice.seed,
                on_record=watcher,
            )
            energy, diagnosis = run.energy, run.diagnosis
        except KlStoppedFalling:
            energy = watcher.best
            note = f"Stopped at step {watcher.step}: KL had stopped falling. The model of step {watcher.best_step} was kept."
        except Diverged as error:
            energy, diverged = watcher.last, True
            note = f"The alarm went off: {error} What is shown is the last state that was sound."
        if energy is None:
            raise ArithmeticError(note)
        job.report(1.0)
        ours, theirs = (fine.distance(fine.energy(one)) for one in (energy, mog))
        return ToyResult(
            watcher.frame(energy), ours, theirs, watcher.seconds, energy, note, diverged, diagnosis
        )

    return work


class KlStoppedFalling(Exception):
    """KL has stopped falling, and somebody wanted the training to stop then."""


@dataclass(eq=False)
class SnapshotTaker:
    """Called at every record of a training: takes a snapshot, keeps the best energy, raises Enough if asked to stop early."""

    job: Job
    grid: Grid
    mog: Distance
    early: bool
    best: Energy | None = None
    last: Energy | None = None
    best_kl: float = math.inf
    best_step: int = 0
    step: int = 0
    seconds: float = 0.0
    _seen: int = 0
    _stale: int = 0
    _outside: float = 0.0
    _prior: Layer | None = field(default=None, repr=False)

    def __call__(self, record: Record, energy: Energy) -> None:
        began = time.perf_counter()
        self.step, self.seconds, self.last = record.step, record.seconds - self._outside, energy
        self._seen += 1
        every = math.ceil(record.steps / (record.step / self._seen) / SNAPSHOTS)
        if self._seen % every == 0 or record.step == record.steps:
            frame = self.frame(energy, record)
            self.job.report(record.step / record.steps, frame)
            if self.early:
                self._judge(frame.distance.kl, energy)
        else:
            self.job.report(record.step / record.steps)
        self._outside += time.perf_counter() - began

    def _judge(self, kl: float, energy: Energy) -> None:
        self._stale = 0 if kl < (1 - FALL) * self.best_kl else self._stale + 1
        if kl < self.best_kl:
            self.best_kl, self.best_step, self.best = kl, self.step, copy.deepcopy(energy)
        if self._stale >= PATIENCE:
            raise KlStoppedFalling

    def frame(self, energy: Energy, record: Record | None = None) -> Snapshot:
        """Returns a snapshot of an energy. Raises ValueError if it is not finite."""
        terms = [self.grid.energy(term) for term in energy.terms()]
        shown = [thinned(term) for term in terms]
        if len(shown) == 2:
            if self._prior is None or not np.array_equal(self._prior, shown[0]):
                self._prior = shown[0]
            shown[0] = self._prior
        return Snapshot(tuple(shown), self.grid.distance(np.sum(terms, axis=0)), self.mog, record)


def alarm(frames: Sequence[Snapshot]) -> str:
    """Returns what is wrong with how a training goes, in a sentence, or nothing."""
    recorded = [(frame.record.step, frame.distance.kl) for frame in frames if frame.record]
    if len(recorded) < 2:
        return ""
    step, lowest = min(recorded, key=lambda pair: pair[1])
    kl, mog = recorded[-1][1], frames[-1].mog.kl
    if kl <= RISE * lowest or kl <= mog:
        return ""
    return f"KL has risen from {lowest:.3f} nats at step {step} to {kl:.3f}: training moves away from the truth."


def loss_levels(choice: ToyChoice, mog: Distance) -> dict[str, float]:
    """Returns {name: nats}: levels to hold a loss against, where the objective has any.

    Of logistic noise-contrastive learning: 2 log 2 is guessing; against noise q the truth's own loss is
    2 log 2 - 2 JSD(p, q), which no model beats on average. q is known here where it is the MoG itself.
    """
    from heat_core.detectors.presets import preset_detector
    from heat_core.training.objectives import NoiseContrastive

    detector = preset_detector(choice.detector, choice.preset, "plane")
    if not isinstance(detector.objective, NoiseContrastive):
        return {}
    guessing = {"guessing": 2 * math.log(2)}
    is_correction = detector.title == "HEAT" and getattr(detector, "temperature", 0) == 1
    return guessing | ({"truth": 2 * math.log(2) - 2 * mog.jsd} if is_correction else {})
