"""Pure: tables and sentences of the Detectors page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from heat_core.metrics import separation

if TYPE_CHECKING:
    from heat_core.judge import Opinion
    from heat_core.pack import Pack
    from heat_core.results.bootstrap import Bootstrap, Interval
    from heat_core.results.table import Table
    from heat_core.thresholds import Outcome
from app.pack.tables import Array, Mask, percent

FPR, AUROC = "FPR95 % ↓", "AUROC % ↑"
FIGURES = {FPR: "fpr95", AUROC: "auroc"}
SAME = {"background-color": "rgba(0, 114, 178, 0.16)"}
BEST = "font-weight: 700; background-color: rgba(0, 114, 178, 0.36)"  # reads on light and on dark


ON_TEST = (
    "As FPR95 is defined, this threshold is of the ID test images themselves. The Threshold lab chooses on validation images "
    "where there are some, as one does before shipping, so its line may lie a little off this one."
)


def averages_table(table: Table, drawn: Bootstrap | None = None) -> Any:
    """Returns the paper's table in percent, styled: a line a detector, the best figure of each column in bold.

    With resamples, those that do not differ significantly from the best are tinted.
    """
    frame = pd.DataFrame(
        {
            (group.capitalize(), label): {
                name: 100 * getattr(table.average(name, group), figure) for name in table.detectors
            }
            for group in table.groups
            for label, figure in FIGURES.items()
        }
    )
    style: Any = frame.style.format("{:.1f}")
    for group in table.groups:
        for label, figure in FIGURES.items():
            column = (group.capitalize(), label)
            pick = style.highlight_min if label == FPR else style.highlight_max
            style = pick(subset=[column], props=BEST)
            if drawn is not None and (same := drawn.best(group, figure)[1]):
                style = style.set_properties(subset=(list(same), [column]), **SAME)
    return style


def average_finding(table: Table, drawn: Bootstrap | None) -> str:
    """Returns who lets the least OOD pass, who comes next, and whether that is more than chance."""
    ranked = sorted(table.detectors, key=lambda name: table.average(name).fpr95)
    best, *others = [f"{name} ({percent(table.average(name).fpr95)})" for name in ranked[:3]]
    followers = (
        f"; {' and '.join(others)} {'come' if len(others) > 1 else 'comes'} next" if others else ""
    )
    same = drawn.best("average", "fpr95")[1] if drawn is not None else ()
    alike = f". Not significantly different from it: {', '.join(same)}" if same else ""
    none = ", significantly" if drawn is not None and others and not same else ""
    said = f"{best} lets the least OOD pass where 95 % of ID is kept{none}{followers}{alike}."
    return said.replace(" %", "\u00a0%")


def interval_rows(drawn: Bootstrap) -> pd.DataFrame:
    """Returns a line a detector: its averages with 95 % intervals, how far behind the best it is, and whether by chance."""
    best, same = drawn.best("average", "fpr95")

    def line(name: str) -> dict[str, str]:
        (fpr, area), (behind, _) = drawn.of(name)["average"], drawn.between(name, best)["average"]
        alike = "not significantly different" if name in same else "worse"
        return {
            "Detector": name,
            "FPR95 %": _between(fpr),
            "AUROC %": _between(area),
            f"FPR95 less that of {best}": "" if name == best else _between(behind, "+"),
            "So it is": "the best" if name == best else alike,
        }

    order = sorted(drawn.detectors, key=lambda name: drawn.of(name)["average"][0].mean)
    return pd.DataFrame(line(name) for name in order)


def _between(interval: Interval, sign: str = "") -> str:
    mean, low, high = (100 * value for value in (interval.mean, interval.low, interval.high))
    return f"{mean:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"


def roc_finding(areas: Mapping[str, float], on: str) -> str:
    """Returns whose area under the curve is the largest, and on what."""
    best = max(areas, key=areas.__getitem__)
    of = f"Of the {len(areas)} drawn, " if len(areas) > 1 else ""
    return f"{of}{best} has the largest area under its curve, {percent(areas[best])}, on {on}.".replace(
        " %", "\u00a0%"
    )


def curve_rows(areas: Mapping[str, float], outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """Returns a line a detector: the area under its curve, and what its threshold does. In percent."""
    return pd.DataFrame(
        {
            "Detector": name,
            "AUROC %": round(100 * areas[name], 1),
            "ID kept %": round(100 * what.kept, 1),
            "OOD caught %": round(100 * what.outside, 1),
            "OOD accepted %": round(100 * what.accepted, 1),
        }
        for name, what in outcomes.items()
    )


def selection_rows(
    scores: Mapping[str, Mapping[str, Array]], masks: Mapping[str, Mask]
) -> pd.DataFrame:
    """Returns a line a detector, the fewest OOD accepted first: how it tells some OOD rows from all of ID test.

    The rows are put together. In percent, with the half-width of the AUROC's 95 % interval.

    Args:
        scores: {detector: {set: (n,)}}.
        masks: {OOD set: (n,) which of its rows}, at least one row in all.
    """
    found = {
        name: separation(
            by_set["test"], np.concatenate([by_set[of][mask] for of, mask in masks.items()])
        )
        for name, by_set in scores.items()
    }
    return pd.DataFrame(
        {
            "Detector": name,
            FPR: 100 * what.fpr95,
            AUROC: 100 * what.auroc,
            "±": 196 * what.auroc_error,
        }
        for name, what in sorted(found.items(), key=lambda entry: entry[1].fpr95)
    )


def set_rows(table: Table, titles: Mapping[str, str]) -> pd.DataFrame:
    """Returns a line a detector and set, in percent, with the half-width of the AUROC's 95 % interval."""
    return pd.DataFrame(
        {
            "Detector": row.detector,
            "Set": titles[f"{row.group}_{row.set}"],
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


def contents_rows(pack: Pack) -> pd.DataFrame:
    """Returns a line a set of a pack: its role, rows and source, and what it stands in for."""
    described = pack.card.get("sets", {})
    return pd.DataFrame(
        {
            "set": pack.set_title(name),
            "role": name.partition("_")[0],
            "rows": len(features),
            "source": described.get(name, {}).get("source", ""),
            "licence": described.get(name, {}).get("licence", ""),
            "stands in for": described.get(name, {}).get("stands_in_for", ""),
        }
        for name, features in pack.sets()
    )


def opinion_finding(opinion: Opinion) -> str:
    """Returns what a picture is taken for, and how many detectors call it out."""
    out, many = sum(verdict.out for verdict in opinion.verdicts), len(opinion.verdicts)
    called = f"; {out} of {many} detectors call it out-of-distribution" if many else ""
    return f"Taken for {opinion.predicted} ({percent(opinion.probability)}){called}.".replace(
        " %", "\u00a0%"
    )


def flips_finding(accepts: str, rejects: str, counts: Mapping[str, tuple[int, int]]) -> str:
    """Returns how many images one detector accepts and another rejects: OOD that the second catches, ID that it loses."""
    caught, among = (
        sum(pair[i] for name, pair in counts.items() if name != "test") for i in (0, 1)
    )
    lost, inside = counts.get("test", (0, 0))
    return (
        f"{accepts} accepts and {rejects} rejects {caught:,} of {among:,} OOD images ({percent(caught / max(among, 1))}) "
        f"and {lost:,} of {inside:,} ID images ({percent(lost / max(inside, 1))})."
    ).replace(" %", "\u00a0%")


def move_text(move: float, corrected: bool) -> str:
    """Returns how far an image was moved: in HEAT's energy, or in points of its rank among ID."""
    return f"{move:+.2f}" if corrected else f"{100 * move:+.1f} points"
