"""Rules that read OOD scores: the best for the OOD sets that they see."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from heat_core.arguments import check_share

from .outcome import NO_OOD, Array, Deployment, GroupedScores, Sweep, sweep
from .rule import Decision, ThresholdRule, Widget


class _Maximise(ThresholdRule):
    """The threshold where a figure is largest; of equals the one that keeps the most ID."""

    needs_ood: ClassVar[bool] = True

    @abc.abstractmethod
    def figure(self, candidates: Sweep) -> Array:
        """Returns the figure to maximise, (K,)."""

    def fit(
        self,
        inside: ArrayLike,
        outside: GroupedScores = NO_OOD,
        predicted: ArrayLike | None = None,
    ) -> Decision:
        """Returns the threshold where the figure is largest; `inside` is (N,)."""
        candidates = _sweep_with_ood(self, inside, outside)
        figure = self.figure(candidates)
        tolerance = 1e-12 * max(1.0, abs(figure.max()))
        best = np.flatnonzero(figure >= figure.max() - tolerance)
        return Decision(self, float(candidates.thresholds[best[-1]]))


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
    widget: ClassVar[Widget] = "deployment"

    def figure(self, candidates: Sweep) -> Array:
        """Returns the expected cost of 1000 inputs, negated, (K,)."""
        return -candidates.cost(self.deployment)


@dataclass(frozen=True)
class FlagBudget(ThresholdRule):
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
    needs_ood: ClassVar[bool] = True
    widget: ClassVar[Widget] = "flag"

    def __post_init__(self) -> None:
        check_share(self.share)

    def fit(
        self,
        inside: ArrayLike,
        outside: GroupedScores = NO_OOD,
        predicted: ArrayLike | None = None,
    ) -> Decision:
        """Returns the smallest threshold within the budget; `inside` is (N,)."""
        candidates = _sweep_with_ood(self, inside, outside)
        prevalence = self.deployment.prevalence
        flagged = (1 - prevalence) * candidates.false_alarms + prevalence * candidates.caught
        first = np.argmax(flagged <= self.share + 1e-12)  # there is one: the last flags nothing
        return Decision(self, float(candidates.thresholds[first]))


def _sweep_with_ood(rule: ThresholdRule, inside: ArrayLike, outside: GroupedScores) -> Sweep:
    if not any(outside.values()):
        raise ValueError(f"{rule.title} needs OOD scores, got none.")
    return sweep(inside, outside)
