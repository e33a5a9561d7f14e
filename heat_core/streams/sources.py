"""Rows to score: from features files, arrays, tables or JSON lines, batch by batch."""

from __future__ import annotations

import contextlib
import glob
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import torch

from heat_core.features import Features, read_features
from heat_core.list_columns import matrix_of_lists
from heat_core.table_files import feature_matrix, numbered_columns, read_table

if TYPE_CHECKING:
    import pyarrow as pa

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
        source: a features file (.safetensors), .npz with `z`, .npy (N, d), .csv, .parquet, a folder
            of Parquet files or a pattern with `*` that names some, or `-` for JSON lines on
            standard input: `{"id": ..., "z": [...]}`, or the list alone.
        z: the column of Parquet or the key of JSON that holds the features, a list a row. Columns
            `z__VIEW` are its views. A table without a column `z` has its features in the columns
            that are numbered alike, `f0`, `f1` ..., as a pack is made of it.
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
    if files[0].suffix == ".csv":
        return [_csv_part(files[0], columns)]
    readers = {".npy": _array_part, ".npz": _features_part, ".safetensors": _features_part}
    if files[0].suffix not in readers:
        raise ValueError(
            f"{source}: wanted .safetensors, .npz, .npy, .csv, .parquet, a folder of Parquet "
            "files, or - for JSON lines."
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
                f"{path}: {option} {name} names a column of a table or a key of JSON, and a "
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


# -- tables ----------------------------------------------------------------------------------------


class _FeatureColumns(NamedTuple):
    """Where a table has its features.

    Args:
        views: {`z` or `z__VIEW`: its column of lists}, or `z` alone with its columns of numbers.
        id: the column that names a row; nothing where rows are counted.
    """

    views: dict[str, list[str]]
    id: str

    @property
    def names(self) -> list[str]:
        """All columns, without the repetition of one that is both."""
        names = [name for columns in self.views.values() for name in columns]
        return list(dict.fromkeys([*names, self.id] if self.id else names))

    def batch_of(self, table: pa.Table, source: Path, start: int) -> RowBatch:
        """Returns the rows of a table, of which the first is number `start`.

        Raises ValueError that names the source, of a column that holds no features.
        """
        try:
            arrays = {key: _matrix(table, names, start) for key, names in self.views.items()}
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from None
        ids: Sequence[Any] = range(start, start + table.num_rows)
        if self.id:
            ids = table[self.id].to_pylist()
        return RowBatch(ids, features_of(arrays, source, start), start)


def _matrix(table: pa.Table, names: Sequence[str], start: int) -> np.ndarray:
    """Returns a column of lists, or several of numbers, as (n, d), whose memory is its own."""
    if len(names) > 1:
        return feature_matrix(table, names, start)
    return np.array(matrix_of_lists(table[names[0]].combine_chunks(), names[0], start))


def _feature_columns(path: Path, names: Sequence[str], columns: _Columns) -> _FeatureColumns:
    """Returns where a table of some columns has its features.

    Raises ValueError if a column is asked for that is not there, or nothing says where they are.
    """
    if columns.id and columns.id not in names:
        raise _missing_column(path, columns.id, columns.id_option, names)
    if columns.z in names:
        prefix = f"{columns.z}__"
        views = {
            f"z__{name.removeprefix(prefix)}": [name] for name in names if name.startswith(prefix)
        }
        return _FeatureColumns({"z": [columns.z], **views}, columns.id)
    if columns.z == "z":
        with contextlib.suppress(ValueError):  # none are numbered, or several in two ways
            others = [name for name in names if name != columns.id]
            return _FeatureColumns({"z": numbered_columns(others)}, columns.id)
    raise _missing_column(path, columns.z, "--z", names)


def _missing_column(path: Path, column: str, option: str, names: Sequence[str]) -> ValueError:
    return ValueError(f"{path} has no column {column}; {option} names one of {', '.join(names)}.")


def _csv_part(path: Path, columns: _Columns) -> TablePart:
    """Returns the part of a CSV file, which is read whole. Raises ValueError of a damaged one."""
    try:
        table = read_table(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    wanted = _feature_columns(path, table.column_names, columns)

    def batches() -> Iterator[RowBatch]:
        for start in range(0, table.num_rows, BATCH_ROWS):
            yield wanted.batch_of(table.slice(start, BATCH_ROWS), path, start)

    return TablePart(path.stem, table.num_rows, batches)


def _parquet_parts(path: Path, name: str, columns: _Columns) -> list[TablePart]:
    """Returns the parts of a Parquet file: its row groups, `PART_ROWS` together at least."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: not a Parquet file ({_first_line(error)}).") from None
    wanted = _feature_columns(path, schema.names, columns)
    blocks = _blocks([metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)])
    digits = len(str(len(blocks) - 1))
    parts = []
    for number, (groups, start, rows) in enumerate(blocks):
        part_name = name if len(blocks) == 1 else f"{name}-{number:0{digits}}"
        reader = _ParquetRows(path, wanted, groups, start)
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
        columns: where its features are.
        groups: which row groups.
        start: the first row.
    """

    path: Path
    columns: _FeatureColumns
    groups: list[int]
    start: int

    def batches(self) -> Iterator[RowBatch]:
        """Gives the rows in batches. Raises ValueError on a column that holds no features."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        row = self.start
        with pq.ParquetFile(self.path, pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH_ROWS, self.groups, columns=self.columns.names):
                if not batch.num_rows:
                    continue
                yield self.columns.batch_of(pa.Table.from_batches([batch]), self.path, row)
                row += batch.num_rows


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
