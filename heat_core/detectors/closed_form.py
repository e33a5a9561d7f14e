"""Detectors with a formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from heat_core.energies import (
    Energy,
    GaussianMixture,
    LogSumExp,
    Mahalanobis,
    MaxSoftmax,
    Neighbors,
    PrecomputedScore,
)

from .detector import Detector, NeedsHead, Normalizing, Shape, check_temperature

# -- of the classifier's logits --------------------------------------------------------------------


@dataclass(frozen=True)
class MSP(NeedsHead):
    """Maximum softmax probability, as log(1 - max_c softmax(f)_c), which has no ties.

    Reference: Hendrycks and Gimpel 2017, arXiv:1610.02136.

    >>> MSP().unsupported_reason(Shape(dim=3, classes=2, rows=90, head=0))
    "MSP needs the classifier's head (weight and bias), and there is none."
    """

    title: ClassVar[str] = "MSP"
    summary: ClassVar[str] = "how unsure the classifier's softmax is"

    def build(self, shape: Shape) -> Energy:
        return MaxSoftmax(shape.dim, shape.head)


@dataclass(frozen=True)
class EnergyLogits(NeedsHead):
    """-T logsumexp(f / T) of the classifier's logits.

    Args:
        temperature: T, above 0.

    Reference: Liu et al. 2020, arXiv:2010.03759.

    >>> import torch
    >>> from heat_core.features import Features, Head
    >>> head = Head(torch.eye(2), torch.zeros(2))
    >>> energy = EnergyLogits().fit(Features(torch.ones(4, 2), torch.tensor([0, 0, 1, 1]), head))
    >>> energy(torch.tensor([[3.0, 0.0], [0.0, 0.0]]))
    tensor([-3.0486, -0.6931])
    """

    temperature: float = 1.0
    title: ClassVar[str] = "Energy"
    summary: ClassVar[str] = "how small the classifier's logits are, all together"

    def __post_init__(self) -> None:
        check_temperature(self.temperature)

    def build(self, shape: Shape) -> Energy:
        return LogSumExp(shape.dim, shape.head, self.temperature)


@dataclass(frozen=True)
class ODIN(Detector):
    """-max softmax(f(x') / T), x' a step towards a surer classifier.

    It needs the image and the network, so the score is computed at extraction and read here.
    Reference: Liang et al. 2018, arXiv:1706.02690.

    >>> ODIN().input_views(Shape(dim=3, classes=2, rows=90, head=2, views={"odin": 1}))
    ('odin',)
    """

    title: ClassVar[str] = "ODIN"
    summary: ClassVar[str] = "how unsure the softmax is at T = 1000, after a nudge to the image"

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        return ("odin",)

    def build(self, shape: Shape) -> Energy:
        return PrecomputedScore()

    def unsupported_reason(self, shape: Shape) -> str:
        if "odin" in shape.views:
            return ""
        return "ODIN needs a score made at extraction (view odin), and there is none."


# -- of the features -------------------------------------------------------------------------------


@dataclass(frozen=True)
class KNN(Normalizing):
    """Distance to the k-th nearest training feature.

    Args:
        k: which neighbour, at least 1.

    Reference: Sun et al. 2022, arXiv:2204.06507 (k = 50 for CIFAR-10).

    >>> import torch
    >>> from heat_core.features import Features
    >>> energy = KNN(normalize=False, k=2).fit(Features(torch.tensor([[0.0], [1.0], [5.0]])))
    >>> energy(torch.tensor([[0.0], [9.0]]))
    tensor([1., 8.])
    """

    k: int = 50
    title: ClassVar[str] = "KNN"
    summary: ClassVar[str] = "how far the k-th nearest training image is"

    def build(self, shape: Shape) -> Energy:
        return self.normalized(Neighbors(shape.dim, shape.rows, self.k))

    def unsupported_reason(self, shape: Shape) -> str:
        if self.k <= shape.rows:
            return super().unsupported_reason(shape)
        return f"KNN needs at least k = {self.k} training rows, got {shape.rows}."


@dataclass(frozen=True)
class SSD(Normalizing):
    """Squared Mahalanobis distance to the nearest class mean.

    On z / ||z|| it is what Mueller and Hein call Mahalanobis++ (2025, arXiv:2505.18032).
    Reference: Sehwag et al. 2021, arXiv:2103.12051, as Lafon et al. 2022 use it.

    >>> import torch
    >>> from heat_core.features import Features
    >>> energy = SSD(normalize=False).fit(Features(torch.tensor([[-1.0], [1.0]])))
    >>> energy(torch.tensor([[0.0], [3.0]]))
    tensor([0., 9.])
    """

    title: ClassVar[str] = "SSD"
    summary: ClassVar[str] = (
        "how far the nearest class is, in standard deviations of the classes; in 2025 it was named "
        "Mahalanobis++"
    )

    def build(self, shape: Shape) -> Energy:
        return self.normalized(Mahalanobis(shape.dim, shape.classes))


@dataclass(frozen=True)
class MoG(Normalizing):
    """-log sum_c pi_c N(z; mu_c, Sigma) with one Sigma.

    Reference: Lafon et al. 2022, eq. 10.

    >>> import torch
    >>> from heat_core.features import Features
    >>> energy = MoG(normalize=False).fit(Features(torch.tensor([[-1.0], [1.0]])))
    >>> energy(torch.tensor([[0.0], [2.0]]))  # log sqrt(2 pi), and 2 more
    tensor([0.9189, 2.9189])
    """

    title: ClassVar[str] = "MoG"
    summary: ClassVar[str] = "how improbable it is under one Gaussian a class"

    def build(self, shape: Shape) -> Energy:
        return self.normalized(GaussianMixture(shape.dim, shape.classes))
