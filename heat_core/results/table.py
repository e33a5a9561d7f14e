"""The paper's table: every detector against every OOD set of a pack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heat_core.metrics import separation
from heat_core.pack import GROUPS

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class SetResult:
    """One detector against one OOD set of n images. Every figure is a fraction."""

    detector: str
    set: str
    group: str
    n: int
    auroc: float
    auroc_error: float
    fpr95: float
    fpr95_ood: float
    aupr: float


@dataclass(frozen=True)
class GroupMean:
    """A mean over the sets of a group, or (`average`) over the means of the groups."""

    detector: str
    group: str
    auroc: float
    fpr95: float
    fpr95_ood: float
    aupr: float


@dataclass(frozen=True)
class Table:
    """Rows per set, and their averages."""

    rows: tuple[SetResult, ...]
    averages: tuple[GroupMean, ...]

    def average(self, detector: str, group: str = "average") -> GroupMean:
        """Returns one average. Raises KeyError if there is none."""
        for entry in self.averages:
            if (entry.detector, entry.group) == (detector, group):
                return entry
        raise KeyError((detector, group))

    @property
    def detectors(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.detector for row in self.rows))

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that have a set, then `average`."""
        return tuple(dict.fromkeys(entry.group for entry in self.averages))


def tabulate(scores: Mapping[str, Mapping[str, Scores]], sets: Iterable[tuple[str, str]]) -> Table:
    """Returns the table of scores.

    Args:
        scores: {detector: {set: (n,) scores}}, the set `test` being the ID one, others named `group_name`.
        sets: (group, name) of the OOD sets, in order.
    """
    sets = list(sets)
    rows = [
        _row(name, by_set, group, short) for name, by_set in scores.items() for group, short in sets
    ]
    averages = [
        entry
        for name in scores
        for entry in _averages(name, [row for row in rows if row.detector == name])
    ]
    return Table(tuple(rows), tuple(averages))


def grouped(by_set: Mapping[str, Scores], sets: Iterable[tuple[str, str]]) -> dict[str, Scores]:
    """Returns {`ID`, near, mid, far: scores}, the sets of a group put together; a group without a set is left out."""
    sets = list(sets)
    members = {group: [by_set[f"{g}_{name}"] for g, name in sets if g == group] for group in GROUPS}
    return {"ID": by_set["test"]} | {
        group: np.concatenate(parts) for group, parts in members.items() if parts
    }


def _row(detector: str, by_set: Mapping[str, Scores], group: str, name: str) -> SetResult:
    outside = by_set[f"{group}_{name}"]
    return SetResult(
        detector, name, group, len(outside), **asdict(separation(by_set["test"], outside))
    )


def _averages(detector: str, rows: Sequence[SetResult]) -> list[GroupMean]:
    def mean(entries: Sequence[SetResult | GroupMean], group: str) -> GroupMean:
        figures = ("auroc", "fpr95", "fpr95_ood", "aupr")
        return GroupMean(
            detector,
            group,
            *(float(np.mean([getattr(entry, f) for entry in entries])) for f in figures),
        )

    by_group = [
        mean([row for row in rows if row.group == g], g)
        for g in GROUPS
        if any(row.group == g for row in rows)
    ]
    return [*by_group, mean(by_group, "average")]


def over_seeds(tables: Sequence[Table]) -> tuple[Table, Table]:
    """Returns the tables' mean, and their standard deviation over seeds (0 of one table)."""
    figures = ("auroc", "fpr95", "fpr95_ood", "aupr")

    def put_together(entries: Sequence[Any], summary: Callable) -> Any:
        return replace(
            entries[0],
            **{f: float(summary([getattr(entry, f) for entry in entries])) for f in figures},
        )

    def all_together(summary: Callable) -> Table:
        rows = [
            put_together(entries, summary)
            for entries in zip(*(table.rows for table in tables), strict=True)
        ]
        averages = [
            put_together(entries, summary)
            for entries in zip(*(table.averages for table in tables), strict=True)
        ]
        return Table(tuple(rows), tuple(averages))

    return all_together(np.mean), all_together(
        lambda values: np.std(values, ddof=1) if len(values) > 1 else 0.0
    )
