"""What a detector is, and those with a formula: recipes as frozen dataclasses that build an energy and fit it.

A recipe holds every hyperparameter and nothing else.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from heat_core.diagnostics import Subject
from heat_core.energies.energy import (
    Energy,
    GaussianMixture,
    Given,
    LogSumExp,
    Mahalanobis,
    MaxSoftmax,
    Neighbors,
    Normalized,
    on_sphere,
    working_precision,
)
from heat_core.features import NOTHING, Auxiliary, Features
from heat_core.training.trainer import OnRecord, ignore


@dataclass(frozen=True)
class Shape:
    """What an energy must know of its training features before it sees them.

    dim: their width d.
    classes: how many distinct labels they have; a head may know more.
    rows: N.
    head: how many logits the classifier's head gives, 0 without one.
    views: {name: width} of their other views.
    """

    dim: int
    classes: int
    rows: int
    head: int
    views: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, train: Features) -> Shape:
        views = {name: view.shape[1] for name, view in train.views.items()}
        return cls(train.dim, len(train.classes), len(train), 0 if train.head is None else len(train.head.bias), views)

    def width(self, view: str) -> int:
        """Returns how many columns a view has; `z` is the features themselves."""
        return self.dim if view == "z" else self.views[view]


class Detector(abc.ABC):
    """A recipe for a score. Two equal recipes with the same seed and features give the same scores."""

    title: ClassVar[str]
    summary: ClassVar[str]

    @property
    def trains(self) -> bool:
        """Whether fitting takes steps, and a seed."""
        return False

    @abc.abstractmethod
    def build(self, shape: Shape) -> Energy:
        """Returns a blank energy, ready for `load_state_dict`."""

    def reads(self, shape: Shape) -> tuple[str, ...]:
        """Returns the views that lie side by side in the energy's input; `z` is the features themselves."""
        return ("z",)

    def fit(self, train: Features, seed: int = 0, on_record: OnRecord = ignore, auxiliary: Auxiliary = NOTHING) -> Energy:
        """Returns the energy fitted to the training features, on their device.

        Args:
            train: ID features; their labels and head are read where the detector needs them.
            seed: for whatever is random.
            on_record: called now and then by a detector that trains.
            auxiliary: what else was made of ID images; a detector without use for it does not look.

        Raises:
            ValueError: the features lack what the detector needs.
        """
        reason = self.lacks(Shape.of(train))
        if reason:
            raise ValueError(reason)
        return self.blank(train).fit(train)

    def note(self, energy: Energy) -> str:
        """Returns what must be said of an energy that this recipe fitted, in words, or nothing."""
        return ""

    def subject(self, energy: Energy, train: Features, auxiliary: Auxiliary, seed: int) -> Subject | None:
        """Returns what there is to diagnose of a fitted energy; None where nothing was learned."""
        return None

    def blank(self, train: Features) -> Energy:
        """Returns `build` of the features' shape, on their device and in their working precision."""
        return self.build(Shape.of(train)).to(train.z.device, working_precision(train.z))

    def lacks(self, shape: Shape) -> str:
        """Returns why this detector cannot be fitted to features of this shape, or nothing."""
        return ""


def check_temperature(temperature: float) -> None:
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}.")


class _NeedsHead(Detector):
    def lacks(self, shape: Shape) -> str:
        return "" if shape.head else f"{self.title} needs the classifier's head (weight and bias), and there is none."


@dataclass(frozen=True)
class MSP(_NeedsHead):
    """Maximum softmax probability: -max_c softmax(f)_c. Reference: Hendrycks and Gimpel 2017, arXiv:1610.02136."""

    title: ClassVar[str] = "MSP"
    summary: ClassVar[str] = "how unsure the classifier's softmax is"

    def build(self, shape: Shape) -> Energy:
        return MaxSoftmax(shape.dim, shape.head)


@dataclass(frozen=True)
class EnergyLogits(_NeedsHead):
    """-T logsumexp(f / T) of the classifier's logits. Reference: Liu et al. 2020, arXiv:2010.03759."""

    temperature: float = 1.0
    title: ClassVar[str] = "Energy"
    summary: ClassVar[str] = "how small the classifier's logits are, all together"

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    def build(self, shape: Shape) -> Energy:
        return LogSumExp(shape.dim, shape.head, self.temperature)


@dataclass(frozen=True)
class Normalizing(Detector):
    """A detector on z / ||z||, or on z as it is (in 2D, where the radius matters)."""

    normalize: bool = True

    def placed(self, energy: Energy) -> Energy:
        return Normalized(energy) if self.normalize else energy

    def seen(self, train: Features) -> Tensor:
        """Returns what the energy inside sees of the features, (N, d)."""
        return on_sphere(train).z if self.normalize else train.z.to(working_precision(train.z))


@dataclass(frozen=True)
class KNN(Normalizing):
    """Distance to the k-th nearest training feature. Reference: Sun et al. 2022, arXiv:2204.06507 (k=50 for CIFAR-10)."""

    k: int = 50
    title: ClassVar[str] = "KNN"
    summary: ClassVar[str] = "how far the k-th nearest training image is"

    def build(self, shape: Shape) -> Energy:
        return self.placed(Neighbors(shape.dim, shape.rows, self.k))

    def lacks(self, shape: Shape) -> str:
        return "" if self.k <= shape.rows else f"KNN needs at least k = {self.k} training rows, got {shape.rows}."


@dataclass(frozen=True)
class SSD(Normalizing):
    """Squared Mahalanobis distance to the nearest class mean. Reference: Sehwag et al. 2021, as Lafon et al. 2022 use it."""

    title: ClassVar[str] = "SSD"
    summary: ClassVar[str] = "how far the nearest class is, in units of the classes' own spread"

    def build(self, shape: Shape) -> Energy:
        return self.placed(Mahalanobis(shape.dim, shape.classes))


@dataclass(frozen=True)
class MoG(Normalizing):
    """-log sum_c pi_c N(z; mu_c, Sigma) with one Sigma. Reference: Lafon et al. 2022, eq. 10."""

    title: ClassVar[str] = "MoG"
    summary: ClassVar[str] = "how improbable it is under one Gaussian a class"

    def build(self, shape: Shape) -> Energy:
        return self.placed(GaussianMixture(shape.dim, shape.classes))


@dataclass(frozen=True)
class ODIN(Detector):
    """-max softmax(f(x') / T), x' a step towards a surer classifier. Reference: Liang et al. 2018, arXiv:1706.02690.

    It needs the image and the network, so the score is computed at extraction and read here.
    """

    title: ClassVar[str] = "ODIN"
    summary: ClassVar[str] = "how unsure the softmax is at T = 1000, after a nudge to the image"

    def reads(self, shape: Shape) -> tuple[str, ...]:
        return ("odin",)

    def build(self, shape: Shape) -> Energy:
        return Given()

    def lacks(self, shape: Shape) -> str:
        return "" if "odin" in shape.views else "ODIN needs a score made at extraction (view odin), and there is none."
