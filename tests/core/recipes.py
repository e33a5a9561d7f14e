"""Every detector in the settings that the tests try, and each fitted once."""

from __future__ import annotations

import math

import heat_core.run
from heat_core.detectors.closed_form import KNN, MSP, ODIN, SSD, EnergyLogits, MoG
from heat_core.detectors.composed import Composed
from heat_core.detectors.detector import Detector
from heat_core.detectors.distances import FDBD, NCI, SHE, NNGuide
from heat_core.detectors.gaussians import RMD, ClassMoG, RadialMahalanobis, RMDPlusPlus
from heat_core.detectors.heat import EBM, EL, GMM, HEAT
from heat_core.detectors.learned_energy import FromNoise, FromPerturbed, FromPseudoOOD, Perceptron
from heat_core.detectors.logits import GEN, KLM, MaxLogit
from heat_core.detectors.rectified import ASH, DICE, SCALE, ReAct
from heat_core.detectors.subspaces import NECO, ViM
from heat_core.detectors.weighted_sum import OfView, WeightedSumOf
from heat_core.features import Features
from heat_core.run import Run
from heat_core.training.trainer import TrainConfig
from tests.samples import extra

SHORT = TrainConfig(steps=20, batch=64, log_points=2)
NOISE = FromNoise(Perceptron(16, 2), training=SHORT)
WAVES = FromNoise(Perceptron(16, 2, frequencies=8), training=SHORT)
CRITIC = FromPseudoOOD(Perceptron(16, 2), training=SHORT)
RECIPES: list[Detector] = [
    MSP(),
    EnergyLogits(),
    EnergyLogits(2.0),
    KNN(k=5),
    KNN(k=5, normalize=False),
    SSD(),
    SSD(normalize=False),
    MoG(),
    MoG(normalize=False),
    MaxLogit(),
    GEN(),
    GEN(gamma=0.5, largest=2),
    KLM(),
    ReAct(),
    ReAct(percentile=90),
    SCALE(),
    SCALE(percentile=85),
    ASH(),
    ASH(percentile=65),
    DICE(),
    DICE(percentile=50),
    NNGuide(),
    NNGuide(k=5),
    SHE(),
    FDBD(),
    NCI(),
    NCI(alpha=0.01),
    RMD(),
    RMDPlusPlus(),
    RadialMahalanobis(),
    RadialMahalanobis(beta=0.5),
    ClassMoG(),
    ClassMoG(normalize=False, shrinkage=0.1),
    ViM(),
    ViM(principal=4),
    NECO(),
    EBM(learner=NOISE),
    EBM(normalize=False, learner=NOISE),
    HEAT(temperature=4.0, correction=NOISE),
    HEAT(normalize=False, correction=WAVES),
    ODIN(),
    EBM(learner=CRITIC),
    EBM(learner=FromPerturbed(Perceptron(16, 2), training=SHORT)),
    HEAT(correction=CRITIC),
    HEAT(correction=CRITIC, prior=EL),
    HEAT(correction=CRITIC, prior=("knn", "odin")),
    HEAT(temperature=4.0, correction=NOISE, prior=GMM),
    OfView("std", HEAT(correction=NOISE)),
    WeightedSumOf((HEAT(correction=NOISE, prior=GMM), OfView("std", MoG()), EnergyLogits())),
    WeightedSumOf((ODIN(), EBM(learner=CRITIC)), (0.5, 2.0), beta=2.0),
    Composed(k=5),
    Composed(k=5, beta=2.0),
    Composed(w_correction=2.0, w_std_view=1.0, w_knn=0.0, correction=CRITIC),
    Composed(w_energy=0.0, k=5, beta=-math.inf),
]
EXTRA = extra()
_RUNS: dict[tuple[Detector, int], tuple[Features, Run]] = {}


def name_of(value: object) -> str:
    return f"{value.title}{RECIPES.index(value)}" if isinstance(value, Detector) else str(value)


def fit(detector: Detector, train: Features, seed: int = 0) -> Run:
    """Fits a detector anew."""
    return heat_core.run.fit(detector, train, seed, extra=EXTRA)


def fitted(detector: Detector, train: Features, seed: int = 0) -> Run:
    """Returns the run of a detector that all tests of a worker share, so none may change it."""
    known = _RUNS.get((detector, seed))
    if known is None or known[0] is not train:
        _RUNS[detector, seed] = known = train, fit(detector, train, seed)
    return known[1]
