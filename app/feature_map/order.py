"""Pure: rows of a pack in the order that they are looked at, by their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.pack.items import Mask, PackRow

Scores = Mapping[str, NDArray[np.float64]]  # {set: (n,)}


@dataclass(frozen=True, eq=False)
class RowOrder:
    """Rows of a pack, one after the other.

    Args:
        sets: (n,) names of their sets.
        rows: (n,) which row of it.
        scores: (n,) of the detector that is shown; nan without a score.
    """

    sets: NDArray[np.str_]
    rows: NDArray[np.int64]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, order: slice | NDArray[np.intp]) -> RowOrder:
        return RowOrder(self.sets[order], self.rows[order], self.scores[order])

    @property
    def pack_rows(self) -> list[PackRow]:
        """(set, row) of each."""
        return list(zip(self.sets.tolist(), self.rows.tolist(), strict=True))

    @cached_property
    def _places(self) -> dict[PackRow, int]:
        return {pack_row: i for i, pack_row in enumerate(self.pack_rows)}

    def place_of(self, pack_row: PackRow) -> int | None:
        """Returns how many come before a row; None if it is not among these."""
        return self._places.get(pack_row)


def by_score(masks: Mapping[str, Mask], scores: Scores | None, descending: bool) -> RowOrder:
    """Returns rows by their scores, those without one last; in the order of their sets if none has.

    Args:
        masks: {set: which of its rows (n,)}.
        scores: of the detector that is shown; None if it has none yet.
        descending: whether the largest score comes first.
    """
    rows_by_set = {name: np.flatnonzero(mask) for name, mask in masks.items()}
    names = np.array([*rows_by_set], str)
    sets = np.repeat(names, [len(rows) for rows in rows_by_set.values()])
    rows = np.concatenate([np.zeros(0, np.int64), *rows_by_set.values()])
    row_scores = np.concatenate(
        [np.zeros(0), *(_scores_or_nan(scores, name, of) for name, of in rows_by_set.items())]
    )
    order = np.argsort(-row_scores if descending else row_scores, kind="stable")  # nan comes last
    return RowOrder(sets, rows, row_scores)[order]


def _scores_or_nan(scores: Scores | None, name: str, rows: NDArray[np.int64]) -> NDArray:
    """Returns the scores of rows of a set, (n,); nan where the set has none."""
    if scores is None or name not in scores:
        return np.full(len(rows), np.nan)
    return scores[name][rows]
