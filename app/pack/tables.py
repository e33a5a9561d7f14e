"""Pure: tables and sentences that several pages of real features share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from app.pack.insight import Insight
    from heat_core.explain import Verdict
    from heat_core.pack import Pack


Array = NDArray[np.float64]
Mask = NDArray[np.bool]
Place = tuple[str, int]  # name of a set, row


def format_score(score: float) -> str:
    """Returns a score as every place of a page writes it.

    >>> written(49.0), written(-3.4601749), written(1e-7)
    ('49', '-3.46017', '1e-07')
    """
    return f"{score:.6g}"


def style_digits(frame: pd.DataFrame) -> Any:
    """Returns a table to show in which every share in percent has one digit, 49.0 as well as 49.1, and counts are grouped."""
    shares = [name for name in frame.select_dtypes("float") if "%" in name or name == "±"]
    return frame.style.format("{:.1f}", subset=shares).format(
        "{:,}", subset=list(frame.select_dtypes("integer"))
    )


def classifier_sentence(pack: Pack) -> str:
    """Returns what the card says of the classifier, in a sentence; nothing if it does not say it."""
    known = pack.card.get("classifier", {})
    architecture, accuracy = known.get("architecture"), known.get("test_accuracy")
    if not isinstance(architecture, dict) or not isinstance(accuracy, float):
        return ""
    return f"Classifier: timm {architecture.get('model')}, test accuracy {accuracy:.1%}."


def row_counts(pack: Pack) -> str:
    """Returns how many rows a pack has, and whether they are all there are, in a phrase."""
    rows = len(pack.test) + sum(map(len, pack.ood.values()))
    drawn = pack.card.get("sets", {}).get("train", {}).get("moments_of", 0)
    of = f" of {drawn:,}" if isinstance(drawn, int) and drawn > len(pack.train) else ""
    return f"{len(pack.train):,}{of} training rows, {rows:,} scored, none left out"


def pack_report(pack: Pack, absent: Mapping[str, str]) -> pd.DataFrame:
    """Returns what was found in a pack, part by part, and what follows from it.

    Args:
        absent: {detector: why this pack does not allow it}.
    """
    train, extra, head, families = pack.train, pack.extra, pack.train.head, pack.extra.pseudo
    of_more = (
        "means and covariances are of the larger set that these were drawn from"
        if train.moments
        else ""
    )
    val, views = (
        extra.val,
        ", ".join(f"{name} ({view.shape[1]})" for name, view in train.views.items()),
    )
    lines = [
        (
            "Training features",
            f"{len(train):,} rows of {train.dim}, {len(train.classes)} classes",
            of_more,
        ),
        (
            "ID test",
            f"{len(pack.test):,} rows",
            "" if pack.test.y is not None else "no labels: nothing is said by class",
        ),
        (
            "Held-out ID",
            "none" if val is None else f"{len(val):,} rows",
            "lines are chosen on the ID test rows themselves"
            if val is None
            else "lines are chosen on it",
        ),
        *(_found_outside(pack, group) for group in ("near", "mid", "far")),
        (
            "Classifier's last layer",
            f"{len(head.weight)} x {head.weight.shape[1]}" if head else "none",
            "",
        ),
        ("Other views", views or "none", ""),
        (
            "Pseudo-OOD families",
            f"{len(families)}, {sum(map(len, families.values())):,} rows" if families else "none",
            "HEAT, EBM and Composed learn from them"
            if families
            else "EBM and HEAT learn from the features alone",
        ),
        (
            "Pictures",
            f"of {len(pack.thumbnails)} sets" if pack.thumbnails else "none",
            "" if pack.thumbnails else "rows are named, not shown",
        ),
        *((f"{name} is absent", "", reason) for name, reason in absent.items()),
    ]
    return pd.DataFrame(lines, columns=["Part", "Found", "So"])


def _found_outside(pack: Pack, group: str) -> tuple[str, str, str]:
    sizes = [len(features) for of, features in pack.ood.items() if of[0] == group]
    title = f"{group.capitalize()} OOD"
    if not sizes:
        return title, "none", "left out of the averages"
    return title, f"{len(sizes)} set{'s' * (len(sizes) != 1)}, {sum(sizes):,} rows", ""


def verdict_rows(found: Sequence[Verdict]) -> pd.DataFrame:
    """Returns a line a detector: its score of an image, where that lies among ID, and the verdict."""
    return pd.DataFrame(
        {
            "Detector": verdict.detector,
            "Score": verdict.score,
            "ID test at or below %": round(100 * verdict.percentile, 1),
            "Threshold": verdict.threshold,
            "Verdict": "out" if verdict.out else "in",
        }
        for verdict in found
    )


def class_distance_rows(insight: Insight) -> pd.DataFrame:
    """Returns a line a class, nearest first."""
    return pd.DataFrame(
        {"Class": name, "Distance": round(away, 2)} for name, away in insight.near_classes
    )


def insight_finding(insight: Insight, title: str) -> str:
    """Returns what an image is, what it is taken for, and how many detectors call it out."""
    is_ = f"{title}, {insight.label}" if insight.label else title
    takes = (
        f": taken for {insight.predicted[0]} ({percent(insight.predicted[1])})"
        if insight.predicted
        else ""
    )
    out, many = sum(verdict.out for verdict in insight.verdicts), len(insight.verdicts)
    called = f"; {out} of {many} detectors call it out-of-distribution" if many else ""
    return f"{is_}{takes}{called}.".replace(" %", "\u00a0%")


def percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.1f} %"
