"""One step of the paper's training: 20 Langevin steps for the negatives, and one step of Adam."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from heat_core.detectors.heat import HEAT
from heat_core.detectors.presets import preset_detector
from heat_core.energies import GaussianMixture, Network, Sum
from heat_core.features import Features
from heat_core.sampling import gradient
from heat_core.training.negatives import widened_mixture
from heat_core.training.trainer import NetworksInTraining, TrainingTask

from . import samples, threads
from .timing import OURS, Options, Row, against_peers, take_turns

BATCH, TEMPERATURE = 1024, 1e3


def measure(options: Options) -> list[Row]:
    """Returns the row.

    Raises AssertionError if the gradients that the two walk along differ by more than bfloat16's.
    """
    train = samples.clusters(min(options.rows, 10_000), seed=1)
    z = nn.functional.normalize(train.z, dim=1)
    mixture = GaussianMixture(z.shape[1], samples.CLASSES).fit(Features(z, train.y))
    with threads.limit(options.threads):
        ours, theirs = _Ours(mixture, z), _Straightforward(mixture, z)
        theirs.network.load_state_dict(_as_linear(ours.network))
        cosines = torch.cosine_similarity(ours.slope(z[:256]), theirs.slope(z[:256]), dim=1)
        smallest = float(cosines.min())
        assert smallest > 0.99, f"gradients differ: cosine {smallest:.4f}"
        seconds = take_turns(
            {OURS: ours.step, "MixtureSameFamily and autograd": theirs.step}, options.rounds
        )
    return against_peers(
        f"a training step, d=512, B={BATCH}, 20 Langevin steps", seconds, "<= 0.2", 0.2
    )


class _Ours:
    """The preset `paper`, as it trains."""

    def __init__(self, mixture: GaussianMixture, z: Tensor) -> None:
        detector = preset_detector("HEAT", "paper")
        assert isinstance(detector, HEAT)
        learner = detector.correction
        network = learner.network.build(z.shape[1])
        assert isinstance(network, Network)
        self.prior = mixture / TEMPERATURE
        self.config = replace(learner.training, batch=BATCH)
        task = TrainingTask(network, z, widened_mixture(mixture, 1.0), network, self.prior)
        self.networks = NetworksInTraining(learner.objective, self.config, [task], seed=0)
        self.network = self.networks.template
        output_weight = list(self.network.parameters())[-2]
        nn.init.kaiming_uniform_(output_weight, generator=torch.Generator().manual_seed(0))

    def slope(self, z: Tensor) -> Tensor:
        """Returns the gradient of the total energy at z, (N, d) each."""
        return gradient(Sum(self.prior, self.network), z)

    def step(self) -> None:
        self.networks.step(self.config.lr, ema_weight=1.0)


class _Straightforward:
    """The same with torch's own mixture, in float32, differentiated through."""

    def __init__(self, mixture: GaussianMixture, z: Tensor) -> None:
        self.z = z
        dim = z.shape[1]
        means = mixture.means @ mixture.unwhitener + mixture.centre
        covariance = mixture.unwhitener.T @ mixture.unwhitener
        normals = MultivariateNormal(means, covariance.expand(len(means), dim, dim))
        self.prior = MixtureSameFamily(Categorical(logits=mixture.log_shares), normals)
        sizes = [dim, 1024, 1024, 1024, 1024, 1024]
        layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
        self.network = nn.Sequential(*layers, nn.Linear(1024, 1))
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=5e-6)

    def slope(self, z: Tensor) -> Tensor:
        """Returns the gradient of the total energy at z, (N, d) each."""
        z = z.clone().requires_grad_()
        energy = self.network(z).squeeze(-1) - self.prior.log_prob(z) / TEMPERATURE
        return torch.autograd.grad(energy.sum(), z)[0]

    def step(self) -> None:
        negatives = self.prior.sample((BATCH,))
        for i in range(20):
            factor = 1 - 0.9 * i / 20
            noise = torch.randn_like(negatives)
            negatives = negatives - 1e-6 * factor * self.slope(negatives) + 1e-3 * factor * noise
        rows = torch.randint(len(self.z), (BATCH,))
        data_energy = self.network(self.z[rows]).squeeze(-1)
        negative_energy = self.network(negatives).squeeze(-1)
        gap = data_energy.mean() - negative_energy.mean()
        loss = gap + 10 * (data_energy.square().mean() + negative_energy.square().mean())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def _as_linear(network: Network) -> dict[str, Tensor]:
    """Returns the weights under the names of an nn.Sequential."""
    return {
        name.removeprefix("layers."): value
        for name, value in network.state_dict().items()
        if name.startswith("layers.")
    }
