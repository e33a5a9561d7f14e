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
        members: all of the same input.
        weights: w_i, one a member.
        beta: how the terms w_i e_i are combined.

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
        self, members: Sequence[Energy], weights: Sequence[float], beta: float = 0.0
    ) -> None:
        super().__init__(members)
        self.beta = beta
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.get_default_dtype()))
        self.register_buffer("shift", torch.zeros(len(members)))
        self.register_buffer("scale", torch.ones(len(members)))

    def standardise(self, z: Tensor) -> Self:
        """Returns self with each member's mean and standard deviation taken on ID z (N, d)."""
        energies = np.stack([score(member, z) for member in self.members])
        mean, std = torch.from_numpy(energies.mean(1)), torch.from_numpy(energies.std(1))
        self.store(shift=mean, scale=torch.where(std > 0, std, 1.0))
        return self

    def forward(self, z: Tensor) -> Tensor:
        return self.combine(self.term_values(z))

    def term_values(self, z: Tensor) -> Tensor:
        """Returns the term w_i e_i of each member for each row of z (N, d), (N, members)."""
        return self.weigh(torch.stack([member(z) for member in self.members], 1))

    def weigh(self, energies: Tensor) -> Tensor:
        """Returns the terms w_i e_i of the members' own energies, (N, members) each.

        They are on the device of these energies, and in standard deviations of ID.
        """
        weights, shift, scale = (
            buffer.to(energies.device) for buffer in (self.weights, self.shift, self.scale)
        )
        return weights * (energies - shift) / scale

    def combine(self, term_values: Tensor) -> Tensor:
        """Returns the energy of the terms w_i e_i, (N, members), as (N,)."""
        if self.beta == 0:
            return term_values.sum(1)
        if math.isinf(self.beta):
            return term_values.amax(1) if self.beta > 0 else term_values.amin(1)
        return (self.beta * term_values).logsumexp(1) / self.beta


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
