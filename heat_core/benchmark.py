"""The paper's table: every detector against every OOD set of a pack."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from .features import GROUPS, Pack
from .metrics import separation

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


# -- as text -----------------------------------------------------------------------------------------------------------


def to_json(table: Table) -> str:
    """Returns the contract that scripts read: {"rows": [...], "averages": [...]}, fractions."""
    return json.dumps({"rows": [asdict(r) for r in table.rows], "averages": [asdict(a) for a in table.averages]}, indent=1)


def _cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Returns (heading, rows of text) in the paper's form: FPR95 / AUROC in percent."""
    heading = ["Detector", *(group.capitalize() for group in table.groups)]
    body = []
    for detector in table.detectors:
        entries = [table.average(detector, group) for group in table.groups]
        body.append([detector, *(f"{100 * e.fpr95:.1f} / {100 * e.auroc:.1f}" for e in entries)])
    return heading, body


def _set_cells(table: Table) -> tuple[list[str], list[list[str]]]:
    heading = ["Detector", "Set", "Group", "n", "FPR95 (ID+)", "AUROC", "AUPR", "FPR95 (OOD+)"]
    body = [
        [r.detector, r.set, r.group, f"{r.n:,}", *(f"{100 * v:.1f}" for v in (r.fpr95, r.auroc, r.aupr, r.fpr95_ood))]
        for r in table.rows
    ]
    return heading, body


_CAPTION = (
    "FPR95 / AUROC in %: FPR95 is the OOD accepted where 95 % of ID is kept (ID+); "
    "OOD+ is the ID lost where 95 % of OOD is caught."
)


def _markdown_table(heading: list[str], body: list[list[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def to_markdown(table: Table) -> str:
    """Returns the two tables, groups and sets, in Markdown."""
    return f"{_markdown_table(*_cells(table))}\n\n{_CAPTION}\n\n{_markdown_table(*_set_cells(table))}"


def to_latex(table: Table) -> str:
    """Returns the table of groups in LaTeX (booktabs)."""
    heading, body = _cells(table)
    lines = [" & ".join(line) + r" \\" for line in (heading, *body)]
    rules = [r"\begin{tabular}{l" + "c" * (len(heading) - 1) + "}", r"\toprule", lines[0], r"\midrule"]
    return "\n".join([*rules, *lines[1:], r"\bottomrule", r"\end{tabular}", f"% {_CAPTION}"])


def to_text(table: Table) -> str:
    """Returns the two tables with columns aligned, for a terminal."""
    parts = []
    for heading, body in (_cells(table), _set_cells(table)):
        widths = [max(len(line[i]) for line in [heading, *body]) for i in range(len(heading))]
        for line in [heading, *body]:
            parts.append(
                "  ".join(c.ljust(w) if i < 1 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
            )
        parts.append("")
    return "\n".join([*parts, _CAPTION])


FORMATS: Mapping[str, Callable[[Table], str]] = {"text": to_text, "json": to_json, "markdown": to_markdown, "latex": to_latex}


def score_pack(pack: Pack, score: Callable) -> dict[str, Scores]:
    """Returns {set: scores} of the test set and every OOD set, by a function of features."""
    wanted = [("test", pack.test), *((f"{g}_{n}", f) for (g, n), f in pack.outside.items())]
    return {name: score(features) for name, features in wanted}
