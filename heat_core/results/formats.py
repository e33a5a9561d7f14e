"""A table of results as JSON, Markdown, LaTeX and text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .table import GroupMean, SetResult, Table

Row = Sequence[str]
_JSON_ROW = ("detector", "set", "group", "n", "auroc", "fpr95", "fpr95_ood", "aupr")
_JSON_AVERAGE = ("detector", "group", "auroc", "fpr95")
_CAPTION = (
    "FPR95 / AUROC in %: FPR95 is the OOD accepted where 95 % of ID is kept (ID+); "
    "OOD+ is the ID lost where 95 % of OOD is caught."
)


def _caption(note: str) -> str:
    return f"{_CAPTION} {note}".rstrip()


# -- cells -----------------------------------------------------------------------------------------


def group_cells(table: Table, std: Table | None = None) -> tuple[list[str], list[list[str]]]:
    """Returns (heading, rows of text) in the paper's form: FPR95 / AUROC in percent.

    Args:
        table: of the results.
        std: their standard deviation over seeds, written beside them where it is not 0.
    """
    heading = ["Detector", *(group.capitalize() for group in table.groups)]
    body = []
    for detector in table.detectors:
        cells = [_group_cell(table, std, detector, group) for group in table.groups]
        body.append([detector, *cells])
    return heading, body


def _group_cell(table: Table, std: Table | None, detector: str, group: str) -> str:
    mean = table.average(detector, group)
    deviation = std.average(detector, group) if std else None
    parts = []
    for figure in ("fpr95", "auroc"):
        part = f"{100 * getattr(mean, figure):.1f}"
        percent_std = 100 * getattr(deviation, figure) if deviation else 0.0
        if percent_std:
            part += f" ± {percent_std:.1f}"
        parts.append(part)
    return " / ".join(parts)


def _cells_by_set(table: Table) -> tuple[list[str], list[list[str]]]:
    """Returns (heading, rows of text) with every figure: sets, then groups, then their average.

    An asterisk marks sets that no average counts.
    """
    heading = ["Detector", "Set", "Group", "n", "FPR95 (ID+)", "AUROC", "AUPR", "FPR95 (OOD+)"]
    body = []
    for detector in table.detectors:
        for row in table.rows:
            if row.detector == detector:
                name = f"{row.set} *" if row.is_apart else row.set
                body.append([detector, name, row.group, f"{row.n:,}", *_figure_cells(row)])
        for mean in table.averages:
            if mean.detector == detector:
                body.append([detector, "mean", mean.group, "", *_figure_cells(mean)])
    return heading, body


def _figure_cells(entry: SetResult | GroupMean) -> list[str]:
    figures = (entry.fpr95, entry.auroc, entry.aupr, entry.fpr95_ood)
    return [f"{100 * figure:.1f}" for figure in figures]


# -- formats ---------------------------------------------------------------------------------------


def to_json(
    table: Table, std: Table | None = None, beside: Sequence[Row] = (), note: str = ""
) -> str:
    """Returns the contract that scripts read, with these keys and no others, as fractions.

    {"rows": [{detector, set, group, n, auroc, fpr95, fpr95_ood, aupr}],
    "averages": [{detector, group, auroc, fpr95}]}; and under `spread` the same of std.
    """
    content = _json_of(table)
    if std:
        content["spread"] = _json_of(std)
    return json.dumps(content, indent=1)


def _json_of(table: Table) -> dict[str, Any]:
    return {
        "rows": [{key: getattr(row, key) for key in _JSON_ROW} for row in table.rows],
        "averages": [{key: getattr(mean, key) for key in _JSON_AVERAGE} for mean in table.averages],
    }


def to_markdown(
    table: Table, std: Table | None = None, beside: Sequence[Row] = (), note: str = ""
) -> str:
    """Returns the two tables, groups and sets, in Markdown, with a note in their caption."""
    heading, body = group_cells(table, std)
    groups = markdown(heading, [*body, *beside])
    sets = markdown(*_cells_by_set(table))
    return f"{groups}\n\n{_caption(note)}\n\n{sets}"


def markdown(heading: Row, body: Sequence[Row]) -> str:
    """Returns a table in Markdown.

    >>> print(markdown(["Detector", "AUROC"], [["KNN", "93.7"]]))
    | Detector | AUROC |
    | --- | --- |
    | KNN | 93.7 |
    """
    lines = [heading, ["---"] * len(heading), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def to_latex(
    table: Table, std: Table | None = None, beside: Sequence[Row] = (), note: str = ""
) -> str:
    """Returns the two tables, groups and sets, in LaTeX (booktabs), with a note in the caption."""
    heading, body = group_cells(table, std)
    groups = _tabular(heading, [*body, *beside])
    sets = _tabular(*_cells_by_set(table))
    return f"{groups}\n\n{sets}\n% {_caption(note)}"


def _tabular(heading: Row, body: Sequence[Row]) -> str:
    """Returns a table in LaTeX; a set's name holds no other special sign than the underscore."""
    lines = []
    for row in (heading, *body):
        cells = " & ".join(row).replace("±", r"$\pm$").replace("_", r"\_")
        lines.append(cells + r" \\")
    columns = "l" + "c" * (len(heading) - 1)
    return "\n".join(
        [
            r"\begin{tabular}{" + columns + "}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def to_text(
    table: Table, std: Table | None = None, beside: Sequence[Row] = (), note: str = ""
) -> str:
    """Returns the two tables with columns aligned, for a terminal, with a note in their caption."""
    heading, body = group_cells(table, std)
    set_heading, set_body = _cells_by_set(table)
    groups = _aligned([heading, *body, *beside])
    sets = _aligned([set_heading, *set_body])
    return "\n".join([*groups, "", *sets, "", _caption(note)])


def _aligned(rows: Sequence[Row]) -> list[str]:
    """Returns a line a row, the first column aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *numbers in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return lines


FORMATS: Mapping[str, Callable[..., str]] = {
    "text": to_text,
    "json": to_json,
    "markdown": to_markdown,
    "latex": to_latex,
}
"""{name: format}. Each takes a table, its std over seeds, rows of text to add below, and a note
that its caption ends in; JSON has no caption."""
