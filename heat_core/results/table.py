"""The paper's table: every detector against every OOD set of a pack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from heat_core.metrics import separation
from heat_core.pack import GROUPS
from heat_core.set_name import SetName

Array = NDArray[np.float64]
AllScores = Mapping[str, Mapping[str, Array]]
"""{detector: {set: (n,) scores}}; `test` is the ID set, the names of others are `SetName`s."""

FIGURES = ("auroc", "fpr95", "fpr95_ood", "aupr")  # that have means over sets and seeds


@dataclass(frozen=True)
class SetResult:
    """The figures of one detector on one OOD set of n images; every figure is a fraction.

    `set` is the set's short name, as files of results write it. No average counts a set that
    `is_apart`.
    """

    detector: str
    set: str
    group: str
    n: int
    auroc: float
    auroc_error: float
    fpr95: float
    fpr95_ood: float
    aupr: float
    is_apart: bool = False

    @property
    def set_name(self) -> str:
        """The set's name in a pack, such as `near_cifar100`."""
        return str(SetName(self.group, self.set))


@dataclass(frozen=True)
class GroupMean:
    """The mean figures of one detector over the sets of a group, or (`average`) over groups."""

    detector: str
    group: str
    auroc: float
    fpr95: float
    fpr95_ood: float
    aupr: float


@dataclass(frozen=True)
class Table:
    """The results of detectors on OOD sets, and their means.

    Args:
        rows: a result per detector and set.
        averages: a mean per detector and group that has a set to count, then one over these groups.

    >>> scores = {"test": np.array([1.0, 2.0, 3.0]), "near_a": np.array([2.5, 4.0])}
    >>> table = tabulate({"KNN": scores}, [("near", "a")])
    >>> round(table.average("KNN").auroc, 3), table.groups
    (0.833, ('near', 'average'))
    """

    rows: tuple[SetResult, ...]
    averages: tuple[GroupMean, ...]

    def average(self, detector: str, group: str = "average") -> GroupMean:
        """Returns the mean of a detector over a group. Raises KeyError if there is none."""
        for mean in self.averages:
            if (mean.detector, mean.group) == (detector, group):
                return mean
        raise KeyError((detector, group))

    @property
    def detectors(self) -> tuple[str, ...]:
        """The detectors, in order."""
        return tuple(dict.fromkeys(row.detector for row in self.rows))

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that have a set, then `average`."""
        return tuple(dict.fromkeys(mean.group for mean in self.averages))


def tabulate(
    scores: AllScores,
    sets: Iterable[tuple[str, str]],
    averaged: Iterable[tuple[str, str]] | None = None,
) -> Table:
    """Returns the table of scores.

    Args:
        scores: {detector: {set: (n,) scores}}.
        sets: (group, name) of the OOD sets, in order.
        averaged: those of them that averages count; all if not given. See `Pack.averaged`.
    """
    set_names = [SetName(*key) for key in sets]
    counted = set(set_names if averaged is None else averaged)
    rows: list[SetResult] = []
    averages: list[GroupMean] = []
    for detector, set_scores in scores.items():
        results = [
            replace(_result_of(detector, set_scores, name), is_apart=name not in counted)
            for name in set_names
        ]
        rows += results
        averages += _group_means(detector, results)
    return Table(tuple(rows), tuple(averages))


def _result_of(detector: str, scores: Mapping[str, Array], name: SetName) -> SetResult:
    outside = scores[str(name)]
    figures = asdict(separation(scores["test"], outside))
    return SetResult(detector, name.short_name, name.group, len(outside), **figures)


def _group_means(detector: str, results: Sequence[SetResult]) -> list[GroupMean]:
    """Returns a mean per group that has a set which averages count, then the mean of these.

    Nothing without a set.
    """
    if not results:
        return []
    means = []
    for group in GROUPS:
        in_group = [each for each in results if each.group == group and not each.is_apart]
        if in_group:
            means.append(_mean(detector, group, in_group))
    return [*means, _mean(detector, "average", means)]


def _mean(detector: str, group: str, results: Sequence[SetResult | GroupMean]) -> GroupMean:
    means = {
        figure: float(np.mean([getattr(result, figure) for result in results]))
        for figure in FIGURES
    }
    return GroupMean(detector, group, **means)


def over_seeds(tables: Sequence[Table]) -> tuple[Table, Table]:
    """Returns the tables' mean, and their standard deviation over seeds (0 of one table)."""
    return _summarise(tables, np.mean), _summarise(tables, _sample_std)


def _sample_std(values: Sequence[float]) -> float:
    """Returns the standard deviation of (seeds,) figures; exactly 0 where all of them are one."""
    return float(np.std(values, ddof=1)) if min(values) < max(values) else 0.0


Entry = TypeVar("Entry", SetResult, GroupMean)
Summary = Callable[[Sequence[float]], Any]


def _summarise(tables: Sequence[Table], summary: Summary) -> Table:
    """Returns a table in which every figure is a summary of that figure of all tables."""
    rows = zip(*(table.rows for table in tables), strict=True)
    averages = zip(*(table.averages for table in tables), strict=True)
    return Table(
        tuple(_summarise_entry(entries, summary) for entries in rows),
        tuple(_summarise_entry(entries, summary) for entries in averages),
    )


def _summarise_entry(entries: Sequence[Entry], summary: Summary) -> Entry:
    figures = {
        figure: float(summary([getattr(entry, figure) for entry in entries])) for figure in FIGURES
    }
    return replace(entries[0], **figures)
