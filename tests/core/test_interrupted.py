"""ctrl-C: what is finished is printed or kept, what is not is named, and the exit code is 130."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from heat_core.__main__ import main
from heat_core.detectors.closed_form import SSD
from heat_core.detectors.heat import EBM
from heat_core.pack import pack_from_arrays, write_pack
from heat_core.run import fit
from tests.samples import colours

Interrupt = Callable[[Callable[[Any, int], bool]], None]


@pytest.fixture
def pack(arrays: dict, tmp_path: Path) -> Path:
    write_pack(pack_from_arrays(arrays, "mine"), tmp_path / "pack")
    return tmp_path / "pack"


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Interrupt:
    """A function that says at which fits, of a detector with a seed, ctrl-C is pressed."""

    def at(is_due: Callable[[Any, int], bool], press: Callable[[], object] = _ctrl_c) -> None:
        def fit_or_stop(detector, train, seed=0, *arguments, **options):
            if is_due(detector, seed):
                press()
            return fit(detector, train, seed, *arguments, **options)

        monkeypatch.setattr("heat_core.run.fit", fit_or_stop)

    return at


def _ctrl_c() -> None:
    raise KeyboardInterrupt


def _terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("press", [_ctrl_c, _terminate])
def test_benchmark_prints_the_table_of_what_is_finished(
    press: Callable[[], object], pack: Path, interrupt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", str(pack), "--detectors", "MSP,KNN", "--json"]) == 0
    wanted = capsys.readouterr().out
    interrupt(lambda detector, seed: isinstance(detector, SSD), press)
    assert main(["benchmark", str(pack), "--detectors", "MSP,KNN,SSD,MoG", "--json"]) == 130
    output = capsys.readouterr()
    assert output.out == wanted
    last = output.err.splitlines()[-1]
    assert last == "heat_core benchmark: interrupted; not finished: SSD, MoG"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_detector_that_lacks_a_seed_is_not_finished(
    no_training: None, pack: Path, interrupt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(lambda detector, seed: isinstance(detector, EBM) and seed == 1)
    arguments = ["--detectors", "MSP,EBM", "--preset", "quick", "--seeds", "2", "--json"]
    assert main(["benchmark", str(pack), *arguments]) == 130
    output = capsys.readouterr()
    assert {row["detector"] for row in json.loads(output.out)["rows"]} == {"MSP"}
    assert output.err.splitlines()[-1].endswith("not finished: EBM")


@pytest.mark.parametrize("command", ["benchmark", "report"])
def test_where_nothing_is_finished_nothing_is_printed(
    command: str, pack: Path, interrupt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(lambda detector, seed: True)
    assert main([command, str(pack), "--detectors", "KNN,MoG"]) == 130
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == f"heat_core {command}: interrupted; not finished: KNN, MoG\n"


def test_what_failed_is_named_beside_what_is_not_finished(
    pack: Path, interrupt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise (ValueError("no room.") if len(asked) == 1 else KeyboardInterrupt)

    asked: list[Any] = []
    interrupt(lambda detector, seed: not asked.append(detector), fail)
    assert main(["benchmark", str(pack), "--detectors", "KNN,MoG"]) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("interrupted; not finished: MoG; failed: KNN (no room)")


def test_a_report_holds_the_tables_of_what_is_finished(
    pack: Path, interrupt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(lambda detector, seed: isinstance(detector, SSD))
    some = ["--detectors", "MSP,KNN,SSD,MoG,EBM,HEAT"]
    assert main(["report", str(pack), "--seeds", "1", "--preset", "quick", *some]) == 130
    output = capsys.readouterr()
    unfinished = (
        "SSD, MoG, EBM, HEAT, EBM from the features alone, HEAT from the features alone, the plane"
    )
    assert f"**Interrupted**: not finished are {unfinished}. Nothing is compared." in output.out
    assert "\n| KNN | " in output.out
    assert "| SSD |" not in output.out
    assert "## From the features alone" not in output.out
    assert "| Against |" not in output.out
    assert output.err.splitlines()[-1].endswith(f"interrupted; not finished: {unfinished}")


def test_a_report_without_its_comparisons_is_better_than_none(
    no_training: None,
    pack: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("heat_core.results.report.paired_differences", lambda *_: _ctrl_c())
    arguments = ["--seeds", "1", "--preset", "quick", "--no-plane", "--detectors", "KNN,MoG,HEAT"]
    assert main(["report", str(pack), *arguments]) == 130
    output = capsys.readouterr()
    assert "\n| HEAT | " in output.out
    assert "## From the features alone" in output.out
    assert "not finished are the comparisons" in output.out
    assert output.err.splitlines()[-1].endswith("interrupted; not finished: the comparisons")


def test_the_plane_keeps_the_trials_that_are_finished(
    no_training: None,
    pack: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from heat_core.plane import suite

    def some(seeds: int):
        yield from suite_trials((("blobs", "MoG", "quick"),), seeds=1)
        raise KeyboardInterrupt

    suite_trials = suite.trials
    monkeypatch.setattr(suite, "trials", some)
    some_detectors = ["--detectors", "KNN,HEAT"]
    assert main(["report", str(pack), "--seeds", "1", "--preset", "quick", *some_detectors]) == 130
    output = capsys.readouterr()
    assert "| blobs | MoG | quick |" in output.out
    assert output.err.splitlines()[-1].endswith("interrupted; not finished: the plane")


def test_images_are_judged_by_the_detectors_that_are_finished(
    noise_pack: Path, tmp_path: Path, interrupt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(lambda detector, seed: isinstance(detector, SSD))
    command = ["score-image", _image(tmp_path, "a.png"), "--pack", str(noise_pack), "--json"]
    assert main([*command, "--detectors", "MSP,KNN,SSD,MoG"]) == 130
    output = capsys.readouterr()
    (entry,) = json.loads(output.out)
    assert [verdict["detector"] for verdict in entry["verdicts"]] == ["MSP", "KNN"]
    assert output.err == "heat_core score-image: interrupted; not finished: SSD, MoG\n"


def test_images_that_were_judged_are_printed(
    noise_pack: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from heat_core.judge import Judge

    def judge_or_stop(judge, pixels, *arguments):
        judged.append(pixels)
        return _ctrl_c() if len(judged) == 2 else judge_image(judge, pixels, *arguments)

    judged: list[Any] = []
    judge_image = Judge.__call__
    monkeypatch.setattr(Judge, "__call__", judge_or_stop)
    paths = [_image(tmp_path, name) for name in ("a.png", "b.png", "c.png")]
    command = ["score-image", *paths, "--pack", str(noise_pack), "--detectors", "MSP", "--json"]
    assert main(command) == 130
    output = capsys.readouterr()
    assert [entry["picture"] for entry in json.loads(output.out)] == paths[:1]
    assert output.err.splitlines()[-1].endswith(f"not finished: {paths[1]}, {paths[2]}")


def _image(folder: Path, name: str) -> str:
    Image.new("RGB", (32, 32), "red").save(folder / name)
    return str(folder / name)


def test_what_goes_on_after_an_interrupt_says_so(
    tmp_path: Path,
    sheets: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(architecture, learned, held_out, checkpoint, *_):
        checkpoint.write_bytes(b"weights so far")
        raise KeyboardInterrupt

    monkeypatch.setattr("heat_core.images.classifier_training.train", stopped)
    monkeypatch.setattr("heat_core.images.datasets.read_images", lambda *_, **__: colours(30, 0))
    out = tmp_path / "network.safetensors"
    arguments = ["--root", str(sheets), "--out", str(out), "--held-out", "3"]
    assert main(["train-classifier", *arguments]) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(f"the same command goes on from {out.with_suffix('.checkpoint')}")


def test_an_interrupted_fit_writes_nothing(
    pack: Path, tmp_path: Path, interrupt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(lambda detector, seed: True)
    assert main(["fit", str(pack), "KNN", "--out", str(tmp_path / "run")]) == 130
    assert capsys.readouterr().err == "heat_core fit: interrupted\n"
    assert not (tmp_path / "run").exists()
