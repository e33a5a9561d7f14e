"""Free energies of logits whose features, or weights, were changed beforehand."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor

from heat_core.features import Features

from .energy import working_precision
from .gaussian import mean_of
from .logits import LogSumExp

QUANTILE_NUMBERS = 2**24  # that a percentile is taken over, at most: torch sorts no more
MAX_LOG_FACTOR = 40.0  # of SCALE's factor exp(r): beyond it logits of large features overflow


class ClippedFeatures(LogSumExp):
    """E(z) = -log sum_c exp(W min(z, t) + b)_c, t a percentile of all training features.

    Reference: ReAct, Sun et al. 2021, arXiv:2111.12797.

    Args:
        dim: d.
        classes: C.
        percentile: in [0, 100].

    >>> from heat_core.features import Head
    >>> z = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    >>> train = Features(z, head=Head(torch.eye(2), torch.zeros(2)))
    >>> energy = ClippedFeatures(dim=2, classes=2, percentile=50).fit(train)
    >>> energy.threshold, energy(z)
    (tensor(1.), tensor([-1.3133, -1.6931]))
    """

    percentile: Tensor
    threshold: Tensor

    def __init__(self, dim: int, classes: int, percentile: float) -> None:
        super().__init__(dim, classes)
        self.register_buffer("percentile", torch.tensor(float(percentile)))
        self.register_buffer("threshold", torch.zeros(()))

    def fit(self, train: Features) -> Self:
        super().fit(train)
        step = math.ceil(train.z.numel() / QUANTILE_NUMBERS)
        some = train.z[::step].to(working_precision(train.z)).flatten()
        self.store(threshold=some.quantile(float(self.percentile) / 100))
        return self

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z.clamp(max=self.threshold))


class ScaledFeatures(LogSumExp):
    """E(z) = -log sum_c exp(W r z + b)_c, r = exp(sum of z / sum of its largest features).

    The largest are the (100 - q) % of the row. Features are meant to be 0 or more; one below counts
    as 0 in the sums.
    Reference: SCALE, Xu et al. 2024, arXiv:2310.00227.

    Args:
        dim: d.
        classes: C.
        percentile: q, in [0, 100).

    >>> from heat_core.features import Head
    >>> z = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    >>> train = Features(z, head=Head(torch.eye(2), torch.zeros(2)))
    >>> ScaledFeatures(dim=2, classes=2, percentile=50).fit(train)(z)  # 2 e, and e^2 + log 2
    tensor([-5.4409, -8.0822])
    """

    percentile: Tensor
    largest_count: int

    def __init__(self, dim: int, classes: int, percentile: float) -> None:
        super().__init__(dim, classes)
        self.register_buffer("percentile", torch.tensor(float(percentile)))
        self.largest_count = self._count_largest()

    def _count_largest(self) -> int:
        """Returns how many features of a row are its largest ones, at least 1."""
        dim = self.weight.shape[1]
        return max(1, dim - round(dim * float(self.percentile) / 100))

    def _load_from_state_dict(self, *args) -> None:
        super()._load_from_state_dict(*args)
        self.largest_count = self._count_largest()

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(self.change(z))

    def change(self, z: Tensor) -> Tensor:
        """Returns what the logits are made of, (N, d), of z (N, d)."""
        return self.factor(z) * z

    def factor(self, z: Tensor) -> Tensor:
        """Returns r of each row of z (N, d), (N, 1)."""
        positive = z.clamp(min=0)
        total = positive.sum(-1, keepdim=True)
        largest = positive.topk(self.largest_count, dim=-1).values.sum(-1, keepdim=True)
        ratio = total / torch.where(largest > 0, largest, 1.0)
        return ratio.clamp(max=MAX_LOG_FACTOR).exp()


class PrunedFeatures(ScaledFeatures):
    """E(z) as `ScaledFeatures`, with all but the largest features of a row set to 0.

    What equals the smallest of these is kept, too.
    Reference: ASH-S, Djurisic et al. 2023, arXiv:2209.09858.

    >>> from heat_core.features import Head
    >>> z = torch.tensor([[2.0, 1.0], [4.0, 0.0]])
    >>> train = Features(z, head=Head(torch.eye(2), torch.zeros(2)))
    >>> PrunedFeatures(dim=2, classes=2, percentile=50).fit(train).change(z)  # exp(1.5) and e
    tensor([[ 8.9634,  0.0000],
            [10.8731,  0.0000]])
    """

    def change(self, z: Tensor) -> Tensor:
        least = z.topk(self.largest_count, dim=-1).values[:, -1:]
        return self.factor(z) * torch.where(z >= least, z, 0.0)


class SparseWeights(LogSumExp):
    """E(z) = -log sum_c exp((W * mask) z + b)_c: only the largest contributions are heard.

    The mask keeps the weights whose contribution m_j w_cj to the logits of the mean training
    features m is above a percentile of all contributions.
    Reference: DICE, Sun and Li 2022, arXiv:2111.09805.

    Args:
        dim: d.
        classes: C.
        percentile: in [0, 100]; 90 keeps a tenth of the weights.

    >>> from heat_core.features import Head
    >>> z = torch.tensor([[2.0, 1.0], [2.0, 3.0]])  # their mean is (2, 2)
    >>> head = Head(torch.tensor([[4.0, 1.0], [2.0, 3.0]]), torch.zeros(2))
    >>> SparseWeights(dim=2, classes=2, percentile=50).fit(Features(z, head=head)).weight
    tensor([[4., 0.],
            [0., 3.]])
    """

    def __init__(self, dim: int, classes: int, percentile: float) -> None:
        super().__init__(dim, classes)
        self.percentile = percentile

    def fit(self, train: Features) -> Self:
        super().fit(train)
        contributions = (mean_of(train) * self.weight.double()).flatten()
        rank = math.floor((len(contributions) - 1) * self.percentile / 100) + 1
        is_kept = contributions > contributions.kthvalue(rank).values
        self.store(weight=self.weight * is_kept.view_as(self.weight))
        return self
