"""Rules that choose a threshold: a score above it is called out-of-distribution (OOD).

A rule is fitted to scores and gives a `Decision`. Rules with `needs_ood` read OOD scores: what they
choose is the best for the OOD sets that they see, and promises nothing about others. Every group of
OOD sets counts the same, and within a group every set, whatever its size, as in the paper's
averages. Scores are energies: larger is more out-of-distribution.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arguments import check_share, check_threshold, finite_scores
from .metrics import threshold_keeping

if TYPE_CHECKING:
    from .scores import SetScores

Array = NDArray[np.float64]
GroupedScores = Mapping[str, Mapping[str, ArrayLike]]
"""{group: {set: (n,) scores}}, such as {"near": {"cifar100": ...}}."""
Widget = Literal["none", "keep", "flag", "deployment"]
"""The setting that a rule asks a person for, beside its title."""

NO_OOD: GroupedScores = MappingProxyType({})
TOLERANCE = 1e-9  # of a rank: a share times a count may miss a whole number by rounding


# -- what a threshold does -------------------------------------------------------------------------


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
    """The expected outcome of 1000 inputs, of which those called out are flagged.

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
        threshold: scores above it are called out.
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
    def accepted(self) -> float:
        """The share of OOD accepted: the false positive rate with ID as positive class."""
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
            missed=outside * self.accepted,
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
        threshold: scores above it are called out.
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

    accepted = [
        np.mean([share_at_or_below(scores) for scores in sets], axis=0) for sets in sorted_groups
    ]
    caught = 1 - np.mean(accepted, axis=0) if accepted else np.full(len(thresholds), np.nan)
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


# -- rules and their decisions ---------------------------------------------------------------------


class ThresholdRule(abc.ABC):
    """A rule that chooses a threshold. Subclasses are frozen dataclasses of its settings.

    title, summary: the rule in a few words, and in a sentence.
    needs_ood: whether it reads OOD scores.
    per_class: whether it gives every predicted class a threshold of its own.
    widget: the setting that a person chooses for it.
    """

    title: ClassVar[str]
    summary: ClassVar[str]
    needs_ood: ClassVar[bool] = False
    per_class: ClassVar[bool] = False
    widget: ClassVar[Widget] = "none"

    @abc.abstractmethod
    def fit(
        self,
        inside: ArrayLike,
        outside: GroupedScores = NO_OOD,
        predicted: ArrayLike | None = None,
    ) -> Decision:
        """Returns the decision for these scores.

        Args:
            inside: ID scores, (N,); those of rules with a guarantee must be of rows that nothing
                was fitted to.
            outside: {group: {set: (n,) OOD scores}}; read where `needs_ood`.
            predicted: (N,) class that the classifier predicts for each ID score; read where
                `per_class`.

        Raises:
            ValueError: these scores do not allow the rule; in one line.
        """


@dataclass(frozen=True)
class Decision:
    """One threshold for all inputs, or one for each predicted class.

    Args:
        rule: what chose it.
        thresholds: one for inputs of all classes, or {predicted class: its threshold}.

    >>> decision = KeepShare(0.5).fit([1.0, 2.0, 3.0, 4.0])
    >>> decision.threshold, decision.flags([1.5, 2.5]).tolist()
    (2.0, [False, True])
    """

    rule: ThresholdRule
    thresholds: float | Mapping[int, float]

    @property
    def threshold(self) -> float:
        """The threshold for inputs of all classes. Raises ValueError if each class has its own."""
        if isinstance(self.thresholds, Mapping):
            raise ValueError(f"{self.rule.title} gives each class a threshold of its own.")
        return self.thresholds

    @property
    def by_class(self) -> Mapping[int, float]:
        """{predicted class: its threshold}; empty where one threshold holds for all classes."""
        return self.thresholds if isinstance(self.thresholds, Mapping) else {}

    def margin(self, scores: ArrayLike, predicted: ArrayLike | None = None) -> Array:
        """Returns scores less their thresholds, (N,): an input is called out where this is above 0.

        Args:
            scores: (N,).
            predicted: (N,) predicted classes; read where classes have thresholds of their own.

        Raises:
            ValueError: a score is not finite, or a predicted class has no threshold.

        >>> decision = Decision(PerClassConformal(), {0: 0.5, 1: 4.0})
        >>> decision.margin([1.0, 3.0], predicted=[0, 1]).tolist()
        [0.5, -1.0]
        """
        values = finite_scores("scores", scores)
        if not self.by_class:
            return values - self.threshold
        classes, positions = np.unique(_classes_of(values, predicted), return_inverse=True)
        for label in classes:
            if int(label) not in self.by_class:
                raise ValueError(
                    f"class {label} has no threshold: no calibration score was of an input "
                    "taken for it."
                )
        thresholds = np.array([self.by_class[int(label)] for label in classes])
        return values - thresholds[positions]

    def flags(self, scores: ArrayLike, predicted: ArrayLike | None = None) -> NDArray[np.bool]:
        """Returns which inputs are called out, (N,); arguments and errors are those of `margin`."""
        return self.margin(scores, predicted) > 0


def choose_threshold(
    rule: ThresholdRule,
    scores: SetScores,
    ood_names: Iterable[str] = (),
    predicted: Mapping[str, ArrayLike] | None = None,
) -> Decision:
    """Returns the decision of a rule fitted to a detector's calibration scores.

    One threshold for all classes is a number with few digits that parts all scores, of every set,
    as the rule's own does.

    Args:
        scores: of the detector.
        ood_names: OOD sets that the rule may read.
        predicted: {set: (n,) predicted classes}, with all rows of the calibration scores' set.

    Raises:
        ValueError: these scores do not allow the rule; in one line.
    """
    classes = None if predicted is None else predicted[scores.calibration_name]
    decision = rule.fit(scores.calibration, scores.ood(ood_names), classes)
    if decision.by_class:
        return decision
    all_scores = np.concatenate([np.ravel(values) for values in scores.values()])
    return replace(decision, thresholds=shortest_equivalent(decision.threshold, all_scores))


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
        labels = _classes_of(scores, predicted)
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


RULES: Mapping[str, type[ThresholdRule]] = {
    "keep": KeepShare,
    "conformal": Conformal,
    "youden": Youden,
    "f1": F1,
    "cost": MinExpectedCost,
    "flag": FlagBudget,
    "conformal_per_class": PerClassConformal,
}
"""Every rule by name, in the order in which they are offered."""


def _check_promise(share: float) -> None:
    """Raises ValueError unless a share is one that calibration scores can promise."""
    check_share(share)
    if share == 1:
        raise ValueError("the share must be below 1: no number of scores promises to keep all.")


def _sweep_with_ood(rule: ThresholdRule, inside: ArrayLike, outside: GroupedScores) -> Sweep:
    if not any(outside.values()):
        raise ValueError(f"{rule.title} needs OOD scores, got none.")
    return sweep(inside, outside)


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


def _classes_of(scores: Array, predicted: ArrayLike | None) -> NDArray[np.int64]:
    """Returns the predicted class of each score, (N,). Raises ValueError unless there are as
    many."""
    labels = np.ravel(() if predicted is None else predicted)
    if len(labels) != len(scores):
        raise ValueError(
            f"predicted must have a class for each of {len(scores):,} scores, got {len(labels):,}."
        )
    return labels
