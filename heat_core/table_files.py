"""Tables of features, Parquet or CSV: their columns become the arrays of a pack."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .list_columns import matrix_of_lists
from .metadata import ID_COLUMN, META
from .npz import listed
from .set_name import ID_SETS, PSEUDO_GROUPS
from .texts import one_line

if TYPE_CHECKING:
    import pyarrow as pa

SET_PREFIXES = ("near_", "mid_", "far_", *(f"{group}_" for group in PSEUDO_GROUPS))
SET_WORDS = "train, test, val, near_NAME, mid_NAME, far_NAME or pseudo_NAME"
NUMBERED = re.compile(r"(.*?)(\d+)", re.DOTALL)
LIST_COLUMN = "z"  # of lists, as features come where each row has one
LABEL_NAMES = ("label", "y", "class")
SET_NAMES = ("set", "split")
MAX_BLOCK_BYTES = 2**30  # of a CSV that are read at once
MAX_HEADER_BYTES = 2**20  # of a CSV's first line that are looked at


@dataclass(frozen=True)
class ColumnNames:
    """Which columns of tables hold what. What is not said has a usual name, or is not there.

    Every other column is metadata.

    Args:
        features: names or patterns such as `f*`, with commas; by default `z`, a column of lists, or
            else the columns that are numbered: `f0`, `f1` ...
        label: by default `label`, `y` or `class`.
        id: what names a row; by default `id`.
        set: which set a row is of, where a file holds several; by default `set` or `split`.

    >>> ColumnNames("pc*").label
    ''
    """

    features: str = ""
    label: str = ""
    id: str = ""
    set: str = ""


USUAL_NAMES = ColumnNames()


def is_set_name(text: str) -> bool:
    """Returns whether a text is the name of a set of a pack.

    >>> is_set_name("train"), is_set_name("near_cats"), is_set_name("cats")
    (True, True, False)
    """
    return text in ID_SETS or any(
        text.startswith(prefix) and text != prefix for prefix in SET_PREFIXES
    )


def features_key(set_name: str) -> str:
    """Returns the key that the features of a set have among the arrays of a pack.

    >>> features_key("train"), features_key("near_cats")
    ('train_z', 'near_cats')
    """
    return f"{set_name}_z" if set_name in ID_SETS else set_name


# -- files -----------------------------------------------------------------------------------------


def read_table(path: Path) -> pa.Table:
    """Returns the table in a Parquet or CSV file.

    Raises ValueError if it is damaged, its rows are of different length, or two columns share a
    name.
    """
    import pyarrow as pa

    is_csv = path.suffix.lower() == ".csv"
    try:
        table = _read_csv(path) if is_csv else _read_parquet(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        kind = "CSV of equally long rows" if is_csv else "Parquet file"
        reason = one_line(error).split(". If ")[0].rstrip(".")
        raise ValueError(f"not a {kind} ({reason}).") from None
    repeated = [name for name, times in Counter(table.column_names).items() if times > 1]
    if repeated:
        raise ValueError(f"the column {repeated[0][:60]} is there twice; wanted each name once.")
    if not table.num_rows:
        raise ValueError("it holds no row.")
    return table


def _read_parquet(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_table(path)


def _read_csv(path: Path) -> pa.Table:
    from pyarrow import csv

    with path.open("rb") as file:
        header = file.readline(MAX_HEADER_BYTES)
    if b"," not in header and b";" in header:
        raise ValueError("its columns are separated by semicolons; wanted commas, and 0.5 for 0,5.")
    # in one block, so that the type of a column is that of all its rows
    block_size = min(max(path.stat().st_size, 1) + 1, MAX_BLOCK_BYTES)
    table = csv.read_csv(path, csv.ReadOptions(block_size=block_size))
    headers = table.column_names
    is_numbered = {*headers} <= {str(i) for i in range(len(headers) + 1)}
    if not is_numbered and all(map(_is_number, headers)):
        raise ValueError(
            "its first line holds numbers; wanted the names of the columns, such as f0,f1,label."
        )
    return table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# -- columns ---------------------------------------------------------------------------------------


def arrays_of_table(
    table: pa.Table, file_name: str, columns: ColumnNames = USUAL_NAMES
) -> dict[str, np.ndarray]:
    """Returns the arrays of a pack that a table holds, {key: array}, as `pack_from_arrays` wants.

    Args:
        table: a row an input.
        file_name: the name of its file without an ending: the set that all rows are of, or any
            other where a column says the set of each row.
        columns: which of its columns hold what.

    Raises:
        ValueError: a column is not there or not what it should be, or nothing says the set.

    >>> import pyarrow as pa
    >>> table = pa.table({"f0": [0.5, 2.0], "f1": [1.0, 3.0], "y": ["cat", "dog"], "site": [1, 2]})
    >>> sorted(arrays_of_table(table, "train"))
    ['train_y', 'train_z', 'train_z__meta_site']
    """
    label = _one_column(table, "label", columns.label, LABEL_NAMES)
    row_id = _one_column(table, "id", columns.id, (ID_COLUMN,))
    asks_for_set = bool(columns.set) or not is_set_name(file_name)
    set_column = _one_column(table, "set", columns.set, SET_NAMES) if asks_for_set else ""
    if not set_column and not is_set_name(file_name):
        raise ValueError(
            f"which set is it? Call the file {SET_WORDS}, or have a column `set` that says it for "
            "each row."
        )
    taken = {label, row_id, set_column} - {""}
    features = _feature_arrays(table, columns.features, taken)
    taken |= features.columns
    arrays: dict[str, np.ndarray] = {}
    for set_name, rows in _rows_of_sets(table, set_column, file_name):
        key = features_key(set_name)
        for view, values in features.arrays.items():
            arrays[f"{key}{view}"] = values[rows]
        if label:
            label_key = f"{set_name}_y" if set_name in ID_SETS else f"{key}{META}{label}"
            labels = _labels(table, label, rows, set_name)
            if labels is not None:
                arrays[label_key] = labels
        if row_id:
            arrays[f"{key}{META}{ID_COLUMN}"] = _values(table, row_id)[rows]
        for name in table.column_names:
            if name not in taken:
                arrays[f"{key}{META}{name}"] = _values(table, name)[rows]
    return arrays


def _one_column(table: pa.Table, what: str, asked: str, usual: Sequence[str]) -> str:
    """Returns the name of a column that was asked for, or else has a usual name; nothing if none.

    Raises ValueError if the one that was asked for is not there.
    """
    if asked:
        _check_column(table, what, asked)
        return asked
    return next((name for name in usual if name in table.column_names), "")


def _check_column(table: pa.Table, what: str, asked: str) -> None:
    if asked not in table.column_names:
        known = listed(table.column_names, most=12)
        raise ValueError(f"there is no column {asked[:60]!r} (--{what}); there are {known}.")


def _rows_of_sets(
    table: pa.Table, set_column: str, file_name: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Gives (name of a set, its rows (n,)) of a table.

    Raises ValueError if a row is of no set.
    """
    if not set_column:
        yield file_name, np.arange(table.num_rows)
        return
    names, first_rows, places = np.unique(
        [str(value) for value in table[set_column].to_pylist()],
        return_index=True,
        return_inverse=True,
    )
    for place, (name, row) in enumerate(zip(names.tolist(), first_rows.tolist(), strict=True)):
        if not is_set_name(name):
            raise ValueError(
                f"{set_column} must be {SET_WORDS} in every row, got {name[:60]!r} in row "
                f"{row + 1:,}."
            )
        yield name, np.flatnonzero(places == place)


def _labels(table: pa.Table, label: str, rows: np.ndarray, set_name: str) -> np.ndarray | None:
    """Returns the labels of some rows (n,): whole numbers or texts; None if no row has one.

    Raises ValueError if some have one and others not, or one is no whole number and no text.
    """
    column = table[label].take(rows)
    values = _values_of(column, label)
    missing = np.flatnonzero([value in (None, "") or value != value for value in values.tolist()])
    if len(missing) == len(column):
        return None
    if len(missing):
        raise ValueError(f"{label} is missing in row {rows[missing[0]] + 1:,}, of {set_name}.")
    if values.dtype.kind == "f":
        fractions = np.flatnonzero(values != np.floor(values))
        if len(fractions):
            row = fractions[0]
            raise ValueError(
                f"{label} must be whole numbers or words, got {values[row]} in row "
                f"{rows[row] + 1:,}."
            )
        return values.astype(np.int64)
    return values


def _values(table: pa.Table, name: str) -> np.ndarray:
    """Returns a column of numbers or texts, (N,)."""
    return _values_of(table[name], name)


def _values_of(column: pa.ChunkedArray, name: str) -> np.ndarray:
    """Returns the values of a column (N,): numbers, or objects that are texts or None.

    Raises ValueError if it holds neither.
    """
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        if column.null_count or pa.types.is_decimal(kind):
            column = column.cast(pa.float64())
        return column.to_numpy()
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise ValueError(
            f"the column {one_line(name, 60)} holds {one_line(kind, 60)}: neither features nor "
            "metadata; leave it out."
        )
    return np.array(column.cast(pa.string()).to_pylist(), dtype=object)


# -- features --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _FeatureArrays:
    """Features and their views.

    Args:
        arrays: {what follows the key of the features: (N, d)}: nothing, or `__VIEW`.
        columns: that they were read from.
    """

    arrays: dict[str, np.ndarray]
    columns: set[str]


def _feature_arrays(table: pa.Table, asked: str, taken: set[str]) -> _FeatureArrays:
    """Returns the features of a table; its other columns, but for those that are taken, may not be.

    Raises ValueError if none are found, or they are not numbers.
    """
    import pyarrow as pa

    names = [name for name in table.column_names if name not in taken]
    patterns = [pattern.strip() for pattern in asked.split(",") if pattern.strip()]
    if not patterns and LIST_COLUMN in names:
        patterns = [LIST_COLUMN]
    if (
        len(patterns) == 1
        and patterns[0] in names
        and pa.types.is_nested(table.schema.field(patterns[0]).type)
    ):
        return _list_features(table, patterns[0], names)
    wanted = _asked_columns(table, patterns, names) if patterns else numbered_columns(names)
    return _FeatureArrays({"": feature_matrix(table, wanted)}, set(wanted))


def _asked_columns(table: pa.Table, patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    """Returns the columns of names and patterns, those of a pattern by their number.

    Raises ValueError if there is none of a name or pattern.
    """
    wanted: dict[str, None] = {}
    for pattern in patterns:
        matching = [name for name in names if name == pattern or fnmatchcase(name, pattern)]
        if not matching:
            _check_column(table, "features", pattern)
        wanted |= dict.fromkeys(sorted(matching, key=_natural_order))
    return list(wanted)


def numbered_columns(names: Sequence[str]) -> list[str]:
    """Returns the columns that are numbered alike, most of them at once, by number.

    Raises ValueError if there are none, or as many of another name.

    >>> numbered_columns(["f0", "site", "f10", "f2", "day1"])
    ['f0', 'f2', 'f10']
    """
    by_prefix: dict[str, list[str]] = {}
    for name in names:
        if match := NUMBERED.fullmatch(name):
            by_prefix.setdefault(match[1], []).append(name)
    families = sorted(by_prefix.values(), key=len, reverse=True)
    if not families or len(families[0]) < 2:
        raise ValueError(
            "no features found; wanted a column z of lists, or numbered columns such as f0, f1, or "
            f"say which columns they are (--features); got {listed(names, most=12)}."
        )
    if len(families) > 1 and len(families[1]) == len(families[0]):
        raise ValueError(
            f"the features may be {families[0][0]} ... or {families[1][0]} ...; say which "
            "(--features)."
        )
    return sorted(families[0], key=_natural_order)


def _natural_order(name: str) -> tuple[str, int]:
    """Returns what sorts f2 before f10."""
    match = NUMBERED.fullmatch(name)
    return (match[1], int(match[2])) if match else (name, -1)


def feature_matrix(table: pa.Table, names: Sequence[str], first_row: int = 0) -> np.ndarray:
    """Returns columns of numbers side by side, (N, d).

    Raises ValueError that names the column and the row, counted from `first_row`, of what is no
    finite number.

    >>> import pyarrow as pa
    >>> feature_matrix(pa.table({"f0": [0.5, 2.0], "f1": [1.0, 3.0]}), ["f0", "f1"]).tolist()
    [[0.5, 1.0], [2.0, 3.0]]
    """
    return np.stack([_feature_column(table, name, first_row) for name in names], 1)


def _feature_column(table: pa.Table, name: str, first_row: int) -> np.ndarray:
    """Returns a column of numbers, (N,). Raises ValueError if a row has none, or a text."""
    import pyarrow as pa

    column = table[name]
    kind = column.type
    shown = one_line(name, 60)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        row, value = _first_text(column)
        raise ValueError(
            f"the feature {shown} must be a number in every row, got {value!r} in row "
            f"{first_row + row + 1:,}; "
            "say which columns are features (--features) if it is none."
        )
    values = column.to_numpy() if not column.null_count else column.cast(pa.float64()).to_numpy()
    broken = np.flatnonzero(~np.isfinite(values))
    if len(broken):
        row = int(broken[0])
        came = "nothing" if column[row].as_py() is None else str(values[row])
        raise ValueError(
            f"the feature {shown} must be a finite number in every row, got {came} in row "
            f"{first_row + row + 1:,} ({len(broken):,} in all)."
        )
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def _first_text(column: pa.ChunkedArray) -> tuple[int, str]:
    """Returns the first row of a column that is no number, and what stands there."""
    for row, value in enumerate(column.to_pylist()):
        if not _is_number(str(value)):
            return row, one_line(value, 40)
    return 0, one_line(column[0].as_py(), 40)


def _list_features(table: pa.Table, name: str, names: Sequence[str]) -> _FeatureArrays:
    """Returns the features in a column of lists, and their views, columns `NAME__VIEW`."""
    views = [view for view in names if view.startswith(f"{name}__")]
    arrays = {
        view.removeprefix(name): matrix_of_lists(table[view], view) for view in (name, *views)
    }
    return _FeatureArrays(arrays, {name, *views})
