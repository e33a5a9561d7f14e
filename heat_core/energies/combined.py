"""Energies put together from several: on one scale, or as a mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from heat_core.features import Features

from .energy import Energy, score


class WeightedSum(Energy):
    """Energies on one scale, put together: the sum of w_i e_i, with e_i the i-th energy in its own standard deviations.

    With beta other than 0 the sum gives way to logsumexp(beta w_i e_i) / beta: towards the largest (beta = inf), or the
    smallest (-inf). Reference: Du et al. 2020, arXiv:2004.06030, for products and mixtures of energies.

    Args:
        energies: all of the same input.
        weights: w_i, one an energy.
        beta: how the parts are put together.
    """

    weights: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(
        self, energies: Sequence[Energy], weights: Sequence[float], beta: float = 0.0
    ) -> None:
        super().__init__()
        self.energies, self.beta = nn.ModuleList(energies), beta
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.get_default_dtype()))
        self.register_buffer("shift", torch.zeros(len(energies)))
        self.register_buffer("scale", torch.ones(len(energies)))

    def fit(self, train: Features) -> Self:
        for energy in self.energies:
            energy.fit(train)  # type: ignore[operator]
        return self

    def standardise(self, z: Tensor) -> Self:
        """Returns self with every part's mean and standard deviation set to those on ID input z."""
        values = np.stack([score(energy, z) for energy in self.energies])  # type: ignore[arg-type]
        mean, std = torch.from_numpy(values.mean(1)), torch.from_numpy(values.std(1))
        self.store(shift=mean, scale=std.clamp(min=1e-12))
        return self

    def parts(self, z: Tensor) -> Tensor:
        """Returns (N, parts): what each part adds, in standard deviations of ID data."""
        values = torch.stack([energy(z) for energy in self.energies], 1)
        return self.weights * (values - self.shift) / self.scale

    def forward(self, z: Tensor) -> Tensor:
        return self.together(self.parts(z))

    def together(self, parts: Tensor) -> Tensor:
        """Returns (N,): the weighted parts, (N, parts), put together."""
        if self.beta == 0:
            return parts.sum(1)
        if math.isinf(self.beta):
            return parts.amax(1) if self.beta > 0 else parts.amin(1)
        return (self.beta * parts).logsumexp(1) / self.beta


class Ensemble(Energy):
    """The mean of several energies of one form, such as networks trained from several seeds."""

    def __init__(self, energies: Sequence[Energy]) -> None:
        super().__init__()
        self.energies = nn.ModuleList(energies)

    def fit(self, train: Features) -> Self:
        for energy in self.energies:
            energy.fit(train)  # type: ignore[operator]
        return self

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([energy(z) for energy in self.energies]).mean(0)
