"""Pure: what a threshold keeps of ID and catches of OOD, by the values of a metadata column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from app.pack.metadata import UNKNOWN, Array, Mask, MetadataColours
from app.pack.tables import percent
from heat_core.thresholds.proportion import Proportion

if TYPE_CHECKING:
    from heat_core.scores import SetScores

RANGES = 5  # that numbers and dates are sliced into, of about as many rows each


@dataclass(frozen=True)
class Slice:
    """The rows of ID test and of OOD sets that have one value of a metadata column.

    Args:
        value: in words: a category, or a range of numbers.
        kept: of the ID rows at or below the threshold; None where there are none.
        caught: of the OOD rows above it, put together; None where there are none.
    """

    value: str
    kept: Proportion | None
    caught: Proportion | None


def slices(
    colours: MetadataColours, scores: SetScores, threshold: float, ood_names: Sequence[str]
) -> list[Slice]:
    """Returns a slice per value of a column that any row has, in the order of the values.

    Args:
        colours: of the rows, by the column.
        scores: of the detector.
        threshold: above it means out.
        ood_names: of the OOD sets that count.

    >>> from heat_core.scores import SetScores
    >>> colours = MetadataColours("site", {"test": np.array([0.0, 0, 1])}, ("north", "south"))
    >>> scores = SetScores({"test": np.array([0.1, 0.9, 0.2])})
    >>> [(each.value, each.kept.share) for each in slices(colours, scores, 0.5, [])]
    [('north', 0.5), ('south', 1.0)]
    """
    found = []
    for value, masks in _masks_by_value(colours, ["test", *ood_names]):
        kept = _proportion([scores.test[masks["test"]] <= threshold])
        caught = _proportion([scores[name][masks[name]] > threshold for name in ood_names])
        if kept is not None or caught is not None:
            found.append(Slice(value, kept, caught))
    return found


def _proportion(flags: Iterable[Mask]) -> Proportion | None:
    together = np.concatenate([*flags, np.zeros(0, bool)])
    return Proportion.of(together) if len(together) else None


def _masks_by_value(
    colours: MetadataColours, set_names: Sequence[str]
) -> Iterator[tuple[str, dict[str, Mask]]]:
    """Gives (value in words, {set: which of its rows have it (n,)})."""
    values = {name: colours.values[name] for name in set_names}
    if colours.categories:
        for place, text in enumerate(colours.categories):
            yield text, {name: own == place for name, own in values.items()}
    else:
        for text, low, high in _ranges(colours, values["test"]):
            yield text, {name: (own >= low) & (own <= high) for name, own in values.items()}
    yield UNKNOWN, {name: np.isnan(own) for name, own in values.items()}


def _ranges(colours: MetadataColours, id_values: Array) -> Iterator[tuple[str, float, float]]:
    """Gives (in words, least, largest) of ranges that hold about as many ID test rows each.

    Args:
        id_values: (n,) of the ID test rows.
    """
    known = id_values[np.isfinite(id_values)] if np.isfinite(id_values).any() else colours.known
    if not len(known):
        return
    low, high = colours.range
    inner = np.unique(np.quantile(known, np.arange(1, RANGES) / RANGES, method="higher"))
    edges = [low, *inner[inner > low].tolist(), high]
    for i, (start, end) in enumerate(pairwise(edges)):
        first, last = colours.number_text(start), colours.number_text(end)
        if i == len(edges) - 2:
            yield f"{first} to {last}", start, end
        else:
            below = "to before" if colours.is_date else "to below"
            yield f"{first} {below} {last}", start, float(np.nextafter(end, -np.inf))


# -- in words --------------------------------------------------------------------------------------


def slices_table(column: str, found: Sequence[Slice]) -> pd.DataFrame:
    """Returns one row per slice: ID kept and OOD caught in percent, with rows and 95 % intervals.

    Args:
        column: its name.
    """
    has_ood = any(each.caught is not None for each in found)
    return pd.DataFrame(
        {
            column: each.value,
            "ID rows": 0 if each.kept is None else each.kept.n,
            "ID kept": _share_text(each.kept),
            **(
                {
                    "OOD rows": 0 if each.caught is None else each.caught.n,
                    "OOD caught": _share_text(each.caught),
                }
                if has_ood
                else {}
            ),
        }
        for each in found
    )


def _share_text(share: Proportion | None) -> str:
    if share is None:
        return "–"
    low, high = (100 * bound for bound in share.interval())
    return f"{percent(share.share)} ({low:.1f} to {high:.1f})"


def slices_finding(column: str, found: Sequence[Slice]) -> str:
    """Returns of which value least ID is kept, and whether that is more than chance, in a sentence.

    Args:
        column: its name.
    """
    kept = [(each.value, each.kept) for each in found if each.kept is not None]
    if not kept:
        return f"No ID test row has a value of {column}."
    overall = sum(share.count for _, share in kept) / sum(share.n for _, share in kept)
    value, least = min(kept, key=lambda pair: pair[1].share)
    finding = f"{column} {value}: {percent(least.share)} of ID kept, {least.n:,} rows"
    if len(kept) > 1:
        _, high = least.interval(1 - 0.05 / len(kept))  # of the least of so many
        chance = "more than chance" if high < overall else "no more than chance"
        finding += f"; of all it is {percent(overall)}. It is the least of {len(kept)}, by {chance}"
    return f"{finding}.".replace(" %", "\u00a0%")
