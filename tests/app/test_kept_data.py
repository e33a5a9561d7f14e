"""Own data in the app: kept, opened tomorrow, missed after a reload, and without OOD sets."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.kept import KeptUploads
from app.pack.shown import first_detectors
from app.server import SERVER
from heat_core.pack import pack_from_arrays, write_pack
from tests.app.pages import (
    JOB_SECONDS,
    app,
    link,
    offered,
    opened,
    press,
    restart_server,
    text,
    until,
    upload,
    wait,
)

SHOWN = ("MSP", "KNN", "MoG")
PAGES = ("feature_map", "detectors", "threshold_lab", "monitor")
pytestmark = pytest.mark.usefixtures("few_detectors")


@pytest.fixture
def own(arrays: dict) -> bytes:
    """An upload without any OOD set, with metadata and labels that are words."""
    without_ood = {key: arrays[key] for key in ("train_z", "train_y", "test_z", "test_y")}
    words = np.array(["ant", "bee", "cow", "doe"])
    for key in ("train_y", "test_y"):
        without_ood[key] = words[arrays[key]]
    without_ood["test_z__meta_site"] = np.array(["north", "south"] * 30)
    content = io.BytesIO()
    np.savez(content, **without_ood)
    return content.getvalue()


@pytest.fixture
def _served(arrays: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server offers a pack, and keeps uploads."""
    write_pack(pack_from_arrays(arrays, "ours"), tmp_path / "packs" / "ours")
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path / "packs")
    monkeypatch.setattr(SERVER, "kept", KeptUploads(tmp_path / "kept", 2, 2**24))


def _opened(page: str, **query: str) -> AppTest:
    return opened(app(**query).switch_page(f"{page}/page.py"))


def _refuse_to_fit(*arguments: object, **options: object) -> None:
    raise AssertionError("a detector was fitted anew")


def _has_scores(at: AppTest) -> bool:
    jobs = at.session_state["own_jobs"].values()
    return [job.state for job in jobs if job.key.startswith("scores/")] == ["done"]


@pytest.mark.usefixtures("_served")
def test_kept_data_without_ood_sets_opens_on_every_page_and_is_fitted_once(
    own: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = upload(_opened("threshold_lab"), "arrays", own, "mine.npz")
    wait(at, lambda page: "of ID" in text(page) and "Fitting" not in text(page))
    assert "This data has no OOD set, so the page says only what becomes of ID." in text(at)
    press(at, "Keep on this server for 2 days")
    assert "Kept on this server until" in text(at)
    kept = link(at)
    assert "own" not in kept

    restart_server()
    monkeypatch.setattr("heat_core.run.fit", _refuse_to_fit)
    tomorrow = wait(_opened("detectors", kept=kept["kept"]), _has_scores)
    assert "This data has no OOD set" in text(opened(tomorrow))
    (job,) = tomorrow.session_state["own_jobs"].values()
    assert [scores.detector for scores in job.frames] == list(first_detectors())
    for page in PAGES:
        opened(tomorrow.switch_page(f"{page}/page.py"))
        assert "found in mine" in text(tomorrow)
        assert not tomorrow.error
        assert not tomorrow.warning
    assert link(tomorrow)["kept"] == kept["kept"]

    press(tomorrow, "Delete it from the server now")
    assert "found in mine" in text(tomorrow)  # in this tab it stays
    gone = _opened("detectors", kept=kept["kept"])
    assert "is not kept on this server" in gone.warning[0].value
    assert "found in ours" not in text(gone)


@pytest.mark.usefixtures("_served")
def test_own_data_that_left_with_the_reload_is_missed_and_can_be_given_again(own: bytes) -> None:
    at = upload(_opened("detectors"), "arrays", own, "mine.npz")
    left = link(at)
    assert left["own"] == "mine"
    again = _opened("detectors", **left)
    assert "Your own data, mine, left the server" in again.warning[0].value
    assert "found in ours" not in text(again)  # no other pack takes its place unasked
    assert link(again)["own"] == "mine"
    upload(again, "arrays", own, "mine.npz")
    assert "found in mine" in text(again)
    assert not again.warning
    other = press(_opened("detectors", **left), "Back to the server's data")
    assert "found in ours" in text(other)
    assert "own" not in link(other)
    assert "Keep on this server for 2 days" not in offered(other)


@pytest.mark.usefixtures("_served")
def test_packing_and_reading_kept_data_can_be_cancelled_and_leave_nothing_half_done(
    own: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = upload(_opened("monitor"), "arrays", own, "mine.npz")
    hold = threading.Event()
    with monkeypatch.context() as slow:
        slow.setattr("app.pack.own_data.PATIENCE_SECONDS", 0.0)
        slow.setattr("heat_core.pack.write_features", lambda *arguments: hold.wait(JOB_SECONDS))
        press(at, "Keep on this server for 2 days")
        work = at.session_state["own_work"]
        until(lambda: work.job.doing == "writing train")
        assert "Packing mine: 0% (writing train)" in text(opened(at))
        press(at, "Cancel")
        hold.set()
        assert work.job.wait(JOB_SECONDS)
    assert work.job.state == "cancelled"
    assert list((tmp_path / "kept").iterdir()) == []
    press(at, "Keep on this server for 2 days")
    assert "Kept on this server until" in text(at)

    hold.clear()
    with monkeypatch.context() as slow:
        slow.setattr("app.pack.own_data.PATIENCE_SECONDS", 0.0)
        slow.setattr("heat_core.pack._read_card", lambda path: hold.wait(JOB_SECONDS))
        tomorrow = _opened("monitor", kept=link(at)["kept"])
        assert "Reading the data that was kept: 0%" in text(tomorrow)
        assert "found in ours" not in text(tomorrow)  # no other data takes its place
        press(tomorrow, "Cancel")
        assert "You stopped reading the data of this link" in tomorrow.warning[0].value
        assert link(tomorrow)["kept"] == link(at)["kept"]
        hold.set()
    assert "found in mine" in text(_opened("monitor", kept=link(at)["kept"]))
