"""Samplers walk points down an energy with noise; they read the energy and never write it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor

from .energies import Energy, unit

Manifold = Literal["space", "positive space", "sphere", "positive sphere"]
"""Where points live: anywhere or on the unit sphere, with or without negative coordinates."""


def project(z: Tensor, manifold: Manifold) -> Tensor:
    """Returns the points z (N, d) projected to a manifold, (N, d).

    >>> project(torch.tensor([[-1.0, 2.0]]), "positive sphere")
    tensor([[0., 1.]])
    """
    if manifold.startswith("positive"):
        z = z.clamp(min=0)
    return unit(z) if manifold.endswith("sphere") else z


def gradient(energy: Energy, z: Tensor) -> Tensor:
    """Returns dE/dz of each row of z (N, d), (N, d), detached."""
    return energy_and_gradient(energy, z)[1]


def energy_and_gradient(energy: Energy, z: Tensor) -> tuple[Tensor, Tensor]:
    """Returns E and dE/dz of each row of z (N, d), (N,) and (N, d), detached."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        value = energy(z)
        (grad,) = torch.autograd.grad(value.sum(), z)
    return value.detach(), grad


# -- Langevin --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Langevin:
    """Unadjusted Langevin: z <- z - a grad E(z) + noise_std * epsilon, epsilon ~ N(0, I).

    At temperature 1 the noise is sqrt(2 a). On N(0, 1) with step a the stationary variance is
    1 / (1 - a / 2). With noise of another size it is the SGLD of the literature on energy-based
    models, which samples at another temperature. For steps preconditioned by a covariance, walk on
    `energies.Whitened`. Reference: Welling and Teh 2011.

    Args:
        steps: how many.
        step_size: a at the first step, in squared units of z.
        noise_std: standard deviation of the first step's noise; sqrt(2 a) at every step by default.
        final_factor: what step size and noise are multiplied by at the end.
        decay_power: how they decay to that: linearly (1), quadratically (2).
        manifold: points are projected to it after every step.

    Raises:
        ValueError: there is no step, or its size is not above 0.

    >>> from heat_core.energies import GaussianMixture
    >>> from heat_core.features import Features
    >>> normal = GaussianMixture(1, 1).fit(Features(torch.tensor([[-1.0], [1.0]])))
    >>> start = torch.full((5000, 1), 3.0)
    >>> ends = Langevin(steps=50, step_size=0.2)(normal, start, torch.Generator().manual_seed(0))
    >>> round(float(ends.var()), 1)  # 1 / (1 - 0.1)
    1.1
    """

    steps: int = 100
    step_size: float = 1e-3
    noise_std: float | None = None
    final_factor: float = 1.0
    decay_power: int = 1
    manifold: Manifold = "space"

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.step_size > 0:
            raise ValueError(
                "steps must be at least 1 and step_size above 0, "
                f"got {self.steps} and {self.step_size}."
            )

    @property
    def temperature(self) -> float:
        """noise_std^2 / (2 a): the temperature that the first step's values really sample at."""
        return 1.0 if self.noise_std is None else self.noise_std**2 / (2 * self.step_size)

    def at_step(self, step: int) -> Self:
        """Returns the sampler of one step, with the step size and noise decayed by then."""
        if self.final_factor == 1:
            return self
        decay = (1 - step / self.steps) ** self.decay_power
        factor = self.final_factor + (1 - self.final_factor) * decay
        noise_std = None if self.noise_std is None else factor * self.noise_std
        return replace(
            self, step_size=factor * self.step_size, noise_std=noise_std, final_factor=1.0
        )

    def step(self, energy: Energy, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Returns the points z (N, d) one step later, (N, d)."""
        noise_std = math.sqrt(2 * self.step_size) if self.noise_std is None else self.noise_std
        epsilon = torch.randn(z.shape, dtype=z.dtype, device=z.device, generator=generator)
        moved = z - self.step_size * gradient(energy, z) + noise_std * epsilon
        return project(moved, self.manifold)

    def __call__(
        self, energy: Energy, z: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Returns the points z (N, d) after all steps, (N, d)."""
        for step in range(self.steps):
            z = self.at_step(step).step(energy, z, generator)
        return z

    def path(self, energy: Energy, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Returns the whole walk of the points z (N, d), (steps + 1, N, d), the start first."""
        walk = [z]
        for step in range(self.steps):
            walk.append(self.at_step(step).step(energy, walk[-1], generator))
        return torch.stack(walk)

    def acceptance(self, energy: Energy, path: Tensor) -> float:
        """Returns the mean Metropolis-Hastings acceptance that the steps of a path would have had.

        At temperature 1 and a constant step size. Near 1 the step size is no cause of bias.

        Args:
            path: (steps + 1, N, d).
        """
        value, grad = energy_and_gradient(energy, path.flatten(0, 1))
        value, grad = value.view(path.shape[:2]), grad.view(path.shape)
        starts = Points(path[:-1], value[:-1], grad[:-1])
        ends = Points(path[1:], value[1:], grad[1:])
        log_ratio = _log_acceptance_ratio(self.step_size, starts, ends)
        return float(log_ratio.clamp(max=0).exp().mean())


@dataclass(frozen=True)
class MALA(Langevin):
    """Langevin with a Metropolis-Hastings test of every step: unbiased, whatever the step size.

    In high dimension the best acceptance is .574 (Roberts and Rosenthal 1998).
    Reference: Roberts and Tweedie 1996.

    Raises:
        ValueError: a field of another noise, a decay or a manifold is set.

    >>> from heat_core.energies import GaussianMixture
    >>> from heat_core.features import Features
    >>> normal = GaussianMixture(1, 1).fit(Features(torch.tensor([[-1.0], [1.0]])))
    >>> start = torch.full((5000, 1), 3.0)
    >>> ends = MALA(steps=50, step_size=0.5)(normal, start, torch.Generator().manual_seed(0))
    >>> round(float(ends.var()), 1)
    1.0
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise_std is not None or self.final_factor != 1 or self.manifold != "space":
            raise ValueError(
                "MALA has the noise of its step size, which stays, and walks in the whole space."
            )

    def step(self, energy: Energy, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.step_and_acceptance(energy, Points.of(energy, z), generator)[0].z

    def step_and_acceptance(
        self, energy: Energy, start: Points, generator: torch.Generator | None = None
    ) -> tuple[Points, Tensor]:
        """Returns the N points one step later, and how probable each step was.

        The second, (N,), is the probability with which each step was accepted. A walk gives the
        points back for the next step, so that the energy is evaluated once a step.
        """
        z = start.z
        epsilon = torch.randn(z.shape, dtype=z.dtype, device=z.device, generator=generator)
        moved = z - self.step_size * start.gradient + math.sqrt(2 * self.step_size) * epsilon
        proposal = Points.of(energy, moved)
        log_ratio = _log_acceptance_ratio(self.step_size, start, proposal)
        probability = log_ratio.nan_to_num(-torch.inf).clamp(max=0).exp()
        draw = torch.rand(len(z), dtype=z.dtype, device=z.device, generator=generator)
        return proposal.where(draw < probability, start), probability

    def __call__(
        self, energy: Energy, z: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        points = Points.of(energy, z)
        for _ in range(self.steps):
            points, _ = self.step_and_acceptance(energy, points, generator)
        return points.z

    def path(self, energy: Energy, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        walk = [Points.of(energy, z)]
        for _ in range(self.steps):
            walk.append(self.step_and_acceptance(energy, walk[-1], generator)[0])
        return torch.stack([points.z for points in walk])

    def acceptance(self, energy: Energy, path: Tensor) -> float:
        """Returns the share of the steps of a path, (steps + 1, N, d), that were accepted."""
        return float((path[1:] != path[:-1]).any(-1).double().mean())


class Points(NamedTuple):
    """Points z (..., d), their energies (...), and the energies' gradients (..., d)."""

    z: Tensor
    energy: Tensor
    gradient: Tensor

    @classmethod
    def of(cls, energy: Energy, z: Tensor) -> Points:
        """Returns the points z (N, d), detached."""
        return cls(z.detach(), *energy_and_gradient(energy, z))

    def where(self, condition: Tensor, other: Points) -> Points:
        """Returns these N points where the condition (N,) holds, and the others elsewhere."""
        row = condition[:, None]
        return Points(
            torch.where(row, self.z, other.z),
            torch.where(condition, self.energy, other.energy),
            torch.where(row, self.gradient, other.gradient),
        )


def _log_acceptance_ratio(step_size: float, start: Points, proposal: Points) -> Tensor:
    """Returns log of p(z') g(z | z') / (p(z) g(z' | z)), (...), of points (..., d).

    z is the start, z' the proposal, and g(z' | z) = N(z'; z - a grad E(z), 2 a I).
    """
    forward = (proposal.z - start.z + step_size * start.gradient).square().sum(-1)
    backward = (start.z - proposal.z + step_size * proposal.gradient).square().sum(-1)
    return start.energy - proposal.energy + (forward - backward) / (4 * step_size)


def tune_step_size(
    sampler: MALA,
    energy: Energy,
    z: Tensor,
    generator: torch.Generator | None = None,
    target: float = 0.574,
    rounds: int = 60,
) -> tuple[MALA, Tensor]:
    """Returns the sampler with a step size of which `target` is accepted, and its points, (N, d).

    The points are where its chains have come to.

    Args:
        sampler: whose step size is the first try.
        z: (N, d) where the chains begin; the more of them, the surer the size.
        rounds: of one step each; the size changes less and less (Robbins and Monro 1951).
    """
    log_size = math.log(sampler.step_size)
    points = Points.of(energy, z)
    for number in range(rounds):
        trial = replace(sampler, step_size=math.exp(log_size))
        points, probability = trial.step_and_acceptance(energy, points, generator)
        log_size += 3 * (float(probability.mean()) - target) / math.sqrt(1 + number)
    return replace(sampler, step_size=math.exp(log_size)), points.z


# -- draws of another density ----------------------------------------------------------------------


def importance_resampled(
    log_weight: Tensor, count: int, generator: torch.Generator | None = None
) -> Tensor:
    """Returns rows, (count,), drawn in proportion to exp(log_weight), (N,).

    Draws of a density q with log_weight = log p - log q become draws of p, as far as q reaches.
    Reference: sampling importance resampling, Rubin 1987.
    """
    weight = (log_weight - log_weight.max()).exp()
    return torch.multinomial(weight, count, replacement=True, generator=generator)


def independent_metropolis(
    current: Tensor, proposed: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Returns which chains, (N,) bool, accept a proposal drawn from q wherever the chain is.

    Chains cross from mode to mode as freely as q does. Reference: Tierney 1994.

    Args:
        current, proposed: (N,) log p - log q at each chain's point and at its proposal.
    """
    draw = torch.rand(len(current), dtype=current.dtype, device=current.device, generator=generator)
    return draw.log() < proposed - current
