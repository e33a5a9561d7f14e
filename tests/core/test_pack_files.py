"""Packs from tables and arrays: what comes in is what is in the pack, or is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from heat_core.npz import FileLimits, OverLimit
from heat_core.pack import Pack
from heat_core.pack_files import check_files, pack_from_files
from heat_core.table_files import ColumnNames
from tests.checks import refused

Z = np.random.default_rng(0).normal(size=(6, 11)).astype(np.float32)
WORDS = ["ship", "cat", "ship", "cat", "ship", "cat"]


def _columns(**changed: Any) -> dict[str, Any]:
    """Returns the columns of a table: features, labels, ids and two of metadata."""
    numbered = {f"f{i}": Z[:, i] for i in reversed(range(Z.shape[1]))}  # in no good order
    other = {
        "label": WORDS,
        "id": [f"img-{i}" for i in range(6)],
        "camera": ["north", "south", None, "north", "south", "north"],
        "heat": [20.5, None, 3.0, 4.0, 5.0, 6.0],
    }
    return {**numbered, **other, **changed}


def _pack(folder: Path, columns: ColumnNames = ColumnNames(), **tables: dict[str, Any]) -> Pack:
    """Returns the pack of Parquet files that hold these tables."""
    files = {}
    for name, table in tables.items():
        files[name] = folder / f"{name}.parquet"
        parquet.write_table(pa.table(table), files[name])
    return pack_from_files(files, columns)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_with_a_column_of_sets(suffix: str, tmp_path: Path) -> None:
    sets = ["train", "train", "test", "test", "near_fog", "train"]
    table = pa.table(_columns(set=sets, label=["ship", "cat", "cat", "ship", None, "cat"]))
    file = tmp_path / f"mine.{suffix}"
    if suffix == "csv":
        csv.write_csv(table, file)
    else:
        parquet.write_table(table, file)
    pack = pack_from_files({"mine": file})
    assert pack.title == "mine"
    np.testing.assert_array_equal(pack.train.z.float().numpy(), Z[[0, 1, 5]])
    near = dict(pack.sets())["near_fog"]
    np.testing.assert_array_equal(near.z.float().numpy(), Z[[4]])
    assert pack.train.y is not None
    assert pack.test.y is not None
    assert [pack.class_name(y) for y in pack.train.y.tolist()] == ["ship", "cat", "cat"]
    assert [pack.class_name(y) for y in pack.test.y.tolist()] == ["cat", "ship"]
    assert pack.metadata_columns == ("camera", "heat")
    assert pack.train.metadata["camera"].texts() == ["north", "south", "north"]
    assert pack.train.metadata["heat"].texts() == ["20.5", "", "6"]
    assert near.metadata["id"].texts() == ["img-4"]


def test_a_file_a_set_and_a_column_of_lists(tmp_path: Path) -> None:
    lists = {"z": Z.tolist(), "z__std": Z[:, :2].tolist(), "kind": WORDS, "day": [1, 2, 3, 4, 5, 6]}
    parquet.write_table(pa.table(lists), tmp_path / "train.parquet")
    parquet.write_table(pa.table(lists), tmp_path / "test.parquet")
    np.save(tmp_path / "far_noise.npy", 9 * Z)
    files = {path.stem: path for path in sorted(tmp_path.iterdir())}
    pack = pack_from_files(files, ColumnNames(label="kind"), FileLimits(), title="lists")
    assert [name for name, _ in pack.sets()] == ["train", "test", "far_noise"]
    assert pack.train.views["std"].shape == (6, 2)
    assert pack.metadata_columns == ("day",)
    np.testing.assert_allclose(pack.test.z.numpy(), Z)


def test_arrays_of_numpy_by_the_names_of_their_files(tmp_path: Path) -> None:
    arrays = {
        "train": Z,
        "train_y": np.array(WORDS),
        "test_z": Z,
        "classes": np.array(["ship", "cat"]),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    pack = pack_from_files({name: tmp_path / f"{name}.npy" for name in arrays})
    assert pack.train.y is not None
    assert pack.train.y.tolist() == [0, 1, 0, 1, 0, 1]
    assert not pack.ood


def test_features_by_name_and_pattern(tmp_path: Path) -> None:
    train = _columns(size=Z[:, 0])
    pack = _pack(tmp_path, ColumnNames(features="size, f1*"), train=train, test=train)
    np.testing.assert_array_equal(pack.train.z.numpy(), Z[:, [0, 1, 10]])
    assert "f2" in pack.metadata_columns


def _train(**changed: Any) -> dict[str, dict[str, Any]]:
    return {"train": _columns(**changed), "test": _columns()}


BAD_TABLES: dict[str, tuple[dict[str, dict[str, Any]], ColumnNames, tuple[str, ...]]] = {
    "text among features": (
        _train(f3=["1", "2", "oops", "4", "5", "6"]),
        ColumnNames(),
        ("train.parquet: the feature f3 must be a number", "got 'oops' in row 3"),
    ),
    "nan": (
        _train(f3=[1.0, 2.0, float("nan"), 4.0, 5.0, 6.0]),
        ColumnNames(),
        ("f3 must be a finite number", "got nan in row 3 (1 in all)"),
    ),
    "nothing": (
        _train(f3=[1.0, None, 3.0, 4.0, 5.0, 6.0]),
        ColumnNames(),
        ("got nothing in row 2",),
    ),
    "label missing": (
        _train(label=["cat", None, "cat", "ship", "ship", "ship"]),
        ColumnNames(),
        ("label is missing in row 2, of train",),
    ),
    "label a fraction": (
        _train(label=[0.0, 1.5, 0.0, 1.0, 1.0, 1.0]),
        ColumnNames(),
        ("whole numbers or words, got 1.5 in row 2",),
    ),
    "unknown column": (
        _train(),
        ColumnNames(label="kind"),
        ("there is no column 'kind' (--label)", "camera"),
    ),
    "unknown pattern": (_train(), ColumnNames(features="g*"), ("no column 'g*' (--features)",)),
    "lists of different length": (
        _train(z=[[1.0, 2.0]] * 5 + [[1.0]]),
        ColumnNames(),
        ("z must hold as many numbers in every row, got 2 in row 1 and 1 in row 6",),
    ),
    "lists beside features": (
        _train(box=[[1, 2]] * 6),
        ColumnNames(),
        ("the column box holds list",),
    ),
    "two families": (
        {"train": {"a0": [1.0], "a1": [1.0], "b0": [1.0], "b1": [1.0], "label": [0]}},
        ColumnNames(),
        ("may be a0 ... or b0",),
    ),
    "no features": (
        {"train": {"x": [1.0], "label": [0]}},
        ColumnNames(),
        ("no features found", "x"),
    ),
    "no set": ({"mine": _columns()}, ColumnNames(), ("which set is it?", "a column `set`")),
    "a set that is none": (
        {"mine": _columns(split=["train"] * 5 + ["dev"])},
        ColumnNames(),
        ("split must be train, test", "got 'dev' in row 6"),
    ),
    "no test": ({"train": _columns()}, ColumnNames(), ("wanted an array test_z",)),
}


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_bad_tables_are_refused(kind: str, tmp_path: Path) -> None:
    tables, columns, words = BAD_TABLES[kind]
    refused(lambda: _pack(tmp_path, columns, **tables), *words)


BAD_FILES: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "ragged": ("train.csv", b"f0,f1\n1,2\n1,2,3\n", ("CSV of equally long rows", "got 3")),
    "no header": ("train.csv", b"0.1,0.2\n1,2\n", ("first line holds numbers",)),
    "twice": ("train.csv", b"f0,f0\n1,2\n", ("the column f0 is there twice",)),
    "header alone": ("train.csv", b"f0,f1\n", ("holds no row",)),
    "empty": ("train.csv", b"", ("CSV",)),
    "damaged": ("train.parquet", b"PAR1", ("not a Parquet file",)),
    "a pickle": ("train.npy", b"\x80\x04.", ("holds a pickled object",)),
    "another kind": ("train.xlsx", b"PK", ("wanted a file that ends in .npz, .npy",)),
    "an unknown array": ("mine.npy", b"", ("an npy file holds one array, which its name says",)),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_files_are_refused(kind: str, tmp_path: Path) -> None:
    name, content, words = BAD_FILES[kind]
    (tmp_path / name).write_bytes(content)
    refused(lambda: pack_from_files({Path(name).stem: tmp_path / name}), name, *words)


def _write_csv(path: Path) -> None:
    csv.write_csv(pa.table(_columns()), path)


def _write_repeated(path: Path) -> None:
    """A file of few bytes that unpacks to many."""
    text = pa.array(["x" * 10_000] * 5000).dictionary_encode()
    parquet.write_table(pa.table({"f0": np.zeros(5000), "text": text}), path)


@pytest.mark.parametrize(
    ("name", "write", "limits"),
    [
        ("train.csv", _write_csv, FileLimits(width=14)),
        ("train.csv", _write_csv, FileLimits(rows=6)),
        ("train.npy", lambda path: np.save(path, Z), FileLimits(kept_bytes=200)),
        ("train.parquet", _write_repeated, FileLimits(rows=4999)),
    ],
)
def test_more_than_is_taken_is_refused_unread(
    name: str, write: Callable[[Path], None], limits: FileLimits, tmp_path: Path
) -> None:
    write(tmp_path / name)
    with pytest.raises(OverLimit, match="at most"):
        check_files({"train": tmp_path / name}, limits)
