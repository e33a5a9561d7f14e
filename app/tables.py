"""Pure: a benchmark's table as data frames to show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from heat_core.benchmark import Table
    from heat_core.features import Pack

FPR, AUROC = "FPR95 % ↓", "AUROC % ↑"
BEST = "font-weight: 700; background-color: rgba(0, 114, 178, 0.18)"  # reads on light and on dark


def averages(table: Table) -> Any:
    """Returns the paper's table in percent, styled: a line a detector, the best figure of each column in bold."""
    frame = pd.DataFrame(
        {
            (group.capitalize(), label): {name: 100 * getattr(table.average(name, group), figure) for name in table.detectors}
            for group in table.groups
            for label, figure in ((FPR, "fpr95"), (AUROC, "auroc"))
        }
    )
    style: Any = frame.style.format("{:.1f}")
    for column in frame.columns:
        pick = style.highlight_min if column[1] == FPR else style.highlight_max
        style = pick(subset=[column], props=BEST)
    return style


def sets(table: Table, titles: Mapping[str, str]) -> pd.DataFrame:
    """Returns a line a detector and set, in percent, with the half-width of the AUROC's 95 % interval."""
    return pd.DataFrame(
        {
            "Detector": row.detector, "Set": titles[f"{row.group}_{row.set}"], "Group": row.group, "Images": row.n,
            "FPR95 (ID+) %": round(100 * row.fpr95, 1), "AUROC %": round(100 * row.auroc, 1),
            "±": round(196 * row.auroc_error, 1), "AUPR %": round(100 * row.aupr, 1),
            "FPR95 (OOD+) %": round(100 * row.fpr95_ood, 1),
        }
        for row in table.rows
    )  # fmt: skip


def classifier(pack: Pack) -> str:
    """Returns what the card says of the classifier, in a sentence; nothing if it does not say it."""
    known = pack.card.get("classifier", {})
    architecture, accuracy = known.get("architecture"), known.get("test_accuracy")
    if not isinstance(architecture, dict) or not isinstance(accuracy, float):
        return ""
    return f"Classifier: timm {architecture.get('model')}, test accuracy {accuracy:.1%}."


def contents(pack: Pack) -> pd.DataFrame:
    """Returns a line a set of a pack: its role, rows and source, and what it stands in for."""
    described = pack.card.get("sets", {})
    return pd.DataFrame(
        {
            "set": pack.set_title(name), "role": name.partition("_")[0], "rows": len(features),
            "source": described.get(name, {}).get("source", ""), "licence": described.get(name, {}).get("licence", ""),
            "stands in for": described.get(name, {}).get("stands_in_for", ""),
        }
        for name, features in pack.sets()
    )  # fmt: skip
