"""Why a row scores as it does: the terms of its energy, the classes and training rows nearest to it, each detector's verdict.

And where two detectors part: the rows that one accepts and the other rejects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .energies import Mahalanobis, Normalized, Tempered, WeightedSum, score, unit, working_precision
from .features import Features
from .metrics import percentile
from .run import Run

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

# -- terms -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoreTerms:
    """What a detector's energy is put together from.

    Args:
        names: of the terms: `prior` and `correction` of HEAT, the parts of Composed, the detector's own name of others.
        temperature: T_G, which the prior was divided by; None where there is none.
        adds: whether the energy is the terms' sum; a Composed with beta other than 0 leans to the largest or smallest.
        standardised: whether terms are in standard deviations of ID data.
    """

    names: tuple[str, ...]
    temperature: float | None = None
    adds: bool = True
    standardised: bool = False

    @classmethod
    def of(cls, run: Run) -> Self:
        energy, terms = run.energy, run.energy.terms()
        if isinstance(energy, WeightedSum):
            return cls(run.detector.parts(run.shape), None, energy.beta == 0, True)  # type: ignore[attr-defined]
        if len(terms) == 1:
            return cls((run.detector.title,))
        tempered = next(
            (float(part.temperature) for part in terms[0].modules() if isinstance(part, Tempered)),
            None,
        )
        return cls(("prior", "correction"), tempered)


def score_terms(run: Run, features: Features) -> Array:
    """Returns what each term adds to the score of each row, (N, terms), in the order of `Sum.of(run).names`.

    Raises ValueError if the features are not as wide as in training.
    """
    seen, energy = run.sees(features), run.energy
    if not isinstance(energy, WeightedSum):
        return np.stack([score(term, seen) for term in energy.terms()], 1)
    values = np.stack([score(part, seen) for part in energy.members], 1)
    weights, shift, scale = (
        part.double().cpu().numpy() for part in (energy.weights, energy.shift, energy.scale)
    )
    return weights * (values - shift) / scale


# -- what is near ------------------------------------------------------------------------------------------------------


def class_gaussians(train: Features) -> Normalized:
    """Returns the classes' Gaussians with one covariance, on z / ||z||, fitted to training features."""
    return Normalized(
        Mahalanobis(train.dim, len(train.classes)).to(working_precision(train.z))
    ).fit(train)


@torch.inference_mode()
def class_distances(fitted: Normalized, features: Features) -> Array:
    """Returns the Mahalanobis distance of each row to each class, (N, classes), in standard deviations.

    Args:
        fitted: as `classes` returns it.
    """
    gaussians = fitted.energy
    assert isinstance(gaussians, Mahalanobis)
    parts = [
        gaussians.squared_distances(unit(block.to(gaussians.means)))
        for block in features.z.split(8192)
    ]
    return torch.cat(parts).sqrt().double().cpu().numpy()


@torch.inference_mode()
def predicted_classes(
    train: Features, features: Features, fitted: Normalized | None = None
) -> Rows:
    """Returns the class that each row is taken for, (N,): by the classifier's head, or the nearest where there is none.

    Args:
        fitted: as `classes` returns it, for features without a head; made anew if not given.
    """
    if train.head is None:
        return train.classes.cpu().numpy()[
            class_distances(fitted or class_gaussians(train), features).argmin(1)
        ]
    weight, bias = train.head.weight.float(), train.head.bias.float()
    return (
        torch.cat([(z.float() @ weight.T + bias).argmax(1) for z in features.z.split(8192)])
        .cpu()
        .numpy()
    )


@torch.inference_mode()
def nearest_training_rows(train: Features, features: Features, count: int) -> tuple[Rows, Array]:
    """Returns the training rows nearest to each row, nearest first, and their distances: (N, count) each.

    Distances are Euclidean, of z / ||z||, from 0 (the same direction) to 2.

    Args:
        count: how many; all training rows if there are fewer.
    """
    z = unit(features.z.to(working_precision(train.z)))
    parts = [_nearest(train.z, queries, min(count, len(train))) for queries in z.split(1024)]
    rows, distances = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
    return rows, distances.astype(np.float64)


def _nearest(bank: Tensor, z: Tensor, count: int, block: int = 8192) -> tuple[Tensor, Tensor]:
    """Looks at a block of the bank at a time, which is not copied whole; distances are exact also where they are small."""
    cosine, place = z[:, :0], torch.empty((len(z), 0), dtype=torch.int64, device=z.device)
    for start in range(0, len(bank), block):
        others = unit(bank[start : start + block].to(z.dtype))
        rows = torch.arange(start, start + len(others), device=z.device).expand(len(z), -1)
        cosine, best = torch.cat([cosine, z @ others.T], 1).topk(
            min(count, cosine.shape[1] + len(others)), 1
        )
        place = torch.cat([place, rows], 1).gather(1, best)
    distance = torch.linalg.vector_norm(unit(bank[place].to(z.dtype)) - z[:, None], dim=2)
    order = distance.argsort(dim=1, stable=True)
    return place.gather(1, order), distance.gather(1, order)


# -- verdicts ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What a detector says of a row.

    Args:
        detector: its name.
        score: larger means more out-of-distribution.
        percentile: the share of ID test rows that score at most as much, in [0, 1].
        threshold: a score above it is out.
    """

    detector: str
    score: float
    percentile: float
    threshold: float

    @classmethod
    def of(cls, detector: str, score: float, inside: ArrayLike, threshold: float) -> Self:
        """Returns the verdict on a score, among the scores of ID test rows."""
        return cls(detector, score, float(percentile(inside, [score])[0]), threshold)

    @property
    def out(self) -> bool:
        return self.score > self.threshold


# -- flips -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Flips:
    """Rows that one detector accepts and another rejects, those that moved farthest first.

    Args:
        sets: name of each one's set, (n,).
        rows: which row of it, (n,).
        moves: how far up the second detector moved it, (n,).
        counts: {set: how many, of how many}.
    """

    sets: NDArray[np.str_]
    rows: Rows
    moves: Array
    counts: Mapping[str, tuple[int, int]]

    def __len__(self) -> int:
        return len(self.rows)

    def by_set(self) -> dict[str, Rows]:
        """Returns {set: rows}, of every set that has any."""
        return {str(name): self.rows[self.sets == name] for name in np.unique(self.sets)}

    def within(self, masks: Mapping[str, NDArray[np.bool]]) -> Self:
        """Returns the flips among rows of the sets that a mask picks, {set: (N,)}; sets without a mask are left out."""
        inside = np.zeros(len(self), bool)
        for name, mask in masks.items():
            own = self.sets == name
            inside[own] = mask[self.rows[own]]
        sets = self.sets[inside]
        counts = {
            name: (int((sets == name).sum()), int(masks[name].sum()))
            for name in self.counts
            if name in masks
        }
        return type(self)(sets, self.rows[inside], self.moves[inside], counts)


def flips(
    accepts: Mapping[str, Array],
    rejects: Mapping[str, Array],
    cuts: tuple[float, float],
    moves: Mapping[str, Array] | None = None,
) -> Flips:
    """Returns the rows at or below the first cut by the first scores, and above the second by the second.

    Args:
        accepts, rejects: {set: (n,) scores} of two detectors, `test` being the ID test set.
        cuts: their thresholds.
        moves: {set: (n,)} how far the second moved each row, where both are on one scale, such as HEAT's correction of its
            prior. Else it is the change of the rank among ID test scores, and of equal ranks the farthest past its cut first.
    """
    parted = {
        name: np.flatnonzero((accepts[name] <= cuts[0]) & (rejects[name] > cuts[1]))
        for name in accepts
    }

    def moved(name: str, rows: Rows) -> Array:
        if moves is not None:
            return moves[name][rows]
        before, after = (
            percentile(by_set["test"], by_set[name][rows]) for by_set in (accepts, rejects)
        )
        return after - before

    sets = np.concatenate([np.full(len(rows), name) for name, rows in parted.items()])
    rows = np.concatenate(list(parted.values()))
    far = np.concatenate([moved(name, rows) for name, rows in parted.items()])
    beyond = np.concatenate([rejects[name][rows] for name, rows in parted.items()])
    order = np.lexsort((-beyond, -far))
    counts = {name: (len(rows), len(accepts[name])) for name, rows in parted.items()}
    return Flips(sets[order], rows[order], far[order], counts)
