"""Pure: rows of a pack with their ids, classes, tags and scores, as a table and as files."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.pack.items import LabelledItems, Mask, indices_of, mask_in, source_of
from heat_core.metadata import ID_COLUMN
from heat_core.set_name import ID_SETS

if TYPE_CHECKING:
    from heat_core.metadata import Column
    from heat_core.pack import Pack

FIRST_COLUMNS = ("id", "set", "class", "tags")

ScoresBySet = Mapping[str, NDArray[np.float64]]  # {set: (n,)}


def export_table(
    pack: Pack,
    masks: Mapping[str, Mask],
    scores_by_detector: Mapping[str, ScoresBySet],
    tags: Sequence[LabelledItems] = (),
) -> pd.DataFrame:
    """Returns one row per row of the pack: `id`, `set`, `class`, `tags`, and a score per detector.

    The class is empty where the pack does not say it; so are scores of a set without any. Tags of
    a row are joined by `; `. What the data itself says of its rows stands before the scores: its
    own ids as `given_id`, and its metadata columns, as `meta_NAME` where their name is taken.

    Args:
        masks: {set: which of its rows (n,)}.
        scores_by_detector: {detector: {set: (n,) scores}}.
        tags: each labelled by its word.
    """
    sets = dict(pack.sets())
    columns_by_name = {
        column: values for name in masks for column, values in sets[name].metadata.items()
    }
    headings = _metadata_headings(columns_by_name, {*FIRST_COLUMNS, *scores_by_detector})
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
        for column, heading in headings.items():
            is_number = columns_by_name[column].is_number
            columns[heading] = _values(features.metadata.get(column), mask, is_number)
        for detector, scores in scores_by_detector.items():
            columns[detector] = scores[name][mask] if name in scores else np.nan
        tables.append(pd.DataFrame(columns, index=range(len(indices))))
    if not tables:
        return pd.DataFrame(columns=[*FIRST_COLUMNS, *scores_by_detector])
    return pd.concat(tables, ignore_index=True)


def _metadata_headings(columns: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """Returns {metadata column: its heading}, ids first.

    >>> _metadata_headings(["set", "camera", "id"], taken={"id", "set"})
    {'id': 'given_id', 'camera': 'camera', 'set': 'meta_set'}
    """
    ids = {ID_COLUMN: "given_id"} if ID_COLUMN in columns else {}
    others = sorted({*columns} - {ID_COLUMN})
    return ids | {name: f"meta_{name}" if name in taken else name for name in others}


def _values(column: Column | None, mask: Mask, is_number: bool) -> NDArray | float | str:
    """Returns the numbers or texts of some rows, (rows,); nan or no text without such a column."""
    if column is None:
        return np.nan if is_number else ""
    if column.is_number:
        return column.numbers()[mask]
    return np.array(column.names, object)[column.values.numpy()[mask]]


def _joined_tags(tag_masks: Sequence[Mask], tags: Sequence[LabelledItems]) -> NDArray | str:
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
