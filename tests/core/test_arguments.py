"""One check for each kind of argument: what is no score, no share or no threshold is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heat_core import metrics, thresholds
from heat_core.results.bootstrap import bootstrap
from heat_core.scores import SetScores

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
