"""Runs: what the file that a fitted detector is saved in is made of."""

from __future__ import annotations

import json
from pathlib import Path

from heat_core.detectors.heat import EBM
from heat_core.detectors.learned_energy import EnergyLearner, FromNoise, FromPseudoOOD, Perceptron
from heat_core.features import Features
from heat_core.run import fit, from_json, load, save, to_json
from heat_core.training.trainer import TrainConfig


def test_keys_of_a_run_outlive_the_names_of_fields(train: Features, tmp_path: Path) -> None:
    training = TrainConfig(steps=4, batch=32, log_points=2)
    learner = FromNoise(Perceptron(width=8, depth=1), training=training)
    run = fit(EBM(normalize=False, learner=learner), train)
    save(run, tmp_path / "run")
    card = json.loads((tmp_path / "run" / "run.json").read_text())
    assert {"noise_energy", "log_z"} <= card["history"][0].keys()
    assert "log_z" in card["diagnosis"]
    assert to_json(FromPseudoOOD())["two_kinds_weight"] == 4.0
    assert from_json(EnergyLearner, to_json(FromPseudoOOD())) == FromPseudoOOD()
    again = load(tmp_path / "run")
    assert again.history == run.history
    assert again.diagnosis is not None
    assert run.diagnosis is not None
    assert again.diagnosis.log_z_to_noise == run.diagnosis.log_z_to_noise
