"""Pure: a stream in a Parquet file that somebody brings, within bounds."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heat_core.arguments import finite_scores
from heat_core.messages import error_text
from heat_core.texts import one_line

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Array = NDArray[np.float64]

MIN_ROWS, MAX_ROWS = 60, 50_000
MAX_COLUMNS = 200
MAX_BYTES = 64 * 2**20  # of the columns that are read, unpacked
MAX_VALUES = 30  # of a column by which a stream is sliced
SCORE, P_VALUE, TIME = "score", "p_value", "time"


class SliceColumn(NamedTuple):
    """A column of few values.

    Args:
        values: (N,) the number of each row's value.
        names: of the values.
    """

    values: NDArray[np.int64]
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class StreamFile:
    """A stream of scores in the order of their times.

    Args:
        name: of the file.
        scores: (N,); of a file of p-values these with the other sign, so that larger is more OOD.
        is_of_p_values: whether they are p-values.
        times: (N,) when each row came, ascending; None where the file does not say.
        columns: {name: column} by which the stream can be sliced.
    """

    name: str
    scores: Array
    is_of_p_values: bool
    times: list[Any] | None
    columns: Mapping[str, SliceColumn]


def read_stream_file(content: bytes, name: str) -> StreamFile:
    """Returns the stream in a Parquet file, as `heat score` writes it.

    Its columns are `score`, or else `p_value`; `time`, if rows are not in order; and any others, of
    which those with few values can slice it.

    Args:
        content: of the file.
        name: of the file.

    Raises:
        ValueError: it is no such file, or too large; in one line.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(io.BytesIO(content)) as file:
            columns = _checked_columns(file)
        texts = [column for column, kind in columns.items() if _is_text(kind)]
        table = pq.read_table(
            io.BytesIO(content), columns=list(columns), read_dictionary=texts, use_threads=False
        )
        return _stream_of(table, name)
    except (pa.ArrowException, OSError, OverflowError) as error:
        raise ValueError(f"not a Parquet file that can be read ({error_text(error)}).") from None


def _checked_columns(file: pq.ParquetFile) -> dict[str, pa.DataType]:
    """Returns {column: its type} of those that are read. Raises ValueError if that is too much."""
    metadata, schema = file.metadata, file.schema_arrow
    if not MIN_ROWS <= metadata.num_rows <= MAX_ROWS:
        raise ValueError(
            f"wanted {MIN_ROWS} to {MAX_ROWS:,} rows, got {metadata.num_rows:,}; `heat watch` "
            "takes any number."
        )
    if len(schema.names) > MAX_COLUMNS or len(set(schema.names)) < len(schema.names):
        raise ValueError(
            f"wanted at most {MAX_COLUMNS} columns of different names, got {len(schema.names):,}."
        )
    if SCORE not in schema.names and P_VALUE not in schema.names:
        names = one_line(", ".join(schema.names), 100)
        raise ValueError(f"wanted a column {SCORE} or {P_VALUE}, got {names or 'none'}.")
    columns = {field.name: field.type for field in schema if _is_read(field)}
    for name in (SCORE, P_VALUE, TIME):
        if name in schema.names and name not in columns:
            raise ValueError(f"the column {name} must not be of type {schema.field(name).type}.")
    _check_size(metadata, columns)
    return columns


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_read(field: pa.Field) -> bool:
    """Returns whether a column may be scores, times or something to slice by."""
    import pyarrow as pa

    types, kind = pa.types, field.type
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_dictionary(kind):
        return True
    if _is_text(kind):
        return True
    if types.is_floating(kind):
        return field.name in (SCORE, P_VALUE, TIME)
    return types.is_temporal(kind) and field.name == TIME


def _check_size(metadata: pq.FileMetaData, columns: Mapping[str, Any]) -> None:
    """Raises ValueError if columns are too large unpacked."""
    size = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for number in range(row_group.num_columns):
            chunk = row_group.column(number)
            if chunk.path_in_schema in columns:
                size += chunk.total_uncompressed_size
    if size > MAX_BYTES:
        raise ValueError(
            f"wanted at most {MAX_BYTES // 2**20} MB in columns of scores, times and slices, got "
            f"{size / 2**20:,.0f}."
        )


def _stream_of(table: pa.Table, name: str) -> StreamFile:
    is_of_p_values = SCORE not in table.column_names
    column = P_VALUE if is_of_p_values else SCORE
    scores = finite_scores(column, _numbers(table, column))
    if is_of_p_values:
        if scores.min() < 0 or scores.max() > 1:
            raise ValueError(
                f"{P_VALUE} must lie between 0 and 1, got {scores.min():g} to {scores.max():g}."
            )
        scores = -scores
    times, order = _times(table, len(scores))
    columns = {}
    for other in table.column_names:
        if other not in (SCORE, P_VALUE, TIME):
            sliced = _slice_column(table.column(other))
            if sliced is not None:
                columns[one_line(other, 60)] = SliceColumn(sliced.values[order], sliced.names)
    return StreamFile(name, scores[order], is_of_p_values, times, columns)


def _numbers(table: pa.Table, name: str) -> Array:
    """Returns a column of numbers, (N,), nan where there is none. Raises ValueError of text."""
    import pyarrow as pa

    column = table.column(name)
    if not pa.types.is_integer(column.type) and not pa.types.is_floating(column.type):
        raise ValueError(f"the column {name} must hold numbers, got {column.type}.")
    return column.to_numpy().astype(np.float64)


def _times(table: pa.Table, rows: int) -> tuple[list[Any] | None, NDArray[np.int64]]:
    """Returns when the rows came, ascending, and the rows in this order, (N,)."""
    if TIME not in table.column_names:
        return None, np.arange(rows)
    times = table.column(TIME).to_pylist()
    unknown = [row for row, time in enumerate(times) if time is None or time != time]
    if unknown:
        raise ValueError(f"the column {TIME} says nothing in row {unknown[0]:,}.")
    order = sorted(range(rows), key=times.__getitem__)  # stable: rows of one time as they came
    return [times[row] for row in order], np.array(order)


def _slice_column(column: pa.ChunkedArray) -> SliceColumn | None:
    """Returns a column as numbers of its values; None unless it has a few."""
    import pyarrow as pa

    whole = column.combine_chunks()
    encoded = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
    if len(encoded.dictionary) > 10 * MAX_VALUES:
        return None
    names = [one_line(value, 60) for value in encoded.dictionary.to_pylist()]
    values = encoded.indices.fill_null(len(names)).to_numpy().astype(np.int64)
    used, numbers = np.unique(values, return_inverse=True)
    if not 2 <= len(used) <= MAX_VALUES:
        return None
    return SliceColumn(numbers, tuple([*names, "none"][value] for value in used))
