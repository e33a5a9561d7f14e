"""Rules that promise something of OOD inputs, where some are given (Learn then Test).

Angelopoulos et al. 2021 (arXiv 2110.01052): each candidate threshold is a hypothesis, "it does not
hold the promise", and one is taken that a test rejects. Candidates are ID scores, so given these
the counts of OOD scores above them are binomial, and the tests exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv

from heat_core.arguments import check_confidence, check_share, finite_scores

from .id_only import check_promise
from .outcome import NO_OOD, Array, Deployment, GroupedScores
from .proportion import least_count, least_rows, lower_bound, percent
from .rule import Decision, ThresholdRule, Widget

CANDIDATES = 50  # thresholds that are tested for precision
ASSUMPTION = (
    "new ID inputs and new OOD inputs come from where the scores come from that this was chosen "
    "on: of other kinds of OOD it promises nothing"
)


@dataclass(frozen=True)
class RecallAtLeast(ThresholdRule):
    """The largest threshold that catches at least a share of every OOD set, with a confidence.

    Thresholds are tested from the lowest up, each set by an exact binomial test; the share caught
    only falls, so the last one that passes is taken, without a correction for their number.

    >>> outside = {"far": {"a": [float(score) for score in range(100)]}}
    >>> RecallAtLeast(0.9, 0.95).fit([0.0, 2.0, 4.0, 6.0], outside).threshold
    2.0
    """

    share: float = 0.9
    confidence: float = 0.95
    title: ClassVar = "Catch a share of OOD, with confidence"
    summary: ClassVar = (
        "The threshold that keeps the most ID while at least this share of every OOD set is "
        "caught, with this confidence."
    )
    assumption: ClassVar = ASSUMPTION
    needs_ood: ClassVar[bool] = True
    widget: ClassVar[Widget] = "least"

    def __post_init__(self) -> None:
        check_promise(self.share)
        check_confidence(self.confidence)

    @property
    def guarantee(self) -> str:
        return (
            f"With {percent(self.confidence)} confidence, at least {percent(self.share)} of new "
            "inputs of each of these kinds of OOD are caught."
        )

    def fit(
        self,
        inside: ArrayLike,
        outside: GroupedScores = NO_OOD,
        predicted: ArrayLike | None = None,
    ) -> Decision:
        """Returns the largest ID score, of (N,), that passes every test."""
        candidates = np.unique(finite_scores("inside", inside))
        passes = np.ones(len(candidates), np.bool)
        for _, name, scores in _sets(self, outside):
            least = self._least_caught(name, len(scores))
            caught = len(scores) - np.searchsorted(scores, candidates, "right")
            passes &= caught >= least
        if not passes.any():
            raise ValueError(
                f"No threshold that keeps an ID score catches {percent(self.share)} of every "
                f"OOD set with {percent(self.confidence)} confidence."
            )
        return Decision(self, float(candidates[passes][-1]), np.size(inside))

    def _least_caught(self, name: str, n: int) -> int:
        """Returns how many of n must be caught. Raises ValueError if all of them are too few."""
        risk = 1 - self.confidence
        least = least_count(n, self.share, risk)
        if least <= n:
            return least
        raise ValueError(
            f"to catch at least {percent(self.share)} with {percent(self.confidence)} confidence "
            f"takes {least_rows(self.share, risk):,} scores of each OOD set, got {n:,} of {name}."
        )


@dataclass(frozen=True)
class PrecisionAtLeast(ThresholdRule):
    """The lowest threshold of which at least a share of what is flagged is OOD, with a confidence.

    At a prevalence; OOD sets count as in `Outcome.caught`. Of `CANDIDATES` thresholds, at ID scores
    of fixed ranks, each is tested with its part of the risk (Bonferroni): the share of ID above it
    is bounded by its law Beta(n + 1 - r, r), the share of each OOD set by Clopper and Pearson.

    >>> inside = [float(score) for score in range(1000)]
    >>> outside = {"far": {"a": [float(score) for score in range(900, 1900)]}}
    >>> PrecisionAtLeast(0.8, Deployment(prevalence=0.5)).fit(inside, outside).threshold
    805.0
    """

    share: float = 0.9
    deployment: Deployment = Deployment()
    confidence: float = 0.95
    title: ClassVar = "Flag with a precision, with confidence"
    summary: ClassVar = (
        "The threshold that catches the most while at least this share of what it flags is OOD, "
        "with this confidence, at the prevalence set."
    )
    assumption: ClassVar = f"{ASSUMPTION}; and the prevalence is as set"
    needs_ood: ClassVar[bool] = True
    widget: ClassVar[Widget] = "precision"

    def __post_init__(self) -> None:
        check_share(self.share)
        check_confidence(self.confidence)

    @property
    def guarantee(self) -> str:
        return (
            f"With {percent(self.confidence)} confidence, at least {percent(self.share)} of what "
            f"is flagged is OOD, where {percent(self.deployment.prevalence)} of inputs are."
        )

    def fit(
        self,
        inside: ArrayLike,
        outside: GroupedScores = NO_OOD,
        predicted: ArrayLike | None = None,
    ) -> Decision:
        """Returns the lowest of the thresholds, ID scores of (N,), that pass."""
        ordered = np.sort(finite_scores("inside", inside))
        n = len(ordered)
        ranks = np.unique(np.linspace(n / 2, n, CANDIDATES).round().astype(int).clip(1))
        risk = (1 - self.confidence) / len(ranks) / 2
        false_alarms = betaincinv(n + 1 - ranks, ranks, 1 - risk)
        thresholds = ordered[ranks - 1]
        caught = self._least_caught(thresholds, outside, risk)
        true = self.deployment.prevalence * caught
        flagged = true + (1 - self.deployment.prevalence) * false_alarms
        passes = true >= self.share * flagged
        if not passes.any():
            most = percent(round(float((true / flagged).max()), 3))
            raise ValueError(
                f"No threshold has a precision of {percent(self.share)} with "
                f"{percent(self.confidence)} confidence; {most} is the most."
            )
        return Decision(self, float(thresholds[passes][0]), n)

    def _least_caught(self, thresholds: Array, outside: GroupedScores, risk: float) -> Array:
        """Returns what the share of OOD caught is above at each threshold, (K,), but for a risk."""
        sets = list(_sets(self, outside))
        bounds: dict[str, list[list[float]]] = {}
        for group, _, scores in sets:
            counts = len(scores) - np.searchsorted(scores, thresholds, "right")
            of_set = [lower_bound(int(k), len(scores), risk / len(sets)) for k in counts]
            bounds.setdefault(group, []).append(of_set)
        return np.mean([np.mean(of_group, axis=0) for of_group in bounds.values()], axis=0)


def _sets(rule: ThresholdRule, outside: GroupedScores) -> Iterator[tuple[str, str, Array]]:
    """Yields the group, name and sorted scores (n,) of each OOD set. Raises ValueError if none."""
    if not any(outside.values()):
        raise ValueError(f"{rule.title} needs OOD scores, got none.")
    for group, sets in outside.items():
        for name, scores in sets.items():
            yield group, name, np.sort(finite_scores(name, scores))
