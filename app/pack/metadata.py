"""Pure: rows of a pack coloured and filtered by a metadata column, such as camera, site or day."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.incoming import numbers_within
from heat_core.texts import one_line

if TYPE_CHECKING:
    from heat_core.metadata import Column
    from heat_core.pack import Pack

Array = NDArray[np.float64]
Mask = NDArray[np.bool]

MAX_CATEGORIES = 12  # texts of a column that have a colour of their own; the others share one
FEW_DATES = 12  # of which each is a category
OTHER, UNKNOWN = "other", "unknown"
DAY_SECONDS = 24 * 3600
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_CONDITIONS = 8  # of a link
MAX_CONDITIONS_LENGTH = 2000  # characters of them in a link
LARGEST = 1e300  # number in a link


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

    @cached_property
    def known(self) -> Array:
        """(rows,) the values of all sets that are known and finite."""
        return np.concatenate([values[np.isfinite(values)] for values in self.values.values()])

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest number that is known; (nan, nan) if none is."""
        if not len(self.known):
            return np.nan, np.nan
        return float(self.known.min()), float(self.known.max())

    @cached_property
    def counts(self) -> dict[str, int]:
        """{category: its rows in all sets}, the most frequent first; `unknown` comes last."""
        places = self.known.astype(np.int64)
        rows = np.bincount(places, minlength=len(self.categories)).tolist()
        counts = dict(zip(self.categories, rows, strict=True)) if self.categories else {}
        unknown = sum(int(np.isnan(values).sum()) for values in self.values.values())
        return {**counts, UNKNOWN: unknown} if unknown else counts

    def takes(self, wanted: Collection[str] | tuple[float, float]) -> bool:
        """Returns whether these are values of its kind: some of its categories, or two numbers."""
        if self.categories:
            return bool(wanted) and set(wanted) <= {*self.categories, UNKNOWN}
        return len(wanted) == 2 and not any(isinstance(bound, str) for bound in wanted)

    def number_text(self, number: float) -> str:
        """Returns one of its numbers as one reads it; of dates, the day."""
        return day_of(number).isoformat() if self.is_date else f"{number:.4g}"

    def condition(self, wanted: Collection[str] | tuple[float, float]) -> Condition | None:
        """Returns the condition that rows are of some values; None where that leaves out nothing.

        Args:
            wanted: as `metadata_mask` takes it; no category is all of them.
        """
        if self.categories:
            names = tuple(name for name in self.counts if name in set(wanted))
            all_wanted = len(names) in (0, len(self.counts))
            return None if all_wanted else Condition(self.column, names, ", ".join(names))
        low, high = (float(bound) for bound in wanted)
        if low <= self.range[0] and high >= self.range[1]:
            return None
        text = f"{self.number_text(low)} to {self.number_text(high)}"
        return Condition(self.column, (low, high), text)


@dataclass(frozen=True)
class Condition:
    """That rows have some values of a metadata column.

    Args:
        column: its name.
        wanted: categories, with `unknown` for rows of which nothing is known; or the least and the
            largest number, both included.
        text: the values in words.
    """

    column: str
    wanted: tuple[str, ...] | tuple[float, float]
    text: str = ""

    @property
    def label(self) -> str:
        """What a chip says of it, such as `camera: A, B`."""
        return one_line(f"{self.column}: {self.text}", 100)


def conditions_text(conditions: Iterable[Condition]) -> str:
    """Returns conditions as text for a link; nothing if there are none, or too many or too long.

    >>> conditions_text([Condition("camera", ("A", "B")), Condition("age", (20.0, 50.0))])
    '[["camera",["A","B"]],["age",[20.0,50.0]]]'
    """
    pairs = [[condition.column, condition.wanted] for condition in conditions]
    text = json.dumps(pairs, ensure_ascii=False, separators=(",", ":"))
    fits = len(pairs) <= MAX_CONDITIONS and len(text) <= MAX_CONDITIONS_LENGTH
    return text if pairs and fits else ""


def parse_conditions(text: str) -> tuple[Condition, ...]:
    """Returns the conditions of a link's text; none if it is of another form.

    >>> [condition.wanted for condition in parse_conditions('[["camera",["A"]],["age",[20,50]]]')]
    [('A',), (20.0, 50.0)]
    >>> parse_conditions('[["age",[20]]]'), parse_conditions("{}"), parse_conditions("[[")
    ((), (), ())
    """
    if len(text) > MAX_CONDITIONS_LENGTH:
        return ()
    try:
        pairs = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(pairs, list) or len(pairs) > MAX_CONDITIONS:
        return ()
    conditions = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            return ()
        column, wanted = pair
        numbers = numbers_within(wanted, -LARGEST, LARGEST, 2)
        if numbers is not None:
            conditions.append(Condition(column, (numbers[0], numbers[1])))
        elif isinstance(wanted, list) and all(isinstance(name, str) for name in wanted):
            conditions.append(Condition(column, tuple(wanted)))
        else:
            return ()
    return tuple(conditions)


def day_of(days: float) -> date:
    """Returns the day of a number of days since 1970.

    >>> day_of(20454.5).isoformat()
    '2026-01-01'
    """
    return (EPOCH + timedelta(days=days)).date()


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
