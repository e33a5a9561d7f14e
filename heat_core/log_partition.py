"""Log Z, the log of the integral of exp(-E): what turns an energy into a density. By importance sampling, or annealed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .energies import Energy, GaussianMixture, Whitened
from .sampling import MALA, tune_step_size


@dataclass(frozen=True)
class LogZ:
    """An estimate of log Z.

    value: in nats.
    error: its standard error in nats, by the spread of the weights (delta method).
    effective: the effective share of the draws, in (0, 1]; near 1 / draws, one draw has all the weight and `error` is a
        guess too.
    """

    value: float
    error: float
    effective: float


def of_weights(log_weight: Tensor) -> LogZ:
    """Returns log mean exp of unbiased log weights, (N,), with its error and effective share."""
    log_weight = log_weight.double()
    count = len(log_weight)
    total = log_weight.logsumexp(0)
    effective = float((2 * total - (2 * log_weight).logsumexp(0)).exp()) / count
    return LogZ(
        float(total) - math.log(count), math.sqrt(max(1 / effective - 1, 0) / count), effective
    )


@torch.no_grad()
def by_importance(
    energy: Energy,
    mixture: GaussianMixture,
    draws: int = 10_000,
    seed: int = 0,
    spread: float = 1.0,
) -> LogZ:
    """Returns log Z by importance sampling from the mixture with deviations `spread` times as large.

    Z = E_q[exp(-E(z)) / q(z)]. Exact where E is -log q; useless where q does not reach.
    """
    z = mixture.sample(draws, torch.Generator(mixture.means.device).manual_seed(seed), spread)
    return of_weights(-energy(z) - mixture.widened(spread).log_prob(z))


def by_annealing(
    energy: Energy,
    mixture: GaussianMixture,
    chains: int = 256,
    levels: int = 200,
    seed: int = 0,
    spread: float = 1.0,
) -> LogZ:
    """Returns log Z by annealed importance sampling from the mixture to exp(-E).

    Chains begin at draws of q and walk, one MALA step a level, on (1 - b) E_q + b E while b rises from 0 to 1; a chain's log
    weight is the sum of (b' - b) (E_q - E) where it stood. In the mixture's whitened coordinates, with a step size tuned at
    either end. Reference: Neal 2001, arXiv:physics/9803008.

    Args:
        energy: of z, (N, d).
        mixture: fitted; q has deviations `spread` times as large.
        chains, levels: the error falls with either.
    """
    start = mixture.widened(spread)
    generator = torch.Generator(mixture.means.device).manual_seed(seed)
    between = _Between(Whitened(start, mixture), Whitened(energy, mixture))
    w = between.near.whiten(start.sample(chains, generator))  # type: ignore[operator]
    sampler = MALA(step_size=spread**2 * len(mixture.centre) ** (-1 / 3))
    sizes = [
        tune_step_size(sampler, end, w, generator)[0].step_size
        for end in (between.near, between.far)
    ]
    log_weight = torch.zeros(chains, dtype=torch.float64, device=w.device)
    for level in range(levels):
        with torch.no_grad():
            log_weight += (between.near(w) - between.far(w)).double() / levels
        between.share = (level + 1) / levels
        size = sizes[0] ** (1 - between.share) * sizes[1] ** between.share
        w = replace(sampler, step_size=size).step(between, w, generator)
    return of_weights(log_weight)


class _Between(Energy):
    """(1 - share) E_near + share E_far."""

    def __init__(self, near: Energy, far: Energy) -> None:
        super().__init__()
        self.near, self.far, self.share = near, far, 0.0

    def forward(self, z: Tensor) -> Tensor:
        return (1 - self.share) * self.near(z) + self.share * self.far(z)
