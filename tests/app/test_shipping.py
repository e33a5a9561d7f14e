"""Ship this: from the line on the page to files that score elsewhere."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from app.job import Job
from app.threshold_lab import shipment
from app.threshold_lab.scorer_process import numpy_scorer_files
from app.threshold_lab.shipment import Shipment, shipping_work
from heat_core.bundles import check_bundle, load_bundle
from heat_core.export import scorer_files
from heat_core.pack import pack_from_arrays, write_pack
from heat_core.run import fit
from heat_core.thresholds import ByHand, Conformal, KeepShare, PerClassConformal, Youden
from tests.app.pages import app, opened, press, text, wait

SHOWN = ("MoG", "MSP")


@pytest.fixture(autouse=True)
def scorer_made_here(request, monkeypatch):
    """The scorer comes of no process of its own, which takes seconds; on a page it is a stand-in.

    A thread must not make it: torch.export keeps state that all threads share.
    """
    if "own_process" in request.keywords:
        return
    on_page = "lab" in request.fixturenames

    def files(bundle_files, while_waiting):
        while_waiting()
        return {"score.py": b""} if on_page else made_here(bundle_files)

    monkeypatch.setattr(shipment, "numpy_scorer_files", files)


def made_here(bundle_files):
    """Returns the files of the scorer of a bundle's files."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in bundle_files.items():
            Path(folder, name).write_bytes(content)
        return scorer_files(load_bundle(Path(folder)))


@pytest.fixture
def pack(arrays):
    return pack_from_arrays(arrays, "Small: one")


def shipped(pack, detector="MoG", rule=None, ood_names=(), run=None) -> Shipment:
    job = Job("ship", shipping_work(pack, detector, rule or Conformal(0.9), ood_names, run))
    job.run()
    assert job.state == "done", job.error
    return job.result


def unpacked(file, folder):
    with zipfile.ZipFile(io.BytesIO(file.content)) as packed:
        packed.extractall(folder)
        (top,) = {name.partition("/")[0] for name in packed.namelist()}
    return folder / top


# -- the files -------------------------------------------------------------------------------------


def test_the_bundle_holds_and_the_scorer_agrees(pack, tmp_path):
    result = shipped(pack)
    assert (result.bundle.name, result.scorer.name) == (
        "MoG-Small-one.zip",
        "MoG-Small-one-numpy.zip",
    )
    bundle = load_bundle(unpacked(result.bundle, tmp_path))
    assert check_bundle(bundle, pack) == []
    assert bundle.decision == result.decision
    assert bundle.preset == "modern"
    scorer = unpacked(result.scorer, tmp_path)
    np.save(tmp_path / "rows.npy", pack.test.z.double().numpy())
    command = [sys.executable, str(scorer / "score.py"), str(tmp_path / "rows.npy")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == "row,score,p_value,threshold,is_ood,predicted"
    flagged = np.array([line.split(",")[4] == "True" for line in lines[1:]])
    decisions = bundle.decide(pack.test)
    clear = np.abs(decisions.scores - decisions.thresholds) > 1e-4  # the scorer is more precise
    assert clear.sum() >= len(clear) - 1  # all but the row whose score is the threshold
    assert np.array_equal(flagged[clear], decisions.is_ood[clear])


@pytest.mark.own_process
def test_the_scorer_is_made_by_a_process_that_a_cancel_ends(pack):
    job = Job("ship", shipping_work(pack, "MoG", Conformal(0.9)))
    report = job.report

    def cancelled(progress, frame=None, doing=""):
        if doing == "making the NumPy scorer":
            job.cancel()
        report(progress, frame, doing)

    job.report = cancelled
    job.run()
    assert job.state == "cancelled"


@pytest.mark.own_process
def test_the_process_makes_the_same_scorer(pack, tmp_path):
    result = shipped(pack)
    bundle = unpacked(result.bundle, tmp_path)
    with zipfile.ZipFile(io.BytesIO(result.scorer.content)) as packed:
        made = {Path(name).name: packed.read(name) for name in packed.namelist()}
    assert made == made_here({path.name: path.read_bytes() for path in bundle.iterdir()})


@pytest.mark.own_process
def test_what_the_process_refuses_is_one_line():
    with pytest.raises(ValueError, match=r"^.*decision\.json.*$"):
        numpy_scorer_files({"run.json": b"{}"}, lambda: None)


def test_the_report_is_of_the_bundle_and_opens_the_view(pack):
    result = shipped(pack)
    page = result.report("http://here/threshold_lab?scorer=MoG&keep=90")
    assert "<h1>MoG on Small: one</h1>" in page
    assert 'href="http://here/threshold_lab?scorer=MoG&amp;keep=90"' in page
    assert "Open this view" not in result.report("")


def test_the_same_is_packed_alike(pack):
    assert shipped(pack).scorer.content == shipped(pack).scorer.content


def test_a_rule_reads_the_sets_that_count_and_no_others(pack, tmp_path):
    bundle = load_bundle(
        unpacked(shipped(pack, rule=Youden(), ood_names=("far_d",)).bundle, tmp_path)
    )
    assert {group: list(sets) for group, sets in bundle.calibration.outside.items()} == {
        "far": ["d"]
    }
    bundle = load_bundle(
        unpacked(shipped(pack, rule=KeepShare(), ood_names=("far_d",)).bundle, tmp_path / "keep")
    )
    assert bundle.calibration.outside == {}
    assessment = bundle.decision.assessment
    assert assessment is not None
    assert list(assessment.caught_by_set["far"]) == ["d"]


def test_a_hand_and_thresholds_by_class_are_shipped(pack, tmp_path):
    by_hand = load_bundle(unpacked(shipped(pack, rule=ByHand(1.25)).bundle, tmp_path / "hand"))
    assert by_hand.decision.threshold == 1.25
    by_class = load_bundle(
        unpacked(shipped(pack, rule=PerClassConformal(0.5)).bundle, tmp_path / "class")
    )
    assert set(by_class.decision.by_class) == {1, 2}  # the classes that the head predicts


def test_a_run_that_was_kept_is_not_fitted_again(pack, monkeypatch):
    from heat_core.detectors.closed_form import MoG

    run = fit(MoG(), pack.train)
    monkeypatch.setattr("heat_core.run.fit", None)
    assert shipped(pack, run=run).bundle.content


def test_what_cannot_be_made_says_why(pack, monkeypatch):
    monkeypatch.setattr(shipment, "MAX_FILE_MB", 0.001)
    result = shipped(pack)
    assert result.bundle.content == b""
    assert re.match(
        r"It would hold \d+ MB, and a page gives 0.001 at most", result.bundle.missing_reason
    )
    job = Job("ship", shipping_work(pack, "MoG", Conformal(0.999)))
    job.run()
    assert job.state == "failed"
    assert "999" in job.error


# -- the page --------------------------------------------------------------------------------------


@pytest.fixture
def lab(few_detectors, monkeypatch, tmp_path, arrays):
    """Opens the Threshold lab on a small pack."""
    write_pack(pack_from_arrays(arrays, "Small"), tmp_path / "packs" / "small")
    monkeypatch.setattr("app.pack.data.PACKS", tmp_path / "packs")

    def open_lab(**link):
        at = app(scorer="MoG", **link)
        at.switch_page("threshold_lab/page.py")
        return wait(opened(at), lambda at: any(b.label == "Ship this" for b in at.button))

    return open_lab


def downloads(at):
    """Returns the labels of the files to download."""
    return [button.proto.label.partition(" (")[0] for button in at.get("download_button")]


def shipped_page(at):
    return wait(press(at, "Ship this"), downloads)


def test_what_is_on_the_page_is_shipped(lab):
    at = shipped_page(lab(objective="By hand", cut="1.0"))
    assert "MoG with its threshold, 1, ready to ship" in text(at)
    assert "It parts the scores of this page as the line does." in text(at)
    assert downloads(at) == ["Bundle", "NumPy scorer", "Report"]
    assert "heat score MoG-Small features.parquet" in at.code[0].value


def test_another_line_is_shipped_anew(lab):
    at = shipped_page(lab(objective="By hand", cut="1.0"))
    at.number_input(key="cut").set_value(2.0)
    opened(at)
    assert not downloads(at)
    assert any(button.label == "Ship this" for button in at.button)


def test_a_threshold_chosen_on_half_says_so(lab):
    at = shipped_page(lab())
    assert "It was chosen on 30 scores, so that others can judge it" in text(at)


def test_a_refusal_is_one_line_and_can_be_tried_again(lab):
    at = lab(objective="Keep at least a share of ID (conformal)", keep="97")
    press(at, "Ship this")
    wait(at, lambda at: any(button.label == "Try again" for button in at.button))
    assert len([error for error in at.error if "97" in error.value]) == 1
