"""Flips: the rows that one detector accepts and another rejects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .metrics import percentile

Array = NDArray[np.float64]
RowIndices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Flips:
    """Rows that one detector accepts and another rejects, those that moved farthest first.

    Args:
        sets: name of each one's set, (n,).
        rows: which row of it, (n,).
        moves: how far up the second detector moved it, (n,).
        counts: {set: (flips, rows)}.

    >>> first = {"test": np.array([0.0, 1.0]), "near_a": np.array([0.5, 3.0])}
    >>> second = {"test": np.array([0.0, 1.0]), "near_a": np.array([2.0, 3.0])}
    >>> Flips.between(first, second, thresholds=(1.0, 1.0)).by_set()
    {'near_a': array([0])}
    """

    sets: NDArray[np.str_]
    rows: RowIndices
    moves: Array
    counts: Mapping[str, tuple[int, int]]

    @classmethod
    def between(
        cls,
        accepting: Mapping[str, Array],
        rejecting: Mapping[str, Array],
        thresholds: tuple[float, float],
        moves: Mapping[str, Array] | None = None,
    ) -> Self:
        """Returns the rows that a first detector accepts and a second rejects.

        They are at or below the first threshold by the first scores, and above the second by the
        second.

        Args:
            accepting, rejecting: {set: (n,) scores} of the detectors, `test` being the ID test set.
            thresholds: of the two.
            moves: {set: (n,)} how far the second moved each row, where both are on one scale, such
                as HEAT's correction of its prior. By default it is the change of the percentile
                among ID test scores, and of equal changes the farthest past its threshold comes
                first.
        """
        flipped = {
            name: np.flatnonzero(
                (accepting[name] <= thresholds[0]) & (rejecting[name] > thresholds[1])
            )
            for name in accepting
        }
        if moves is None:
            moved = {
                name: _percentile(rejecting, name, rows) - _percentile(accepting, name, rows)
                for name, rows in flipped.items()
            }
        else:
            moved = {name: moves[name][rows] for name, rows in flipped.items()}

        sets = np.concatenate([np.full(len(rows), name) for name, rows in flipped.items()])
        rows = np.concatenate(list(flipped.values()))
        distances = np.concatenate(list(moved.values()))
        scores = np.concatenate([rejecting[name][rows] for name, rows in flipped.items()])
        order = np.lexsort((-scores, -distances))
        counts = {name: (len(rows), len(accepting[name])) for name, rows in flipped.items()}
        return cls(sets[order], rows[order], distances[order], counts)

    def __len__(self) -> int:
        return len(self.rows)

    def by_set(self) -> dict[str, RowIndices]:
        """Returns {set: rows}, of every set that has any."""
        return {str(name): self.rows[self.sets == name] for name in np.unique(self.sets)}

    def within(self, masks: Mapping[str, NDArray[np.bool]]) -> Self:
        """Returns the flips among the rows that a mask selects, {set: (N,)}.

        Sets without a mask are left out.
        """
        selected = np.zeros(len(self), bool)
        for name, mask in masks.items():
            in_set = self.sets == name
            selected[in_set] = mask[self.rows[in_set]]
        sets = self.sets[selected]
        counts = {
            name: (int((sets == name).sum()), int(masks[name].sum()))
            for name in self.counts
            if name in masks
        }
        return type(self)(sets, self.rows[selected], self.moves[selected], counts)


def _percentile(scores: Mapping[str, Array], name: str, rows: RowIndices) -> Array:
    """Returns the share of ID test scores at or below those of some rows of a set, (n,)."""
    return percentile(scores["test"], scores[name][rows])
