"""How well a score tells inside from outside. Scores are energies: larger is more out.

FPR95 means two numbers. `fpr95` keeps 95 % of inside (ID) and counts the outside that passes, as
the papers of ODIN, energy-OOD, KNN and HEAT do. `fpr95_ood` detects 95 % of outside and counts the
inside that is lost, as OpenOOD does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import check_share, finite_scores

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Separation:
    """How well two sets of scores are told apart; every figure is a fraction.

    Args:
        auroc: probability that an outside score is above an inside score, ties counting half.
        auroc_error: its standard error (DeLong et al. 1988).
        fpr95: share of outside accepted where 95 % of inside is kept.
        fpr95_ood: share of inside rejected where 95 % of outside is detected.
        aupr: average precision with outside as the class to find (a step function, not the
            trapezoid).

    >>> figures = separation([1.0, 2.0, 3.0], [2.5, 4.0])
    >>> round(figures.auroc, 3), figures.fpr95
    (0.833, 0.5)
    """

    auroc: float
    auroc_error: float
    fpr95: float
    fpr95_ood: float
    aupr: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the AUROC."""
        margin = 1.96 * self.auroc_error
        return max(0.0, self.auroc - margin), min(1.0, self.auroc + margin)


def separation(inside: ArrayLike, outside: ArrayLike) -> Separation:
    """Returns every figure at the price of one sort.

    Args:
        inside, outside: scores, (N,) and (M,).

    Raises:
        ValueError: a set is empty, or a score is not a finite number.
    """
    low, high = _sorted("inside", inside), _sorted("outside", outside)
    below, upto = _ranks(low, high)
    area, error = _auroc(below, upto, len(low))
    return Separation(
        auroc=area,
        auroc_error=error,
        fpr95=_accepted(low, high, 0.95),
        fpr95_ood=_rejected(low, high, 0.95),
        aupr=_average_precision(below, high, len(low)),
    )


def auroc(inside: ArrayLike, outside: ArrayLike) -> float:
    """Returns the probability that a score of outside (M,) is above one of inside (N,).

    Ties count half. Raises ValueError as `separation` does.

    >>> auroc([1.0, 2.0], [2.0, 3.0])
    0.875
    """
    low, high = _sorted("inside", inside), _sorted("outside", outside)
    return _auroc(*_ranks(low, high), len(low))[0]


def fpr95(inside: ArrayLike, outside: ArrayLike) -> float:
    """Returns the share of outside (M,) accepted where 95 % of inside (N,) is kept (ID-positive).

    Raises ValueError as `separation` does.
    """
    return _accepted(_sorted("inside", inside), _sorted("outside", outside), 0.95)


def fpr95_ood(inside: ArrayLike, outside: ArrayLike) -> float:
    """Returns the share of inside (N,) rejected where 95 % of outside (M,) is (OOD-positive).

    Raises ValueError as `separation` does.
    """
    return _rejected(_sorted("inside", inside), _sorted("outside", outside), 0.95)


def aupr(inside: ArrayLike, outside: ArrayLike) -> float:
    """Returns the average precision, outside (M,) being the class to find among inside (N,).

    As scikit-learn defines it. Raises ValueError as `separation` does.
    """
    low, high = _sorted("inside", inside), _sorted("outside", outside)
    below, _ = _ranks(low, high)
    return _average_precision(below, high, len(low))


def threshold_keeping(inside: ArrayLike, share: float = 0.95) -> float:
    """Returns the smallest score t with at least `share` of inside (N,) at or below it.

    Above t means out.

    Raises:
        ValueError: the share is not above 0 and at most 1, there is no score, or one is not finite.

    >>> threshold_keeping([1.0, 2.0, 3.0, 4.0], share=0.75)
    3.0
    """
    check_share(share)
    scores = finite_scores("inside", inside)
    rank = _rank_keeping(len(scores), share)
    return float(np.partition(scores, rank)[rank])


def percentile(inside: ArrayLike, scores: ArrayLike) -> Array:
    """Returns for each of the scores (M,) the share of inside (N,) at or below it, (M,) fractions.

    Raises ValueError if there is no inside, or a score is not a finite number.

    >>> percentile([1.0, 2.0, 3.0, 4.0], [0.0, 2.5, 9.0])
    array([0. , 0.5, 1. ])
    """
    low = _sorted("inside", inside)
    values = finite_scores("scores", scores) if np.size(scores) else np.empty(0)
    return np.searchsorted(low, values, "right") / len(low)


# -- of sorted scores ------------------------------------------------------------------------------


def _sorted(name: str, scores: ArrayLike) -> Array:
    """Returns the scores in order, (N,). Raises ValueError if there is none, or one not finite."""
    return np.sort(finite_scores(name, scores))


def _rank_keeping(count: int, share: float) -> int:
    """Returns the rank, from 0, of the smallest of so many scores that keeps a share of them."""
    return max(1, math.ceil(share * count - 1e-9)) - 1


def _ranks(low: Array, high: Array) -> tuple[Counts, Counts]:
    """Returns how many of low (N,) are below each of high (M,), and at or below it, (M,) each."""
    return np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")


def _auroc(below: Counts, upto: Counts, n: int) -> tuple[float, float]:
    """Returns the area and its standard error, from the share of the other set below each score.

    Ranks tell both shares: an outside score is below the i-th inside score exactly if `upto` <= i,
    and at or below it exactly if `below` <= i.

    Args:
        below, upto: (M,), as `_ranks` gives them.
        n: the number of inside scores.
    """
    m = len(below)
    wins = (below + upto) / (2 * n)
    counts = np.bincount(below, minlength=n + 1) + np.bincount(upto, minlength=n + 1)
    losses = 1 - counts.cumsum()[:n] / (2 * m)
    variance = wins.var() / max(m - 1, 1) + losses.var() / max(n - 1, 1)
    return float(wins.mean()), math.sqrt(variance)


def _accepted(low: Array, high: Array, share: float) -> float:
    """Returns the share of high (M,) at or below the threshold that keeps a share of low (N,)."""
    threshold = low[_rank_keeping(len(low), share)]
    return float(np.searchsorted(high, threshold, "right")) / len(high)


def _rejected(low: Array, high: Array, share: float) -> float:
    """Returns the share of low (N,) at or above the score that a share of high (M,) reaches."""
    threshold = high[len(high) - 1 - _rank_keeping(len(high), share)]
    return 1 - float(np.searchsorted(low, threshold, "left")) / len(low)


def _average_precision(below: Counts, high: Array, n: int) -> float:
    """Returns the sum over distinct scores of high (M,) of (recall gained) x (precision there).

    Args:
        below: (M,) how many of the n inside scores are below each.
    """
    m = len(high)
    first = np.flatnonzero(np.append(True, high[1:] != high[:-1]))  # of each run of equal scores
    true_positives = m - first
    false_positives = n - below[first]
    recall_gained = np.diff(first, append=m)  # in outside scores
    gained_precision = recall_gained * true_positives / (true_positives + false_positives)
    return float(np.sum(gained_precision) / m)
