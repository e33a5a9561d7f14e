"""Further detectors of Gaussians: relative, radially scaled, and with a covariance a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from heat_core.energies import (
    ClassGaussians,
    Energy,
    Mahalanobis,
    RadiallyScaled,
    RelativeMahalanobis,
)

from .choosing import Choosing
from .detector import Normalizing, Shape
from .logits import MAX_NUMBERS


@dataclass(frozen=True)
class RMD(Normalizing):
    """Squared Mahalanobis distance to the nearest class, less that to the mean of all rows.

    Reference: Ren et al. 2021, arXiv:2106.09022.

    >>> import torch
    >>> from heat_core.features import Features
    >>> train = Features(torch.tensor([[0.0], [2.0], [8.0], [10.0]]), torch.tensor([0, 0, 1, 1]))
    >>> RMD().fit(train)(torch.tensor([[5.0]]))
    tensor([16.])
    """

    normalize: bool = False
    title: ClassVar[str] = "RMD"
    summary: ClassVar[str] = "how far the nearest class is, less how far the mean of all classes is"

    def build(self, shape: Shape) -> Energy:
        return self.normalized(RelativeMahalanobis(shape.dim, shape.classes))

    def unsupported_reason(self, shape: Shape) -> str:
        if shape.classes > 1:
            return super().unsupported_reason(shape)
        return f"{self.title} holds classes against all rows, so it needs at least 2; got 1."


@dataclass(frozen=True)
class RMDPlusPlus(RMD):
    """RMD on z / ||z||.

    Reference: Mueller and Hein 2025, arXiv:2505.18032, where it is RMD++.

    >>> RMDPlusPlus().normalize
    True
    """

    normalize: bool = True
    title: ClassVar[str] = "RMD++"
    summary: ClassVar[str] = "as RMD, of the direction alone"


@dataclass(frozen=True)
class RadialMahalanobis(Choosing):
    """Squared Mahalanobis distance to the nearest class mean, on z / ||z||^beta.

    It is fitted to the training rows alone, also where moments of a larger set are known: these are
    of other lengths.

    Args:
        beta: 0 or more. By default chosen at fit on ID data alone; where that cannot be, 1, which
            is SSD.

    Reference: arXiv:2510.15202.

    >>> import torch
    >>> from heat_core.features import Features
    >>> train = Features(torch.tensor([[0.0], [2.0], [8.0], [10.0]]), torch.tensor([0, 0, 1, 1]))
    >>> RadialMahalanobis(beta=0).fit(train)(torch.tensor([[5.0]]))
    tensor([16.])
    """

    beta: float | None = None
    title: ClassVar[str] = "Radial"
    summary: ClassVar[str] = "as SSD, with as much of the feature's length as ID data asks for"
    setting: ClassVar[str] = "beta"
    grid: ClassVar[tuple[float, ...]] = (0.0, 0.5, 1.0, 1.25, 1.5, 1.75, 2.0)
    fallback: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if self.beta is not None and not self.beta >= 0:
            raise ValueError(f"beta must be 0 or more, got {self.beta}.")

    def build(self, shape: Shape) -> Energy:
        return RadiallyScaled(Mahalanobis(shape.dim, shape.classes), self.value(shape))

    def unsupported_reason(self, shape: Shape) -> str:
        if shape.dim > 1 or self.beta == 0:
            return ""
        return "Radial divides by the length of z, so it needs at least 2 features; got 1."


@dataclass(frozen=True)
class ClassMoG(Normalizing, Choosing):
    """-log sum_c pi_c N(z; mu_c, Sigma_c), each Sigma_c shrunk towards the common Sigma.

    Args:
        shrinkage: in [0, 1]; 1 is the MoG. By default chosen at fit on ID data alone; where that
            cannot be, a half.

    Reference: Friedman 1989, "Regularized Discriminant Analysis".

    >>> import torch
    >>> from heat_core.features import Features
    >>> train = Features(torch.tensor([[-1.0], [1.0]]))
    >>> ClassMoG(normalize=False, shrinkage=0).fit(train)(torch.tensor([[0.0], [2.0]]))
    tensor([0.9189, 2.9189])
    """

    shrinkage: float | None = None
    title: ClassVar[str] = "MoG-full"
    summary: ClassVar[str] = "as MoG, each class with a spread of its own"
    setting: ClassVar[str] = "shrinkage"
    grid: ClassVar[tuple[float, ...]] = (0.1, 0.25, 0.5, 0.75, 1.0)
    fallback: ClassVar[float] = 0.5

    def __post_init__(self) -> None:
        if self.shrinkage is not None and not 0 <= self.shrinkage <= 1:
            raise ValueError(f"shrinkage must lie in 0..1, got {self.shrinkage}.")

    def build(self, shape: Shape) -> Energy:
        return self.normalized(ClassGaussians(shape.dim, shape.classes, self.value(shape)))

    def unsupported_reason(self, shape: Shape) -> str:
        numbers = shape.classes * shape.dim**2
        if numbers <= MAX_NUMBERS:
            return super().unsupported_reason(shape)
        return (
            f"MoG-full keeps C x d x d numbers, {numbers:,} of {shape.classes:,} classes and "
            f"{shape.dim:,} features; at most {MAX_NUMBERS:,} are wanted."
        )
