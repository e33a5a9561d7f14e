"""Watching a stream of scores in use: alarms, drift, and what changed between two windows."""

from __future__ import annotations

from .betting import Cusum, Martingale, betting_score
from .flagged import FlagRates, flag_rates
from .noticing import Notice, notices
from .online import online_p_values
from .simulation import mix_in
from .slices import SliceWatch, watch_slices
from .two_sample import Difference, kernel_two_sample, kolmogorov_smirnov
from .watching import Watch, watch

__all__ = [
    "Cusum",
    "Difference",
    "FlagRates",
    "Martingale",
    "Notice",
    "SliceWatch",
    "Watch",
    "flag_rates",
    "betting_score",
    "kernel_two_sample",
    "kolmogorov_smirnov",
    "mix_in",
    "notices",
    "online_p_values",
    "watch",
    "watch_slices",
]
