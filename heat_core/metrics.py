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
    inside, outside = _sorted("inside", inside), _sorted("outside", outside)
    below, upto = _ranks(inside, outside)
    area, error = _auroc(below, upto, len(inside))
    return Separation(
        auroc=area,
        auroc_error=error,
        fpr95=_accepted(inside, outside, 0.95),
        fpr95_ood=_rejected(inside, outside, 0.95),
        aupr=_average_precision(below, outside, len(inside)),
    )


def auroc(inside: ArrayLike, outside: ArrayLike) -> float:
    """Returns the probability that a score of outside (M,) is above one of inside (N,).

    Ties count half. Raises ValueError as `separation` does.

    >>> auroc([1.0, 2.0], [2.0, 3.0])
    0.875
    """
    inside, outside = _sorted("inside", inside), _sorted("outside", outside)
    return _auroc(*_ranks(inside, outside), len(inside))[0]


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
    inside, outside = _sorted("inside", inside), _sorted("outside", outside)
    below, _ = _ranks(inside, outside)
    return _average_precision(below, outside, len(inside))


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
    position = rank_keeping(len(scores), share) - 1
    return float(np.partition(scores, position)[position])


def percentile(inside: ArrayLike, scores: ArrayLike) -> Array:
    """Returns for each of the scores (M,) the share of inside (N,) at or below it, (M,) fractions.

    Raises ValueError if there is no inside, or a score is not a finite number.

    >>> percentile([1.0, 2.0, 3.0, 4.0], [0.0, 2.5, 9.0])
    array([0. , 0.5, 1. ])
    """
    inside = _sorted("inside", inside)
    values = finite_scores("scores", scores) if np.size(scores) else np.empty(0)
    return np.searchsorted(inside, values, "right") / len(inside)


# -- of sorted scores ------------------------------------------------------------------------------


def _sorted(name: str, scores: ArrayLike) -> Array:
    """Returns the scores in order, (N,). Raises ValueError if there is none, or one not finite."""
    return np.sort(finite_scores(name, scores))


def rank_keeping(count: int, share: float) -> int:
    """Returns the rank, from 1, of the smallest of so many scores that keeps a share of them.

    >>> rank_keeping(10, 0.95), rank_keeping(10, 0.3)
    (10, 3)
    """
    return max(1, math.ceil(share * count - 1e-9))


def _ranks(inside: Array, outside: Array) -> tuple[Counts, Counts]:
    """Returns how many of inside (N,) are below each of outside, and at or below, (M,) each."""
    return np.searchsorted(inside, outside, "left"), np.searchsorted(inside, outside, "right")


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


def _accepted(inside: Array, outside: Array, share: float) -> float:
    """Returns the share of outside (M,) accepted where a share of inside (N,) is kept."""
    threshold = inside[rank_keeping(len(inside), share) - 1]
    return float(np.searchsorted(outside, threshold, "right")) / len(outside)


def _rejected(inside: Array, outside: Array, share: float) -> float:
    """Returns the share of inside (N,) rejected where a share of outside (M,) is detected."""
    threshold = outside[len(outside) - rank_keeping(len(outside), share)]
    return 1 - float(np.searchsorted(inside, threshold, "left")) / len(inside)


def _average_precision(below: Counts, outside: Array, n: int) -> float:
    """Returns the sum over distinct outside scores (M,) of (recall gained) x (precision there).

    Args:
        below: (M,) how many of the n inside scores are below each.
    """
    m = len(outside)
    begins_run = np.append(True, outside[1:] != outside[:-1])  # of equal scores
    first = np.flatnonzero(begins_run)
    true_positives = m - first
    false_positives = n - below[first]
    recall_gained = np.diff(first, append=m)  # in outside scores
    gained_precision = recall_gained * true_positives / (true_positives + false_positives)
    return float(np.sum(gained_precision) / m)
