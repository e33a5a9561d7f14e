"""Further detectors of distances: to training features, prototypes, boundaries and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from heat_core.energies import (
    BoundaryDistance,
    ClassPattern,
    CollapseAngle,
    Energy,
    GuidedLogits,
)
from heat_core.features import Features
from heat_core.splits import sample

from .choosing import Choosing
from .detector import NeedsHead, Shape

SAMPLE_ROWS = 5000  # of the training features, that standard deviations are taken over


@dataclass(frozen=True)
class NNGuide(Choosing, NeedsHead):
    """-L(z) * mean of the k largest <u(z), L(z_i) u(z_i)>, L = logsumexp(f), u(z) = z / ||z||.

    Args:
        k: how many training features are averaged, at least 1. By default chosen at fit on ID data
            alone; where that cannot be, the paper's 10.

    Reference: Park et al. 2023, arXiv:2309.14888.

    >>> import torch
    >>> from heat_core.features import Features, Head
    >>> train = Features(torch.eye(2), torch.tensor([0, 1]), Head(torch.eye(2), torch.zeros(2)))
    >>> NNGuide(k=1).fit(train)(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    tensor([-1.7247, -1.5723])
    """

    k: int | None = None
    title: ClassVar[str] = "NNGuide"
    summary: ClassVar[str] = "how small the logits are, and those of the nearest training images"
    setting: ClassVar[str] = "k"
    grid: ClassVar[tuple[float, ...]] = (1, 10, 100)
    fallback: ClassVar[float] = 10

    def __post_init__(self) -> None:
        if self.k is not None and self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k}.")

    def fallback_on(self, shape: Shape) -> float:
        return min(self.fallback, shape.rows)

    def candidates(self, train: Features) -> Sequence[float]:
        return sorted({min(int(k), len(train)) for k in self.grid})

    def build(self, shape: Shape) -> Energy:
        return GuidedLogits(shape.dim, shape.head, shape.rows, int(self.value(shape)))

    def unsupported_reason(self, shape: Shape) -> str:
        if self.k is None or self.k <= shape.rows:
            return super().unsupported_reason(shape)
        return f"NNGuide needs at least k = {self.k} training rows, got {shape.rows}."


@dataclass(frozen=True)
class SHE(NeedsHead):
    """-<z, the mean of the training features that are rightly taken for the predicted class>.

    Reference: Zhang et al. 2023, "Out-of-Distribution Detection based on In-Distribution Data
    Patterns Memorization with Modern Hopfield Energy".

    >>> import torch
    >>> from heat_core.features import Features, Head
    >>> train = Features(torch.eye(2), torch.tensor([0, 1]), Head(torch.eye(2), torch.zeros(2)))
    >>> SHE().fit(train)(torch.tensor([[2.0, 0.0], [1.0, 3.0]]))
    tensor([-2., -3.])
    """

    title: ClassVar[str] = "SHE"
    summary: ClassVar[str] = "how unlike the typical image of its class"

    def build(self, shape: Shape) -> Energy:
        return ClassPattern(shape.dim, shape.head)


@dataclass(frozen=True)
class FDBD(NeedsHead):
    """-mean distance to the boundaries with the other classes, by the distance to the mean.

    Reference: Liu and Qin 2024, arXiv:2312.11536, where it is fDBD.

    >>> import torch
    >>> from heat_core.features import Features, Head
    >>> z, head = torch.eye(2) - 0.5, Head(torch.eye(2), torch.zeros(2))
    >>> FDBD().fit(Features(z, torch.tensor([0, 1]), head))(torch.tensor([[2.0, 0.0]]))
    tensor([-0.7071])
    """

    title: ClassVar[str] = "fDBD"
    summary: ClassVar[str] = "how near the borders between classes are"

    def build(self, shape: Shape) -> Energy:
        return BoundaryDistance(shape.dim, shape.head)

    def unsupported_reason(self, shape: Shape) -> str:
        return super().unsupported_reason(shape) or _one_feature_reason(self.title, shape)


@dataclass(frozen=True)
class NCI(Choosing, NeedsHead):
    """-(w_c* . (z - m) / ||z - m|| + alpha ||z||_1): c* the predicted class, m the mean.

    Args:
        alpha: 0 or more. By default chosen at fit on ID data alone, among multiples of what lets
            both terms vary as much; where that cannot be, 0: the norm has no share of its own.

    Reference: Liu and Qin 2025, arXiv:2311.01479.

    >>> import torch
    >>> from heat_core.features import Features, Head
    >>> z, head = torch.eye(2) - 0.5, Head(torch.eye(2), torch.zeros(2))
    >>> NCI(alpha=0.1).fit(Features(z, torch.tensor([0, 1]), head))(torch.tensor([[2.0, 0.0]]))
    tensor([-1.2000])
    """

    alpha: float | None = None
    title: ClassVar[str] = "NCI"
    summary: ClassVar[str] = "how far from the weights of its class, and how faint"
    setting: ClassVar[str] = "alpha"
    grid: ClassVar[tuple[float, ...]] = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
    """Shares of the norm's standard deviation in that of the angle."""

    def __post_init__(self) -> None:
        if self.alpha is not None and not self.alpha >= 0:
            raise ValueError(f"alpha must be 0 or more, got {self.alpha}.")

    def candidates(self, train: Features) -> Sequence[float]:
        energy = CollapseAngle(train.dim, Shape.of(train).head, 0.0).fit(train)
        z = sample(train, SAMPLE_ROWS).z.to(energy.weight)
        with torch.no_grad():
            angle, norm = energy.closeness(z).double(), z.abs().sum(-1).double()
        unit = float(angle.std() / norm.std()) if norm.std() > 0 else 0.0
        return sorted({share * unit for share in self.grid})

    def build(self, shape: Shape) -> Energy:
        return CollapseAngle(shape.dim, shape.head, self.value(shape))

    def unsupported_reason(self, shape: Shape) -> str:
        return super().unsupported_reason(shape) or _one_feature_reason(self.title, shape)


def _one_feature_reason(title: str, shape: Shape) -> str:
    """Returns why a detector of directions has no use for features of this shape, or nothing."""
    if shape.dim > 1:
        return ""
    return (
        f"{title} divides by the distance to the mean, of which a single feature leaves only the "
        "sign; it needs at least 2 features."
    )
