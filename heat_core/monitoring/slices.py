"""A stream watched within each value of a column, such as the predicted class."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heat_core.arguments import finite_scores
from heat_core.thresholds.proportion import Proportion
from heat_core.thresholds.rule import Decision

from .betting import Martingale, WealthPath
from .online import online_p_values

MAX_SLICES = 30  # that are watched, those with the most calibration scores


@dataclass(frozen=True, eq=False)
class SliceWatch:
    """What became of the rows of a stream that have one value.

    Args:
        value: of the column.
        rows: (n,) the numbers of these rows in the stream, ascending.
        flagged: how many of them are flagged; None where there is no row.
        calibration_flagged: how many of the calibration scores of this value are.
        martingale: its wealth over these rows alone.
        limit: the wealth at which it alarms.
    """

    value: Hashable
    rows: NDArray[np.int64]
    flagged: Proportion | None
    calibration_flagged: Proportion
    martingale: WealthPath
    limit: float

    @property
    def alarm_at(self) -> int | None:
        """The row of the whole stream, from 0, after which it alarmed; None if it never did."""
        return (
            None if self.martingale.alarm_at is None else int(self.rows[self.martingale.alarm_at])
        )


def watch_slices(
    decision: Decision,
    calibration: ArrayLike,
    calibration_values: ArrayLike,
    scores: ArrayLike,
    values: ArrayLike,
    martingale: Martingale = Martingale(),
    seed: int = 0,
) -> list[SliceWatch]:
    """Returns what became of the rows of each value, by the number of its calibration scores.

    The limit is that of the martingale times the number of values, so that its promise holds for
    all of them together: of streams without a change at most one in `martingale.limit` alarms, in
    whichever value. Values without a calibration score are left out.

    Args:
        decision: what flags rows, with one threshold for all of them.
        calibration: (n,) the scores that it was chosen on.
        calibration_values: (n,) the value of each.
        scores: (N,) of the stream, in the order of their arrival.
        values: (N,) the value of each.
        martingale: alarms on drift.
        seed: of the chance by which ties are broken.

    Raises:
        ValueError: a score is not finite, or has no value.

    >>> from heat_core.thresholds import Conformal
    >>> draw = np.random.default_rng(0)
    >>> calibration, classes = draw.normal(size=1000), np.arange(1000) % 2
    >>> stream = draw.normal(size=400) + 3 * (np.arange(400) % 2)
    >>> decision = Conformal(0.95).fit(calibration)
    >>> slices = watch_slices(decision, calibration, classes, stream, np.arange(400) % 2)
    >>> [(one.value, one.limit, one.alarm_at) for one in slices]
    [(0, 40.0, None), (1, 40.0, 5)]
    """
    inside, stream = finite_scores("calibration", calibration), finite_scores("scores", scores)
    inside_values, stream_values = np.ravel(calibration_values), np.ravel(values)
    if len(inside) != len(inside_values) or len(stream) != len(stream_values):
        raise ValueError(
            f"wanted a value for each of {len(inside):,} and {len(stream):,} scores, got "
            f"{len(inside_values):,} and {len(stream_values):,}."
        )
    known, counts = np.unique(inside_values, return_counts=True)
    watched = known[np.argsort(-counts, kind="stable")[:MAX_SLICES]]
    test = Martingale(martingale.limit * len(watched), martingale.restart)
    inside_flags, flags = decision.flags(inside), decision.flags(stream)
    slices = []
    for value in watched:
        is_inside, rows = inside_values == value, np.flatnonzero(stream_values == value)
        p = online_p_values(inside[is_inside], stream[rows], seed)
        slices.append(
            SliceWatch(
                value.item(),
                rows,
                Proportion.of(flags[rows]) if len(rows) else None,
                Proportion.of(inside_flags[is_inside]),
                test.test(p),
                test.limit,
            )
        )
    return slices
