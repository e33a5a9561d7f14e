"""A pack from files of arrays and tables: npz, npy, Parquet and CSV."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from .npz import ArrayHeader, FileLimits, OverLimit, array_header, check_npz, no_file_text, read_npz
from .pack import Pack, pack_from_arrays
from .progress import report_progress
from .table_files import (
    SET_WORDS,
    USUAL_NAMES,
    ColumnNames,
    arrays_of_table,
    features_key,
    is_set_name,
    read_table,
)

SUFFIXES = (".npz", ".npy", ".parquet", ".csv")
FLOAT_BYTES = 8  # that a number of a table takes
NPY_KEYS = ("train_y", "val_y", "test_y", "weight", "bias", "classes")


def pack_from_files(
    files: Mapping[str, Path],
    columns: ColumnNames = USUAL_NAMES,
    limits: FileLimits | None = None,
    title: str = "",
) -> Pack:
    """Returns the pack in some files, which together hold its sets.

    An npz holds arrays by key. A table holds a row an input, of the set that its file is named
    after, or that a column says. An npy holds the array that its file is named after: a set, or
    `train_y`, `weight` ...

    Args:
        files: {name without its ending: file}.
        columns: which columns of the tables hold what.
        limits: how much is taken; anything by default.
        title: of the pack; the name of the file if there is one, else that of their folder.

    Raises:
        ValueError: a file, or what they hold together, is not what it should be; the message names
            the file, if it is one's.
        OverLimit: there is more than `limits` allow, which shows before anything is read.
    """
    if limits is not None:
        check_files(files, limits)
    arrays: dict[str, np.ndarray] = {}
    for i, (name, path) in enumerate(files.items()):
        report_progress(f"reading {name}", i / len(files))
        for key, array in _arrays_of_file(name, path, columns).items():
            if key in arrays:
                raise ValueError(f"{path.name}: {key} is in another file, too.")
            arrays[key] = array
    only = next(iter(files.values()))
    name = only.stem if len(files) == 1 else only.absolute().parent.name
    try:
        pack = pack_from_arrays(arrays, title or name)
    except ValueError as error:
        raise ValueError(f"{only}: {error}" if len(files) == 1 else str(error)) from None
    if limits is not None:
        limits.check_classes(len(pack.train.classes))
    return pack


def check_files(files: Mapping[str, Path], limits: FileLimits) -> int:
    """Returns how many bytes the arrays in files take in memory; none of them is read.

    Raises:
        ValueError: a file is not what it should be.
        OverLimit: there is more than `limits` allow.
    """
    headers: dict[str, ArrayHeader] = {}
    kept = 0
    for name, path in files.items():
        try:
            if path.suffix.lower() == ".npz":
                kept += check_npz(path, limits)
            else:
                headers[name] = _header_of(path)
        except OverLimit as error:
            raise OverLimit(f"{path}: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    limits.check(headers)
    return kept + sum(header.kept_bytes for header in headers.values())


def _arrays_of_file(name: str, path: Path, columns: ColumnNames) -> dict[str, np.ndarray]:
    """Returns the arrays of a pack that a file holds. Raises ValueError that names the file."""
    suffix = path.suffix.lower()
    try:
        if not path.is_file():
            raise ValueError(no_file_text(path))
        if suffix == ".npz":
            return read_npz(path)
        if suffix == ".npy":
            return {_key_of_npy(name): _read_npy(path)}
        if suffix in SUFFIXES:
            return arrays_of_table(read_table(path), name, columns)
        raise ValueError(f"wanted a file that ends in {', '.join(SUFFIXES)}.")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _key_of_npy(name: str) -> str:
    """Returns the key of the array in an npy file of a name. Raises ValueError if there is none."""
    if name in NPY_KEYS or name.partition("__")[0].removesuffix("_z") in ("train", "val", "test"):
        return name if name in NPY_KEYS or "_z" in name else features_key(name)
    if is_set_name(name):
        return features_key(name)
    raise ValueError(
        f"an npy file holds one array, which its name says: {SET_WORDS}, or {', '.join(NPY_KEYS)}."
    )


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        if "pickle" in str(error).lower():
            raise ValueError(
                "holds a pickled object; wanted a plain array, since a pickle can run code."
            ) from None
        raise ValueError(f"not a whole npy file ({error}).") from None


# -- sizes, before anything is read ----------------------------------------------------------------


def _header_of(path: Path) -> ArrayHeader:
    """Returns what a file's array or table takes, as an array of its rows."""
    if not path.is_file():
        raise ValueError(no_file_text(path))
    suffix = path.suffix.lower()
    if suffix == ".npy":
        with path.open("rb") as file:
            return _npy_header(file, path.stem)
    if suffix == ".parquet":
        return _parquet_header(path)
    if suffix == ".csv":
        with path.open("rb") as file:
            return _csv_header(file)
    raise ValueError(f"wanted a file that ends in {', '.join(SUFFIXES)}.")


def _npy_header(file: IO[bytes], name: str) -> ArrayHeader:
    try:
        return array_header(file, name)
    except Exception as error:  # damage shows in many ways
        raise ValueError(f"not a whole npy file ({error}).") from None


def _parquet_header(path: Path) -> ArrayHeader:
    """Returns what a Parquet file says of its values, and of the bytes that they unpack to."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = unpacked = 0
    try:
        with pq.ParquetFile(path) as file:
            metadata = file.metadata
            for i in range(metadata.num_row_groups):
                group = metadata.row_group(i)
                chunks = [group.column(j) for j in range(group.num_columns)]
                values += sum(chunk.num_values for chunk in chunks)
                unpacked += sum(chunk.total_uncompressed_size for chunk in chunks)
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise ValueError(f"not a Parquet file ({reason}).") from None
    rows = max(1, metadata.num_rows)
    numbers = max(values, unpacked // FLOAT_BYTES)
    return ArrayHeader((rows, math.ceil(numbers / rows)), np.dtype(np.float64))


def _csv_header(file: IO[bytes]) -> ArrayHeader:
    """Returns what a CSV file takes: as many rows as lines, as many columns as the first has."""
    width = file.readline().count(b",") + 1
    rows = 1
    while block := file.read(2**20):
        rows += block.count(b"\n")
    return ArrayHeader((rows, width), np.dtype(np.float64))
