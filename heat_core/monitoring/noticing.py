"""When each test notices a change whose moment is known, as in a simulated stream."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .betting import WealthPath
from .watching import Watch


class Notice(NamedTuple):
    """What a test made of a change.

    Args:
        delay: how many rows had come since the change when the test alarmed; None if it did not.
        false_alarms: how often it alarmed before. A test of wealth is over at its first alarm.
    """

    delay: int | None
    false_alarms: int


def notices(found: Watch, moment: int) -> dict[str, Notice]:
    """Returns {`martingale`, `cusum`, `flag_rate` or `ks`: what it made of a change}.

    A window is known when its last row has come, and the tests of windows alarm as `is_alarm` of
    the flag rates and `ks_is_alarm` say.

    Args:
        found: what became of the stream.
        moment: the first row, from 0, that the change may have touched.

    >>> from heat_core.monitoring import watch
    >>> from heat_core.thresholds import Conformal
    >>> draw = np.random.default_rng(0)
    >>> calibration = draw.normal(size=1000)
    >>> stream = np.concatenate([draw.normal(size=500), draw.normal(3, 1, size=100)])
    >>> found = watch(Conformal(0.95).fit(calibration), calibration, stream, window=100)
    >>> notices(found, 500)["flag_rate"]
    Notice(delay=100, false_alarms=0)
    """
    ends = found.rates.starts + found.rates.rows
    return {
        "martingale": _notice(_end_of(found.martingale), moment),
        "cusum": _notice(_end_of(found.cusum), moment),
        "flag_rate": _notice(ends[found.rates.is_alarm], moment),
        "ks": _notice(ends[found.ks_is_alarm], moment),
    }


def _end_of(test: WealthPath) -> NDArray[np.int64]:
    """Returns how many rows had come at the alarm, (1,); none, (0,), if there was no alarm."""
    return np.array([] if test.alarm_at is None else [test.alarm_at + 1], np.int64)


def _notice(ends: NDArray[np.int64], moment: int) -> Notice:
    """Returns what alarms say of a change.

    Args:
        ends: (alarms,) how many rows had come at each, ascending.
        moment: the first row that the change may have touched.
    """
    after = ends[ends > moment]
    delay = int(after[0]) - moment if len(after) else None
    return Notice(delay, int(np.count_nonzero(ends <= moment)))
