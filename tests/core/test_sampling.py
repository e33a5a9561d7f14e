"""Samplers against Gaussians, whose answers are known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from heat_core.detectors.heat import GMM, HEAT
from heat_core.detectors.learned_energy import FromNoise, Perceptron
from heat_core.energies import Energy, GaussianMixture, Network, Whitened
from heat_core.features import Features
from heat_core.sampling import (
    MALA,
    Langevin,
    gradient,
    importance_resampled,
    independent_metropolis,
    tune_step_size,
)
from heat_core.training.negatives import ModelSampler, widened_mixture
from heat_core.training.trainer import TrainConfig


class Normal(Energy):
    """E(z) = (||z - mean||^2) / 2."""

    def __init__(self, mean: float = 0.0) -> None:
        super().__init__()
        self.mean = mean

    def forward(self, z: Tensor) -> Tensor:
        return 0.5 * (z - self.mean).square().sum(-1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ends_of(sampler: Langevin, count: int = 40_000) -> Tensor:
    """Returns where walks on N(0, 1) that begin at draws of it end, (count, 1)."""
    generator = seeded()
    return sampler(Normal(), torch.randn(count, 1, generator=generator), generator)


@pytest.mark.parametrize("a", [0.1, 0.5, 1.0])
def test_langevin_has_the_variance_of_its_step_size(a: float) -> None:
    """1 / (1 - a / 2), within four standard errors of a variance of 40,000 points."""
    wanted = 1 / (1 - a / 2)
    assert float(ends_of(Langevin(steps=80, step_size=a)).var()) == pytest.approx(
        wanted, rel=4 * (2 / 40_000) ** 0.5
    )


def test_the_noise_sets_the_temperature() -> None:
    sampler = Langevin(steps=150, step_size=0.05, noise_std=0.05**0.5)
    assert sampler.temperature == pytest.approx(0.5)
    assert Langevin(step_size=0.3).temperature == 1.0
    assert Langevin(step_size=0.3, noise_std=0.6**0.5).temperature == pytest.approx(1.0)
    assert float(ends_of(sampler).var()) == pytest.approx(
        0.5 / (1 - 0.025), rel=4 * (2 / 40_000) ** 0.5
    )


def test_a_walk_ends_where_the_sampler_does_and_leaves_the_energy_alone(train: Features) -> None:
    training = TrainConfig(steps=20, batch=64, log_points=2)
    correction = FromNoise(Perceptron(16, 2), training=training)
    energy = HEAT(normalize=False, correction=correction, prior=GMM).fit(train)
    before = {name: value.clone() for name, value in energy.state_dict().items()}
    sampler, z = Langevin(steps=5, step_size=1e-3), train.z[:10]
    path = sampler.path(energy, z, seeded(1))
    assert path.shape == (6, 10, 12)
    assert torch.equal(path[0], z)
    assert torch.equal(path[-1], sampler(energy, z, seeded(1)))
    assert all(
        parameter.grad is None or not parameter.grad.any() for parameter in energy.parameters()
    )
    assert all(torch.equal(value, before[name]) for name, value in energy.state_dict().items())


@pytest.mark.parametrize("a", [0.3, 1.0, 2.0])
def test_mala_is_unbiased_whatever_its_step(a: float) -> None:
    """Mean 0 and variance 1, within three standard errors of 40,000 chains begun far off."""
    z = MALA(steps=120, step_size=a)(
        Normal(), 2 + torch.randn(40_000, 1, generator=seeded()), seeded(1)
    )
    assert abs(float(z.mean())) < 3 / 200
    assert abs(float(z.var()) - 1) < 3 * math.sqrt(2 / 40_000)


def test_langevin_is_biased_where_mala_is_not() -> None:
    z = Langevin(steps=120, step_size=1.0)(
        Normal(), torch.randn(40_000, 1, generator=seeded()), seeded(1)
    )
    assert float(z.var()) == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("dim", [1, 20])
@pytest.mark.parametrize("first", [1e-4, 5.0])
def test_the_step_size_is_tuned_to_the_acceptance(dim: int, first: float) -> None:
    z = torch.randn(256, dim, generator=seeded())
    sampler, settled = tune_step_size(MALA(steps=200, step_size=first), Normal(), z, seeded(1))
    path = sampler.path(Normal(), settled, seeded(2))
    assert sampler.acceptance(Normal(), path) == pytest.approx(0.574, abs=0.06)
    small_steps = Langevin(steps=20, step_size=1e-4)
    assert small_steps.acceptance(Normal(), small_steps.path(Normal(), z)) > 0.99


def test_step_size_and_noise_decay_as_they_say() -> None:
    linear = Langevin(20, 1e-6, 1e-3, final_factor=0.1)
    quadratic = Langevin(40, 1e-4, 5e-3, final_factor=0.1, decay_power=2)
    assert linear.at_step(0).step_size == pytest.approx(1e-6)
    assert linear.at_step(10).step_size == pytest.approx(5.5e-7)
    assert linear.at_step(20).noise_std == pytest.approx(1e-4)
    assert quadratic.at_step(20).step_size == pytest.approx(1e-4 * (0.1 + 0.9 * 0.25))
    assert linear.temperature == pytest.approx(0.5)  # of Lafon et al. 2022, HEAT
    assert quadratic.temperature == pytest.approx(0.125)  # of their public code


@pytest.mark.parametrize("manifold", ["sphere", "positive sphere"])
def test_points_are_projected_to_the_sphere(manifold) -> None:
    start = torch.randn(50, 4, generator=seeded()).abs()
    path = Langevin(5, 0.1, manifold=manifold).path(Normal(0.0), start, seeded(1))[1:]
    assert torch.allclose(path.norm(dim=-1), torch.ones(5, 50), atol=1e-5)
    assert bool((path >= 0).all()) == (manifold == "positive sphere")


def test_samplers_refuse_what_cannot_walk() -> None:
    with pytest.raises(ValueError, match="steps must be at least 1"):
        Langevin(steps=0)
    with pytest.raises(ValueError, match="MALA has the noise of its step size"):
        MALA(noise_std=0.1)


def test_whitened_steps_are_preconditioned_by_the_covariance(train: Features) -> None:
    """A step in w is a step in z with Sigma before the gradient; energies stay as they are."""
    mixture = GaussianMixture(12, 4).fit(train)
    whitened, z = Whitened(Normal(), mixture), train.z[:20]
    w = whitened.whiten(z)
    assert torch.allclose(whitened.unwhiten(w), z, atol=1e-4)
    assert torch.allclose(whitened(w), Normal()(z), atol=1e-3)
    sigma = mixture.unwhitener.T @ mixture.unwhitener
    moved = whitened.unwhiten(w - 0.01 * gradient(whitened, w))
    assert torch.allclose(moved, z - 0.01 * gradient(Normal(), z) @ sigma, atol=1e-4)


def test_a_preconditioned_chain_samples_a_stretched_gaussian() -> None:
    z = torch.randn(4000, 2, generator=seeded()) * torch.tensor([30.0, 0.1])
    mixture = GaussianMixture(2, 1).fit(Features(z))
    whitened = Whitened(mixture, mixture)
    start = torch.randn(5000, 2, generator=seeded(1))
    ends = whitened.unwhiten(MALA(100, 0.8)(whitened, start, seeded(2)))
    assert torch.allclose(ends.std(0), z.std(0, correction=0), rtol=0.03)


def test_resampling_and_metropolis_turn_draws_of_q_into_draws_of_p() -> None:
    """q = N(0, 1), p = N(1, 1): log p - log q = z - 1/2."""
    draws = torch.randn(200_000, 1, generator=seeded())
    resampled = draws[importance_resampled(draws[:, 0] - 0.5, 50_000, seeded(1))]
    assert float(resampled.mean()) == pytest.approx(1.0, abs=0.03)
    chains = torch.randn(20_000, 1, generator=seeded(2))
    for i in range(40):
        proposed = torch.randn(20_000, 1, generator=seeded(10 + i))
        accepted = independent_metropolis(chains[:, 0], proposed[:, 0], seeded(100 + i))
        chains = torch.where(accepted[:, None], proposed, chains)
    assert float(chains.mean()) == pytest.approx(1.0, abs=0.03)
    assert float(chains.var()) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("start", ["noise", "chains", "resampled", "metropolis"])
def test_chains_begin_where_they_say(start, train: Features) -> None:
    mixture = GaussianMixture(12, 4).fit(train)
    noise = widened_mixture(mixture, 1.0)
    sampler = Langevin(1, 1e-12)
    negatives = ModelSampler(sampler, start, noise, Normal(), mixture)
    first, second = negatives(30, seeded(1)), negatives(30, seeded(2))
    stayed = (first - second).abs().amax(1) < 1e-3
    assert bool(stayed.all()) == (start == "chains")
    if start == "metropolis":
        assert 0 < int(stayed.sum()) < 30


def test_starts_can_be_negatives_too(train: Features) -> None:
    mixture = GaussianMixture(12, 4).fit(train)
    noise = widened_mixture(mixture, 1.0)
    negatives = ModelSampler(
        Langevin(1, 1e-12), "noise", noise, Normal(), mixture, include_starts=True
    )(30, seeded(3))
    assert negatives.shape == (30, 12)
    assert torch.allclose(negatives[:15], negatives[15:], atol=1e-3)  # ends and starts


def test_products_in_bfloat16_point_the_same_way() -> None:
    network = Network(64, 256, 3).randomise(seeded())
    torch.nn.init.normal_(network.layers[-1].weight, generator=seeded(1))  # type: ignore[arg-type]
    z = torch.randn(100, 64, generator=seeded(2))
    exact = gradient(network, z)
    network.in_bfloat16 = True
    assert torch.cosine_similarity(gradient(network, z), exact, dim=1).min() > 0.99
    assert gradient(network, z).dtype == torch.float32


def test_a_sampler_of_one_step_is_a_value() -> None:
    assert replace(Langevin(), steps=3) == Langevin(steps=3)
    assert Langevin() != MALA()
