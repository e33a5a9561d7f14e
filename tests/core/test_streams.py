"""Rows of every format scored alike, part by part; what is damaged is refused in one line."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heat_core.__main__ import main
from heat_core.bundles import Bundle, bundle_of, save_bundle
from heat_core.commands import scoring
from heat_core.detectors.closed_form import MoG
from heat_core.features import Features, write_features
from heat_core.pack import NO_EXTRA, Pack
from heat_core.run import fit, save
from heat_core.streams import parts_of, sources
from heat_core.thresholds import Conformal
from tests.samples import clusters, with_views

IDS = [f"image {i}" for i in range(50)]


@pytest.fixture(scope="module")
def bundle(train: Features, far: Features) -> Bundle:
    pack = Pack(train, with_views(*clusters(400, 30)), {("far", "b"): far}, NO_EXTRA, {})
    return bundle_of(fit(MoG(), train), pack, Conformal(0.9))


@pytest.fixture
def folder(bundle: Bundle, tmp_path: Path) -> Path:
    save_bundle(bundle, tmp_path / "bundle")
    return tmp_path


def write_parquet(path: Path, z: np.ndarray, fixed: bool = True, groups: int = 7) -> Path:
    kind = pa.float16() if z.dtype == np.float16 else pa.from_numpy_dtype(z.dtype)
    values = pa.array(np.ascontiguousarray(z).ravel(), kind)
    offsets = pa.array(np.arange(len(z) + 1, dtype=np.int32) * z.shape[1])
    lists = (
        pa.FixedSizeListArray.from_arrays(values, z.shape[1])
        if fixed
        else pa.ListArray.from_arrays(offsets, values)
    )
    pq.write_table(pa.table({"z": lists, "name": IDS[: len(z)]}), path, row_group_size=groups)
    return path


def score(folder: Path, source: object, out: str, *words: str) -> Path:
    assert (
        main(["score", str(folder / "bundle"), str(source), "--out", str(folder / out), *words])
        == 0
    )
    return folder / out


def written(folder: Path, kind: str, features: Features) -> Path:
    z = features.z.numpy()
    path = folder / f"rows.{kind}"
    if kind == "npz":
        np.savez(path, z=z)
    elif kind == "npy":
        np.save(path, z)
    elif kind == "safetensors":
        write_features(features, path)
    else:
        write_parquet(path, z)
    return path


# -- every format ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["npz", "npy", "safetensors", "parquet"])
@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_rows_of_every_format_are_decided_alike(folder, bundle, far, kind, ending):
    out = score(folder, written(folder, kind, far), f"out.{ending}")
    readers = {"csv": pd.read_csv, "parquet": pd.read_parquet}
    read = readers.get(ending, lambda path: pd.read_json(path, lines=True, precise_float=True))
    wanted = bundle.decide(far).table()
    pd.testing.assert_frame_equal(read(out), wanted, check_dtype=False, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("fixed", [True, False])
def test_a_column_of_any_numbers_is_read(folder, bundle, far, dtype, fixed):
    z = far.z.numpy().astype(dtype)
    path = write_parquet(folder / "rows.parquet", z, fixed)
    table = pd.read_parquet(score(folder, path, "out.parquet", "--id", "name"))
    assert table["id"].tolist() == IDS
    np.testing.assert_allclose(table["score"], bundle.decide(z).scores, rtol=1e-6)


def test_json_lines_are_decided_as_they_come(folder, bundle, far, monkeypatch, capsys):
    rows = far.z.tolist()
    lines = [json.dumps({"id": name, "z": row}) for name, row in zip(IDS, rows, strict=True)]
    lines[3] = json.dumps(rows[3])
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join([*lines, ""])))
    table = pd.read_json(score(folder, "-", "out.jsonl"), lines=True)
    assert table["id"].tolist() == [*IDS[:3], 3, *IDS[4:]]
    np.testing.assert_allclose(table["score"], bundle.decide(far).scores, rtol=1e-6)
    assert "rows flagged" in capsys.readouterr().err


def test_views_of_a_table_are_read(folder, train, far, monkeypatch):
    from heat_core.detectors.closed_form import ODIN

    save(fit(ODIN(), train), folder / "odin")
    table = pa.table({"z": far.z.tolist(), "z__odin": far.views["odin"].tolist()})
    pq.write_table(table, folder / "rows.parquet")
    words = ["score", str(folder / "odin"), str(folder / "rows.parquet")]
    assert main([*words, "--out", str(folder / "out.csv")]) == 0
    scores = pd.read_csv(folder / "out.csv")["score"]
    np.testing.assert_allclose(scores, far.views["odin"][:, 0], rtol=1e-6)


# -- part by part ----------------------------------------------------------------------------------


def test_a_folder_of_files_becomes_a_folder_of_tables(folder, bundle, far):
    (folder / "in").mkdir()
    z = far.z.numpy()
    for part in range(5):
        write_parquet(folder / "in" / f"p{part}.parquet", z[10 * part : 10 * part + 10])
    for source in (folder / "in", f"{folder / 'in'}/p*.parquet"):
        out = score(folder, source, f"out{len(str(source))}", "--format", "parquet")
        tables = [pd.read_parquet(out / f"p{part}.parquet") for part in range(5)]
        scores = pd.concat(tables)["score"]
        np.testing.assert_allclose(scores, bundle.decide(far).scores, rtol=1e-6)


def test_an_interrupted_run_says_how_far_it_is_and_goes_on(folder, far, monkeypatch, capsys):
    def table_or_stop(run, batch):
        made.append(batch)
        if len(made) == 2:
            raise KeyboardInterrupt
        return table_of(run, batch)

    made = []
    table_of = scoring.table_of
    monkeypatch.setattr(scoring, "table_of", table_or_stop)
    (folder / "rows").mkdir()
    for name in ("a", "b", "c"):
        write_parquet(folder / "rows" / f"{name}.parquet", far.z[:9].numpy(), groups=9)
    out = folder / "out"
    words = ["score", str(folder / "bundle"), str(folder / "rows"), "--out", str(out)]
    words += ["--format", "csv"]
    assert main(words) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(f"interrupted; 1 of 3 parts are in {out}; the same command goes on")
    assert len(list(out.glob("*.csv"))) == 1
    assert main(words) == 0
    assert len(list(out.glob("*.csv"))) == 3


def test_a_large_file_has_parts_and_rows_go_on_being_counted(folder, bundle, far, monkeypatch):
    monkeypatch.setattr(sources, "PART_ROWS", 20)
    monkeypatch.setattr(sources, "BATCH_ROWS", 8)
    path = write_parquet(folder / "rows.parquet", far.z.numpy())
    assert [part.rows for part in parts_of(str(path))] == [21, 21, 8]
    out = score(folder, path, "out", "--format", "csv")
    tables = [pd.read_csv(out / f"rows-{part}.csv") for part in range(3)]
    table = pd.concat(tables, ignore_index=True)
    assert table["id"].tolist() == list(range(50))
    np.testing.assert_allclose(table["score"], bundle.decide(far).scores, rtol=1e-6)
    whole = pd.read_csv(score(folder, path, "out.csv"))
    pd.testing.assert_frame_equal(whole, table)


def test_what_is_there_is_skipped_and_of_another_run_refused(folder, bundle, far, train, capsys):
    (folder / "in").mkdir()
    for part in range(3):
        write_parquet(folder / "in" / f"p{part}.parquet", far.z.numpy()[10 * part :][:10])
    out = score(folder, folder / "in", "out", "--format", "csv")
    (out / "p1.csv").unlink()
    (out / "p2.csv").write_text("kept as it is")
    capsys.readouterr()
    score(folder, folder / "in", "out", "--format", "csv")
    assert "10 scores of MoG (20 were there)" in capsys.readouterr().out
    assert (out / "p2.csv").read_text() == "kept as it is"
    save(fit(MoG(normalize=False), train), folder / "other")
    words = ["score", str(folder / "other"), str(folder / "in"), "--out", str(out)]
    assert main([*words, "--format", "csv"]) == 2
    assert "holds tables of another run, decision, source" in capsys.readouterr().err
    assert main([*words, "--format", "csv", "--overwrite"]) == 0
    assert len(pd.read_csv(out / "p2.csv")) == 10


def test_files_of_one_name_become_tables_of_their_own(folder, bundle, far):
    z = far.z.numpy()
    for part in range(3):
        (folder / "in" / f"day{part}").mkdir(parents=True)
        write_parquet(folder / "in" / f"day{part}" / "rows.parquet", z[10 * part :][:10])
    out = score(folder, f"{folder / 'in'}/*/rows.parquet", "out", "--format", "csv")
    tables = [pd.read_csv(out / f"day{part}-rows.csv") for part in range(3)]
    np.testing.assert_allclose(pd.concat(tables)["score"], bundle.decide(z[:30]).scores, rtol=1e-6)


def test_a_table_keeps_its_name_when_further_files_come(folder, far):
    for day in ("day0", "day1"):
        (folder / "in" / day).mkdir(parents=True)
        write_parquet(folder / "in" / day / "rows.parquet", far.z.numpy()[:5])
        names = [part.name for part in parts_of(f"{folder / 'in'}/*/rows.parquet")]
        assert names[0] == "day0-rows"


def test_parts_that_would_be_one_table_are_refused(folder, far, monkeypatch, capsys):
    for path in ("a/b-c", "a-b/c"):
        (folder / "in" / path).parent.mkdir(parents=True)
        write_parquet(folder / "in" / f"{path}.parquet", far.z.numpy()[:5])
    words = ["score", str(folder / "bundle"), f"{folder / 'in'}/*/*.parquet", "--format", "csv"]
    assert main([*words, "--out", str(folder / "out")]) == 2
    assert "2 of its parts would be one table, a-b-c;" in capsys.readouterr().err
    assert not (folder / "out").exists()
    assert len(pd.read_csv(score(folder, words[2], "out.csv"))) == 10


def test_a_folder_of_another_decision_or_column_is_noticed(folder, bundle, far, train, capsys):
    path = write_parquet(folder / "rows.parquet", far.z.numpy())
    out = score(folder, path, "out", "--format", "csv", "--id", "name")
    words = ["score", str(folder / "bundle"), str(path), "--out", str(out), "--format", "csv"]
    assert main([*words, "--id", "name"]) == 0
    for changed in (words, [*words, "--id", "name", "--z", "z2"]):
        capsys.readouterr()
        if "z2" in changed:
            pq.write_table(pq.read_table(path).rename_columns(["z2", "name"]), path)
        assert main(changed) == 2
        assert "holds tables of another run, decision, source" in capsys.readouterr().err
    pack = Pack(train, with_views(*clusters(400, 30)), {("far", "b"): far}, NO_EXTRA, {})
    save_bundle(bundle_of(bundle, pack, Conformal(0.8)), folder / "bundle", overwrite=True)
    write_parquet(path, far.z.numpy())
    assert main([*words, "--id", "name"]) == 2
    assert "holds tables of another run, decision, source" in capsys.readouterr().err


def test_one_file_of_a_pattern_is_read_whatever_its_kind(folder, bundle, far):
    np.save(folder / "rows.npy", far.z.numpy())
    table = pd.read_csv(score(folder, f"{folder}/r*.npy", "out.csv"))
    np.testing.assert_allclose(table["score"], bundle.decide(far).scores, rtol=1e-6)


def test_of_lines_into_a_folder_no_time_left_is_said(folder, far, monkeypatch, capsys):
    text = "\n".join(map(json.dumps, far.z.tolist()))
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    out = score(folder, "-", "out", "--format", "csv")
    assert len(pd.read_csv(out / "stdin.csv")) == 50
    said = capsys.readouterr().err
    assert "part 1 of 1: 50 rows" in said
    assert "left" not in said


def test_further_lines_are_not_taken_for_those_that_came_before(folder, far, monkeypatch, capsys):
    words = ["score", str(folder / "bundle"), "-", "--out", str(folder / "out"), "--format", "csv"]
    for rows, code in ((5, 0), (7, 2)):
        text = "\n".join(map(json.dumps, far.z[:rows].tolist()))
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        assert main(words) == code
    assert "holds a table of lines that came before" in capsys.readouterr().err
    assert len(pd.read_csv(folder / "out" / "stdin.csv")) == 5


def test_overwrite_takes_nothing_away_from_a_folder_that_is_not_of_tables(folder, far, capsys):
    path = written(folder, "npy", far)
    (folder / "mine").mkdir()
    (folder / "mine" / "own.csv").write_text("years of work")
    words = ["score", str(folder / "bundle"), str(path), "--out", str(folder / "mine")]
    for more in ([], ["--overwrite"]):
        assert main([*words, "--format", "csv", *more]) == 2
        assert "holds something else than tables" in capsys.readouterr().err
    assert [file.name for file in (folder / "mine").iterdir()] == ["own.csv"]


KILLED = """
import sys, time
from heat_core.commands import scoring
from heat_core import __main__
table_of = scoring.table_of
def slowly(run, batch):
    time.sleep(0.3)
    return table_of(run, batch)
scoring.table_of = slowly
sys.exit(__main__.main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is of POSIX systems")
def test_a_killed_run_goes_on_and_ends_the_same(folder, far):
    (folder / "in").mkdir()
    for part in range(6):
        write_parquet(folder / "in" / f"p{part}.parquet", far.z.numpy()[8 * part :][:8])
    words = ["score", str(folder / "bundle"), str(folder / "in"), "--format", "jsonl"]
    out = folder / "out"
    command = [sys.executable, "-c", KILLED, *words, "--out", str(out)]
    for kills in (1, 2):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
            while len(list(out.glob("*.jsonl"))) < 2 * kills and child.poll() is None:
                time.sleep(0.02)
            child.send_signal(signal.SIGKILL)
    assert len(list(out.glob("*.jsonl"))) < 6
    assert main([*words, "--out", str(out)]) == 0
    assert main([*words, "--out", str(folder / "at-once")]) == 0
    for part in range(6):
        name = f"p{part}.jsonl"
        assert (out / name).read_bytes() == (folder / "at-once" / name).read_bytes()


# -- what is refused -------------------------------------------------------------------------------


def refused(folder: Path, capsys, source: object, *words: str) -> str:
    out = folder / "refused.csv"
    assert main(["score", str(folder / "bundle"), str(source), "--out", str(out), *words]) == 2
    assert not out.exists()
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    return error


def test_files_that_hold_no_rows_are_refused(folder, capsys):
    (folder / "empty").mkdir()
    assert "no Parquet files in it" in refused(folder, capsys, folder / "empty")
    assert "no such file" in refused(folder, capsys, folder / "none.npy")
    assert "no such file" in refused(folder, capsys, folder / "*.parquet")
    (folder / "rows.parquet").write_bytes(b"PAR1 and no more")
    assert "not a Parquet file" in refused(folder, capsys, folder / "rows.parquet")
    (folder / "rows.npy").write_bytes(b"no numpy")
    assert "not an array" in refused(folder, capsys, folder / "rows.npy")
    (folder / "rows.txt").write_text("1 2 3")
    assert "wanted .safetensors, .npz, .npy" in refused(folder, capsys, folder / "rows.txt")
    for array in (np.zeros(3), np.array([["a"]])):
        np.save(folder / "rows.npy", array)
        assert "wanted numbers of shape (N, d)" in refused(folder, capsys, folder / "rows.npy")
    np.save(folder / "rows.npy", np.array([[None]]), allow_pickle=True)
    assert "not an array" in refused(folder, capsys, folder / "rows.npy")


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl", ""])
@pytest.mark.parametrize("kind", ["npy", "parquet", "-"])
def test_a_source_without_rows_is_refused_and_nothing_written(
    folder, far, monkeypatch, capsys, kind, ending
):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n\n"))
    source = "-" if kind == "-" else folder / f"rows.{kind}"
    if kind == "npy":
        np.save(source, far.z.numpy()[:0])
    elif kind == "parquet":
        write_parquet(source, far.z.numpy()[:0])
    out = folder / (f"out.{ending}" if ending else "out")
    words = ["score", str(folder / "bundle"), str(source), "--out", str(out)]
    assert main([*words, "--format", ending or "parquet"]) == 2
    assert f"{source} holds no row." in capsys.readouterr().err
    assert not out.exists()


def test_a_file_without_rows_among_others_has_no_table(folder, far):
    (folder / "in").mkdir()
    for name, rows in (("p0", 0), ("p1", 5)):
        write_parquet(folder / "in" / f"{name}.parquet", far.z.numpy()[:rows])
    out = score(folder, folder / "in", "out", "--format", "parquet")
    assert [path.name for path in out.glob("*.parquet")] == ["p1.parquet"]


def test_an_ending_that_is_none_of_a_table_is_refused(folder, far, capsys):
    path = written(folder, "npy", far)
    for words in (["--format", "csv"], []):
        out = folder / "scores.txt"
        assert main(["score", str(folder / "bundle"), str(path), "--out", str(out), *words]) == 2
        message = "--out must end in .parquet, .csv, .jsonl, or be a folder's name; got scores.txt"
        assert message in capsys.readouterr().err
        assert not out.exists()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_numbered_columns_are_features_as_a_pack_has_them(folder, bundle, far, kind, monkeypatch):
    monkeypatch.setattr(sources, "BATCH_ROWS", 20)
    z = far.z[:50].numpy()
    table = pd.DataFrame(z, columns=[f"f{i}" for i in range(z.shape[1])])
    table = table[table.columns[::-1]].assign(name=IDS)  # by their number, not as they come
    path = folder / f"rows.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    decided = pd.read_csv(score(folder, path, "out.csv", "--id", "name"))
    assert decided["id"].tolist() == IDS
    np.testing.assert_allclose(decided["score"], bundle.score(far)[:50], rtol=1e-5)


def test_tables_without_features_are_refused_with_their_row(folder, capsys, monkeypatch):
    monkeypatch.setattr(sources, "BATCH_ROWS", 2)
    path = folder / "rows.csv"
    path.write_text("f0,f1\n1,2\n3,4\n5,\n")
    with pytest.raises(ValueError, match=r"f1 must be a finite number .* got nothing in row 3"):
        list(parts_of(str(path))[0].batches())
    path.write_text("a,b\n1,2\n")
    assert "rows.csv has no column z; --z names one of a, b" in refused(folder, capsys, path)
    path.write_text("f0;f1\n0,5;1\n")
    assert "its columns are separated by semicolons; wanted commas" in refused(folder, capsys, path)


@pytest.mark.parametrize("kind", ["npz", "npy", "safetensors"])
@pytest.mark.parametrize("words", [("--id", "name"), ("--z", "x")])
def test_columns_are_not_asked_for_where_there_are_none(folder, far, capsys, kind, words):
    path = written(folder, kind, far)
    message = f"{' '.join(words)} names a column of a table or a key of JSON, and a .{kind} file"
    assert message in refused(folder, capsys, path, *words)


def test_a_line_without_the_key_that_is_asked_for_is_named(folder, far, capsys, monkeypatch):
    row = far.z[0].tolist()
    for line in (json.dumps({"z": row}), json.dumps(row)):
        lines = f"{json.dumps({'name': 'a', 'z': row})}\n\n{line}"
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        assert "line 3 has no key name, which --id asks for" in refused(
            folder, capsys, "-", "--id", "name"
        )


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1.0, 2.0], "must hold a list of numbers a row"),
        ([[1.0], [1.0, 2.0]], "as many numbers in every row, got 1 in row 1 and 2 in row 2"),
        ([[1.0], None], "as many numbers in every row, got 1 in row 1 and nothing in row 2"),
        ([[1.0], [None]], "must hold numbers alone, got an empty place in row 2"),
        ([["a"], ["b"]], "must hold lists of numbers, got list<element: string>"),
        ([[], []], "must hold lists of numbers, got list<element: null>"),
        ([[1.0] * 3, [2.0] * 3], "must have 12 columns"),
        ([[np.nan] * 12], "z must be finite"),
    ],
)
def test_columns_that_hold_no_features_are_refused(folder, capsys, column, message):
    pq.write_table(pa.table({"z": column}), folder / "rows.parquet")
    assert message in refused(folder, capsys, folder / "rows.parquet")


def test_a_column_that_is_not_there_is_named(folder, far, capsys):
    path = write_parquet(folder / "rows.parquet", far.z.numpy())
    assert "no column x; --z names one of z, name" in refused(folder, capsys, path, "--z", "x")
    assert "no column x; --id names one of" in refused(folder, capsys, path, "--id", "x")
    disagree = refused(folder, capsys, path, "--format", "parquet")
    assert "--format parquet and the ending of refused.csv disagree" in disagree


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("{", "line 1 is not JSON"),
        ("[1, 2]\n[1, true]", "line 2 must be"),
        ('{"x": [1]}', 'line 1 must be {"z": [numbers]}'),
        ("[]", "line 1 must be"),
        ("[1, 2]\n[1]", "all rows must be as wide as the first, got 1 to 2 numbers"),
        ("[" * 100_000, "line 1 is not JSON"),
        ("[" + ",".join(["NaN"] * 12) + "]", "z must be finite"),
        ("[" + ",".join(["1e999"] * 12) + "]", "z must be finite"),
    ],
)
def test_lines_that_hold_no_row_are_named(folder, capsys, monkeypatch, lines, message):
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert message in refused(folder, capsys, "-")
