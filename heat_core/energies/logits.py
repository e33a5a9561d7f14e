"""Energies of the classifier's logits."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from heat_core.features import Features

from .energy import Energy, working_precision


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
        logits = self.logits(z)
        others = logits.scatter(-1, logits.argmax(-1, keepdim=True), -torch.inf)
        return others.logsumexp(-1) - logits.logsumexp(-1)


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
