"""Watching a stream of scores in use: alarms, drift, and what changed between two windows."""

from __future__ import annotations

from .alarms import AlarmRates, alarm_rates
from .betting import Martingale, RunLengthDetector, betting_score
from .online import online_p_values
from .simulation import mix_in
from .two_sample import kernel_two_sample, kolmogorov_smirnov
from .watching import Watch, watch

__all__ = [
    "AlarmRates",
    "Martingale",
    "RunLengthDetector",
    "Watch",
    "alarm_rates",
    "betting_score",
    "kernel_two_sample",
    "kolmogorov_smirnov",
    "mix_in",
    "online_p_values",
    "watch",
]
