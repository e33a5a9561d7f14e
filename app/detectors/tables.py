"""Pure: tables and sentences of the Detectors page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from app.pack.tables import Mask, percent
from app.text import number_text
from heat_core.metrics import separation
from heat_core.set_name import SetName

if TYPE_CHECKING:
    from heat_core.judge import Opinion
    from heat_core.pack import Pack
    from heat_core.results.bootstrap import Bootstrap, FigureInterval
    from heat_core.results.table import Table
    from heat_core.scores import SetScores
    from heat_core.thresholds import Outcome

FPR, AUROC = "FPR95 % ↓", "AUROC % ↑"
METRICS = {FPR: "fpr95", AUROC: "auroc"}
TINT = {"background-color": "rgba(0, 114, 178, 0.16)"}
BEST = "font-weight: 700; background-color: rgba(0, 114, 178, 0.36)"  # reads on light and on dark
NAME_WIDTH = 95  # of a column with the names of detectors, in pixels: the longest fits


# -- the paper's table -----------------------------------------------------------------------------


def averages_table(table: Table, bootstrap: Bootstrap | None = None) -> Any:
    """Returns the paper's table in percent, styled: one row per detector, the best figures in bold.

    With a bootstrap, those that do not differ significantly from the best are tinted.
    """
    columns = {}
    for group in table.groups:
        for label, metric in METRICS.items():
            columns[group.capitalize(), label] = {
                name: 100 * getattr(table.average(name, group), metric) for name in table.detectors
            }
    style: Any = pd.DataFrame(columns).style.format("{:.1f}")
    for group in table.groups:
        for label, metric in METRICS.items():
            column = (group.capitalize(), label)
            highlight = style.highlight_min if label == FPR else style.highlight_max
            style = highlight(subset=[column], props=BEST)
            equals = _equals_of_best(bootstrap, group, metric)
            if equals:
                style = style.set_properties(subset=(equals, [column]), **TINT)
    return style


def _equals_of_best(bootstrap: Bootstrap | None, group: str, metric: str) -> list[str]:
    """Returns the detectors that do not differ significantly from the best."""
    if bootstrap is None:
        return []
    _, equals = bootstrap.best(group, metric)
    return list(equals)


def average_finding(table: Table, bootstrap: Bootstrap | None) -> str:
    """Returns which detector lets the least OOD pass, which come next, and what is significant."""
    ranked = sorted(table.detectors, key=lambda name: table.average(name).fpr95)
    passes = {name: percent(table.average(name).fpr95) for name in ranked}
    best = [name for name in ranked if passes[name] == passes[ranked[0]]]
    share = passes[ranked[0]] if len(best) == 1 else f"{passes[ranked[0]]} each"
    lets = "lets" if len(best) == 1 else "let"
    finding = f"{joined_names(best)} ({share}) {lets} the least OOD pass where 95 % of ID is kept"
    followers = [f"{name} ({passes[name]})" for name in ranked[len(best) : 3]]
    equals = [name for name in _equals_of_best(bootstrap, "average", "fpr95") if name not in best]
    if bootstrap is not None and followers and not equals:
        finding += ", significantly"
    if followers:
        verb = "come" if len(followers) > 1 else "comes"
        finding += f"; {' and '.join(followers)} {verb} next"
    if equals:
        them = "it" if len(best) == 1 else "them"
        finding += f". Not significantly different from {them}: {', '.join(equals)}"
    return f"{finding}.".replace(" %", "\u00a0%")


def joined_names(names: Sequence[str]) -> str:
    """Returns names, at least one, as a sentence lists them.

    >>> joined_names(["MSP"]), joined_names(["MSP", "KNN", "HEAT"])
    ('MSP', 'MSP, KNN and HEAT')
    """
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def intervals_table(bootstrap: Bootstrap) -> pd.DataFrame:
    """Returns one row per detector: averages with 95 % intervals, and the distance from the
    best."""
    best, equals = bootstrap.best("average", "fpr95")
    averages = {name: bootstrap.intervals(name)["average"] for name in bootstrap.detectors}
    rows = []
    for name in sorted(averages, key=lambda name: averages[name].fpr95.observed):
        behind = bootstrap.differences(name, best)["average"].fpr95
        if name == best:
            standing = "the best"
        else:
            standing = "not significantly different" if name in equals else "worse"
        rows.append(
            {
                "Detector": name,
                "FPR95 %": _interval_text(averages[name].fpr95),
                "AUROC %": _interval_text(averages[name].auroc),
                f"FPR95 less that of {best}": (
                    "" if name == best else _interval_text(behind, sign="+")
                ),
                "So it is": standing,
            }
        )
    return pd.DataFrame(rows)


def _interval_text(interval: FigureInterval, sign: str = "") -> str:
    observed, low, high = 100 * interval.observed, 100 * interval.low, 100 * interval.high
    return f"{observed:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"


def sets_table(table: Table, titles: Mapping[str, str]) -> pd.DataFrame:
    """Returns one row per detector and set, in percent; `±` is half of the AUROC's 95 % interval.

    Args:
        titles: {set: title}, with an asterisk of sets that no average counts.
    """
    return pd.DataFrame(
        {
            "Detector": row.detector,
            "Set": titles[row.set_name],
            "Group": row.group,
            "Images": row.n,
            "FPR95 (ID+) %": round(100 * row.fpr95, 1),
            "AUROC %": round(100 * row.auroc, 1),
            "±": round(196 * row.auroc_error, 1),
            "AUPR %": round(100 * row.aupr, 1),
            "FPR95 (OOD+) %": round(100 * row.fpr95_ood, 1),
        }
        for row in table.rows
    )


def contents_table(pack: Pack) -> pd.DataFrame:
    """Returns one row per set of a pack: its group, rows and source, and what it stands in for."""
    described = pack.card.get("sets", {})
    rows = []
    for name, features in pack.sets():
        about = described.get(name, {})
        rows.append(
            {
                "Set": pack.title_of(name),
                "Group": SetName.parse(name).group,
                "Rows": len(features),
                "Source": str(about.get("source", "")),
                "Licence": str(about.get("licence", "")),
                "Stands in for": str(about.get("stands_in_for", "")),
            }
        )
    return pd.DataFrame(rows)


def runs_finding(detector: str, kind: str, table: Table) -> str:
    """Returns how far runs of one detector lie apart, in a sentence.

    Args:
        kind: what differs between them, such as `seeds`.
        table: of the runs, in the place of detectors.
    """
    averages = [table.average(run) for run in table.detectors]
    figures = {
        "FPR95": [average.fpr95 for average in averages],
        "AUROC": [average.auroc for average in averages],
    }
    if len(averages) == 1:
        only = ", ".join(f"{name} {percent(values[0])}" for name, values in figures.items())
        return f"{detector}, {table.detectors[0]}: {only}.".replace(" %", "\u00a0%")
    ranges = ", ".join(f"{name} {_range_text(values)}" for name, values in figures.items())
    deviation = 100 * float(np.std(figures["FPR95"], ddof=1))
    spread = f" (FPR95 has a standard deviation of {deviation:.1f})" if kind == "seeds" else ""
    return f"{detector}, {len(averages)} {kind}: {ranges}{spread}.".replace(" %", "\u00a0%")


def _range_text(shares: Sequence[float]) -> str:
    """Returns the least and the largest of several shares in percent; one figure if they agree.

    >>> _range_text([0.348, 0.1]), _range_text([0.348, 0.348])
    ('10.0 to 34.8 %', '34.8 % each')
    """
    low, high = percent(min(shares)), percent(max(shares))
    return f"{high} each" if low == high else f"{100 * min(shares):.1f} to {high}"


# -- curves and the selection ----------------------------------------------------------------------


def roc_finding(areas: Mapping[str, float], kind: str) -> str:
    """Returns which detector has the largest area under its curve, and on which images.

    Args:
        areas: {detector: area}.
        kind: of images, in words.
    """
    largest = percent(max(areas.values()))
    best = [name for name, area in areas.items() if percent(area) == largest]
    among = f"Of the {len(areas)} drawn, " if len(areas) > 1 else ""
    curve = "has the largest area under its curve" if len(best) == 1 else "have the largest areas"
    finding = f"{among}{joined_names(best)} {curve}, {largest}, on {kind}."
    return finding.replace(" %", "\u00a0%")


def curves_table(areas: Mapping[str, float], outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """Returns one row per detector: the area under its curve, and what its threshold does. In
    percent."""
    return pd.DataFrame(
        {
            "Detector": name,
            "AUROC %": round(100 * areas[name], 1),
            "ID kept %": round(100 * outcome.kept, 1),
            "OOD caught %": round(100 * outcome.caught, 1),
            "OOD missed %": round(100 * outcome.missed, 1),
        }
        for name, outcome in outcomes.items()
    )


def selection_table(
    scores_by_detector: Mapping[str, SetScores], masks: Mapping[str, Mask]
) -> pd.DataFrame:
    """Returns one row per detector, the fewest OOD missed first: some OOD rows against ID test.

    The OOD rows are put together. In percent; `±` is half of the AUROC's 95 % interval.

    Args:
        masks: {OOD set: (n,) which of its rows}, at least one row in all.
    """
    separations = {}
    for name, set_scores in scores_by_detector.items():
        outside = [set_scores[set_name][mask] for set_name, mask in masks.items()]
        separations[name] = separation(set_scores.test, np.concatenate(outside))
    ranked = sorted(separations, key=lambda name: separations[name].fpr95)
    return pd.DataFrame(
        {
            "Detector": name,
            FPR: 100 * separations[name].fpr95,
            AUROC: 100 * separations[name].auroc,
            "±": 196 * separations[name].auroc_error,
        }
        for name in ranked
    )


# -- single images ---------------------------------------------------------------------------------


def opinion_finding(opinion: Opinion) -> str:
    """Returns the class that an image is taken for, and how many detectors call it out."""
    finding = f"Taken for {opinion.predicted} ({percent(opinion.probability)})"
    count = len(opinion.verdicts)
    if count:
        out = sum(verdict.out for verdict in opinion.verdicts)
        finding += f"; {out} of {count} detectors call it out-of-distribution"
    return f"{finding}.".replace(" %", "\u00a0%")


def flips_finding(accepts: str, rejects: str, counts: Mapping[str, tuple[int, int]]) -> str:
    """Returns how many images one detector accepts and another rejects: OOD caught, ID lost.

    Args:
        accepts, rejects: names of the detectors.
        counts: {set: (how many, of how many)} of ID test and the OOD sets that averages count.
    """
    flipped_id, total_id = counts.get("test", (0, 0))
    ood_counts = [pair for name, pair in counts.items() if name != "test"]
    flipped_ood = sum(flipped for flipped, _ in ood_counts)
    total_ood = sum(total for _, total in ood_counts)
    ood_share = percent(flipped_ood / max(total_ood, 1))
    id_share = percent(flipped_id / max(total_id, 1))
    finding = (
        f"{accepts} accepts and {rejects} rejects {flipped_ood:,} of {total_ood:,} OOD images "
        f"({ood_share}) and {flipped_id:,} of {total_id:,} ID images ({id_share})."
    )
    return finding.replace(" %", "\u00a0%")


def move_text(move: float, is_corrected: bool) -> str:
    """Returns how far an image was moved: in HEAT's energy, or in points of its ID percentile."""
    return number_text(move, 2, "+") if is_corrected else f"{100 * move:+.1f} points"
