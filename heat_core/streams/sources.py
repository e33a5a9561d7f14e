"""Rows to score: from features files, arrays, Parquet or JSON lines, batch by batch."""

from __future__ import annotations

import glob
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np
import torch

from heat_core.features import Features, read_features
from heat_core.list_columns import matrix_of_lists

Item = TypeVar("Item")

BATCH_ROWS = 65_536  # of Parquet and arrays that are read at a time
PART_ROWS = 2**20  # of a large Parquet file that make a part, at least
LINES = 1024  # of JSON that are scored at a time


class RowBatch(NamedTuple):
    """Some rows, and what they are called.

    Args:
        ids: one a row.
        features: (n, d) and views.
        start: the number of the first row, from 0.
    """

    ids: Sequence[Any]
    features: Features
    start: int = 0


@dataclass(frozen=True)
class TablePart:
    """Rows that are scored into one table.

    Args:
        name: what its table is called, without an ending.
        rows: how many; None where that is not known beforehand.
        batches: gives them in order.
    """

    name: str
    rows: int | None
    batches: Callable[[], Iterator[RowBatch]]


class _Columns(NamedTuple):
    """What a source is asked for.

    Args:
        z: the column or key that holds the features.
        id: the one that names a row; nothing where rows are counted.
        id_option: the option of a command that names `id`.
    """

    z: str
    id: str
    id_option: str


def parts_of(
    source: str,
    z: str = "z",
    id_column: str = "",
    stdin: IO[str] | None = None,
    id_option: str = "--id",
) -> list[TablePart]:
    """Returns the parts of a source that hold rows, in order.

    A part is named by its file's path within the folder that is given, or that a pattern begins
    with: a name stays what it is when further files come.

    Args:
        source: a features file (.safetensors), .npz with `z`, .npy (N, d), .parquet, a folder of
            Parquet files or a pattern with `*` that names some, or `-` for JSON lines on standard
            input: `{"id": ..., "z": [...]}`, or the list alone.
        z: the column of Parquet or the key of JSON that holds the features, a list a row. Columns
            `z__VIEW` are its views.
        id_column: the column or key that names a row; by default rows are counted from 0.
        stdin: what `-` reads; by default standard input.
        id_option: the option of a command that gives `id_column`, as messages call it.

    Raises:
        ValueError: there is no such file, it is of no kind that is read or has no such column, or
            no row is in it.
    """
    columns = _Columns(z, id_column, id_option)
    if source == "-":
        parts = _stdin_parts(sys.stdin if stdin is None else stdin, columns)
    else:
        parts = [part for part in _file_parts(source, columns) if part.rows]
    if not parts:
        raise ValueError(f"{source} holds no row.")
    return parts


def _file_parts(source: str, columns: _Columns) -> list[TablePart]:
    path = Path(source)
    files = sorted(map(Path, glob.glob(source))) if "*" in source else [path]
    if path.is_dir():
        files = sorted(path.glob("*.parquet"))
    if not files or not all(file.is_file() for file in files):
        wanted = "no Parquet files in it" if path.is_dir() else "no such file"
        raise ValueError(f"{source}: {wanted}.")
    if files[0].suffix == ".parquet":
        folder = path if path.is_dir() else _literal_folder(path) if "*" in source else path.parent
        names = ["-".join(file.relative_to(folder).with_suffix("").parts) for file in files]
        named = zip(files, names, strict=True)
        return [part for file, name in named for part in _parquet_parts(file, name, columns)]
    if len(files) > 1:
        raise ValueError(f"{source}: of several files all must be .parquet, got {files[0].name}.")
    readers = {".npy": _array_part, ".npz": _features_part, ".safetensors": _features_part}
    if files[0].suffix not in readers:
        raise ValueError(
            f"{source}: wanted .safetensors, .npz, .npy, .parquet, a folder of Parquet files, or - "
            "for JSON lines."
        )
    _check_nothing_is_named(files[0], columns)
    return [readers[files[0].suffix](files[0])]


def _literal_folder(path: Path) -> Path:
    """Returns the folder that a pattern begins with.

    >>> _literal_folder(Path("in/2026-*/rows.parquet")).name
    'in'
    """
    while glob.has_magic(str(path.parent)):
        path = path.parent
    return path.parent


def _check_nothing_is_named(path: Path, columns: _Columns) -> None:
    """Raises ValueError if a column is asked for of a file that has no columns."""
    for option, name, default in (("--z", columns.z, "z"), (columns.id_option, columns.id, "")):
        if name != default:
            raise ValueError(
                f"{path}: {option} {name} names a column of Parquet or a key of JSON, and a "
                f"{path.suffix} file has neither."
            )


def _features_part(path: Path) -> TablePart:
    features = read_features(path, with_labels=False)
    ids: Sequence[Any] = range(len(features))
    if features.index is not None and features.source:
        ids = [f"{features.source}/{index}" for index in features.index.tolist()]
    return TablePart(path.stem, len(features), lambda: iter([RowBatch(ids, features)]))


def _array_part(path: Path) -> TablePart:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: not an array as numpy writes it ({error}).") from None
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"{path}: wanted numbers of shape (N, d), got {array.dtype} of shape {array.shape}."
        )

    def batches() -> Iterator[RowBatch]:
        for start in range(0, len(array), BATCH_ROWS):
            rows = np.array(array[start : start + BATCH_ROWS])
            ids = range(start, start + len(rows))
            yield RowBatch(ids, features_of({"z": rows}, path, start), start)

    return TablePart(path.stem, len(array), batches)


def features_of(arrays: dict[str, np.ndarray], source: object, start: int) -> Features:
    """Returns features of `z` (n, d) and its views `z__VIEW`.

    Raises ValueError that names the source, and the row that the arrays begin at.
    """
    tensors = {
        key: torch.from_numpy(array if array.dtype.kind == "f" else array.astype(np.float32))
        for key, array in arrays.items()
    }
    views = {key.removeprefix("z__"): view for key, view in tensors.items() if key != "z"}
    try:
        return Features(tensors["z"], views=views)
    except ValueError as error:
        raise ValueError(f"{source}, rows from {start:,} on: {error}") from None


# -- Parquet ---------------------------------------------------------------------------------------


def _parquet_parts(path: Path, name: str, columns: _Columns) -> list[TablePart]:
    """Returns the parts of a Parquet file: its row groups, `PART_ROWS` together at least."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: not a Parquet file ({_first_line(error)}).") from None
    for option, column in (("--z", columns.z), (columns.id_option, columns.id)):
        if column and column not in schema.names:
            raise ValueError(
                f"{path} has no column {column}; {option} names one of {', '.join(schema.names)}."
            )
    prefix = f"{columns.z}__"
    views = [column for column in schema.names if column.startswith(prefix)]
    keys = {columns.z: "z"} | {view: f"z__{view.removeprefix(prefix)}" for view in views}
    blocks = _blocks([metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)])
    digits = len(str(len(blocks) - 1))
    parts = []
    for number, (groups, start, rows) in enumerate(blocks):
        part_name = name if len(blocks) == 1 else f"{name}-{number:0{digits}}"
        reader = _ParquetRows(path, keys, columns.id, groups, start)
        parts.append(TablePart(part_name, rows, lambda rows=reader: read_ahead(rows.batches())))
    return parts


def read_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Gives items in order, and fetches the next one while the one before is worked on.

    >>> list(read_ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = reader.submit(next, items, None)
            yield item


def _blocks(sizes: Sequence[int]) -> list[tuple[list[int], int, int]]:
    """Returns (row groups, first row, rows) of blocks of at least `PART_ROWS`, but for the last.

    >>> _blocks([PART_ROWS - 1, 1, 5])
    [([0, 1], 0, 1048576), ([2], 1048576, 5)]
    """
    blocks: list[tuple[list[int], int, int]] = []
    groups: list[int] = []
    start = rows = 0
    for group, size in enumerate(sizes):
        groups.append(group)
        rows += size
        if rows >= PART_ROWS or group == len(sizes) - 1:
            blocks.append((groups, start, rows))
            start += rows
            groups, rows = [], 0
    return blocks or [([], 0, 0)]


@dataclass(frozen=True)
class _ParquetRows:
    """Some row groups of a Parquet file.

    Args:
        path: of the file.
        columns: {column: `z` or `z__VIEW`}.
        id_column: what names a row; nothing where rows are counted.
        groups: which row groups.
        start: the first row.
    """

    path: Path
    columns: dict[str, str]
    id_column: str
    groups: list[int]
    start: int

    def batches(self) -> Iterator[RowBatch]:
        """Gives the rows in batches. Raises ValueError on a column that holds no features."""
        import pyarrow.parquet as pq

        names = [*self.columns, *([self.id_column] if self.id_column else [])]
        row = self.start
        with pq.ParquetFile(self.path, pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH_ROWS, self.groups, columns=names):
                if not batch.num_rows:
                    continue
                arrays = {
                    key: self._matrix(name, batch.column(name), row)
                    for name, key in self.columns.items()
                }
                ids: Sequence[Any] = range(row, row + batch.num_rows)
                if self.id_column:
                    ids = batch.column(self.id_column).to_pylist()
                yield RowBatch(ids, features_of(arrays, self.path, row), row)
                row += batch.num_rows

    def _matrix(self, name: str, column: Any, row: int) -> np.ndarray:
        """Returns a column of lists of numbers as (n, d), whose memory is its own."""
        try:
            return np.array(matrix_of_lists(column, name, row))
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")


# -- JSON lines ------------------------------------------------------------------------------------


def _stdin_parts(lines: IO[str], columns: _Columns) -> list[TablePart]:
    """Returns the part of JSON lines, if there is a row; its first batch is read at once."""
    batches = _json_batches(lines, columns)
    first = next(batches, None)
    return [] if first is None else [TablePart("stdin", None, lambda: chain([first], batches))]


def _json_batches(lines: IO[str], columns: _Columns) -> Iterator[RowBatch]:
    """Gives the rows of JSON lines, as soon as `LINES` of them are there.

    Raises ValueError that names the line.
    """
    ids: list[Any] = []
    rows: list[list[float]] = []
    start = 0
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        name, row = _json_row(line, number, columns)
        ids.append(name)
        rows.append(row)
        if len(rows) == LINES:
            yield _json_batch(ids, rows, start)
            start, ids, rows = start + len(rows), [], []
    if rows:
        yield _json_batch(ids, rows, start)


def _json_row(line: str, number: int, columns: _Columns) -> tuple[Any, list[float]]:
    z, id_key, id_option = columns
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"line {number + 1:,} is not JSON: {error}.") from None
    row = value.get(z) if isinstance(value, dict) else value
    if not isinstance(row, list) or not row or not all(type(x) in (int, float) for x in row):
        raise ValueError(f'line {number + 1:,} must be {{"{z}": [numbers]}} or the list alone.')
    keys = value if isinstance(value, dict) else {}
    if id_key and id_key not in keys:
        raise ValueError(f"line {number + 1:,} has no key {id_key}, which {id_option} asks for.")
    return keys.get(id_key or "id", number), row


def _json_batch(ids: list[Any], rows: list[list[float]], start: int) -> RowBatch:
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise ValueError(
            f"all rows must be as wide as the first, got {min(widths)} to {max(widths)} numbers "
            f"among rows {start:,} to {start + len(rows) - 1:,}."
        )
    return RowBatch(ids, features_of({"z": np.array(rows, np.float64)}, "-", start), start)
