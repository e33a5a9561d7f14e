"""Energies of how much of a feature lies within a subspace, and how much outside of it."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from heat_core.features import Features, Head
from heat_core.progress import report_progress, row_blocks
from heat_core.threads import torch_threads

from .energy import Energy, rows_per_batch, working_precision
from .gaussian import total_moments
from .logits import Logits

LEAST_STD = 1e-9  # of the largest: a column that varies by less is constant


class Residual(Energy):
    """E(z) = a ||P (z - u)||: how far z is from the training features' principal subspace.

    P projects to the directions of least variance around the origin u = -W^+ b, where the logits'
    weights alone decide. The factor a brings the residual to the size of the logits: the mean of
    the largest logit by the mean of ||P (z - u)||, on the training features. With the logits' own
    free energy it is ViM.
    Reference: Wang et al. 2022, arXiv:2203.10807.

    Args:
        dim: d.
        principal: how many directions of largest variance are left out, fewer than d.

    >>> z = torch.tensor([[2.0, 0.1], [2.0, -0.1]])  # logits of 2, residuals of 0.1
    >>> train = Features(z, head=Head(torch.eye(2), torch.zeros(2)))
    >>> Residual(dim=2, principal=1).fit(train)(torch.tensor([[9.0, 0.0], [0.0, 0.2]]))
    tensor([0., 4.])
    """

    origin: Tensor
    directions: Tensor
    factor: Tensor
    principal: Tensor

    def __init__(self, dim: int, principal: int) -> None:
        super().__init__()
        self.register_buffer("origin", torch.zeros(dim))  # u
        self.register_buffer("directions", torch.zeros(dim, dim))  # P^T, 0 where it is principal
        self.register_buffer("factor", torch.ones(()))  # a
        self.register_buffer("principal", torch.tensor(float(principal)))

    def fit(self, train: Features) -> Self:
        """Returns self fitted to features with a head. Raises ValueError if they have none."""
        if train.head is None:
            raise ValueError("the features have no head (weight and bias), which ViM needs.")
        self.to(train.z.device, working_precision(train.z))
        weight = train.head.weight.to(train.z.device, torch.float64)
        origin = -torch.linalg.pinv(weight) @ train.head.bias.to(weight)
        _, directions = _eigenvectors(_second_moment(train, origin))
        directions[:, len(origin) - int(self.principal) :] = 0.0
        self.store(origin=origin, directions=directions)
        self.store(factor=self._balance(train, train.head))
        return self

    def _balance(self, train: Features, head: Head) -> Tensor:
        """Returns the mean of the largest logit by the mean of ||P (z - u)||, or 1 if that is 0."""
        count = rows_per_batch(max(len(head.bias), len(self.origin)))
        logits = torch.zeros((), dtype=torch.float64, device=train.z.device)
        norms = torch.zeros_like(logits)
        for block in row_blocks("measuring residuals", len(train), count):
            z = train.z[block].to(self.origin)
            logits += head.logits(z).amax(-1).sum(dtype=torch.float64)
            norms += self._norms(z).sum(dtype=torch.float64)
        return torch.where(norms > 0, logits / norms, 1.0)

    @property
    def numbers_per_row(self) -> int:
        return len(self.origin)

    def forward(self, z: Tensor) -> Tensor:
        return self.factor * self._norms(z)

    def _norms(self, z: Tensor) -> Tensor:
        """Returns ||P (z - u)|| of each row of z (N, d), (N,)."""
        return torch.linalg.vector_norm((z - self.origin) @ self.directions, dim=-1)


class PrincipalShare(Logits):
    """E(z) = -||P s|| / ||s|| max_c f(z)_c: how much of a standardised feature is principal.

    s is z with mean 0 and equal standard deviations, column by column, and P projects to the first
    principal directions of s: as few as have a share of the variance.
    Reference: NECO, Ammar et al. 2024, arXiv:2310.06823.

    Args:
        dim: d.
        classes: C.
        variance: the share of the variance, in (0, 1].

    >>> z = torch.tensor([[2.0, 2.1], [4.0, 3.9], [6.0, 6.0]])
    >>> train = Features(z, head=Head(torch.eye(2), torch.zeros(2)))
    >>> energy = PrincipalShare(dim=2, classes=2, variance=0.9).fit(train)
    >>> energy.dimension, energy(torch.tensor([[6.0, 6.0], [6.0, 2.0]]))
    (tensor(1.), tensor([-5.9996, -0.0730]))
    """

    mean: Tensor
    scale: Tensor
    directions: Tensor
    dimension: Tensor

    def __init__(self, dim: int, classes: int, variance: float) -> None:
        super().__init__(dim, classes)
        self.variance = variance
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))  # standard deviations by the largest
        self.register_buffer("directions", torch.zeros(dim, dim))  # 0 beyond the principal ones
        self.register_buffer("dimension", torch.zeros(()))  # how many are principal

    def fit(self, train: Features) -> Self:
        super().fit(train)
        moments = total_moments(train)
        rounding = torch.finfo(self.mean.dtype).eps * moments.means[0].abs()
        std = _safe_std(moments.covariance.diagonal(), rounding)
        variances, directions = _eigenvectors(moments.covariance / std / std[:, None])
        variances, directions = variances.flip(0).clamp(min=0), directions.flip(1)
        explained = variances.cumsum(0) / variances.sum().clamp(min=torch.finfo().tiny)
        count = min(int((explained < self.variance).sum()) + 1, len(variances))
        directions[:, count:] = 0.0
        self.store(mean=moments.means[0], scale=std / std.max(), directions=directions)
        self.store(dimension=torch.tensor(float(count)))
        return self

    @property
    def numbers_per_row(self) -> int:
        return max(self.weight.shape)

    def forward(self, z: Tensor) -> Tensor:
        standard = (z - self.mean) / self.scale
        whole = torch.linalg.vector_norm(standard, dim=-1)
        principal = torch.linalg.vector_norm(standard @ self.directions, dim=-1)
        return -principal / torch.where(whole > 0, whole, 1.0) * self.logits(z).amax(-1)


def _second_moment(train: Features, origin: Tensor) -> Tensor:
    """Returns the mean of (z - u)(z - u)^T over the training features, (d, d), of u (d,)."""
    moments = total_moments(train)
    offset = moments.means[0] - origin
    return moments.covariance + torch.outer(offset, offset)


def _eigenvectors(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the eigenvalues (d,) of a symmetric matrix, the smallest first, and eigenvectors."""
    report_progress("decomposing the covariance")
    with torch_threads(1):  # two wait for each other thousands of times
        return torch.linalg.eigh(matrix)


def _safe_std(variances: Tensor, rounding: Tensor) -> Tensor:
    """Returns standard deviations (d,); of a column that is constant, the largest one, or 1.

    Args:
        variances: of the columns, (d,).
        rounding: of the columns, (d,): what varies by no more is constant.
    """
    std = variances.clamp(min=0).sqrt()
    largest = std.max()
    is_constant = std <= rounding.clamp(min=float(LEAST_STD * largest))
    return torch.where(is_constant, largest if largest > 0 else 1.0, std)
