"""Pure: thresholds of two detectors that keep the same share of ID."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def same_share_thresholds(thresholds: ArrayLike, inside: Array, other_inside: Array) -> Array:
    """Returns the thresholds of another detector that keep as much of ID as these do, (K,).

    A threshold between two ID scores becomes one as far between those of the same ranks; one beyond
    all ID scores lies as far beyond, in units of what the middle 80 % of ID scores span.

    Args:
        thresholds: of the first detector, (K,).
        inside: its ID scores, (N,).
        other_inside: those of the other detector, (N,), of the same rows.

    >>> inside, other_inside = np.array([1.0, 2.0, 4.0]), np.array([10.0, 30.0, 20.0])
    >>> same_share_thresholds([2.0, 3.0, 4.0], inside, other_inside).tolist()
    [20.0, 25.0, 30.0]
    """
    values = np.asarray(thresholds, np.float64)
    first, other = _with_ends(inside), _with_ends(other_inside)
    upper = np.clip(np.searchsorted(first, values, "right"), 1, len(first) - 1)
    lower = upper - 1
    fractions = (values - first[lower]) / (first[upper] - first[lower])
    return other[lower] + fractions * (other[upper] - other[lower])


def _with_ends(inside: Array) -> Array:
    """Returns ID scores, (N,), in order, with one value below and one above them all, (N + 2,)."""
    ascending = np.sort(np.asarray(inside, np.float64))
    low, high = np.quantile(ascending, [0.1, 0.9])
    least = 1e-9 * max(1.0, abs(ascending[0]), abs(ascending[-1]))
    span = max(float(high - low), least)
    return np.concatenate([[ascending[0] - span], ascending, [ascending[-1] + span]])
