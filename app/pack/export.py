"""Pure: rows of a pack with their ids, classes, tags and scores, as a table and as files."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.pack.items import Mask, Part, indices_of, mask_in, source_of

if TYPE_CHECKING:
    from heat_core.pack import Pack

ID_SETS = ("train", "test", "val")  # whose labels are of the classes of the pack

ScoresBySet = Mapping[str, NDArray[np.float64]]  # {set: (n,)}


def export_table(
    pack: Pack,
    masks: Mapping[str, Mask],
    scores_by_detector: Mapping[str, ScoresBySet],
    tags: Sequence[Part] = (),
) -> pd.DataFrame:
    """Returns one row per row of the pack: `id`, `set`, `class`, `tags`, and a score per detector.

    The class is empty where the pack does not say it; so are scores of a set without any. Tags of
    a row are joined by `; `.

    Args:
        masks: {set: which of its rows (n,)}.
        scores_by_detector: {detector: {set: (n,) scores}}.
        tags: each labelled by its word.
    """
    sets = dict(pack.sets())
    tables = []
    for name, mask in masks.items():
        features = sets[name]
        indices = indices_of(features, name)[mask]
        source = source_of(features, name)
        labels = np.full(len(indices), "", object)
        if features.y is not None and name in ID_SETS:
            labels[:] = [pack.class_name(label) for label in features.y.cpu().numpy()[mask]]
        columns = {
            "id": [f"{source}/{index}" for index in indices.tolist()],
            "set": name,
            "class": labels,
            "tags": _joined_tags([mask_in(features, name, tag.items)[mask] for tag in tags], tags),
        }
        for detector, scores in scores_by_detector.items():
            columns[detector] = scores[name][mask] if name in scores else np.nan
        tables.append(pd.DataFrame(columns, index=range(len(indices))))
    if not tables:
        return pd.DataFrame(columns=["id", "set", "class", "tags", *scores_by_detector])
    return pd.concat(tables, ignore_index=True)


def _joined_tags(tag_masks: Sequence[Mask], tags: Sequence[Part]) -> NDArray | str:
    """Returns the tags of each row in one text, (rows,); one empty text where there are no tags."""
    if not tags:
        return ""
    words = [tag.label for tag in tags]
    joined = [
        "; ".join(word for word, has_tag in zip(words, row, strict=True) if has_tag)
        for row in zip(*tag_masks, strict=True)
    ]
    return np.array(joined, object)


def csv_content(table: pd.DataFrame) -> bytes:
    """Returns a table as CSV, with the digits that tell every score from every other."""
    return table.to_csv(index=False).encode()


def parquet_content(table: pd.DataFrame) -> bytes:
    """Returns a table as Parquet."""
    content = io.BytesIO()
    table.to_parquet(content, index=False)
    return content.getvalue()


WRITERS: Mapping[str, Callable[[pd.DataFrame], bytes]] = {
    "CSV": csv_content,
    "Parquet": parquet_content,
}
"""{format: what writes a table in it}."""
