"""Drift tests that may be looked at after every row: wealth won by betting against uniformity.

While p-values are independent and uniform no way of betting makes wealth grow: it is a martingale
that begins at 1, and reaches c with a probability of at most 1 / c, ever (Ville 1939). Small
p-values, of scores that are higher than those before, win.
Vovk et al. 2005; Ramdas et al. 2023 (arXiv 2210.01948).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heat_core.thresholds.outcome import Array

POWERS = (0.5, 0.7, 0.85, 0.95)
"""e of the bets e p^(e - 1): the smaller, the more is won by small p-values and lost by others."""
MIN_P = 1e-12  # below which a p-value wins no more


def betting_score(p: ArrayLike) -> Array:
    """Returns what each bet multiplies its stake by, (N, bets); the last bets nothing.

    Args:
        p: (N,) p-values.

    >>> betting_score([1.0, 0.01]).round(2).tolist()
    [[0.5, 0.7, 0.85, 0.95, 1.0], [5.0, 2.79, 1.7, 1.2, 1.0]]
    """
    values = np.clip(np.asarray(p, np.float64), MIN_P, 1.0)[:, None]
    powers = np.append(POWERS, 1.0)
    return powers * values ** (powers - 1)


class WealthPath(NamedTuple):
    """The wealth of a test along a stream, and when it alarmed.

    Args:
        log_wealth: (N,) log of the wealth after each row.
        alarm_at: the first row, from 0, after which it reached the limit; None if it never did.
    """

    log_wealth: Array
    alarm_at: int | None


@dataclass(frozen=True)
class Martingale:
    """A conformal test martingale: an alarm is false at most once in `limit` streams.

    That holds for streams of any length, looked at as often as one likes. The wealth is spread over
    the bets, and after each row a share of every bet's wealth is spread over all again, so that a
    change may come late (fixed share; Herbster and Warmuth 1998).

    Args:
        limit: the wealth at which it alarms.
        restart: the share of wealth that is spread again.

    >>> calm = np.random.default_rng(0).random(1000)
    >>> Martingale().test(calm).alarm_at
    >>> Martingale().test(np.append(calm, np.full(20, 0.02))).alarm_at
    1008
    """

    limit: float = 20.0
    restart: float = 0.001

    def test(self, p: ArrayLike) -> WealthPath:
        """Returns the wealth after each of the p-values, (N,), and when it alarms."""
        factors = betting_score(p)
        bets = factors.shape[1]
        shares = np.full(bets, 1 / bets)  # of the wealth, by bet
        log_wealth = np.empty(len(factors))
        total = 0.0
        for row, factor in enumerate(factors):
            shares = shares * factor
            growth = shares.sum()
            total += np.log(growth)
            shares = (1 - self.restart) * shares / growth + self.restart / bets
            log_wealth[row] = total
        return WealthPath(log_wealth, _first_at_least(log_wealth, self.limit))


@dataclass(frozen=True)
class Cusum:
    """A CUSUM: it alarms falsely once in `run_length` rows at most, on average, for ever.

    After every row the wealth of a bettor who began at the best moment so far, begun anew at 1
    where all has been lost. Its mean time to a false alarm is at least the limit (Lorden 1971; for
    bets, Shin et al. 2022, arXiv 2203.03532).

    Args:
        run_length: rows between false alarms, at least, on average.

    >>> calm = np.random.default_rng(0).random(1000)
    >>> Cusum().test(calm).alarm_at
    >>> Cusum().test(np.append(calm, np.full(20, 0.02))).alarm_at
    1013
    """

    run_length: float = 10_000.0

    def test(self, p: ArrayLike) -> WealthPath:
        """Returns the wealth after each of the p-values, (N,), and when it first alarms."""
        gains = np.log(betting_score(p).mean(1))
        log_wealth = np.empty(len(gains))
        wealth = 0.0
        for row, gain in enumerate(gains):
            wealth = max(wealth, 0.0) + gain
            log_wealth[row] = wealth
        return WealthPath(log_wealth, _first_at_least(log_wealth, self.run_length))


def _first_at_least(log_wealth: Array, limit: float) -> int | None:
    """Returns the first row of (N,) at which the wealth reaches a limit."""
    reached: NDArray[np.intp] = np.flatnonzero(log_wealth >= np.log(limit))
    return int(reached[0]) if len(reached) else None
