"""Packs whose card or sheets are odd: every page shows them, or says in one line what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app.detectors.tables import FPR
from app.text import plain
from heat_core.pack import pack_from_arrays, write_pack
from tests.app.pages import app, opened, text, wait

SHOWN = ("MoG",)
PACK_PAGES = ("feature_map", "detectors", "threshold_lab", "monitor")
pytestmark = pytest.mark.usefixtures("few_detectors")

HARMLESS: dict[str, dict[str, object]] = {
    "another method": {"map": {"method": "tsne"}},
    "a map without figures": {"map": {"trustworthiness": "high"}},
    "a title that is no text": {"title": {"a": 1}},
    "classes that are no list": {"classes": {"a": 1}},
    "a classifier of other types": {
        "classifier": {"architecture": {"model": [1]}, "test_accuracy": float("inf")}
    },
    "sets of other types": {
        "sets": {
            "train": {"moments_of": 10**400, "title": [1], "licence": 3, "source": 4},
            "near_a": {"title": None, "stands_in_for": ["b"], "skipped": "y"},
        }
    },
}
REFUSED: dict[str, dict[str, object]] = {
    "a method that is a number": {"map": {"method": 7}},
    "a map that is a number": {"map": 3},
    "a mirror that is a word": {"classifier": {"mirror": "yes"}},
    "an order that repeats a name": {"order": ["train", "test", *["near_a"] * 100_000]},
}


@pytest.fixture
def folder(arrays: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pack with a map, the only one that the server offers."""
    random = np.random.default_rng(0)
    sets = ("train_z", "test_z", "near_a", "near_b", "mid_c", "far_d")
    maps = {f"{key}__map": random.normal(size=(len(arrays[key]), 2)) for key in sets}
    write_pack(pack_from_arrays(arrays | maps, "odd"), tmp_path / "odd")
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path)
    return tmp_path / "odd"


def _change_card(folder: Path, changed: dict[str, object]) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changed))


@pytest.mark.parametrize("page_name", PACK_PAGES)
@pytest.mark.parametrize("changed", HARMLESS.values(), ids=HARMLESS)
def test_a_card_of_other_types_breaks_no_page(
    folder: Path, changed: dict[str, object], page_name: str
) -> None:
    _change_card(folder, changed)
    at = opened(app().switch_page(f"{page_name}/page.py"))
    wait(at, lambda page: not page.get("progress"))
    assert not at.error
    assert "240" in at.table[0].value["Found"].iloc[0]


@pytest.mark.parametrize("page_name", PACK_PAGES)
@pytest.mark.parametrize("changed", REFUSED.values(), ids=REFUSED)
def test_a_card_that_means_nothing_is_said_in_one_line(
    folder: Path, changed: dict[str, object], page_name: str
) -> None:
    _change_card(folder, changed)
    at = opened(app().switch_page(f"{page_name}/page.py"))
    (error,) = at.error
    assert "The pack odd cannot be read" in error.value
    assert "card.json" in error.value


@pytest.mark.parametrize("page_name", PACK_PAGES)
def test_a_sheet_that_cannot_be_read_is_said_in_one_line(
    folder: Path, page_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "test.webp").write_bytes(b"sheet")

    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    at = opened(app().switch_page(f"{page_name}/page.py"))
    (error,) = at.error
    assert "test.webp: not readable" in error.value.replace("\\", "")


@pytest.mark.parametrize("page", PACK_PAGES)
def test_every_page_of_a_mirrored_pack_says_once_that_scores_take_two_passes(
    folder: Path, page: str
) -> None:
    for mirror in (False, True):
        classifier = {"mirror": mirror, "architecture": {"model": "vit"}, "test_accuracy": 0.9}
        _change_card(folder, {"classifier": classifier})
        at = opened(app().switch_page(f"{page}/page.py"))
        wait(at, lambda page: not page.get("progress"))
        captions = [caption.value for caption in at.caption]
        assert sum("Scores take two passes" in caption for caption in captions) == mirror
        sentence = f"Classifier: timm vit, test accuracy 90.0%{' in one pass' if mirror else ''}."
        assert plain(sentence) in captions
        notes = at.table[0].value["Found"].to_dict()
        assert ("Mirror images" in notes) == mirror


def test_sets_that_fine_tuning_knew_are_marked_and_in_no_average(folder: Path) -> None:
    _change_card(folder, {"classifier": {"resembles": ["a", "d"]}})
    at = opened(app().switch_page("detectors/page.py"))
    wait(at, lambda page: not page.get("progress"))
    assert not at.error
    tables = [table.value for table in at.dataframe]
    (averages,) = [table for table in tables if ("Average", FPR) in table.columns]
    assert list(dict.fromkeys(group for group, _ in averages.columns)) == ["Near", "Mid", "Average"]
    (every_set,) = [table for table in tables if "AUPR %" in table.columns]
    assert every_set["Set"].tolist() == ["near_a *", "near_b", "mid_c", "far_d *"]
    captions = "".join(caption.value for caption in at.caption).replace("\\", "")
    assert "images like those of near_a, far_d (*): no average counts them." in captions

    opened(at.switch_page("threshold_lab/page.py"))
    wait(at, lambda page: "of ID" in text(page))
    assert at.multiselect(key="sets").value == ["near_b", "mid_c"]
    (at_line,) = [table.value for table in at.dataframe if "Caught %" in table.value.columns]
    assert at_line["Set"].tolist() == ["near_a *", "near_b", "mid_c", "far_d *"]
    shares = at_line.set_index("Group")["Caught %"]
    counted = {"near": at_line["Caught %"][1], "mid": shares["mid"]}
    (outcomes,) = [table.value for table in at.dataframe if "ID kept" in table.value.index]
    caught = outcomes.loc["OOD caught, mean of the groups"].iloc[0]
    assert caught == f"{np.mean(list(counted.values())):.1f} %"


def test_a_pack_that_is_being_written_is_not_offered(folder: Path) -> None:
    from app.pack.data import offered_packs

    folder.rename(folder.with_name(".odd.abcdefgh.part"))
    assert offered_packs() == {}
