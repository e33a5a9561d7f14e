"""Pure: rows of a pack coloured and filtered by a metadata column, such as camera, site or day."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from heat_core.metadata import Column
    from heat_core.pack import Pack

Array = NDArray[np.float64]
Mask = NDArray[np.bool]

MAX_CATEGORIES = 12  # texts of a column that have a colour of their own; the others share one
FEW_DATES = 12  # of which each is a category
OTHER, UNKNOWN = "other", "unknown"
DAY_SECONDS = 24 * 3600


@dataclass(frozen=True, eq=False)
class MetadataColours:
    """What rows are coloured by: a number each, or a category.

    Args:
        column: the name of the metadata column.
        values: {set: (n,)}: numbers, of dates in days since 1970; or places among `categories`. nan
            where nothing is known.
        categories: what the places say, the most frequent first; nothing of numbers. `other` holds
            what is too rare for a colour of its own.
        is_date: whether the numbers are days since 1970.
    """

    column: str
    values: Mapping[str, Array]
    categories: tuple[str, ...] = ()
    is_date: bool = False

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest number that is known; (nan, nan) if none is."""
        known = np.concatenate([values[np.isfinite(values)] for values in self.values.values()])
        return (float(known.min()), float(known.max())) if len(known) else (np.nan, np.nan)


def metadata_colours(pack: Pack, column: str, set_names: Iterable[str]) -> MetadataColours:
    """Returns what the rows of sets are coloured by.

    A set that lacks the column has nan in every row.

    Args:
        column: one of `pack.metadata_columns`.
        set_names: of the sets, as `pack.sets()` gives them.

    Raises:
        KeyError: there is no such set.

    >>> import torch
    >>> from heat_core.features import Features
    >>> from heat_core.metadata import Column
    >>> from heat_core.pack import NO_EXTRA, Pack
    >>> z, y = torch.eye(3), torch.tensor([0, 1, 0])
    >>> sites = {"site": Column.of_texts(["north", "south", "north"])}
    >>> pack = Pack(Features(z, y), Features(z, metadata=sites), {}, NO_EXTRA, {})
    >>> colours = metadata_colours(pack, "site", ["test"])
    >>> colours.categories, colours.values["test"].tolist()
    (('north', 'south'), [0.0, 1.0, 0.0])
    """
    sets = dict(pack.sets())
    columns = {name: sets[name].metadata.get(column) for name in set_names}
    counts = {name: len(sets[name]) for name in columns}
    present = [values for values in columns.values() if values is not None]
    if all(values.is_number for values in present):
        numbers = {name: _numbers(values, counts[name]) for name, values in columns.items()}
        return MetadataColours(column, numbers)
    days = {text: _day(text) for values in present for text in values.names if text}
    if len(days) > FEW_DATES and None not in days.values():
        known = {text: day for text, day in days.items() if day is not None}
        values = {name: _looked_up(own, known, counts[name]) for name, own in columns.items()}
        return MetadataColours(column, values, is_date=True)
    categories = _categories(present)
    places = {text: float(place) for place, text in enumerate(categories)}
    other = places.get(OTHER, np.nan)
    places = {text: places.get(text, other) for values in present for text in values.names if text}
    values = {name: _looked_up(own, places, counts[name]) for name, own in columns.items()}
    return MetadataColours(column, values, categories)


def metadata_mask(
    colours: MetadataColours,
    wanted: Collection[str] | tuple[float, float],
) -> dict[str, Mask]:
    """Returns {set: which rows (n,) are wanted}.

    Args:
        colours: of the rows, as `metadata_colours` returns them.
        wanted: categories, with `unknown` for rows of which nothing is known; or, of numbers, the
            least and the largest, both included.
    """
    masks = {}
    for name, values in colours.values.items():
        if colours.categories:
            places = [place for place, text in enumerate(colours.categories) if text in set(wanted)]
            mask = np.isin(values, places)
            masks[name] = mask | np.isnan(values) if UNKNOWN in set(wanted) else mask
        else:
            low, high = (float(bound) for bound in wanted)
            masks[name] = (values >= low) & (values <= high)
    return masks


def _categories(columns: Iterable[Column]) -> tuple[str, ...]:
    """Returns the texts that have a colour of their own, the most frequent first, and `other`."""
    counts: dict[str, int] = {}
    for column in columns:
        if column.is_number:
            continue
        rows = np.bincount(column.values.numpy(), minlength=len(column.names))
        for text, count in zip(column.names, rows.tolist(), strict=True):
            counts[text] = counts.get(text, 0) + count
    counts.pop("", None)
    ranked = sorted(counts, key=lambda text: (-counts[text], text))
    if len(ranked) <= MAX_CATEGORIES:
        return tuple(ranked)
    return (*ranked[: MAX_CATEGORIES - 1], OTHER)


def _numbers(column: Column | None, count: int) -> Array:
    return np.full(count, np.nan) if column is None else column.numbers()


def _looked_up(column: Column | None, numbers: Mapping[str, float], count: int) -> Array:
    """Returns the number of each row's text, (n,); nan of one that has none."""
    if column is None or column.is_number:
        return np.full(count, np.nan)
    table = np.array([numbers.get(text, np.nan) for text in column.names])
    return table[column.values.numpy()]


def _day(text: str) -> float | None:
    """Returns a date or time in days since 1970; None if the text is none.

    >>> _day("1970-01-02T12:00:00"), _day("north")
    (1.5, None)
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return time.timestamp() / DAY_SECONDS
