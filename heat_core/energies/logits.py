"""Energies of the classifier's logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import torch
from torch import Tensor

from heat_core.features import Features
from heat_core.progress import row_blocks

from .energy import Energy, rows_per_batch, working_precision


class Logits(Energy):
    """Energies of the classifier's logits f(z) = W z + b; `fit` takes them from the features' head.

    Args:
        dim: d.
        classes: C.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(classes, dim))
        self.register_buffer("bias", torch.zeros(classes))

    def fit(self, train: Features) -> Self:
        """Returns self with the features' head. Raises ValueError if they have none."""
        if train.head is None:
            raise ValueError("the features have no head (weight and bias), which logits need.")
        self.to(train.z.device, working_precision(train.z))
        self.store(weight=train.head.weight, bias=train.head.bias)
        return self

    @property
    def numbers_per_row(self) -> int:
        return len(self.bias)

    def logits(self, z: Tensor) -> Tensor:
        """Returns f(z) of each row of z (N, d), (N, C)."""
        return z @ self.weight.T + self.bias

    def logit_batches(self, z: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Gives (rows, logits of these rows of z (n, C)) of z (N, d), in the energy's precision.

        No more of them are held at a time than scoring holds.
        """
        for block in row_blocks("computing logits", len(z), rows_per_batch(len(self.bias))):
            yield block, self.logits(z[block].to(self.weight))


class MaxSoftmax(Logits):
    """E(z) = log(1 - max_c softmax(f(z))_c): the log probability of all other classes.

    It ranks as -max_c softmax(f(z))_c does, and tells apart what a confident classifier rounds to
    1. Reference for that: Hendrycks and Gimpel 2017, arXiv:1610.02136.

    >>> from heat_core.features import Head
    >>> z = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    >>> train = Features(z, head=Head(torch.eye(2), torch.zeros(2)))
    >>> MaxSoftmax(dim=2, classes=2).fit(train)(z)
    tensor([-2.1269, -0.6931])
    """

    def forward(self, z: Tensor) -> Tensor:
        return log_other_probability(self.logits(z))


class LogSumExp(Logits):
    """E(z) = -T log sum_c exp(f(z)_c / T). Reference: Liu et al. 2020, arXiv:2010.03759.

    Args:
        dim: d.
        classes: C.
        temperature: T.

    >>> from heat_core.features import Head
    >>> z = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    >>> train = Features(z, head=Head(torch.eye(2), torch.zeros(2)))
    >>> LogSumExp(dim=2, classes=2).fit(train)(z)
    tensor([-2.1269, -1.6931])
    """

    def __init__(self, dim: int, classes: int, temperature: float = 1.0) -> None:
        super().__init__(dim, classes)
        self.temperature = temperature

    def forward(self, z: Tensor) -> Tensor:
        return -self.temperature * (self.logits(z) / self.temperature).logsumexp(-1)


class LargestLogit(Logits):
    """E(z) = -max_c f(z)_c. Reference: Hendrycks et al. 2022, arXiv:1911.11132.

    >>> from heat_core.features import Head
    >>> z = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    >>> train = Features(z, head=Head(torch.eye(2), torch.zeros(2)))
    >>> LargestLogit(dim=2, classes=2).fit(train)(z)
    tensor([-2., -1.])
    """

    def forward(self, z: Tensor) -> Tensor:
        return -self.logits(z).amax(-1)


class GeneralizedEntropy(Logits):
    """E(z) = sum over the M largest p_c of (p_c (1 - p_c))^gamma, p = softmax(f(z)).

    Reference: Liu et al. 2023, "GEN: Pushing the Limits of Softmax-Based Out-of-Distribution
    Detection".

    Args:
        dim: d.
        classes: C.
        gamma: above 0; a small one hears the least probable classes.
        largest: M; all classes where there are fewer.

    >>> from heat_core.features import Head
    >>> z = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    >>> train = Features(z, head=Head(torch.eye(2), torch.zeros(2)))
    >>> GeneralizedEntropy(dim=2, classes=2, gamma=0.5, largest=100).fit(train)(z)
    tensor([0.6481, 1.0000])
    """

    def __init__(self, dim: int, classes: int, gamma: float, largest: int) -> None:
        super().__init__(dim, classes)
        self.gamma = gamma
        self.largest = min(largest, classes)

    def forward(self, z: Tensor) -> Tensor:
        logits = self.logits(z)
        top, _ = log_softmax(logits).topk(self.largest, dim=-1)
        # 1 - p of the largest p is the sum of the others, since p itself may round to 1
        log_rest = torch.cat(
            [log_other_probability(logits)[:, None], (-top[:, 1:].exp()).log1p()], dim=-1
        )
        return (self.gamma * (top + log_rest)).exp().sum(-1)


def log_softmax(logits: Tensor) -> Tensor:
    """Returns the logarithm of the softmax of each row of logits (N, C), (N, C).

    >>> log_softmax(torch.tensor([[0.0, 0.0]]))
    tensor([[-0.6931, -0.6931]])
    """
    return logits - logits.logsumexp(-1, keepdim=True)


def log_other_probability(logits: Tensor) -> Tensor:
    """Returns log(1 - max_c softmax(logits)_c) of each row of logits (N, C), (N,).

    >>> log_other_probability(torch.tensor([[0.0, 0.0], [100.0, 0.0]]))
    tensor([  -0.6931, -100.0000])
    """
    others = logits.scatter(-1, logits.argmax(-1, keepdim=True), -torch.inf)
    return others.logsumexp(-1) - logits.logsumexp(-1)
