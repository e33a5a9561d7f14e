"""The share of inputs flagged over time, and where it lies while nothing changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heat_core.thresholds.id_only import AtRank
from heat_core.thresholds.outcome import Array
from heat_core.thresholds.proportion import count_interval
from heat_core.thresholds.rule import Decision

CONFIDENCE = 0.95  # of the band of a window, and of that of all windows of a stream


@dataclass(frozen=True, eq=False)
class FlagRates:
    """The share flagged in windows that follow each other.

    Args:
        starts: (K,) the first row of each window.
        counts, rows: (K,) how many are flagged, of how many.
        low, high: (K,) where the share lies in 95 of 100 windows while only ID comes, from where
            the calibration scores come from.
        alarm_low, alarm_high: (K,) where it lies in every window of 95 of 100 streams of so many
            windows, while only such ID comes.
    """

    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    rows: NDArray[np.int64]
    low: Array
    high: Array
    alarm_low: Array
    alarm_high: Array

    @property
    def rates(self) -> Array:
        """(K,) the share flagged."""
        return self.counts / self.rows

    @property
    def is_outside(self) -> NDArray[np.bool]:
        """(K,) whether the share lies outside its band."""
        return (self.rates < self.low) | (self.rates > self.high)

    @property
    def is_alarm(self) -> NDArray[np.bool]:
        """(K,) whether the share is an alarm: at most 5 of 100 streams without a change have one.

        Each of K windows has a band that is left with a probability of 0.05 / K (Bonferroni).
        """
        return (self.rates < self.alarm_low) | (self.rates > self.alarm_high)


def flag_rates(decision: Decision, scores: ArrayLike, window: int) -> FlagRates:
    """Returns the share that a decision flags in each window of a stream.

    Args:
        decision: of a rule whose threshold is the ID score of a rank, one for all classes.
        scores: (N,) in the order of their arrival; the last window may be shorter.
        window: rows.

    Raises:
        ValueError: the window is no number of rows, or the rule says nothing of what is expected.

    >>> from heat_core.thresholds import Conformal
    >>> decision = Conformal(0.9).fit(np.arange(999.0))
    >>> rates = flag_rates(decision, np.r_[np.arange(0.0, 1000, 10), np.full(50, 950.0)], 50)
    >>> rates.rates.tolist(), rates.is_outside.tolist()
    ([0.0, 0.2, 1.0], [True, False, True])
    """
    if window < 1:
        raise ValueError(f"the window must be at least 1 row, got {window}.")
    rule = decision.rule
    if not isinstance(rule, AtRank):
        raise ValueError(f"{rule.title} says nothing of how many ID inputs it flags.")
    flags = decision.flags(scores)
    starts = np.arange(0, len(flags), window)
    counts = np.add.reduceat(flags.astype(np.int64), starts)
    rows = np.diff(np.append(starts, len(flags)))
    n = decision.n_calibration
    rank = rule.rank(n)

    def band(confidence: float) -> tuple[Array, Array]:
        bands = {
            size: count_interval(int(size), n + 1 - rank, rank, confidence)
            for size in np.unique(rows)
        }
        low, high = np.array([bands[size] for size in rows]).T / rows
        return low, high

    of_all = 1 - (1 - CONFIDENCE) / len(starts)
    return FlagRates(starts, counts, rows, *band(CONFIDENCE), *band(of_all))
