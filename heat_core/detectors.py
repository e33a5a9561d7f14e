"""Recipes: frozen dataclasses that build an energy and fit it. A recipe holds every hyperparameter and nothing else.

To add a detector: subclass `Detector`, give it a `build` (and a `fit` if it trains), put it into `DETECTORS`.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .energies import (
    Energy,
    GaussianMixture,
    LogSumExp,
    Mahalanobis,
    MaxSoftmax,
    Neighbors,
    Network,
    Normalized,
    on_sphere,
    working_precision,
)  # fmt: skip
from .features import Features
from .training import NoiseContrastive, OnRecord, broad, ignore, uniform_cube


@dataclass(frozen=True)
class Shape:
    """What an energy must know of its training features before it sees them.

    dim: their width d.
    classes: how many distinct labels they have; a head may know more.
    rows: N.
    head: how many logits the classifier's head gives, 0 without one.
    """

    dim: int
    classes: int
    rows: int
    head: int

    @classmethod
    def of(cls, train: Features) -> Shape:
        return cls(train.dim, len(train.classes), len(train), 0 if train.head is None else len(train.head.bias))


class Detector(abc.ABC):
    """A recipe for a score. Two equal recipes with the same seed and features give the same scores."""

    title: ClassVar[str]
    summary: ClassVar[str]
    trains: ClassVar[bool] = False

    @abc.abstractmethod
    def build(self, shape: Shape) -> Energy:
        """Returns a blank energy, ready for `load_state_dict`."""

    def fit(self, train: Features, seed: int = 0, on_record: OnRecord = ignore) -> Energy:
        """Returns the energy fitted to the training features, on their device.

        Args:
            train: ID features; their labels and head are read where the detector needs them.
            seed: for whatever is random.
            on_record: called now and then by a detector that trains.

        Raises:
            ValueError: the features lack what the detector needs.
        """
        reason = self.lacks(Shape.of(train))
        if reason:
            raise ValueError(reason)
        return self.blank(train).fit(train)

    def blank(self, train: Features) -> Energy:
        """Returns `build` of the features' shape, on their device and in their working precision."""
        return self.build(Shape.of(train)).to(train.z.device, working_precision(train.z))

    def lacks(self, shape: Shape) -> str:
        """Returns why this detector cannot be fitted to features of this shape, or nothing."""
        return ""


def _check_temperature(temperature: float) -> None:
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
        _check_temperature(self.temperature)

    def build(self, shape: Shape) -> Energy:
        return LogSumExp(shape.dim, shape.head, self.temperature)


@dataclass(frozen=True)
class _Normalizing(Detector):
    """A detector on z / ||z||, or on z as it is (in 2D, where the radius matters)."""

    normalize: bool = True

    def placed(self, energy: Energy) -> Energy:
        return Normalized(energy) if self.normalize else energy

    def seen(self, train: Features) -> Tensor:
        """Returns what the energy inside sees of the features, (N, d)."""
        return on_sphere(train).z if self.normalize else train.z.to(working_precision(train.z))


@dataclass(frozen=True)
class KNN(_Normalizing):
    """Distance to the k-th nearest training feature. Reference: Sun et al. 2022, arXiv:2204.06507 (k=50 for CIFAR-10)."""

    k: int = 50
    title: ClassVar[str] = "KNN"
    summary: ClassVar[str] = "how far the k-th nearest training image is"

    def build(self, shape: Shape) -> Energy:
        return self.placed(Neighbors(shape.dim, shape.rows, self.k))

    def lacks(self, shape: Shape) -> str:
        return "" if self.k <= shape.rows else f"KNN needs at least k = {self.k} training rows, got {shape.rows}."


@dataclass(frozen=True)
class SSD(_Normalizing):
    """Squared Mahalanobis distance to the nearest class mean. Reference: Sehwag et al. 2021, as Lafon et al. 2022 use it."""

    title: ClassVar[str] = "SSD"
    summary: ClassVar[str] = "how far the nearest class is, in units of the classes' own spread"

    def build(self, shape: Shape) -> Energy:
        return self.placed(Mahalanobis(shape.dim, shape.classes))


@dataclass(frozen=True)
class MoG(_Normalizing):
    """-log sum_c pi_c N(z; mu_c, Sigma) with one Sigma. Reference: Lafon et al. 2022, eq. 10."""

    title: ClassVar[str] = "MoG"
    summary: ClassVar[str] = "how improbable it is under one Gaussian a class"

    def build(self, shape: Shape) -> Energy:
        return self.placed(GaussianMixture(shape.dim, shape.classes))


@dataclass(frozen=True)
class Perceptron:
    """The size of a learned energy; the fields are those of `energies.Network`."""

    width: int = 256
    depth: int = 3
    frequencies: int = 0
    bandwidth: float = 1.0

    def build(self, dim: int) -> Network:
        return Network(dim, self.width, self.depth, self.frequencies, self.bandwidth)


@dataclass(frozen=True)
class EBM(_Normalizing):
    """E_theta alone.

    In the plane the noise is uniform on a cube well around the data, so there E_theta = -log p up to a constant. On
    normalised features uniform noise is so far away that telling it apart teaches nothing (the held-out loss is 0 at
    once), so the noise is one broad Gaussian with the data's mean and covariance, on the sphere: E_theta = log n - log p.

    Reference: the model, Lafon et al. 2022; they train it by short-run MCMC.

    Args:
        temperature: of the broad Gaussian; its deviations are sqrt(temperature) times the data's.
    """

    temperature: float = 9.0
    network: Perceptron = Perceptron()
    training: NoiseContrastive = NoiseContrastive()
    title: ClassVar[str] = "EBM"
    summary: ClassVar[str] = "an energy learned from nothing"
    trains: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_temperature(self.temperature)

    def build(self, shape: Shape) -> Energy:
        return self.placed(self.network.build(shape.dim))

    def fit(self, train: Features, seed: int = 0, on_record: OnRecord = ignore) -> Energy:
        energy = self.blank(train).fit(train)
        network = energy.energy if isinstance(energy, Normalized) else energy
        assert isinstance(network, Network)
        z = self.seen(train)
        if self.normalize:
            noise = broad(GaussianMixture(train.dim, 1).to(z).fit(Features(z)), self.temperature, z, on_sphere=True)
        else:
            noise = uniform_cube(z)
        self.training.fit(network, z, noise, seed, energy, on_record)
        return energy.eval()


@dataclass(frozen=True)
class HEAT(_Normalizing):
    """E_G / T_G + E_theta: Gaussians corrected by a learned energy.

    The noise that E_theta learns against stands for the tempered prior, q^(1/T_G): samples of q with deviations sqrt(T_G)
    times as large (for one Gaussian exactly that; for several, without the 1/T_G on their shares). With T_G = 1 and no
    normalising, as in the plane, the sum is -log p of the data. Normalised features have their noise projected to the
    sphere, whose density is not q's: there the sum is a score, not a log density.

    Reference: Lafon et al. 2022 for the model; noise-contrastive training against q is ours.
    """

    temperature: float = 1.0
    network: Perceptron = Perceptron()
    training: NoiseContrastive = NoiseContrastive()
    title: ClassVar[str] = "HEAT"
    summary: ClassVar[str] = "Gaussians, and a learned correction where they are wrong"
    trains: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_temperature(self.temperature)

    def build(self, shape: Shape) -> Energy:
        prior, correction = GaussianMixture(shape.dim, shape.classes), self.network.build(shape.dim)
        return self.placed(prior / self.temperature + correction)

    def fit(self, train: Features, seed: int = 0, on_record: OnRecord = ignore) -> Energy:
        energy = self.blank(train).fit(train)
        z = self.seen(train)
        prior, correction = (energy.energy if isinstance(energy, Normalized) else energy).terms()
        mixture = prior.energy
        assert isinstance(mixture, GaussianMixture)
        assert isinstance(correction, Network)
        noise = broad(mixture, self.temperature, z, on_sphere=self.normalize)
        self.training.fit(correction, z, noise, seed, energy, on_record)
        return energy.eval()


DETECTORS: dict[str, type[Detector]] = {d.title: d for d in (MSP, EnergyLogits, KNN, SSD, MoG, EBM, HEAT)}

_FINE = Perceptron(width=64, depth=2, frequencies=64, bandwidth=4.0)
_LONG = NoiseContrastive(steps=800, batch=512, rate=7e-3)
_SHORT = NoiseContrastive(steps=300, batch=512, rate=1e-2, averaging=0.97)
_SCREEN = NoiseContrastive(steps=600, batch=512, rate=1e-3, weight_decay=1e-2)
_GLANCE = NoiseContrastive(steps=150, batch=512, rate=2e-3, weight_decay=1e-2, averaging=0.97)


def _plane(training: NoiseContrastive) -> dict[str, Detector]:
    return {
        "KNN": KNN(normalize=False),
        "SSD": SSD(normalize=False),
        "MoG": MoG(normalize=False),
        "EBM": EBM(normalize=False, network=_FINE, training=training),
        "HEAT": HEAT(normalize=False, network=_FINE, training=training),
    }


def _features(training: NoiseContrastive) -> dict[str, Detector]:
    closed: dict[str, Detector] = {d.title: d() for d in (MSP, EnergyLogits, KNN, SSD, MoG)}
    return closed | {"EBM": EBM(training=training), "HEAT": HEAT(temperature=9.0, training=training)}


PRESETS: Mapping[str, Mapping[str, Mapping[str, Detector]]] = {
    "plane": {"modern": _plane(_LONG), "quick": _plane(_SHORT)},
    "features": {"modern": _features(_SCREEN), "quick": _features(_GLANCE)},
}
"""Recipes by space (a 2D `plane`, or classifier `features`), preset and detector."""


def recipe(detector: str, preset: str = "modern", space: str = "features") -> Detector:
    """Returns a recipe by name, such as `recipe("HEAT", "quick", "plane")`.

    Raises ValueError naming the known ones.
    """
    for kind, name, known in (
        ("space", space, PRESETS),
        ("detector", detector, DETECTORS),
        ("preset", preset, PRESETS.get(space, {})),
    ):
        if name not in known:
            raise ValueError(f"{kind} must be one of {', '.join(known)}; got {name!r}.")
    if detector not in PRESETS[space][preset]:
        raise ValueError(f"{detector} reads a classifier's logits, which a 2D toy does not have.")
    return PRESETS[space][preset][detector]
