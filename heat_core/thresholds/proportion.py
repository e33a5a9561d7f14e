"""Shares of rows that were counted, with exact intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincinv, betaln, gammaln

from heat_core.arguments import check_confidence

Interval = tuple[float, float]
"""Both ends of an interval."""


@dataclass(frozen=True)
class Proportion:
    """A share of rows that were counted, and what it says of the share of all rows.

    Args:
        count: the rows that have it, such as those kept.
        n: all rows counted, at least 1.

    Raises ValueError unless the count lies between 0 and n.

    >>> kept = Proportion(285, 300)
    >>> kept.share, [round(bound, 3) for bound in kept.interval()]
    (0.95, [0.919, 0.972])
    """

    count: int
    n: int

    def __post_init__(self) -> None:
        if self.n < 1 or not 0 <= self.count <= self.n:
            raise ValueError(f"wanted a count out of at least one row, got {self.count}/{self.n}.")

    @classmethod
    def of(cls, has_it: np.ndarray) -> Proportion:
        """Returns the share of rows (n,) of True."""
        return cls(int(np.count_nonzero(has_it)), np.size(has_it))

    @property
    def share(self) -> float:
        return self.count / self.n

    def interval(self, confidence: float = 0.95) -> Interval:
        """Returns the exact interval of the share of all rows (Clopper and Pearson 1934).

        It holds that share for at least `confidence` of all draws of n rows.
        """
        tail = (1 - check_confidence(confidence)) / 2
        return lower_bound(self.count, self.n, tail), upper_bound(self.count, self.n, tail)


def percent(share: float) -> str:
    """Returns a share in percent, as texts have it.

    >>> percent(0.995)
    '99.5 %'
    """
    return f"{100 * share:g} %"


def lower_bound(count: int, n: int, risk: float) -> float:
    """Returns what the share of all rows is above, but for a risk, where `count` of n have it.

    >>> lower_bound(0, 10, 0.05), round(lower_bound(10, 10, 0.05), 4)
    (0.0, 0.7411)
    """
    return 0.0 if count == 0 else float(betaincinv(count, n - count + 1, risk))


def upper_bound(count: int, n: int, risk: float) -> float:
    """Returns what the share of all rows is below, but for a risk, where `count` of n have it.

    >>> round(upper_bound(0, 10, 0.05), 4), upper_bound(10, 10, 0.05)
    (0.2589, 1.0)
    """
    return 1.0 if count == n else float(betaincinv(count + 1, n - count, 1 - risk))


def least_count(n: int, share: float, risk: float) -> int:
    """Returns the fewest of n rows that show that the share of all rows is at least `share`.

    So many have it with a probability of at most `risk` where the share of all rows is lower. It is
    n + 1 where not even all n show it.

    >>> least_count(100, 0.9, 0.05), least_count(10, 0.9, 0.05)
    (96, 11)
    """
    counts = np.arange(1, n + 1)
    return int(np.count_nonzero(betainc(counts, n + 1 - counts, share) > risk)) + 1


def least_rows(share: float, risk: float) -> int:
    """Returns how many rows it takes for `least_count` to be within them.

    >>> least_rows(0.95, 0.05)
    59
    """
    return math.ceil(math.log(risk) / math.log(share) - 1e-9)


def count_interval(n: int, a: float, b: float, confidence: float) -> tuple[int, int]:
    """Returns where a count out of n lies whose share has the law Beta(a, b): a beta-binomial.

    Each end is passed with a probability of (1 - confidence) / 2 at most.
    """
    tail = (1 - check_confidence(confidence)) / 2
    counts = np.arange(n + 1)
    choose = gammaln(n + 1) - gammaln(counts + 1) - gammaln(n - counts + 1)
    law = np.exp(choose + betaln(counts + a, n - counts + b) - betaln(a, b)).cumsum()
    low, high = np.searchsorted(law, [tail, 1 - tail])
    return int(low), int(min(high, n))
