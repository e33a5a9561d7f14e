"""Every page in every state, through Streamlit's AppTest: no browser, no network."""

from __future__ import annotations

import gc
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.job import Job, Work
from app.pack.data import offered_packs
from app.pack.work import scoring_work
from heat_core.detectors.presets import FIRST_DETECTORS
from heat_core.pack import Pack
from tests.app.pages import app, opened, ready_detectors, text, wait

pytestmark = pytest.mark.usefixtures("fresh_server")


@pytest.fixture
def quick_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detectors that train take few steps."""

    def scoring_work_quickly(pack: Pack, preset: str, *settings, **more) -> Work:
        return scoring_work(pack, "quick", *settings, **more)

    monkeypatch.setattr("app.pack.scores.scoring_work", scoring_work_quickly)


def _detectors(**link: str) -> AppTest:
    return opened(app(**link).switch_page("detectors/page.py"))


def test_detectors_shows_every_detector_of_the_pack(quick_preset, no_training):
    if not offered_packs():
        pytest.skip("no pack in assets/packs")
    at = _detectors()
    names = FIRST_DETECTORS
    wait(at, lambda page: all(name in ready_detectors(page) for name in names), 600)
    table = at.dataframe[0].value
    assert list(table.index) == list(names)
    assert {group for group, _ in table.columns} == {"Near", "Mid", "Far", "Average"}
    before = text(at)
    at.number_input(key="keep").set_value(80.0)
    opened(at)
    assert "keeps 80 % of ID" in text(at)
    assert text(at) != before


def test_detectors_without_data_says_how_to_get_some(monkeypatch, tmp_path):
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path)
    at = _detectors()
    assert "There are no features yet" in at.info[0].value


def test_detectors_says_what_is_wrong_with_a_pack(monkeypatch, tmp_path, arrays):
    _write_pack(arrays, tmp_path / "broken")
    train = tmp_path / "broken" / "train.safetensors"
    train.write_bytes(train.read_bytes()[:-100])
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path)
    at = _detectors()
    assert "cannot be read" in at.error[0].value
    assert "train.safetensors" in at.error[0].value


def test_detectors_of_a_pack_without_a_head_says_what_is_absent(
    quick_preset, no_training, monkeypatch, tmp_path, arrays
):
    _write_pack(
        {key: value for key, value in arrays.items() if key not in ("weight", "bias")},
        tmp_path / "headless",
    )
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path)
    at = _detectors()
    wait(at, lambda page: "HEAT" in ready_detectors(page), 300)
    assert any("MSP needs the classifier's head" in info.value for info in at.info)


def test_detectors_shows_a_failure_and_does_not_begin_again(monkeypatch, tmp_path, arrays):
    begun = []

    def broken(job: Job) -> None:
        begun.append(job)
        raise RuntimeError("out of *memory*")

    _write_pack(arrays, tmp_path / "any")
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path)
    monkeypatch.setattr("app.pack.scores.scoring_work", lambda *settings, **more: broken)
    at = _detectors()
    wait(at, lambda page: page.error)
    opened(at)
    assert at.error[0].value == r"out of \*memory\*"
    assert len(begun) == 1


def test_a_detector_that_fails_leaves_the_others_alone(no_training, monkeypatch, arrays):
    from heat_core.detectors.heat import EBM
    from heat_core.pack import pack_from_arrays

    def diverge(*settings):
        raise ArithmeticError("training diverged")

    monkeypatch.setattr(EBM, "fit", diverge)
    job = Job("any", scoring_work(pack_from_arrays(arrays), "quick", names=FIRST_DETECTORS))
    job.run()
    assert job.state == "done"
    assert {frame.detector for frame in job.frames if not frame.missing_reason} == {
        "MSP",
        "Energy",
        "KNN",
        "SSD",
        "MoG",
        "HEAT-GMM",
        "HEAT",
    }
    assert "training diverged" in next(
        frame.missing_reason for frame in job.frames if frame.detector == "EBM"
    )


def test_a_finished_job_gives_back_what_its_work_held():
    class HeldWork:
        def __call__(self, job: Job) -> int:
            return 1

    work = HeldWork()
    held, job = weakref.ref(work), Job("any", work)
    del work
    job.run()
    gc.collect()
    assert job.result == 1
    assert held() is None


def test_an_upload_that_is_wrong_changes_nothing_and_says_why(tmp_path, arrays):
    script = AppTest.from_function(_upload_page, default_timeout=60)
    bad = {**arrays, "train_z": np.full_like(arrays["train_z"], np.nan)}
    np.savez(tmp_path / "bad.npz", **bad)
    np.savez(tmp_path / "good.npz", **arrays)
    script.session_state["path"] = str(tmp_path / "bad.npz")
    opened(script)
    assert "must be finite" in script.session_state["upload_error"]
    assert "uploaded" not in script.session_state
    script.session_state["path"] = str(tmp_path / "good.npz")
    opened(script)
    assert "upload_error" not in script.session_state
    assert len(script.session_state["uploaded"].pack.train) == len(arrays["train_z"])


def _upload_page() -> None:
    from pathlib import Path

    import streamlit as st

    from app.pack.own_data import accept_upload
    from app.uploads import UploadFile

    path = Path(st.session_state["path"])
    accept_upload([UploadFile(path.name, path.read_bytes())])


def _write_pack(arrays: dict, path: Path) -> None:
    from heat_core.pack import pack_from_arrays, write_pack

    shutil.rmtree(path, ignore_errors=True)
    write_pack(pack_from_arrays(arrays), path)


def test_the_names_offered_are_the_names_there_are():
    from app.plane import controls
    from heat_core.detectors.presets import PRESETS
    from heat_core.plane.toys import TOYS

    assert set(controls.TOYS) == set(TOYS)
    assert set(controls.PRESETS) == set(PRESETS["plane"])
    assert set(controls.PLANE_DETECTORS) == set(PRESETS["plane"]["modern"])


def test_every_detector_is_seen_at_first_or_can_be_added() -> None:
    from app.pack import shown
    from heat_core.detectors.presets import DETECTORS

    addable = [name for names in shown.addable_detectors().values() for name in names]
    assert sorted([*shown.first_detectors(), *addable]) == sorted(DETECTORS)
    assert shown.first_detectors() == FIRST_DETECTORS
