"""An image of one's own on the Detectors page: judged, refused in one line, or why not."""

from __future__ import annotations

import gc
import io
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.pack.data import PackData, current_pack_data
from app.pack.scores import ensure_scoring_job
from heat_core.judge import classifier_file
from tests.app.pages import app, opened, ready_detectors, text, upload, wait

SHOWN = ("MSP", "ODIN", "KNN", "MoG")
pytestmark = pytest.mark.usefixtures("few_detectors")


@pytest.fixture
def page(noise_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The Detectors page of a small pack with its classifier beside it, everything scored."""
    return _opened(noise_pack, tmp_path, monkeypatch, True)


def _opened(pack: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, weights: bool) -> AppTest:
    shutil.copytree(pack, folder / "noise")
    if weights:
        shutil.copy(classifier_file(pack), classifier_file(folder / "noise"))
    monkeypatch.setattr("app.pack.data.PACKS", folder)
    at = opened(app().switch_page("detectors/page.py"))
    return wait(
        at,
        lambda page: (
            not page.get("progress") and all(name in ready_detectors(page) for name in SHOWN)
        ),
    )


def _upload(at: AppTest, content: bytes, name: str = "mine.png") -> AppTest:
    return upload(at, "own_image", content, name)


def _photo(seed: int = 0) -> bytes:
    """A PNG as a camera's, if small: wide, smooth, in colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(coarse).resize((90, 60), Image.Resampling.BICUBIC).save(content, "PNG")
    return content.getvalue()


def test_an_image_is_judged_by_every_detector(
    page: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "heat_core.run.fit", lambda *settings, **more: pytest.fail("it was fitted again")
    )
    _upload(page, _photo())
    assert not page.error
    assert "Taken for c" in text(page)
    assert "of 4 detectors call it out" in text(page)
    table = page.dataframe[-1].value
    assert tuple(table["Detector"]) == SHOWN
    assert ((table["Score"] > table["Threshold"]) == (table["Verdict"] == "out")).all()
    assert table["ID test at or below %"].between(0, 100).all()
    before = table["Threshold"]
    page.number_input(key="keep").set_value(60.0)
    opened(page)
    assert (page.dataframe[-1].value["Threshold"] < before).all()
    assert "thresholds keep 60 %" in text(page)


def test_what_is_made_of_an_image_goes_with_its_session(page: AppTest) -> None:
    _upload(page, _photo())
    held = weakref.ref(page.session_state["opinion"][1])
    assert held() is not None
    del page.session_state["opinion"]
    gc.collect()
    assert held() is None


def test_what_is_no_image_is_refused_in_one_line_and_costs_nothing_else(page: AppTest) -> None:
    before = [frame.value.shape for frame in page.dataframe]
    for content, said in (
        (b"words", "not an image"),
        (_photo()[:200], "mine"),
        (_bomb(), "10000 x 10000 pixels"),
    ):
        _upload(page, content)
        assert len(page.error) == 1
        assert said in page.error[0].value
        assert "\n" not in page.error[0].value
        assert "wanted a whole PNG" in page.error[0].value
        assert [frame.value.shape for frame in page.dataframe] == before
        assert "MoG" in ready_detectors(page)
    _upload(page, _photo())
    assert not page.error
    assert "Taken for" in text(page)


def _bomb() -> bytes:
    content = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(content, "PNG")
    return content.getvalue()


def test_another_network_beside_the_pack_is_refused_in_one_line(
    page: AppTest, tmp_path: Path
) -> None:
    from heat_core.images import classifier

    architecture = classifier.Architecture(
        "resnet18", layers=(1, 1, 1, 1), channels=(16, 16, 16, 16)
    )
    classifier.save(architecture.build(), architecture, classifier_file(tmp_path / "noise"), {})
    wait(opened(page), lambda page: "MoG" in ready_detectors(page))
    _upload(page, _photo())
    assert "is not the network that" in page.error[0].value


def test_a_pack_without_its_classifier_says_so(
    noise_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = _opened(noise_pack, tmp_path, monkeypatch, False)
    assert not [uploader for uploader in at.file_uploader if uploader.key == "own_image"]
    assert any(
        "comes without its classifier" in info.value and "train-classifier" in info.value
        for info in at.info
    )


def test_fitted_detectors_are_kept_only_where_an_image_can_be_judged(
    noise_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for weights in (True, False):
        (folder := tmp_path / str(weights)).mkdir()
        _opened(noise_pack, folder, monkeypatch, weights)
        pack_data = current_pack_data()
        assert isinstance(pack_data, PackData)
        assert all(
            (frame.run is not None) == weights
            for frame in ensure_scoring_job(pack_data, "modern").frames
        )


def test_one_judge_sees_many_images_at_once(noise_pack: Path) -> None:
    """The network's hooks see every pass, so passes must not mix."""
    from concurrent.futures import ThreadPoolExecutor

    from heat_core.detectors.presets import preset_detector
    from heat_core.images.decoding import read_image
    from heat_core.judge import Judge, ScoredRun
    from heat_core.pack import read_pack
    from heat_core.run import fit

    pack = read_pack(noise_pack)
    judge, known = (
        Judge(pack, classifier_file(noise_pack)),
        {"MoG": ScoredRun.of(fit(preset_detector("MoG"), pack.train), pack)},
    )
    pixels = [read_image(_photo(seed)) for seed in range(24)]
    alone = [judge(one, known).verdicts for one in pixels]
    with ThreadPoolExecutor(8) as pool:
        assert [
            opinion.verdicts for opinion in pool.map(lambda one: judge(one, known), pixels)
        ] == alone
