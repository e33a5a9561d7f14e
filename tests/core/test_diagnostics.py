"""Chains and weights of which the answer is known, the light's rules, and log Z against integrals."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from heat_core.detectors.heat import HEAT
from heat_core.detectors.learned_energy import FromNoise, Perceptron
from heat_core.detectors.presets import preset_detector
from heat_core.diagnostics import (
    Diagnosis,
    condition,
    effective_size,
    light_and_reason,
    split_r_hat,
)
from heat_core.energies import Energy, GaussianMixture
from heat_core.features import Features
from heat_core.log_partition import by_annealing, by_importance, of_weights
from heat_core.plane.grid import Grid
from heat_core.plane.toys import toy
from heat_core.run import fit, load, save
from heat_core.sampling import Langevin
from heat_core.training.objectives import MaximumLikelihood
from heat_core.training.trainer import TrainConfig

RANDOM = np.random.default_rng(0)


def autoregressive(rho: float, steps: int = 2000, chains: int = 16) -> np.ndarray:
    noise = RANDOM.normal(size=(steps, chains))
    values = [RANDOM.normal(size=chains)]
    for row in noise[1:]:
        values.append(rho * values[-1] + math.sqrt(1 - rho**2) * row)
    return np.array(values)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_effective_size_of_an_autoregression(rho: float) -> None:
    """(1 - rho) / (1 + rho) of the draws."""
    values = autoregressive(rho)
    assert effective_size(values) == pytest.approx(values.size * (1 - rho) / (1 + rho), rel=0.15)


def test_r_hat_is_one_where_chains_agree_and_more_where_one_does_not() -> None:
    values = autoregressive(0.0)
    assert split_r_hat(values) == pytest.approx(1, abs=0.01)
    assert split_r_hat(values + np.linspace(0, 3, 16)) > 1.3
    assert (
        split_r_hat(values + np.linspace(0, 3, 2000)[:, None]) > 1.1
    )  # a drift: halves of a chain disagree
    assert math.isnan(split_r_hat(np.ones((10, 4))))
    assert split_r_hat(np.ones((10, 4)) * np.arange(4)) == math.inf
    assert math.isnan(effective_size(np.ones((10, 4))))


@pytest.mark.parametrize(
    ("change", "light", "word"),
    [
        ({}, "green", "nothing drifts"),
        ({"gap": -1.0}, "red", "learned nothing"),
        ({"drift": 9.0}, "red", "Long chains leave"),
        ({"bound_used": 3.0}, "red", "3.0 times its bound"),
        ({"effective": 0.001, "r_hat_energy": 3.0}, "red", "modes are lost"),
        ({"effective": 0.001}, "amber", "log Z is a guess"),
        ({"acceptance": 0.01}, "amber", "rough"),
        ({"r_hat_energy": 1.5}, "amber", "wells"),
        ({"condition": 1e12}, "amber", "condition number"),
        ({"r_hat_class": 30.0}, "green", "keep to their class"),
    ],
)
def test_the_light_and_its_reason(change: dict, light: str, word: str) -> None:
    sound = Diagnosis(
        "green", "", 0.57, 0.1, 1.01, 1.0, 500, 500, ((1,),), 3.0, 0.8, 0.4, 0.0, 0.1, 100.0
    )
    found, reason = light_and_reason(replace(sound, **change))
    assert found == light
    assert word in reason


def test_a_training_that_loses_modes_is_red_and_a_sound_one_green() -> None:
    data = toy("crosses9").features()
    sound = fit(preset_detector("HEAT", "quick", "plane"), data).diagnosis
    cold = FromNoise(
        Perceptron(64, 2, 64, 4.0),
        MaximumLikelihood(alpha=0.0, sampler=Langevin(20, 1e-3)),
        TrainConfig(steps=250, batch=256, lr=5e-3, keep="last"),
    )
    lost = fit(HEAT(normalize=False, correction=cold), data).diagnosis
    assert sound is not None
    assert lost is not None
    assert sound.light == "green", sound.reason
    assert lost.light == "red", lost.reason
    assert (
        np.trace(np.array(sound.switches)) / np.sum(sound.switches) > 0.9
    )  # the crosses lie apart
    assert sound.acceptance == pytest.approx(0.574, abs=0.15)


def test_a_run_keeps_its_diagnosis(train: Features, tmp_path: Path) -> None:
    run = fit(preset_detector("HEAT", "quick"), train)
    save(run, tmp_path / "run")
    again = load(tmp_path / "run").diagnosis
    assert run.diagnosis is not None
    assert again is not None
    assert (again.light, again.reason, again.switches) == (
        run.diagnosis.light,
        run.diagnosis.reason,
        run.diagnosis.switches,
    )
    assert fit(preset_detector("MoG"), train).diagnosis is None


def test_the_condition_number_is_numpys(train: Features) -> None:
    mixture = GaussianMixture(12, 4).fit(train)
    sigma = (mixture.unwhitener.T @ mixture.unwhitener).double().numpy()
    assert condition(mixture) == pytest.approx(np.linalg.cond(sigma), rel=1e-3)


class Narrow(Energy):
    """E(z) = ||z - 1||^2 / (2 s^2): log Z = d log(s sqrt(2 pi))."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, z: Tensor) -> Tensor:
        return 0.5 * ((z - 1) / self.scale).square().sum(-1)


@pytest.mark.parametrize("dim", [2, 16])
def test_annealing_finds_a_gaussians_log_z(dim: int) -> None:
    z = torch.randn(3000, dim, generator=torch.Generator().manual_seed(0))
    mixture, wanted = (
        GaussianMixture(dim, 1).fit(Features(z)),
        dim * math.log(0.5 * math.sqrt(2 * math.pi)),
    )
    found = by_annealing(Narrow(0.5), mixture, seed=1)
    assert found.value == pytest.approx(wanted, abs=4 * found.error + 0.05)
    assert found.error < 0.25
    if dim == 16:  # where importance sampling alone has lost its weight
        assert by_importance(Narrow(0.5), mixture).effective < 0.01 < found.effective


def test_log_z_is_the_integral_on_a_toy() -> None:
    data, grid = toy("crosses9").features(), Grid(toy("crosses9"))
    energy = fit(preset_detector("HEAT", "quick", "plane"), data).energy
    values = grid.energy(energy)
    integral = float(np.log(np.exp(values.min() - values).sum() * grid.area) - values.min())
    mixture = GaussianMixture(2, 9).fit(data)
    for found in (by_importance(energy, mixture), by_annealing(energy, mixture, seed=2)):
        assert found.value == pytest.approx(integral, abs=4 * found.error + 0.02)


def test_even_weights_have_no_error() -> None:
    found = of_weights(torch.full((50,), 2.0))
    assert (found.value, found.error, found.effective) == (
        pytest.approx(2.0),
        pytest.approx(0.0, abs=1e-6),
        pytest.approx(1.0),
    )
    half = of_weights(torch.tensor([0.0, 0.0, -math.inf, -math.inf]))
    assert (half.value, half.effective) == (pytest.approx(math.log(0.5)), pytest.approx(0.5))
    widened = GaussianMixture(2, 1).fit(Features(torch.randn(200, 2))).widened(3.0)
    assert by_importance(widened, widened, draws=100).value == pytest.approx(0.0, abs=1e-4)
