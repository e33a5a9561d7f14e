"""A stream of scores held against the decision of a bundle: window by window, and as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heat_core.arguments import finite_scores
from heat_core.thresholds.outcome import Array
from heat_core.thresholds.rule import Decision

from .betting import Cusum, Martingale, WealthPath
from .flagged import CONFIDENCE, FlagRates, flag_rates
from .online import online_p_values
from .two_sample import kolmogorov_smirnov

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Watch:
    """What became of a stream.

    Args:
        times: (N,) when each row came, ascending.
        rates: the share flagged in each window, with its band.
        p_values: (N,) of each row among all before it.
        martingale: its wealth along the stream.
        cusum: its own.
        ks_p_value: (K,) the p-value that a window's scores come from where the calibration scores
            come from (Kolmogorov and Smirnov).
    """

    times: Sequence[Any]
    rates: FlagRates
    p_values: Array
    martingale: WealthPath
    cusum: WealthPath
    ks_p_value: Array

    @property
    def ks_is_alarm(self) -> NDArray[np.bool]:
        """(K,) whether a window's scores are an alarm: at most 5 of 100 calm streams have one."""
        return self.ks_p_value < (1 - CONFIDENCE) / len(self.ks_p_value)

    def table(self) -> pd.DataFrame:
        """Returns a row for each window."""
        import pandas as pd

        rates = self.rates
        last = rates.starts + rates.rows - 1
        return pd.DataFrame(
            {
                "from": [self.times[row] for row in rates.starts],
                "to": [self.times[row] for row in last],
                "rows": rates.rows,
                "flagged": rates.counts,
                "rate": rates.rates,
                "low": rates.low,
                "high": rates.high,
                "is_outside": rates.is_outside,
                "drift_wealth": np.exp(self.martingale.log_wealth[last]),
                "change_wealth": np.exp(self.cusum.log_wealth[last]),
                "ks_p_value": self.ks_p_value,
            }
        )


def watch(
    decision: Decision,
    calibration: ArrayLike,
    scores: ArrayLike,
    times: Sequence[Any] | None = None,
    window: int = 500,
    martingale: Martingale = Martingale(),
    change_test: Cusum = Cusum(),
    seed: int = 0,
) -> Watch:
    """Returns what became of a stream of scores.

    Args:
        decision: what flags rows; of a rule that says how many ID inputs it flags.
        calibration: (n,) the scores that it was chosen on.
        scores: (N,) of the stream.
        times: (N,) when each row came; rows are taken in this order. By default they are counted.
        window: rows.
        martingale: alarms on drift; it may be looked at after every row.
        change_test: alarms on a change; falsely once in so many rows.
        seed: of the chance by which ties are broken.

    Raises:
        ValueError: there is no row, a time is missing, times have no order, or the rule says
            nothing of its flags.

    >>> from heat_core.thresholds import Conformal
    >>> draw = np.random.default_rng(0)
    >>> calibration = draw.normal(size=1000)
    >>> stream = np.concatenate([draw.normal(size=1000), draw.normal(3, 1, size=100)])
    >>> found = watch(Conformal(0.95).fit(calibration), calibration, stream)
    >>> bool(found.rates.is_outside[-1]), found.martingale.alarm_at >= 1000
    (True, True)
    """
    values = finite_scores("scores", scores)
    when = list(range(len(values)) if times is None else times)
    if len(when) != len(values) or any(time is None for time in when):
        raise ValueError(f"wanted a time for each of {len(values):,} rows.")
    try:  # stable: rows of one time as they came
        order = sorted(range(len(when)), key=when.__getitem__)
    except TypeError:
        raise ValueError(
            "wanted times of one kind, such as numbers or dates, which have an order."
        ) from None
    values = values[order]
    p = online_p_values(calibration, values, seed)
    rates = flag_rates(decision, values, window)
    windows = np.split(values, rates.starts[1:])
    inside = finite_scores("calibration", calibration)
    same = [kolmogorov_smirnov(inside, each).p_value for each in windows]
    return Watch(
        [when[row] for row in order],
        rates,
        p,
        martingale.test(p),
        change_test.test(p),
        np.array(same),
    )
