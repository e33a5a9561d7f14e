"""The paper's table: every detector against every OOD set of a pack."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heat_core.features import GROUPS, Pack
from heat_core.metrics import separation

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
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
class Average:
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

    rows: tuple[Row, ...]
    averages: tuple[Average, ...]

    def average(self, detector: str, group: str = "average") -> Average:
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
    rows = [_row(name, by_set, group, short) for name, by_set in scores.items() for group, short in sets]
    averages = [entry for name in scores for entry in _averages(name, [row for row in rows if row.detector == name])]
    return Table(tuple(rows), tuple(averages))


def grouped(by_set: Mapping[str, Scores], sets: Iterable[tuple[str, str]]) -> dict[str, Scores]:
    """Returns {`ID`, near, mid, far: scores}, the sets of a group put together; a group without a set is left out."""
    sets = list(sets)
    members = {group: [by_set[f"{g}_{name}"] for g, name in sets if g == group] for group in GROUPS}
    return {"ID": by_set["test"]} | {group: np.concatenate(parts) for group, parts in members.items() if parts}


def _row(detector: str, by_set: Mapping[str, Scores], group: str, name: str) -> Row:
    outside = by_set[f"{group}_{name}"]
    return Row(detector, name, group, len(outside), **asdict(separation(by_set["test"], outside)))


def _averages(detector: str, rows: Sequence[Row]) -> list[Average]:
    def mean(entries: Sequence[Row | Average], group: str) -> Average:
        figures = ("auroc", "fpr95", "fpr95_ood", "aupr")
        return Average(detector, group, *(float(np.mean([getattr(entry, f) for entry in entries])) for f in figures))

    by_group = [mean([row for row in rows if row.group == g], g) for g in GROUPS if any(row.group == g for row in rows)]
    return [*by_group, mean(by_group, "average")]


def over_seeds(tables: Sequence[Table]) -> tuple[Table, Table]:
    """Returns the tables' mean, and their standard deviation over seeds (0 of one table)."""
    figures = ("auroc", "fpr95", "fpr95_ood", "aupr")

    def put_together(entries: Sequence[Any], summary: Callable) -> Any:
        return replace(entries[0], **{f: float(summary([getattr(entry, f) for entry in entries])) for f in figures})

    def all_together(summary: Callable) -> Table:
        rows = [put_together(entries, summary) for entries in zip(*(table.rows for table in tables), strict=True)]
        averages = [put_together(entries, summary) for entries in zip(*(table.averages for table in tables), strict=True)]
        return Table(tuple(rows), tuple(averages))

    return all_together(np.mean), all_together(lambda values: np.std(values, ddof=1) if len(values) > 1 else 0.0)


# -- as text -----------------------------------------------------------------------------------------------------------


_ROW = ("detector", "set", "group", "n", "auroc", "fpr95", "fpr95_ood", "aupr")
_AVERAGE = ("detector", "group", "auroc", "fpr95")


def to_json(table: Table, spread: Table | None = None, beside: Sequence[Sequence[str]] = ()) -> str:
    """Returns the contract that scripts read, with these keys and no others, as fractions; and the same as `spread`.

    {"rows": [{detector, set, group, n, auroc, fpr95, fpr95_ood, aupr}], "averages": [{detector, group, auroc, fpr95}]}
    """

    def plain(table: Table) -> dict[str, Any]:
        rows = [{key: getattr(row, key) for key in _ROW} for row in table.rows]
        return {"rows": rows, "averages": [{key: getattr(entry, key) for key in _AVERAGE} for entry in table.averages]}

    return json.dumps(plain(table) | ({"spread": plain(spread)} if spread else {}), indent=1)


def averages(table: Table, spread: Table | None = None) -> tuple[list[str], list[list[str]]]:
    """Returns (heading, rows of text) in the paper's form: FPR95 / AUROC in percent, with the spread over seeds if given."""
    heading = ["Detector", *(group.capitalize() for group in table.groups)]

    def cell(detector: str, group: str) -> str:
        entry, error = table.average(detector, group), spread and spread.average(detector, group)
        parts = []
        for figure in ("fpr95", "auroc"):
            around = 100 * getattr(error, figure) if error else 0.0
            parts.append(f"{100 * getattr(entry, figure):.1f}" + (f" ± {around:.1f}" if around else ""))
        return " / ".join(parts)

    return heading, [[detector, *(cell(detector, group) for group in table.groups)] for detector in table.detectors]


def _set_cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Returns (heading, rows of text) with every figure: a line a set, then a line a group and one of all."""

    def figures(entry: Row | Average) -> list[str]:
        return [f"{100 * value:.1f}" for value in (entry.fpr95, entry.auroc, entry.aupr, entry.fpr95_ood)]

    heading, body = ["Detector", "Set", "Group", "n", "FPR95 (ID+)", "AUROC", "AUPR", "FPR95 (OOD+)"], []
    for name in table.detectors:
        body += [[name, r.set, r.group, f"{r.n:,}", *figures(r)] for r in table.rows if r.detector == name]
        body += [[name, "mean", e.group, "", *figures(e)] for e in table.averages if e.detector == name]
    return heading, body


_CAPTION = (
    "FPR95 / AUROC in %: FPR95 is the OOD accepted where 95 % of ID is kept (ID+); "
    "OOD+ is the ID lost where 95 % of OOD is caught."
)


def markdown(heading: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Returns a table in Markdown."""
    lines = [list(heading), ["---"] * len(heading), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def to_markdown(table: Table, spread: Table | None = None, beside: Sequence[Sequence[str]] = ()) -> str:
    """Returns the two tables, groups and sets, in Markdown."""
    heading, body = averages(table, spread)
    return f"{markdown(heading, [*body, *beside])}\n\n{_CAPTION}\n\n{markdown(*_set_cells(table))}"


def to_latex(table: Table, spread: Table | None = None, beside: Sequence[Sequence[str]] = ()) -> str:
    """Returns the two tables, groups and sets, in LaTeX (booktabs)."""
    heading, body = averages(table, spread)
    return f"{_tabular(heading, [*body, *beside])}\n\n{_tabular(*_set_cells(table))}\n% {_CAPTION}"


def _tabular(heading: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Returns a table in LaTeX; a set's name holds no other special sign than the underscore."""
    lines = [" & ".join(line).replace("±", r"$\pm$").replace("_", r"\_") + r" \\" for line in (heading, *body)]
    rules = [r"\begin{tabular}{l" + "c" * (len(heading) - 1) + "}", r"\toprule", lines[0], r"\midrule"]
    return "\n".join([*rules, *lines[1:], r"\bottomrule", r"\end{tabular}"])


def to_text(table: Table, spread: Table | None = None, beside: Sequence[Sequence[str]] = ()) -> str:
    """Returns the two tables with columns aligned, for a terminal."""
    parts = []
    first, lines = averages(table, spread)
    for heading, body in ((first, [*lines, *beside]), _set_cells(table)):
        widths = [max(len(line[i]) for line in [heading, *body]) for i in range(len(heading))]
        for line in [heading, *body]:
            parts.append(
                "  ".join(c.ljust(w) if i < 1 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
            )
        parts.append("")
    return "\n".join([*parts, _CAPTION])


FORMATS: Mapping[str, Callable[..., str]] = {"text": to_text, "json": to_json, "markdown": to_markdown, "latex": to_latex}
"""Each takes a table, the spread over seeds, and lines of the same form to print below ours."""


@dataclass(frozen=True)
class Interval:
    """A mean, and where 95 % of its resamples lie."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Resamples:
    """FPR95 and AUROC of images drawn anew, the same images for every detector, so that differences are paired.

    Args:
        detectors, groups: what the axes stand for; the last group is `average`.
        found: (detectors, groups, 2): FPR95 and AUROC of the images as they are.
        draws: (rounds, detectors, groups, 2): of the resamples.
    """

    detectors: tuple[str, ...]
    groups: tuple[str, ...]
    found: Scores
    draws: Scores

    def of(self, detector: str) -> dict[str, tuple[Interval, Interval]]:
        """Returns {group: (FPR95, AUROC)} of a detector, with their 95 % intervals."""
        place = self.detectors.index(detector)
        return self._intervals(self.found[place], self.draws[:, place])

    def between(self, ours: str, theirs: str) -> dict[str, tuple[Interval, Interval]]:
        """Returns {group: (difference in FPR95, difference in AUROC)}, ours less theirs."""
        a, b = self.detectors.index(ours), self.detectors.index(theirs)
        return self._intervals(self.found[a] - self.found[b], self.draws[:, a] - self.draws[:, b])

    def best(self, group: str, figure: str) -> tuple[str, tuple[str, ...]]:
        """Returns the best detector of a group by `fpr95` or `auroc`, and those that do not differ significantly from it.

        That is, the 95 % interval of the paired difference holds 0.
        """
        g, f = self.groups.index(group), ("fpr95", "auroc").index(figure)
        best = int(self.found[:, g, f].argmax() if f else self.found[:, g, f].argmin())
        low, high = np.quantile(self.draws[:, :, g, f] - self.draws[:, [best], g, f], [0.025, 0.975], axis=0)
        same = [name for i, name in enumerate(self.detectors) if i != best and low[i] <= 0 <= high[i]]
        return self.detectors[best], tuple(same)

    def _intervals(self, middle: Scores, draws: Scores) -> dict[str, tuple[Interval, Interval]]:
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        parts = np.stack([middle, low, high], -1)
        return {group: (Interval(*fpr95), Interval(*auroc)) for group, (fpr95, auroc) in
                zip(self.groups, parts.tolist(), strict=True)}  # fmt: skip


def resample(
    scores: Mapping[str, Mapping[str, Scores]], sets: Iterable[tuple[str, str]], rounds: int = 200, seed: int = 0
) -> Resamples:
    """Returns a bootstrap over images.

    Args:
        scores: {detector: {set: (n,) scores}} of the same images, in the same order.
        sets: (group, name) of the OOD sets.
        rounds: resamples; each draws the images of every set anew, the same for all detectors.
    """
    sets, generator = list(sets), np.random.default_rng(seed)
    names = [f"{group}_{name}" for group, name in sets]
    lengths = {name: len(next(iter(scores.values()))[name]) for name in ("test", *names)}
    weighed = [_Weighed.of(by_set, names) for by_set in scores.values()]

    def times() -> Iterator[dict[str, NDArray[np.int64]]]:  # how often each image is drawn: first once, then by chance
        yield {name: np.ones(n, np.int64) for name, n in lengths.items()}
        for _ in range(rounds):
            yield {name: np.bincount(generator.integers(n, size=n), minlength=n) for name, n in lengths.items()}

    figures = np.array([[one.figures(drawn) for one in weighed] for drawn in times()])  # (1 + rounds, detectors, sets, 2)
    groups = [group for group in GROUPS if any(g == group for g, _ in sets)]
    means = [figures[:, :, [g == group for g, _ in sets]].mean(2) for group in groups]
    averaged = np.stack([*means, np.mean(means, axis=0)], 2)
    return Resamples(tuple(scores), (*groups, "average"), averaged[0], averaged[1:])


@dataclass(frozen=True, eq=False)
class _Weighed:
    """A detector's scores in order, once, so that figures of a resample take sums alone.

    Args:
        order: of the ID scores, ascending.
        sets: of each OOD set: its name, its order, how many ID scores are below each, how many at or below, and how many of
            the set are at or below each ID score.
    """

    order: NDArray[np.intp]
    sets: list[tuple[str, NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]]

    @classmethod
    def of(cls, by_set: Mapping[str, Scores], names: Sequence[str]) -> _Weighed:
        order, sets = np.argsort(by_set["test"]), []
        low = by_set["test"][order]
        for name in names:
            place = np.argsort(by_set[name])
            high = by_set[name][place]
            below, upto = (np.searchsorted(low, high, side) for side in ("left", "right"))
            sets.append((name, place, below, upto, np.searchsorted(high, low, "right")))
        return cls(order, sets)

    def figures(self, times: Mapping[str, NDArray[np.int64]]) -> list[tuple[float, float]]:
        """Returns (FPR95, AUROC) of each set, where each image counts as often as it was drawn."""
        inside = np.concatenate([[0], times["test"][self.order].cumsum()])
        n = int(inside[-1])
        cut = int(np.searchsorted(inside[1:], math.ceil(0.95 * n - 1e-9)))
        found = []
        for name, order, below, upto, accepted in self.sets:
            drawn = times[name][order]
            m, wins = drawn.sum(), drawn @ (inside[below] + inside[upto]) / (2 * n)
            found.append((float(drawn[: accepted[cut]].sum() / m), float(wins / m)))
        return found


def paired(
    ours: Mapping[str, Scores], theirs: Mapping[str, Scores], sets: Iterable[tuple[str, str]], rounds: int = 200, seed: int = 0
) -> dict[str, tuple[Interval, Interval]]:
    """Returns {group: (difference in FPR95, difference in AUROC)}, ours less theirs, by `resample`."""
    return resample({"ours": ours, "theirs": theirs}, sets, rounds, seed).between("ours", "theirs")


def score_pack(pack: Pack, score: Callable) -> dict[str, Scores]:
    """Returns {set: scores} of the test set, every OOD set, and `val` where there is one, by a function of features."""
    held_out = [] if pack.auxiliary.val is None else [("val", pack.auxiliary.val)]
    wanted = [("test", pack.test), *((f"{g}_{n}", f) for (g, n), f in pack.outside.items()), *held_out]
    return {name: score(features) for name, features in wanted}
