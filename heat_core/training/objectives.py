"""Objectives: losses of energies of data and of negatives."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import softplus

from heat_core.energies import Energy, Network, Sum
from heat_core.sampling import Langevin, Manifold

from .negatives import DrawPoints, ModelSampler, Start


@dataclass(frozen=True)
class Objective(abc.ABC):
    """A loss by which an energy learns to tell data from negatives, and where negatives come from.

    Attributes:
        samples_model: whether negatives are the model's own samples, whose chains run one network
            at a time; else they are what the training's task draws, noise or pseudo-OOD features.
    """

    samples_model: ClassVar[bool] = False

    @property
    def bound(self) -> float | None:
        """What |E_theta| does not exceed at the optimum; None where it may grow without end."""
        return None

    @property
    def chain_manifold(self) -> Manifold | None:
        """Where the chains that sample the model live; None without chains."""
        return None

    @abc.abstractmethod
    def loss(self, data_energy: Tensor, negative_energy: Tensor) -> Tensor:
        """Returns the loss of energies of data and of negatives, (N,) each, as a scalar."""

    def evaluate(self, data_energy: Tensor, negative_energy: Tensor) -> Tensor:
        """Returns the validation loss of energies of data, (M,), and negatives, (K,), a scalar."""
        return self.loss(data_energy, negative_energy)

    def negative_sampler(
        self, sample_negatives: DrawPoints, network: Network, prior: Energy | None, bfloat16: bool
    ) -> DrawPoints:
        """Returns the sampler of a step's negatives for a network under training.

        Args:
            sample_negatives: draws what the training's task says; here it is what is returned.
            network: E_theta.
            prior: the energy that is added to E_theta in the model, if there is one.
            bfloat16: whether the network's products are made in it.
        """
        return sample_negatives


@dataclass(frozen=True)
class NoiseContrastive(Objective):
    """Logistic noise-contrastive estimation: data of density p against as much noise of density n.

    loss = mean softplus(E_theta(data)) + mean softplus(-E_theta(noise)),

    smallest at E_theta = log n - log p. Hence -log n + E_theta = -log p, normalised: with noise
    drawn from a prior, prior energy + E_theta is the data's; with uniform noise, E_theta alone is.
    Reference: Gutmann and Hyvarinen 2012; the correction form, Lafon et al. 2022.

    >>> import torch
    >>> undecided = torch.zeros(3)
    >>> print(f"{NoiseContrastive().loss(undecided, undecided):.4f}")  # 2 log 2
    1.3863
    """

    def loss(self, data_energy: Tensor, negative_energy: Tensor) -> Tensor:
        return softplus(data_energy).mean() + softplus(-negative_energy).mean()


@dataclass(frozen=True)
class SelfNormalized(Objective):
    """Maximum likelihood with the normaliser from noise.

    loss = mean E_theta(data) + log mean exp(-E_theta(noise))

    is the negative log likelihood of the model n exp(-E_theta) / Z less that of n, with
    self-normalised importance sampling for Z: no chain, and no mode out of the noise's reach.
    Reference: Bengio and Senecal 2003.

    >>> import torch
    >>> loss = SelfNormalized().loss(torch.tensor([-1.0, -3.0]), torch.tensor([0.0, 0.0]))
    >>> float(loss)
    -2.0
    """

    def loss(self, data_energy: Tensor, negative_energy: Tensor) -> Tensor:
        return data_energy.mean() + log_mean_exp(-negative_energy)


@dataclass(frozen=True)
class LeastSquares(Objective):
    """A regularised critic, whose energy is bounded.

    loss = mean E(data) - mean E(negatives) + alpha (mean E(data)^2 + mean E(negatives)^2)

    with negatives of density n is smallest at E_theta = (n - p) / (2 alpha (n + p)), which lies
    within 1 / (2 alpha) of 0: a bounded verdict of data against negatives, not the log of a density
    ratio.

    Args:
        alpha: how much large energies cost; it sets the scale of E_theta and nothing else at the
            optimum.

    >>> import torch
    >>> float(LeastSquares(alpha=0.5).loss(torch.tensor([-1.0]), torch.tensor([1.0])))
    -1.0
    >>> LeastSquares(alpha=0.5).bound
    1.0
    """

    alpha: float = 1.0

    @property
    def bound(self) -> float | None:
        """1 / (2 alpha), which |E_theta| does not exceed at the optimum; None without alpha."""
        return 1 / (2 * self.alpha) if self.alpha else None

    def loss(self, data_energy: Tensor, negative_energy: Tensor) -> Tensor:
        gap = data_energy.mean() - negative_energy.mean()
        size = data_energy.square().mean() + negative_energy.square().mean()
        return gap + self.alpha * size


@dataclass(frozen=True)
class MaximumLikelihood(LeastSquares):
    """Maximum likelihood, regularised: the loss of `LeastSquares` with samples of the model.

    Langevin chains sample the model. Without alpha the loss has the gradient of the log likelihood,
    as far as they do. The validation loss is the likelihood by importance sampling from the noise,
    as in `SelfNormalized`.
    Reference: Lafon et al. 2022, eq. 2 to 4; Nijkamp et al. 2019 for short chains.

    Args:
        sampler: the chains' steps.
        start: where chains begin; see `negatives.Start`.
        include_starts: negatives are the chains' ends and their beginnings, half of each, as in the
            paper's public code.

    >>> import torch
    >>> objective = MaximumLikelihood(sampler=Langevin(steps=20, step_size=1e-2))
    >>> float(objective.evaluate(torch.tensor([-2.0]), torch.zeros(5)))
    -2.0
    """

    sampler: Langevin = Langevin(steps=20)
    start: Start = "noise"
    include_starts: bool = False
    samples_model: ClassVar[bool] = True

    @property
    def chain_manifold(self) -> Manifold | None:
        return self.sampler.manifold

    def evaluate(self, data_energy: Tensor, negative_energy: Tensor) -> Tensor:
        return data_energy.mean() + log_mean_exp(-negative_energy)

    def negative_sampler(
        self, sample_negatives: DrawPoints, network: Network, prior: Energy | None, bfloat16: bool
    ) -> DrawPoints:
        """Returns chains on prior + E_theta that begin at the noise, or where `start` says."""
        total = network if prior is None else Sum(prior, network)
        return ModelSampler(
            self.sampler,
            self.start,
            sample_negatives,
            network,
            total,
            self.include_starts,
            bfloat16,
        )


def log_mean_exp(values: Tensor) -> Tensor:
    """Returns log mean exp(values) of (N,), as a scalar."""
    return values.logsumexp(0) - math.log(len(values))
