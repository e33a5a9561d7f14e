"""Detectors that learn the same E_theta learn it once, with the scores of learning it alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from heat_core.detectors.heat import EBM, EL, GMM, HEAT
from heat_core.detectors.shared_learning import learn_once
from heat_core.features import Features
from heat_core.run import Run
from heat_core.training.trainer import Trainer
from tests.core.recipes import CRITIC, NOISE, fit

HEATS = [
    HEAT(correction=CRITIC),
    HEAT(correction=CRITIC, prior=GMM),
    HEAT(correction=CRITIC, prior=EL),
]


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of all trainings so far."""
    seeds: list[int] = []
    train_networks = Trainer.fit

    def train_and_count(trainer, tasks, seed, on_record):
        seeds.append(seed)
        train_networks(trainer, tasks, seed, on_record)

    monkeypatch.setattr(Trainer, "fit", train_and_count)
    return seeds


def same(one: Run, other: Run, features: Features) -> bool:
    timeless = [[replace(record, seconds=0.0) for record in run.history] for run in (one, other)]
    return timeless[0] == timeless[1] and np.array_equal(one.score(features), other.score(features))


def test_three_priors_learn_once_and_score_as_alone(
    train: Features, far: Features, trainings: list[int]
) -> None:
    alone = [fit(detector, train, 3) for detector in HEATS]
    assert trainings == [3, 3, 3]
    with learn_once():
        shared = [fit(detector, train, 3) for detector in HEATS]
    assert trainings == [3, 3, 3, 3]
    assert all(same(one, other, far) for one, other in zip(alone, shared, strict=True))


def test_what_is_learned_otherwise_is_learned_anew(train: Features, trainings: list[int]) -> None:
    with learn_once():
        fit(HEATS[0], train, 0)
        fit(HEATS[0], train, 1)
        fit(EBM(learner=replace(CRITIC, two_families_weight=1.0)), train, 0)
        fit(HEATS[0], train.take(torch.arange(200)), 0)
        fit(HEAT(correction=NOISE), train, 0)
        fit(HEAT(correction=NOISE, prior=EL), train, 0)
    assert trainings == [0, 1, 0, 0, 0, 0]
    fit(HEATS[0], train, 0)
    assert len(trainings) == 7
