"""Energies of where features lie to the classifier's head: to its boundaries and its weights."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from heat_core.features import Features

from .gaussian import mean_of
from .logits import Logits

SAME = 16  # roundings of squared lengths: weights that differ by less are the same


class BoundaryDistance(Logits):
    """E(z) = -mean over c != c* of the distance to the boundary with class c, by ||z - m||.

    c* is the predicted class, the distance (f_c* - f_c) / ||w_c* - w_c||, and m the mean of the
    training features. Classes of equal weights have no boundary, and count as 0.
    Reference: fDBD, Liu and Qin 2024, arXiv:2312.11536.

    Args:
        dim: d.
        classes: C.

    >>> from heat_core.features import Head
    >>> train = Features(torch.zeros(1, 2), head=Head(torch.eye(2), torch.zeros(2)))
    >>> energy = BoundaryDistance(dim=2, classes=2).fit(train)
    >>> energy(torch.tensor([[3.0, 0.0], [1.0, 1.0]]))  # the sines of the angles to the diagonal
    tensor([-0.7071, -0.0000])
    """

    mean: Tensor
    centred_weight: Tensor

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__(dim, classes)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("centred_weight", torch.zeros(classes, dim))  # less their mean

    def fit(self, train: Features) -> Self:
        super().fit(train)
        weight = self.weight.double()
        self.store(mean=mean_of(train), centred_weight=weight - weight.mean(0))
        return self

    def forward(self, z: Tensor) -> Tensor:
        logits = self.logits(z)
        inverse = self._inverse_distances(logits.argmax(-1))
        margins = logits.amax(-1, keepdim=True) - logits
        distances = (margins * inverse).sum(-1) / max(1, len(self.bias) - 1)
        return -distances / _lengths(z - self.mean)

    def _inverse_distances(self, predicted: Tensor) -> Tensor:
        """Returns 1 / ||w_c* - w_c|| of the predicted class c* (N,) of each row and all c, (N, C).

        0 where the weights are the same.
        """
        weight = self.centred_weight
        squared_lengths = weight.square().sum(-1)
        sums = squared_lengths[predicted][:, None] + squared_lengths
        squared = torch.addmm(sums, weight[predicted], weight.T, alpha=-2)
        differ = squared > SAME * torch.finfo(weight.dtype).eps * sums
        return torch.where(differ, squared, torch.inf).rsqrt()


class CollapseAngle(Logits):
    """E(z) = -(w_c* . (z - m) / ||z - m|| + a ||z||_1): how close z is to the weights it activates.

    c* is the predicted class, m the mean of the training features. Where a network has collapsed,
    features less their mean point along the weights of their class.
    Reference: NCI, Liu and Qin 2025, arXiv:2311.01479.

    Args:
        dim: d.
        classes: C.
        alpha: a, 0 or more.

    >>> from heat_core.features import Head
    >>> train = Features(torch.zeros(1, 2), head=Head(torch.eye(2), torch.zeros(2)))
    >>> energy = CollapseAngle(dim=2, classes=2, alpha=0.1).fit(train)
    >>> energy(torch.tensor([[3.0, 0.0], [1.0, 1.0]]))
    tensor([-1.3000, -0.9071])
    """

    mean: Tensor
    alpha: Tensor

    def __init__(self, dim: int, classes: int, alpha: float) -> None:
        super().__init__(dim, classes)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("alpha", torch.tensor(float(alpha)))

    def fit(self, train: Features) -> Self:
        super().fit(train)
        self.store(mean=mean_of(train))
        return self

    def forward(self, z: Tensor) -> Tensor:
        return -(self.closeness(z) + self.alpha * z.abs().sum(-1))

    def closeness(self, z: Tensor) -> Tensor:
        """Returns w_c* . (z - m) / ||z - m|| of each row of z (N, d), (N,)."""
        weight = self.weight[self.logits(z).argmax(-1)]
        centred = z - self.mean
        return (weight * centred).sum(-1) / _lengths(centred)


def _lengths(z: Tensor) -> Tensor:
    """Returns ||z|| of each row of z (N, d), (N,), and 1 for a row of zeros."""
    lengths = torch.linalg.vector_norm(z, dim=-1)
    return torch.where(lengths > 0, lengths, 1.0)
