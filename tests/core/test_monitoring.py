"""Tests of drift, held against what they promise over many streams, and against scipy."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from heat_core.__main__ import main
from heat_core.bundles import bundle_of, save_bundle
from heat_core.detectors.closed_form import MoG
from heat_core.monitoring import (
    Cusum,
    Martingale,
    betting_score,
    flag_rates,
    kernel_two_sample,
    kolmogorov_smirnov,
    mix_in,
    notices,
    online_p_values,
    watch,
    watch_slices,
)
from heat_core.pack import NO_EXTRA, Pack
from heat_core.run import fit
from heat_core.thresholds import Conformal, KeepShare, PerClassConformal, Youden
from tests.samples import clusters, with_views

STREAMS = 1000


# -- p-values and wealth ---------------------------------------------------------------------------


@given(
    st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=10),
    st.lists(st.integers(-3, 3).map(float), max_size=10),
)
def test_an_online_p_value_is_what_counting_says(calibration, stream):
    p = online_p_values(calibration, stream, seed=1)
    chance = np.random.default_rng(1).random(len(stream))
    before = list(calibration)
    for row, score in enumerate(stream):
        higher, ties = sum(b > score for b in before), 1 + sum(b == score for b in before)
        assert p[row] == pytest.approx((higher + chance[row] * ties) / (len(before) + 1))
        before.append(score)


def test_every_bet_is_fair():
    p = (np.arange(1_000_000) + 0.5) / 1_000_000
    assert betting_score(p).mean(0) == pytest.approx(1, abs=2e-3)


def test_without_drift_few_streams_alarm_and_with_it_nearly_all_do_soon():
    random = np.random.default_rng(0)
    false_alarms, delays = 0, []
    for stream in range(STREAMS):
        calibration = random.normal(size=200)
        calm = online_p_values(calibration, random.normal(size=250), seed=stream)
        false_alarms += Martingale(20).test(calm).alarm_at is not None
    assert false_alarms / STREAMS <= 0.05
    for stream in range(200):
        scores = random.normal(size=1000)
        is_ood, _ = mix_in(1000, 0.1, 500, id_rows=1, ood_rows=1, seed=stream)
        scores[is_ood] += 5  # far
        drift = Martingale(20).test(online_p_values(random.normal(size=1000), scores, seed=stream))
        delays.append(np.inf if drift.alarm_at is None else drift.alarm_at - 500)
    assert np.mean(np.less(delays, 500)) >= 0.95


def test_false_alarms_of_the_cusum_are_as_rare_as_stated():
    random = np.random.default_rng(1)
    change_test = Cusum(run_length=200)
    lengths = []
    for _ in range(150):
        at = change_test.test(random.random(4000)).alarm_at
        lengths.append(4000 if at is None else at + 1)
    assert np.mean(lengths) >= 200


def test_wealth_grows_as_the_bets_say():
    p = np.array([0.01, 0.5, 0.9])
    factors = betting_score(p)
    first = Martingale(restart=0.0).test(p).log_wealth
    # without a restart each bet keeps its stake for ever
    assert np.exp(first) == pytest.approx(factors.cumprod(0).mean(1))


# -- alarms over time ------------------------------------------------------------------------------


def test_the_band_of_alarms_holds_nineteen_of_twenty_windows():
    random = np.random.default_rng(2)
    outside = []
    for _ in range(300):
        decision = Conformal(0.9).fit(random.normal(size=500))
        outside.append(flag_rates(decision, random.normal(size=200), 100).is_outside)
    assert np.mean(outside) <= 0.05
    moved = flag_rates(decision, random.normal(1.5, 1, 200), 100)
    assert moved.is_outside.all()


def test_few_streams_without_a_change_alarm_in_any_window_and_changed_ones_do():
    random = np.random.default_rng(5)
    by_rate, by_scores = [], []
    for _ in range(100):
        calibration = random.normal(size=300)
        calm = watch(
            Conformal(0.9).fit(calibration), calibration, random.normal(size=400), window=50
        )
        by_rate.append(calm.rates.is_alarm.any())
        by_scores.append(calm.ks_is_alarm.any())
        assert (calm.rates.alarm_low <= calm.rates.low).all()
        assert (calm.rates.alarm_high >= calm.rates.high).all()
    assert np.mean(by_rate) <= 0.05
    assert np.mean(by_scores) <= 0.05
    moved = watch(Conformal(0.9).fit(calibration), calibration, random.normal(2, 1, 400), window=50)
    assert moved.rates.is_alarm.all()
    assert moved.ks_is_alarm.all()


@given(st.integers(1, 60), st.integers(1, 200))
def test_windows_count_every_row_once(window, rows):
    scores = np.random.default_rng(rows).normal(size=rows)
    decision = KeepShare(0.8).fit(np.random.default_rng(0).normal(size=99))
    rates = flag_rates(decision, scores, window)
    assert rates.rows.sum() == rows
    assert rates.counts.sum() == decision.flags(scores).sum()
    assert rates.starts.tolist() == list(range(0, rows, window))


def test_what_says_nothing_of_alarms_has_no_band():
    outside = {"far": {"a": [5.0, 6.0]}}
    with pytest.raises(ValueError, match="says nothing of how many ID inputs it flags"):
        flag_rates(Youden().fit([1.0, 2.0], outside), [1.0], 1)
    with pytest.raises(ValueError, match="says nothing"):
        flag_rates(PerClassConformal(0.5).fit([1.0, 2.0], predicted=[0, 0]), [1.0], 1)
    with pytest.raises(ValueError, match="the window must be at least 1 row, got 0"):
        flag_rates(KeepShare().fit([1.0]), [1.0], 0)


# -- two windows -----------------------------------------------------------------------------------


def test_windows_of_scores_are_compared_as_scipy_does():
    random = np.random.default_rng(3)
    one, other = random.normal(size=40), random.normal(0.5, 1, 30)
    wanted = stats.ks_2samp(one, other)
    assert kolmogorov_smirnov(one, other) == (wanted.statistic, wanted.pvalue)


def test_windows_of_features_from_one_distribution_differ_as_seldom_as_p_says():
    p = []
    for seed in range(100):
        rows = torch.randn(60, 4, generator=torch.Generator().manual_seed(seed))
        p.append(kernel_two_sample(rows[:25], rows[25:], permutations=99, seed=seed).p_value)
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_windows_of_features_that_differ_in_spread_alone_are_told_apart():
    draw = torch.Generator().manual_seed(0)
    one, other = torch.randn(1500, 4, generator=draw), 2 * torch.randn(1200, 4, generator=draw)
    assert kernel_two_sample(one, other, permutations=199).p_value == 1 / 200


def test_the_discrepancy_of_features_is_what_its_definition_says():
    draw = torch.Generator().manual_seed(1)
    one, other = torch.randn(20, 3, generator=draw), torch.randn(30, 3, generator=draw) + 1
    rows = torch.cat([one, other]).double().numpy()
    squared = ((rows[:, None] - rows[None]) ** 2).sum(2)
    kernel = np.exp(
        -squared / (2 * np.sort(squared[np.triu_indices(50, 1)])[(50 * 49 // 2 - 1) // 2])
    )
    wanted = kernel[:20, :20].mean() + kernel[20:, 20:].mean() - 2 * kernel[:20, 20:].mean()
    assert kernel_two_sample(one, other, permutations=1).statistic == pytest.approx(wanted)


@pytest.mark.parametrize("shapes", [((1, 3), (5, 3)), ((5, 3), (5, 2))])
def test_windows_that_cannot_be_compared_are_refused(shapes):
    with pytest.raises(ValueError, match="wanted two windows of at least 2 rows"):
        kernel_two_sample(*(torch.zeros(shape) for shape in shapes))


# -- a whole stream --------------------------------------------------------------------------------


def test_a_stream_is_taken_in_the_order_of_its_times():
    random = np.random.default_rng(4)
    calibration = random.normal(size=500)
    scores = np.concatenate([random.normal(size=800), random.normal(4, 1, 100)])
    times = [f"2026-{1 + day // 30:02}-{1 + day % 30:02}" for day in range(300) for _ in range(3)]
    decision = Conformal(0.95).fit(calibration)
    in_order = watch(decision, calibration, scores, times, window=100)
    shuffled = random.permutation(300).repeat(3) * 3 + np.tile(range(3), 300)
    found = watch(decision, calibration, scores[shuffled], [times[i] for i in shuffled], window=100)
    assert found.table().equals(in_order.table())
    table = found.table()
    assert table["rows"].tolist() == [100] * 9
    assert table["is_outside"].tolist()[-1]
    assert table["flagged"].sum() == decision.flags(scores).sum()
    assert table["to"].tolist()[-1] == times[-1]
    assert 800 <= found.martingale.alarm_at < 830
    assert 800 <= found.cusum.alarm_at < 830
    assert found.ks_p_value[-1] < 1e-6
    with pytest.raises(ValueError, match="wanted a time for each of 900 rows"):
        watch(decision, calibration, scores, times[:-1])
    with pytest.raises(ValueError, match="wanted times of one kind"):
        watch(decision, calibration, scores, [7, *times[1:]])


def test_the_command_says_when_a_stream_left_what_was_expected(train, far, tmp_path, capsys):
    save_bundle(
        bundle_of(
            fit(MoG(), train),
            Pack(train, with_views(*clusters(400, 30)), {("far", "b"): far}, NO_EXTRA, {}),
            Conformal(0.9),
        ),
        tmp_path / "bundle",
    )
    z, _ = clusters(300, 35)
    rows = torch.cat([z, far.z])
    seen_at = np.datetime64("2026-01-01") + np.arange(len(rows))
    table = pa.table({"z": rows.tolist(), "seen_at": seen_at})
    pq.write_table(table, tmp_path / "stream.parquet")
    words = ["watch", str(tmp_path / "bundle"), str(tmp_path / "stream.parquet")]
    out = tmp_path / "alarms.csv"
    words += ["--time", "seen_at", "--window", "50", "--out", str(out)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "350 rows from 2026-01-01 to 2026-12-16" in said
    assert "Drift: alarm at 2026-1" in said
    windows = pd.read_csv(out)
    assert windows["is_outside"].tolist() == [False] * 6 + [True]
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_time_that_a_stream_has_not_is_refused_by_its_option(
    train, far, tmp_path, capsys, monkeypatch
):
    pack = Pack(train, with_views(*clusters(400, 30)), {("far", "b"): far}, NO_EXTRA, {})
    save_bundle(bundle_of(fit(MoG(), train), pack, Conformal(0.9)), tmp_path / "bundle")
    pq.write_table(pa.table({"z": far.z.tolist()}), tmp_path / "stream.parquet")
    np.save(tmp_path / "stream.npy", far.z.numpy())
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"z": far.z[0].tolist()})))
    for stream, message in (
        (tmp_path / "stream.parquet", "has no column seen_at; --time names one of z."),
        (tmp_path / "stream.npy", "--time seen_at names a column of a table or a key of JSON"),
        ("-", "line 1 has no key seen_at, which --time asks for."),
    ):
        assert main(["watch", str(tmp_path / "bundle"), str(stream), "--time", "seen_at"]) == 2
        assert message in capsys.readouterr().err


# -- simulated streams -----------------------------------------------------------------------------


def test_ood_rows_come_from_the_start_on_and_in_their_share():
    is_ood, index = mix_in(10_000, 0.25, start=4000, id_rows=50, ood_rows=7, seed=3)
    assert not is_ood[:4000].any()
    assert is_ood[4000:].mean() == pytest.approx(0.25, abs=0.02)
    assert set(index[is_ood]) == set(range(7))
    assert set(index[~is_ood]) == set(range(50))
    with pytest.raises(ValueError, match="wanted rows to draw from, got 10, 0 and 5"):
        mix_in(10, 0.5, 0, id_rows=0, ood_rows=5)


@given(st.integers(1, 80), st.integers(0, 80))
def test_no_row_comes_twice_before_all_have_come(rows, start):
    is_ood, index = mix_in(rows, 0.5, start, id_rows=50, ood_rows=7, seed=rows)
    for of_set, count in ((index[~is_ood], 50), (index[is_ood], 7)):
        assert np.ptp(np.bincount(of_set, minlength=count)) <= 1
        assert len(set(of_set[:count])) == min(count, len(of_set))


def test_it_is_told_when_each_test_notices_a_change_and_how_often_it_was_wrong():
    random = np.random.default_rng(6)
    calibration = random.normal(size=1000)
    decision = Conformal(0.9).fit(calibration)
    scores = np.concatenate([random.normal(size=300), random.normal(3, 1, 250)])
    found = watch(decision, calibration, scores, window=100)
    noticed = notices(found, 300)
    assert noticed["martingale"].delay == found.martingale.alarm_at + 1 - 300
    assert noticed["cusum"].delay == found.cusum.alarm_at + 1 - 300
    assert noticed["flag_rate"] == noticed["ks"] == (100, 0)
    # a later moment makes those alarms false; tests of wealth are over then, and the windows go on
    later = notices(found, 460)
    assert later["martingale"] == later["cusum"] == (None, 1)
    assert later["flag_rate"] == later["ks"] == (500 - 460, 1)
    assert set(
        notices(watch(decision, calibration, calibration[::-1], window=100), 0).values()
    ) == {(None, 0)}


# -- slices ----------------------------------------------------------------------------------------


def test_each_slice_is_watched_by_its_own_scores_and_their_promise_is_shared():
    random = np.random.default_rng(7)
    places = np.array([0.0, 5.0, 9.0])  # of classes whose scores differ
    classes, stream_classes = random.integers(3, size=900), random.integers(3, size=600)
    calibration = random.normal(places[classes])
    scores = random.normal(places[stream_classes] + 3 * (stream_classes == 1))
    decision = Conformal(0.9).fit(calibration)
    names = np.array(["cat", "dog", "emu"])
    by_name = {
        one.value: one
        for one in watch_slices(
            decision, calibration, names[classes], scores, names[stream_classes]
        )
    }
    assert {one.limit for one in by_name.values()} == {60.0}
    assert by_name["cat"].alarm_at is None
    assert by_name["emu"].alarm_at is None
    dogs = np.flatnonzero(stream_classes == 1)
    alone = Martingale(60.0).test(online_p_values(calibration[classes == 1], scores[dogs]))
    assert alone.alarm_at is not None
    assert by_name["dog"].alarm_at == dogs[alone.alarm_at]
    assert by_name["dog"].martingale.log_wealth.tolist() == alone.log_wealth.tolist()
    assert by_name["emu"].flagged.count == decision.flags(scores[stream_classes == 2]).sum()
    assert by_name["emu"].calibration_flagged.n == (classes == 2).sum()


def test_slices_without_rows_have_no_share_and_those_without_calibration_are_left_out():
    decision = Conformal(0.5).fit([1.0, 2.0, 3.0])
    (one, other) = watch_slices(decision, [1.0, 2.0, 3.0], [4, 4, 8], [1.0, 9.0], [4, 5])
    assert (one.value, one.rows.tolist(), one.flagged.n) == (4, [0], 1)
    assert (other.value, other.rows.tolist(), other.flagged, other.alarm_at) == (8, [], None, None)
    with pytest.raises(ValueError, match="wanted a value for each of 3 and 2 scores, got 3 and 1"):
        watch_slices(decision, [1.0, 2.0, 3.0], [4, 4, 8], [1.0, 9.0], [4])
