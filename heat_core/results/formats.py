"""A table of results as JSON, Markdown, LaTeX and text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .table import GroupMean, SetResult, Table

# -- as text -----------------------------------------------------------------------------------------------------------


_ROW = ("detector", "set", "group", "n", "auroc", "fpr95", "fpr95_ood", "aupr")
_AVERAGE = ("detector", "group", "auroc", "fpr95")


def to_json(table: Table, spread: Table | None = None, beside: Sequence[Sequence[str]] = ()) -> str:
    """Returns the contract that scripts read, with these keys and no others, as fractions; and the same as `spread`.

    {"rows": [{detector, set, group, n, auroc, fpr95, fpr95_ood, aupr}], "averages": [{detector, group, auroc, fpr95}]}
    """

    def plain(table: Table) -> dict[str, Any]:
        rows = [{key: getattr(row, key) for key in _ROW} for row in table.rows]
        return {
            "rows": rows,
            "averages": [
                {key: getattr(entry, key) for key in _AVERAGE} for entry in table.averages
            ],
        }

    return json.dumps(plain(table) | ({"spread": plain(spread)} if spread else {}), indent=1)


def group_cells(table: Table, spread: Table | None = None) -> tuple[list[str], list[list[str]]]:
    """Returns (heading, rows of text) in the paper's form: FPR95 / AUROC in percent, with the spread over seeds if given."""
    heading = ["Detector", *(group.capitalize() for group in table.groups)]

    def cell(detector: str, group: str) -> str:
        entry, error = table.average(detector, group), spread and spread.average(detector, group)
        parts = []
        for figure in ("fpr95", "auroc"):
            around = 100 * getattr(error, figure) if error else 0.0
            parts.append(
                f"{100 * getattr(entry, figure):.1f}" + (f" ± {around:.1f}" if around else "")
            )
        return " / ".join(parts)

    return heading, [
        [detector, *(cell(detector, group) for group in table.groups)]
        for detector in table.detectors
    ]


def _set_cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """Returns (heading, rows of text) with every figure: a line a set, then a line a group and one of all."""

    def figures(entry: SetResult | GroupMean) -> list[str]:
        return [
            f"{100 * value:.1f}"
            for value in (entry.fpr95, entry.auroc, entry.aupr, entry.fpr95_ood)
        ]

    heading, body = (
        ["Detector", "Set", "Group", "n", "FPR95 (ID+)", "AUROC", "AUPR", "FPR95 (OOD+)"],
        [],
    )
    for name in table.detectors:
        body += [
            [name, r.set, r.group, f"{r.n:,}", *figures(r)]
            for r in table.rows
            if r.detector == name
        ]
        body += [
            [name, "mean", e.group, "", *figures(e)] for e in table.averages if e.detector == name
        ]
    return heading, body


_CAPTION = (
    "FPR95 / AUROC in %: FPR95 is the OOD accepted where 95 % of ID is kept (ID+); "
    "OOD+ is the ID lost where 95 % of OOD is caught."
)


def markdown(heading: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Returns a table in Markdown."""
    lines = [list(heading), ["---"] * len(heading), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def to_markdown(
    table: Table, spread: Table | None = None, beside: Sequence[Sequence[str]] = ()
) -> str:
    """Returns the two tables, groups and sets, in Markdown."""
    heading, body = group_cells(table, spread)
    return f"{markdown(heading, [*body, *beside])}\n\n{_CAPTION}\n\n{markdown(*_set_cells(table))}"


def to_latex(
    table: Table, spread: Table | None = None, beside: Sequence[Sequence[str]] = ()
) -> str:
    """Returns the two tables, groups and sets, in LaTeX (booktabs)."""
    heading, body = group_cells(table, spread)
    return f"{_tabular(heading, [*body, *beside])}\n\n{_tabular(*_set_cells(table))}\n% {_CAPTION}"


def _tabular(heading: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Returns a table in LaTeX; a set's name holds no other special sign than the underscore."""
    lines = [
        " & ".join(line).replace("±", r"$\pm$").replace("_", r"\_") + r" \\"
        for line in (heading, *body)
    ]
    rules = [
        r"\begin{tabular}{l" + "c" * (len(heading) - 1) + "}",
        r"\toprule",
        lines[0],
        r"\midrule",
    ]
    return "\n".join([*rules, *lines[1:], r"\bottomrule", r"\end{tabular}"])


def to_text(table: Table, spread: Table | None = None, beside: Sequence[Sequence[str]] = ()) -> str:
    """Returns the two tables with columns aligned, for a terminal."""
    parts = []
    first, lines = group_cells(table, spread)
    for heading, body in ((first, [*lines, *beside]), _set_cells(table)):
        widths = [max(len(line[i]) for line in [heading, *body]) for i in range(len(heading))]
        for line in [heading, *body]:
            parts.append(
                "  ".join(
                    c.ljust(w) if i < 1 else c.rjust(w)
                    for i, (c, w) in enumerate(zip(line, widths, strict=True))
                )
            )
        parts.append("")
    return "\n".join([*parts, _CAPTION])


FORMATS: Mapping[str, Callable[..., str]] = {
    "text": to_text,
    "json": to_json,
    "markdown": to_markdown,
    "latex": to_latex,
}
"""Each takes a table, the spread over seeds, and lines of the same form to print below ours."""
