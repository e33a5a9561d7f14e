"""Energies of the classifier's logits."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from heat_core.features import Features

from .energy import Energy, working_precision

# -- logits ------------------------------------------------------------------------------------------------------------


class Logits(Energy):
    """Energies that read the classifier's logits f(z) = W z + b, which `fit` takes from the features' head."""

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

    def logits(self, z: Tensor) -> Tensor:
        """Returns (N, C)."""
        return z @ self.weight.T + self.bias


class MaxSoftmax(Logits):
    """E(z) = -max_c softmax(f(z))_c. Reference: Hendrycks and Gimpel 2017, arXiv:1610.02136."""

    def forward(self, z: Tensor) -> Tensor:
        return -self.logits(z).softmax(-1).amax(-1)


class LogSumExp(Logits):
    """E(z) = -T log sum_c exp(f(z)_c / T). Reference: Liu et al. 2020, arXiv:2010.03759."""

    def __init__(self, dim: int, classes: int, temperature: float = 1.0) -> None:
        super().__init__(dim, classes)
        self.temperature = temperature

    def forward(self, z: Tensor) -> Tensor:
        return -self.temperature * (self.logits(z) / self.temperature).logsumexp(-1)
