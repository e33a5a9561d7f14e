"""One check for each kind of argument: what is no score, no share or no threshold is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from heat_core import metrics, projection, run, splits, thresholds
from heat_core.detectors.closed_form import MoG
from heat_core.detectors.composed import Composed
from heat_core.detectors.heat import EBM, HEAT
from heat_core.detectors.learned_energy import FromNoise, Perceptron
from heat_core.diagnostics import ToDiagnose, diagnose
from heat_core.energies import GaussianMixture
from heat_core.features import Features
from heat_core.images.classifier import Architecture, pixels_tensor
from heat_core.images.classifier_training import Recipe, train
from heat_core.images.datasets import split_validation
from heat_core.images.pseudo import destroy
from heat_core.log_partition import by_annealing, by_importance
from heat_core.model_selection import criterion
from heat_core.monitoring.online import online_p_values
from heat_core.monitoring.simulation import mix_in
from heat_core.monitoring.two_sample import kernel_two_sample
from heat_core.pack import ExtraID
from heat_core.plane.toys import toy
from heat_core.results.bootstrap import bootstrap, paired_differences
from heat_core.scores import SetScores
from heat_core.training.trainer import TrainConfig, Trainer
from tests.checks import refused
from tests.samples import colours

GOOD = [0.5, 1.0, 2.0]
OOD = {"near": {"a": [1.5, 3.0]}}
BAD = [math.nan, math.inf, -math.inf]

# Everything that takes scores: called with the ID scores, then with those of an OOD set.
TAKE_INSIDE: dict[str, Callable[[Any], Any]] = {
    "separation": lambda scores: metrics.separation(scores, GOOD),
    "auroc": lambda scores: metrics.auroc(scores, GOOD),
    "fpr95": lambda scores: metrics.fpr95(scores, GOOD),
    "fpr95_ood": lambda scores: metrics.fpr95_ood(scores, GOOD),
    "aupr": lambda scores: metrics.aupr(scores, GOOD),
    "threshold_keeping": metrics.threshold_keeping,
    "percentile": lambda scores: metrics.percentile(scores, GOOD),
    "evaluate": lambda scores: thresholds.evaluate(1.0, scores, OOD),
    "sweep": lambda scores: thresholds.sweep(scores, OOD),
    "SetScores": lambda scores: SetScores({"test": np.asarray(scores)}),
    "bootstrap": lambda scores: bootstrap(
        {"KNN": {"test": np.asarray(scores), "near_a": np.asarray(GOOD)}}, [("near", "a")], 2
    ),
    **{
        name: lambda scores, rule=rule: rule(0.5).fit(scores)
        for name, rule in (("keep", thresholds.KeepShare), ("conformal", thresholds.Conformal))
    },
    "youden": lambda scores: thresholds.Youden().fit(scores, OOD),
}
TAKE_OUTSIDE: dict[str, Callable[[Any], Any]] = {
    "separation": lambda scores: metrics.separation(GOOD, scores),
    "auroc": lambda scores: metrics.auroc(GOOD, scores),
    "percentile": lambda scores: metrics.percentile(GOOD, scores),
    "evaluate": lambda scores: thresholds.evaluate(1.0, GOOD, {"near": {"a": scores}}),
    "sweep": lambda scores: thresholds.sweep(GOOD, {"near": {"a": scores}}),
    "SetScores": lambda scores: SetScores({"test": np.asarray(GOOD), "far_a": np.asarray(scores)}),
    "youden": lambda scores: thresholds.Youden().fit(GOOD, {"near": {"a": scores}}),
}
TAKERS = [
    pytest.param(function, id=f"{side}-{name}")
    for side, functions in (("inside", TAKE_INSIDE), ("outside", TAKE_OUTSIDE))
    for name, function in functions.items()
]


@pytest.mark.parametrize("take", TAKERS)
@given(
    scores=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6),
    bad=st.sampled_from(BAD),
    place=st.integers(0, 5),
)
def test_a_score_that_is_not_finite_is_refused_everywhere(
    take: Callable[[Any], Any], scores: list[float], bad: float, place: int
) -> None:
    scores.insert(min(place, len(scores)), bad)
    with pytest.raises(ValueError, match=r"must hold finite scores, got -?(nan|inf) at \d"):
        take(scores)


@pytest.mark.parametrize("take", TAKERS)
@pytest.mark.parametrize("scores", [["a"], [1 + 2j], [None]], ids=str)
def test_what_is_no_number_is_refused_everywhere(
    take: Callable[[Any], Any], scores: list[Any]
) -> None:
    with pytest.raises(ValueError, match="must hold real numbers, got"):
        take(scores)


@pytest.mark.parametrize("take", [pytest.param(f, id=n) for n, f in TAKE_INSIDE.items()])
def test_no_score_at_all_is_refused_everywhere(take: Callable[[Any], Any]) -> None:
    with pytest.raises(ValueError, match="must hold at least one score"):
        take([])


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, 95.0, math.nan])
@pytest.mark.parametrize(
    "take",
    [
        lambda share: metrics.threshold_keeping(GOOD, share),
        thresholds.KeepShare,
        thresholds.Conformal,
        thresholds.PerClassConformal,
        thresholds.FlagBudget,
    ],
)
def test_a_share_is_above_0_and_at_most_1(take: Callable[[float], Any], share: float) -> None:
    with pytest.raises(ValueError, match="the share must be above 0 and at most 1, got"):
        take(share)


@pytest.mark.parametrize("rule", [thresholds.Conformal, thresholds.PerClassConformal])
def test_no_calibration_set_promises_to_keep_all(rule: Callable[[float], Any]) -> None:
    with pytest.raises(ValueError, match="the share must be below 1"):
        rule(1.0)


@given(share=st.floats(1e-300, 1), count=st.integers(1, 9))
def test_a_threshold_keeps_its_share_and_no_score_less_would(share: float, count: int) -> None:
    scores = np.arange(count, dtype=float)
    threshold = metrics.threshold_keeping(scores, share)
    assert (scores <= threshold).mean() >= share - 1e-9
    assert threshold == 0 or (scores < threshold).mean() < share
    assert thresholds.KeepShare(share).fit(scores).threshold == threshold


def test_a_threshold_of_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="the threshold must be a number, got nan"):
        thresholds.evaluate(math.nan, GOOD, OOD)


def test_detectors_of_other_rows_are_not_compared() -> None:
    scores = {
        "KNN": {"test": np.arange(5.0), "near_a": np.arange(3.0)},
        "MoG": {"test": np.arange(5.0), "near_a": np.arange(4.0)},
    }
    with pytest.raises(ValueError, match="the same rows of near_a, got 3 and 4 of MoG"):
        bootstrap(scores, [("near", "a")])


# -- seeds -----------------------------------------------------------------------------------------

FEATURES = Features(torch.randn(40, 3, generator=torch.Generator().manual_seed(0)))
MIXTURE = GaussianMixture(3, 1).fit(FEATURES)
LABELS = np.arange(6) % 2
SCORES = {"test": np.arange(4.0), "near_a": np.arange(3.0)}
IMAGES = colours(12, 0)
TINY = FromNoise(Perceptron(8, 1), training=TrainConfig(steps=2, batch=8))

TAKE_SEED: dict[str, Callable[[Any], Any]] = {
    "fit": lambda seed: run.fit(MoG(), FEATURES, seed),
    **{
        f"{type(detector).__name__}.fit": lambda seed, detector=detector: detector.fit(
            FEATURES, seed
        )
        for detector in (MoG(), HEAT(correction=TINY), EBM(learner=TINY), Composed(k=2))
    },
    "diagnose": lambda seed: diagnose(
        ToDiagnose(MIXTURE, MIXTURE, MIXTURE, FEATURES.z, FEATURES.z, density=False), seed=seed
    ),
    "Trainer.fit": lambda seed: Trainer(TINY.objective, TINY.training).fit([], seed),
    "by_importance": lambda seed: by_importance(MIXTURE, MIXTURE, draws=4, seed=seed),
    "by_annealing": lambda seed: by_annealing(MIXTURE, MIXTURE, 2, 2, seed),
    "Toy.features": lambda seed: toy("blobs").features(5, seed),
    "stratified_rows": lambda seed: splits.stratified_rows(LABELS, 2, seed),
    "held_out_rows": lambda seed: splits.held_out_rows(LABELS, 2, seed),
    "sample": lambda seed: splits.sample(FEATURES, 2, seed),
    "sample of all": lambda seed: splits.sample(FEATURES, 99, seed),
    "hold_out": lambda seed: splits.hold_out(FEATURES, 0.5, seed),
    "bootstrap": lambda seed: bootstrap({"KNN": SCORES}, [("near", "a")], 2, seed),
    "paired_differences": lambda seed: paired_differences(SCORES, SCORES, [("near", "a")], 2, seed),
    "lay_out_rows": lambda seed: projection.lay_out_rows(FEATURES.z.numpy(), "pca", seed),
    "trustworthiness_of": lambda seed: projection.trustworthiness_of(
        FEATURES.z.numpy(), FEATURES.z.numpy()[:, :2], seed
    ),
    "destroy": lambda seed: destroy(pixels_tensor(IMAGES), "noise", seed),
    "split_validation": lambda seed: split_validation(IMAGES, 3, seed),
    "train": lambda seed: train(
        Architecture(), IMAGES, IMAGES, Path("none"), Recipe(epochs=1, batch=1000), seed
    ),
    "criterion": lambda seed: criterion(MoG(), FEATURES, EXTRA, seed),
    "p_values": lambda seed: thresholds.p_values(GOOD, GOOD, seed),
    "split_scores": lambda seed: thresholds.split_scores(SetScores(SCORES), seed=seed),
    "threshold_interval": lambda seed: thresholds.Youden().threshold_interval(GOOD, OOD, seed=seed),
    "online_p_values": lambda seed: online_p_values(GOOD, GOOD, seed),
    "mix_in": lambda seed: mix_in(6, 0.5, 2, 5, 5, seed),
    "kernel_two_sample": lambda seed: kernel_two_sample(FEATURES.z, FEATURES.z, 2, seed),
}
EXTRA = ExtraID(FEATURES, {}, {"blur": FEATURES})
BAD_SEEDS = [-1, 2**32, 10**30, 10**5000, 1.5, "1", True]


@pytest.mark.parametrize(
    "seed", BAD_SEEDS, ids=["-1", "2^32", "10^30", "10^5000", "1.5", "text", "True"]
)
@pytest.mark.parametrize("take", [pytest.param(f, id=name) for name, f in TAKE_SEED.items()])
def test_what_is_no_seed_is_refused_everywhere_in_one_line(
    take: Callable[[Any], Any], seed: Any
) -> None:
    message = refused(lambda: take(seed), "the seed must be a whole number from 0 to 4,294,967,295")
    assert len(message) < 150


def test_the_largest_seed_is_one_to_whoever_takes_it() -> None:
    for name, take in TAKE_SEED.items():
        if name not in ("Trainer.fit", "train"):  # which are given nothing to train
            take(2**32 - 1)
            take(np.int64(3))
