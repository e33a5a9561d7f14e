"""Rules that read ID scores alone, most of them with a guarantee."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv

from heat_core.arguments import check_confidence, check_share, finite_scores
from heat_core.metrics import rank_keeping

from .outcome import NO_OOD, Array, GroupedScores
from .proportion import Interval, count_interval, least_count, least_rows, percent
from .rule import Decision, ThresholdRule, Widget, classes_of

TOLERANCE = 1e-9  # of a rank: a share times a count may miss a whole number by rounding


class AtRank(ThresholdRule):
    """A rule whose threshold is the ID score of a rank, which the number of scores decides.

    Of continuous scores the share of all ID inputs at or below score number r of n is random with
    the law Beta(r, n + 1 - r), whatever the scores are: that is why such rules can promise.
    """

    @abc.abstractmethod
    def rank(self, n: int) -> int:
        """Returns the rank, from 1, among n scores. Raises ValueError if there are too few."""

    def fit(
        self,
        inside: ArrayLike,
        outside: GroupedScores = NO_OOD,
        predicted: ArrayLike | None = None,
    ) -> Decision:
        """Returns the threshold at the rank among the ID scores, (N,)."""
        scores = finite_scores("inside", inside)
        return Decision(self, _score_of_rank(scores, self.rank(len(scores))), len(scores))

    def threshold_interval(
        self,
        inside: ArrayLike,
        outside: GroupedScores = NO_OOD,
        confidence: float = 0.95,
        seed: int = 0,
    ) -> Interval:
        """Returns the bootstrap interval of the threshold, exactly: nothing is drawn.

        Score number r of a resample of (N,) ID scores is score number ceil(n U) of them, with U of
        the law Beta(r, n + 1 - r).
        """
        ordered = np.sort(finite_scores("inside", inside))
        bounds = self.kept_interval(len(ordered), confidence)
        low, high = (min(len(ordered), max(1, math.ceil(len(ordered) * u))) for u in bounds)
        return float(ordered[low - 1]), float(ordered[high - 1])

    def kept_interval(self, n: int, confidence: float = 0.95) -> Interval:
        """Returns where the share of all ID inputs that is kept lies, for n calibration scores.

        >>> [round(share, 3) for share in Conformal(0.95).kept_interval(1000)]
        [0.936, 0.963]
        """
        tail = (1 - check_confidence(confidence)) / 2
        rank = self.rank(n)
        low, high = betaincinv(rank, n + 1 - rank, [tail, 1 - tail])
        return float(low), float(high)

    def chance_interval(self, n: int, rows: int, confidence: float = 0.95) -> Interval:
        """Returns where the share kept of other ID rows lies, for n calibration scores.

        It lies there in `confidence` of cases while these rows come from where the scores come
        from; outside, it is a reason to doubt that they do, and no proof.

        >>> [round(share, 3) for share in Conformal(0.95).chance_interval(1000, rows=300)]
        [0.92, 0.977]
        """
        rank = self.rank(n)
        low, high = count_interval(rows, rank, n + 1 - rank, confidence)
        return low / rows, high / rows


@dataclass(frozen=True)
class KeepShare(AtRank):
    """The smallest threshold that keeps a share of the ID scores, above 0 and at most 1.

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

    def rank(self, n: int) -> int:
        return rank_keeping(n, self.share)


@dataclass(frozen=True)
class Conformal(AtRank):
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
    assumption: ClassVar = (
        "new ID inputs come from where the calibration scores come from, and nothing was fitted to "
        "those"
    )
    widget: ClassVar[Widget] = "keep"

    def __post_init__(self) -> None:
        check_promise(self.share)

    @property
    def guarantee(self) -> str:
        return (
            f"A new ID input is kept with a probability of at least {percent(self.share)}, on "
            "average over calibration sets."
        )

    def rank(self, n: int) -> int:
        rank = math.ceil((n + 1) * self.share - TOLERANCE)
        if rank > n:
            raise ValueError(
                f"to keep at least {percent(self.share)} of new ID inputs takes "
                f"{self.least_calibration():,} calibration scores, got {n:,}."
            )
        return rank

    def least_calibration(self) -> int:
        """Returns how many calibration scores it takes to promise the share.

        >>> Conformal(0.95).least_calibration()
        19
        """
        return math.ceil(self.share / (1 - self.share) - TOLERANCE)


@dataclass(frozen=True)
class KeepWithConfidence(AtRank):
    """The smallest threshold that keeps at least `share` of ID inputs, but for a risk of bad luck.

    With probability of at least `confidence` over the draw of the calibration scores, at least
    `share` of all ID inputs are kept: probably approximately correct (PAC). It is score number r of
    n, the first with P(Beta(r, n + 1 - r) >= share) >= confidence. Wilks 1941; Park et al. 2020
    (arXiv 2001.00106).

    >>> KeepWithConfidence(0.9, 0.95).rank(100), Conformal(0.9).rank(100)
    (96, 91)
    """

    share: float = 0.95
    confidence: float = 0.95
    title: ClassVar = "Keep a share of ID, with confidence"
    summary: ClassVar = (
        "At least this share of all ID inputs is kept, with this confidence: the promise holds "
        "for this very threshold, but for bad luck in the calibration scores. Needs no OOD data."
    )
    assumption: ClassVar = Conformal.assumption
    widget: ClassVar[Widget] = "keep_with_confidence"

    def __post_init__(self) -> None:
        check_promise(self.share)
        check_confidence(self.confidence)

    @property
    def guarantee(self) -> str:
        return (
            f"With {percent(self.confidence)} confidence, at least {percent(self.share)} of all "
            "ID inputs are kept."
        )

    def rank(self, n: int) -> int:
        rank = least_count(n, self.share, 1 - self.confidence)
        if rank > n:
            raise ValueError(
                f"to keep at least {percent(self.share)} of ID inputs with "
                f"{percent(self.confidence)} confidence takes {self.least_calibration():,} "
                f"calibration scores, got {n:,}."
            )
        return rank

    def least_calibration(self) -> int:
        """Returns how many calibration scores it takes to promise the share.

        >>> KeepWithConfidence(0.95, 0.95).least_calibration()
        59
        """
        return least_rows(self.share, 1 - self.confidence)


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
        "A threshold for each class. Of new ID inputs that are held to be of a class, each is "
        "kept with at least this probability, whichever class it is, if they come from where "
        "the calibration scores come from. Needs no OOD data."
    )
    assumption: ClassVar = f"{Conformal.assumption}, within every predicted class"
    per_class: ClassVar[bool] = True
    widget: ClassVar[Widget] = "keep"

    def __post_init__(self) -> None:
        check_promise(self.share)

    @property
    def guarantee(self) -> str:
        return (
            "Of whichever class an input is held to be, a new ID input is kept with a probability "
            f"of at least {percent(self.share)}, on average over calibration sets."
        )

    def fit(
        self,
        inside: ArrayLike,
        outside: GroupedScores = NO_OOD,
        predicted: ArrayLike | None = None,
    ) -> Decision:
        """Returns the conformal threshold of the ID scores, (N,), of each predicted class."""
        scores = finite_scores("inside", inside)
        labels = classes_of(len(scores), predicted)
        classes, counts = np.unique(labels, return_counts=True)
        conformal = Conformal(self.share)
        least = conformal.least_calibration()
        if counts.min() < least:
            raise ValueError(
                f"to keep at least {percent(self.share)} of new ID inputs of every class takes "
                f"{least:,} calibration scores a class, got {counts.min():,} of class "
                f"{classes[counts.argmin()]}."
            )
        by_class = {
            int(label): conformal.fit(scores[labels == label]).threshold for label in classes
        }
        return Decision(self, by_class, len(scores))


def check_promise(share: float) -> None:
    """Raises ValueError unless a share is one that calibration scores can promise."""
    check_share(share)
    if share == 1:
        raise ValueError("the share must be below 1: no number of scores promises to keep all.")


def _score_of_rank(scores: Array, rank: int) -> float:
    """Returns the score number `rank` of (N,) scores, from 1, a scalar."""
    return float(np.partition(scores, rank - 1)[rank - 1])
