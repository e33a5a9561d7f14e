"""Every room in every state, through Streamlit's AppTest: no browser, no network."""

from __future__ import annotations

import gc
import shutil
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app import session, tasks
from app.jobs import Job, Jobs

PACKS = session.PACKS


@pytest.fixture(autouse=True)
def _fresh_server():
    session.jobs.clear()


def _app(**link: str) -> AppTest:
    """Opens the app at a link with these query parameters."""
    at = AppTest.from_file("../app/main.py", default_timeout=120)
    for key, value in link.items():
        at.query_params[key] = value
    return _opened(at)


def _detectors(**link: str) -> AppTest:
    return _opened(_app(**link).switch_page("views/detectors.py"))


def _opened(at: AppTest) -> AppTest:
    at.run()
    assert not at.exception
    return at


def _wait(at: AppTest, done, seconds: float = 240) -> AppTest:
    """Reruns the page until `done(at)`, as the page itself does in a browser."""
    limit = time.monotonic() + seconds
    while not done(at):
        assert time.monotonic() < limit, "the page did not get there"
        time.sleep(0.2)
        _opened(at)
    return at


def _press(at: AppTest, label: str) -> AppTest:
    next(button for button in at.button if button.label == label).click()
    return _opened(at)


def test_toy_lab_starts_empty_and_says_what_to_do():
    at = _app()
    assert "Nothing is trained yet" in at.info[0].value
    assert any(button.label == "Train HEAT" for button in at.button)
    assert "9,000 training points" in _text(at)


def test_toy_lab_trains_and_reports_the_distance_to_the_truth():
    at = _press(_app(toy="blobs", preset="quick"), "Train HEAT")
    _wait(at, lambda page: page.metric)
    metrics = {metric.label: metric.value for metric in at.metric}
    kl, mog = (float(metrics[name].split()[0]) for name in ("KL(true || model)", "KL of the MoG"))
    assert kl < mog / 3
    assert metrics["Modes kept"] == "4 of 4"
    assert "closer to the truth" in at.subheader[0].value


def test_toy_lab_finds_the_same_training_by_its_link():
    at = _press(_app(toy="cross", detector="MoG"), "Train MoG")
    _wait(at, lambda page: page.metric)
    other = _app(toy="cross", detector="MoG")
    assert other.metric
    assert "One Gaussian a class" in other.subheader[0].value


def test_toy_lab_cancels(monkeypatch):
    monkeypatch.setattr(session, "train_toy", lambda *settings: _endless)
    at = _press(_app(toy="moons"), "Train HEAT")
    _wait(at, lambda page: any(button.label == "Cancel" for button in page.button))
    _press(at, "Cancel")
    _wait(at, lambda page: page.warning)
    assert "cancelled" in at.warning[0].value


def _endless(job: Job) -> None:
    while True:
        time.sleep(0.01)
        job.report(0.5)


def test_toy_lab_shows_a_failure_in_one_line(monkeypatch):
    def broken(job: Job) -> None:
        raise ValueError("training diverged by step 3")

    monkeypatch.setattr(session, "train_toy", lambda *settings: broken)
    at = _press(_app(), "Train HEAT")
    _wait(at, lambda page: page.error)
    assert at.error[0].value == "training diverged by step 3"


def test_detectors_shows_every_detector_of_the_pack():
    if not session.shipped():
        pytest.skip("no pack in assets/packs")
    at = _detectors()
    names = ("MSP", "Energy", "KNN", "SSD", "MoG", "EBM", "HEAT")
    _wait(at, lambda page: all(f"**{name}** catches" in _text(page) for name in names), 600)
    table = at.dataframe[1].value
    assert list(table.index) == list(names)
    assert {group for group, _ in table.columns} == {"Near", "Mid", "Far", "Average"}
    before = _text(at)
    at.number_input(key="keep").set_value(80.0)
    _opened(at)
    assert "keeps 80 % of ID" in " ".join(header.value for header in at.subheader)
    assert _text(at) != before


def test_detectors_without_data_says_how_to_get_some(monkeypatch, tmp_path):
    monkeypatch.setattr(session, "PACKS", tmp_path)
    at = _detectors()
    assert "There are no features yet" in at.info[0].value


def test_detectors_says_what_is_wrong_with_a_pack(monkeypatch, tmp_path, arrays):
    _write_pack(arrays, tmp_path / "broken")
    train = tmp_path / "broken" / "train.safetensors"
    train.write_bytes(train.read_bytes()[:-100])
    monkeypatch.setattr(session, "PACKS", tmp_path)
    at = _detectors()
    assert "cannot be read" in at.error[0].value
    assert "train.safetensors" in at.error[0].value


def test_detectors_of_a_pack_without_a_head_says_what_is_absent(monkeypatch, tmp_path, arrays):
    _write_pack({key: value for key, value in arrays.items() if key not in ("weight", "bias")}, tmp_path / "headless")
    monkeypatch.setattr(session, "PACKS", tmp_path)
    at = _detectors()
    _wait(at, lambda page: "**HEAT** catches" in _text(page), 300)
    assert any("MSP needs the classifier's head" in info.value for info in at.info)


def test_detectors_shows_a_failure_and_does_not_begin_again(monkeypatch, tmp_path, arrays):
    begun = []

    def broken(job: Job) -> None:
        begun.append(job)
        raise RuntimeError("out of *memory*")

    _write_pack(arrays, tmp_path / "any")
    monkeypatch.setattr(session, "PACKS", tmp_path)
    monkeypatch.setattr(session, "score_pack", lambda *settings: broken)
    at = _detectors()
    _wait(at, lambda page: page.error)
    _opened(at)
    assert at.error[0].value == r"out of \*memory\*"
    assert len(begun) == 1


def test_a_detector_that_fails_leaves_the_others_alone(monkeypatch, arrays):
    from heat_core import detectors
    from heat_core.features import pack_arrays

    def diverge(*settings):
        raise ArithmeticError("training diverged")

    monkeypatch.setattr(detectors.EBM, "fit", diverge)
    job = Job("any", tasks.score_pack(pack_arrays(arrays), "quick"))
    job.run()
    assert job.state == "done"
    assert {frame.detector for frame in job.frames if not frame.reason} == {"MSP", "Energy", "KNN", "SSD", "MoG", "HEAT"}
    assert "training diverged" in next(frame.reason for frame in job.frames if frame.detector == "EBM")


def test_a_finished_job_gives_back_what_its_work_held():
    class Pack:
        def __call__(self, job: Job) -> int:
            return 1

    work = Pack()
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
    _opened(script)
    assert "must be finite" in script.session_state["upload_error"]
    assert "uploaded" not in script.session_state
    script.session_state["path"] = str(tmp_path / "good.npz")
    _opened(script)
    assert "upload_error" not in script.session_state
    assert len(script.session_state["uploaded"].pack.train) == len(arrays["train_z"])


def _upload_page() -> None:
    import io
    from pathlib import Path

    import streamlit as st

    from app import session

    path = Path(st.session_state["path"])
    session.upload(io.BytesIO(path.read_bytes()), path.name)


def test_two_jobs_run_and_a_third_waits_in_line():
    jobs = Jobs(running=2)
    first, second, third = (jobs.submit(f"job {i}", _endless) for i in range(3))
    _until(lambda: first.state == second.state == "running")
    assert (third.state, jobs.ahead(third)) == ("waiting", 0)
    assert jobs.submit("job 0", _endless) is first
    first.cancel()
    _until(lambda: first.state == "cancelled" and third.state == "running")
    for job in (second, third):
        job.cancel()
    _until(lambda: second.over and third.over)
    assert jobs.submit("job 0", _endless) is not first
    jobs.get("job 0").cancel()


def test_finished_jobs_are_forgotten_in_the_end():
    jobs = Jobs(running=1, kept=2)
    for i in range(4):
        job = jobs.submit(f"job {i}", lambda job: 1)
        _until(lambda job=job: job.over)
    jobs.submit("last", lambda job: 1)
    assert [jobs.get(f"job {i}") is None for i in range(4)] == [True, True, False, False]


def _until(condition, seconds: float = 20) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def _text(at: AppTest) -> str:
    return " ".join(str(getattr(element, "value", "")) + str(getattr(element, "label", "")) for element in at.main)


def _write_pack(arrays: dict, path: Path) -> None:
    from heat_core.features import pack_arrays, write_pack

    shutil.rmtree(path, ignore_errors=True)
    write_pack(pack_arrays(arrays), path)


def test_the_names_offered_are_the_names_there_are():
    from app import controls
    from heat_core.detectors import PRESETS
    from heat_core.toys import TOYS

    assert set(controls.TOYS) == set(TOYS)
    assert set(controls.PRESETS) == set(PRESETS["plane"])
    assert set(controls.PLANE_DETECTORS) == set(PRESETS["plane"]["modern"])
