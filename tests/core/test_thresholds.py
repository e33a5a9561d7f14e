"""Cuts: what they do against counting by hand, and each objective against a search over all cuts."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heat_core.metrics import fpr95, fpr95_ood, threshold_keeping
from heat_core.thresholds import (
    F1,
    RULES,
    Conformal,
    Deployment,
    FlagBudget,
    KeepShare,
    MinExpectedCost,
    PerClassConformal,
    Youden,
    evaluate,
    margin_over_class,
    shortest_equivalent,
    sweep,
)

# Few distinct values make ties; wide ones make gaps.
scores = st.lists(
    st.integers(-6, 6).map(float) | st.floats(-1e3, 1e3, width=32), min_size=1, max_size=25
)
groups = st.dictionaries(
    st.sampled_from(["near", "mid", "far"]),
    st.dictionaries(st.sampled_from(["a", "b"]), scores, min_size=1),
    min_size=1,
)
traffics = st.builds(
    Deployment,
    st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    st.sampled_from([0.0, 1.0, 50.0]),
    st.just(1.0),
)


def all_cuts(inside, outside) -> list[float]:
    """Returns every score, and a cut below them all: there is nothing else to choose."""
    values = sorted(
        {*inside, *(v for sets in outside.values() for high in sets.values() for v in high)}
    )
    return [values[0] - 1, *values]


def shares(cut, inside, outside) -> tuple[float, float]:
    """Returns (ID kept, OOD caught) by counting, groups and sets weighing the same."""
    kept = Fraction(sum(v <= cut for v in inside), len(inside))
    means = [
        sum(Fraction(sum(v > cut for v in high), len(high)) for high in sets.values()) / len(sets)
        for sets in outside.values()
    ]
    return float(kept), float(sum(means) / len(means))


@given(scores, groups, st.floats(-1e3, 1e3))
def test_an_outcome_is_what_counting_says(inside, outside, cut):
    what = evaluate(cut, inside, outside)
    kept, caught = shares(cut, inside, outside)
    assert what.kept == pytest.approx(kept)
    assert what.outside == pytest.approx(caught)
    assert what.lost == pytest.approx(1 - kept)
    assert what.accepted == pytest.approx(1 - caught)


def test_both_fpr95_are_outcomes_at_their_cuts():
    random = np.random.default_rng(0)
    inside, outside = random.normal(0, 1, 500), random.normal(1, 1, 300)
    keeps = evaluate(threshold_keeping(inside, 0.95), inside, {"near": {"a": outside}})
    assert keeps.accepted == pytest.approx(fpr95(inside, outside))
    catches = evaluate(
        np.nextafter(np.sort(outside)[300 - 285], -np.inf), inside, {"near": {"a": outside}}
    )
    assert catches.outside == pytest.approx(0.95)
    assert catches.lost == pytest.approx(fpr95_ood(inside, outside))


@given(scores, groups, traffics)
def test_a_thousand_inputs_are_a_thousand_inputs(inside, outside, traffic):
    what = evaluate(0.0, inside, outside)
    counts = what.per_thousand(traffic.prevalence)
    assert counts.kept + counts.flagged + counts.caught + counts.missed == pytest.approx(1000)
    assert counts.caught + counts.missed == pytest.approx(1000 * traffic.prevalence)
    assert what.cost(traffic) == pytest.approx(
        traffic.miss * counts.missed + traffic.alarm * counts.flagged
    )


def test_precision_is_the_share_of_ood_among_what_is_flagged():
    what = evaluate(0.0, [-1.0, -1.0, -1.0, 1.0], {"near": {"a": [1.0, -1.0]}})
    counts = what.per_thousand(0.2)
    assert (counts.flagged, counts.caught) == pytest.approx((200, 100))
    assert counts.precision == pytest.approx(1 / 3)
    assert math.isnan(evaluate(9.0, [1.0], {"near": {"a": [1.0]}}).per_thousand(0.5).precision)


@given(scores, groups, traffics)
def test_a_sweep_is_every_cuts_outcome(inside, outside, traffic):
    every = sweep(inside, outside)
    assert (every.kept[0], every.kept[-1], every.caught[-1]) == (0, 1, pytest.approx(0))
    assert every.caught[0] == pytest.approx(1)
    assert len(every.cut) == len(all_cuts(inside, outside))
    for cut, kept, caught, cost in zip(
        every.cut, every.kept, every.caught, every.cost(traffic), strict=True
    ):
        what = evaluate(cut, inside, outside)
        assert (kept, caught, cost) == pytest.approx((what.kept, what.outside, what.cost(traffic)))


def figure(objective, kept: float, caught: float) -> float:
    """Returns what an objective wants to be large, written out from its definition."""
    if isinstance(objective, Youden):
        return kept + caught - 1
    p = objective.traffic.prevalence
    if isinstance(objective, MinExpectedCost):
        return -1000 * (
            objective.traffic.miss * p * (1 - caught)
            + objective.traffic.alarm * (1 - p) * (1 - kept)
        )
    called = p * caught + (1 - p) * (1 - kept)
    precision = p * caught / called if called else 0.0
    return 2 * precision * caught / (precision + caught) if p and precision + caught else 0.0


@given(scores, groups, traffics, st.sampled_from([Youden, F1, MinExpectedCost]))
def test_no_cut_beats_the_one_chosen(inside, outside, traffic, kind):
    objective = kind() if kind is Youden else kind(traffic)
    chosen = objective.cut(inside, outside)
    everywhere = {
        cut: figure(objective, *shares(cut, inside, outside)) for cut in all_cuts(inside, outside)
    }
    best = max(everywhere.values())
    kept, caught = shares(chosen, inside, outside)
    assert figure(objective, kept, caught) == pytest.approx(best, abs=1e-9)
    equals = [
        shares(cut, inside, outside)[0] for cut, value in everywhere.items() if value >= best - 1e-9
    ]
    assert kept >= max(equals) - 1e-9, "of equals, the one that keeps the most ID"


@given(scores, groups, traffics, st.floats(0.01, 0.99))
def test_flagging_at_most_a_share_catches_all_that_it_may(inside, outside, traffic, share):
    def flagged(cut: float) -> float:
        kept, caught = shares(cut, inside, outside)
        return (1 - traffic.prevalence) * (1 - kept) + traffic.prevalence * caught

    chosen = FlagBudget(share, traffic).cut(inside, outside)
    assert flagged(chosen) <= share + 1e-9
    assert all(flagged(cut) > share for cut in all_cuts(inside, outside) if cut < chosen)


@given(scores, st.floats(0.01, 0.99))
def test_keeping_a_share_takes_the_smallest_cut_that_does(inside, share):
    chosen = KeepShare(share).cut(inside, {})
    assert chosen == threshold_keeping(inside, share)
    assert np.mean(np.array(inside) <= chosen) >= share - 1e-9
    assert all(np.mean(np.array(inside) <= cut) < share for cut in inside if cut < chosen)


@given(scores, st.floats(0.01, 0.99))
def test_conformal_takes_the_score_of_the_right_rank_or_refuses(inside, share):
    rank = math.ceil((len(inside) + 1) * share - 1e-9)
    if rank > len(inside):
        with pytest.raises(ValueError, match=f"calibration scores, got {len(inside)}"):
            Conformal(share).cut(inside, {})
    else:
        assert Conformal(share).cut(inside, {}) == sorted(inside)[rank - 1]


@pytest.mark.parametrize(
    ("share", "least"), [(0.95, 19), (0.9, 9), (0.99, 99), (0.5, 1), (0.999, 999)]
)
def test_conformal_says_how_many_scores_it_takes(share, least):
    Conformal(share).cut(np.arange(least), {})
    if least > 1:
        with pytest.raises(ValueError, match=f"takes {least} calibration scores, got {least - 1}"):
            Conformal(share).cut(np.arange(least - 1), {})


def test_conformal_keeps_its_promise_where_a_plain_quantile_does_not():
    random = np.random.default_rng(1)
    drawn, new = random.normal(size=(4000, 24)), random.normal(size=4000)
    promised = np.mean(
        [Conformal(0.9).cut(row, {}) >= value for row, value in zip(drawn, new, strict=True)]
    )
    plain = np.mean(
        [KeepShare(0.9).cut(row, {}) >= value for row, value in zip(drawn, new, strict=True)]
    )
    error = math.sqrt(0.9 * 0.1 / 4000)
    assert promised == pytest.approx(23 / 25, abs=3 * error)  # rank / (n + 1), exactly
    assert plain < 0.9 - 2 * error  # 22 / 25


def test_every_class_keeps_its_promise_where_one_cut_for_all_breaks_it():
    random, trials, size = np.random.default_rng(4), 3000, 24
    centre, width = np.array([0.0, 2.0, -1.0]), np.array([1.0, 3.0, 0.2])
    labels = np.repeat(np.arange(3), size)
    kept, at_once = np.zeros(3), np.zeros(3)
    for _ in range(trials):
        drawn, new = random.normal(centre[labels], width[labels]), random.normal(centre, width)
        kept += margin_over_class(new, [0, 1, 2], PerClassConformal(0.9).cuts(drawn, labels)) <= 0
        at_once += new <= Conformal(0.9).cut(drawn, {})
    error = math.sqrt(0.9 * 0.1 / trials)
    assert kept / trials == pytest.approx(
        23 / 25, abs=3.5 * error
    )  # rank / (n + 1) in each class, exactly
    assert at_once[1] / trials < 0.8  # the wide class pays for the others


def test_the_class_cuts_are_each_classs_own_conformal_cut():
    values, labels = np.arange(60.0), np.arange(60) % 3 * 5
    cuts = PerClassConformal(0.9).cuts(values, labels)
    assert cuts == {label: Conformal(0.9).cut(values[labels == label], {}) for label in (0, 5, 10)}
    assert (margin_over_class(values, labels, cuts) > 0).tolist() == [
        value > cuts[label] for value, label in zip(values, labels, strict=True)
    ]


def test_a_class_with_too_few_scores_or_none_is_refused_in_one_line():
    with pytest.raises(
        ValueError, match=r"every class takes 19 calibration scores a class, got 18 of class 4\.$"
    ):
        PerClassConformal(0.95).cuts(np.arange(38.0), [7] * 20 + [4] * 18)
    with pytest.raises(ValueError, match=r"^class 2 has no threshold"):
        margin_over_class([1.0, 2.0], [1, 2], {1: 0.0})
    with pytest.raises(ValueError, match="a class for each of 2 scores, got 1"):
        PerClassConformal().cuts([1.0, 2.0], [0])
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1\.5"):
        PerClassConformal(1.5)


@given(scores, st.floats(-1e3, 1e3))
def test_a_round_number_parts_the_scores_alike(values, cut):
    easy = shortest_equivalent(cut, values)
    assert (np.array(values) <= easy).tolist() == (np.array(values) <= cut).tolist()
    assert easy >= cut


@pytest.mark.parametrize(
    ("cut", "values", "easy"),
    [
        (1.2345, [1.2345, 1.3], 1.24),
        (118.04, [100, 118.04, 163.2], 120),
        (-0.6031, [-0.6031, -0.6008], -0.603),
        (7, [7], 7),
    ],
)
def test_round_numbers_are_round(cut, values, easy):
    assert shortest_equivalent(cut, values) == easy


def test_what_cannot_be_done_is_refused_in_one_line():
    inside = [1.0, 2.0]
    for kind in RULES.values():
        if kind.needs_outside:
            with pytest.raises(ValueError, match=r"needs OOD scores, got none\.$"):
                kind().cut(inside, {"near": {}})
        else:
            assert kind(0.5).cut(inside, {}) in inside  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="prevalence must lie between 0 and 1, got 2"):
        Deployment(2)
    with pytest.raises(ValueError, match="miss must be 0 or more and finite, got inf"):
        Deployment(0.1, math.inf)
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1\.5"):
        KeepShare(1.5)
    with pytest.raises(ValueError, match="inside must hold finite scores, got nan"):
        evaluate(0.0, [1.0, math.nan], {})
    with pytest.raises(ValueError, match="a must hold at least one score"):
        evaluate(0.0, [1.0], {"near": {"a": []}})


def test_without_ood_sets_nothing_is_claimed_about_ood():
    what = evaluate(1.0, [1.0, 2.0], {})
    assert math.isnan(what.outside)
    assert np.isnan(sweep([1.0, 2.0], {}).caught).all()
