"""One's own data, through the head of any page: accepted, refused in one line, nobody else's.

And which folders can be opened.
"""

from __future__ import annotations

import gc
import io
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.job import Job
from app.pack.data import PACKS_VARIABLE, offered_packs
from app.server import SERVER
from app.session import job_queue
from heat_core.pack import pack_from_arrays, write_pack
from tests.app.pages import (
    app,
    endless,
    link,
    offered,
    opened,
    press,
    ready_detectors,
    text,
    until,
    upload,
    wait,
)

SHOWN = ("MSP", "KNN", "MoG")
pytestmark = pytest.mark.usefixtures("few_detectors")


@pytest.fixture
def served(arrays: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two packs that the server offers."""
    for name in ("ours", "theirs"):
        write_pack(pack_from_arrays(arrays, name), tmp_path / "packs" / name)
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path / "packs")
    return tmp_path / "packs"


def _npz(arrays: dict) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def _upload(at: AppTest, content: bytes, name: str = "mine.npz") -> AppTest:
    return upload(at, "arrays", content, name)


def _detectors(**query: str) -> AppTest:
    return opened(app(**query).switch_page("detectors/page.py"))


def _are_gone(references: Sequence[weakref.ref]) -> bool:
    """Returns whether nothing is left; a thread that has just ended may still hold on for a moment.

    What holds on for good would be found by no collection.
    """
    gc.collect()
    return not [reference() for reference in references if reference() is not None]


def _report(at: AppTest) -> dict[str, tuple[str, str]]:
    table = at.table[0].value
    return {part: (line["Found"], line["So"]) for part, line in table.iterrows()}


def test_a_report_says_what_was_found_and_what_is_absent_and_why(
    served: Path, arrays: dict
) -> None:
    at = _detectors()
    assert _report(at)["Classifier's last layer"][0] == "4 x 12"
    assert "MSP is absent" not in _report(at)
    _upload(
        at,
        _npz(
            {
                key: value
                for key, value in arrays.items()
                if key not in ("weight", "bias", "mid_c", "test_y")
            }
        ),
    )
    assert not at.error
    report = _report(at)
    assert report["Training features"][0] == "240 rows of 12, 4 classes"
    assert report["Near OOD"][0] == "2 sets, 70 rows"
    assert report["Mid OOD"] == ("none", "left out of the averages")
    assert (
        report["Classifier's last layer"][0]
        == report["Held-out ID"][0]
        == report["Pseudo-OOD families"][0]
        == "none"
    )
    assert "needs the classifier's head" in report["MSP is absent"][1].replace("\\", "")
    assert "no labels" in report["ID test"][1]
    wait(at, lambda page: "MoG" in ready_detectors(page))
    assert "MSP" not in ready_detectors(at)


def test_a_report_doubts_what_an_upload_takes_for_granted(served: Path, arrays: dict) -> None:
    own = {**arrays, "val_z": arrays["test_z"], "val_y": arrays["test_y"]}
    at = _upload(_detectors(), _npz({**own, "pseudo_blurry": arrays["mid_c"]}))
    report = {part: (found, so.replace("\\", "")) for part, (found, so) in _report(at).items()}
    assert report["Pseudo-OOD families"][0] == "1, 30 rows"
    assert report["Head and labels"][0].startswith("agree on")
    assert report["Head and labels"][1].startswith("Warning: one class for all would agree on 25.0")
    assert "AUROC of test against val 0.500" in report["Held-out ID and the network"][0]
    assert report["Held-out ID and the network"][1].startswith("nothing says")
    assert report["Families of no known kind"][0] == "blurry"
    assert report["Families of no known kind"][1].startswith("Warning: each counts as a kind")


def test_an_upload_on_one_page_is_there_on_the_others_until_it_is_given_back(
    served: Path, arrays: dict
) -> None:
    at = _detectors()
    _upload(at, _npz({**arrays, "far_mine": arrays["far_d"]}))
    opened(at.switch_page("threshold_lab/page.py"))
    assert "far_mine" in at.multiselect(key="sets").value
    press(at, "Back to the server's data")
    assert "far_mine" not in at.multiselect(key="sets").value


def test_a_file_that_is_taken_away_takes_its_data_with_it_and_a_wrong_one_only_its_mistake(
    served: Path, arrays: dict
) -> None:
    at = _detectors()
    _upload(at, _npz({**arrays, "far_mine": arrays["far_d"]}))
    opened(at.switch_page("threshold_lab/page.py"))
    _upload(at, b"not a zip")
    at.file_uploader(key="arrays").set_value(None)
    opened(at)
    assert not at.error
    assert "far_mine" in at.multiselect(key="sets").value
    _upload(at, _npz({**arrays, "far_other": arrays["far_d"]}))
    assert "far_other" in at.multiselect(key="sets").value
    at.file_uploader(key="arrays").set_value(None)
    opened(at)
    assert "far_other" not in at.multiselect(key="sets").value
    assert "Back to the server's data" not in offered(at)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda arrays: b"not a zip", "not a whole npz"),
        (
            lambda arrays: _npz({**arrays, "train_z": np.full_like(arrays["train_z"], np.nan)}),
            "must be finite",
        ),
        (lambda arrays: _npz({**arrays, "test_z": arrays["test_z"][:, :5]}), "12 features a row"),
        (lambda arrays: _npz({**arrays, "near_<b>x": arrays["near_a"]}), "name of a set"),
        (lambda arrays: _npz({**arrays, "far_[l](http://x)": arrays["far_d"]}), "name of a set"),
    ],
)
def test_a_file_that_is_wrong_gives_one_line_and_changes_nothing(
    served: Path, arrays: dict, wrong, words: str
) -> None:
    at = _detectors()
    report = _report(at)
    _upload(at, wrong(arrays), "my *own*.npz")
    assert len(at.error) == 1
    line = at.error[0].value
    assert words in line.replace("\\", "")
    assert r"my \*own\*.npz" in line
    assert "](" not in line
    assert "\n" not in line
    assert _report(at) == report
    _upload(at, _npz(arrays))
    assert not at.error


def test_a_pack_is_chosen_by_name_and_stays_in_the_link(served: Path) -> None:
    at = _detectors()
    assert "found in ours" in text(at)
    at.selectbox(key="pack").set_value("theirs")
    opened(at)
    assert "found in theirs" in text(at)
    assert link(at)["pack"] == "theirs"
    opened(at.switch_page("energy/page.py"))  # which shows no pack, and passes the choice on
    assert not [box for box in at.selectbox if box.key == "pack"]
    assert link(at)["pack"] == "theirs"
    opened(at.switch_page("detectors/page.py"))
    assert "found in theirs" in text(at)


@pytest.mark.parametrize(
    "name", ["../outside", "/etc", "..", ".", "theirs/../../outside", "%2e%2e/outside"]
)
def test_a_link_opens_no_folder_that_the_server_does_not_offer(
    served: Path, arrays: dict, name: str
) -> None:
    write_pack(pack_from_arrays(arrays, "outside"), served.parent / "outside")
    at = app(pack=name)
    assert "offers no pack" in at.error[0].value
    assert "ours, theirs" in at.error[0].value
    opened(at.switch_page("detectors/page.py"))
    assert "found in ours" in text(at)


def test_a_link_of_other_data_says_so_until_that_is_accepted(served: Path) -> None:
    at = opened(app(pack="theirs").switch_page("detectors/page.py"))
    assert not at.warning
    theirs = link(at)["of"]
    query = {"of": theirs, "item": "test/3", "region": "umap:1,1,2,2"}
    for _ in range(2):  # a reload says it again
        ours = _detectors(**query)
        assert "made of other data" in ours.warning[0].value
        assert not {"item", "region"} & set(link(ours))
        assert link(ours)["of"] == theirs
        query = link(ours)
    press(ours, "Go on with this data")
    assert not ours.warning
    assert link(ours)["of"] != theirs


@pytest.mark.parametrize("made_of", ["ours", "theirs"])
def test_a_threshold_is_left_out_with_all_that_belongs_to_other_data(
    served: Path, made_of: str
) -> None:
    of = link(opened(app(pack=made_of).switch_page("threshold_lab/page.py")))["of"]
    query = {"of": of, "objective": "By hand", "cut": "123456.0", "sets": "far_d"}
    at = opened(app(**query).switch_page("threshold_lab/page.py"))
    assert at.multiselect(key="sets").value == (
        ["far_d"] if made_of == "ours" else ["near_a", "near_b", "mid_c", "far_d"]
    )
    assert (at.selectbox(key="objective").value == "By hand") == (made_of == "ours")
    if made_of == "theirs":
        assert "its threshold, its choice of OOD sets" in at.warning[0].value
        assert not {"cut", "sets", "objective"} & set(link(at))


@pytest.fixture
def twins(served: Path, arrays: dict) -> Path:
    """Two packs whose names begin alike."""
    for name in ("cifar10-a", "cifar10-b"):
        write_pack(pack_from_arrays(arrays, name), served / name)
    return served


def test_packs_whose_names_begin_alike_are_other_data_to_a_link(twins: Path) -> None:
    at = opened(app(pack="cifar10-a").switch_page("detectors/page.py"))
    mine = link(at)["of"]
    same = opened(app(pack="cifar10-a", of=mine, item="test/3").switch_page("detectors/page.py"))
    assert not same.warning
    assert link(same)["item"] == "test/3"
    other = opened(app(pack="cifar10-b", of=mine, item="test/3").switch_page("detectors/page.py"))
    assert "made of other data" in other.warning[0].value
    assert "item" not in link(other)


@pytest.mark.parametrize(
    ("name", "of", "is_taken"),
    [("cifar10-b", "cifar10-", True), ("", "cifar10-", True), ("cifar10-b", "cifar100", False)],
)
def test_an_older_link_says_how_the_key_of_its_data_begins(
    twins: Path, name: str, of: str, is_taken: bool
) -> None:
    query = {"pack": name} if name else {}
    at = opened(app(**query, of=of, item="test/3").switch_page("detectors/page.py"))
    assert ("item" in link(at)) == is_taken
    assert (link(at)["of"] == of) == (not is_taken)


def test_an_older_link_does_not_count_for_another_pack_that_is_chosen_first(twins: Path) -> None:
    at = app(pack="cifar10-a", of="cifar10-", item="test/3")  # the Toy lab shows no pack
    at.session_state["pack"] = "cifar10-b"
    opened(at)
    assert link(at)["pack"] == "cifar10-b"
    opened(at.switch_page("detectors/page.py"))
    assert "made of other data" in at.warning[0].value
    assert "item" not in link(at)


def test_the_operator_names_further_folders(
    served: Path, arrays: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pack(pack_from_arrays(arrays, "lab"), tmp_path / "more" / "lab")
    write_pack(pack_from_arrays(arrays, "another of this name"), tmp_path / "more" / "ours")
    monkeypatch.setenv(PACKS_VARIABLE, f"{tmp_path / 'nowhere'}:{tmp_path / 'more'}")
    assert list(offered_packs()) == ["ours", "theirs", "lab"]
    assert offered_packs()["ours"] == served / "ours"
    assert "found in ours" in text(_detectors())


def test_a_burst_of_one_visitor_keeps_nobody_from_the_servers_pack(served: Path) -> None:
    burst = ("an address", "a browser")
    jobs = [job_queue().submit(f"link {i}", endless, burst) for i in range(50)]
    assert sum(job.was_refused for job in jobs) > 40
    at = _detectors()
    assert not at.error
    wait(at, lambda page: "MoG" in ready_detectors(page))


def test_a_refusal_is_remembered_for_nobody_and_can_be_tried_again(
    served: Path, arrays: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.pack.data.visitor", lambda: ("here", "mine"))
    jobs = [job_queue().submit(f"link {i}", endless, ("here", "mine")) for i in range(8)]
    at = _upload(_detectors(), _npz(arrays))
    assert "8 jobs are in it already" in at.error[0].value
    press(at, "Try again")
    assert at.error
    for job in jobs:
        job.cancel()
    until(lambda: all(job.over for job in jobs))
    press(at, "Try again")
    assert not at.error
    wait(at, lambda page: "MoG" in ready_detectors(page))


def test_a_failure_of_the_servers_pack_can_be_tried_again(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(job: Job) -> None:
        raise MemoryError("not enough memory")

    with monkeypatch.context() as failing:
        failing.setattr("app.pack.scores.scoring_work", lambda *settings, **more: fail)
        at = wait(_detectors(), lambda page: page.error)
    assert "not enough memory" in at.error[0].value
    assert "not enough memory" in opened(at).error[0].value  # not begun anew at each run
    wait(press(at, "Try again"), lambda page: "MoG" in ready_detectors(page))
    assert not at.error


def test_own_data_and_what_is_made_of_it_are_nobody_elses_and_go_with_the_session(
    served: Path, arrays: dict
) -> None:
    at = _upload(_detectors(), _npz(arrays))
    wait(at, lambda page: "MoG" in ready_detectors(page))
    pack_data = at.session_state["uploaded"]
    assert not [key for key in job_queue()._jobs if pack_data.key in key]
    job = next(iter(at.session_state["own_jobs"].values()))
    until(lambda job=job: job.over)
    opened(at)
    references = (
        weakref.ref(pack_data.pack),
        weakref.ref(job),
        *(weakref.ref(table) for table in pack_data.tables.values()),
    )
    assert len(references) > 2
    assert "found in ours" in text(_detectors())  # another visitor
    del pack_data, job, at
    until(lambda: _are_gone(references))


def test_a_map_of_own_data_is_its_owners_alone_and_goes_with_it(served: Path, arrays: dict) -> None:
    ann = opened(_upload(_detectors(), _npz(arrays)).switch_page("feature_map/page.py"))
    ann.segmented_control(key="layout").set_value("pca")
    press(opened(ann), "Lay them out by PCA")
    wait(ann, lambda page: "Laid out by PCA" in text(page))
    pack_data = ann.session_state["uploaded"]
    assert not [key for key in job_queue()._jobs if pack_data.key in key]
    bob = opened(
        _upload(_detectors(), _npz(arrays)).switch_page("feature_map/page.py")
    )  # the same arrays, his own
    bob.segmented_control(key="layout").set_value("pca")
    assert "Lay them out by PCA" in offered(opened(bob))
    layout_job = next(
        job for key, job in ann.session_state["own_jobs"].items() if key.startswith("map/")
    )
    references = weakref.ref(layout_job), weakref.ref(layout_job.result)
    del layout_job, pack_data, ann
    until(lambda: _are_gone(references))


def test_an_own_map_that_was_left_can_be_begun_again(
    served: Path, arrays: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.pack.layout_state.layout_work", lambda pack, method: endless)
    at = opened(_upload(_detectors(), _npz(arrays)).switch_page("feature_map/page.py"))
    press(at, "Lay them out by UMAP")
    first = next(job for key, job in at.session_state["own_jobs"].items() if key.startswith("map/"))
    press(at, "Cancel")
    until(lambda: first.over)
    press(at, "Lay them out by UMAP")
    second = next(
        job for key, job in at.session_state["own_jobs"].items() if key.startswith("map/")
    )
    assert second is not first
    press(at, "Back to the server's data")  # which ends the work
    until(lambda: second.state == "cancelled")


def test_an_upload_can_be_cancelled_while_it_is_read_and_what_was_there_stays(
    served: Path, arrays: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = _upload(_detectors(), _npz(arrays), "first.npz")
    first = at.session_state["uploaded"]
    with monkeypatch.context() as slow:
        slow.setattr("app.pack.own_data.PATIENCE_SECONDS", 0.0)
        slow.setattr(SERVER.uploads, "start_reading", lambda *arguments: _read_for_ever())
        _upload(at, _npz(arrays), "second.npz")
        bar = next(bar for bar in at.get("progress") if "second" in bar.proto.text)
        assert bar.proto.text.startswith("Reading second.npz: 50% (reading train_z)")
        assert at.session_state["uploaded"] is first
        assert "found in first" in text(at)
        work = at.session_state["own_work"]
        press(at, "Cancel")
    assert work.job.was_cancelled
    assert at.session_state["uploaded"] is first
    assert "You stopped reading second.npz." in text(at)
    assert not at.error
    press(at, "Read it after all")
    assert "found in second" in text(at)
    assert "You stopped reading" not in text(at)


def _read_for_ever() -> Job:
    def work(job: Job) -> None:
        while True:
            job.report(0.5, doing="reading train_z")
            time.sleep(0.01)

    job = SERVER.uploads.start(work, "")
    until(lambda: job.doing)
    return job
