"""Pure: tables and sentences of the Threshold lab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.pack.items import PackRow, item_id

if TYPE_CHECKING:
    from heat_core.pack import Pack
    from heat_core.results.table import Table
    from heat_core.thresholds import Deployment, Outcome, PerClassConformal, ThresholdRule
from app.pack.tables import Array, Mask, format_score, percent


def margins(scores: Sequence[float], cut: float) -> list[str]:
    """Returns how far scores lie above a cut, all with as many digits, three of them of the farthest, or in powers of ten.

    >>> apart([0.99794, 1.00002, 1.0012], 1.0)
    ['-0.00206', '+0.00002', '+0.00120']
    >>> apart([-2e-6, 3.1e-7], 0.0)
    ['-2.0e-06', '+3.1e-07']
    """
    away = np.asarray(scores, np.float64) - cut
    farthest = float(np.abs(away).max(initial=0.0))
    if farthest and not 1e-4 < farthest < 1e5:
        return [f"{value:+.1e}" for value in away]
    digits = max(0, 2 - int(np.floor(np.log10(farthest)))) if farthest else 0
    return [f"{value:+.{digits}f}" for value in away]


def outcome_columns(outcomes: Mapping[str, Outcome], traffic: Deployment) -> pd.DataFrame:
    """Returns what each detector's line does, a column a detector, as text with units."""

    def column(what: Outcome) -> dict[str, str]:
        counts = what.per_thousand(traffic.prevalence)
        groups = {f"{group} OOD caught": percent(share) for group, share in what.groups.items()}
        return {
            "the line is at": format_score(what.cut),
            "ID kept": percent(what.kept),
            **groups,
            "OOD caught, mean of the groups": percent(what.outside),
            "OOD accepted, FPR (ID+)": percent(what.accepted),
            "ID flagged, FPR (OOD+)": percent(what.lost),
            "of 1000 inputs: ID kept": _count(counts.kept),
            "of 1000 inputs: ID flagged": _count(counts.flagged),
            "of 1000 inputs: OOD caught": _count(counts.caught),
            "of 1000 inputs: OOD missed": _count(counts.missed),
            "OOD among the flagged": percent(counts.precision),
            "expected cost of 1000 inputs": _count(what.cost(traffic)),
        }

    return pd.DataFrame({name: column(what) for name, what in outcomes.items()})


def set_rows_at_threshold(
    table: Table, what: Outcome, titles: Mapping[str, str], selected: Mapping[str, Array]
) -> pd.DataFrame:
    """Returns a line an OOD set: what the line does to it, and what does not depend on the line. In percent.

    Args:
        selected: {file name: (n,) scores of its rows that are selected}; where there are none, no column speaks of them.
    """
    rows = pd.DataFrame(
        {
            "Set": titles[f"{row.group}_{row.set}"],
            "Group": row.group,
            "Images": row.n,
            "Caught %": round(100 * what.caught[row.group][row.set], 1),
            "Accepted, FPR (ID+) %": round(100 - 100 * what.caught[row.group][row.set], 1),
            "FPR95 (ID+) %": round(100 * row.fpr95, 1),
            "FPR95 (OOD+) %": round(100 * row.fpr95_ood, 1),
            "AUROC %": round(100 * row.auroc, 1),
            "±": round(196 * row.auroc_error, 1),
        }
        for row in table.rows
    )
    if selected:
        picked = [selected.get(f"{row.group}_{row.set}", np.empty(0)) for row in table.rows]
        rows.insert(4, "Selected", [len(scores) for scores in picked])
        rows.insert(5, "of them caught", [int((scores > what.cut).sum()) for scores in picked])
    return rows


def closest_places(
    scores: Mapping[str, Array], cut: float, count: int, masks: Mapping[str, Mask] | None = None
) -> list[PackRow]:
    """Returns the (set, row) of the scores nearest a cut, from the lowest score up.

    Args:
        scores: {file name: (n,) scores} of the sets to look in.
        masks: {file name: (n,) which rows count}; all if not pack_data, none of a set that is not in it.
    """
    rows = {
        name: np.arange(len(s)) if masks is None else np.flatnonzero(masks.get(name, ()))
        for name, s in scores.items()
    }
    place = [(name, int(row)) for name, found in rows.items() for row in found]
    score = np.concatenate([scores[name][found] for name, found in rows.items()])
    close = np.argsort(np.abs(score - cut), kind="stable")[:count]
    return [place[i] for i in close[np.argsort(score[close], kind="stable")]]


def nearest_rows(
    pack: Pack,
    scores: Mapping[str, Array],
    places: Sequence[PackRow],
    cut: float,
    other: Mapping[str, Mask] | None = None,
) -> pd.DataFrame:
    """Returns a line a row: what it is, its score, and on which side of the cut.

    Args:
        scores: {file name: (n,) scores}.
        places: (file name, row) of each.
        other: {file name: (n,) whether another detector calls them out}.
    """
    features, lines = dict(pack.sets()), []
    for name, row in places:
        value = float(scores[name][row])
        line = {
            "Item": item_id(features[name], name, row),
            "Set": pack.set_title(name),
            "Class": _class_name(pack, name, row),
            "Score": value,
            "Above the line": value - cut,
            "Verdict": row_outcome(value > cut, name),
        }
        lines.append(
            line
            if other is None
            else line | {"The other says": row_outcome(bool(other[name][row]), name)}
        )
    return pd.DataFrame(lines)


def threshold_finding(outcomes: Mapping[str, Outcome]) -> str:
    """Returns what each detector's line does, in a sentence."""

    def part(name: str, what: Outcome) -> str:
        caught = f" and catches {percent(what.outside)} of OOD" if what.caught else ""
        return f"{name} keeps {percent(what.kept)} of ID{caught}"

    return f"{'; '.join(part(name, what) for name, what in outcomes.items())}.".replace(
        " %", "\u00a0%"
    )


def how_chosen(rule: ThresholdRule | PerClassConformal | None, scores: Mapping[str, Array]) -> str:
    """Returns what put the line where it is, on which scores, and what that is worth."""
    if rule is None:
        return "You put the line here."
    if "val" in scores:
        base = f"Chosen on {len(scores['val']):,} validation scores; the numbers here are of the test set."
    else:
        base = f"Chosen on the same {len(scores['test']):,} ID test scores that it is measured on: there is no validation split."
    worry = " It also read the OOD sets that count: it is the best line for these, and promises nothing about others."
    return f"{rule.summary} {base}{worry if rule.needs_outside else ''}"


def class_threshold_rows(
    pack: Pack,
    cuts: Mapping[int, float],
    taken_for: Mapping[str, NDArray[np.int64]],
    above: Mapping[str, Array],
) -> pd.DataFrame:
    """Returns a line a class: its threshold, how many scores that was chosen on, and what becomes of inputs taken for it.

    Args:
        cuts: {class: its threshold}.
        taken_for: {set: (n,) the class of each row}.
        above: {set: (n,) scores less their class's threshold}; OOD is what is neither `val` nor `test`.
    """
    chosen = taken_for["val" if "val" in above else "test"]
    outside = [name for name in above if name not in ("val", "test")]

    def share_out(names: Sequence[str], label: int) -> float:
        rows = (
            np.concatenate([above[name][taken_for[name] == label] for name in names])
            if names
            else np.array([])
        )
        return float(np.mean(rows > 0)) if rows.size else np.nan

    return pd.DataFrame(
        {
            "Taken for": pack.class_name(label),
            "Calibration scores": int((chosen == label).sum()),
            "Threshold": format_score(cut),
            "ID kept": percent(1 - share_out(["test"], label)),
            "OOD caught": percent(share_out(outside, label)),
        }
        for label, cut in cuts.items()
    )


def _class_name(pack: Pack, name: str, row: int) -> str:
    if name != "test" or pack.test.y is None:
        return ""
    return pack.class_name(int(pack.test.y[row]))


def row_outcome(out: bool, name: str) -> str:
    """Returns what becomes of a row of a set."""
    return ("flagged" if out else "kept") if name == "test" else ("caught" if out else "missed")


def _count(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:,.1f}"
