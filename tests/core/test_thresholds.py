"""Thresholds against counting by hand, and each rule against a search over all thresholds."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heat_core.metrics import fpr95, fpr95_ood, threshold_keeping
from heat_core.scores import SetScores
from heat_core.thresholds import (
    F1,
    RULES,
    ByHand,
    Conformal,
    Decision,
    Deployment,
    FlagBudget,
    KeepShare,
    MinExpectedCost,
    PerClassConformal,
    Youden,
    choose_threshold,
    evaluate,
    shortest_equivalent,
    sweep,
)

CHOOSING = [rule for rule in RULES.values() if rule is not ByHand]
# Few distinct values make ties; wide ones make gaps.
scores = st.lists(
    st.integers(-6, 6).map(float) | st.floats(-1e3, 1e3, width=32), min_size=1, max_size=25
)
groups = st.dictionaries(
    st.sampled_from(["near", "mid", "far"]),
    st.dictionaries(st.sampled_from(["a", "b"]), scores, min_size=1),
    min_size=1,
)
deployments = st.builds(
    Deployment,
    st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    st.sampled_from([0.0, 1.0, 50.0]),
    st.just(1.0),
)


def all_thresholds(inside, outside) -> list[float]:
    """Returns every score, and a threshold below them all: there is nothing else to choose."""
    values = sorted(
        {*inside, *(v for sets in outside.values() for high in sets.values() for v in high)}
    )
    return [values[0] - 1, *values]


def shares(threshold, inside, outside) -> tuple[float, float]:
    """Returns (ID kept, OOD caught) by counting, groups and sets weighing the same."""
    kept = Fraction(sum(v <= threshold for v in inside), len(inside))
    means = [
        sum(Fraction(sum(v > threshold for v in high), len(high)) for high in sets.values())
        / len(sets)
        for sets in outside.values()
    ]
    return float(kept), float(sum(means) / len(means))


@given(scores, groups, st.floats(-1e3, 1e3))
def test_an_outcome_is_what_counting_says(inside, outside, threshold):
    outcome = evaluate(threshold, inside, outside)
    kept, caught = shares(threshold, inside, outside)
    assert outcome.kept == pytest.approx(kept)
    assert outcome.caught == pytest.approx(caught)
    assert outcome.false_alarms == pytest.approx(1 - kept)
    assert outcome.missed == pytest.approx(1 - caught)


def test_both_fpr95_are_outcomes_at_their_thresholds():
    random = np.random.default_rng(0)
    inside, outside = random.normal(0, 1, 500), random.normal(1, 1, 300)
    groups = {"near": {"a": outside}}
    keeping_id = evaluate(threshold_keeping(inside, 0.95), inside, groups)
    assert keeping_id.missed == pytest.approx(fpr95(inside, outside))
    below_95_percent = np.nextafter(np.sort(outside)[300 - 285], -np.inf)
    catching_ood = evaluate(below_95_percent, inside, groups)
    assert catching_ood.caught == pytest.approx(0.95)
    assert catching_ood.false_alarms == pytest.approx(fpr95_ood(inside, outside))


@given(scores, groups, deployments)
def test_a_thousand_inputs_are_a_thousand_inputs(inside, outside, deployment):
    outcome = evaluate(0.0, inside, outside)
    counts = outcome.per_thousand(deployment.prevalence)
    assert counts.kept + counts.false_alarms + counts.caught + counts.missed == pytest.approx(1000)
    assert counts.caught + counts.missed == pytest.approx(1000 * deployment.prevalence)
    of_misses = deployment.miss_cost * counts.missed
    of_false_alarms = deployment.false_alarm_cost * counts.false_alarms
    assert outcome.cost(deployment) == pytest.approx(of_misses + of_false_alarms)


def test_precision_is_the_share_of_ood_among_the_flagged():
    outcome = evaluate(0.0, [-1.0, -1.0, -1.0, 1.0], {"near": {"a": [1.0, -1.0]}})
    counts = outcome.per_thousand(0.2)
    assert (counts.false_alarms, counts.caught, counts.flagged) == pytest.approx((200, 100, 300))
    assert counts.precision == pytest.approx(1 / 3)
    nothing_flagged = evaluate(9.0, [1.0], {"near": {"a": [1.0]}})
    assert math.isnan(nothing_flagged.per_thousand(0.5).precision)


@given(scores, groups, deployments)
def test_a_sweep_is_every_thresholds_outcome(inside, outside, deployment):
    candidates = sweep(inside, outside)
    kept, caught = candidates.kept, candidates.caught
    assert (kept[0], kept[-1], caught[-1]) == (0, 1, pytest.approx(0))
    assert caught[0] == pytest.approx(1)
    assert candidates.false_alarms == pytest.approx(1 - kept)
    assert len(candidates.thresholds) == len(all_thresholds(inside, outside))
    costs = candidates.cost(deployment)
    for threshold, *figures in zip(candidates.thresholds, kept, caught, costs, strict=True):
        outcome = evaluate(threshold, inside, outside)
        wanted = (outcome.kept, outcome.caught, outcome.cost(deployment))
        assert tuple(figures) == pytest.approx(wanted)


def figure(rule, kept: float, caught: float) -> float:
    """Returns the figure that a rule maximises, written out from its definition."""
    if isinstance(rule, Youden):
        return kept + caught - 1
    p = rule.deployment.prevalence
    if isinstance(rule, MinExpectedCost):
        misses = rule.deployment.miss_cost * p * (1 - caught)
        false_alarms = rule.deployment.false_alarm_cost * (1 - p) * (1 - kept)
        return -1000 * (misses + false_alarms)
    flagged = p * caught + (1 - p) * (1 - kept)
    precision = p * caught / flagged if flagged else 0.0
    return 2 * precision * caught / (precision + caught) if p and precision + caught else 0.0


@given(scores, groups, deployments, st.sampled_from([Youden, F1, MinExpectedCost]))
def test_no_threshold_beats_the_rules(inside, outside, deployment, kind):
    rule = kind() if kind is Youden else kind(deployment)
    decision = rule.fit(inside, outside)
    candidates = [
        shares(threshold, inside, outside) for threshold in all_thresholds(inside, outside)
    ]
    figures = [figure(rule, *candidate) for candidate in candidates]
    kept, caught = shares(decision.threshold, inside, outside)
    assert figure(rule, kept, caught) == pytest.approx(max(figures), abs=1e-9)
    equals = [
        candidate[0]
        for candidate, value in zip(candidates, figures, strict=True)
        if value >= max(figures) - 1e-9
    ]
    assert kept >= max(equals) - 1e-9, "of equals, the one that keeps the most ID"


@given(scores, groups, deployments, st.floats(0.01, 0.99))
def test_flagging_at_most_a_share_catches_all_that_it_may(inside, outside, deployment, share):
    def flagged(threshold: float) -> float:
        kept, caught = shares(threshold, inside, outside)
        return (1 - deployment.prevalence) * (1 - kept) + deployment.prevalence * caught

    threshold = FlagBudget(share, deployment).fit(inside, outside).threshold
    assert flagged(threshold) <= share + 1e-9
    smaller = [value for value in all_thresholds(inside, outside) if value < threshold]
    assert all(flagged(value) > share for value in smaller)


@given(scores, st.floats(0.01, 0.99))
def test_keeping_a_share_takes_the_smallest_threshold_that_does(inside, share):
    threshold = KeepShare(share).fit(inside).threshold
    assert threshold == threshold_keeping(inside, share)
    assert np.mean(np.array(inside) <= threshold) >= share - 1e-9
    smaller = [value for value in inside if value < threshold]
    assert all(np.mean(np.array(inside) <= value) < share for value in smaller)


@given(scores, st.floats(0.01, 0.99))
def test_conformal_takes_the_score_of_the_right_rank_or_refuses(inside, share):
    rank = math.ceil((len(inside) + 1) * share - 1e-9)
    if rank > len(inside):
        with pytest.raises(ValueError, match=f"calibration scores, got {len(inside)}"):
            Conformal(share).fit(inside)
    else:
        assert Conformal(share).fit(inside).threshold == sorted(inside)[rank - 1]


@pytest.mark.parametrize(
    ("share", "least"), [(0.95, 19), (0.9, 9), (0.99, 99), (0.5, 1), (0.999, 999)]
)
def test_conformal_says_how_many_scores_it_takes(share, least):
    Conformal(share).fit(np.arange(least))
    if least > 1:
        with pytest.raises(ValueError, match=f"takes {least} calibration scores, got {least - 1}"):
            Conformal(share).fit(np.arange(least - 1))


def test_conformal_keeps_its_promise_where_a_plain_quantile_does_not():
    random = np.random.default_rng(1)
    drawn, new = random.normal(size=(4000, 24)), random.normal(size=4000)
    promised = np.mean(
        [Conformal(0.9).fit(row).threshold >= value for row, value in zip(drawn, new, strict=True)]
    )
    plain = np.mean(
        [KeepShare(0.9).fit(row).threshold >= value for row, value in zip(drawn, new, strict=True)]
    )
    error = math.sqrt(0.9 * 0.1 / 4000)
    assert promised == pytest.approx(23 / 25, abs=3 * error)  # rank / (n + 1), exactly
    assert plain < 0.9 - 2 * error  # 22 / 25


def test_every_class_keeps_its_promise_where_one_threshold_for_all_breaks_it():
    random, trials, size = np.random.default_rng(4), 3000, 24
    centre, width = np.array([0.0, 2.0, -1.0]), np.array([1.0, 3.0, 0.2])
    labels = np.repeat(np.arange(3), size)
    kept, at_once = np.zeros(3), np.zeros(3)
    for _ in range(trials):
        drawn, new = random.normal(centre[labels], width[labels]), random.normal(centre, width)
        decision = PerClassConformal(0.9).fit(drawn, predicted=labels)
        kept += ~decision.flags(new, predicted=[0, 1, 2])
        at_once += new <= Conformal(0.9).fit(drawn).threshold
    error = math.sqrt(0.9 * 0.1 / trials)
    assert kept / trials == pytest.approx(
        23 / 25, abs=3.5 * error
    )  # rank / (n + 1) in each class, exactly
    assert at_once[1] / trials < 0.8  # the wide class pays for the others


def test_the_class_thresholds_are_each_classs_own_conformal_threshold():
    values, labels = np.arange(60.0), np.arange(60) % 3 * 5
    decision = PerClassConformal(0.9).fit(values, predicted=labels)
    assert decision.by_class == {
        label: Conformal(0.9).fit(values[labels == label]).threshold for label in (0, 5, 10)
    }
    with pytest.raises(ValueError, match="gives each class a threshold of its own"):
        _ = decision.threshold
    assert decision.flags(values, labels).tolist() == [
        value > decision.by_class[label] for value, label in zip(values, labels, strict=True)
    ]


@given(scores, st.floats(-1e3, 1e3))
def test_one_threshold_flags_what_lies_above_it(values, threshold):
    decision = Decision(KeepShare(), threshold)
    assert decision.flags(values).tolist() == [value > threshold for value in values]
    assert decision.margin(values).tolist() == [value - threshold for value in values]


@given(scores, st.floats(-1e3, 1e3))
def test_the_thresholds_of_rows_are_the_decisions_own_to_the_last_bit(values, threshold):
    one = Decision(KeepShare(), threshold)
    assert one.row_thresholds(len(values)).tolist() == [threshold] * len(values)
    per_class = Decision(PerClassConformal(), {3: threshold, 7: 0.1})
    labels = [3 if row % 2 else 7 for row in range(len(values))]
    wanted = [threshold if label == 3 else 0.1 for label in labels]
    assert per_class.row_thresholds(len(values), labels).tolist() == wanted


def test_a_decision_is_chosen_on_held_out_scores_and_parts_all_scores_alike():
    random = np.random.default_rng(7)
    sets = {name: random.normal(size=200) for name in ("test", "val", "near_a", "far_b")}
    sets["near_a"] += 5  # so that every promise can be given
    classes = {"val": np.arange(200) % 4, "test": np.arange(200) % 3}
    detector_scores = SetScores(sets)
    every_score = np.concatenate(list(sets.values()))
    for kind in CHOOSING:
        rule = kind(0.5) if kind.widget == "precision" else kind()
        decision = choose_threshold(rule, detector_scores, ["near_a"], classes)
        exact = rule.fit(sets["val"], {"near": {"a": sets["near_a"]}}, classes["val"])
        assert decision.by_class == exact.by_class
        if kind.per_class:
            assert decision.thresholds == exact.thresholds
        else:
            assert decision.threshold == shortest_equivalent(exact.threshold, every_score)
            assert (decision.flags(every_score) == exact.flags(every_score)).all()
    del sets["val"]
    decision = choose_threshold(KeepShare(0.5), SetScores(sets))
    assert decision.flags(sets["test"]).tolist() == (
        KeepShare(0.5).fit(sets["test"]).flags(sets["test"]).tolist()
    )


def test_a_class_with_too_few_scores_or_none_is_refused_in_one_line():
    with pytest.raises(
        ValueError, match=r"every class takes 19 calibration scores a class, got 18 of class 4\.$"
    ):
        PerClassConformal(0.95).fit(np.arange(38.0), predicted=[7] * 20 + [4] * 18)
    with pytest.raises(ValueError, match=r"^class 2 has no threshold"):
        Decision(PerClassConformal(), {1: 0.0}).margin([1.0, 2.0], [1, 2])
    with pytest.raises(ValueError, match="a class for each of 2 scores, got 1"):
        PerClassConformal().fit([1.0, 2.0], predicted=[0])
    with pytest.raises(ValueError, match="a class for each of 2 scores, got 0"):
        PerClassConformal().fit([1.0, 2.0])
    with pytest.raises(ValueError, match=r"at most 1, got 1\.5"):
        PerClassConformal(1.5)


@given(scores, st.floats(-1e3, 1e3))
def test_a_round_number_parts_the_scores_alike(values, threshold):
    easy = shortest_equivalent(threshold, values)
    assert (np.array(values) <= easy).tolist() == (np.array(values) <= threshold).tolist()
    assert easy >= threshold


@pytest.mark.parametrize(
    ("threshold", "values", "easy"),
    [
        (1.2345, [1.2345, 1.3], 1.24),
        (118.04, [100, 118.04, 163.2], 120),
        (-0.6031, [-0.6031, -0.6008], -0.603),
        (7, [7], 7),
    ],
)
def test_round_numbers_are_round(threshold, values, easy):
    assert shortest_equivalent(threshold, values) == easy


def test_what_cannot_be_done_is_refused_in_one_line():
    inside = [1.0, 2.0]
    for kind in CHOOSING:
        if kind.needs_ood:
            with pytest.raises(ValueError, match=r"needs OOD scores, got none\.$"):
                kind().fit(inside, {"near": {}})
        else:
            settings = {"none": (), "keep_with_confidence": (0.5, 0.5)}.get(kind.widget, (0.5,))
            decision = kind(*settings).fit(inside, predicted=[0, 0])
            thresholds = list(decision.by_class.values()) or [decision.threshold]
            assert len(thresholds) == 1
            assert thresholds[0] in inside
    with pytest.raises(ValueError, match="prevalence must lie between 0 and 1, got 2"):
        Deployment(2)
    with pytest.raises(ValueError, match="miss_cost must be 0 or more and finite, got inf"):
        Deployment(0.1, math.inf)
    with pytest.raises(ValueError, match=r"at most 1, got 1\.5"):
        KeepShare(1.5)
    with pytest.raises(ValueError, match="inside must hold finite scores, got nan"):
        evaluate(0.0, [1.0, math.nan], {})
    with pytest.raises(ValueError, match="a must hold at least one score"):
        evaluate(0.0, [1.0], {"near": {"a": []}})


def test_without_ood_sets_nothing_is_claimed_about_ood():
    assert math.isnan(evaluate(1.0, [1.0, 2.0], {}).caught)
    assert np.isnan(sweep([1.0, 2.0], {}).caught).all()


@pytest.mark.parametrize("threshold", [math.nan, math.inf])
def test_a_hand_sets_a_number(threshold):
    decision = ByHand(1.5).fit([1.0, 2.0])
    assert (decision.threshold, decision.n_calibration) == (1.5, 0)
    assert decision.rule.threshold_interval([1.0, 2.0]) is None
    with pytest.raises(ValueError, match="threshold must be finite, got"):
        ByHand(threshold)
