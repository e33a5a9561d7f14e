"""Small classifiers of labelled toys: their energies and softmax against the exact density.

Cross-entropy teaches differences of logits alone. How large the largest is, and with it the energy,
far from the data is left to the network; fine-tuning with auxiliary OOD points shapes it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from heat_core.arguments import check_seed
from heat_core.features import Features
from heat_core.polygons import points_in_polygon
from heat_core.threads import torch_threads
from heat_core.training.classifier_objectives import ClassifierObjective, free_energy
from heat_core.training.trainer import steps_with_record

from .grid import Grid
from .toys import Toy

Array = NDArray[np.floating]
Points = Tensor  # (N, 2)
OnRecord = Callable[["ClassifierRecord", "PlaneClassifier"], None]

FRESH_SEED = 1_000_003  # added to the seed for points that nothing was trained on
FRESH_POINTS = 2000


# -- the network -----------------------------------------------------------------------------------


class Bump(nn.Module):
    """exp(-x^2): a hidden unit that answers near a line of its inputs, and nowhere else."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(-x.square())


UNITS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "bump": Bump}
"""Hidden units by name. Far out, logits of `relu` grow without bound, those of others do not."""


class PlaneClassifier(nn.Module):
    """A multilayer perceptron from points (N, 2) to logits (N, C).

    Args:
        classes: C. Raises ValueError unless there are two at least.
        extent: half the side of the square that the points lie in.
        units: of the hidden layers, a name of `UNITS`.
        width, depth: of the hidden layers.
        seed: of the first weights.

    >>> PlaneClassifier(classes=3, extent=4.0, width=8)(torch.zeros(5, 2)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        classes: int,
        extent: float,
        units: str = "relu",
        width: int = 128,
        depth: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"a classifier needs at least 2 classes, got {classes}.")
        if units not in UNITS:
            raise ValueError(f"units must be one of {', '.join(UNITS)}; got {units!r}.")
        self.scale = 4 / extent
        generator = torch.Generator().manual_seed(check_seed(seed))
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise([2, *[width] * depth, classes]):
            layer: Any = nn.utils.skip_init(nn.Linear, inputs, outputs)
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            nn.init.uniform_(layer.bias, -(inputs**-0.5), inputs**-0.5, generator=generator)
            layers += [layer, UNITS[units]()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z * self.scale)

    @torch.no_grad()
    def logits(self, z: Tensor) -> Tensor:
        """Returns the logits of points (N, 2), (N, C) float64, without a gradient."""
        return self(z.float()).double()


# -- its training ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassifierTraining:
    """The settings of a training of a `PlaneClassifier`: AdamW, its rate falling along a cosine.

    Args:
        steps: of the optimiser.
        batch: ID points a step, and as many auxiliary points.
        lr: the first learning rate.
        weight_decay: of AdamW.
        max_gradient: the norm that a step's gradient is cut to.
        log_points: how often `on_record` is called.
    """

    steps: int = 300
    batch: int = 256
    lr: float = 3e-3
    weight_decay: float = 1e-4
    max_gradient: float = 1.0
    log_points: int = 25

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "log_points"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")


PRETRAINING = ClassifierTraining()
FINE_TUNING = ClassifierTraining(steps=2000, lr=2e-2)


@dataclass(frozen=True)
class ClassifierRecord:
    """One line of a training's history.

    Args:
        step, steps: how many are done, and how many there are.
        loss: the mean since the last record.
    """

    step: int
    steps: int
    loss: float


def _no_record(record: ClassifierRecord, classifier: PlaneClassifier) -> None:
    """Lets a training go on."""


def train_classifier(
    toy: Toy,
    seed: int = 0,
    units: str = "relu",
    training: ClassifierTraining = PRETRAINING,
    on_record: OnRecord = _no_record,
) -> PlaneClassifier:
    """Returns a classifier of a toy's modes, trained by cross-entropy.

    Args:
        toy: gives the training points.
        seed: of the points, of the first weights and of the batches.
        units: of the network, a name of `UNITS`.
        on_record: takes a record and the classifier as it is then.

    Raises:
        ValueError: the toy has one class.
    """
    if toy.modes < 2:
        raise ValueError(
            f"{toy.title} has 1 class, so there is nothing to classify: choose a toy with more."
        )
    classifier = PlaneClassifier(toy.modes, toy.extent, units, seed=seed)

    def loss(id_logits: Tensor, labels: Tensor, auxiliary_logits: Tensor) -> Tensor:
        return cross_entropy(id_logits, labels)

    no_points = torch.zeros(0, 2)
    _train(classifier, toy.features(seed=seed), no_points, loss, training, seed, on_record)
    return classifier


def fine_tune(
    classifier: PlaneClassifier,
    toy: Toy,
    auxiliary: Tensor,
    objective: ClassifierObjective,
    seed: int = 0,
    training: ClassifierTraining = FINE_TUNING,
    on_record: OnRecord = _no_record,
) -> PlaneClassifier:
    """Returns a copy of a classifier that was trained on with an objective and auxiliary points.

    Args:
        classifier: of the toy; it stays as it is.
        toy: gives the training points, those of the seed.
        auxiliary: (M, 2) OOD points.
        objective: the loss.
        on_record: takes a record and the classifier as it is then.

    Raises:
        ValueError: `check_auxiliary` refuses the auxiliary points.
    """
    check_auxiliary(auxiliary, toy)
    tuned = copy.deepcopy(classifier)
    _train(tuned, toy.features(seed=seed), auxiliary, objective.loss, training, seed, on_record)
    return tuned


def _train(
    classifier: PlaneClassifier,
    train: Features,
    auxiliary: Tensor,
    loss_of: Callable[[Tensor, Tensor, Tensor], Tensor],
    training: ClassifierTraining,
    seed: int,
    on_record: OnRecord,
) -> None:
    """Trains a classifier in place; `loss_of` takes ID logits, labels, auxiliary logits."""
    assert train.y is not None
    generator = torch.Generator().manual_seed(check_seed(seed))
    optimiser = torch.optim.AdamW(
        classifier.parameters(), lr=training.lr, weight_decay=training.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, training.steps)
    with_record = steps_with_record(training.steps, training.log_points)
    losses: list[float] = []
    with torch_threads(1):
        for step in range(1, training.steps + 1):
            rows = torch.randint(len(train.z), (training.batch,), generator=generator)
            points = train.z[rows]
            if len(auxiliary):
                drawn = torch.randint(len(auxiliary), (training.batch,), generator=generator)
                points = torch.cat([points, auxiliary[drawn]])
            logits = classifier(points)
            loss = loss_of(logits[: len(rows)], train.y[rows], logits[len(rows) :])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(classifier.parameters(), training.max_gradient)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
            if step in with_record:
                mean_loss = math.fsum(losses) / len(losses)
                losses.clear()
                on_record(ClassifierRecord(step, training.steps, mean_loss), classifier)


# -- what it says ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LogitReading:
    """What logits say of points: log max softmax = energy + max logit, exactly.

    Args:
        log_softmax: (N,) the log of the largest softmax share.
        energy: (N,) the free energy.
        max_logit: (N,) the largest logit.
        predicted: (N,) the class of the largest logit.
    """

    log_softmax: Array
    energy: Array
    max_logit: Array
    predicted: NDArray[np.int64]


def read_logits(logits: Tensor | NDArray, temperature: float = 1.0) -> LogitReading:
    """Returns the reading of logits (N, C), each divided by the temperature for the softmax.

    With another temperature than 1 it is log max softmax = (energy + max logit) / temperature.

    Raises:
        ValueError: the temperature is not above 0.

    >>> reading = read_logits(torch.tensor([[2.0, 0.0]]))
    >>> parts = reading.log_softmax, reading.energy, reading.max_logit
    >>> [round(float(part[0]), 4) for part in parts]
    [-0.1269, -2.1269, 2.0]
    """
    exact = torch.as_tensor(logits).double()
    energy = free_energy(exact, temperature)
    largest, predicted = exact.max(1)
    log_softmax = (energy + largest) / temperature
    return LogitReading(log_softmax.numpy(), energy.numpy(), largest.numpy(), predicted.numpy())


def fresh_points(toy: Toy, seed: int = 0, count: int = FRESH_POINTS) -> Features:
    """Returns ID points of a toy that nothing was trained on, with labels."""
    return toy.features(count, seed + FRESH_SEED)


def accuracy(classifier: PlaneClassifier, points: Features) -> float:
    """Returns the share of points (N, 2) that a classifier gives the right class."""
    assert points.y is not None
    return float((classifier.logits(points.z).argmax(1) == points.y).double().mean())


@dataclass(frozen=True)
class RankCorrelations:
    """Spearman's rank correlations with the exact log density, over the cells of a grid.

    Args:
        energy: of -energy.
        softmax: of the log max softmax.
    """

    energy: float
    softmax: float


def rank_correlations(reading: LogitReading, grid: Grid) -> RankCorrelations:
    """Returns how far the ranks of what logits say follow the exact density on a grid.

    Where the density is zero, cells share one rank.

    Args:
        reading: of the grid's points.
    """
    truth = grid.true_log_prob
    by_energy: Any = spearmanr(truth, -reading.energy)
    by_softmax: Any = spearmanr(truth, reading.log_softmax)
    return RankCorrelations(float(by_energy.statistic), float(by_softmax.statistic))


# -- auxiliary OOD points --------------------------------------------------------------------------

ID_SHARE = 0.999  # of ID points that lie where the density says "ID"
GAP = 0.03  # extents that auxiliary points are drawn apart from there
MAX_AUXILIARY = 20_000
FAR_SQUARE = 1.5  # extents of the square that auxiliary points are spread over


def id_log_density(toy: Toy) -> float:
    """Returns the log density that all but a thousandth of a toy's points reach."""
    points, _ = toy.sample(4000, torch.Generator().manual_seed(0))
    return float(torch.quantile(toy.log_prob(points), 1 - ID_SHARE))


def check_auxiliary(points: Tensor, toy: Toy) -> None:
    """Refuses auxiliary points (M, 2) that cannot teach what OOD is.

    Raises:
        ValueError: there is none, or too many, one is not finite, or lies where ID points do.
    """
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"auxiliary points must have shape (M, 2), got {tuple(points.shape)}.")
    if not len(points):
        raise ValueError("there is no auxiliary point: draw a region, or choose another set.")
    if len(points) > MAX_AUXILIARY:
        raise ValueError(f"at most {MAX_AUXILIARY:,} auxiliary points, got {len(points):,}.")
    if not bool(torch.isfinite(points).all()):
        raise ValueError("auxiliary points must be finite.")
    is_id = toy.log_prob(points) >= id_log_density(toy)
    if bool(is_id.any()):
        raise ValueError(
            f"{int(is_id.sum()):,} of {len(points):,} auxiliary points lie where ID points do: "
            "auxiliary points must be OOD."
        )


def auxiliary_around(toy: Toy, count: int = 4000, seed: int = 0) -> Tensor:
    """Returns points (count, 2) spread evenly over a square 1.5 times as wide, outside of ID."""
    half = FAR_SQUARE * toy.extent

    def draw(generator: torch.Generator) -> Tensor:
        return (2 * torch.rand(count, 2, generator=generator) - 1) * half

    return _outside_of_id(toy, draw, count, seed)


def auxiliary_ring(toy: Toy, count: int = 4000, seed: int = 0) -> Tensor:
    """Returns points (count, 2) of a ring about the toy's square, outside of ID."""

    def draw(generator: torch.Generator) -> Tensor:
        angle = 2 * math.pi * torch.rand(count, generator=generator)
        radius = toy.extent * (1 + 0.05 * torch.randn(count, generator=generator))
        return radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)

    return _outside_of_id(toy, draw, count, seed)


def auxiliary_of(other: Toy, toy: Toy, count: int = 4000, seed: int = 0) -> Tensor:
    """Returns points (count, 2) of another toy, as wide as this one, outside of ID.

    Raises:
        ValueError: hardly any of them lies outside of ID.
    """

    def draw(generator: torch.Generator) -> Tensor:
        return other.sample(count, generator)[0] * (toy.extent / other.extent)

    return _outside_of_id(toy, draw, count, seed)


def auxiliary_in(corners: Array, count: int = 2000, seed: int = 0) -> Tensor:
    """Returns points (count, 2) spread evenly over a polygon.

    Args:
        corners: (K, 2) in order.

    Raises:
        ValueError: it has fewer than three corners, or no area.
    """
    corners = np.asarray(corners, np.float64).reshape(-1, 2)
    if len(corners) < 3 or not np.isfinite(corners).all():
        raise ValueError("the drawing is empty: draw a region with the box or the lasso.")
    following = np.roll(corners, -1, 0)
    doubled = corners[:, 0] * following[:, 1] - corners[:, 1] * following[:, 0]
    low, high = corners.min(0), corners.max(0)
    if abs(doubled.sum()) < 1e-6 * max(float(np.prod(high - low)), 1e-12):
        raise ValueError("the drawing has no area: draw a region with the box or the lasso.")
    random = np.random.default_rng(check_seed(seed))
    parts: list[Array] = []
    found = 0
    for _ in range(1000):
        points = random.uniform(low, high, (count, 2))
        inside = points[points_in_polygon(corners, points)]
        parts.append(inside)
        found += len(inside)
        if found >= count:
            break
    return torch.from_numpy(np.concatenate(parts)[:count]).float()


def auxiliary_in_all(
    polygons: Sequence[Sequence[tuple[float, float]]], count: int = 2000, seed: int = 0
) -> Tensor:
    """Returns points (about count, 2), each polygon with as many as the others.

    Raises:
        ValueError: there is no polygon, or one of them is none.
    """
    if not polygons:
        raise ValueError("the drawing is empty: draw a region with the box or the lasso.")
    share = max(1, count // len(polygons))
    parts = [auxiliary_in(np.array(corners), share, seed + i) for i, corners in enumerate(polygons)]
    return torch.cat(parts)


def ring_of_points(radius: float, count: int) -> Tensor:
    """Returns points evenly on a circle about the origin, (count, 2)."""
    angle = torch.arange(count) * (2 * math.pi / count)
    return radius * torch.stack([angle.cos(), angle.sin()], 1)


def _outside_of_id(
    toy: Toy, draw: Callable[[torch.Generator], Tensor], count: int, seed: int
) -> Tensor:
    """Returns the first `count` drawn points, (count, 2), that lie clearly outside of ID."""
    generator = torch.Generator().manual_seed(check_seed(seed))
    level = id_log_density(toy)
    gap = GAP * toy.extent
    corners = torch.tensor([[gap, gap], [gap, -gap], [-gap, gap], [-gap, -gap]])
    parts: list[Tensor] = []
    for _ in range(50):
        points = draw(generator)
        for offset in (torch.zeros(2), *corners):
            points = points[toy.log_prob(points + offset) < level]
        parts.append(points)
        if sum(map(len, parts)) >= count:
            return torch.cat(parts)[:count]
    raise ValueError(
        f"hardly any of these auxiliary points lies outside of {toy.title}: choose another set."
    )


# -- margins ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MarginShares:
    """How much of ID and of the auxiliary points lies beyond its margin, as shares.

    Args:
        inside: ID energies at or below the ID margin.
        auxiliary: auxiliary energies at or above theirs.
    """

    inside: float
    auxiliary: float


def margin_shares(
    id_energy: Array, auxiliary_energy: Array, id_margin: float, auxiliary_margin: float
) -> MarginShares:
    """Returns the shares of energies (N,) and (M,) that lie beyond their margins.

    >>> margin_shares(np.array([-3.0, -1.0]), np.array([0.0, 1.0]), -2.0, 0.0)
    MarginShares(inside=0.5, auxiliary=1.0)
    """
    return MarginShares(
        float(np.mean(id_energy <= id_margin)),
        float(np.mean(auxiliary_energy >= auxiliary_margin)),
    )
