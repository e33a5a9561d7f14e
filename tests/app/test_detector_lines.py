"""Every detector under one line: what the browser is fed, exactly, and what it sends back."""

from __future__ import annotations

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.detectors.evaluation import (
    PERCENTS_KEPT,
    LineSettings,
    ScoreHistogram,
    lines_data,
    ranked,
)
from app.pack.work import DetectorScores
from heat_core.pack import pack_from_arrays, write_pack
from heat_core.results.score_axis import SCORE_UNITS, ScoreUnit
from heat_core.scores import SetScores
from tests.app.pages import app, link, opened, ready_detectors, wait

RANDOM = np.random.default_rng(4)
TITLES = {"near_a": "A", "near_b": "B", "far_c": "C"}
SCORES = SetScores(
    {
        "val": np.arange(200.0),
        "test": RANDOM.uniform(0, 200, 300),
        "near_a": RANDOM.uniform(50, 250, 40),
        "near_b": RANDOM.uniform(100, 250, 30),
        "far_c": np.array([*RANDOM.uniform(150, 300, 19), 1e8]),
    }
)
BEHIND = SetScores({**SCORES, "near_a": SCORES["near_a"] - 40, "far_c": SCORES["far_c"] - 90})


def settings(**changes) -> LineSettings:
    return LineSettings(95.0, TITLES, tuple(TITLES), {}, {})._replace(**changes)


@pytest.mark.parametrize("unit", SCORE_UNITS)
def test_what_the_browser_counts_is_exact_at_every_place_of_the_line(unit: ScoreUnit) -> None:
    data = lines_data({"HEAT": ScoreHistogram(SCORES, unit)}, settings(percent_kept=87.3))
    (fed,) = data["detectors"]
    assert data["percents"] == PERCENTS_KEPT.tolist()
    thresholds = np.ceil(2 * PERCENTS_KEPT - 1e-9) - 1  # val is 0 to 199
    assert fed["thresholds"] == thresholds.tolist()
    assert fed["threshold_now"] == 174.0  # the 175th of 200: 87.3 % and no less
    for name, counted in zip(("test", *TITLES), (fed["inside"], *fed["sets"]), strict=True):
        scores = SCORES[name]
        below = [int(np.sum(scores <= threshold)) for threshold in thresholds]
        assert np.cumsum(counted["passed"]).tolist() == below
        assert counted["passed_now"] == np.sum(scores <= 174.0)
        assert sum(counted["bars"]) == len(scores)
    assert np.all(np.diff(fed["places"]) >= 0)
    assert [each["n"] for each in data["sets"]] == [40, 30, 20]
    assert [group["name"] for group in data["groups"]] == ["near", "far"]
    assert fed["selected"] is None


def test_a_line_lies_where_its_score_lies_on_the_axis() -> None:
    raw = ScoreHistogram(SCORES, "raw")
    low, high = raw.edges[0], raw.edges[-1]
    assert high >= 197.0  # of 99 % of ID
    assert raw.places(np.array([100.0]))[0] == pytest.approx((100 - low) / (high - low))
    percentiles = ScoreHistogram(SCORES, "ID percentile")
    share = np.mean(SCORES["test"] <= 100.0)
    assert percentiles.places(np.array([100.0]))[0] == pytest.approx(share)
    assert percentiles.ticks[-1] == (1.0, "100 %")


def test_a_symlog_axis_holds_all_scores_and_leaves_id_most_of_its_width() -> None:
    histogram = ScoreHistogram(SCORES, "symlog")
    assert (histogram.edges[0], histogram.edges[-1]) == pytest.approx(
        (SCORES["test"].min(), 1e8), abs=1e-6
    )
    assert np.count_nonzero(np.array(histogram.counts(histogram.values["test"]))) >= 8
    assert histogram.counts(histogram.values["far_c"])[-1] == 1
    assert np.all(np.diff(histogram.edges) > 0)


def test_a_bar_holds_its_rows_and_the_bars_at_the_ends_all_beyond() -> None:
    histogram = ScoreHistogram(SCORES, "raw")
    last = len(histogram.edges) - 2
    for bar in (0, 20, last):
        rows = histogram.rows_in(bar)
        assert "val" not in rows
        for name, mask in rows.items():
            assert mask.sum() == histogram.counts(histogram.values[name])[bar]
    assert histogram.rows_in(last)["far_c"][-1]  # 1e8
    low, high = histogram.edges[20:22]
    assert histogram.bar_text(20) == f"score {low:.4g} to {high:.4g}"
    assert histogram.bar_text(last).endswith(" up")
    assert ScoreHistogram(SCORES, "ID percentile").bar_text(0) == "ID percentile below 2"


def test_what_is_selected_is_counted_apart_and_only_its_ood_is_caught_or_missed() -> None:
    selected = {"test": np.arange(300) < 7, "far_c": np.arange(20) >= 15}
    data = lines_data({"HEAT": ScoreHistogram(SCORES, "raw")}, settings(selected=selected))
    (fed,) = data["detectors"]
    assert data["selected"]["n"] == 5
    assert sum(fed["selected"]["bars"]) == 12
    assert fed["selected"]["passed_now"] == np.sum(SCORES["far_c"][15:] <= 189.0)


def test_those_come_first_that_catch_most_of_the_sets_that_count() -> None:
    scores = {"MoG": BEHIND, "HEAT": SCORES}
    assert ranked(scores, 0.9, ("near_a", "far_c")) == ["HEAT", "MoG"]
    assert ranked(scores, 0.9, ("near_b",)) == ["MoG", "HEAT"]  # alike: they stay as they are
    assert ranked(scores, 0.9, ()) == ["MoG", "HEAT"]


def test_without_an_ood_set_the_line_says_what_becomes_of_id() -> None:
    scores = SetScores({"test": SCORES["test"]})
    data = lines_data({"HEAT": ScoreHistogram(scores, "raw")}, settings(titles={}, counted=()))
    assert (data["groups"], data["sets"], data["detectors"][0]["sets"]) == ([], [], [])
    assert data["detectors"][0]["inside"]["passed_now"] == 285


# -- the page --------------------------------------------------------------------------------------


@pytest.fixture
def shown(fresh_server, monkeypatch, tmp_path, arrays) -> list[dict]:
    """What the component of the Detectors page was given, run by run."""
    write_pack(pack_from_arrays(arrays), tmp_path / "small")
    sizes = {"test": 60, "near_a": 40, "near_b": 30, "mid_c": 30, "far_d": 50}

    def scores(shift: float) -> dict[str, np.ndarray]:
        random = np.random.default_rng(1)
        return {n: random.normal(shift * (n != "test"), 1, size) for n, size in sizes.items()}

    def work(*settings, **more):
        def report(job) -> None:
            job.report(0.5, DetectorScores("MoG", scores(0.5)))
            job.report(1.0, DetectorScores("HEAT", scores(2.0)))

        return report

    given: list[dict] = []
    monkeypatch.setattr("app.server.warm_up", lambda: None)  # it would fit all detectors
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path)
    monkeypatch.setattr("app.pack.scores.scoring_work", work)
    monkeypatch.setattr(
        "app.detectors.lines.detector_lines", lambda data, key, **then: given.append(data | then)
    )
    return given


def detectors(**query: str) -> AppTest:
    at = opened(app(**query).switch_page("detectors/page.py"))
    return wait(at, lambda page: len(ready_detectors(page)) == 2)


def test_letting_go_of_the_line_sets_the_id_kept_on_the_whole_page(shown: list[dict]) -> None:
    at = detectors()
    assert [each["name"] for each in shown[-1]["detectors"]] == ["HEAT", "MoG"]
    assert shown[-1]["percent"] == 95.0
    at.number_input(key="keep").set_value(80.5)  # as `set_percent_to_keep` does
    opened(at)
    assert shown[-1]["percent"] == 80.5
    inside = shown[-1]["detectors"][0]["inside"]
    assert inside["passed_now"] == 49  # of 60: 80.5 % and no less


def test_sets_that_count_stay_in_the_link_and_unknown_ones_do_not(shown: list[dict]) -> None:
    at = detectors(counted="far_d")
    assert [each["name"] for each in shown[-1]["sets"] if each["counted"]] == ["far_d"]
    at.session_state["counted"] = ("near_a", "near_b", "mid_c", "far_d")
    opened(at)
    assert "counted" not in link(at)
    at.session_state["counted"] = ("nonsense",)
    opened(at)
    assert all(each["counted"] for each in shown[-1]["sets"])
