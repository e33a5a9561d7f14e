"""Pure: axes of scores, as edges that lie equally far apart on the screen, and their ticks."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Ticks = list[tuple[float, str]]  # (fraction of the axis, text)
ScoreUnit = Literal["ID percentile", "raw", "symlog"]
SCORE_UNITS: tuple[ScoreUnit, ...] = ("ID percentile", "raw", "symlog")
LEAST_SHARE = 0.01  # of an even axis that most of ID fills: on 60 bars it is less than one
SYMLOG_NOTE = (
    "The axis is even where most of ID lies and logarithmic beyond: on an even one, ID would be a "
    "single bar."
)


def needs_symlog(low: float, high: float, inside: Array) -> bool:
    """Returns whether ID would be a single bar on an even axis from `low` to `high`.

    Args:
        inside: (m,) of ID; what lies between their 10 % and 90 % quantiles counts.

    >>> needs_symlog(0.0, 2e8, np.array([1.0, 2.0, 300.0])), needs_symlog(0.0, 9.0, np.arange(3.0))
    (True, False)
    """
    first, last = np.quantile(inside, [0.1, 0.9])
    return bool(0 < last - first < LEAST_SHARE * (high - low))


def is_even(edges: Array) -> bool:
    """Returns whether all of the steps between rising edges, (n,), are as wide.

    >>> is_even(np.array([0.0, 0.1, 0.2])), is_even(np.array([0.0, 1.0, 10.0]))
    (True, False)
    """
    steps = np.diff(edges)
    return bool(steps.max() <= 1.01 * steps.min())


def symlog_edges(scores: Array, inside: Array, steps: int) -> Array:
    """Returns edges over all scores, (steps + 1,): even where most of ID lies, logarithmic beyond.

    Args:
        scores: (n,), ID and OOD.
        inside: (m,) of ID. Half of what lies between their 10 % and 90 % quantiles, around their
            median, is the unit of the axis: the scale is arcsinh of scores in that unit.

    >>> symlog_edges(np.array([-3.0, 1e6]), np.array([-1.0, 0.0, 1.0]), 4).round(1).tolist()
    [-3.0, 3.4, 228.9, 15131.0, 1000000.0]
    """
    low_inside, centre, high_inside = np.quantile(inside, [0.1, 0.5, 0.9])
    unit = max((high_inside - low_inside) / 2, 1e-9 * max(1.0, abs(centre)))
    low, high = np.arcsinh((np.array([scores.min(), scores.max()]) - centre) / unit)
    high = max(high, low + 0.01)  # below this, doubles run out of digits
    return centre + unit * np.sinh(np.linspace(low, high, steps + 1))


def places(scores: Array, edges: Array) -> Array:
    """Returns at which fractions of an axis scores lie, (n,); those beyond it are at its ends.

    >>> places(np.array([-1.0, 5.0, 55.0]), np.array([0.0, 10.0, 100.0])).tolist()
    [0.0, 0.25, 0.75]
    """
    return np.interp(scores, edges, np.linspace(0, 1, len(edges)))


def rounded(edges: Array) -> Array:
    """Returns rising edges, (n,), with no more digits than tell each from its neighbours.

    >>> rounded(np.array([0.0, 0.123456, 1.23456, 123.456])).tolist()
    [0.0, 0.12, 1.2, 123.0]
    """
    gaps = _nearest_gaps(edges)
    return np.array([round(edge, digits(gap / 10)) for edge, gap in zip(edges, gaps, strict=True)])


def _nearest_gaps(edges: Array) -> Array:
    """Returns how far each of rising edges is from the nearer of its neighbours, (n,)."""
    gaps = np.diff(edges)
    return np.minimum(np.append(gaps, gaps[-1]), np.insert(gaps, 0, gaps[0]))


def ticks_at(edges: Array, count: int = 4) -> Ticks:
    """Returns about as many ticks at round numbers, evenly spread over an axis, even or not.

    >>> ticks_at(np.array([0.0, 1.0, 2.1]), 3)
    [(0.0, '0.0'), (0.5, '1.0'), (0.955, '2.0')]
    """
    spots = np.linspace(0, 1, count)
    targets = np.interp(spots, np.linspace(0, 1, len(edges)), edges)
    ticks = {}
    for target, gap in zip(targets, _nearest_gaps(targets), strict=True):
        step = round_step(gap / 4)
        mark = round(target / step) * step
        if edges[0] <= mark <= edges[-1]:
            text = f"{mark:.{digits(step)}f}" if abs(mark) < 1e5 else f"{mark:.3g}"
            ticks[text] = float(places(np.array([mark]), edges)[0].round(3))
    return [(place, text) for text, place in ticks.items()]


def round_step(least: float) -> float:
    """Returns the smallest of 1, 2 and 5 times a power of ten that is at least `least`.

    >>> round_step(0.3), round_step(20.0)
    (0.5, 20.0)
    """
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= least * (1 - 1e-9))


def digits(step: float) -> int:
    """Returns how many digits after the point tell multiples of a step apart.

    >>> digits(0.05), digits(20.0)
    (2, 0)
    """
    return max(0, -math.floor(math.log10(step) + 1e-9))
