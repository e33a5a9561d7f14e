"""Columns of Arrow tables in which each row holds a list of numbers, such as features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .texts import one_line

if TYPE_CHECKING:
    import pyarrow as pa


def matrix_of_lists(
    column: pa.Array | pa.ChunkedArray, name: str, first_row: int = 0
) -> np.ndarray:
    """Returns a column of lists of numbers as (N, d), of floating point.

    Args:
        column: of at least one row.
        name: what messages call it.
        first_row: how many rows of its file come before these.

    Raises:
        ValueError: it holds no lists of numbers, or a row has more than another, or an empty place.

    >>> import pyarrow as pa
    >>> matrix_of_lists(pa.array([[1, 2], [3, 4]]), "z")
    array([[1., 2.],
           [3., 4.]])
    """
    import pyarrow as pa
    import pyarrow.compute

    compute: Any = pyarrow.compute  # its functions are made as it is imported
    shown, kind = one_line(name, 60), column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not (is_list or pa.types.is_fixed_size_list(kind)):
        raise ValueError(f"{shown} must hold a list of numbers a row, got {one_line(kind, 60)}.")
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    values = compute.list_flatten(column)
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise ValueError(f"{shown} must hold lists of numbers, got {one_line(kind, 60)}.")
    lengths = compute.fill_null(compute.list_value_length(column), -1).to_numpy(False)
    other = np.flatnonzero((lengths != lengths[0]) | (lengths < 0))
    if len(other):
        row = int(other[0])
        raise ValueError(
            f"{shown} must hold as many numbers in every row, got {_count(lengths[0])} in row "
            f"{first_row + 1:,} and {_count(lengths[row])} in row {first_row + row + 1:,}."
        )
    if values.null_count:
        place = int(np.flatnonzero(compute.is_null(values).to_numpy(False))[0])
        row = first_row + place // int(lengths[0]) + 1
        raise ValueError(f"{shown} must hold numbers alone, got an empty place in row {row:,}.")
    matrix = values.to_numpy(zero_copy_only=False).reshape(len(column), int(lengths[0]))
    return matrix if matrix.dtype.kind == "f" else matrix.astype(np.float64)


def _count(length: int) -> str:
    return "nothing" if length < 0 else f"{length:,}"
