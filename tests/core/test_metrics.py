"""The metrics against scikit-learn, a bootstrap, and their own definitions."""

from __future__ import annotations

import numpy as np
import pytest

from heat_core import metrics


def _pair(kind: str) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    inside, outside = random.normal(0, 1, 331), random.normal(1, 1.5, 217)
    return {
        "smooth": (inside, outside),
        "ties": (inside.round(), outside.round()),
        "all tied": (inside * 0, outside * 0),
        "apart": (inside, outside + 99),
        "wrong way": (inside + 99, outside),
        "one each": (inside[:1], outside[:1]),
        "float32": (inside.astype(np.float32), outside.astype(np.float32)),
    }[kind]


pairs = pytest.mark.parametrize(
    "kind", ["smooth", "ties", "all tied", "apart", "wrong way", "one each", "float32"]
)


@pairs
def test_metrics_are_those_of_scikit_learn(kind: str) -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    inside, outside = _pair(kind)
    truth = np.repeat([0, 1], [len(inside), len(outside)])
    scores = np.concatenate([inside, outside])
    figures = metrics.separation(inside, outside)
    assert figures.auroc == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert figures.aupr == pytest.approx(average_precision_score(truth, scores), abs=1e-12)
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert figures.fpr95_ood == pytest.approx(false[true >= 0.95 - 1e-12].min(), abs=1e-12)
    false, true, _ = roc_curve(1 - truth, -scores, drop_intermediate=False)
    assert figures.fpr95 == pytest.approx(false[true >= 0.95 - 1e-12].min(), abs=1e-12)


@pairs
def test_each_metric_alone_is_the_one_in_the_set(kind: str) -> None:
    inside, outside = _pair(kind)
    figures = metrics.separation(inside, outside)
    assert (figures.auroc, figures.fpr95) == (
        metrics.auroc(inside, outside),
        metrics.fpr95(inside, outside),
    )
    assert (figures.fpr95_ood, figures.aupr) == (
        metrics.fpr95_ood(inside, outside),
        metrics.aupr(inside, outside),
    )


@pairs
def test_auroc_of_the_negated_scores(kind: str) -> None:
    inside, outside = _pair(kind)
    assert metrics.auroc(-inside, -outside) == pytest.approx(
        1 - metrics.auroc(inside, outside), abs=1e-12
    )
    assert metrics.auroc(outside, inside) == pytest.approx(
        1 - metrics.auroc(inside, outside), abs=1e-12
    )


def test_delongs_error_is_that_of_the_bootstrap() -> None:
    inside, outside = _pair("smooth")
    random = np.random.default_rng(0)
    resampled = [
        metrics.auroc(random.choice(inside, len(inside)), random.choice(outside, len(outside)))
        for _ in range(600)
    ]
    figures = metrics.separation(inside, outside)
    assert figures.auroc_error == pytest.approx(np.std(resampled), rel=0.12)
    low, high = figures.interval
    assert low < figures.auroc < high
    assert np.mean((np.array(resampled) > low) & (np.array(resampled) < high)) == pytest.approx(
        0.95, abs=0.03
    )


def test_the_threshold_keeps_what_it_says() -> None:
    inside, outside = _pair("ties")
    threshold = metrics.threshold_keeping(inside, 0.95)
    assert (inside <= threshold).mean() >= 0.95
    assert (inside < threshold).mean() < 0.95
    assert metrics.fpr95(inside, outside) == pytest.approx((outside <= threshold).mean())
    assert metrics.threshold_keeping(inside, 1.0) == inside.max()


@pytest.mark.parametrize("wrong", [[], [np.nan], [1.0, np.inf], [-np.inf]])
def test_metrics_refuse_what_is_not_a_number(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="inside"):
        metrics.separation(wrong, [1.0])
    with pytest.raises(ValueError, match="outside"):
        metrics.separation([1.0], wrong)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.01])
def test_a_threshold_needs_a_share(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        metrics.threshold_keeping([1.0], share)
    with pytest.raises(ValueError, match="at least one"):
        metrics.threshold_keeping([])


@pytest.mark.parametrize(
    "change",
    [np.exp, np.arctan, lambda s: 3 * s - 7, lambda s: s**3],
    ids=["exp", "atan", "line", "cube"],
)
def test_metrics_know_only_the_order(change) -> None:
    random = np.random.default_rng(0)
    inside, outside = random.normal(0, 1, 300).round(2), random.normal(1, 1, 200).round(2)
    assert metrics.separation(change(inside), change(outside)) == metrics.separation(
        inside, outside
    )
