"""Pure: where rows lie by their ID percentiles before and after, and the axes around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.pack.layout import Array, Layout
from heat_core.metrics import percentile

TICKS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0)  # ID percentiles that axes name, as fractions
LEFT, RIGHT = 0.11, 0.96  # where an axis begins and ends, fractions of the picture
TOP, BOTTOM = 0.09, 0.87
TICK_ROOM = 0.02  # of the picture, between an axis and its numbers

Fraction = TypeVar("Fraction", float, NDArray)


@dataclass(frozen=True, eq=False)
class PercentileLayout(Layout):
    """Where rows lie by what a detector says of them before something is added to it, and after.

    Args:
        coordinates: {set: (n, 2) the share of ID test rows that score at most as much, before and
            after}.
        method: names the two detectors.
        trust: None, always.
        id_rows: how many ID test rows there are.
    """

    id_rows: int = 1

    @cached_property
    def positions(self) -> Mapping[str, Array]:
        """{set: (n, 2) float32 fractions of the picture}: before from the left, after upwards."""
        positions = {}
        for name, shares in self.coordinates.items():
            before, after = stretched(shares, self.id_rows).T
            positions[name] = np.stack([across(before), up(after)], 1).astype(np.float32)
        return positions

    def spot(self, before: float, after: float) -> tuple[float, float]:
        """Returns where two ID percentiles lie, given as fractions, on the picture."""
        x, y = stretched(np.array([before, after]), self.id_rows).tolist()
        return across(x), up(y)

    @property
    def ticks(self) -> tuple[float, ...]:
        """The ID percentiles that the axes name, as far as there are enough ID rows to tell."""
        return tuple(share for share in TICKS if share == 1 or (1 - share) * self.id_rows >= 1)


def stretched(shares: NDArray, id_rows: int) -> NDArray:
    """Returns where shares lie on an axis that is stretched towards 1: from 0 to 1, of any shape.

    Each factor of ten in what is left to 1 is as long as any other. The shares are of `id_rows`
    rows, so that the last step is from one of them to none.

    >>> stretched(np.array([0.0, 1.0]), 99).tolist()
    [0.0, 1.0]
    """
    last = 1 / (id_rows + 1)
    left = np.clip(1 - shares + last * shares, last, 1)
    return np.log10(left) / np.log10(last)


def across(fraction: Fraction) -> Fraction:
    """Returns where a fraction of the lower axis lies on the picture."""
    return LEFT + fraction * (RIGHT - LEFT)


def up(fraction: Fraction) -> Fraction:
    """Returns where a fraction of the left axis lies on the picture, from above."""
    return BOTTOM + fraction * (TOP - BOTTOM)


def before_after_layout(
    before: Mapping[str, NDArray], after: Mapping[str, NDArray], method: str
) -> PercentileLayout:
    """Returns where rows lie by their ID percentiles, each against its own detector's ID test.

    Args:
        before, after: {set: (n,) scores}, `test` among them; sets without scores of both are left
            out.
        method: names the two detectors.
    """
    coordinates = {
        name: np.stack(
            [percentile(before["test"], before[name]), percentile(after["test"], after[name])], 1
        )
        for name in before
        if name in after
    }
    return PercentileLayout(coordinates, method, id_rows=len(before["test"]))
