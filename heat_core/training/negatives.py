"""Negatives, which data is contrasted with: draws of a noise density, or of the model itself.

Pseudo-OOD features are negatives too: `detectors.learned_energy.FromPseudoOOD` draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Generator, Tensor

from heat_core.energies import Energy, GaussianMixture
from heat_core.sampling import (
    Langevin,
    Manifold,
    importance_resampled,
    independent_metropolis,
    project,
)

DrawPoints = Callable[[int, Generator], Tensor]
"""Draws points: from their count and a generator to (count, d)."""

Start = Literal["noise", "chains", "resampled", "metropolis"]
"""Where the chains that sample the model begin.

`noise`: at fresh draws of the noise (short runs: each mode keeps the share that the noise gave it).
`chains`: where they ended last time (persistent contrastive divergence, Tieleman 2008).
`resampled`: at draws of the noise, taken in proportion to p / n (importance resampling).
`metropolis`: where independence Metropolis-Hastings from the noise has brought them.
The last two cross from mode to mode, so that the modes' shares are learned.
"""

OVERSAMPLING = 4  # draws of the noise for each one that importance resampling keeps

# -- noise -----------------------------------------------------------------------------------------


def uniform_cube(z: Tensor, margin: float = 0.4, scale: float = 1.0) -> DrawPoints:
    """Returns uniform noise on a cube around the data.

    A cube, not the bounding box: what is learned means nothing where there is no noise, and a flat
    box ends close to flat data.

    Args:
        z: (N, d) data.
        margin: how far the cube reaches beyond the longest side of the box, as a share of it.
        scale: how many times as wide the cube is then.

    >>> sample_noise = uniform_cube(torch.tensor([[0.0, 0.0], [1.0, 2.0]]), margin=0.5)
    >>> points = sample_noise(1000, torch.Generator().manual_seed(0))
    >>> points.shape, bool(points[:, 1].min() < -0.9), bool(points[:, 1].min() >= -1)  # [-1, 3]
    (torch.Size([1000, 2]), True, True)
    """
    low, high = z.amin(0), z.amax(0)
    centre = (low + high) / 2
    half = scale * (0.5 + margin) * (high - low).amax()
    low, high = centre - half, centre + half

    def sample(count: int, generator: Generator) -> Tensor:
        shape = count, len(low)
        points = torch.rand(shape, device=z.device, dtype=z.dtype, generator=generator)
        return low + (high - low) * points

    return sample


def standard_normal(z: Tensor, std: float = 1.0) -> DrawPoints:
    """Returns noise of N(0, std^2 I) in the d dimensions of data z, (N, d)."""

    def sample(count: int, generator: Generator) -> Tensor:
        shape = count, z.shape[1]
        return std * torch.randn(shape, device=z.device, dtype=z.dtype, generator=generator)

    return sample


def widened_mixture(
    mixture: GaussianMixture, std_factor: float, manifold: Manifold = "space"
) -> DrawPoints:
    """Returns noise of Gaussians with wider deviations, projected to a manifold.

    Args:
        mixture: fitted, of (N, d).
        std_factor: how many times as large the deviations are.
        manifold: where the noise lives.
    """

    def sample(count: int, generator: Generator) -> Tensor:
        return project(mixture.sample(count, generator, std_factor), manifold)

    return sample


def manifold_of(z: Tensor) -> Manifold:
    """Returns the part of the unit sphere that directions of z, (N, d), lie on."""
    return "positive sphere" if bool((z >= 0).all()) else "sphere"


# -- samples of the model --------------------------------------------------------------------------


class ModelSampler:
    """A sampler of the model p ~ exp(-total), by Langevin chains on its total energy.

    Args:
        sampler: the chains' steps.
        start: where they begin.
        noise_sampler: draws of the density n.
        e_theta: E_theta of (N, d); -E_theta weighs draws of n as draws of n exp(-E_theta), which is
            the model where n ~ exp(-prior).
        total: prior + E_theta, or E_theta where it stands alone; the chains walk on it.
        include_starts: whether half of the negatives are the points where the chains began.
        bfloat16: whether the network's products are made in it.
    """

    def __init__(
        self,
        sampler: Langevin,
        start: Start,
        noise_sampler: DrawPoints,
        e_theta: Energy,
        total: Energy,
        include_starts: bool = False,
        bfloat16: bool = False,
    ) -> None:
        self.sampler = sampler
        self.start = start
        self.noise_sampler = noise_sampler
        self.e_theta = e_theta
        self.total = total
        self.include_starts = include_starts
        self.bfloat16 = bfloat16
        self.chains: Tensor | None = None

    def __call__(self, count: int, generator: Generator) -> Tensor:
        """Returns negatives, (count, d)."""
        chain_count = (count + 1) // 2 if self.include_starts else count
        starts = project(self._starts(chain_count, generator), self.sampler.manifold)
        # one autocast around all steps, so that the weights are cast once
        with torch.autocast(starts.device.type, torch.bfloat16, enabled=self.bfloat16):
            ends = self.sampler(self.total, starts, generator)
        self.chains = ends
        if self.include_starts:
            return torch.cat([ends, starts])[:count]
        return ends

    def _starts(self, count: int, generator: Generator) -> Tensor:
        """Returns the points where chains begin, (count, d)."""
        if self.start == "chains" and self.chains is not None:
            return self.chains
        if self.start == "resampled":
            points = self.noise_sampler(OVERSAMPLING * count, generator)
            return points[importance_resampled(self._log_weight(points), count, generator)]
        points = self.noise_sampler(count, generator)
        if self.start == "metropolis" and self.chains is not None:
            accepted = independent_metropolis(
                self._log_weight(self.chains), self._log_weight(points), generator
            )
            return torch.where(accepted[:, None], points, self.chains)
        return points

    @torch.no_grad()
    def _log_weight(self, z: Tensor) -> Tensor:
        """Returns log p - log n of each row up to a constant, (N,)."""
        return -self.e_theta(z)


# -- watching --------------------------------------------------------------------------------------

OnNegatives = Callable[[Tensor], None]
"""A callback of a training: the negatives (batch, d) of the step before a record."""

# of the block that `negatives_to` opened in this thread; every thread begins with none
_on_negatives: ContextVar[OnNegatives | None] = ContextVar("on_negatives", default=None)


@contextmanager
def negatives_to(on_negatives: OnNegatives) -> Iterator[None]:
    """Shows a callback, before every record of a training inside a block, its last negatives.

    Of several networks that train together they are the first one's.

    >>> from heat_core.detectors.heat import HEAT
    >>> from heat_core.detectors.learned_energy import FromNoise, Perceptron
    >>> from heat_core.features import Features
    >>> from heat_core.training.trainer import TrainConfig
    >>> training = TrainConfig(steps=4, batch=16, log_points=2)
    >>> detector = HEAT(correction=FromNoise(Perceptron(width=4, depth=1), training=training))
    >>> shapes = []
    >>> with negatives_to(lambda negatives: shapes.append(tuple(negatives.shape))):
    ...     energy = detector.fit(Features(torch.randn(50, 2)))
    >>> shapes
    [(16, 2), (16, 2)]
    """
    token = _on_negatives.set(on_negatives)
    try:
        yield
    finally:
        _on_negatives.reset(token)


def report_negatives(negatives: Tensor) -> None:
    """Shows negatives, (batch, d), to whoever `negatives_to` named."""
    on_negatives = _on_negatives.get()
    if on_negatives is not None:
        on_negatives(negatives)


# -- negatives that test what was learned ----------------------------------------------------------


def perturbed(z: Tensor, generator: Generator) -> dict[str, Tensor]:
    """Returns features that no image has, made of ID features (N, d) alone: {kind: (N, d)}.

    Midpoints of two rows, rows with half of their columns from another row, and columns each
    shuffled among the rows.
    """
    partner = z[torch.randperm(len(z), device=z.device, generator=generator)]
    half = torch.rand(z.shape, device=z.device, generator=generator) < 0.5
    order = torch.rand(z.shape, device=z.device, generator=generator).argsort(0)
    return {
        "midpoints": (z + partner) / 2,
        "crossed": torch.where(half, z, partner),
        "shuffled": z.gather(0, order),
    }
