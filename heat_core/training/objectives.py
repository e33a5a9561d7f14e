"""Objectives: losses of energies of data and of negatives."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus

from heat_core.energies import Network, Sum
from heat_core.sampling import Langevin

from .negatives import ModelSamples, NoiseSampler, Start
from .trainer import Objective, TrainingTask


@dataclass(frozen=True)
class NoiseContrastive(Objective):
    """Logistic noise-contrastive estimation: tell data of density p from noise of density n, in equal shares.

    loss = mean softplus(E_theta(data)) + mean softplus(-E_theta(noise)), smallest at E_theta = log n - log p.
    Hence -log n + E_theta = -log p, normalised: with noise drawn from a prior, prior energy + E_theta is the data's;
    with uniform noise, E_theta alone is. Reference: Gutmann and Hyvarinen 2012; the correction form, Lafon et al. 2022.
    """

    def loss(self, inside: Tensor, outside: Tensor) -> Tensor:
        return softplus(inside).mean() + softplus(-outside).mean()


@dataclass(frozen=True)
class SelfNormalized(Objective):
    """Maximum likelihood with the normaliser from noise: mean E_theta(data) + log mean exp(-E_theta(noise)).

    It is the negative log likelihood of the model n exp(-E_theta) / Z less that of n, with self-normalised importance
    sampling for Z: no chain, and no mode out of the noise's reach. Reference: Bengio and Senecal 2003.
    """

    def loss(self, inside: Tensor, outside: Tensor) -> Tensor:
        return inside.mean() + log_mean_exp(-outside)


@dataclass(frozen=True)
class LeastSquares(Objective):
    """A regularised critic: mean E(data) - mean E(noise) + alpha (mean E(data)^2 + mean E(noise)^2).

    It is smallest at E_theta = (n - p) / (2 alpha (n + p)), which lies within 1 / (2 alpha) of 0: a bounded verdict of data
    against noise, not the log of a density ratio.

    Args:
        alpha: how much large energies cost; it sets the scale of E_theta and nothing else at the optimum.
    """

    alpha: float = 1.0

    @property
    def bound(self) -> float | None:
        """1 / (2 alpha), which |E_theta| does not exceed at the optimum; None without alpha."""
        return 1 / (2 * self.alpha) if self.alpha else None

    def loss(self, inside: Tensor, outside: Tensor) -> Tensor:
        return (
            inside.mean()
            - outside.mean()
            + self.alpha * (inside.square().mean() + outside.square().mean())
        )


@dataclass(frozen=True)
class MaximumLikelihood(LeastSquares):
    """The same loss, with negatives drawn from the model itself by Langevin chains: maximum likelihood, regularised.

    Without alpha its gradient is that of the log likelihood, as far as the chains sample the model. What is judged on
    held-out data is the likelihood by importance sampling from the noise, as in `SelfNormalized`.
    Reference: Lafon et al. 2022, eq. 2 to 4; Nijkamp et al. 2019 for short chains.

    Args:
        sampler: the chains' steps.
        start: where chains begin; see `negatives.Start`.
        both: negatives are the chains' ends and their beginnings, half of each, as in the paper's public code.
    """

    sampler: Langevin = Langevin(steps=20)
    start: Start = "noise"
    both: bool = False

    def verdict(self, inside: Tensor, outside: Tensor) -> Tensor:
        return inside.mean() + log_mean_exp(-outside)

    def negatives(self, task: TrainingTask, network: Network) -> NoiseSampler:
        total = network if task.prior is None else Sum(task.prior, network)
        return ModelSamples(
            self.sampler, self.start, task.noise, network, total, self.both, self.bfloat16
        )


def log_mean_exp(values: Tensor) -> Tensor:
    """Returns log mean exp(values) of (N,)."""
    return values.logsumexp(0) - math.log(len(values))
