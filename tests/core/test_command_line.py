"""Every command, in process: what it prints, what it writes, and what it refuses in one line."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from heat_core.__main__ import main, parser
from heat_core.detectors.closed_form import KNN, SSD, MoG
from heat_core.detectors.heat import EBM
from heat_core.detectors.presets import DETECTORS, preset_detector
from heat_core.features import Features, write_features
from heat_core.metrics import separation
from heat_core.pack import read_pack
from heat_core.run import Run, fit

Arrays = dict[str, np.ndarray]
COMMANDS = [
    "list",
    "toy",
    "fetch",
    "train-classifier",
    "finetune",
    "extract",
    "project",
    "pack",
    "benchmark",
    "report",
    "score-image",
    "fit",
    "score",
    "decide",
    "check",
    "export",
    "watch",
    "serve",
    "app",
]
QUICK = "MSP,Energy,KNN,SSD,MoG"


@pytest.fixture
def npz(tmp_path: Path, arrays: Arrays) -> Path:
    np.savez(tmp_path / "mine.npz", **arrays)
    return tmp_path / "mine.npz"


@pytest.fixture
def pack(tmp_path: Path, npz: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["pack", str(npz), "--out", str(tmp_path / "pack")]) == 0
    capsys.readouterr()
    return tmp_path / "pack"


@pytest.fixture
def refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that runs a command, and checks that it is refused.

    Exit code 2, one line on standard error, and nothing written.
    """

    def run(*arguments: object) -> str:
        capsys.readouterr()
        before = contents(tmp_path)
        assert main([str(a) for a in arguments]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith(f"heat_core {arguments[0]}: ")
        assert output.err.count("\n") == 1
        assert "Traceback" not in output.err
        assert contents(tmp_path) == before
        return output.err

    return run


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


# -- help ------------------------------------------------------------------------------------------


def test_every_command_is_tested_here() -> None:
    assert set(COMMANDS) == set(parser()._subparsers._group_actions[0].choices)  # type: ignore[union-attr]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_that_parses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    example = capsys.readouterr().out.partition("example: python -m heat_core ")[2]
    assert parser().parse_args(example.split()).command == command


# -- list, toy -------------------------------------------------------------------------------------


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    names = json.loads(capsys.readouterr().out)
    assert list(names["detectors"]) == list(DETECTORS)
    assert {"crosses9", "checkerboard"} <= set(names["toys"])
    assert {"cifar10", "mnist"} <= set(names["datasets"])
    assert main(["list"]) == 0
    output = capsys.readouterr().out
    assert all(name in output for kind in names.values() for name in kind)


def test_toy_answers_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["toy", "blobs", "MoG", "--preset", "quick", "--seed", "3", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {"kl", "tv", "jsd", "modes", "modes_total", "seconds", "kl_mog"} <= set(answer)
    assert answer["kl"] == pytest.approx(answer["kl_mog"])
    assert (answer["modes_kept"], answer["modes_total"]) == (4, 4)
    assert answer["modes"] == answer["modes_kept"]
    assert answer["missed"] == answer["mass_beyond_grid"]
    assert answer["seed"] == 3
    assert main(["toy", "blobs", "SSD"]) == 0
    assert "KL(true || model)" in capsys.readouterr().out


# -- pack, benchmark -------------------------------------------------------------------------------


def test_a_pack_of_ones_own(
    npz: Path, tmp_path: Path, arrays: Arrays, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pack", str(npz), "--out", str(tmp_path / "a" / "b")]) == 0
    assert "240 x 12" in capsys.readouterr().out
    pack = read_pack(tmp_path / "a" / "b")
    assert np.array_equal(pack.train.z.numpy(), arrays["train_z"])
    assert pack.title == "mine"


def test_of_two_packs_made_at_once_the_later_fails_and_leaves_the_first(
    npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from heat_core import pack as module
    from heat_core import pack_files

    out = tmp_path / "mine"

    def while_another_writes(*arguments: Any, **options: Any) -> module.Pack:
        pack = pack_from_files(*arguments, **options)
        module.write_pack(replace(pack, card={"title": "first"}), out)
        return pack

    pack_from_files = pack_files.pack_from_files
    monkeypatch.setattr(pack_files, "pack_from_files", while_another_writes)
    assert main(["pack", str(npz), "--out", str(out)]) == 2
    assert "mine exists by now: something else wrote it meanwhile" in capsys.readouterr().err
    assert module.read_pack(out).title == "first"


def test_benchmark_prints_the_agreed_json_and_nothing_else(
    pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", str(pack), "--detectors", QUICK, "--json"]) == 0
    output = capsys.readouterr()
    table = json.loads(output.out)
    assert set(table) == {"rows", "averages"}
    assert all(
        list(row) == ["detector", "set", "group", "n", "auroc", "fpr95", "fpr95_ood", "aupr"]
        for row in table["rows"]
    )
    assert all(
        list(entry) == ["detector", "group", "auroc", "fpr95"] for entry in table["averages"]
    )
    sets = [("a", "near", 40), ("b", "near", 30), ("c", "mid", 30), ("d", "far", 50)]
    assert [(r["detector"], r["set"], r["group"], r["n"]) for r in table["rows"]] == [
        (name, *entry) for name in QUICK.split(",") for entry in sets
    ]
    assert [(a["detector"], a["group"]) for a in table["averages"]] == [
        (name, group) for name in QUICK.split(",") for group in ("near", "mid", "far", "average")
    ]
    figures = [
        entry[key] for entry in table["rows"] + table["averages"] for key in ("auroc", "fpr95")
    ]
    assert all(0 <= figure <= 1 for figure in figures)


def test_averages_are_over_sets_and_then_over_groups(
    pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", str(pack), "--detectors", "KNN", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    for key in ("auroc", "fpr95"):
        figure = {row["set"]: row[key] for row in table["rows"]}
        near = (figure["a"] + figure["b"]) / 2
        wanted = {
            "near": near,
            "mid": figure["c"],
            "far": figure["d"],
            "average": (near + figure["c"] + figure["d"]) / 3,
        }
        assert {a["group"]: a[key] for a in table["averages"]} == pytest.approx(wanted)


def test_the_benchmark_is_the_metrics_of_the_scores(
    pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", str(pack), "--detectors", "MoG", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][-1]
    data = read_pack(pack)
    run = fit(MoG(), data.train)
    expected = separation(run.score(data.test), run.score(data.ood["far", "d"]))
    assert (row["auroc"], row["fpr95"]) == (expected.auroc, expected.fpr95)
    assert (row["fpr95_ood"], row["aupr"]) == (expected.fpr95_ood, expected.aupr)


def test_the_same_seed_prints_the_same_table(
    no_diagnosis: None, short_training: None, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = []
    for _ in range(2):
        assert (
            main(
                [
                    "benchmark",
                    str(pack),
                    "--detectors",
                    "HEAT",
                    "--preset",
                    "quick",
                    "--seed",
                    "1",
                    "--json",
                ]
            )
            == 0
        )
        output.append(capsys.readouterr().out)
    assert output[0] == output[1]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("--markdown", ["| Detector |", "| KNN |", "FPR95 (OOD+)"]),
        ("--latex", [r"\begin{tabular}", r"KNN &", r"\bottomrule"]),
    ],
)
def test_benchmark_prints_tables(
    form: str, words: list[str], pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", str(pack), "--detectors", "KNN,MSP", form]) == 0
    output = capsys.readouterr().out
    assert all(word in output for word in words)
    assert main(["benchmark", str(pack), "--detectors", "KNN"]) == 0
    assert "AUROC" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["--markdown", "--latex", ""])
def test_every_figure_is_printed_of_sets_groups_and_all(
    form: str, tmp_path: Path, arrays: Arrays, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = {key.replace("near_a", "near_a_b"): value for key, value in arrays.items()}
    np.savez(tmp_path / "mine.npz", **renamed)
    assert main(["pack", str(tmp_path / "mine.npz"), "--out", str(tmp_path / "mine")]) == 0
    capsys.readouterr()
    assert (
        main(["benchmark", str(tmp_path / "mine"), "--detectors", "SSD", *filter(None, [form])])
        == 0
    )
    output = capsys.readouterr().out.replace("|", " ").replace("&", " ").replace(r" \\", "")
    lines = [line.split() for line in output.splitlines()]
    full = [line for line in lines if line[:1] == ["SSD"] and "/" not in line]
    first = r"a\_b" if form == "--latex" else "a_b"
    assert [line[1:3] for line in full] == [
        [first, "near"],
        ["b", "near"],
        ["c", "mid"],
        ["d", "far"],
        *(["mean", g] for g in ("near", "mid", "far", "average")),
    ]
    figures = np.array([[float(cell) for cell in line[-4:]] for line in full])
    assert figures[4] == pytest.approx(figures[:2].mean(0), abs=0.11)
    assert figures[7] == pytest.approx(figures[4:7].mean(0), abs=0.11)


def test_without_a_head_the_logit_detectors_are_absent_and_say_why(
    tmp_path: Path,
    arrays: Arrays,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.savez(
        tmp_path / "headless.npz",
        **{key: a for key, a in arrays.items() if key not in ("weight", "bias")},
    )
    assert main(["pack", str(tmp_path / "headless.npz"), "--out", str(tmp_path / "headless")]) == 0
    assert "all else of the logits need weight and bias" in capsys.readouterr().out
    monkeypatch.setattr(
        "heat_core.detectors.presets.DETECTORS",
        {k: v for k, v in DETECTORS.items() if not preset_detector(k).trains},
    )
    assert main(["benchmark", str(tmp_path / "headless"), "--json"]) == 0
    output = capsys.readouterr()
    assert {row["detector"] for row in json.loads(output.out)["rows"]} == {
        "KNN",
        "SSD",
        "MoG",
        "RMD",
        "RMD++",
        "Radial",
        "MoG-full",
    }
    for name in ("MSP", "Energy", "SCALE", "ViM"):
        assert (
            f"{name} is left out: {name} needs the classifier's head (weight and bias)"
            in output.err
        )


def test_what_heats_prior_goes_without_is_said(
    no_training: None, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = (
        "HEAT's prior is MoG and Energy: there is no std-pooled view and no score of an earlier "
        "layer."
    )
    run = tmp_path / "run"
    assert main(["fit", str(pack), "HEAT", "--preset", "quick", "--out", str(run)]) == 0
    assert said in capsys.readouterr().out
    command = ["benchmark", str(pack), "--detectors", "MoG,HEAT,HEAT-GMM", "--preset", "quick"]
    assert main(command) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines if said in line] == ["HEAT"]
    far = pack / "far_d.safetensors"
    assert main(["score", str(run), str(far), "--out", str(tmp_path / "s.csv")]) == 0
    assert "50 scores of HEAT; larger" in capsys.readouterr().out


# -- a detector that fails ------------------------------------------------------------------------


def fails_at(seed: int, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every fit of SSD fail, and those of the EBM with this seed."""

    def fit_or_fail(detector, train, at=0, *arguments, **options):
        if isinstance(detector, SSD) or (isinstance(detector, EBM) and at == seed):
            raise error
        return fit(detector, train, at, *arguments, **options)

    monkeypatch.setattr("heat_core.run.fit", fit_or_fail)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("wanted more rows.\nMany more."), "wanted more rows. Many more"),
        (torch.linalg.LinAlgError("singular"), "_LinAlgError: singular"),
        (KeyError("std"), "KeyError: 'std'"),
        (MemoryError("Unable to allocate 7.45 GiB for an array"), "no 7.45 GiB to be had"),
    ],
)
def test_one_detector_that_fails_leaves_the_table_of_the_others(
    error: Exception,
    reason: str,
    pack: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["benchmark", str(pack), "--detectors", "KNN,MoG", "--json"]) == 0
    wanted = capsys.readouterr().out
    fails_at(0, error, monkeypatch)
    assert main(["benchmark", str(pack), "--detectors", "KNN,SSD,MoG", "--json"]) == 3
    output = capsys.readouterr()
    assert output.out == wanted
    last = output.err.splitlines()[-1]
    assert last.startswith("heat_core benchmark: failed: SSD (")
    assert reason in last
    assert "Traceback" not in output.err


def test_a_detector_that_fails_at_a_later_seed_is_left_out_of_all(
    pack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails_at(6, ArithmeticError("training left what numbers can hold"), monkeypatch)
    arguments = ["--detectors", "MSP,EBM", "--preset", "quick", "--seed", "5", "--seeds", "2"]
    assert main(["benchmark", str(pack), *arguments, "--json"]) == 3
    output = capsys.readouterr()
    assert {row["detector"] for row in json.loads(output.out)["rows"]} == {"MSP"}
    assert "EBM (training left" in output.err


def test_scores_that_are_no_numbers_fail_their_detector_alone(
    pack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def score(run, features):
        values = scores_of(run, features)
        return values * np.nan if isinstance(run.detector, MoG) and len(features) == 50 else values

    scores_of = Run.score
    monkeypatch.setattr("heat_core.run.Run.score", score)
    assert main(["benchmark", str(pack), "--detectors", "MoG,KNN", "--json"]) == 3
    output = capsys.readouterr()
    assert {row["detector"] for row in json.loads(output.out)["rows"]} == {"KNN"}
    assert "MoG (far_d must hold finite scores, got nan at 0 (50 in all))" in output.err


def test_where_every_detector_fails_nothing_is_printed(
    pack: Path, monkeypatch: pytest.MonkeyPatch, refuses: Callable[..., str]
) -> None:
    fails_at(0, ValueError("too few rows."), monkeypatch)
    assert "SSD (too few rows)" in refuses("benchmark", pack, "--detectors", "SSD", "--json")


def test_a_report_names_what_failed(
    no_training: None,
    pack: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fails_at(0, ValueError("no room."), monkeypatch)
    arguments = ["--seeds", "1", "--preset", "quick", "--no-plane"]
    arguments += ["--detectors", "KNN,SSD,MoG,EBM,HEAT"]
    assert main(["report", str(pack), *arguments]) == 3
    output = capsys.readouterr()
    assert "**SSD failed**: no room." in output.out
    assert "**EBM from the features alone failed**: no room." in output.out
    assert "| MoG |" in output.out
    assert "| SSD |" not in output.out
    assert "failed: SSD (no room)" in output.err.splitlines()[-1]


def test_a_report_can_be_of_some_detectors(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--detectors", "GEN,RMD", "--seeds", "1", "--no-plane"]
    assert main(["report", str(pack), *arguments]) == 0
    page = capsys.readouterr().out
    assert "| GEN |" in page
    assert "| MoG |" not in page
    assert "From the features alone" not in page
    assert "--seeds 1 --detectors GEN,RMD --no-plane`" in page


def test_a_report_names_the_seed_and_the_command_that_it_was_made_by(
    no_training: None, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--seeds", "2", "--preset", "quick", "--seed", "5"]
    words += ["--detectors", "MoG,HEAT-GMM", "--no-plane"]
    assert main(["report", str(pack), *words]) == 0
    page = capsys.readouterr().out
    assert f"`python -m heat_core report {pack} {' '.join(words)}`" in page
    assert re.search(r"The seed on which HEAT-GMM does worst \([56]\), in points", page)


# -- fit, score ------------------------------------------------------------------------------------


@pytest.mark.parametrize("detector", ["KNN", "HEAT"])
def test_fit_then_score(
    detector: str,
    short_training: None,
    pack: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, run = tmp_path / "deep" / "scores.parquet", tmp_path / "run"
    assert main(["fit", str(pack), detector, "--preset", "quick", "--out", str(run)]) == 0
    assert main(["score", str(run), str(pack / "far_d.safetensors"), "--out", str(out)]) == 0
    assert "larger is more out-of-distribution" in capsys.readouterr().out
    again = ["score", str(run), str(pack / "far_d.safetensors"), "--out", str(out)]
    assert main(again) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*again, "--overwrite"]) == 0
    table = pd.read_parquet(out)
    assert list(table.columns) == ["row", "score"]
    assert list(table["row"]) == list(range(50))
    assert table["score"].dtype == np.float64
    if detector == "KNN":
        data = read_pack(pack)
        assert np.array_equal(table["score"], fit(KNN(), data.train).score(data.ood["far", "d"]))


def test_fit_says_what_it_chose(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(pack), "SCALE", "--out", str(tmp_path / "run")]) == 0
    output = capsys.readouterr().out
    assert "no destroyed ID images to choose by: percentile 65." in output


def test_a_detector_that_cannot_read_the_features_is_left_out(
    arrays: Arrays, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = {key: value - 1.0 if "z" in key else value for key, value in arrays.items()}
    np.savez(tmp_path / "moved.npz", **moved)
    assert main(["pack", str(tmp_path / "moved.npz"), "--out", str(tmp_path / "moved")]) == 0
    arguments = ["benchmark", str(tmp_path / "moved"), "--detectors"]
    assert main([*arguments, "SCALE,KNN"]) == 2
    assert "SCALE needs features of 0 or more" in capsys.readouterr().err


def test_score_reads_an_npz_and_keeps_where_rows_come_from(
    pack: Path, tmp_path: Path, far: Features
) -> None:
    run = tmp_path / "run"
    assert main(["fit", str(pack), "MoG", "--out", str(run)]) == 0
    np.savez(tmp_path / "far.npz", z=far.z.numpy())
    write_features(
        Features(far.z, index=torch.arange(50) * 2, source="svhn/test"),
        tmp_path / "far.safetensors",
    )
    for name in ("far.npz", "far.safetensors"):
        assert (
            main(
                [
                    "score",
                    str(run),
                    str(tmp_path / name),
                    "--out",
                    str(tmp_path / f"{name}.parquet"),
                ]
            )
            == 0
        )
    plain, with_source = (
        pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("far.npz", "far.safetensors")
    )
    assert np.array_equal(plain["score"], with_source["score"])
    assert list(with_source["index"]) == list(range(0, 100, 2))
    assert set(with_source["source"]) == {"svhn/test"}


def test_a_csv_is_one_and_another_suffix_is_refused(
    pack: Path, tmp_path: Path, far: Features, refuses: Callable[..., str]
) -> None:
    run, test = tmp_path / "run", pack / "far_d.safetensors"
    assert main(["fit", str(pack), "MoG", "--out", str(run)]) == 0
    for name in ("s.csv", "s.parquet"):
        assert main(["score", str(run), str(test), "--out", str(tmp_path / name)]) == 0
    table = pd.read_csv(tmp_path / "s.csv")
    pd.testing.assert_frame_equal(table, pd.read_parquet(tmp_path / "s.parquet"))
    endings = "--out must end in .parquet, .csv, .jsonl, or"
    other = refuses("score", run, test, "--out", tmp_path / "s.xlsx")
    assert f"{endings} be a folder's name; got s.xlsx" in other
    none = refuses("score", run, test, "--out", tmp_path / "scores")
    assert f"{endings} --format say what it holds; got scores" in none
    network = refuses("train-classifier", "--root", tmp_path, "--out", tmp_path / "w.pt")
    assert "--out must end in .safetensors, got w.pt" in network


# -- what is assumed is said -----------------------------------------------------------------------


def test_what_a_pack_rests_on_is_said_where_it_is_made_and_doubts_where_it_is_used(
    tmp_path: Path, arrays: Arrays, capsys: pytest.CaptureFixture[str]
) -> None:
    means = [arrays["train_z"][arrays["train_y"] == label].mean(0) for label in range(4)]
    own_head = {
        "weight": np.stack(means),
        "bias": -np.square(means).sum(1) / 2,
        "pseudo_blurry": arrays["mid_c"],
    }
    np.savez(tmp_path / "good.npz", **arrays | own_head)
    swapped = arrays | own_head | {"weight": own_head["weight"][::-1]}
    del swapped["pseudo_blurry"]
    np.savez(tmp_path / "swapped.npz", **swapped)
    lines = {}
    for name in ("good", "swapped"):
        out = tmp_path / name
        assert main(["pack", str(tmp_path / f"{name}.npz"), "--out", str(out)]) == 0
        made = capsys.readouterr().err
        assert main(["benchmark", str(out), "--detectors", "MSP", "--json"]) == 0
        used = capsys.readouterr().err
        assert main(["fit", str(out), "MoG", "--out", str(tmp_path / f"run {name}")]) == 0
        lines[name] = (made, used, capsys.readouterr().err)
    made, used, fitted = lines["good"]
    assert "Head and labels: agree on 100.0 % of 240 training rows." in made
    assert all("Warning: Families of no known kind: blurry;" in line for line in lines["good"])
    assert "Head and labels" not in used + fitted
    for line in lines["swapped"]:
        assert "Warning: Head and labels: agree on" in line
        assert "labels are numbered otherwise" in line


# -- bad input -------------------------------------------------------------------------------------

BAD_ARRAYS: dict[str, tuple[Callable[[Arrays], Arrays], str]] = {
    "nan": (lambda a: a | {"train_z": a["train_z"] * np.nan}, "train_z"),
    "inf": (lambda a: a | {"near_a": a["near_a"] + np.inf}, "near_a"),
    "rank": (lambda a: a | {"test_z": a["test_z"][0]}, "(N, d)"),
    "label": (lambda a: a | {"train_y": a["train_y"] + 9}, "0..3"),
    "one class": (lambda a: a | {"train_y": a["train_y"] * 0}, "at least 2 classes"),
    "half a head": (
        lambda a: {key: value for key, value in a.items() if key != "bias"},
        "come together",
    ),
    "missing": (lambda a: {key: value for key, value in a.items() if key != "test_z"}, "test_z"),
    "unknown": (lambda a: a | {"what": a["test_z"]}, "'what'"),
    "two lines": (lambda a: a | {"wh\nat": a["test_z"]}, "unknown array"),
    "folder": (lambda a: a | {"near_../../x": a["near_a"]}, "near_../../x"),
    "pickle": (lambda a: a | {"near_a": np.array([{}], dtype=object)}, "pickle"),
    "complex": (lambda a: a | {"near_a": a["near_a"] * 1j}, "complex"),
}


@pytest.mark.parametrize("kind", BAD_ARRAYS)
def test_bad_arrays_are_refused(
    kind: str, tmp_path: Path, arrays: Arrays, refuses: Callable[..., str]
) -> None:
    change, word = BAD_ARRAYS[kind]
    np.savez(tmp_path / "bad.npz", **change(arrays))
    output = refuses("pack", tmp_path / "bad.npz", "--out", tmp_path / "out")
    assert word in output
    assert "bad.npz" in output


def test_files_that_are_no_npz_are_refused(
    tmp_path: Path, npz: Path, refuses: Callable[..., str]
) -> None:
    (tmp_path / "cut.npz").write_bytes(npz.read_bytes()[:-100])
    (tmp_path / "text.npz").write_text("z\n1\n")
    assert "not a whole npz" in refuses("pack", tmp_path / "cut.npz", "--out", tmp_path / "out")
    assert "not a whole npz" in refuses("pack", tmp_path / "text.npz", "--out", tmp_path / "out")
    assert "no such file" in refuses("pack", tmp_path / "none.npz", "--out", tmp_path / "out")
    assert "no such file" in refuses("pack", tmp_path, "--out", tmp_path / "out")


def test_nothing_is_replaced_unasked(
    npz: Path, pack: Path, tmp_path: Path, refuses: Callable[..., str]
) -> None:
    assert "--overwrite" in refuses("pack", npz, "--out", pack)
    assert "--overwrite" in refuses("fit", pack, "MoG", "--out", pack)
    assert main(["pack", str(npz), "--out", str(pack), "--overwrite"]) == 0
    assert main(["fit", str(pack), "MoG", "--out", str(tmp_path / "run")]) == 0
    assert main(["fit", str(pack), "SSD", "--out", str(tmp_path / "run"), "--overwrite"]) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["detector"]["kind"] == "SSD"


def test_overwrite_replaces_only_what_is_ours(
    npz: Path, pack: Path, tmp_path: Path, refuses: Callable[..., str]
) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.tex").write_text("years of work")
    (tmp_path / "scorer").mkdir()
    (tmp_path / "scorer" / "card.json").write_text('{"format": "heat-scorer"}')
    for target in (tmp_path / "papers", npz, tmp_path / "scorer"):
        assert "neither a pack nor a run" in refuses("pack", npz, "--out", target, "--overwrite")
        assert "neither a pack nor a run" in refuses(
            "fit", pack, "MoG", "--out", target, "--overwrite"
        )


def test_bad_packs_are_refused(
    npz: Path, pack: Path, tmp_path: Path, refuses: Callable[..., str]
) -> None:
    for folder in (tmp_path / "none", npz, tmp_path):
        assert "not a pack" in refuses("benchmark", folder)
        assert "not a pack" in refuses("fit", folder, "MoG", "--out", tmp_path / "run")
    assert "detector must be one of MSP" in refuses("benchmark", pack, "--detectors", "KNN,Odin")
    assert "detector must be one of MSP" in refuses("fit", pack, "Odin", "--out", tmp_path / "run")
    assert "preset must be one of" in refuses("benchmark", pack, "--preset", "best")
    (pack / "far_d.safetensors").write_bytes(b"\0" * 20)
    assert "far_d.safetensors" in refuses("benchmark", pack, "--json")
    card = (pack / "card.json").read_text()
    (pack / "card.json").write_text(card.replace('"version": "1"', '"version": "7"'))
    assert "version 7" in refuses("benchmark", pack, "--json")


def test_fewer_rows_than_k_are_refused(
    tmp_path: Path, arrays: Arrays, refuses: Callable[..., str]
) -> None:
    few = arrays | {"train_z": arrays["train_z"][:40], "train_y": arrays["train_y"][:40]}
    np.savez(tmp_path / "few.npz", **few)
    assert main(["pack", str(tmp_path / "few.npz"), "--out", str(tmp_path / "few")]) == 0
    wanted = "KNN needs at least k = 50 training rows, got 40."
    assert wanted in refuses("fit", tmp_path / "few", "KNN", "--out", tmp_path / "run")
    assert wanted in refuses("benchmark", tmp_path / "few", "--detectors", "MoG,KNN", "--json")


def test_logit_detectors_without_a_head_are_refused_when_asked_for(
    tmp_path: Path, arrays: Arrays, refuses: Callable[..., str]
) -> None:
    np.savez(
        tmp_path / "h.npz", **{key: a for key, a in arrays.items() if key not in ("weight", "bias")}
    )
    assert main(["pack", str(tmp_path / "h.npz"), "--out", str(tmp_path / "h")]) == 0
    assert "needs the classifier's head" in refuses(
        "benchmark", tmp_path / "h", "--detectors", "MSP,KNN"
    )
    assert "needs the classifier's head" in refuses(
        "fit", tmp_path / "h", "Energy", "--out", tmp_path / "run"
    )


def test_bad_runs_and_features_are_refused(
    pack: Path, tmp_path: Path, refuses: Callable[..., str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "scores.parquet"
    assert main(["fit", str(pack), "MoG", "--out", str(run)]) == 0
    test = pack / "test.safetensors"
    assert "not a readable run" in refuses("score", pack, test, "--out", out)
    assert "not a readable run" in refuses("score", tmp_path / "none", test, "--out", out)
    assert "no such file" in refuses("score", run, tmp_path / "none.npz", "--out", out)
    np.savez(tmp_path / "narrow.npz", z=np.ones((2, 3)))
    assert "must have 12 columns" in refuses("score", run, tmp_path / "narrow.npz", "--out", out)
    np.savez(tmp_path / "pack.npz", train_z=np.ones((2, 12)))
    assert "wanted an array z, got train_z" in refuses(
        "score", run, tmp_path / "pack.npz", "--out", out
    )
    (tmp_path / "cut.safetensors").write_bytes(test.read_bytes()[:-1])
    assert "not a whole safetensors" in refuses(
        "score", run, tmp_path / "cut.safetensors", "--out", out
    )
    refuses("score", run, test, "--out", run)  # a folder is in the way
    (run / "energy.safetensors").write_bytes((run / "energy.safetensors").read_bytes()[:-3])
    assert "not a readable run" in refuses("score", run, test, "--out", out)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["toy", "star", "MoG"], "toy must be one of cross"),
        (["toy", "cross", "GAN"], "detector must be one of MSP"),
        (["toy", "cross", "ODIN"], "2D toy does not have"),
        (["toy", "cross", "MSP"], "2D toy does not have"),
        (["toy", "cross", "MoG", "--preset", "slow"], "preset must be one of"),
        (["toy", "cross", "MoG", "--device", "abacus"], "device"),
    ],
)
def test_unknown_names_are_refused(
    arguments: list[str], word: str, refuses: Callable[..., str]
) -> None:
    assert word in refuses(*arguments)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (
            ["toy", "cross", "MoG", "--seed", str(10**400)],
            "--seed: wanted a whole number from 0 to",
        ),
        (["toy", "cross", "MoG", "--seed", str(2**63)], "4,294,967,295, got '9223372036854775808'"),
        (["toy", "cross", "MoG", "--seed", "-1"], "got '-1'"),
        (["benchmark", "PACK", "--seeds", "0"], "--seeds: wanted a whole number from 1 to 1,000"),
        (["benchmark", "PACK", "--seeds", str(10**12)], "got '1000000000000'"),
        (["benchmark", "PACK", "--seed", str(2**32 - 1), "--seeds", "2"], "got 4294967296"),
        (["benchmark", "PACK", "--detectors", ","], "--detectors must name at least one"),
        (["score-image", "a.png", "--pack", "PACK", "--keep", "0.95"], "in percent, such as 95"),
        (["score-image", "a.png", "--pack", "PACK", "--keep", "nan"], "wanted percent"),
        (["project", "PACK", "--method", "tsne"], "method must be one of umap, pca"),
        (["app", "--port", "99999"], "--port: wanted a whole number from 1 to 65,535"),
        (["fit", "PACK", "MoG"], "--out"),
        (["score", "FILE", "PACK", "--out", "s.csv"], "is not a readable run: wanted a folder"),
        (["score", "PACK", "FILE", "--out", "s.csv"], "is not a readable run: wanted a folder"),
        (["pack", "PACK", "--out", "out"], "no such file (it is a folder)"),
        (["pack", "FILE", "--out", "FILE/out"], "mine.npz is no folder"),
        (["fetch", "svhn", "--root", "FILE"], "mine.npz is no folder"),
        (
            ["extract", "--weights", "FILE", "--root", ".", "--out", "out"],
            "not a whole safetensors",
        ),
        (["extract", "--weights", "FILE", "--root", ".", "--out", "out", "--ood", ","], "OOD set"),
        (
            ["extract", "--weights", "w", "--root", ".", "--out", "o", "--id", "lsun"],
            "lsun has val",
        ),
    ],
)
def test_odd_arguments_are_refused_in_the_words_of_who_gave_them(
    arguments: list[str],
    word: str,
    npz: Path,
    pack: Path,
    monkeypatch: pytest.MonkeyPatch,
    refuses: Callable[..., str],
) -> None:
    monkeypatch.chdir(npz.parent)
    places = {"PACK": str(pack), "FILE": str(npz), "FILE/out": str(npz / "out")}
    line = refuses(*(places.get(word, word) for word in arguments))
    assert word in line
    assert "Errno" not in line
    assert len(line) < 500


def test_ctrl_c_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("heat_core.run.fit", interrupt)
    assert main(["toy", "cross", "MoG"]) == 130
    assert capsys.readouterr().err == "heat_core toy: interrupted\n"


def test_it_runs_as_a_module_and_whoever_stops_reading_is_no_error() -> None:
    command = f"{sys.executable} -m heat_core list | head -1; exit ${{PIPESTATUS[0]}}"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "detectors\n", "")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_missing_gpu_is_refused(pack: Path, tmp_path: Path, refuses: Callable[..., str]) -> None:
    assert "cuda" in refuses("fit", pack, "MoG", "--device", "cuda", "--out", tmp_path / "run")
    assert main(["fit", str(pack), "MoG", "--device", "auto", "--out", str(tmp_path / "run")]) == 0


def test_datasets_that_are_not_there_are_refused(
    tmp_path: Path, refuses: Callable[..., str]
) -> None:
    assert "dataset must be one of cifar10" in refuses("fetch", "imagenet", "--root", tmp_path)
    out = ["--root", tmp_path, "--out", tmp_path / "w.safetensors"]
    assert "fetch cifar10 --root" in refuses("train-classifier", *out)
    assert "fetch svhn --root" in refuses("train-classifier", "--id", "svhn", *out)
    assert "dataset must be one of" in refuses("train-classifier", "--id", "imagenet", *out)
    missing = [
        "extract",
        "--weights",
        tmp_path / "none.safetensors",
        "--root",
        tmp_path,
        "--out",
        tmp_path / "pack",
    ]
    assert "none.safetensors" in refuses(*missing)


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_the_table_of_a_mirrored_pack_says_that_scores_take_two_passes(
    is_mirrored: bool, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = json.loads((pack / "card.json").read_text())
    card["classifier"] = {"mirror": is_mirrored}
    (pack / "card.json").write_text(json.dumps(card))
    two_passes = "Scores take two passes of the network, over an image and its mirror image;"
    for form in ("", "--markdown", "--latex", "--json"):
        assert main(["benchmark", str(pack), "--detectors", "MoG", *filter(None, [form])]) == 0
        output = capsys.readouterr()
        said, silent = (output.err, output.out) if form == "--json" else (output.out, output.err)
        assert said.count(two_passes) == is_mirrored
        assert two_passes not in silent


# -- from images to a pack -------------------------------------------------------------------------


def test_extract_makes_a_pack_of_images(
    tmp_path: Path, sheets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tiny untrained network, through sheets of noise."""
    from heat_core.images import classifier

    architecture = classifier.Architecture(
        "resnet18", layers=(1, 1, 1, 1), channels=(16, 16, 16, 8)
    )
    weights = tmp_path / "w.safetensors"
    classifier.save(
        architecture.build(), architecture, weights, {"held_out_images": 40, "test_accuracy": 0.1}
    )
    common = [
        "extract",
        "--weights",
        str(weights),
        "--root",
        str(sheets),
        "--ood",
        "cifar100,mnist",
    ]
    rows = ["--train-rows", "60", "--test-rows", "30", "--ood-rows", "20", "--pseudo-rows", "5,2"]
    assert main([*common, *rows, "--out", str(tmp_path / "pack")]) == 0
    output = capsys.readouterr()
    assert "60 training rows, 30 test rows, 2 OOD sets" in output.out
    assert "Images: normalised by the means 0.4914, 0.4822, 0.4465 and deviations" in output.err
    assert "\nMirror images: features are means over an image and its mirror" in output.err
    assert "\nEarlier layer: layer2.\n" in output.err
    assert re.search(r"Logits of the head: within [\d.e-]+ % of the network's own", output.err)
    assert "Warning: Head and labels: agree on" in output.err  # nothing was learned
    assert "Held-out ID and the network: AUROC of test against val" in output.err
    pack = read_pack(tmp_path / "pack")
    assert (pack.train.dim, len(pack.train), len(pack.test)) == (8, 60, 30)
    assert list(pack.ood) == [("near", "cifar100"), ("far", "mnist")]
    assert pack.train.head is not None
    assert pack.train.views["std"].shape == (60, 8)
    assert pack.card["classifier"]["test_accuracy"] == 0.1
    assert pack.card["sets"]["far_mnist"]["stands_in_for"] == "SVHN"
    assert pack.card["sets"]["near_cifar100"]["rows"] == 20
    assert pack.train.z.dtype == torch.float16
    assert pack.train.views["odin"].shape == (60, 1)
    assert pack.extra.val is not None
    assert len(pack.extra.val) == 40
    assert [len(f) for f in pack.extra.pseudo.values()] == [*[5] * 16, 20]
    assert [len(f) for f in pack.extra.pseudoval.values()] == [*[2] * 16, 4]
    assert not (tmp_path / "pack.shards").exists()
    assert (pack.card["classifier"]["mirror"], pack.card["classifier"]["early"]) == (True, "layer2")
    assert pack.train.views["early"].shape == (60, 1)
    plain = ["--no-std", "--no-odin", "--pseudo-rows", "0,0", "--dtype", "float32"]
    one_pass = ["--no-mirror", "--early", "none"]
    assert main([*common, *rows, *plain, *one_pass, "--out", str(tmp_path / "plain")]) == 0
    assert not read_pack(tmp_path / "plain").train.views
    assert not read_pack(tmp_path / "plain").is_mirrored
    assert read_pack(tmp_path / "plain").train.z.dtype == torch.float32
    capsys.readouterr()
    assert main(["benchmark", str(tmp_path / "pack"), "--detectors", "MSP,KNN", "--json"]) == 0
    assert all(math.isfinite(row["auroc"]) for row in json.loads(capsys.readouterr().out)["rows"])


@pytest.mark.parametrize("option", ["--layer", "--early"])
def test_a_layer_that_the_network_lacks_is_refused(
    option: str, tmp_path: Path, sheets: Path, refuses: Callable[..., str]
) -> None:
    from heat_core.images import classifier

    tiny = classifier.Architecture("resnet18", layers=(1, 1, 1, 1), channels=(8, 8, 8, 8))
    classifier.save(tiny.build(), tiny, tmp_path / "w.safetensors", {})
    place = ["--weights", tmp_path / "w.safetensors", "--root", sheets, "--out", tmp_path / "pack"]
    line = refuses("extract", *place, "--ood", "mnist", option, "layer9")
    assert "layer must be one of the network's, such as" in line
    assert "got 'layer9'" in line


TINY = ["--model", "resnet18", "--layers", "1,1,1,1", "--channels", "8,8,8,8"]


def test_a_classifier_is_trained_and_its_held_out_images_become_val(
    tmp_path: Path, sheets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, out = tmp_path / "w.safetensors", tmp_path / "pack"
    training = [*TINY, "--recipe", "paper", "--epochs", "1", "--held-out", "40"]
    place = ["--root", str(sheets)]
    assert main(["train-classifier", *training, *place, "--out", str(weights)]) == 0
    output = capsys.readouterr()
    assert re.search(r"w.safetensors: test accuracy \d+\.\d+% after 0 minutes", output.out)
    assert "epoch 1/1, step 1/1: loss" in output.err
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]
    rows = ["--ood", "mnist", "--pseudo-rows", "0,0", "--ood-rows", "20"]
    assert main(["extract", "--weights", str(weights), *place, *rows, "--out", str(out)]) == 0
    pack = read_pack(out)
    assert pack.extra.val is not None
    assert (len(pack.train), len(pack.extra.val)) == (160, 40)


def test_a_dataset_without_a_test_split_is_refused_before_training(
    tmp_path: Path, sheets: Path, monkeypatch: pytest.MonkeyPatch, refuses: Callable[..., str]
) -> None:
    """The test images are read for the accuracy, after hours."""
    (tmp_path / "half").mkdir()
    for file in sheets.glob("*"):
        if "cifar10-test" not in file.name:
            (tmp_path / "half" / file.name).write_bytes(file.read_bytes())
    index = json.loads((sheets / "index.json").read_text())
    del index["cifar10-test"]
    (tmp_path / "half" / "index.json").write_text(json.dumps(index))
    monkeypatch.setattr(
        "heat_core.images.classifier_training.train", lambda *_: pytest.fail("trained")
    )
    place = ["--root", tmp_path / "half", "--out", tmp_path / "w.safetensors"]
    assert "CIFAR-10 (test) is not in" in refuses("train-classifier", *TINY, *place)


# -- folders that cannot be written ----------------------------------------------------------------

WRITING = {
    "pack": ["pack", "FILE", "--out", "ROOT/out"],
    "project": ["project", "PACK", "--method", "pca"],
    "fit": ["fit", "PACK", "MoG", "--out", "ROOT/out"],
    "score": ["score", "RUN", "FEATURES", "--out", "ROOT/s.csv"],
}


def _writing(command: str, pack: Path, npz: Path) -> list[str]:
    """Returns the arguments of a command that writes into the folder of the pack."""
    root = pack.parent
    run = root / "run"
    if command == "score":
        assert main(["fit", str(pack), "MoG", "--out", str(run)]) == 0
    places = {"FILE": npz, "PACK": pack, "RUN": run, "FEATURES": pack / "test.safetensors"}
    return [str(places.get(word, word)).replace("ROOT", str(root)) for word in WRITING[command]]


@pytest.mark.parametrize("command", WRITING)
def test_a_read_only_folder_is_refused_before_any_work(
    command: str, pack: Path, npz: Path, refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = _writing(command, pack, npz)

    def work(*_: object, **__: object) -> None:
        raise AssertionError("no work is done for what cannot be written")

    monkeypatch.setattr("os.access", lambda path, mode: False)  # which is never so for root
    monkeypatch.setattr("heat_core.projection.lay_out", work)
    monkeypatch.setattr("heat_core.run.fit", work)
    assert f"cannot be written: no permission in {pack.parent}" in refuses(*arguments)


@pytest.mark.parametrize("command", WRITING)
def test_a_folder_that_turns_out_to_be_read_only_gives_one_line(
    command: str, pack: Path, npz: Path, refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = _writing(command, pack, npz)

    def denied(suffix: str, prefix: str, folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder / f"{prefix}x{suffix}"))

    monkeypatch.setattr("tempfile.mkdtemp", denied)
    monkeypatch.setattr("tempfile.mkstemp", denied)
    line = refuses(*arguments)
    assert str(pack.parent) in line
    assert "Permission denied" in line


@pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write into any folder"
)
@pytest.mark.parametrize("command", WRITING)
def test_a_folder_without_write_permission_is_refused(
    command: str, pack: Path, npz: Path, refuses
) -> None:
    arguments = _writing(command, pack, npz)
    pack.parent.chmod(0o500)
    try:
        assert "no permission in" in refuses(*arguments)
    finally:
        pack.parent.chmod(0o700)


def test_a_read_only_pack_is_read_as_any_other(
    pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (*pack.iterdir(), pack):
        path.chmod(0o500 if path.is_dir() else 0o400)
    before = contents(pack)
    assert main(["benchmark", str(pack), "--detectors", "MoG"]) == 0
    assert "MoG" in capsys.readouterr().out
    assert contents(pack) == before
    pack.chmod(0o700)
