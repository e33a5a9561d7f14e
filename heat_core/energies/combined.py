"""Energies put together from several: on one scale, or as a mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from .energy import Aggregate, Energy, score


class WeightedSum(Aggregate):
    """sum_i w_i e_i: the members' weighted sum, e_i the i-th in its own standard deviations.

    With beta other than 0 the sum gives way to logsumexp(beta w_i e_i) / beta: towards the largest
    term (beta = inf), or the smallest (-inf).
    Reference: Du et al. 2020, arXiv:2004.06030, for products and mixtures of energies.

    Args:
        energies: the members, all of the same input.
        weights: w_i, one a member.
        beta: how terms are combined.

    >>> from heat_core.energies import OnView, PrecomputedScore
    >>> columns = [OnView(PrecomputedScore(), "z", start, 1) for start in (0, 1)]
    >>> z = torch.tensor([[1.0, 10.0], [2.0, 30.0], [3.0, 20.0]])
    >>> energy = WeightedSum(columns, weights=[1.0, 2.0]).standardise(z)
    >>> energy(z)
    tensor([-3.6742,  2.4495,  1.2247])
    """

    weights: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(
        self, energies: Sequence[Energy], weights: Sequence[float], beta: float = 0.0
    ) -> None:
        super().__init__(energies)
        self.beta = beta
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.get_default_dtype()))
        self.register_buffer("shift", torch.zeros(len(energies)))
        self.register_buffer("scale", torch.ones(len(energies)))

    def standardise(self, z: Tensor) -> Self:
        """Returns self with each member's mean and standard deviation taken on ID z (N, d)."""
        values = np.stack([score(member, z) for member in self.members])
        mean, std = torch.from_numpy(values.mean(1)), torch.from_numpy(values.std(1))
        self.store(shift=mean, scale=torch.where(std > 0, std, 1.0))
        return self

    def weighted_terms(self, z: Tensor) -> Tensor:
        """Returns w_i e_i of each row of z (N, d), (N, members): in standard deviations of ID."""
        values = torch.stack([member(z) for member in self.members], 1)
        return self.weights * (values - self.shift) / self.scale

    def forward(self, z: Tensor) -> Tensor:
        return self.combine(self.weighted_terms(z))

    def combine(self, terms: Tensor) -> Tensor:
        """Returns the energy of weighted terms (N, members), as (N,)."""
        if self.beta == 0:
            return terms.sum(1)
        if math.isinf(self.beta):
            return terms.amax(1) if self.beta > 0 else terms.amin(1)
        return (self.beta * terms).logsumexp(1) / self.beta


class Ensemble(Aggregate):
    """The mean of several energies of one form, such as networks trained from several seeds.

    Args:
        members: all of the same input.

    >>> from heat_core.energies import PrecomputedScore
    >>> Ensemble([PrecomputedScore(), PrecomputedScore() / 2])(torch.tensor([[2.0], [6.0]]))
    tensor([1.5000, 4.5000])
    """

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([member(z) for member in self.members]).mean(0)
