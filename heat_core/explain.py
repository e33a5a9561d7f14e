"""Why a row scores as it does: the score's terms, what is near, and each detector's verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .energies import (
    Energy,
    Mahalanobis,
    Normalized,
    Tempered,
    WeightedSum,
    precise_enough,
    rows_per_batch,
    score,
    unit,
    working_precision,
)
from .features import Features
from .metrics import percentile
from .progress import row_blocks
from .run import Run

Array = NDArray[np.float64]
RowIndices = NDArray[np.int64]

# -- terms -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoreTerms:
    """How a detector's score is put together from terms.

    Args:
        names: of the terms, as the detector calls them; a single one has the detector's title.
        temperature: T_G, which HEAT's prior was divided by; None where there is none.
        adds: whether the score is the terms' sum; a weighted sum with beta other than 0 leans to
            the largest or smallest.
        standardised: whether terms are in standard deviations of ID data.
        prior_parts: what HEAT's prior adds up, in words; nothing where there is no prior.

    >>> from heat_core.detectors.closed_form import MoG
    >>> from heat_core.run import fit
    >>> ScoreTerms.of(fit(MoG(), Features(torch.eye(3)))).names
    ('MoG',)
    """

    names: tuple[str, ...]
    temperature: float | None = None
    adds: bool = True
    standardised: bool = False
    prior_parts: tuple[str, ...] = ()

    @classmethod
    def of(cls, run: Run) -> Self:
        """Returns how a run's scores are put together.

        Raises ValueError if the detector does not name as many terms as its score has.
        """
        energy = run.energy
        names = run.term_names
        if isinstance(energy, WeightedSum):
            return cls(_checked(names, run, len(energy.members)), None, energy.beta == 0, True)
        addends = energy.addends()
        parts = run.detector.prior_part_titles(run.shape)
        names = _checked(names, run, len(addends))
        return cls(names, _temperature(addends[0]), prior_parts=parts)


def _checked(names: tuple[str, ...], run: Run, count: int) -> tuple[str, ...]:
    if len(names) != count:
        raise ValueError(
            f"{run.detector.name} must name its {count} terms, got {', '.join(names)}."
        )
    return names


def _temperature(energy: Energy) -> float | None:
    """Returns what an energy was divided by; None where it was not."""
    return float(energy.temperature) if isinstance(energy, Tempered) else None


def term_values(run: Run, features: Features) -> Array:
    """Returns what each term adds to the score of each row, (N, terms).

    They are in the order of `ScoreTerms.of(run).names`.

    Raises ValueError if the features are not as wide as in training.
    """
    inputs = run.inputs(features)
    energy = run.energy
    if isinstance(energy, WeightedSum):
        energies = np.stack([score(member, inputs) for member in energy.members], 1)
        return energy.weigh(torch.from_numpy(energies)).numpy()
    return np.stack([score(addend, inputs) for addend in energy.addends()], 1)


def prior_part_values(run: Run, features: Features) -> Array:
    """Returns what each part of the prior adds to the score of each row, (N, parts).

    They are in the order of `ScoreTerms.of(run).prior_parts`, and add up to the prior; of a prior
    that is one closed form itself, there are none.

    Raises ValueError if the features are not as wide as in training.
    """
    prior, *_ = run.energy.addends()
    inputs = run.inputs(features)
    if not (isinstance(prior, Tempered) and isinstance(prior.energy, WeightedSum)):
        return np.empty((len(inputs), 0))
    energies = np.stack([score(part, inputs) for part in prior.energy.members], 1)
    weighed = prior.energy.weigh(torch.from_numpy(energies))
    return weighed.numpy() / float(prior.temperature)


# -- what is near ----------------------------------------------------------------------------------

ROWS = 8192  # features that are looked at in one go
QUERIES = 1024  # features whose neighbours are looked for in one go


def class_mahalanobis(train: Features) -> Normalized:
    """Returns the Mahalanobis energy of the classes on z / ||z||, fitted to features."""
    train = precise_enough(train)
    energy = Mahalanobis(train.dim, len(train.classes)).to(working_precision(train.z))
    return Normalized(energy).fit(train)


@torch.inference_mode()
def class_distances(mahalanobis: Normalized, features: Features) -> Array:
    """Returns the Mahalanobis distance of each row to each class in standard deviations, (N, C).

    Args:
        mahalanobis: as `class_mahalanobis` returns it.
        features: z is (N, d).
    """
    classes = mahalanobis.energy
    assert isinstance(classes, Mahalanobis)
    squared = [classes.squared_distances(unit(z.to(classes.means))) for z in features.z.split(ROWS)]
    return torch.cat(squared).sqrt().double().cpu().numpy()


@dataclass(frozen=True, eq=False)
class Assignments:
    """The classes that rows are assigned to.

    Args:
        classes: (N,).
        margins: (N,) how much more each belongs to its class than to the next: a difference of
            logits, or of squared Mahalanobis distances; 0 where there is one class.
    """

    classes: RowIndices
    margins: Array


def assigned_classes(
    train: Features, features: Features, mahalanobis: Normalized | None = None
) -> RowIndices:
    """Returns the class that each row is assigned to, (N,), as `assign` finds it."""
    return assign(train, features, mahalanobis).classes


@torch.inference_mode()
def assign(
    train: Features, features: Features, mahalanobis: Normalized | None = None
) -> Assignments:
    """Returns the class that each row is assigned to, and by how much.

    It is what the classifier's head says, or the nearest class where there is no head.

    Args:
        train: ID features, with their head.
        features: z is (N, d).
        mahalanobis: as `class_mahalanobis` returns it, for features without a head; fitted anew by
            default.

    >>> from heat_core.features import Head
    >>> z = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
    >>> train = Features(z, head=Head(torch.eye(2), torch.zeros(2)))
    >>> assign(train, train)
    Assignments(classes=array([0, 1]), margins=array([3., 2.]))
    """
    logits_of, labels = _class_logits(train, mahalanobis)
    classes = np.empty(len(features), np.int64)
    margins = np.empty(len(features))
    for block in row_blocks("assigning classes", len(features), rows_per_batch(len(labels))):
        logits = logits_of(features.z[block])
        top = logits.topk(min(2, len(labels)), 1).values
        classes[block] = labels[logits.argmax(1)].cpu().numpy()
        margins[block] = (top[:, 0] - top[:, -1]).double().cpu().numpy()
    return Assignments(classes, margins)


def _class_logits(
    train: Features, mahalanobis: Normalized | None
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Returns what takes z (N, d) to logits (N, C), and the classes' labels (C,)."""
    head = train.head
    if head is not None:
        dtype = working_precision(precise_enough(train).z)
        labels = torch.arange(len(head.bias), device=train.z.device)
        return lambda z: head.logits(z.to(dtype)), labels
    classes = (mahalanobis or class_mahalanobis(train)).energy
    assert isinstance(classes, Mahalanobis)
    labels = train.classes.to(classes.means.device)
    return lambda z: -classes.squared_distances(unit(z.to(classes.means))), labels


@torch.inference_mode()
def nearest_training_rows(
    train: Features, features: Features, count: int
) -> tuple[RowIndices, Array]:
    """Returns the training rows nearest to each row, and their distances: (N, count) each.

    The nearest comes first. Distances are Euclidean, of z / ||z||, from 0 (the same direction) to
    2.

    Args:
        train: ID features.
        features: z is (N, d).
        count: how many; all training rows if there are fewer.
    """
    bank = precise_enough(train).z
    z = unit(features.z.to(working_precision(bank)))
    count = min(count, len(train))
    blocks = [_nearest(bank, queries, count) for queries in z.split(QUERIES)]
    rows, distances = (torch.cat(block).cpu().numpy() for block in zip(*blocks, strict=True))
    return rows, distances.astype(np.float64)


def _nearest(bank: Tensor, z: Tensor, count: int, block: int = 8192) -> tuple[Tensor, Tensor]:
    """Returns the rows of a bank nearest to unit vectors, and their distances: (N, count) each.

    A block of the bank is looked at in one go, so that it is not copied whole. The nearest b has
    the largest z . b - ||b||^2 / 2, both taken from the bank's mean direction, so that they differ
    where all directions are nearly one. Distances are exact also where they are small.

    Args:
        bank: (M, d), normalised here.
        z: (N, d) unit vectors.
        count: how many, at most M.
        block: rows of the bank in one go.
    """
    centre = unit(bank.mean(0, dtype=torch.float64)).to(z.dtype)
    products = z[:, :0]
    rows = torch.empty((len(z), 0), dtype=torch.int64, device=z.device)
    for start in range(0, len(bank), block):
        candidates = unit(bank[start : start + block].to(z.dtype)) - centre
        stop = start + len(candidates)
        candidate_rows = torch.arange(start, stop, device=z.device).expand(len(z), -1)
        size = min(count, products.shape[1] + len(candidates))
        offset = -0.5 * candidates.square().sum(1)
        new_products = torch.addmm(offset, z - centre, candidates.T)
        products, best = torch.cat([products, new_products], 1).topk(size, 1)
        rows = torch.cat([rows, candidate_rows], 1).gather(1, best)
    neighbors = unit(bank[rows].to(z.dtype))
    distances = torch.linalg.vector_norm(neighbors - z[:, None], dim=2)
    order = distances.argsort(dim=1, stable=True)
    return rows.gather(1, order), distances.gather(1, order)


# -- verdicts --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What a detector says of a row.

    Args:
        detector: its name.
        score: larger means more out-of-distribution.
        percentile: the share of ID test rows that score at most as much, in [0, 1].
        threshold: a score above it is flagged.

    >>> verdict = Verdict.of("KNN", 8.5, np.arange(10.0), threshold=8.0)
    >>> verdict.percentile, verdict.out
    (0.9, True)
    """

    detector: str
    score: float
    percentile: float
    threshold: float

    @classmethod
    def of(cls, detector: str, score: float, inside: ArrayLike, threshold: float) -> Self:
        """Returns the verdict on a score.

        Args:
            detector: its name.
            score: of the row.
            inside: (n,) scores of ID test rows.
            threshold: a score above it is flagged.
        """
        return cls(detector, score, float(percentile(inside, [score])[0]), threshold)

    @property
    def out(self) -> bool:
        """Whether the row is flagged: its score lies above the threshold."""
        return self.score > self.threshold
