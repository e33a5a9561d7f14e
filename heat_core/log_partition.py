"""Log Z, the log of the integral of exp(-E): what turns an energy into a density.

By importance sampling, or by annealed importance sampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .arguments import check_seed
from .energies import Energy, GaussianMixture, Whitened
from .sampling import MALA, tune_step_size


@dataclass(frozen=True)
class LogZ:
    """An estimate of log Z.

    Args:
        value: in nats.
        error: its standard error in nats, by the variance of the weights (delta method).
        effective: the effective share of the draws, in (0, 1]; near 1 / draws, one draw has all
            the weight and `error` is a guess too.

    >>> estimate = log_z_of_weights(torch.tensor([0.0, 0.0, -torch.inf, -torch.inf]))
    >>> round(estimate.value, 4), round(estimate.effective, 4)  # log 1/2, of half of the draws
    (-0.6931, 0.5)
    """

    value: float
    error: float
    effective: float


def log_z_of_weights(log_weight: Tensor) -> LogZ:
    """Returns log mean exp of unbiased log weights, (N,), with its error and effective share."""
    log_weight = log_weight.double()
    count = len(log_weight)
    total = log_weight.logsumexp(0)
    effective = float((2 * total - (2 * log_weight).logsumexp(0)).exp()) / count
    error = math.sqrt(max(1 / effective - 1, 0) / count)
    return LogZ(float(total) - math.log(count), error, effective)


@torch.no_grad()
def by_importance(
    energy: Energy,
    mixture: GaussianMixture,
    draws: int = 10_000,
    seed: int = 0,
    std_factor: float = 1.0,
) -> LogZ:
    """Returns log Z by importance sampling: Z = E_q[exp(-E(z)) / q(z)].

    Exact where E is -log q; useless where q does not reach.

    Args:
        energy: of z, (N, d).
        mixture: fitted; q has standard deviations `std_factor` times as large.

    >>> from heat_core.features import Features
    >>> mixture = GaussianMixture(1, 1).fit(Features(torch.tensor([[-1.0], [1.0]])))
    >>> f"{by_importance(mixture, mixture, draws=100).value:.4f}"
    '0.0000'
    """
    generator = torch.Generator(mixture.means.device).manual_seed(check_seed(seed))
    z = mixture.sample(draws, generator, std_factor)
    return log_z_of_weights(-energy(z) - mixture.widened(std_factor).log_prob(z))


def by_annealing(
    energy: Energy,
    mixture: GaussianMixture,
    chains: int = 256,
    levels: int = 200,
    seed: int = 0,
    std_factor: float = 1.0,
) -> LogZ:
    """Returns log Z by annealed importance sampling from the mixture q to exp(-E).

    Chains begin at draws of q and walk, one MALA step a level, on (1 - b) E_q + b E while b rises
    from 0 to 1; a chain's log weight is the sum of (b' - b) (E_q - E) at its points. In the
    mixture's whitened coordinates, with a step size tuned at either end.
    Reference: Neal 2001, arXiv:physics/9803008.

    Args:
        energy: of z, (N, d).
        mixture: fitted; q has standard deviations `std_factor` times as large.
        chains, levels: the error falls with either.
    """
    q = mixture.widened(std_factor)
    generator = torch.Generator(mixture.means.device).manual_seed(check_seed(seed))
    start, end = Whitened(q, mixture), Whitened(energy, mixture)
    annealed = _Interpolation(start, end)
    w = start.whiten(q.sample(chains, generator))
    sampler = MALA(step_size=std_factor**2 * len(mixture.centre) ** (-1 / 3))
    start_size = tune_step_size(sampler, start, w, generator)[0].step_size
    end_size = tune_step_size(sampler, end, w, generator)[0].step_size
    log_weight = torch.zeros(chains, dtype=torch.float64, device=w.device)
    for level in range(levels):
        with torch.no_grad():
            log_weight += (start(w) - end(w)).double() / levels
        annealed.share = (level + 1) / levels
        step_size = start_size ** (1 - annealed.share) * end_size**annealed.share
        w = replace(sampler, step_size=step_size).step(annealed, w, generator)
    return log_z_of_weights(log_weight)


class _Interpolation(Energy):
    """(1 - share) E_start + share E_end, with a share that its user moves from 0 to 1."""

    def __init__(self, start: Energy, end: Energy) -> None:
        super().__init__()
        self.start = start
        self.end = end
        self.share = 0.0

    def forward(self, z: Tensor) -> Tensor:
        return (1 - self.share) * self.start(z) + self.share * self.end(z)
