"""Further detectors of the classifier's logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from heat_core.energies import (
    Energy,
    GeneralizedEntropy,
    LargestLogit,
    PosteriorDivergence,
)

from .detector import NeedsHead, Shape

MAX_NUMBERS = 2**27  # that a fitted energy may hold: 512 MiB in float32


@dataclass(frozen=True)
class MaxLogit(NeedsHead):
    """-max_c f_c of the classifier's logits.

    Reference: Hendrycks et al. 2022, arXiv:1911.11132.

    >>> import torch
    >>> from heat_core.features import Features, Head
    >>> head = Head(torch.eye(2), torch.zeros(2))
    >>> energy = MaxLogit().fit(Features(torch.ones(4, 2), torch.tensor([0, 0, 1, 1]), head))
    >>> energy(torch.tensor([[3.0, 0.0], [0.0, 0.0]]))
    tensor([-3., -0.])
    """

    title: ClassVar[str] = "MaxLogit"
    summary: ClassVar[str] = "how small the classifier's largest logit is"

    def build(self, shape: Shape) -> Energy:
        return LargestLogit(shape.dim, shape.head)


@dataclass(frozen=True)
class GEN(NeedsHead):
    """sum over the M largest p_c of (p_c (1 - p_c))^gamma, p the classifier's softmax.

    Args:
        gamma: above 0.
        largest: M, at least 1; all classes where there are fewer.

    Reference: Liu et al. 2023, "GEN: Pushing the Limits of Softmax-Based Out-of-Distribution
    Detection" (gamma = .1, M = 100).

    >>> import torch
    >>> from heat_core.features import Features, Head
    >>> head = Head(torch.eye(2), torch.zeros(2))
    >>> energy = GEN().fit(Features(torch.ones(4, 2), torch.tensor([0, 0, 1, 1]), head))
    >>> energy(torch.tensor([[9.0, 0.0], [0.0, 0.0]]))
    tensor([0.8131, 1.7411])
    """

    gamma: float = 0.1
    largest: int = 100
    title: ClassVar[str] = "GEN"
    summary: ClassVar[str] = "how far the classifier's softmax is from being sure, small shares too"

    def __post_init__(self) -> None:
        if not self.gamma > 0 or self.largest < 1:
            raise ValueError(
                "gamma must be above 0 and largest at least 1, "
                f"got {self.gamma} and {self.largest}."
            )

    def build(self, shape: Shape) -> Energy:
        return GeneralizedEntropy(shape.dim, shape.head, self.gamma, self.largest)


@dataclass(frozen=True)
class KLM(NeedsHead):
    """min_c KL(p, P_c): the softmax p against its mean over the rows that are taken for class c.

    Reference: Hendrycks et al. 2022, arXiv:1911.11132.

    >>> import torch
    >>> from heat_core.features import Features, Head
    >>> head = Head(torch.eye(2), torch.zeros(2))
    >>> energy = KLM().fit(Features(2 * torch.eye(2), torch.tensor([0, 1]), head))
    >>> energy(torch.tensor([[0.0, 0.0]]))
    tensor([0.4338])
    """

    title: ClassVar[str] = "KLM"
    summary: ClassVar[str] = "how unlike its mean over a class the classifier's softmax is"

    def build(self, shape: Shape) -> Energy:
        return PosteriorDivergence(shape.dim, shape.head)

    def unsupported_reason(self, shape: Shape) -> str:
        if shape.head**2 <= MAX_NUMBERS:
            return super().unsupported_reason(shape)
        most = int(MAX_NUMBERS**0.5)
        return f"KLM keeps C x C numbers, so at most {most:,} classes; the head has {shape.head:,}."
