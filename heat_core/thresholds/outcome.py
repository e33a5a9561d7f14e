"""What a threshold does to ID and OOD scores: one threshold, and every one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heat_core.arguments import check_threshold, finite_scores

Array = NDArray[np.float64]
GroupedScores = Mapping[str, Mapping[str, ArrayLike]]
"""{group: {set: (n,) scores}}, such as {"near": {"cifar100": ...}}."""

NO_OOD: GroupedScores = MappingProxyType({})


@dataclass(frozen=True)
class Deployment:
    """The inputs that arrive in use, and the cost of each mistake.

    Args:
        prevalence: share of inputs that are OOD.
        miss_cost: cost of an OOD input that is accepted.
        false_alarm_cost: cost of an ID input that is flagged.

    Raises:
        ValueError: the prevalence is no share, or a cost is negative or not finite.
    """

    prevalence: float = 0.1
    miss_cost: float = 10.0
    false_alarm_cost: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.prevalence <= 1:
            raise ValueError(f"prevalence must lie between 0 and 1, got {self.prevalence}.")
        for name in ("miss_cost", "false_alarm_cost"):
            cost = getattr(self, name)
            if not 0 <= cost < math.inf:
                raise ValueError(f"{name} must be 0 or more and finite, got {cost}.")


@dataclass(frozen=True)
class Confusion:
    """The expected outcome of 1000 inputs, some of them flagged.

    Args:
        kept: ID inputs that are not flagged.
        false_alarms: ID inputs that are.
        caught: OOD inputs that are flagged.
        missed: OOD inputs that are not.
    """

    kept: float
    false_alarms: float
    caught: float
    missed: float

    @property
    def flagged(self) -> float:
        """The inputs that are flagged, ID or OOD."""
        return self.false_alarms + self.caught

    @property
    def precision(self) -> float:
        """The share of OOD among the flagged inputs; nan if none is flagged."""
        return self.caught / self.flagged if self.flagged else math.nan


@dataclass(frozen=True)
class Outcome:
    """The effect of a threshold on ID and OOD scores; every figure is a fraction.

    Args:
        threshold: scores above it are flagged.
        kept: share of ID at or below the threshold.
        caught_by_set: {group: {set: share of OOD above the threshold}}.

    >>> outcome = evaluate(2.0, [1.0, 2.0, 3.0, 4.0], {"near": {"a": [1.0, 5.0]}})
    >>> outcome.kept, outcome.caught, outcome.per_thousand(prevalence=0.1).missed
    (0.5, 0.5, 50.0)
    """

    threshold: float
    kept: float
    caught_by_set: Mapping[str, Mapping[str, float]]

    @property
    def caught_by_group(self) -> dict[str, float]:
        """{group: share of OOD caught}, the mean over its sets."""
        return {
            group: float(np.mean(list(shares.values())))
            for group, shares in self.caught_by_set.items()
        }

    @property
    def caught(self) -> float:
        """The share of OOD caught, the mean over groups; nan without OOD sets."""
        shares = list(self.caught_by_group.values())
        return float(np.mean(shares)) if shares else math.nan

    @property
    def missed(self) -> float:
        """The share of OOD missed: the false positive rate with ID as positive class."""
        return 1 - self.caught

    @property
    def false_alarms(self) -> float:
        """The share of ID flagged: the false positive rate with OOD as positive class."""
        return 1 - self.kept

    def per_thousand(self, prevalence: float) -> Confusion:
        """Returns the expected outcome of 1000 inputs of which a share `prevalence` is OOD."""
        inside = 1000 * (1 - prevalence)
        outside = 1000 * prevalence
        return Confusion(
            kept=inside * self.kept,
            false_alarms=inside * self.false_alarms,
            caught=outside * self.caught,
            missed=outside * self.missed,
        )

    def cost(self, deployment: Deployment) -> float:
        """Returns the expected cost of 1000 inputs, a scalar."""
        expected = self.per_thousand(deployment.prevalence)
        of_misses = deployment.miss_cost * expected.missed
        of_false_alarms = deployment.false_alarm_cost * expected.false_alarms
        return of_misses + of_false_alarms


def evaluate(threshold: float, inside: ArrayLike, outside: GroupedScores) -> Outcome:
    """Returns the effect of a threshold.

    Args:
        threshold: scores above it are flagged.
        inside: ID scores, (N,).
        outside: {group: {set: (n,) OOD scores}}; a group without a set is left out.

    Raises:
        ValueError: the threshold is nan, a set is empty, or a score is not a finite number.

    >>> outside = {"near": {"a": [1.0, 5.0]}, "far": {"b": [9.0]}}
    >>> outcome = evaluate(2.0, [1.0, 2.0, 3.0, 4.0], outside)
    >>> outcome.kept, outcome.caught_by_group, outcome.caught
    (0.5, {'near': 0.5, 'far': 1.0}, 0.75)
    """
    check_threshold(threshold)
    caught = {
        group: {
            name: float(np.mean(finite_scores(name, scores) > threshold))
            for name, scores in sets.items()
        }
        for group, sets in outside.items()
        if sets
    }
    kept = float(np.mean(finite_scores("inside", inside) <= threshold))
    return Outcome(threshold, kept, caught)


@dataclass(frozen=True, eq=False)
class Sweep:
    """The effect of every threshold that differs from the others in it, ascending.

    The first threshold keeps nothing, the last everything.

    Args:
        thresholds: (K,) scores; the first is below all of them.
        kept: (K,) share of ID at or below each threshold.
        caught: (K,) share of OOD above each threshold; nan without OOD sets.

    >>> sweep([1.0, 2.0], {"near": {"a": [2.0, 3.0]}}).caught.tolist()
    [1.0, 1.0, 0.5, 0.0]
    """

    thresholds: Array
    kept: Array
    caught: Array

    @property
    def false_alarms(self) -> Array:
        """(K,) share of ID above each threshold."""
        return 1 - self.kept

    def cost(self, deployment: Deployment) -> Array:
        """Returns the expected cost of 1000 inputs at each threshold, (K,)."""
        missed = deployment.prevalence * (1 - self.caught)
        false_alarms = (1 - deployment.prevalence) * self.false_alarms
        return 1000 * (deployment.miss_cost * missed + deployment.false_alarm_cost * false_alarms)


def sweep(inside: ArrayLike, outside: GroupedScores) -> Sweep:
    """Returns the effect of every threshold.

    Args:
        inside: ID scores, (N,).
        outside: {group: {set: (n,) OOD scores}}; a group without a set is left out.

    Raises:
        ValueError: a set is empty, or a score is not a finite number.
    """
    sorted_inside = np.sort(finite_scores("inside", inside))
    sorted_groups = [
        [np.sort(finite_scores(name, scores)) for name, scores in sets.items()]
        for sets in outside.values()
        if sets
    ]
    all_sets = [sorted_inside, *(scores for sets in sorted_groups for scores in sets)]
    distinct = np.unique(np.concatenate(all_sets))
    lowest, highest = distinct[0], distinct[-1]
    below_all = min(np.nextafter(lowest, -np.inf), lowest - 0.01 * (highest - lowest))
    thresholds = np.concatenate([[below_all], distinct])

    def share_at_or_below(scores: Array) -> Array:  # (n,) sorted -> (K,)
        return np.searchsorted(scores, thresholds, "right") / len(scores)

    missed = [
        np.mean([share_at_or_below(scores) for scores in sets], axis=0) for sets in sorted_groups
    ]
    caught = 1 - np.mean(missed, axis=0) if missed else np.full(len(thresholds), np.nan)
    return Sweep(thresholds, share_at_or_below(sorted_inside), caught)


def shortest_equivalent(threshold: float, scores: ArrayLike) -> float:
    """Returns a number with few digits that parts the scores, (N,), exactly as `threshold` does.

    >>> shortest_equivalent(3.14159, [1.0, 3.14159, 3.1872])
    3.15
    """
    values = np.asarray(scores, dtype=np.float64)
    above = values[values > threshold]
    if above.size:
        gap = float(above.min()) - threshold
    else:
        gap = 0.01 * (float(np.ptp(values)) or abs(threshold) or 1.0)
    exponent = math.floor(math.log10(gap)) if gap > 0 else 0
    for digits in range(-exponent, 3 - exponent):  # a coarse step, then finer ones
        step = 10.0**-digits
        candidate = round(math.ceil(threshold / step) * step, digits)
        if threshold <= candidate < threshold + gap:
            return candidate
    return threshold
