"""Metadata columns: what is known of each row beside its features, such as camera, site or date."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .texts import one_line

ID_COLUMN = "id"  # the column that names each row
META = "__meta_"  # between the key of features and a column's name, as the key of an array
MAX_NAME_LENGTH = 60  # of a column's name
_VALUES, _NAMES = "column__", "names__"  # begin the keys of a column in a features file


@dataclass(frozen=True, eq=False)
class Column:
    """One metadata column: a number or a text a row.

    Args:
        values: (N,) float64 numbers, nan where one is unknown; or (N,) int64 positions in `names`.
        names: the distinct texts, in order; none of a column of numbers. An empty text is unknown.

    Raises:
        ValueError: the values are of neither kind, or a position is beyond the names.

    >>> column = Column.of_texts(["night", "day", "night"])
    >>> column.names, column.values.tolist(), column.take(torch.tensor([0])).texts()
    (('day', 'night'), [1, 0, 1], ['night'])
    """

    values: Tensor
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wanted = torch.int64 if self.names else torch.float64
        if self.values.ndim != 1 or self.values.dtype != wanted:
            raise ValueError(
                f"a metadata column must be (N,) {wanted}, got {self.values.dtype} of shape "
                f"{tuple(self.values.shape)}."
            )
        if self.names and len(self.values):
            low, high = int(self.values.min()), int(self.values.max())
            if low < 0 or high >= len(self.names):
                raise ValueError(f"a metadata column has {len(self.names)} names, got no. {high}.")

    @classmethod
    def of_texts(cls, texts: Iterable[object]) -> Self:
        """Returns the column of texts, one a row; None is an empty one."""
        lines = ["" if text is None else one_line(text) for text in texts]
        names, positions = np.unique(np.array(lines, dtype=object), return_inverse=True)
        return cls(torch.from_numpy(positions.astype(np.int64)), tuple(names.tolist()))

    @classmethod
    def of_array(cls, array: ArrayLike) -> Self:
        """Returns the column of an array (N,) of numbers, truths or texts.

        Raises ValueError if it is of another shape, or of complex numbers or the like.

        >>> Column.of_array([20.5, float("nan")]).values
        tensor([20.5000,     nan], dtype=torch.float64)
        """
        values = np.asarray(array)
        if values.ndim != 1:
            raise ValueError(f"wanted one value a row, of shape (N,), got {values.shape}.")
        if values.dtype.kind == "O" and all(value is None for value in values):
            values = np.full(len(values), np.nan)
        if values.dtype.kind in "iuf":
            return cls(torch.from_numpy(values.astype(np.float64)))
        if values.dtype.kind == "b":
            return cls.of_texts("true" if value else "false" for value in values)
        if values.dtype.kind in "OUM":
            return cls.of_texts(values.tolist() if values.dtype.kind == "O" else values.astype(str))
        raise ValueError(f"wanted numbers or texts, got {values.dtype}.")

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers, rather than texts."""
        return not self.names

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Tensor) -> Column:
        """Returns the column of rows (n,), positions or a mask (N,)."""
        return Column(self.values[rows.to(self.values.device)], self.names)

    def text(self, row: int) -> str:
        """Returns what to show for a row, as `texts` does."""
        value = self.values[row].item()
        return self.names[int(value)] if self.names else number_text(value)

    def texts(self) -> list[str]:
        """Returns what to show for each row; nothing where nothing is known."""
        if self.is_number:
            return [number_text(number) for number in self.values.tolist()]
        return [self.names[i] for i in self.values.tolist()]

    def numbers(self) -> NDArray[np.float64]:
        """Returns the values of a column of numbers, (N,)."""
        return self.values.numpy()


Metadata = Mapping[str, Column]
"""{column: its values} of a set of rows."""


def number_text(number: float) -> str:
    """Returns a number to show: a whole one, such as an id, with all its digits.

    >>> number_text(1234567.0), number_text(0.123456789), number_text(float("nan"))
    ('1234567', '0.123457', '')
    """
    if np.isnan(number):
        return ""
    return f"{number:.0f}" if number.is_integer() and abs(number) < 2**53 else f"{number:.6g}"


def check_metadata(metadata: Metadata, rows: int) -> None:
    """Raises ValueError unless every column has a name to show and as many values as rows."""
    for name, column in metadata.items():
        if not name or name != one_line(name, MAX_NAME_LENGTH):
            raise ValueError(
                f"the name of a metadata column must be up to {MAX_NAME_LENGTH} letters in one "
                f"line, got {name[:80]!r}."
            )
        if len(column) != rows:
            raise ValueError(
                f"the metadata column {name} must have {rows:,} values as z has rows, got "
                f"{len(column):,}."
            )


def with_one_kind(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns a pack's arrays with metadata columns (n,) that are texts in every set, or in none.

    Numbers become texts where another set has texts in the same column: `7` beside `A7`.

    >>> arrays = {"train_z__meta_site": np.array([7]), "near_a__meta_site": np.array(["A7"])}
    >>> with_one_kind(arrays)["train_z__meta_site"].tolist()
    ['7']
    """
    columns = {
        key: Column.of_array(array) for key, array in arrays.items() if _is_column(key, array)
    }
    with_texts = {_column_of(key) for key, column in columns.items() if not column.is_number}
    numbers = {key for key, column in columns.items() if column.is_number}
    return {
        key: np.array(columns[key].texts(), object)
        if key in numbers and _column_of(key) in with_texts
        else array
        for key, array in arrays.items()
    }


def _is_column(key: str, array: np.ndarray) -> bool:
    return META in key and array.ndim == 1


def _column_of(key: str) -> str:
    return key.partition(META)[2]


# -- in a features file ----------------------------------------------------------------------------


def metadata_tensors(metadata: Metadata) -> dict[str, Tensor]:
    """Returns {key: tensor} that a features file keeps of metadata; older readers pass over it."""
    tensors = {}
    for name, column in metadata.items():
        tensors[f"{_VALUES}{name}"] = column.values
        if column.names:
            packed = json.dumps(column.names).encode()
            tensors[f"{_NAMES}{name}"] = torch.frombuffer(bytearray(packed), dtype=torch.uint8)
    return tensors


def metadata_from_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Column]:
    """Returns the metadata among the tensors of a features file.

    Raises ValueError if the names of a column are damaged.
    """
    metadata = {}
    for key, values in tensors.items():
        if not key.startswith(_VALUES):
            continue
        name = key.removeprefix(_VALUES)
        packed = tensors.get(f"{_NAMES}{name}")
        metadata[name] = Column(values, () if packed is None else _names_in(packed, name))
    return metadata


def _names_in(packed: Tensor, name: str) -> tuple[str, ...]:
    try:
        names = json.loads(packed.numpy().tobytes())
    except (ValueError, TypeError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(text, str) for text in names):
        raise ValueError(f"the names of the metadata column {name} are damaged.")
    return tuple(map(one_line, names))
