"""Background trainings of classifiers in the plane, with snapshots on the way. No Streamlit here.

Every array of energies is of the free energy at T = 1, in nats.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.job import Job, Work
from app.plane.polygons import Polygon
from app.text import number_text

if TYPE_CHECKING:
    from heat_core.features import Features
    from heat_core.plane.classifier import (
        ClassifierRecord,
        PlaneClassifier,
        Points,
        RankCorrelations,
    )
    from heat_core.plane.grid import Grid
    from heat_core.plane.toys import Toy

SIDE = 100  # points a side of the grid that a classifier is read on
FAR_EXTENTS = 3.0  # how many extents out "far away" is
FAR_DIRECTIONS = 180
TEST_POINTS = 2000  # fresh ID points, and as many OOD points

UNITS = {"relu": "ReLU", "tanh": "tanh", "bump": "bumps"}
AUXILIARY_SETS = ("around", "ring", "toy", "drawn")

Values = NDArray[np.float32]


@dataclass(frozen=True)
class ClassifierChoice:
    """A classifier to train.

    Args:
        toy: its name.
        units: of the hidden layers.
        seed: of the points, the first weights and the batches.
    """

    toy: str
    units: str
    seed: int

    @property
    def key(self) -> str:
        """The key of its job, which says all of it."""
        return f"classifier.{self.toy}.{self.units}.{self.seed}"


@dataclass(frozen=True)
class AuxiliaryChoice:
    """A set of auxiliary OOD points.

    Args:
        kind: of `AUXILIARY_SETS`.
        other_toy: whose points they are, of the kind `toy`.
        polygons: filled with points, of the kind `drawn`.
    """

    kind: str
    other_toy: str = ""
    polygons: tuple[Polygon, ...] = ()

    @property
    def key(self) -> str:
        """A word that says all of it."""
        if self.kind == "toy":
            return self.other_toy
        if self.kind == "drawn":
            return hashlib.sha256(repr(self.polygons).encode()).hexdigest()[:12]
        return self.kind


@dataclass(frozen=True)
class TuningChoice:
    """A fine-tuning of a classifier.

    Args:
        classifier: that it begins with.
        auxiliary: its OOD points.
        id_margin, auxiliary_margin: in nats.
        weight: of the penalty.
    """

    classifier: ClassifierChoice
    auxiliary: AuxiliaryChoice
    id_margin: float
    auxiliary_margin: float
    weight: float

    @property
    def key(self) -> str:
        """The key of its job, which says all of it."""
        settings = f"{self.id_margin:.2f}.{self.auxiliary_margin:.2f}.{self.weight:g}"
        return f"{tuning_prefix(self.classifier)}{self.auxiliary.key}.{settings}"


def tuning_prefix(choice: ClassifierChoice) -> str:
    """Returns how the keys of a classifier's fine-tunings begin.

    >>> tuning_prefix(ClassifierChoice("moons", "relu", 0))
    'tuning.moons.relu.0.'
    """
    return f"tuning.{choice.toy}.{choice.units}.{choice.seed}."


# -- what is read of a classifier ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ClassifierSnapshot:
    """A moment of a training.

    Args:
        log_softmax, energy: (SIDE, SIDE) over the plane, first axis y.
        id_energy, ood_energy: (n,) of fresh ID points and of OOD points.
        accuracy: on the fresh ID points.
        record: of the training; none at its end.
    """

    log_softmax: Values
    energy: Values
    id_energy: Values
    ood_energy: Values
    accuracy: float
    record: ClassifierRecord | None = None

    @property
    def max_logit(self) -> Values:
        """(SIDE, SIDE): what the energy lacks of the log max softmax."""
        return self.log_softmax - self.energy

    @property
    def confidence(self) -> Values:
        """(SIDE, SIDE) the largest softmax share."""
        return np.exp(self.log_softmax)


@dataclass(frozen=True, eq=False)
class ClassifierResult:
    """A trained classifier.

    Args:
        classifier: itself.
        snapshot: what it says.
        correlations: of energy and softmax with the exact log density, on the grid.
        id_logits, ood_logits: (n, C) of fresh ID points and of OOD points.
        far_confidence: the mean largest softmax share far away.
        far_energy: the median energy there.
        far_beyond_id: the share of directions far away whose energy is above that of 95 % of ID.
        seconds: of training, without snapshots and pauses.
    """

    classifier: PlaneClassifier
    snapshot: ClassifierSnapshot
    correlations: RankCorrelations
    id_logits: Values
    ood_logits: Values
    far_confidence: float
    far_energy: float
    far_beyond_id: float
    seconds: float


@dataclass(frozen=True, eq=False)
class ReadingPoints:
    """The points that a classifier is read on.

    Args:
        grid: over the toy.
        inside: fresh ID points, with labels.
        outside: (n, 2) OOD points.
    """

    grid: Grid
    inside: Features
    outside: Points


def snapshot_of(
    classifier: PlaneClassifier, points: ReadingPoints, record: ClassifierRecord | None = None
) -> ClassifierSnapshot:
    """Returns what a classifier says of the points."""
    from heat_core.plane.classifier import accuracy, read_logits

    grid_reading = read_logits(classifier.logits(points.grid.points))
    shape = points.grid.side, points.grid.side
    return ClassifierSnapshot(
        log_softmax=grid_reading.log_softmax.astype(np.float32).reshape(shape),
        energy=grid_reading.energy.astype(np.float32).reshape(shape),
        id_energy=_energy(classifier, points.inside.z),
        ood_energy=_energy(classifier, points.outside),
        accuracy=accuracy(classifier, points.inside),
        record=record,
    )


def result_of(
    classifier: PlaneClassifier, points: ReadingPoints, seconds: float
) -> ClassifierResult:
    """Returns a trained classifier with what it says of the points, and far away."""
    from heat_core.plane.classifier import rank_correlations, read_logits, ring_of_points

    snapshot = snapshot_of(classifier, points)
    grid = points.grid
    far_points = ring_of_points(FAR_EXTENTS * grid.toy.extent, FAR_DIRECTIONS)
    far = read_logits(classifier.logits(far_points))
    threshold = np.quantile(snapshot.id_energy, 0.95)
    return ClassifierResult(
        classifier,
        snapshot,
        rank_correlations(read_logits(classifier.logits(grid.points)), grid),
        id_logits=classifier.logits(points.inside.z).numpy().astype(np.float32),
        ood_logits=classifier.logits(points.outside).numpy().astype(np.float32),
        far_confidence=float(np.exp(far.log_softmax).mean()),
        far_energy=float(np.median(far.energy)),
        far_beyond_id=float(np.mean(far.energy > threshold)),
        seconds=seconds,
    )


def _energy(classifier: PlaneClassifier, points: Points) -> Values:
    """Returns the energies of points (N, 2), (N,)."""
    from heat_core.plane.classifier import read_logits

    return read_logits(classifier.logits(points)).energy.astype(np.float32)


# -- the trainings ---------------------------------------------------------------------------------


def reading_points(toy_grid: Grid, seed: int, auxiliary: AuxiliaryChoice) -> ReadingPoints:
    """Returns fresh ID points of a toy, and OOD points as an auxiliary set has them.

    Raises ValueError where there is no such auxiliary set.
    """
    from heat_core.plane.classifier import FRESH_SEED, fresh_points

    toy = toy_grid.toy
    outside = auxiliary_points(toy, auxiliary, TEST_POINTS, seed + FRESH_SEED)
    return ReadingPoints(toy_grid, fresh_points(toy, seed, TEST_POINTS), outside)


def auxiliary_points(toy: Toy, choice: AuxiliaryChoice, count: int, seed: int) -> Points:
    """Returns points (count, 2) of an auxiliary set.

    Raises ValueError where it is empty or lies where ID points do.
    """
    from heat_core.plane import classifier
    from heat_core.plane.toys import toy as toy_of

    if choice.kind == "around":
        return classifier.auxiliary_around(toy, count, seed)
    if choice.kind == "ring":
        return classifier.auxiliary_ring(toy, count, seed)
    if choice.kind == "toy":
        return classifier.auxiliary_of(toy_of(choice.other_toy), toy, count, seed)
    extent = toy.extent
    polygons = [[(extent * x, extent * y) for x, y in corners] for corners in choice.polygons]
    points = classifier.auxiliary_in_all(polygons, count, seed)
    classifier.check_auxiliary(points, toy)
    return points


def train_work(choice: ClassifierChoice, points: ReadingPoints) -> Work:
    """Returns the work of training a classifier by cross-entropy.

    It reports a `ClassifierSnapshot` at every record, and ends with a `ClassifierResult`.
    """

    def work(job: Job) -> ClassifierResult:
        from heat_core.plane.classifier import train_classifier

        job.report(0.0)
        snapshots = SnapshotTaker(job, points)
        toy = points.grid.toy
        classifier = train_classifier(toy, choice.seed, choice.units, on_record=snapshots)
        return result_of(classifier, points, snapshots.seconds)

    return work


def tune_work(
    choice: TuningChoice, start: PlaneClassifier, auxiliary: Points, points: ReadingPoints
) -> Work:
    """Returns the work of fine-tuning a classifier, reported as `train_work` does.

    Args:
        start: the classifier to begin with.
        auxiliary: (M, 2) OOD points to train on.
        points: to read it on, fresh OOD points of the same set among them.
    """

    def work(job: Job) -> ClassifierResult:
        from heat_core.plane.classifier import fine_tune
        from heat_core.training.classifier_objectives import EnergyBounded

        job.report(0.0)
        snapshots = SnapshotTaker(job, points)
        objective = EnergyBounded(choice.weight, choice.id_margin, choice.auxiliary_margin)
        toy, seed = points.grid.toy, choice.classifier.seed
        tuned = fine_tune(start, toy, auxiliary, objective, seed, on_record=snapshots)
        return result_of(tuned, points, snapshots.seconds)

    return work


class SnapshotTaker:
    """Takes a snapshot of a training at every record.

    Args:
        job: that gets the snapshots.
        points: that the classifier is read on.
    """

    def __init__(self, job: Job, points: ReadingPoints) -> None:
        self.job = job
        self.points = points
        self.seconds = 0.0
        self._since = time.perf_counter()

    def __call__(self, record: ClassifierRecord, classifier: PlaneClassifier) -> None:
        self.seconds += time.perf_counter() - self._since
        self.job.report(record.step / record.steps, snapshot_of(classifier, self.points, record))
        self._since = time.perf_counter()


def accuracy_note(snapshot: ClassifierSnapshot) -> str:
    """Returns what a snapshot says in figures."""
    return (
        f"accuracy {100 * snapshot.accuracy:.1f} %, mean energy of ID "
        f"{number_text(snapshot.id_energy.mean(), 1)}, of OOD "
        f"{number_text(snapshot.ood_energy.mean(), 1)} nats"
    )
