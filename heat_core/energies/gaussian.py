"""Class-conditional Gaussians with one covariance, as a mixture and as a distance."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Self

import torch
from torch import Tensor

from heat_core.features import Features, Moments
from heat_core.progress import report_progress, row_blocks
from heat_core.threads import torch_threads

from .energy import Energy, working_precision

CLASS_BLOCK = 1024  # classes whose distances are held at a time
MIN_VARIANCE = 1e-32  # of a direction: with less, distances of ordinary features leave float32

# -- moments ---------------------------------------------------------------------------------------


def moments_of(train: Features, rows: int = 8192) -> Moments:
    """Returns the moments of z (N, d) by class, in float64: C counts, means and one covariance.

    Blocks of `rows` rows are multiplied in z's precision and added up in float64.

    >>> train = Features(torch.tensor([[0.0], [2.0], [5.0], [9.0]]), torch.tensor([0, 0, 1, 1]))
    >>> moments = moments_of(train)
    >>> moments.means.tolist(), moments.covariance.tolist()
    ([[1.0], [7.0]], [[2.5]])
    """
    z = train.z.to(working_precision(train.z))
    label = train.class_index.to(z.device)
    count = torch.bincount(label, minlength=len(train.classes)).double()
    means = _class_means(z, label, count, rows)
    return Moments(count, means, _pooled_covariance(z, label, means, rows))


def _class_means(z: Tensor, label: Tensor, count: Tensor, rows: int) -> Tensor:
    """Returns the mean of each class, (C, d) float64, of z (N, d) with labels (N,), counts (C,)."""
    centre = z.mean(0)  # taken off first, for precision
    total = torch.zeros(len(count), z.shape[1], dtype=torch.float64, device=z.device)
    for block in row_blocks("averaging classes", len(z), rows):
        sums = torch.zeros_like(total, dtype=z.dtype)
        total += sums.index_add_(0, label[block], z[block] - centre)
    return total.div_(count[:, None]).add_(centre)


def _pooled_covariance(z: Tensor, label: Tensor, means: Tensor, rows: int) -> Tensor:
    """Returns the covariance of z (N, d) around the means (C, d) of its labels (N,), (d, d)."""
    scatter = torch.zeros(z.shape[1], z.shape[1], dtype=torch.float64, device=z.device)
    class_means = means.to(z.dtype)
    for block in row_blocks("estimating the covariance", len(z), rows):
        residual = z[block] - class_means[label[block]]
        scatter += residual.T @ residual
    return scatter / len(z)


def total_moments(train: Features) -> Moments:
    """Returns the moments of z (N, d) of all classes together, in float64: one mean, (1, d).

    Moments of a larger set that the features bring along count instead of those of the rows.

    >>> train = Features(torch.tensor([[0.0], [2.0], [5.0], [9.0]]), torch.tensor([0, 0, 1, 1]))
    >>> moments = total_moments(train)
    >>> moments.means.tolist(), moments.covariance.tolist()
    ([[4.0]], [[11.5]])
    """
    moments = known_moments(train)
    rows = moments.count.sum()
    mean = moments.count @ moments.means / rows
    between = moments.means - mean
    covariance = moments.covariance + (between * moments.count[:, None]).T @ between / rows
    return Moments(rows[None], mean[None], covariance)


def mean_of(train: Features) -> Tensor:
    """Returns the mean of z (N, d), (d,) float64: of a larger set where its moments are known."""
    if "z" not in train.moments:
        return train.z.mean(0, dtype=torch.float64)
    moments = known_moments(train)
    return moments.count @ moments.means / moments.count.sum()


def known_moments(train: Features) -> Moments:
    """Returns the moments by class that features bring along, or else those of their rows.

    They are in float64, on the features' device.
    """
    moments = train.moments["z"] if "z" in train.moments else moments_of(train)
    return moments.to(train.z.device, torch.float64)


# -- Gaussians -------------------------------------------------------------------------------------


class Gaussians(Energy):
    """Class-conditional Gaussians with one covariance: what mixture and distance share.

    Fitting finds mu_c, the share pi_c of each class, and a whitener W with W Sigma W^T = I, so that
    a squared distance (z - mu_c)^T Sigma^-1 (z - mu_c) is ||W z - W mu_c||^2: one matrix product
    for all classes. The covariance is estimated in float64. Directions with (nearly) no variance
    are widened to 1e-9 of the largest one, which keeps the distances finite for rank-deficient
    features and changes nothing for others.

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
        self.register_buffer("centre", torch.zeros(dim))  # the mean, taken off for precision
        self.register_buffer("whitener", torch.eye(dim))  # W^T
        self.register_buffer("means", torch.zeros(classes, dim))  # W (mu_c - centre)
        self.register_buffer("log_volume", torch.zeros(()))  # log sqrt det(2 pi Sigma)

    def fit(self, train: Features) -> Self:
        """Returns self fitted to the features, on their device and in their working precision.

        Moments of a larger set that the features bring along count instead of those of the rows.
        """
        self.to(train.z.device, working_precision(train.z))
        moments = known_moments(train)
        rows = moments.count.sum()
        centre = moments.count @ moments.means / rows
        report_progress("decomposing the covariance")
        with torch_threads(1):  # two wait for each other thousands of times
            variances, directions = torch.linalg.eigh(moments.covariance)
        rounding = torch.finfo(self.centre.dtype).eps * moments.means.square().mean().sqrt()
        variances = variances.clamp(min=_least_variance(variances[-1], rounding))
        whitener = directions * variances.rsqrt()
        self.store(
            log_shares=(moments.count / rows).log(),
            centre=centre,
            whitener=whitener,
            means=(moments.means - centre) @ whitener,
            log_volume=0.5 * (variances * (2 * math.pi)).log().sum(),
        )
        return self

    @property
    def numbers_per_row(self) -> int:
        return min(len(self.means), CLASS_BLOCK)

    def squared_distances(self, z: Tensor) -> Tensor:
        """Returns the squared Mahalanobis distance of each row of z (N, d) to each class, (N, C).

        Never computed in less than float32. The distance to the nearest class is that of the
        difference itself: of classes far apart, that of the lengths would be lost in rounding.
        """
        blocks = [squared for _, squared in self.distance_blocks(z)]
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, -1)

    def distance_blocks(self, z: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Gives (classes, squared distances of z (N, d) to them (N, classes)), block by block.

        Of many classes no more than `CLASS_BLOCK` are held at a time.
        """
        white = self.whiten(z)
        squared_lengths = white.square().sum(-1, keepdim=True)
        for start in range(0, len(self.means), CLASS_BLOCK):
            classes = slice(start, start + CLASS_BLOCK)
            yield classes, _squared_distances(white, squared_lengths, self.means[classes])

    def whiten(self, z: Tensor) -> Tensor:
        """Returns w = W (z - centre) of z (N, d), (N, d), never in less than float32."""
        with torch.autocast(z.device.type, enabled=False):
            return (z - self.centre) @ self.whitener


def _least_variance(largest: Tensor, rounding: Tensor) -> float:
    """Returns what no variance may be below: 1e-9 of the largest, and `MIN_VARIANCE`.

    Args:
        largest: variance, a scalar.
        rounding: of the features, a scalar; a smaller deviation than this is none.
    """
    return max(1e-9 * float(torch.maximum(largest, rounding.square())), MIN_VARIANCE)


def _squared_distances(white: Tensor, squared_lengths: Tensor, means: Tensor) -> Tensor:
    """Returns the squared distances of whitened rows (N, d) to whitened means (C, d), (N, C).

    The smallest of a row is that of the difference itself: of classes far apart, the difference of
    the lengths would be lost in rounding.

    Args:
        squared_lengths: of the rows, (N, 1).
    """
    with torch.autocast(white.device.type, enabled=False):
        sums = squared_lengths + means.square().sum(-1)
        squared = torch.addmm(sums, white, means.T, alpha=-2).clamp(min=0)
        nearest = squared.argmin(-1)
        exact = (white - means[nearest]).square().sum(-1)
        return squared.scatter(-1, nearest[:, None], exact[:, None])


def _first_smallest(blocks: Iterator[Tensor]) -> Tensor:
    """Returns the column of the smallest value of each row, (N,), over blocks of columns (N, c)."""
    smallest = []
    columns = []
    start = 0
    for block in blocks:
        values, places = block.min(-1)
        smallest.append(values)
        columns.append(places + start)
        start += block.shape[-1]
    best = torch.stack(smallest).argmin(0, keepdim=True)
    return torch.stack(columns).gather(0, best)[0]


class GaussianMixture(Gaussians):
    """E(z) = -log sum_c pi_c N(z; mu_c, Sigma): the MoG, alone or in HEAT's prior.

    The normaliser is kept, so `log_prob` is -E.
    Reference: Lafon et al. 2022, eq. 10.

    >>> train = Features(torch.tensor([[0.0], [2.0], [8.0], [10.0]]), torch.tensor([0, 0, 1, 1]))
    >>> mixture = GaussianMixture(dim=1, classes=2).fit(train)
    >>> mixture(torch.tensor([[1.0], [5.0]]))  # at a class mean: log 2 + log sqrt(2 pi)
    tensor([1.6121, 8.9189])
    """

    def forward(self, z: Tensor) -> Tensor:
        blocks = [
            (self.log_shares[classes] - 0.5 * squared).logsumexp(-1)
            for classes, squared in self.distance_blocks(z)
        ]
        total = blocks[0] if len(blocks) == 1 else torch.stack(blocks).logsumexp(0)
        return self.log_volume - total

    def log_prob(self, z: Tensor) -> Tensor:
        """Returns log q(z) of each row of z (N, d), (N,)."""
        return -self(z)

    def sample(
        self, count: int, generator: torch.Generator | None = None, std_factor: float = 1.0
    ) -> Tensor:
        """Returns draws of q, (count, d), with standard deviations `std_factor` times as large.

        A component is drawn first, then a point of it.
        """
        device = self.means.device
        shares = self.log_shares.exp()
        component = torch.multinomial(shares, count, replacement=True, generator=generator)
        noise = torch.randn(
            count, len(self.centre), device=device, dtype=self.means.dtype, generator=generator
        )
        return (self.means[component] + std_factor * noise) @ self.unwhitener + self.centre

    def widened(self, std_factor: float) -> GaussianMixture:
        """Returns the mixture with standard deviations `std_factor` times as large."""
        wide = copy.deepcopy(self)
        wide.store(
            whitener=self.whitener / std_factor,
            means=self.means / std_factor,
            log_volume=self.log_volume + len(self.centre) * math.log(std_factor),
        )
        return wide

    def most_probable_class(self, z: Tensor) -> Tensor:
        """Returns the position of the most probable class of each row of z (N, d), (N,)."""
        blocks = self.distance_blocks(z)
        return _first_smallest(
            0.5 * squared - self.log_shares[classes] for classes, squared in blocks
        )

    @property
    def unwhitener(self) -> Tensor:
        """(d, d): the inverse of the whitener.

        Its columns are orthogonal, so a transpose and their squared lengths suffice.
        """
        return self.whitener.T / self.whitener.square().sum(0)[:, None]


class Whitened(Energy):
    """E(z) as a function of w = W (z - centre): steps in w are preconditioned by Sigma in z.

    Args:
        energy: of z.
        mixture: fitted; it gives W and the centre.

    >>> mixture = GaussianMixture(1, 1).fit(Features(torch.tensor([[0.0], [4.0]])))
    >>> whitened = Whitened(mixture, mixture)
    >>> whitened.unwhiten(torch.tensor([[0.0], [1.0]]))  # mean 2, standard deviation 2
    tensor([[2.],
            [4.]])
    """

    def __init__(self, energy: Energy, mixture: GaussianMixture) -> None:
        super().__init__()
        self.energy = energy
        self.mixture = mixture
        self.unwhitener = mixture.unwhitener

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(self.unwhiten(z))

    def unwhiten(self, w: Tensor) -> Tensor:
        """Returns the z of each row of w (N, d), (N, d)."""
        return w @ self.unwhitener + self.mixture.centre

    def whiten(self, z: Tensor) -> Tensor:
        """Returns the w of each row of z (N, d), (N, d)."""
        return self.mixture.whiten(z)


class Mahalanobis(Gaussians):
    """E(z) = min_c (z - mu_c)^T Sigma^-1 (z - mu_c), the squared distance to the nearest class.

    Reference: Lee et al. 2018; on z / ||z||, Sehwag et al. 2021.

    >>> train = Features(torch.tensor([[0.0], [2.0], [8.0], [10.0]]), torch.tensor([0, 0, 1, 1]))
    >>> Mahalanobis(dim=1, classes=2).fit(train)(torch.tensor([[1.0], [5.0], [12.0]]))
    tensor([ 0., 16.,  9.])
    """

    def forward(self, z: Tensor) -> Tensor:
        blocks = [squared.amin(-1) for _, squared in self.distance_blocks(z)]
        return blocks[0] if len(blocks) == 1 else torch.stack(blocks).amin(0)
