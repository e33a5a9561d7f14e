"""Rules that read ID scores alone, most of them with a guarantee."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from heat_core.arguments import check_share, finite_scores
from heat_core.metrics import threshold_keeping

from .outcome import NO_OOD, Array, GroupedScores
from .rule import Decision, ThresholdRule, Widget, classes_of

TOLERANCE = 1e-9  # of a rank: a share times a count may miss a whole number by rounding


@dataclass(frozen=True)
class KeepShare(ThresholdRule):
    """The smallest threshold that keeps a share of the ID scores, above 0 and below 1.

    >>> KeepShare(0.75).fit([1.0, 2.0, 3.0, 4.0]).threshold
    3.0
    """

    share: float = 0.95
    title: ClassVar = "Keep a share of ID"
    summary: ClassVar = (
        "The lowest threshold that keeps this share of the ID scores it is chosen on. "
        "Needs no OOD data."
    )
    widget: ClassVar[Widget] = "keep"

    def __post_init__(self) -> None:
        check_share(self.share)

    def fit(
        self,
        inside: ArrayLike,
        outside: GroupedScores = NO_OOD,
        predicted: ArrayLike | None = None,
    ) -> Decision:
        """Returns the threshold at ID score number ceil(share N) of (N,)."""
        return Decision(self, threshold_keeping(inside, self.share))


@dataclass(frozen=True)
class Conformal(ThresholdRule):
    """The threshold that keeps a new ID input with probability of at least `share`.

    It is score number ceil((n + 1) share) of n. The promise holds in finite samples, on average
    over the draw of the n scores, if they and the new input are exchangeable and nothing was fitted
    to them. Vovk et al. 2005; Angelopoulos and Bates 2021 (arXiv 2107.07511).

    >>> Conformal(0.75).fit([1.0, 2.0, 3.0, 4.0]).threshold
    4.0
    """

    share: float = 0.95
    title: ClassVar = "Keep at least a share of ID (conformal)"
    summary: ClassVar = (
        "A new ID input is kept with at least this probability, guaranteed for any number of "
        "calibration scores, if it comes from where they come from. Needs no OOD data."
    )
    widget: ClassVar[Widget] = "keep"

    def __post_init__(self) -> None:
        _check_promise(self.share)

    def fit(
        self,
        inside: ArrayLike,
        outside: GroupedScores = NO_OOD,
        predicted: ArrayLike | None = None,
    ) -> Decision:
        """Returns the threshold at ID score number ceil((N + 1) share) of (N,)."""
        return Decision(self, _conformal_threshold(finite_scores("inside", inside), self.share))


@dataclass(frozen=True)
class PerClassConformal(ThresholdRule):
    """A conformal threshold for each predicted class (Mondrian), so that no class pays for another.

    Of new ID inputs predicted as a class, one is kept with probability of at least `share`, under
    the conditions of `Conformal`, within the class. It promises nothing of classes by their true
    label, which no one knows in use. Vovk et al. 2005, section 4.5.

    >>> PerClassConformal(0.5).fit([1.0, 2.0, 3.0, 4.0], predicted=[0, 0, 0, 1]).by_class
    {0: 2.0, 1: 4.0}
    """

    share: float = 0.95
    title: ClassVar = "Keep at least a share of every class (conformal)"
    summary: ClassVar = (
        "A threshold for each class. Of new ID inputs that the classifier takes for a class, each "
        "is kept with at least this probability, whichever class it is, if they come from where "
        "the calibration scores come from. Needs no OOD data."
    )
    per_class: ClassVar[bool] = True
    widget: ClassVar[Widget] = "keep"

    def __post_init__(self) -> None:
        _check_promise(self.share)

    def fit(
        self,
        inside: ArrayLike,
        outside: GroupedScores = NO_OOD,
        predicted: ArrayLike | None = None,
    ) -> Decision:
        """Returns the conformal threshold of the ID scores, (N,), of each predicted class."""
        scores = finite_scores("inside", inside)
        labels = classes_of(scores, predicted)
        classes, counts = np.unique(labels, return_counts=True)
        least = _least_calibration_size(self.share)
        if counts.min() < least:
            raise ValueError(
                f"to keep at least {100 * self.share:g} % of new ID inputs of every class takes "
                f"{least:,} calibration scores a class, got {counts.min():,} of class "
                f"{classes[counts.argmin()]}."
            )
        by_class = {
            int(label): _conformal_threshold(scores[labels == label], self.share)
            for label in classes
        }
        return Decision(self, by_class)


def _check_promise(share: float) -> None:
    """Raises ValueError unless a share is one that calibration scores can promise."""
    check_share(share)
    if share == 1:
        raise ValueError("the share must be below 1: no number of scores promises to keep all.")


def _least_calibration_size(share: float) -> int:
    """Returns how many calibration scores it takes to promise a share."""
    return math.ceil(share / (1 - share) - TOLERANCE)


def _conformal_threshold(scores: Array, share: float) -> float:
    """Returns score number ceil((n + 1) share) of (N,) scores, a scalar.

    Raises ValueError where there are fewer.
    """
    rank = math.ceil((len(scores) + 1) * share - TOLERANCE)
    if rank > len(scores):
        raise ValueError(
            f"to keep at least {100 * share:g} % of new ID inputs takes "
            f"{_least_calibration_size(share):,} calibration scores, got {len(scores):,}."
        )
    return _score_of_rank(scores, rank)


def _score_of_rank(scores: Array, rank: int) -> float:
    """Returns the score number `rank` of (N,) scores, from 1, a scalar."""
    return float(np.partition(scores, rank - 1)[rank - 1])
