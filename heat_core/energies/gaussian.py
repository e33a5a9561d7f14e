"""Class-conditional Gaussians with one covariance, as a mixture and as a distance."""

from __future__ import annotations

import copy
import math
from typing import Self

import torch
from torch import Tensor

from heat_core.features import Features, Moments

from .energy import Energy, working_precision

# -- Gaussians ---------------------------------------------------------------------------------------------------------


class Gaussians(Energy):
    """Class-conditional Gaussians with one covariance: what `GaussianMixture` and `Mahalanobis` share.

    Fitting finds mu_c, the share pi_c of each class, and a whitener W with W Sigma W^T = I, so that a squared distance
    (z - mu_c)^T Sigma^-1 (z - mu_c) is ||W z - W mu_c||^2: one matrix product for all classes. The covariance is
    estimated in float64. Directions with (nearly) no variance are widened to 1e-9 of the largest one, which keeps the
    distances finite for rank-deficient features and changes nothing for others.

    Args:
        dim: d.
        classes: C.
    """

    log_shares: Tensor
    centre: Tensor
    whitener: Tensor
    means: Tensor
    log_volume: Tensor

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("log_shares", torch.zeros(classes))  # log pi_c
        self.register_buffer(
            "centre", torch.zeros(dim)
        )  # the mean of everything, taken off first for precision
        self.register_buffer("whitener", torch.eye(dim))  # W^T
        self.register_buffer("means", torch.zeros(classes, dim))  # W (mu_c - centre)
        self.register_buffer("log_volume", torch.zeros(()))  # log sqrt det(2 pi Sigma)

    def fit(self, train: Features) -> Self:
        """Returns self fitted to the features, on their device and in their working precision.

        Moments of a larger set that the features bring along count instead of those of the rows.
        """
        self.to(train.z.device, working_precision(train.z))
        moments = train.moments["z"] if "z" in train.moments else moments_of(train)
        moments = moments.to(train.z.device, torch.float64)
        share = moments.count / moments.count.sum()
        centre = moments.count @ moments.means / moments.count.sum()
        variances, directions = torch.linalg.eigh(moments.covariance)
        variances = variances.clamp(min=1e-9 * variances[-1].clamp(min=1e-12))
        whitener = directions * variances.rsqrt()
        self.store(
            log_shares=share.log(),
            centre=centre,
            whitener=whitener,
            means=(moments.means - centre) @ whitener,
            log_volume=0.5 * (variances * (2 * math.pi)).log().sum(),
        )
        return self

    def squared_distances(self, z: Tensor) -> Tensor:
        """Returns (N, C): the squared Mahalanobis distance of each row to each class, never in less than float32."""
        with torch.autocast(z.device.type, enabled=False):
            white = (z - self.centre) @ self.whitener
            own = white.square().sum(-1, keepdim=True) + self.means.square().sum(-1)
            return torch.addmm(own, white, self.means.T, alpha=-2).clamp(min=0)


def moments_of(train: Features, rows: int = 8192) -> Moments:
    """Returns the moments of z in float64. Blocks of `rows` rows are multiplied in z's precision and added up in float64."""
    z = train.z.to(working_precision(train.z))
    label = train.class_index.to(z.device)
    count = torch.bincount(label, minlength=len(train.classes)).double()
    centre = z.mean(0)
    total = torch.zeros(len(count), z.shape[1], dtype=torch.float64, device=z.device)
    for block, classed in zip(z.split(rows), label.split(rows), strict=True):
        total += torch.zeros_like(total, dtype=z.dtype).index_add_(0, classed, block - centre)
    means = total / count[:, None] + centre
    scatter = torch.zeros(z.shape[1], z.shape[1], dtype=torch.float64, device=z.device)
    own = means.to(z.dtype)
    for block, classed in zip(z.split(rows), label.split(rows), strict=True):
        rest = block - own[classed]
        scatter += rest.T @ rest
    return Moments(count, means, scatter / len(z))


class GaussianMixture(Gaussians):
    """E(z) = -log sum_c pi_c N(z; mu_c, Sigma): HEAT's prior, and the MoG detector.

    Reference: Lafon et al. 2022, eq. 10. The normaliser is kept, so `log_prob` is -E.
    """

    def forward(self, z: Tensor) -> Tensor:
        return self.log_volume - (self.log_shares - 0.5 * self.squared_distances(z)).logsumexp(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """Returns log q(z), (N,)."""
        return -self(z)

    def sample(
        self, count: int, generator: torch.Generator | None = None, spread: float = 1.0
    ) -> Tensor:
        """Returns (count, d) samples: a component first, then one draw; `spread` scales the standard deviations."""
        device = self.means.device
        component = torch.multinomial(
            self.log_shares.exp(), count, replacement=True, generator=generator
        )
        noise = torch.randn(
            count, len(self.centre), device=device, dtype=self.means.dtype, generator=generator
        )
        return (self.means[component] + spread * noise) @ self.unwhitener + self.centre

    def widened(self, spread: float) -> GaussianMixture:
        """Returns the mixture with deviations `spread` times as large."""
        wide = copy.deepcopy(self)
        wide.store(
            whitener=self.whitener / spread,
            means=self.means / spread,
            log_volume=self.log_volume + len(self.centre) * math.log(spread),
        )
        return wide

    def nearest_class(self, z: Tensor) -> Tensor:
        """Returns the position of the most probable class of each row, (N,)."""
        return (self.log_shares - 0.5 * self.squared_distances(z)).argmax(-1)

    @property
    def unwhitener(self) -> Tensor:
        """(d, d): the inverse of the whitener. Its columns are orthogonal, so a transpose and their lengths suffice."""
        return self.whitener.T / self.whitener.square().sum(0)[:, None]


class Whitened(Energy):
    """E(z) as a function of w = W (z - centre): a walk in w is one in z with steps preconditioned by Sigma.

    Args:
        energy: of z.
        mixture: fitted; it gives W and the centre.
    """

    def __init__(self, energy: Energy, mixture: GaussianMixture) -> None:
        super().__init__()
        self.energy, self.mixture = energy, mixture
        self.unwhitener = mixture.unwhitener

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(self.unwhiten(z))

    def unwhiten(self, w: Tensor) -> Tensor:
        """Returns the z of each w, (N, d)."""
        return w @ self.unwhitener + self.mixture.centre

    def whiten(self, z: Tensor) -> Tensor:
        """Returns the w of each z, (N, d)."""
        return (z - self.mixture.centre) @ self.mixture.whitener


class Mahalanobis(Gaussians):
    """E(z) = min_c (z - mu_c)^T Sigma^-1 (z - mu_c). Reference: Lee et al. 2018; on z / ||z||, Sehwag et al. 2021."""

    def forward(self, z: Tensor) -> Tensor:
        return self.squared_distances(z).amin(-1)
