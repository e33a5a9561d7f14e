"""A sampler walks points down an energy with noise. It reads the energy and never writes it; only `step` differs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .energies import Energy


@dataclass(frozen=True)
class Langevin:
    """Unadjusted Langevin: z <- z - a grad E(z) + noise * epsilon, epsilon ~ N(0, I).

    At temperature 1 the noise is sqrt(2 a). On N(0, 1) with step a the stationary variance is 1 / (1 - a / 2).
    Reference: Welling and Teh 2011.

    Args:
        steps: how many.
        step_size: a, in squared units of z.
        noise: standard deviation of a step's noise; sqrt(2 a) if not given.
    """

    steps: int = 100
    step_size: float = 1e-3
    noise: float | None = None

    @property
    def temperature(self) -> float:
        """noise^2 / (2 a): the temperature that these values really sample at."""
        return 1.0 if self.noise is None else self.noise**2 / (2 * self.step_size)

    def step(self, energy: Energy, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Returns the points one step later, (N, d)."""
        noise = math.sqrt(2 * self.step_size) if self.noise is None else self.noise
        epsilon = torch.randn(z.shape, dtype=z.dtype, device=z.device, generator=generator)
        return z - self.step_size * gradient(energy, z) + noise * epsilon

    def __call__(self, energy: Energy, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Returns the points after all steps, (N, d)."""
        for _ in range(self.steps):
            z = self.step(energy, z, generator)
        return z

    def path(self, energy: Energy, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Returns the whole walk, (steps + 1, N, d), the start first."""
        walk = [z]
        for _ in range(self.steps):
            walk.append(self.step(energy, walk[-1], generator))
        return torch.stack(walk)


def gradient(energy: Energy, z: Tensor) -> Tensor:
    """Returns dE/dz of each row, (N, d), detached."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        (slope,) = torch.autograd.grad(energy(z).sum(), z)
    return slope
