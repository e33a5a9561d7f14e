"""Detectors of principal subspaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from heat_core.energies import Energy, LogSumExp, PrincipalShare, Residual
from heat_core.features import Features

from .choosing import Choosing
from .detector import NeedsHead, Shape


@dataclass(frozen=True)
class ViM(Choosing, NeedsHead):
    """a ||P (z + W^+ b)|| - logsumexp(f), P to the directions that are not principal.

    Args:
        principal: how many directions are, at least 1 and fewer than d. By default chosen at fit on
            ID data alone among d / 16, d / 8, d / 4 and d / 2; where that cannot be, d / 2, which
            is about what was published (1,000 of 2,048).

    Reference: Wang et al. 2022, arXiv:2203.10807.

    >>> import torch
    >>> from heat_core.features import Features, Head
    >>> z = torch.tensor([[2.0, 0.1], [2.0, -0.1]])
    >>> train = Features(z, torch.tensor([0, 1]), Head(torch.eye(2), torch.zeros(2)))
    >>> ViM(principal=1).fit(train)(torch.tensor([[2.0, 0.0], [2.0, 0.1]]))  # 2, and 20 * 0.1 more
    tensor([-2.1269, -0.1394])
    """

    principal: int | None = None
    title: ClassVar[str] = "ViM"
    summary: ClassVar[str] = "what no principal direction explains, and how small the logits are"
    setting: ClassVar[str] = "principal"
    grid: ClassVar[tuple[float, ...]] = (16, 8, 4, 2)
    """What d is divided by."""

    def __post_init__(self) -> None:
        if self.principal is not None and self.principal < 1:
            raise ValueError(f"principal must be at least 1, got {self.principal}.")

    def fallback_on(self, shape: Shape) -> float:
        return shape.dim // 2

    def candidates(self, train: Features) -> Sequence[float]:
        return sorted({max(1, train.dim // int(divisor)) for divisor in self.grid})

    def build(self, shape: Shape) -> Energy:
        residual = Residual(shape.dim, int(self.value(shape)))
        return residual + LogSumExp(shape.dim, shape.head)

    def term_names(self, shape: Shape) -> tuple[str, ...]:
        return "residual", "logits"

    def unsupported_reason(self, shape: Shape) -> str:
        least = 1 if self.principal is None else self.principal
        if shape.dim > least:
            return super().unsupported_reason(shape)
        return f"ViM with {least} principal directions needs more features, got {shape.dim}."


@dataclass(frozen=True)
class NECO(NeedsHead):
    """-||PCA(s)|| / ||s|| * max f, s the standardised features.

    Args:
        variance: the share of the variance that the principal directions have, in (0, 1].

    Reference: Ammar et al. 2024, arXiv:2310.06823.

    >>> import torch
    >>> from heat_core.features import Features, Head
    >>> z = torch.tensor([[2.0, 2.1], [4.0, 3.9], [6.0, 6.0]])
    >>> head = Head(torch.eye(2), torch.zeros(2))
    >>> energy = NECO().fit(Features(z, torch.tensor([0, 1, 1]), head))
    >>> energy(torch.tensor([[6.0, 6.0], [6.0, 2.0]]))
    tensor([-5.9996, -0.0730])
    """

    variance: float = 0.9
    title: ClassVar[str] = "NECO"
    summary: ClassVar[str] = (
        "how much of the feature is not principal, and how small the logits are"
    )

    def __post_init__(self) -> None:
        if not 0 < self.variance <= 1:
            raise ValueError(f"variance must be above 0 and at most 1, got {self.variance}.")

    def build(self, shape: Shape) -> Energy:
        return PrincipalShare(shape.dim, shape.head, self.variance)
