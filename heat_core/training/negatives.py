"""What data is contrasted with: draws of a noise density, or of the model itself, found from there in one of several ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from heat_core.energies import Energy, GaussianMixture
from heat_core.sampling import (
    Langevin,
    Manifold,
    importance_resampled,
    independent_metropolis,
    project,
)

NoiseSampler = Callable[[int, torch.Generator], Tensor]
"""Draws (count, d) points."""

Start = Literal["noise", "chains", "resampled", "metropolis"]
"""Where the chains that find the model's negatives begin.

`noise`: at fresh draws of the noise (short runs: each mode keeps the share that the noise gave it).
`chains`: where they ended last time (persistent contrastive divergence, Tieleman 2008).
`resampled`: at draws of the noise, taken in proportion to p / n (importance resampling).
`metropolis`: where independence Metropolis-Hastings from the noise has brought them.
The last two cross from mode to mode, so that the modes' shares are learned.
"""


def uniform_cube(z: Tensor, margin: float = 0.4) -> NoiseSampler:
    """Returns uniform noise on the cube around the data's bounding box, widened on each side by `margin` of its length.

    A cube, not the box: what is learned means nothing where there is no noise, and a flat box ends close to flat data.
    """
    low, high = z.amin(0), z.amax(0)
    centre, half = (low + high) / 2, (0.5 + margin) * (high - low).amax()
    low, high = centre - half, centre + half

    def draw(count: int, generator: torch.Generator) -> Tensor:
        return low + (high - low) * torch.rand(
            count, len(low), device=z.device, dtype=z.dtype, generator=generator
        )

    return draw


def standard_normal(z: Tensor) -> NoiseSampler:
    """Returns draws of N(0, I), as wide as z."""

    def draw(count: int, generator: torch.Generator) -> Tensor:
        return torch.randn(count, z.shape[1], device=z.device, dtype=z.dtype, generator=generator)

    return draw


def widened_mixture(
    mixture: GaussianMixture, spread: float, onto: Manifold = "space"
) -> NoiseSampler:
    """Returns draws of the mixture with deviations `spread` times as large, put onto a surface."""

    def draw(count: int, generator: torch.Generator) -> Tensor:
        return project(mixture.sample(count, generator, spread), onto)

    return draw


def manifold_of(z: Tensor) -> Manifold:
    """Returns the part of the unit sphere that directions of z lie on: the positive one if no value is negative."""
    return "positive sphere" if bool((z >= 0).all()) else "sphere"


class ModelSamples:
    """Draws of the model: Langevin chains on its energy, wherever they begin.

    Args:
        sampler: their steps.
        start: where they begin.
        noise: draws of a density n.
        correction: E_theta, with total = E_n + E_theta: -E_theta weighs draws of n as draws of the model.
        total: what they walk on.
        both: whether the places where they began are negatives too.
        bfloat16: whether the network's products are made in it.
    """

    def __init__(
        self,
        sampler: Langevin,
        start: Start,
        noise: NoiseSampler,
        correction: Energy,
        total: Energy,
        both: bool = False,
        bfloat16: bool = False,
    ) -> None:
        (
            self.sampler,
            self.start,
            self.noise,
            self.correction,
            self.total,
            self.both,
            self.bfloat16,
        ) = (
            sampler,
            start,
            noise,
            correction,
            total,
            both,
            bfloat16,
        )
        self.place: Tensor | None = None

    def __call__(self, count: int, generator: torch.Generator) -> Tensor:
        """Returns `count` negatives, (count, d)."""
        chains = (count + 1) // 2 if self.both else count
        begun = project(self._begin(chains, generator), self.sampler.onto)
        with torch.autocast(
            begun.device.type, torch.bfloat16, enabled=self.bfloat16
        ):  # weights are cast once for all steps
            ended = self.sampler(self.total, begun, generator)
        self.place = ended
        return torch.cat([ended, begun])[:count] if self.both else ended

    def _begin(self, count: int, generator: torch.Generator) -> Tensor:
        if self.start == "chains" and self.place is not None:
            return self.place
        drawn = self.noise(4 * count if self.start == "resampled" else count, generator)
        if self.start == "resampled":
            return drawn[importance_resampled(self._log_weight(drawn), count, generator)]
        if self.start == "metropolis" and self.place is not None:
            taken = independent_metropolis(
                self._log_weight(self.place), self._log_weight(drawn), generator
            )
            return torch.where(taken[:, None], drawn, self.place)
        return drawn

    @torch.no_grad()
    def _log_weight(self, z: Tensor) -> Tensor:
        return -self.correction(z)
