"""How well a score tells inside from outside. Scores are energies: larger is more out-of-distribution.

FPR95 means two numbers. `fpr95` keeps 95 % of inside (ID) and counts the outside that passes, as the papers of ODIN,
energy-OOD, KNN and HEAT do. `fpr95_ood` catches 95 % of outside and counts the inside that is lost, as OpenOOD does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Separation:
    """How well two sets of scores are told apart; every figure is a fraction.

    auroc: probability that an outside score is above an inside score, ties counting half.
    auroc_error: its standard error (DeLong et al. 1988).
    fpr95: share of outside accepted where 95 % of inside is kept.
    fpr95_ood: share of inside rejected where 95 % of outside is caught.
    aupr: average precision with outside as the class to find (a step function, not the trapezoid).
    """

    auroc: float
    auroc_error: float
    fpr95: float
    fpr95_ood: float
    aupr: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the AUROC."""
        return max(0.0, self.auroc - 1.96 * self.auroc_error), min(
            1.0, self.auroc + 1.96 * self.auroc_error
        )


def separation(inside: ArrayLike, outside: ArrayLike) -> Separation:
    """Returns every figure at the price of one sort.

    Args:
        inside, outside: scores, (N,) and (M,).

    Raises:
        ValueError: a set is empty, or a score is not a finite number.

    >>> round(separation([1.0, 2.0, 3.0], [2.5, 4.0]).auroc, 3)
    0.833
    """
    low, high = _sorted("inside", inside), _sorted("outside", outside)
    below, upto = _ranks(low, high)
    area, error = _auroc(below, upto, len(low))
    precision = _average_precision(below, high, len(low))
    return Separation(
        area, error, _accepted(low, high, 0.95), _rejected(low, high, 0.95), precision
    )


def auroc(inside: ArrayLike, outside: ArrayLike) -> float:
    """Returns the probability that an outside score is above an inside score, ties counting half."""
    low, high = _sorted("inside", inside), _sorted("outside", outside)
    return _auroc(*_ranks(low, high), len(low))[0]


def fpr95(inside: ArrayLike, outside: ArrayLike) -> float:
    """Returns the share of outside accepted by the threshold that keeps 95 % of inside (ID-positive)."""
    return _accepted(_sorted("inside", inside), _sorted("outside", outside), 0.95)


def fpr95_ood(inside: ArrayLike, outside: ArrayLike) -> float:
    """Returns the share of inside rejected by the threshold that catches 95 % of outside (OOD-positive)."""
    return _rejected(_sorted("inside", inside), _sorted("outside", outside), 0.95)


def aupr(inside: ArrayLike, outside: ArrayLike) -> float:
    """Returns the average precision with outside as the class to find, as scikit-learn defines it."""
    low, high = _sorted("inside", inside), _sorted("outside", outside)
    return _average_precision(_ranks(low, high)[0], high, len(low))


def threshold_keeping(inside: ArrayLike, share: float = 0.95) -> float:
    """Returns the smallest score t such that at least `share` of inside is at or below t. Above t means out.

    Raises ValueError if the share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}.")
    scores = np.asarray(inside, dtype=np.float64)
    if not scores.size:
        raise ValueError("inside must hold at least one score.")
    rank = math.ceil(share * len(scores) - 1e-9) - 1
    return float(np.partition(scores, rank)[rank])


def percentile(inside: ArrayLike, scores: ArrayLike) -> Array:
    """Returns for each score the share of inside that is at or below it, (M,) fractions."""
    return np.searchsorted(_sorted("inside", inside), np.asarray(scores), "right") / np.size(inside)


def _sorted(name: str, scores: ArrayLike) -> Array:
    array = np.sort(np.asarray(scores).ravel())
    if not array.size:
        raise ValueError(f"{name} must hold at least one score.")
    if not (
        np.isfinite(array[0]) and np.isfinite(array[-1])
    ):  # sorted: -inf comes first, inf and nan last
        raise ValueError(f"{name} must hold finite scores, got {array[0]} to {array[-1]}.")
    return array


def _ranks(low: Array, high: Array) -> tuple[Counts, Counts]:
    """Returns for each outside score how many inside scores are below it, and how many at or below it."""
    return np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")


def _auroc(below: Counts, upto: Counts, n: int) -> tuple[float, float]:
    """Returns the area and its standard error, from the share of the other set below each score.

    Ranks tell both shares: an outside score is below the i-th inside score exactly if `upto` <= i, and at or below it
    exactly if `below` <= i.
    """
    m = len(below)
    wins = (below + upto) / (2 * n)
    counts = np.bincount(below, minlength=n + 1) + np.bincount(upto, minlength=n + 1)
    losses = 1 - counts.cumsum()[:n] / (2 * m)
    return float(wins.mean()), math.sqrt(wins.var() / max(m - 1, 1) + losses.var() / max(n - 1, 1))


def _accepted(low: Array, high: Array, share: float) -> float:
    cut = low[math.ceil(share * len(low) - 1e-9) - 1]
    return float(np.searchsorted(high, cut, "right")) / len(high)


def _rejected(low: Array, high: Array, share: float) -> float:
    cut = high[len(high) - math.ceil(share * len(high) - 1e-9)]
    return 1 - float(np.searchsorted(low, cut, "left")) / len(low)


def _average_precision(below: Counts, high: Array, n: int) -> float:
    """Returns sum over distinct outside scores of (recall gained) x (precision at that cut)."""
    m = len(high)
    first = np.flatnonzero(np.append(True, high[1:] != high[:-1]))  # of each run of equal scores
    caught, wrong = m - first, n - below[first]
    gained = np.diff(first, append=m)
    return float(np.sum(gained * caught / (caught + wrong)) / m)
