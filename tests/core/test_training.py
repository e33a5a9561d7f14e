"""Objectives against what they are known to find, and one loop for one network or several."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from heat_core.detectors.detector import Detector
from heat_core.detectors.heat import EBM, HEAT
from heat_core.detectors.learned_energy import FromNoise, Perceptron
from heat_core.detectors.presets import PRESETS, preset_detector
from heat_core.energies import GaussianMixture, Network
from heat_core.features import Features
from heat_core.plane.grid import Grid
from heat_core.plane.toys import toy
from heat_core.run import fit
from heat_core.sampling import Langevin
from heat_core.training.negatives import widened_mixture
from heat_core.training.objectives import (
    LeastSquares,
    MaximumLikelihood,
    Objective,
    SelfNormalized,
)
from heat_core.training.trainer import Diverged, Record, TrainConfig, Trainer, TrainingTask


@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_the_least_squares_critic_has_its_closed_form(alpha: float) -> None:
    """Over a finite support the loss is smallest at (n - p) / (2 alpha (n + p)), and bounded."""
    counts_p, counts_n = torch.tensor([5, 3, 0, 2]), torch.tensor([1, 3, 4, 2])
    energy = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    objective = LeastSquares(alpha=alpha)

    def loss(e: Tensor) -> Tensor:
        return objective.loss(e.repeat_interleave(counts_p), e.repeat_interleave(counts_n))

    optimizer = torch.optim.LBFGS(
        [energy], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(energy)
        value.backward()
        return value

    optimizer.step(closure)  # type: ignore[arg-type]
    p, n = counts_p / counts_p.sum(), counts_n / counts_n.sum()
    wanted = ((n - p) / (2 * alpha * (n + p))).double()
    assert torch.allclose(energy.detach(), wanted, atol=1e-7 / alpha)
    assert float(energy.detach().abs().max()) <= objective.bound + 1e-9  # type: ignore[operator]
    assert LeastSquares(alpha=0.0).bound is None


def test_a_trained_critic_finds_the_closed_form() -> None:
    """p = N(0, 1), n = N(1, 1.5^2): the network against (n - p) / (2 (n + p)) where mass is."""
    z = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0))
    network = Network(1, 32, 2)

    def noise(count: int, generator: torch.Generator) -> Tensor:
        return 1 + 1.5 * torch.randn(count, 1, generator=generator)

    trainer = Trainer(LeastSquares(), TrainConfig(steps=600, batch=512, lr=5e-3))
    trainer.fit([TrainingTask(network, z, noise, network)])
    x = torch.linspace(-2.5, 4, 200)[:, None]
    p, n = (
        torch.distributions.Normal(m, s).log_prob(x[:, 0]).exp()
        for m, s in ((0.0, 1.0), (1.0, 1.5))
    )
    with torch.no_grad():
        error = (network(x) - (n - p) / (2 * (n + p))).abs()
    assert float((error * (p + n)).sum() / (p + n).sum()) < 0.03


@pytest.mark.parametrize(
    ("objective", "steps", "batch"),
    [
        (SelfNormalized(), 500, 512),
        (MaximumLikelihood(alpha=0.0, start="resampled", sampler=Langevin(3, 1e-2)), 200, 256),
        (MaximumLikelihood(alpha=0.0, start="metropolis", sampler=Langevin(3, 1e-2)), 200, 256),
    ],
    ids=["self-normalised", "resampled", "metropolis"],
)
def test_every_likelihood_finds_a_gaussian(objective: Objective, steps: int, batch: int) -> None:
    """Data of N(1, .6^2) against q = N(0, 1.2^2): E_theta - log q is its energy plus a constant."""
    generator = torch.Generator().manual_seed(0)
    z, wide = (
        1 + 0.6 * torch.randn(8000, 1, generator=generator),
        1.2 * torch.randn(8000, 1, generator=generator),
    )
    prior, network = GaussianMixture(1, 1).fit(Features(wide)), Network(1, 32, 2).fit(Features(z))
    task = TrainingTask(network, z, widened_mixture(prior, 1.0), network, prior)
    Trainer(objective, TrainConfig(steps=steps, batch=batch, lr=5e-3)).fit([task])
    x = torch.linspace(-0.5, 2.5, 100)[:, None]
    with torch.no_grad():
        found = (network + prior)(x)
    wanted = 0.5 * ((x[:, 0] - 1) / 0.6) ** 2
    weight = (-wanted).exp()
    gap = found - wanted
    gap = gap - (gap * weight).sum() / weight.sum()
    assert float((gap.abs() * weight).sum() / weight.sum()) < 0.12


def test_several_networks_train_together_as_they_would_alone(train: Features) -> None:
    """Each to rounding, from the seeds n seed, n seed + 1, ...; their mean is the energy."""
    training = TrainConfig(steps=40, batch=64, lr=1e-2, log_points=4)
    single = FromNoise(Perceptron(16, 2), training=training)
    together = HEAT(normalize=False, correction=replace(single, network_count=3)).fit(train, 2)
    alone = [HEAT(normalize=False, correction=single).fit(train, seed=seed) for seed in (6, 7, 8)]
    with torch.no_grad():
        mean = torch.stack([energy.addends()[1](train.z) for energy in alone]).mean(0)
        assert torch.allclose(together.addends()[1](train.z), mean, atol=1e-4, rtol=1e-3)
        assert not torch.allclose(
            together.addends()[1](train.z), alone[0].addends()[1](train.z), atol=1e-2
        )


def test_chains_run_one_network_at_a_time(train: Features) -> None:
    training = TrainConfig(steps=2, batch=8, log_points=1)
    walking = FromNoise(
        Perceptron(8, 1), MaximumLikelihood(sampler=Langevin(2)), training, network_count=2
    )
    with pytest.raises(ValueError, match="one at a time"):
        HEAT(normalize=False, correction=walking).fit(train)


def test_records_tell_log_z_to_the_noise_and_how_much_noise_counts(train: Features) -> None:
    seen: list[Record] = []
    training = TrainConfig(steps=60, batch=128, log_points=3)
    detector = HEAT(normalize=False, correction=FromNoise(Perceptron(16, 2), training=training))
    detector.fit(train, on_record=lambda record, energy: seen.append(record))
    assert [record.step for record in seen] == [20, 40, 60]
    assert all(
        0 < record.effective <= 1 and math.isfinite(record.log_z_to_noise) for record in seen
    )


def test_energies_that_explode_stop_training_and_the_best_weights_stay(train: Features) -> None:
    wild = Trainer(
        MaximumLikelihood(alpha=0.0, sampler=Langevin(2, 1e-3)),
        TrainConfig(steps=200, batch=32, lr=1.0, log_points=50, limit=50.0),
    )
    network = Network(12, 16, 2).fit(train)
    prior = GaussianMixture(12, 4).fit(train)
    advice = r"Try a learning rate below 1\.0, or more regularisation"
    with pytest.raises(Diverged, match=f"energies exploded by step .* {advice}"):
        wild.fit([TrainingTask(network, train.z, widened_mixture(prior, 1.0), network, prior)])
    with torch.no_grad():
        assert float(network(train.z).abs().mean()) <= 2 * 50  # it was judged on other rows


@pytest.mark.parametrize(
    ("loss", "val_loss", "said"),
    [
        (math.nan, 1.0, "the loss is nan"),
        (math.inf, math.nan, "the loss is inf"),
        (1.0, math.inf, "the validation loss is inf"),
    ],
)
def test_the_loss_that_is_not_finite_is_named(train: Features, loss, val_loss, said) -> None:
    class OneValue(LeastSquares):
        def loss(self, data_energy: Tensor, negative_energy: Tensor) -> Tensor:
            return super().loss(data_energy, negative_energy) * 0 + loss

        def evaluate(self, data_energy: Tensor, negative_energy: Tensor) -> Tensor:
            return torch.tensor(val_loss)

    network = Network(12, 16, 2).fit(train)
    prior = GaussianMixture(12, 4).fit(train)
    trainer = Trainer(OneValue(), TrainConfig(steps=2, batch=32, log_points=2))
    with pytest.raises(Diverged, match=said):
        trainer.fit([TrainingTask(network, train.z, widened_mixture(prior, 1.0), network, prior)])


def test_energies_that_exploded_are_told_by_their_size(train: Features) -> None:
    """Half of them at +80 and half at -80 are 0 on average, and too large by a limit of 50."""

    class Halves(Network):
        def forward(self, z: Tensor) -> Tensor:
            signs = torch.where(torch.arange(len(z)) % 2 == 0, 80.0, -80.0)
            return super().forward(z) * 0 + signs

    network = Halves(12, 16, 2).fit(train)
    prior = GaussianMixture(12, 4).fit(train)
    trainer = Trainer(LeastSquares(), TrainConfig(steps=2, batch=32, log_points=2, limit=50.0))
    with pytest.raises(Diverged, match="their size is 80 for data and 80 for negatives"):
        trainer.fit([TrainingTask(network, train.z, widened_mixture(prior, 1.0), network, prior)])


@pytest.mark.parametrize(
    ("schedule", "halfway", "late"),
    [("cosine", 0.5, 0.0955), ("constant", 1, 1), ("step", 0.1, 0.1)],
)
def test_the_rate_follows_its_schedule(schedule, halfway: float, late: float) -> None:
    training = TrainConfig(schedule=schedule)
    assert training.lr_factor(0.0) == 1
    assert training.lr_factor(0.5) == pytest.approx(halfway)
    assert training.lr_factor(0.8) == pytest.approx(late, abs=1e-4)


def test_epochs_count_batches_of_the_data(train: Features) -> None:
    seen: list[Record] = []
    training = TrainConfig(epochs=2, batch=16, log_points=1, val_fraction=0.1)
    detector = HEAT(normalize=False, correction=FromNoise(Perceptron(8, 1), training=training))
    detector.fit(train, on_record=lambda record, energy: seen.append(record))
    assert seen[-1].steps == 2 * math.ceil((len(train) - round(0.1 * len(train))) / 16)


def _shortened(detector: Detector, width: int = 0, depth: int = 0, **changes: int) -> EBM | HEAT:
    """Returns a detector whose energy is learned with other settings, by a network of that size."""
    assert isinstance(detector, EBM | HEAT)
    field = "correction" if isinstance(detector, HEAT) else "learner"
    learner = getattr(detector, field)
    training = replace(learner.training, log_points=1, **changes)
    size = replace(learner.network, width=width, depth=depth) if width else learner.network
    return replace(detector, **{field: replace(learner, network=size, training=training)})


def test_the_papers_figure_by_number() -> None:
    """3 x 3 crosses, 20 Langevin steps for both: the EBM loses modes that HEAT keeps."""
    grid, data = Grid(toy("crosses9")), toy("crosses9").features(seed=0)
    found = {}
    for name in ("EBM", "HEAT"):
        detector = _shortened(preset_detector(name, "paper", "plane"), 32, 2, steps=300)
        found[name] = grid.distance(grid.evaluate(detector.fit(data)))
    assert found["HEAT"].modes_kept == 9
    assert found["EBM"].modes_kept < 9
    assert found["HEAT"].kl < 0.25 < 1 < found["EBM"].kl


def test_the_published_values_stand_in_the_presets() -> None:
    """Table of Lafon et al. 2022, A.5.1, and their public code: a field for each disagreement."""
    paper, official = (PRESETS["features"][name]["HEAT-GMM"] for name in ("paper", "official"))
    assert isinstance(paper, HEAT)
    assert isinstance(official, HEAT)
    assert paper.temperature == official.temperature == 1e3
    assert isinstance(paper.objective, MaximumLikelihood)
    assert isinstance(official.objective, MaximumLikelihood)
    assert (paper.correction.training.lr, official.correction.training.lr) == (5e-6, 1e-5)
    assert (paper.objective.include_starts, official.objective.include_starts) == (False, True)
    assert (paper.objective.sampler.manifold, official.objective.sampler.manifold) == (
        "space",
        "positive sphere",
    )
    assert paper.objective.alpha == official.objective.alpha == 10
    weights = sum(value.numel() for value in paper.correction.network.build(512).parameters())
    assert weights == 4_724_737
    ebm = PRESETS["features"]["paper"]["EBM"]
    assert isinstance(ebm, EBM)
    assert ebm.learner.network.temperature == 1e-2


@pytest.mark.parametrize("preset", ["paper", "official"])
@pytest.mark.parametrize("name", ["EBM", "HEAT-GMM", "HEAT-EL"])
def test_the_published_presets_train(preset: str, name: str, train: Features) -> None:
    """With a narrow network and few steps: they run, and what they give can be saved and read."""
    detector = PRESETS["features"][preset][name]
    run = fit(_shortened(detector, width=8, depth=1, epochs=0, steps=2, batch=8), train)
    assert np.isfinite(run.score(train)).all()
    assert run.diagnosis is not None
