"""Pure: tables and sentences of the Feature map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.pack.items import PackRow
from app.pack.layout import mapped_sets
from app.pack.tables import Array, percent

if TYPE_CHECKING:
    from heat_core.pack import Pack

Mask = NDArray[np.bool]

TRUSTED = 0.9  # trustworthiness from which neighbours on a map are called neighbours


def title_on_map(pack: Pack, name: str) -> str:
    """Returns what a set is called where ID sets stand beside each other."""
    title = pack.title_of(name)
    if title == name:
        return name
    suffix = {"train": " training", "test": " test"}.get(name, "")
    return f"{title}{suffix}"


def titles_by_set(pack: Pack) -> dict[str, str]:
    """Returns {set: title} of the sets that are on a map."""
    return {name: title_on_map(pack, name) for name in mapped_sets(pack)}


def sampled_sentence(pack: Pack) -> str:
    """Returns which ID sets are samples of larger ones, as far as the card says, in sentences."""
    sentences = []
    for name, title in (("train", "training"), ("test", "test")):
        rows = len(pack.train if name == "train" else pack.test)
        available = pack.available_rows(name)
        if available > rows:
            sentences.append(f"The {title} images are a sample, {rows:,} of {available:,}.")
    return " ".join(sentences)


def trust_sentence(method: str, trust: float | None) -> str:
    """Returns what a map can be trusted with, in a sentence or two.

    Args:
        trust: trustworthiness, 1 is perfect; None if nobody has measured it.
    """
    if trust is None:
        return f"Laid out by {method.upper()}; nobody has measured how far it can be trusted."
    if trust >= TRUSTED:
        neighbours = "points that are near each other here are near in feature space, too"
    else:
        neighbours = "many points that are near each other here are far apart in feature space"
    gaps = "; the gaps between clusters mean little" if method == "umap" else ""
    return (
        f"Laid out by {method.upper()}. Trustworthiness {trust:.2f} (1 is perfect, 0.5 is chance): "
        f"{neighbours}{gaps}."
    )


def selected_finding(masks: Mapping[str, Mask], titles: Mapping[str, str]) -> str:
    """Returns how many rows are selected, and which set they are mostly of, in a sentence."""
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    total = sum(counts.values())
    if not total:
        return "Nothing that is shown is selected."
    largest = max(counts, key=counts.__getitem__)
    if counts[largest] == total:
        return f"{total:,} selected, all of them {titles[largest]}."
    share = 100 * counts[largest] / total
    return f"{total:,} selected, {share:.0f}\u00a0% of them {titles[largest]}."


def pair_finding(pair: tuple[str, str], rejections: Mapping[str, tuple[Mask, Mask]]) -> str:
    """Returns how many rows flip between two detectors, each way, in a sentence.

    Args:
        pair: their names.
        rejections: {set: (which rows the first rejects (n,), which the second rejects (n,))}.
    """
    first, second = pair
    there = sum(int((~before & after).sum()) for before, after in rejections.values())
    back = sum(int((before & ~after).sum()) for before, after in rejections.values())
    return f"{first} accepts and {second} rejects {there:,}; the other way round {back:,}"


def selected_table(
    masks: Mapping[str, Mask],
    titles: Mapping[str, str],
    scores: Mapping[str, Array],
    threshold: float | None,
) -> pd.DataFrame:
    """Returns one row per set: how many are selected, and how many of those are flagged.

    Args:
        masks: {set: which rows are selected (n,)}.
        scores: {set: (n,)}; a set without scores has no figure.
        threshold: a score above it is flagged; None if there is none.
    """
    rows = []
    for name, mask in masks.items():
        count = int(mask.sum())
        flagged = "–"
        if count and threshold is not None and name in scores:
            flagged = percent(float(np.mean(scores[name][mask] > threshold)))
        rows.append(
            {
                "Set": titles[name],
                "Selected": f"{count:,} of {len(mask):,}",
                "Share": percent(count / len(mask)),
                "Flagged": flagged,
            }
        )
    return pd.DataFrame(rows, columns=["Set", "Selected", "Share", "Flagged"])


def tile_lines(
    pack: Pack, pack_row: PackRow, detector: str, row_percentile: float
) -> tuple[str, ...]:
    """Returns the lines below an image: its class or set, and where a detector puts it among ID.

    Args:
        row_percentile: the share of ID test rows that score at most as much; nan without a score.
    """
    name, row = pack_row
    labels = dict(pack.sets())[name].y
    if name in ("train", "test") and labels is not None:
        first = pack.class_name(int(labels[row]))
    else:
        first = pack.title_of(name)
    if name == "train":
        return first, "training"
    if np.isnan(row_percentile):
        return (first,)
    return first, f"{detector} {100 * row_percentile:.1f} %"
