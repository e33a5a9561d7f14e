"""Background work on a page: its progress, what ends it, and its failure in one line."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest
from streamlit.testing.v1 import AppTest

from app.job import Job
from app.pack.progress import show_waiting
from app.pack.work import DetectorScores, scoring_work
from app.plane.training import say_fitting, train_toy
from heat_core.pack import pack_from_arrays
from heat_core.progress import report_progress
from tests.app.pages import press
from tests.app.plane import GRIDS, QUICK


def _progress_page() -> None:
    import streamlit as st

    from app.pack.progress import show_progress

    st.session_state["runs"] = st.session_state.get("runs", 0) + 1
    if st.session_state["runs"] == 1:  # the page itself would go on to what is ready
        show_progress(
            st.session_state["job"],
            "Fitting HEAT",
            has_more=lambda job: any(own.detector == "HEAT" for own in job.frames),
            note=lambda job: f" ({job.state})",
        )


def _failure_page() -> None:
    import streamlit as st

    from app.pack.progress import show_failure

    def start(name: str) -> None:
        st.session_state["started"] = name

    st.session_state["has_failed"] = show_failure(st.session_state["job"], start, "HEAT")


def _run(page, job: Job | None) -> AppTest:
    at = AppTest.from_function(page, default_timeout=60)
    at.session_state["job"] = job
    at.run()
    assert not at.exception
    return at


def _job(*ready: str) -> Job:
    job = Job("any", lambda job: None)
    job.progress = 0.42
    job.frames = [DetectorScores(name, {}) for name in ready]
    return job


def test_progress_says_what_is_done_how_far_it_is_and_more():
    at = _run(_progress_page, _job("MSP"))
    assert at.get("progress")[0].proto.text == "Fitting HEAT: 42% (waiting)"
    assert at.session_state["runs"] == 1


def test_progress_says_which_step_of_the_work_is_under_way():
    job = _job("MSP")
    job.doing = "KNN: normalising, 60%"
    shown = _run(_progress_page, job).get("progress")[0].proto.text
    assert shown == "Fitting HEAT: 42% (KNN: normalising, 60%) (waiting)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "42%"), (12.0, "42%, 12 s so far"), (42.0, "42%, about 58 s left")],
)
def test_progress_says_how_long_it_takes_still_or_how_long_it_has_taken(monkeypatch, seconds, text):
    job = _job("MSP")
    job.state, job.progress = "running", 0.42
    left = 58.0 if seconds == 42.0 else None
    monkeypatch.setattr(Job, "stage_seconds", seconds)
    monkeypatch.setattr(Job, "seconds_left", left)
    shown = _run(_progress_page, job).get("progress")[0].proto.text
    assert shown == f"Fitting HEAT: {text} (running)"


class _Listener(Job):
    """A job that keeps what it is told."""

    def report(self, progress, frame=None, doing=""):
        super().report(progress, frame, doing)
        TOLD.append((progress, doing))


TOLD: list[tuple[float, str]] = []


def test_scoring_says_what_closed_forms_and_intervals_do(arrays, monkeypatch):
    from heat_core.detectors import presets

    two = {name: presets.DETECTORS[name] for name in ("MSP", "KNN")}
    TOLD.clear()
    job = _Listener("any", scoring_work(pack_from_arrays(arrays), "quick"))
    with patch.dict(presets.DETECTORS, two, clear=True):
        job.run()
    assert job.state == "done", job.error
    assert [frame.detector for frame in job.frames] == ["MSP", "KNN"]
    steps = list(dict.fromkeys(doing.partition(",")[0] for _, doing in TOLD if doing))
    assert steps == [
        "MSP: scoring",
        "KNN: normalising",
        "KNN: filling the bank",
        "KNN: scoring",
        "Intervals: resampling images",
    ]
    shares = [share for share, _ in TOLD]
    assert shares == sorted(shares)  # the whole never goes back when another step begins
    assert (0.5, "KNN: normalising, 100%") in TOLD


def test_a_training_in_the_plane_says_what_is_done_beside_it():
    TOLD.clear()
    job = _Listener("any", lambda job: None)
    job.progress = 1.0
    for doing, share in (("training", 0.5), ("diagnosing", None), ("filling the bank", 0.2)):
        say_fitting(job, doing, share)
    assert TOLD == [(1.0, "Diagnosing"), (0.2, "Filling the bank")]


def test_a_fitted_energy_of_the_plane_is_measured_and_says_so():
    TOLD.clear()
    job = _Listener("any", train_toy(replace(QUICK, detector="KNN"), *GRIDS))
    job.run()
    assert job.state == "done", job.error
    measured = [share for share, doing in TOLD if doing == "Measuring"]
    assert measured[0] == 0.0
    assert len(set(measured)) > 5
    assert measured[-1] == 1.0


def test_the_page_runs_anew_when_a_wanted_detector_is_ready_or_the_job_is_over():
    assert _run(_progress_page, _job("MSP", "HEAT")).session_state["runs"] == 2
    job = _job()
    job.run()
    assert job.over
    assert _run(_progress_page, job).session_state["runs"] == 2


@pytest.mark.parametrize("error", ["out of *memory*", ""])
def test_a_failure_is_one_line(error):
    def fail(job: Job) -> None:
        raise RuntimeError(error)

    job = Job("any", fail)
    job.run()
    at = _run(_failure_page, job)
    assert at.session_state["has_failed"]
    assert [entry.value for entry in at.error] == [
        r"out of \*memory\*" if error else "RuntimeError"
    ]


def test_a_failure_can_be_tried_again():
    def fail(job: Job) -> None:
        raise RuntimeError("out of memory")

    job = Job("any", fail)
    job.run()
    at = press(_run(_failure_page, job), "Try again")
    assert at.session_state["started"] == "HEAT"


def test_what_has_not_failed_shows_no_failure():
    for job in (None, _job()):
        at = _run(_failure_page, job)
        assert not at.session_state["has_failed"]
        assert not at.error
        assert not at.button


class _Place:
    """A stand-in for an empty place of a page, which keeps what it is made to show."""

    def __init__(self):
        self.shown = []

    def progress(self, share, text):
        self.shown.append((share, text))

    def empty(self):
        self.shown.append(None)


def test_a_page_says_what_it_waits_for_once_that_takes_long(monkeypatch):
    place, now = _Place(), [0.0]
    monkeypatch.setattr("app.pack.progress.st.empty", lambda: place)
    monkeypatch.setattr("app.pack.progress.time.monotonic", lambda: now[0])
    with show_waiting():
        report_progress("normalising", 0.5)  # at once: a page that is quick does not flicker
        now[0] = 1.5
        report_progress("estimating the covariance", 0.25)
        report_progress("decomposing the covariance")
    assert place.shown == [
        (0.25, "Estimating the covariance, 25%"),
        (0.0, "Decomposing the covariance"),
        None,
    ]


def test_a_quick_page_shows_no_progress(monkeypatch):
    monkeypatch.setattr("app.pack.progress.st.empty", lambda: pytest.fail("it has not waited"))
    with show_waiting():
        report_progress("normalising", 0.5)
