"""Chains of which the answer is known, and the light's rules."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heat_core.detectors.heat import HEAT
from heat_core.detectors.learned_energy import FromNoise, Perceptron
from heat_core.detectors.presets import preset_detector
from heat_core.diagnostics import (
    CHAINS,
    STEPS,
    Diagnosis,
    condition,
    effective_size,
    light_and_reason,
    split_r_hat,
    transition_counts,
)
from heat_core.energies import GaussianMixture
from heat_core.features import Features
from heat_core.plane.toys import toy
from heat_core.run import fit, load, save
from heat_core.sampling import Langevin
from heat_core.training.objectives import MaximumLikelihood
from heat_core.training.trainer import TrainConfig
from tests.core.recipes import WAVES, fitted

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
    drifting = values + np.linspace(0, 3, 2000)[:, None]
    assert split_r_hat(drifting) > 1.1  # halves of a chain disagree
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
        ({"effective": 0.001}, "amber", "log Z to the noise is a guess"),
        ({"acceptance": 0.01}, "amber", "rough"),
        ({"r_hat_energy": 1.5}, "amber", "wells"),
        ({"condition": 1e12}, "amber", "condition number"),
        ({"r_hat_class": 30.0}, "green", "keep to their class"),
    ],
)
def test_the_light_and_its_reason(change: dict, light: str, word: str) -> None:
    sound = Diagnosis(
        "green", "", 0.57, 0.1, 1.01, 1.0, 500, 500, ((0, 0, 1),), 3.0, 0.8, 0.4, 0.0, 0.1, 100.0
    )
    diagnosis = replace(sound, **change)
    assert light_and_reason(diagnosis)[0] == light
    assert word in light_and_reason(diagnosis)[1]


def test_a_training_that_loses_modes_is_red_and_a_sound_one_green(long_diagnosis: None) -> None:
    data = toy("crosses9").features()
    quick = preset_detector("HEAT", "quick", "plane")
    assert isinstance(quick, HEAT)
    assert isinstance(quick.correction, FromNoise)
    training = replace(quick.correction.training, batch=128)
    correction = replace(quick.correction, training=training)
    sound = fit(replace(quick, correction=correction), data).diagnosis
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
    steps = sum(count for _, _, count in sound.transition_counts)
    stayed = sum(count for before, after, count in sound.transition_counts if before == after)
    assert steps == CHAINS * STEPS
    assert stayed / steps > 0.9  # the crosses lie apart
    assert sound.acceptance == pytest.approx(0.574, abs=0.15)


def test_a_run_keeps_its_diagnosis(train: Features, tmp_path: Path) -> None:
    run = fitted(HEAT(normalize=False, correction=WAVES), train)
    save(run, tmp_path / "run")
    loaded = load(tmp_path / "run").diagnosis
    assert run.diagnosis is not None
    assert loaded is not None
    assert loaded.light == run.diagnosis.light
    assert loaded.reason == run.diagnosis.reason
    assert loaded.transition_counts == run.diagnosis.transition_counts != ()
    assert fit(preset_detector("MoG"), train).diagnosis is None


def test_the_condition_number_is_numpys(train: Features) -> None:
    mixture = GaussianMixture(12, 4).fit(train)
    sigma = (mixture.unwhitener.T @ mixture.unwhitener).double().numpy()
    assert condition(mixture) == pytest.approx(np.linalg.cond(sigma), rel=1e-3)


def test_switches_are_counted_by_pair_and_take_no_table_of_all_classes() -> None:
    classes = RANDOM.integers(9_000, 9_012, size=(50, 8))
    table = np.zeros((12, 12), int)
    np.add.at(table, (classes[:-1] - 9_000, classes[1:] - 9_000), 1)
    counted = transition_counts(classes)
    assert sum(count for _, _, count in counted) == 49 * 8
    assert all(table[before - 9_000, after - 9_000] == count for before, after, count in counted)
    assert list(counted) == sorted(counted)


def test_a_table_of_an_earlier_run_is_read_as_counts(train: Features, tmp_path: Path) -> None:
    save(fitted(HEAT(normalize=False, correction=WAVES), train), tmp_path / "run")
    card = json.loads((tmp_path / "run" / "run.json").read_text())
    del card["diagnosis"]["switch_counts"]
    card["diagnosis"]["switches"] = [[7, 0, 1], [0, 3, 0], [2, 0, 0]]
    (tmp_path / "run" / "run.json").write_text(json.dumps(card))
    diagnosis = load(tmp_path / "run").diagnosis
    assert diagnosis is not None
    assert diagnosis.transition_counts == ((0, 0, 7), (0, 2, 1), (1, 1, 3), (2, 0, 2))
