"""Detectors that change features, or the weights on them, before the logits' free energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from heat_core.energies import (
    ClippedFeatures,
    Energy,
    PrunedFeatures,
    ScaledFeatures,
    SparseWeights,
)
from heat_core.features import Features

from .choosing import Choosing
from .detector import NeedsHead, Shape


@dataclass(frozen=True)
class ReAct(Choosing, NeedsHead):
    """-logsumexp(W min(z, t) + b), t a percentile of the training features.

    Args:
        percentile: in (0, 100]. By default chosen at fit on ID data alone; where that cannot be,
            the paper's 90.

    Reference: Sun et al. 2021, arXiv:2111.12797.

    >>> import torch
    >>> from heat_core.features import Features, Head
    >>> train = Features(torch.eye(2), torch.tensor([0, 1]), Head(torch.eye(2), torch.zeros(2)))
    >>> ReAct(percentile=100).fit(train)(torch.tensor([[9.0, 0.0]]))  # as (1, 0)
    tensor([-1.3133])
    """

    percentile: float | None = None
    title: ClassVar[str] = "ReAct"
    summary: ClassVar[str] = "how small the logits are once large features are clipped"
    setting: ClassVar[str] = "percentile"
    grid: ClassVar[tuple[float, ...]] = (80.0, 85.0, 90.0, 95.0, 98.0, 100.0)
    fallback: ClassVar[float] = 90.0

    def __post_init__(self) -> None:
        _check_percentile(self.percentile, above_zero=True)

    def build(self, shape: Shape) -> Energy:
        return ClippedFeatures(shape.dim, shape.head, self.value(shape))


@dataclass(frozen=True)
class _OfPositiveFeatures(Choosing, NeedsHead):
    """A detector of sums of a row's features, which must be 0 or more.

    Args:
        percentile: q, in [0, 100): the (100 - q) % largest features of a row count. By default
            chosen at fit on ID data alone; where that cannot be, 65. The 85 that was published for
            2,048 features leaves too few of a narrow layer.
    """

    percentile: float | None = None
    setting: ClassVar[str] = "percentile"
    grid: ClassVar[tuple[float, ...]] = (50.0, 60.0, 65.0, 70.0, 75.0, 80.0, 85.0)
    fallback: ClassVar[float] = 65.0

    def __post_init__(self) -> None:
        _check_percentile(self.percentile, above_zero=False)

    def unsupported_features(self, train: Features) -> str:
        reason = super().unsupported_features(train)
        if reason or train.z.min() >= 0:
            return reason
        return (
            f"{self.title} needs features of 0 or more, as a ReLU leaves them; "
            f"the smallest is {float(train.z.min()):.3g}."
        )


@dataclass(frozen=True)
class SCALE(_OfPositiveFeatures):
    """-logsumexp(W r z + b), r = exp(sum of z / sum of its largest features).

    Reference: Xu et al. 2024, arXiv:2310.00227.

    >>> import torch
    >>> from heat_core.features import Features, Head
    >>> head = Head(torch.eye(2), torch.zeros(2))
    >>> z = torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    >>> SCALE(percentile=50).fit(Features(z, torch.tensor([0, 1]), head))(z)  # r is e and e^2
    tensor([-8.1551, -8.0822])
    """

    title: ClassVar[str] = "SCALE"
    summary: ClassVar[str] = "how small the logits are, enlarged where features are spread out"

    def build(self, shape: Shape) -> Energy:
        return ScaledFeatures(shape.dim, shape.head, self.value(shape))


@dataclass(frozen=True)
class ASH(_OfPositiveFeatures):
    """SCALE with all but the largest features of a row set to 0.

    Reference: Djurisic et al. 2023, arXiv:2209.09858, where it is ASH-S.

    >>> import torch
    >>> from heat_core.features import Features, Head
    >>> head = Head(torch.eye(2), torch.zeros(2))
    >>> z = torch.tensor([[3.0, 0.0], [2.0, 1.0]])
    >>> ASH(percentile=50).fit(Features(z, torch.tensor([0, 1]), head))(z)  # 3 e and 2 e^1.5
    tensor([-8.1551, -8.9635])
    """

    title: ClassVar[str] = "ASH-S"
    summary: ClassVar[str] = "as SCALE, of a row's largest features alone"

    def build(self, shape: Shape) -> Energy:
        return PrunedFeatures(shape.dim, shape.head, self.value(shape))


@dataclass(frozen=True)
class DICE(NeedsHead):
    """-logsumexp((W * mask) z + b): the weights that contribute most to ID logits.

    Args:
        percentile: in [0, 100): of all contributions, below which a weight counts as 0.

    Reference: Sun and Li 2022, arXiv:2111.09805.

    >>> import torch
    >>> from heat_core.features import Features, Head
    >>> z = torch.tensor([[2.0, 1.0], [2.0, 3.0]])
    >>> head = Head(torch.tensor([[4.0, 1.0], [2.0, 3.0]]), torch.zeros(2))
    >>> DICE(percentile=50).fit(Features(z, torch.tensor([0, 1]), head))(z)  # 4 z_1 and 3 z_2
    tensor([-8.0067, -9.3133])
    """

    percentile: float = 90.0
    title: ClassVar[str] = "DICE"
    summary: ClassVar[str] = "how small the logits are by the weights that matter for ID"

    def __post_init__(self) -> None:
        _check_percentile(self.percentile, above_zero=False)

    def build(self, shape: Shape) -> Energy:
        return SparseWeights(shape.dim, shape.head, self.percentile)


def _check_percentile(percentile: float | None, above_zero: bool) -> None:
    """Raises ValueError unless a percentile is in (0, 100], or in [0, 100), or None."""
    if percentile is None:
        return
    is_within = 0 < percentile <= 100 if above_zero else 0 <= percentile < 100
    if not is_within:
        wanted = "above 0 and at most 100" if above_zero else "0 or more and below 100"
        raise ValueError(f"percentile must be {wanted}, got {percentile}.")
