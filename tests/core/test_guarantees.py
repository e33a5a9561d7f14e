"""What rules promise, held against scipy, against counting, and against a thousand draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from heat_core.features import Features, Head
from heat_core.scores import SetScores
from heat_core.thresholds import (
    F1,
    CalibrationScores,
    Conformal,
    Decision,
    Deployment,
    FlagBudget,
    KeepShare,
    KeepWithConfidence,
    MinExpectedCost,
    PerClassConformal,
    PrecisionAtLeast,
    Proportion,
    RecallAtLeast,
    TestScores,
    ThreeWay,
    Youden,
    choose_and_assess,
    discoveries,
    p_values,
    split_scores,
)
from heat_core.thresholds.proportion import count_interval, least_count, least_rows
from tests.core.recipes import RECIPES, fitted, name_of
from tests.samples import CLASSES, clusters, with_views

DRAWS = 1000
shares = st.floats(0.01, 0.99)


def allowed(promised_violations: float) -> float:
    """Returns how often a promise may fail in `DRAWS` draws: as promised, and 3 standard errors."""
    return (
        promised_violations + 3 * (promised_violations * (1 - promised_violations) / DRAWS) ** 0.5
    )


# -- shares that were counted ----------------------------------------------------------------------


@given(st.data(), st.integers(1, 200), st.floats(0.5, 0.999))
def test_the_interval_of_a_share_is_that_of_scipy(data, n, confidence):
    count = data.draw(st.integers(0, n))
    theirs = stats.binomtest(count, n).proportion_ci(confidence, "exact")
    assert Proportion(count, n).interval(confidence) == pytest.approx(
        (theirs.low, theirs.high), abs=1e-9
    )


@given(st.integers(1, 300), shares, st.floats(0.001, 0.5))
def test_the_fewest_rows_that_show_a_share_are_those_of_the_binomial(n, share, risk):
    least = least_count(n, share, risk)
    assert stats.binom.sf(least - 1, n, share) <= risk * (1 + 1e-9)
    assert least == 1 or stats.binom.sf(least - 2, n, share) > risk * (1 - 1e-9)


@given(shares, st.floats(0.001, 0.5))
def test_the_fewest_rows_for_a_share_are_enough_and_one_less_is_not(share, risk):
    least = least_rows(share, risk)
    assert share**least <= risk * (1 + 1e-6)
    assert share ** (least - 1) > risk * (1 - 1e-6)


@given(st.integers(1, 200), st.integers(1, 50), st.integers(1, 50))
def test_the_interval_of_a_count_is_that_of_the_beta_binomial(n, a, b):
    low, high = count_interval(n, a, b, 0.9)
    law = stats.betabinom(n, a, b)
    assert law.cdf(low) >= 0.05 - 1e-9
    assert low == 0 or law.cdf(low - 1) < 0.05 + 1e-9
    assert law.cdf(high) >= 0.95 - 1e-9
    assert high == 0 or law.cdf(high - 1) < 0.95 + 1e-9


@pytest.mark.parametrize(("count", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_a_count_lies_within_its_rows(count, n):
    with pytest.raises(ValueError, match="wanted a count out of at least one row"):
        Proportion(count, n)


# -- what is kept of ID ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many_test(head: Head) -> Features:
    return with_views(*clusters(600, 21))


def kept_over_splits(scores: np.ndarray, calibration: int, share: float) -> np.ndarray:
    """Returns the share kept of the rest over random splits, (DRAWS,)."""
    random = np.random.default_rng(0)
    shuffled = random.permuted(np.tile(scores, (DRAWS, 1)), axis=1)
    chosen, judged = shuffled[:, :calibration], shuffled[:, calibration:]
    thresholds = [Conformal(share).fit(row).threshold for row in chosen]
    return (judged <= np.array(thresholds)[:, None]).mean(1)


def test_conformal_rules_keep_their_share_of_every_detector(train, many_test):
    off = {}
    for detector in RECIPES:
        kept = kept_over_splits(fitted(detector, train).score(many_test), 199, 0.9)
        off[name_of(detector)] = (kept.mean() - 0.9) / (kept.std() / DRAWS**0.5)
    # By chance one mean in twenty lies beyond two standard errors, one in 16,000 beyond four.
    assert abs(np.mean(list(off.values()))) <= 2
    assert max(map(abs, off.values())) <= 4, off


def test_a_conformal_rule_keeps_its_share_of_every_class(train, many_test):
    scores = fitted(RECIPES[0], train).score(many_test)
    labels = many_test.y.numpy()
    random = np.random.default_rng(0)
    kept = np.empty((DRAWS, CLASSES))
    for draw in range(DRAWS):
        order = random.permutation(len(scores))
        chosen, judged = order[:300], order[300:]
        decision = PerClassConformal(0.9).fit(scores[chosen], predicted=labels[chosen])
        flags = decision.flags(scores[judged], labels[judged])
        kept[draw] = [np.mean(~flags[labels[judged] == label]) for label in range(CLASSES)]
    error = kept.std(0) / DRAWS**0.5
    assert (kept.mean(0) >= 0.9 - 2 * error).all()


@pytest.mark.parametrize("ties", [False, True])
def test_with_confidence_less_than_the_share_is_kept_as_seldom_as_promised(ties):
    random = np.random.default_rng(1)
    failures = 0
    for _ in range(DRAWS):
        scores = random.geometric(0.2, 200) if ties else random.exponential(size=200)
        threshold = KeepWithConfidence(0.9, 0.9).fit(scores).threshold
        law = stats.geom(0.2) if ties else stats.expon()
        failures += law.cdf(threshold) < 0.9
    assert failures / DRAWS <= allowed(0.1)
    assert ties or failures / DRAWS >= 0.05  # it wastes little


def test_the_share_kept_lies_where_the_intervals_say(train):
    random = np.random.default_rng(2)
    rule = Conformal(0.9)
    low, high = rule.kept_interval(200)
    chance_low, chance_high = rule.chance_interval(200, rows=100)
    kept_of_all, kept_of_rows = [], []
    for _ in range(DRAWS):
        threshold = rule.fit(random.random(200)).threshold
        kept_of_all.append(threshold)
        kept_of_rows.append(np.mean(random.random(100) <= threshold))
    inside = np.mean([low <= kept <= high for kept in kept_of_all])
    assert inside == pytest.approx(0.95, abs=0.02)
    assert np.mean([chance_low <= kept <= chance_high for kept in kept_of_rows]) >= 0.93


def test_a_promise_that_takes_more_scores_says_how_many():
    with pytest.raises(ValueError, match=r"confidence takes 59 calibration scores, got 58"):
        KeepWithConfidence(0.95, 0.95).fit(np.arange(58.0))
    assert KeepWithConfidence(0.95, 0.95).fit(np.arange(59.0)).threshold == 58.0


# -- intervals of thresholds -----------------------------------------------------------------------


def resampled_thresholds(rule, inside, outside, seed=5, draws=DRAWS) -> np.ndarray:
    random = np.random.default_rng(seed)

    def resample(values):
        return random.choice(values, len(values))

    return np.array(
        [
            rule.fit(
                resample(inside),
                {g: {n: resample(v) for n, v in sets.items()} for g, sets in outside.items()},
            ).threshold
            for _ in range(draws)
        ]
    )


INSIDE = np.random.default_rng(3).normal(0, 1, 80)
OUTSIDE = {
    "near": {"a": np.random.default_rng(4).normal(1, 1, 60)},
    "far": {"b": np.random.default_rng(5).normal(3, 1, 40)},
}
HALF = Deployment(prevalence=0.5)


@pytest.mark.parametrize(
    "rule",
    [
        KeepShare(0.9),
        Conformal(0.8),
        Youden(),
        F1(HALF),
        MinExpectedCost(HALF),
        FlagBudget(0.3, HALF),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_the_interval_of_a_threshold_is_that_of_resamples(rule):
    low, high = rule.threshold_interval(INSIDE, OUTSIDE, 0.9)
    drawn = resampled_thresholds(rule, INSIDE, OUTSIDE)
    assert low <= rule.fit(INSIDE, OUTSIDE).threshold <= high
    # as many resamples lie below and above as the confidence leaves, within chance and ties
    assert np.mean(drawn < low) <= 0.05 + 0.03
    assert np.mean(drawn <= low) >= 0.05 - 0.03
    assert np.mean(drawn > high) <= 0.05 + 0.03
    assert np.mean(drawn >= high) >= 0.05 - 0.03


def test_a_rule_with_many_thresholds_has_no_single_interval():
    assert PerClassConformal(0.5).threshold_interval(INSIDE) is None


# -- what is promised of OOD -----------------------------------------------------------------------


def test_recall_is_lower_than_promised_as_seldom_as_promised():
    random = np.random.default_rng(6)
    rule = RecallAtLeast(0.8, 0.9)
    failures = {"a": 0, "b": 0}
    laws = {"a": stats.norm(2, 1), "b": stats.norm(2.2, 1)}
    worst = 0
    for _ in range(DRAWS):
        outside = {"near": {name: law.rvs(150, random_state=random) for name, law in laws.items()}}
        threshold = rule.fit(random.normal(0, 1, 300), outside).threshold
        missed = {name: law.sf(threshold) < 0.8 for name, law in laws.items()}
        worst += any(missed.values())
        failures = {name: failures[name] + missed[name] for name in laws}
    assert worst / DRAWS <= allowed(0.1)


def test_precision_is_lower_than_promised_as_seldom_as_promised():
    random = np.random.default_rng(7)
    rule = PrecisionAtLeast(0.8, Deployment(prevalence=0.3), 0.9)
    failures, precisions = 0, []
    for _ in range(DRAWS):
        outside = {"near": {"a": random.normal(2, 1, 300)}, "far": {"b": random.normal(3, 1, 200)}}
        threshold = rule.fit(random.normal(0, 1, 500), outside).threshold
        caught = (stats.norm(2, 1).sf(threshold) + stats.norm(3, 1).sf(threshold)) / 2
        true, false = 0.3 * caught, 0.7 * stats.norm.sf(threshold)
        precisions.append(true / (true + false))
        failures += precisions[-1] < 0.8
    assert failures / DRAWS <= allowed(0.1)
    assert np.mean(precisions) < 0.95  # it wastes little


def test_what_cannot_be_promised_of_ood_is_said():
    few = {"near": {"a": np.arange(20.0)}}
    with pytest.raises(ValueError, match="takes 29 scores of each OOD set, got 20 of a"):
        RecallAtLeast(0.9, 0.95).fit([1.0], few)
    same = {"near": {"a": np.arange(200.0)}}
    with pytest.raises(ValueError, match=r"No threshold has a precision of 90 %.* % is the most"):
        PrecisionAtLeast(0.9, Deployment(prevalence=0.1)).fit(np.arange(200.0), same)
    with pytest.raises(ValueError, match="No threshold that keeps an ID score catches 90 %"):
        RecallAtLeast(0.9).fit([500.0], same)
    for rule in (RecallAtLeast(), PrecisionAtLeast()):
        with pytest.raises(ValueError, match="needs OOD scores, got none"):
            rule.fit(INSIDE, {})


# -- p-values --------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=30),
    st.lists(st.integers(-6, 6).map(float), max_size=10),
)
def test_a_p_value_is_what_counting_says(calibration, scores):
    expected = [(1 + sum(c >= s for c in calibration)) / (len(calibration) + 1) for s in scores]
    assert p_values(calibration, scores).tolist() == pytest.approx(expected)
    smoothed = p_values(calibration, scores, seed=0)
    higher = [sum(c > s for c in calibration) / (len(calibration) + 1) for s in scores]
    assert ((np.array(higher) <= smoothed) & (smoothed <= np.array(expected))).all()


def test_smoothed_p_values_of_id_are_uniform_though_scores_tie():
    random = np.random.default_rng(8)
    drawn = [
        p_values(random.integers(0, 5, 30), random.integers(0, 5, 1), seed=draw)[0]
        for draw in range(DRAWS)
    ]
    assert stats.kstest(drawn, "uniform").pvalue > 0.01


def test_a_threshold_at_a_p_value_is_the_conformal_threshold():
    calibration = np.random.default_rng(9).normal(size=199)
    scores = np.random.default_rng(10).normal(1, 1, 500)
    flags = Conformal(0.95).fit(calibration).flags(scores)
    assert np.array_equal(p_values(calibration, scores) <= 0.05 + 1e-12, flags)


def test_the_share_of_id_among_discoveries_is_as_promised():
    random = np.random.default_rng(11)
    false_shares, caught = [], []
    for _ in range(DRAWS):
        scores = np.concatenate([random.normal(0, 1, 80), random.normal(3, 1, 20)])
        found = discoveries(p_values(random.normal(0, 1, 500), scores), 0.2)
        false_shares.append(found.flagged[:80].sum() / max(1, found.flagged.sum()))
        caught.append(found.flagged[80:].mean())
    error = np.std(false_shares) / DRAWS**0.5
    assert np.mean(false_shares) <= 0.2 + 3 * error
    assert np.mean(caught) > 0.6


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0.01, 1))
def test_discoveries_are_those_of_scipy(p, rate):
    adjusted = stats.false_discovery_control(p) if p else np.empty(0)
    is_clear = np.abs(adjusted - rate) > 1e-12
    assert np.array_equal(discoveries(p, rate).flagged[is_clear], (adjusted <= rate)[is_clear])


@pytest.mark.parametrize("p", [[1.5], [-0.1]])
def test_what_is_no_p_value_is_refused(p):
    with pytest.raises(ValueError, match="p must hold p-values between 0 and 1"):
        discoveries(p)


# -- three ways ------------------------------------------------------------------------------------


def test_of_id_as_much_is_kept_and_as_little_flagged_as_promised():
    random = np.random.default_rng(12)
    kept, flagged = [], []
    for _ in range(DRAWS):
        actions = ThreeWay(0.8, 0.05).fit(random.normal(size=99)).actions(random.normal(size=200))
        kept.append(np.mean(actions == "keep"))
        flagged.append(np.mean(actions == "flag"))
    assert np.mean(kept) >= 0.8 - 2 * np.std(kept) / DRAWS**0.5
    assert np.mean(flagged) <= 0.05 + 2 * np.std(flagged) / DRAWS**0.5
    for percent in range(1, 100):  # 1 - 0.9 is below 0.1 by rounding
        decision = ThreeWay(percent / 100, (100 - percent) / 100).fit(np.arange(999.0))
        assert decision.keep_up_to == decision.flag_above
    with pytest.raises(ValueError, match=r"at most 1 together, got 0\.9 and 0\.2"):
        ThreeWay(0.9, 0.2)


# -- halves ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_val", [False, True])
def test_no_row_is_both_chosen_and_judged_on(has_val):
    sets = {
        "test": np.arange(100.0),
        "near_a": np.arange(200.0, 250),
        "far_b": np.arange(300.0, 330),
    }
    if has_val:
        sets["val"] = np.arange(100.0, 140)
    calibration, test = split_scores(SetScores(sets), ["near_a"], seed=1)
    chosen = {*calibration.inside, *calibration.outside["near"]["a"]}
    judged = {*test.inside, *test.outside["near"]["a"], *test.outside["far"]["b"]}
    assert not chosen & judged
    assert chosen | judged == {value for values in sets.values() for value in values}
    assert "far" not in calibration.outside
    assert len(calibration.inside) == (40 if has_val else 50)


def test_a_decision_says_what_it_does_to_what_it_was_not_chosen_on():
    scores = SetScores(
        {"test": INSIDE, "near_a": OUTSIDE["near"]["a"], "far_b": OUTSIDE["far"]["b"]}
    )
    calibration, test = split_scores(scores, ["near_a", "far_b"])
    decision = choose_and_assess(Youden(), calibration, test)
    assert decision.n_calibration == 40
    kept = sum(score <= decision.threshold for score in test.inside)
    assert decision.assessment.kept == Proportion(kept, 40)
    caught = sum(score > decision.threshold for score in test.outside["far"]["b"])
    assert decision.assessment.caught_by_set["far"]["b"] == Proportion(caught, 20)
    assert decision.interval[0] <= decision.threshold <= decision.interval[1]


def test_rows_from_elsewhere_keep_less_than_chance_explains():
    calibration = CalibrationScores(np.random.default_rng(0).normal(0, 1, 1000), {})
    moved = TestScores(np.random.default_rng(1).normal(1, 1, 500), {})
    remark = choose_and_assess(Conformal(0.95), calibration, moved).assessment.remark
    assert "less than chance explains in 95 of 100 cases (" in remark
    assert remark.endswith("these rows may not be like those that the threshold was chosen on.")


def test_halves_are_not_exchanged_by_mistake():
    half = CalibrationScores(INSIDE, {})
    with pytest.raises(TypeError, match="got CalibrationScores and CalibrationScores"):
        choose_and_assess(KeepShare(), half, half)


def test_every_promise_says_what_it_rests_on():
    rules = [Conformal(), KeepWithConfidence(), PerClassConformal(), RecallAtLeast()]
    rules += [PrecisionAtLeast(), ThreeWay()]
    for rule in rules:
        assert rule.guarantee.endswith(".")
        assert rule.assumption
    assert KeepShare().guarantee == ""
    assert Decision(KeepShare(), 1.0).n_calibration == 0
