"""Runs of one detector with other seeds and presets: fitted when asked for, once, and compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.detectors.tables import runs_finding
from app.job import Job
from app.pack.work import DetectorScores, RunChoice, runs_work
from heat_core.pack import Pack, pack_from_arrays, write_pack
from heat_core.results.table import tabulate
from tests.app.pages import JOB_SECONDS, app, endless, offered, opened, press, text, wait

SHOWN = ("MoG", "EBM")


def _stand_in(
    name: str, detector: object, pack: Pack, seed: int, on_record: object, keep_run: bool
) -> DetectorScores:
    """Returns scores by which a seed's number decides which share of OOD passes."""
    scores = {}
    for set_name, features in pack.sets():
        if set_name != "train":
            shift = 0 if set_name == "test" else np.where(np.arange(len(features)) < seed, -9, 999)
            scores[set_name] = np.arange(len(features)) / 100 + shift
    return DetectorScores(name, scores)


@pytest.fixture
def _scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.pack.work._score_detector", _stand_in)


@pytest.mark.usefixtures("_scored")
def test_runs_that_are_known_are_not_fitted_again_and_a_cancel_keeps_the_others(
    arrays: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = pack_from_arrays(arrays)
    runs = {f"seed {seed}": RunChoice("EBM", seed=seed) for seed in range(3)}
    known = {runs["seed 0"]: DetectorScores("EBM", {"test": np.ones(1)})}
    fitted: list[RunChoice] = []

    def stop_after_first(run: RunChoice, scores: DetectorScores) -> None:
        fitted.append(run)
        if len(fitted) == 1:
            job.cancel()

    job = Job("runs", runs_work(pack, runs, known, stop_after_first))
    job.run()
    assert job.state == "cancelled"
    again = Job("runs", runs_work(pack, runs, known, stop_after_first))
    again.run()
    assert again.state == "done"
    assert fitted == [runs["seed 1"], runs["seed 2"]]
    assert [frame.title for frame in again.frames] == list(runs)
    assert again.frames[0].scores.scores["test"].tolist() == [1.0]


def test_a_run_that_the_data_does_not_allow_says_why(arrays: dict) -> None:
    without_head = {key: arrays[key] for key in arrays if key not in ("weight", "bias")}
    runs = {"modern": RunChoice("HEAT-EL")}
    job = Job("runs", runs_work(pack_from_arrays(without_head), runs, {}))
    job.run()
    assert "HEAT-EL needs the classifier's head" in job.frames[0].scores.missing_reason


def test_the_spread_of_runs_is_said_in_a_sentence() -> None:
    inside = np.arange(100.0)
    runs = {
        f"seed {i}": {"test": inside, "far_a": np.append(np.full(i, -1.0), np.full(10 - i, 999.0))}
        for i in range(3)
    }
    table = tabulate(runs, [("far", "a")])
    assert runs_finding("HEAT", "seeds", table).replace("\u00a0", " ") == (
        "HEAT, 3 seeds: FPR95 0.0 to 20.0 %, AUROC 80.0 to 100.0 % (FPR95 has a standard "
        "deviation of 10.0)."
    )
    alike = tabulate({"modern": runs["seed 1"], "quick": runs["seed 1"]}, [("far", "a")])
    assert runs_finding("HEAT", "presets", alike).replace("\u00a0", " ") == (
        "HEAT, 2 presets: FPR95 10.0 % each, AUROC 90.0 % each."
    )
    one = tabulate({"quick": runs["seed 1"]}, [("far", "a")])
    assert runs_finding("HEAT", "presets", one).replace("\u00a0", " ") == (
        "HEAT, quick: FPR95 10.0 %, AUROC 90.0 %."
    )


@pytest.fixture
def page(
    few_detectors: None,
    _scored: None,
    arrays: dict,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AppTest:
    write_pack(pack_from_arrays(arrays, "ours"), tmp_path / "ours")
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path)
    at = app().switch_page("detectors/page.py")
    at.session_state["runs-panel"] = True
    opened(at)
    return wait(at, lambda page: "Fit 4 more and compare" in offered(page))


def test_seeds_are_fitted_once_they_are_asked_for(page: AppTest) -> None:
    assert "5 seeds" not in text(page)
    press(page, "Fit 4 more and compare")
    wait(
        page,
        lambda page: "EBM, 5 seeds: FPR95 0.0 to 11.0\u00a0%" in text(page),
        JOB_SECONDS,
    )
    titles = [each.value for each in page.markdown if each.value.startswith("**seed")]
    assert len(titles) == 5
    assert titles[0].startswith("**seed 0**: FPR95 0.0 %, AUROC 100.0 %")
    page.segmented_control(key="runs").set_value("presets")
    assert "Fit 1 more and compare" in offered(opened(page))  # modern is there
    page.segmented_control(key="runs").set_value("seeds")  # no longer in the link
    folds = {fold.label: fold.proto.expanded for fold in opened(page).expander}
    assert folds["The same detector with other seeds and presets"]


def test_fitting_seeds_can_be_cancelled(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.detectors.runs.runs_work", lambda *settings: endless)
    press(page, "Fit 4 more and compare")
    press(page, "Cancel")
    assert "Fit 4 more and compare" in offered(page)
