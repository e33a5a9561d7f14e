"""Energies of the distance to what is typical of a class: mean features, mean probabilities."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from heat_core.features import Features

from .gaussian import mean_of
from .logits import Logits, log_softmax


class ClassPattern(Logits):
    """E(z) = -<z, S_c*>: S_c the mean of the training features that are rightly taken for class c.

    c* is the predicted class. Of a class that is never recognised, S_c is the mean of all its
    features; of one that has none, the mean of the features of all classes.
    Reference: SHE, Zhang et al. 2023, "Out-of-Distribution Detection based on In-Distribution Data
    Patterns Memorization with Modern Hopfield Energy".

    Args:
        dim: d.
        classes: C, which the head knows.

    >>> from heat_core.features import Head
    >>> z = torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 1.0], [5.0, 0.0]])
    >>> train = Features(z, torch.tensor([0, 0, 1, 1]), Head(torch.eye(2), torch.zeros(2)))
    >>> ClassPattern(dim=2, classes=2).fit(train)(torch.tensor([[2.0, 1.0], [0.0, 3.0]]))
    tensor([-6., -3.])
    """

    patterns: Tensor

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__(dim, classes)
        self.register_buffer("patterns", torch.zeros(classes, dim))

    def fit(self, train: Features) -> Self:
        super().fit(train)
        right, every = _ClassSums(self.weight), _ClassSums(self.weight)
        for block, logits in self.logit_batches(train.z):
            predicted = logits.argmax(-1)
            label = predicted if train.y is None else train.y[block].to(predicted.device)
            z = train.z[block].to(self.weight)
            is_right = label == predicted
            right.add(label[is_right], z[is_right])
            every.add(label, z)
        patterns = torch.where(every.count > 0, every.means, mean_of(train))
        self.store(patterns=torch.where(right.count > 0, right.means, patterns))
        return self

    def forward(self, z: Tensor) -> Tensor:
        return -(z * self.patterns[self.logits(z).argmax(-1)]).sum(-1)


class _ClassSums:
    """The sums of rows by class, in float64.

    Args:
        like: (C, width), on the device of the rows.
    """

    def __init__(self, like: Tensor) -> None:
        self.sums = torch.zeros_like(like, dtype=torch.float64)
        self.count = torch.zeros_like(self.sums[:, :1])

    def add(self, label: Tensor, rows: Tensor) -> None:
        """Adds rows (n, width) to the classes of their labels (n,)."""
        self.sums.index_add_(0, label, rows.double())
        self.count.index_add_(0, label, torch.ones_like(rows[:, :1], dtype=torch.float64))

    @property
    def means(self) -> Tensor:
        """(C, width): the mean of each class, 0 where it has no row."""
        return self.sums / self.count.clamp(min=1)


class PosteriorDivergence(Logits):
    """E(z) = min_c KL(p, P_c): p = softmax(f(z)), P_c its mean over rows that are taken for c.

    Classes that no training feature is taken for have no P_c.
    Reference: KL matching, Hendrycks et al. 2022, arXiv:1911.11132.

    Args:
        dim: d.
        classes: C; it holds C x C numbers.

    >>> from heat_core.features import Head
    >>> z = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> train = Features(z, head=Head(torch.eye(2), torch.zeros(2)))
    >>> energy = PosteriorDivergence(dim=2, classes=2).fit(train)
    >>> energy(torch.tensor([[1.0, 0.0], [0.0, 0.0]])).round(decimals=4)
    tensor([0.0000, 0.1201])
    """

    log_means: Tensor
    is_absent: Tensor

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__(dim, classes)
        self.register_buffer("log_means", torch.zeros(classes, classes))  # log P_c
        self.register_buffer("is_absent", torch.zeros(classes))  # 1 of a class without P_c

    def fit(self, train: Features) -> Self:
        super().fit(train)
        sums = _ClassSums(self.log_means)
        for _, logits in self.logit_batches(train.z):
            sums.add(logits.argmax(-1), logits.double().softmax(-1))
        least = torch.finfo(torch.float64).tiny  # a share of 0 has a log, too
        means = sums.sums.div_(sums.count.clamp(min=1))  # in place: it may be large
        self.store(log_means=means.clamp_(min=least).log_(), is_absent=sums.count[:, 0] == 0)
        return self

    def forward(self, z: Tensor) -> Tensor:
        log_p = log_softmax(self.logits(z))
        p = log_p.exp()
        divergences = (p * log_p).sum(-1, keepdim=True) - p @ self.log_means.T
        return divergences.masked_fill(self.is_absent > 0, torch.inf).amin(-1)
