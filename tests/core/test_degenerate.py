"""Features that say little: every detector gives finite scores, or refuses in one line."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from heat_core.detectors.closed_form import KNN, MSP, SSD, EnergyLogits, MoG
from heat_core.detectors.detector import Detector
from heat_core.detectors.distances import FDBD, NCI, SHE, NNGuide
from heat_core.detectors.gaussians import RMD, ClassMoG, RadialMahalanobis, RMDPlusPlus
from heat_core.detectors.heat import EBM, HEAT
from heat_core.detectors.learned_energy import FromNoise, Perceptron
from heat_core.detectors.logits import GEN, KLM, MaxLogit
from heat_core.detectors.rectified import ASH, DICE, SCALE, ReAct
from heat_core.detectors.subspaces import NECO, ViM
from heat_core.features import Features, Head
from heat_core.run import fit
from heat_core.threads import torch_threads
from heat_core.training.trainer import Diverged, TrainConfig

ROWS, DIM = 90, 8
NOISE = FromNoise(
    Perceptron(width=8, depth=1), training=TrainConfig(steps=10, batch=32, log_points=2)
)
CLOSED_FORMS: list[Detector] = [
    MSP(),
    EnergyLogits(),
    KNN(k=3),
    KNN(normalize=False, k=3),
    SSD(),
    SSD(normalize=False),
    MoG(),
    MoG(normalize=False),
    MaxLogit(),
    GEN(),
    KLM(),
    ReAct(),
    SCALE(),
    ASH(),
    DICE(),
    NNGuide(k=3),
    SHE(),
    FDBD(),
    NCI(),
    NCI(alpha=0.1),
    RMD(),
    RMDPlusPlus(),
    RadialMahalanobis(),
    RadialMahalanobis(beta=2.0),
    ClassMoG(),
    ClassMoG(normalize=False, shrinkage=0.0),
    ViM(),
    NECO(),
]
LEARNED: list[Detector] = [EBM(learner=NOISE), HEAT(temperature=9.0, correction=NOISE)]


def _normal(rows: int = ROWS, dim: int = DIM) -> Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(rows + dim))


def _with_constant_columns() -> Tensor:
    z = _normal()
    z[:, ::2] = 3.0
    return z


def _with_rows_of_zeros() -> Tensor:
    z = _normal()
    z[::3] = 0.0
    return z


CASES: dict[str, Callable[[], Tensor]] = {
    "singular": lambda: _normal(dim=2) @ _normal(2, DIM),
    "more columns than rows": lambda: _normal(dim=3 * ROWS),
    "duplicates": lambda: _normal(3).repeat(ROWS // 3, 1),
    "one row again and again": lambda: _normal(1).repeat(ROWS, 1),
    "rows of zeros": _with_rows_of_zeros,
    "nothing but zeros": lambda: torch.zeros(ROWS, DIM),
    "constant columns": _with_constant_columns,
    "constant": lambda: torch.full((ROWS, DIM), 7.0),
    "one column far larger": lambda: _normal() * torch.tensor([1e12] + [1.0] * (DIM - 1)),
    "tiny": lambda: 1e-30 * _normal(),
    "huge": lambda: 1e14 * _normal().clamp(-3, 3),
}


def _name(detector: Detector) -> str:
    return detector.title if getattr(detector, "normalize", True) else f"{detector.title}-plain"


@pytest.mark.parametrize("detector", [*CLOSED_FORMS, *LEARNED], ids=_name)
def test_scores_are_finite_or_refused_in_one_line(detector: Detector) -> None:
    for classes, case in itertools.product([1, 3, ROWS], CASES):
        z = CASES[case]()
        head = Head(torch.ones(3, z.shape[1]), torch.zeros(3)) if classes <= 3 else None
        train = Features(z, torch.arange(ROWS) % classes, head)
        message = ""
        try:
            run = fit(detector, train)
        except (ValueError, Diverged) as error:
            message = str(error)
        else:
            for features in (train, Features(_normal(20, z.shape[1])), Features(-z)):
                assert np.isfinite(run.score(features)).all(), f"{case}, {classes} classes"
        assert "\n" not in message, f"{case}, {classes} classes"


@pytest.mark.parametrize("detector", CLOSED_FORMS, ids=_name)
def test_how_many_threads_work_does_not_matter(
    detector: Detector, train: Features, far: Features
) -> None:
    scores = []
    for count in (1, 5):
        with torch_threads(count):
            scores.append(fit(detector, train).score(far))
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-4, atol=1e-5)
