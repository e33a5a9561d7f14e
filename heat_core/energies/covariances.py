"""Gaussians with more than one covariance: beside that of all rows, or one a class."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from heat_core.features import Features
from heat_core.progress import row_blocks
from heat_core.threads import torch_threads

from .energy import Energy
from .gaussian import GaussianMixture, Mahalanobis, total_moments

BLOCK_ROWS = 8192  # of a class that are whitened at a time
MIN_SHRINKAGE = 1e-6  # towards the common covariance, so that every class's can be inverted


class RelativeMahalanobis(Energy):
    """E(z) = min_c (z - mu_c)^T Sigma^-1 (z - mu_c) - (z - m)^T Sigma_0^-1 (z - m).

    Sigma is the covariance within classes; m and Sigma_0 are mean and covariance of all rows.
    Reference: RMD, Ren et al. 2021, arXiv:2106.09022.

    Args:
        dim: d.
        classes: C.

    >>> train = Features(torch.tensor([[0.0], [2.0], [8.0], [10.0]]), torch.tensor([0, 0, 1, 1]))
    >>> energy = RelativeMahalanobis(dim=1, classes=2).fit(train)  # variances 1 and 17
    >>> energy(torch.tensor([[1.0], [5.0]]))
    tensor([-0.9412, 16.0000])
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.nearest = Mahalanobis(dim, classes)
        self.background = Mahalanobis(dim, 1)

    def fit(self, train: Features) -> Self:
        self.nearest.fit(train)
        self.background.fit(Features(train.z, moments={"z": total_moments(train)}))
        return self

    def forward(self, z: Tensor) -> Tensor:
        return self.nearest(z) - self.background(z)


class ClassGaussians(Energy):
    """E(z) = -log sum_c pi_c N(z; mu_c, Sigma_c): a mixture with one covariance a class.

    Each is shrunk towards the common one: Sigma_c = (1 - s) S_c + s Sigma, S_c the covariance of
    the class's own rows. The factors are kept in the space where Sigma is 1.
    Reference: Friedman 1989, "Regularized Discriminant Analysis", without the step to the identity.

    Args:
        dim: d.
        classes: C; it holds C x d x d numbers.
        shrinkage: s, in [0, 1]; 1 is the mixture with one covariance.

    >>> train = Features(torch.tensor([[-1.0], [1.0], [7.0], [13.0]]), torch.tensor([0, 0, 1, 1]))
    >>> energy = ClassGaussians(dim=1, classes=2, shrinkage=0).fit(train)  # deviations 1 and 3
    >>> energy(torch.tensor([[0.0], [13.0]]))  # of the classes alone 1.6121 and 3.2107
    tensor([1.6108, 3.2107])
    """

    shrinkage: Tensor
    factors: Tensor
    log_volumes: Tensor

    def __init__(self, dim: int, classes: int, shrinkage: float) -> None:
        super().__init__()
        self.common = GaussianMixture(dim, classes)
        self.register_buffer("shrinkage", torch.tensor(float(shrinkage)))
        self.register_buffer("factors", torch.zeros(classes, dim, dim))  # F_c, F_c F_c^T = S^-1
        self.register_buffer("log_volumes", torch.zeros(classes))  # log sqrt det(2 pi Sigma_c)

    def fit(self, train: Features) -> Self:
        self.common.fit(train)
        self.to(self.common.means)
        label = train.class_index.to(train.z.device)
        with torch_threads(1):  # two wait for each other at every class
            for one in row_blocks("estimating covariances of classes", len(self.factors), 1):
                rows = torch.nonzero(label == one.start)[:, 0]
                self._fit_class(one.start, self._white_covariance(train.z, rows))
        return self

    def _white_covariance(self, z: Tensor, rows: Tensor) -> Tensor:
        """Returns the covariance of some rows of z (N, d), whitened, (d, d) in float64."""
        blocks = rows.split(BLOCK_ROWS)
        total = torch.zeros_like(self.common.centre, dtype=torch.float64)
        for block in blocks:
            total += self._white(z, block).sum(0)
        scatter = torch.zeros_like(self.factors[0], dtype=torch.float64)
        for block in blocks:
            centred = self._white(z, block) - total / len(rows)
            scatter += centred.T @ centred
        return scatter / len(rows)

    def _white(self, z: Tensor, rows: Tensor) -> Tensor:
        """Returns some rows of z (N, d), whitened, in float64."""
        return self.common.whiten(z[rows].to(self.common.means)).double()

    def _fit_class(self, i: int, own: Tensor) -> None:
        """Sets the factor and the volume of the i-th class, of its own covariance (d, d)."""
        share = float(self.shrinkage.clamp(min=MIN_SHRINKAGE))
        covariance = (1 - share) * own
        covariance.diagonal().add_(share)
        lower = torch.linalg.cholesky(covariance)
        identity = torch.eye(len(covariance), dtype=lower.dtype, device=lower.device)
        self.factors[i] = torch.linalg.solve_triangular(lower, identity, upper=False).T
        self.log_volumes[i] = self.common.log_volume + lower.diagonal().log().sum()

    @property
    def numbers_per_row(self) -> int:
        return max(self.factors.shape[:2])

    def forward(self, z: Tensor) -> Tensor:
        white = self.common.whiten(z)
        squared = [
            ((white - self.common.means[i]) @ self.factors[i]).square().sum(-1)
            for i in range(len(self.factors))
        ]
        distances = torch.stack(squared, -1).clamp(max=torch.finfo(white.dtype).max)
        log_densities = -self.log_volumes - 0.5 * distances
        return -(self.common.log_shares + log_densities).logsumexp(-1)
