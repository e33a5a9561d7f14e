"""Detectors that are added to the page: fitted then and not before, in the link, on every page."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.pack.work import scoring_work
from heat_core.pack import pack_from_arrays, write_pack
from tests.app.pages import app, link, opened, ready_detectors, wait

SHOWN = ("MSP", "MoG", "GEN", "SCALE", "RMD")  # all that the app knows of here
pytestmark = pytest.mark.usefixtures("few_detectors")
LOGITS, CHANGED = "add of the logits", "add of changed features"


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Which detectors each job was to fit."""
    asked: list[tuple[str, ...]] = []

    def work(pack, preset, keep_runs, names, known, **keeping):
        asked.append(tuple(name for name in names if name not in (known or {})))
        return scoring_work(pack, "quick", keep_runs, names, known, **keeping)

    monkeypatch.setattr("app.pack.scores.scoring_work", work)
    return asked


@pytest.fixture
def pack(arrays: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path)
    shutil.rmtree(tmp_path / "small", ignore_errors=True)
    write_pack(pack_from_arrays(arrays), tmp_path / "small")
    return tmp_path / "small"


def page(folder: str, **query: str) -> AppTest:
    return opened(app(**query).switch_page(f"{folder}/page.py"))


def all_ready(at: AppTest, *names: str) -> AppTest:
    return wait(
        at, lambda page: not page.get("progress") and set(names) <= set(ready_detectors(page)), 60
    )


def test_only_what_is_shown_is_fitted(pack: Path, fitted: list) -> None:
    at = all_ready(page("detectors"), "MSP", "MoG")
    assert ready_detectors(at) == ["MSP", "MoG"]
    assert fitted == [("MSP", "MoG")]
    assert "more" not in link(at)


def test_what_is_added_is_fitted_alone_and_stands_by_its_approach(pack: Path, fitted: list) -> None:
    at = all_ready(page("detectors"), "MSP", "MoG")
    opened(_picked(at, LOGITS, ["GEN"]))
    all_ready(at, "GEN")
    assert ready_detectors(at) == ["MSP", "GEN", "MoG"]
    assert link(at)["more"] == "GEN"
    opened(_picked(at, CHANGED, ["SCALE"]))
    all_ready(at, "SCALE")
    assert ready_detectors(at) == ["MSP", "GEN", "SCALE", "MoG"]
    assert fitted == [("MSP", "MoG"), ("GEN",), ("SCALE",)]
    assert link(at)["more"] == "GEN,SCALE"
    (sentence,) = (c.value for c in at.caption if "SCALE percentile" in c.value)
    assert "no destroyed ID images to choose by" in sentence  # this pack has none
    table = at.dataframe[0].value
    assert list(table.index) == ["MSP", "GEN", "SCALE", "MoG"]


def _picked(at: AppTest, key: str, names: list[str]) -> AppTest:
    at.button_group(key=key).set_value(names)
    return at


def test_a_link_adds_what_it_names_and_nothing_unknown(pack: Path, fitted: list) -> None:
    at = all_ready(page("detectors", more="RMD,nonsense,MSP,GEN"), "RMD", "GEN")
    assert ready_detectors(at) == ["MSP", "GEN", "MoG", "RMD"]
    assert link(at)["more"] == "GEN,RMD"
    assert sorted(fitted) == [("GEN", "RMD"), ("MSP", "MoG")]


def test_what_is_taken_away_is_gone_and_need_not_be_fitted_again(pack: Path, fitted: list) -> None:
    at = all_ready(page("detectors", more="GEN", drawn="GEN"), "GEN")
    opened(_picked(at, LOGITS, []))
    all_ready(at, "MSP")
    assert ready_detectors(at) == ["MSP", "MoG"]
    assert "more" not in link(at)
    opened(_picked(at, LOGITS, ["GEN"]))
    all_ready(at, "GEN")
    assert fitted.count(("GEN",)) == 1


@pytest.mark.parametrize("folder", ["threshold_lab", "feature_map"])
def test_another_page_adds_the_detector_that_it_is_asked_for(
    folder: str, pack: Path, fitted: list
) -> None:
    at = page(folder, scorer="RMD")
    wait(at, lambda page: not page.get("progress"), 60)
    assert link(at)["more"] == "RMD"
    if folder == "threshold_lab":  # the map waits for a layout
        assert sorted(fitted) == [("MSP", "MoG"), ("RMD",)]


def test_what_is_significant_is_said_of_all_that_are_shown(pack: Path, fitted: list) -> None:
    at = all_ready(page("detectors", more="GEN"), "GEN")
    wait(at, lambda page: any("95 % of 200 resamples" in c.value for c in page.caption), 60)
    intervals = at.dataframe[1].value
    assert sorted(intervals["Detector"]) == ["GEN", "MSP", "MoG"]


def test_detectors_that_need_a_head_say_so_once_they_are_added(
    arrays: dict[str, np.ndarray], pack: Path, fitted: list
) -> None:
    shutil.rmtree(pack)
    headless = {key: value for key, value in arrays.items() if key not in ("weight", "bias")}
    write_pack(pack_from_arrays(headless), pack)
    at = page("detectors", more="SCALE")
    wait(at, lambda page: any("SCALE needs the classifier's head" in i.value for i in page.info))
    at = page("detectors")
    wait(at, lambda page: not page.get("progress"))
    assert not any("SCALE" in info.value for info in at.info)
