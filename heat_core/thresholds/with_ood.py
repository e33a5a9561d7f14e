"""Rules that read OOD scores: the best for the OOD sets that they see."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from heat_core.arguments import check_confidence, check_seed, check_share, finite_scores

from .outcome import NO_OOD, Array, Deployment, GroupedScores, Sweep, sweep
from .proportion import Interval
from .rule import Decision, ThresholdRule, Widget

GRID = 1000  # thresholds, at most, that resamples choose from
RESAMPLES = 1000


class _OfSweep(ThresholdRule):
    """A rule that looks at what every threshold does to ID and OOD scores, and takes one."""

    needs_ood: ClassVar[bool] = True

    @abc.abstractmethod
    def choose(self, candidates: Sweep) -> int:
        """Returns the position of the threshold to take."""

    def fit(
        self,
        inside: ArrayLike,
        outside: GroupedScores = NO_OOD,
        predicted: ArrayLike | None = None,
    ) -> Decision:
        """Returns the threshold that is chosen; `inside` is (N,)."""
        candidates = _sweep_with_ood(self, inside, outside)
        threshold = candidates.thresholds[self.choose(candidates)]
        return Decision(self, float(threshold), np.size(inside))

    def threshold_interval(
        self,
        inside: ArrayLike,
        outside: GroupedScores = NO_OOD,
        confidence: float = 0.95,
        seed: int = 0,
    ) -> Interval:
        """Returns the bootstrap interval of the threshold, from resamples of ID and of every set.

        Resamples choose from `GRID` thresholds at most, spread over the scores.
        """
        tail = (1 - check_confidence(confidence)) / 2
        candidates = _sweep_with_ood(self, inside, outside)
        positions = np.linspace(0, len(candidates.thresholds) - 1, GRID).round().astype(int)
        thresholds = candidates.thresholds[np.unique(positions)]
        random = np.random.default_rng(check_seed(seed))
        kept = _resampled_shares(finite_scores("inside", inside), thresholds, random)
        groups = [
            [
                _resampled_shares(finite_scores(name, scores), thresholds, random)
                for name, scores in sets.items()
            ]
            for sets in outside.values()
            if sets
        ]
        caught = 1 - np.mean([np.mean(sets, axis=0) for sets in groups], axis=0)
        chosen = [
            self._threshold_of(Sweep(thresholds, of_id, of_ood))
            for of_id, of_ood in zip(kept, caught, strict=True)
        ]
        low, high = np.quantile(chosen, [tail, 1 - tail], method="inverted_cdf")
        return float(low), float(high)

    def _threshold_of(self, candidates: Sweep) -> float:
        """Returns the threshold that is chosen of those that differ in what they do."""
        differs = (np.diff(candidates.kept) != 0) | (np.diff(candidates.caught) != 0)
        is_distinct = np.append(True, differs)
        distinct = Sweep(
            candidates.thresholds[is_distinct],
            candidates.kept[is_distinct],
            candidates.caught[is_distinct],
        )
        return float(distinct.thresholds[self.choose(distinct)])


def _resampled_shares(scores: Array, thresholds: Array, random: np.random.Generator) -> Array:
    """Returns the shares of resampled scores at or below each threshold, (RESAMPLES, K).

    How many scores of a resample lie between neighbouring thresholds is multinomial.

    Args:
        scores: (n,).
        thresholds: (K,) ascending.
    """
    cells = np.bincount(np.searchsorted(thresholds, scores), minlength=len(thresholds) + 1)
    counts = random.multinomial(len(scores), cells / len(scores), size=RESAMPLES)
    return counts[:, :-1].cumsum(1) / len(scores)


class _Maximise(_OfSweep):
    """The threshold where a figure is largest; of equals the one that keeps the most ID."""

    @abc.abstractmethod
    def figure(self, candidates: Sweep) -> Array:
        """Returns the figure to maximise, (K,)."""

    def choose(self, candidates: Sweep) -> int:
        figure = self.figure(candidates)
        tolerance = 1e-12 * max(1.0, abs(figure.max()))
        return int(np.flatnonzero(figure >= figure.max() - tolerance)[-1])


@dataclass(frozen=True)
class Youden(_Maximise):
    """The largest ID kept + OOD caught - 1 (Youden 1950).

    >>> Youden().fit([1.0, 2.0, 5.0], {"near": {"a": [3.0, 4.0]}}).threshold
    2.0
    """

    title: ClassVar = "Balance (Youden)"
    summary: ClassVar = "The largest sum of ID kept and OOD caught."

    def figure(self, candidates: Sweep) -> Array:
        """Returns Youden's index, (K,)."""
        return candidates.kept + candidates.caught - 1


@dataclass(frozen=True)
class F1(_Maximise):
    """The largest harmonic mean of precision and recall, with OOD as the class to find, at a
    prevalence.

    >>> F1().fit([1.0, 2.0, 5.0], {"near": {"a": [3.0, 6.0]}}).threshold
    5.0
    """

    deployment: Deployment = Deployment()
    title: ClassVar = "Best F1"
    summary: ClassVar = (
        "The largest harmonic mean of precision and recall in finding OOD, at the prevalence set."
    )
    widget: ClassVar[Widget] = "deployment"

    def figure(self, candidates: Sweep) -> Array:
        """Returns F1, (K,): 2 TP / (2 TP + FP + FN), 0 where nothing is flagged and nothing is
        OOD."""
        prevalence = self.deployment.prevalence
        caught = prevalence * candidates.caught
        false_alarms = (1 - prevalence) * candidates.false_alarms
        denominator = caught + false_alarms + prevalence
        zeros = np.zeros_like(caught)
        return np.divide(2 * caught, denominator, out=zeros, where=denominator > 0)


@dataclass(frozen=True)
class MinExpectedCost(_Maximise):
    """The least expected cost, at a prevalence and costs.

    >>> MinExpectedCost(Deployment(0.5)).fit([1.0, 2.0, 5.0], {"near": {"a": [3.0, 6.0]}}).threshold
    2.0
    """

    deployment: Deployment = Deployment()
    title: ClassVar = "Least cost"
    summary: ClassVar = "The least expected cost, at the prevalence and the costs set."
    reads_costs: ClassVar[bool] = True
    widget: ClassVar[Widget] = "deployment"

    def figure(self, candidates: Sweep) -> Array:
        """Returns the expected cost of 1000 inputs, negated, (K,)."""
        return -candidates.cost(self.deployment)


@dataclass(frozen=True)
class FlagBudget(_OfSweep):
    """The smallest threshold at which at most a share of all inputs is flagged, at a prevalence.

    >>> FlagBudget(0.2).fit([1.0, 2.0, 3.0, 4.0], {"near": {"a": [5.0]}}).threshold
    4.0
    """

    share: float = 0.05
    deployment: Deployment = Deployment()
    title: ClassVar = "Flag at most a share of traffic"
    summary: ClassVar = (
        "The threshold that catches the most while no more than this share of all inputs is "
        "flagged, at the prevalence set."
    )
    widget: ClassVar[Widget] = "flag"

    def __post_init__(self) -> None:
        check_share(self.share)

    def choose(self, candidates: Sweep) -> int:
        prevalence = self.deployment.prevalence
        flagged = (1 - prevalence) * candidates.false_alarms + prevalence * candidates.caught
        return int(np.argmax(flagged <= self.share + 1e-12))  # the last flags nothing


def _sweep_with_ood(rule: ThresholdRule, inside: ArrayLike, outside: GroupedScores) -> Sweep:
    if not any(outside.values()):
        raise ValueError(f"{rule.title} needs OOD scores, got none.")
    return sweep(inside, outside)
