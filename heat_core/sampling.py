"""A sampler walks points down an energy with noise. It reads the energy and never writes it; only `step` differs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor

from .energies import Energy, unit

Manifold = Literal["space", "sphere", "positive sphere"]
"""Where points live: anywhere, on the unit sphere, or on its part without negative coordinates."""


@dataclass(frozen=True)
class Langevin:
    """Unadjusted Langevin: z <- z - a grad E(z) + noise * epsilon, epsilon ~ N(0, I).

    At temperature 1 the noise is sqrt(2 a). On N(0, 1) with step a the stationary variance is 1 / (1 - a / 2). With noise of
    another size it is the SGLD of the literature on energy-based models, which samples at another temperature.
    For steps preconditioned by a covariance, walk on `energies.Whitened`.
    Reference: Welling and Teh 2011.

    Args:
        steps: how many.
        step_size: a at the first step, in squared units of z.
        noise: standard deviation of the first step's noise; sqrt(2 a) at every step if not given.
        fall: the share of step size and noise that the last steps fall to.
        power: how: linearly (1), quadratically (2).
        onto: points are put back there after every step.
    """

    steps: int = 100
    step_size: float = 1e-3
    noise: float | None = None
    fall: float = 1.0
    power: int = 1
    onto: Manifold = "space"

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.step_size > 0:
            raise ValueError(
                f"steps must be at least 1 and step_size above 0, got {self.steps} and {self.step_size}."
            )

    @property
    def temperature(self) -> float:
        """noise^2 / (2 a): the temperature that the first step's values really sample at."""
        return 1.0 if self.noise is None else self.noise**2 / (2 * self.step_size)

    def at(self, step: int) -> Self:
        """Returns the sampler of one step, with what is left of step size and noise then."""
        if self.fall == 1:
            return self
        left = self.fall + (1 - self.fall) * (1 - step / self.steps) ** self.power
        noise = None if self.noise is None else left * self.noise
        return replace(self, step_size=left * self.step_size, noise=noise, fall=1.0)

    def step(self, energy: Energy, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Returns the points one step later, (N, d)."""
        noise = math.sqrt(2 * self.step_size) if self.noise is None else self.noise
        epsilon = torch.randn(z.shape, dtype=z.dtype, device=z.device, generator=generator)
        return project(z - self.step_size * gradient(energy, z) + noise * epsilon, self.onto)

    def __call__(
        self, energy: Energy, z: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Returns the points after all steps, (N, d)."""
        for i in range(self.steps):
            z = self.at(i).step(energy, z, generator)
        return z

    def path(self, energy: Energy, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Returns the whole walk, (steps + 1, N, d), the start first."""
        walk = [z]
        for i in range(self.steps):
            walk.append(self.at(i).step(energy, walk[-1], generator))
        return torch.stack(walk)

    def acceptance(self, energy: Energy, path: Tensor) -> float:
        """Returns the mean Metropolis-Hastings acceptance that the steps of a path, (steps + 1, N, d), would have had.

        At temperature 1 and a constant step size. Near 1 the step size is no cause of bias.
        """
        value, slope = value_and_gradient(energy, path.flatten(0, 1))
        value, slope = value.view(path.shape[:2]), slope.view(path.shape)
        log_ratio = _log_ratio(
            self.step_size, (path[:-1], value[:-1], slope[:-1]), (path[1:], value[1:], slope[1:])
        )
        return float(log_ratio.clamp(max=0).exp().mean())


@dataclass(frozen=True)
class MALA(Langevin):
    """Langevin with a Metropolis-Hastings test of every step: unbiased, whatever the step size.

    Reference: Roberts and Tweedie 1996; in high dimension the best acceptance is .574 (Roberts and Rosenthal 1998).
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise is not None or self.fall != 1 or self.onto != "space":
            raise ValueError(
                "MALA has the noise of its step size, which stays, and walks in the whole space."
            )

    def step(self, energy: Energy, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.tested(energy, z, generator)[0]

    def tested(
        self, energy: Energy, z: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns the points one step later, (N, d), and the probability with which each step was accepted, (N,)."""
        value, slope = value_and_gradient(energy, z)
        epsilon = torch.randn(z.shape, dtype=z.dtype, device=z.device, generator=generator)
        proposed = z - self.step_size * slope + math.sqrt(2 * self.step_size) * epsilon
        log_ratio = _log_ratio(
            self.step_size, (z, value, slope), (proposed, *value_and_gradient(energy, proposed))
        )
        accepted = log_ratio.nan_to_num(-torch.inf).clamp(max=0).exp()
        taken = torch.rand(len(z), dtype=z.dtype, device=z.device, generator=generator) < accepted
        return torch.where(taken[:, None], proposed, z), accepted

    def acceptance(self, energy: Energy, path: Tensor) -> float:
        """Returns the share of the steps of a path, (steps + 1, N, d), that were accepted."""
        return float((path[1:] != path[:-1]).any(-1).double().mean())


PointsWithEnergy = tuple[Tensor, Tensor, Tensor]
"""Points (..., d), their energies (...), and its gradients (..., d)."""


def _log_ratio(step_size: float, here: PointsWithEnergy, there: PointsWithEnergy) -> Tensor:
    """Returns log of p(z') g(z | z') / (p(z) g(z' | z)), with g(z' | z) = N(z'; z - a grad E(z), 2 a I)."""
    (z, value, slope), (proposed, its_value, its_slope) = here, there
    out = (proposed - z + step_size * slope).square().sum(-1)
    back = (z - proposed + step_size * its_slope).square().sum(-1)
    return value - its_value + (out - back) / (4 * step_size)


def tune_step_size(
    sampler: MALA,
    energy: Energy,
    z: Tensor,
    generator: torch.Generator | None = None,
    target: float = 0.574,
    rounds: int = 60,
) -> tuple[MALA, Tensor]:
    """Returns the sampler with a step size of which `target` is accepted, and where its chains have come to, (N, d).

    Args:
        sampler: whose step size is the first try.
        z: (N, d) where the chains begin; the more of them, the surer the size.
        rounds: of one step each; the size changes less and less (Robbins and Monro 1951).
    """
    log_size = math.log(sampler.step_size)
    for i in range(rounds):
        z, accepted = replace(sampler, step_size=math.exp(log_size)).tested(energy, z, generator)
        log_size += 3 * (float(accepted.mean()) - target) / math.sqrt(1 + i)
    return replace(sampler, step_size=math.exp(log_size)), z


def project(z: Tensor, onto: Manifold) -> Tensor:
    """Returns the points on a surface, (N, d)."""
    if onto == "space":
        return z
    return unit(z.clamp(min=0) if onto == "positive sphere" else z)


def gradient(energy: Energy, z: Tensor) -> Tensor:
    """Returns dE/dz of each row, (N, d), detached."""
    return value_and_gradient(energy, z)[1]


def value_and_gradient(energy: Energy, z: Tensor) -> tuple[Tensor, Tensor]:
    """Returns E and dE/dz of each row, (N,) and (N, d), detached."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        value = energy(z)
        (slope,) = torch.autograd.grad(value.sum(), z)
    return value.detach(), slope


def importance_resampled(
    log_weight: Tensor, count: int, generator: torch.Generator | None = None
) -> Tensor:
    """Returns the rows, (count,), of draws in proportion to exp(log_weight), (N,): sampling importance resampling.

    Reference: Rubin 1987. Draws of a density q with log_weight = log p - log q become draws of p, as far as q reaches.
    """
    return torch.multinomial(
        (log_weight - log_weight.max()).exp(), count, replacement=True, generator=generator
    )


def independent_metropolis(
    current: Tensor, proposed: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Returns which chains, (N,) bool, take their proposal: it is a draw of q, whatever the chain's place.

    Args:
        current, proposed: (N,) log p - log q of each chain's place and proposal.

    Reference: Tierney 1994. Chains cross from mode to mode as freely as q does.
    """
    return (
        torch.rand(
            len(current), dtype=current.dtype, device=current.device, generator=generator
        ).log()
        < proposed - current
    )
