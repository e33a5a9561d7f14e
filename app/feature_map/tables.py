"""Pure: tables and sentences of the Feature map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from heat_core.pack import Pack
from app.pack.tables import Array, percent


def sampled_sentence(pack: Pack) -> str:
    """Returns which sets are samples of larger ones, as far as the card says, in a sentence."""
    described, found = pack.card.get("sets", {}), []
    for name, features in pack.sets():
        whole = described.get(name, {}).get("moments_of")
        if isinstance(whole, int) and whole > len(features) and name in ("train", "test"):
            found.append(
                f"The {'training' if name == 'train' else name} images are a sample, {len(features):,} of {whole:,}."
            )
    return " ".join(found)


def trust_sentence(method: str, trust: float | None) -> str:
    """Returns what a map can be trusted with, in a sentence or two."""
    if trust is None:
        return f"Laid out by {method.upper()}; nobody has measured how far it can be trusted."
    near = (
        "points that are near each other here are near in feature space, too"
        if trust >= 0.9
        else ("many points that are near each other here are far apart in feature space")
    )
    gaps = "; the gaps between clusters mean little" if method == "umap" else ""
    return f"Laid out by {method.upper()}. Trustworthiness {trust:.2f} (1 is perfect, 0.5 is chance): {near}{gaps}."


def selected_finding(masks: Mapping[str, NDArray[np.bool]], titles: Mapping[str, str]) -> str:
    """Returns how many are selected, and which set they are mostly of, in a sentence."""
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    total = sum(counts.values())
    if not total:
        return "Nothing that is shown is selected."
    most = max(counts, key=counts.__getitem__)
    if counts[most] == total:
        return f"{total:,} selected, all of them {titles[most]}."
    return f"{total:,} selected, {100 * counts[most] / total:.0f}\u00a0% of them {titles[most]}."


def selected_rows(
    masks: Mapping[str, NDArray[np.bool]],
    titles: Mapping[str, str],
    scores: Mapping[str, Array],
    cut: float | None,
) -> pd.DataFrame:
    """Returns a line a set: how many of how many are selected, and how many of those are above the cut.

    Args:
        masks: {set: which rows are selected (n,)}.
        scores: {set: (n,)}; a set without has no figure.
        cut: None if there is none.
    """

    def line(name: str, mask: NDArray[np.bool]) -> dict[str, str]:
        count = int(mask.sum())
        flagged = "–"
        if count and cut is not None and name in scores:
            flagged = percent(float(np.mean(scores[name][mask] > cut)))
        share = percent(count / len(mask))
        return {
            "Set": titles[name],
            "Selected": f"{count:,} of {len(mask):,}",
            "Share": share,
            "Flagged": flagged,
        }

    return pd.DataFrame(
        [line(name, mask) for name, mask in masks.items()],
        columns=["Set", "Selected", "Share", "Flagged"],
    )


def tile_lines(pack: Pack, place: tuple[str, int], scorer: str, rank: float) -> tuple[str, ...]:
    """Returns the lines below an image: its class or its set, and where a detector puts it among ID."""
    name, row = place
    y = dict(pack.sets())[name].y
    known = name in ("train", "test") and y is not None
    first = pack.class_name(int(y[row])) if known and y is not None else pack.set_title(name)
    second = (
        "training" if name == "train" else "" if np.isnan(rank) else f"{scorer} {100 * rank:.1f} %"
    )
    return (first, second) if second else (first,)
