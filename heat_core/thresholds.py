"""Where to cut: a score above the cut is called out-of-distribution, one at or below it is kept.

An objective chooses the cut from scores. Those with `needs_outside` read OOD scores: what they choose is the best for the
OOD sets that were given, and promises nothing about others. There every group counts the same, and within a group every
set, whatever its size, as in the paper's averages. Scores are energies: larger is more out-of-distribution.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Groups = Mapping[str, Mapping[str, ArrayLike]]
"""{group: {set: (n,) scores}}, such as {"near": {"cifar100": ...}}."""


def by_group(
    scores: Mapping[str, ArrayLike], names: Iterable[str]
) -> dict[str, dict[str, ArrayLike]]:
    """Returns {group: {set: scores}} of the sets named `group_set`.

    >>> by_group({"test": [0.1], "near_a": [1.0], "far_b": [2.0]}, ["near_a", "far_b"])
    {'near': {'a': [1.0]}, 'far': {'b': [2.0]}}
    """
    groups: dict[str, dict[str, ArrayLike]] = {}
    for name in names:
        group, _, short = name.partition("_")
        groups.setdefault(group, {})[short] = scores[name]
    return groups


# -- what a cut does ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Confusion:
    """What becomes of 1000 inputs, in inputs: ID kept and flagged, OOD caught and missed."""

    kept: float
    flagged: float
    caught: float
    missed: float

    @property
    def precision(self) -> float:
        """The share of OOD among what is called out; nan if nothing is."""
        called = self.caught + self.flagged
        return self.caught / called if called else math.nan


@dataclass(frozen=True)
class Outcome:
    """What a cut does; shares are fractions.

    cut: above it means out.
    kept: share of ID at or below the cut.
    caught: {group: {set: share above the cut}}.
    """

    cut: float
    kept: float
    caught: Mapping[str, Mapping[str, float]]

    @property
    def groups(self) -> dict[str, float]:
        """{group: share caught}, the mean over its sets."""
        return {group: float(np.mean(list(sets.values()))) for group, sets in self.caught.items()}

    @property
    def outside(self) -> float:
        """The share of OOD caught, the mean over groups; nan without OOD sets."""
        return float(np.mean(list(self.groups.values()))) if self.caught else math.nan

    @property
    def accepted(self) -> float:
        """The share of OOD accepted: the false positive rate if ID is the positive class, as in FPR95."""
        return 1 - self.outside

    @property
    def lost(self) -> float:
        """The share of ID flagged: the false positive rate if OOD is the positive class, as in FPR95 (OOD+)."""
        return 1 - self.kept

    def per_thousand(self, prevalence: float) -> Confusion:
        """Returns what becomes of 1000 inputs of which a share `prevalence` is OOD."""
        inside, outside = 1000 * (1 - prevalence), 1000 * prevalence
        return Confusion(
            inside * self.kept, inside * self.lost, outside * self.outside, outside * self.accepted
        )

    def cost(self, traffic: Deployment) -> float:
        """Returns the expected cost of 1000 inputs."""
        expected = self.per_thousand(traffic.prevalence)
        return traffic.miss * expected.missed + traffic.alarm * expected.flagged


@dataclass(frozen=True)
class Deployment:
    """What arrives in use, and what mistakes cost.

    Args:
        prevalence: share of inputs that are OOD.
        miss: the cost of an OOD input that is accepted.
        alarm: the cost of an ID input that is flagged.
    """

    prevalence: float = 0.1
    miss: float = 10.0
    alarm: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.prevalence <= 1:
            raise ValueError(f"prevalence must lie between 0 and 1, got {self.prevalence}.")
        for name in ("miss", "alarm"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(
                    f"the cost {name} must be 0 or more and finite, got {getattr(self, name)}."
                )


def evaluate(cut: float, inside: ArrayLike, outside: Groups) -> Outcome:
    """Returns what a cut does to ID scores, (N,), and to OOD scores by group and set.

    >>> what = outcome(2.0, [1.0, 2.0, 3.0, 4.0], {"near": {"a": [1.0, 5.0]}, "far": {"b": [9.0]}})
    >>> what.kept, what.groups, what.outside
    (0.5, {'near': 0.5, 'far': 1.0}, 0.75)
    """
    caught = {
        group: {name: float(np.mean(_scores(name, values) > cut)) for name, values in sets.items()}
        for group, sets in outside.items()
        if sets
    }
    return Outcome(cut, float(np.mean(_scores("inside", inside) <= cut)), caught)


@dataclass(frozen=True, eq=False)
class Sweep:
    """Every cut that differs from the others in what it does, ascending: the first keeps nothing, the last everything.

    Args:
        cut: (K,) scores; the first is below all of them.
        kept: (K,) share of ID at or below each cut.
        caught: (K,) share of OOD above each cut; nan without OOD sets.
    """

    cut: Array
    kept: Array
    caught: Array

    def cost(self, traffic: Deployment) -> Array:
        """Returns the expected cost of 1000 inputs at each cut, (K,)."""
        missed, flagged = (
            traffic.prevalence * (1 - self.caught),
            (1 - traffic.prevalence) * (1 - self.kept),
        )
        return 1000 * (traffic.miss * missed + traffic.alarm * flagged)


def sweep(inside: ArrayLike, outside: Groups) -> Sweep:
    """Returns what every cut does, from ID scores, (N,), and OOD scores by group and set."""
    low = np.sort(_scores("inside", inside))
    groups = [
        [np.sort(_scores(name, values)) for name, values in sets.items()]
        for sets in outside.values()
        if sets
    ]
    scores = np.unique(np.concatenate([low, *(high for sets in groups for high in sets)]))
    below = min(np.nextafter(scores[0], -np.inf), scores[0] - 0.01 * (scores[-1] - scores[0]))
    cut = np.concatenate([[below], scores])

    def upto(values: Array) -> Array:
        return np.searchsorted(values, cut, "right") / len(values)

    passed = [np.mean([upto(high) for high in sets], axis=0) for sets in groups]
    return Sweep(
        cut, upto(low), 1 - np.mean(passed, axis=0) if passed else np.full(len(cut), np.nan)
    )


def shortest_equivalent(cut: float, scores: ArrayLike) -> float:
    """Returns a number with few digits that parts the scores exactly as `cut` does.

    >>> roundest(3.14159, [1.0, 3.14159, 3.1872])
    3.15
    """
    values = np.asarray(scores, dtype=np.float64)
    above = values[values > cut]
    width = (
        float(above.min()) - cut
        if above.size
        else 0.01 * (float(np.ptp(values)) or abs(cut) or 1.0)
    )
    exponent = math.floor(math.log10(width)) if width > 0 else 0
    for digits in range(-exponent, 3 - exponent):  # a coarse step, then finer ones
        step = 10.0**-digits
        candidate = round(math.ceil(cut / step) * step, digits)
        if cut <= candidate < cut + width:
            return candidate
    return cut


# -- objectives --------------------------------------------------------------------------------------------------------


class ThresholdRule(abc.ABC):
    """A rule that chooses the cut. Subclasses are frozen dataclasses."""

    title: ClassVar[str]
    summary: ClassVar[str]
    needs_outside: ClassVar[bool] = False

    @abc.abstractmethod
    def cut(self, inside: ArrayLike, outside: Groups) -> float:
        """Returns the cut for ID scores, (N,), and OOD scores by group and set.

        Raises ValueError, in one line, if these scores do not allow it.
        """


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"the share must lie between 0 and 1, got {share}.")


@dataclass(frozen=True)
class KeepShare(ThresholdRule):
    """The smallest cut that keeps a share of the ID scores given, above 0 and below 1."""

    share: float = 0.95
    title: ClassVar = "Keep a share of ID"
    summary: ClassVar = "The smallest cut that keeps this share of the ID scores it is chosen on. Needs no OOD data."

    def __post_init__(self) -> None:
        _check_share(self.share)

    def cut(self, inside: ArrayLike, outside: Groups) -> float:
        return _smallest(
            _scores("inside", inside), max(1, math.ceil(self.share * np.size(inside) - 1e-9))
        )


@dataclass(frozen=True)
class Conformal(ThresholdRule):
    """The cut under which a new ID input falls with probability of at least `share`: score number ceil((n + 1) share) of n.

    It holds in finite samples, on average over the draw of the n scores, if they and the new input are exchangeable and
    nothing was fitted to them. Vovk et al. 2005; Angelopoulos and Bates 2021 (arXiv 2107.07511).
    """

    share: float = 0.95
    title: ClassVar = "Keep at least a share of ID (conformal)"
    summary: ClassVar = (
        "A new ID input is kept with at least this probability, guaranteed for any number of calibration scores, if it "
        "comes from where they come from. Needs no OOD data."
    )

    def __post_init__(self) -> None:
        _check_share(self.share)

    def cut(self, inside: ArrayLike, outside: Groups) -> float:
        scores = _scores("inside", inside)
        rank = math.ceil((len(scores) + 1) * self.share - 1e-9)
        if rank > len(scores):
            raise ValueError(
                f"to keep at least {100 * self.share:g} % of new ID inputs takes {_least(self.share):,} calibration scores, "
                f"got {len(scores):,}."
            )
        return _smallest(scores, rank)


@dataclass(frozen=True)
class PerClassConformal:
    """A conformal cut for each class that inputs are taken for (Mondrian): what a class keeps does not pay for another.

    Of new ID inputs taken for a class, one falls at or below the class's cut with probability of at least `share`, under
    `Conformal`'s conditions, within the class. It promises nothing of classes by their true label, which no one knows in
    use. Vovk et al. 2005, section 4.5. It is no `Objective`: those choose one cut for all.
    """

    share: float = 0.95
    title: ClassVar = "Keep at least a share of every class (conformal)"
    summary: ClassVar = (
        "A threshold for each class. Of new ID inputs that the classifier takes for a class, each is kept with at least this "
        "probability, whichever class it is, if they come from where the calibration scores come from. Needs no OOD data."
    )
    needs_outside: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_share(self.share)

    def cuts(self, inside: ArrayLike, taken_for: ArrayLike) -> dict[int, float]:
        """Returns {class: cut} for ID scores, (N,), and the class that each was taken for, (N,).

        Raises ValueError, in one line, if a class has too few scores for the promise.
        """
        scores, labels = _scores("inside", inside), np.ravel(taken_for)
        if len(labels) != len(scores):
            raise ValueError(
                f"taken_for must have a class for each of {len(scores):,} scores, got {len(labels):,}."
            )
        classes, counts = np.unique(labels, return_counts=True)
        if counts.min() < (least := _least(self.share)):
            raise ValueError(
                f"to keep at least {100 * self.share:g} % of new ID inputs of every class takes {least:,} calibration scores a "
                f"class, got {counts.min():,} of class {classes[counts.argmin()]}."
            )
        return {
            int(label): Conformal(self.share).cut(scores[labels == label], {}) for label in classes
        }


def margin_over_class(scores: ArrayLike, taken_for: ArrayLike, cuts: Mapping[int, float]) -> Array:
    """Returns scores less the cut of the class that each was taken for, (N,): a row is called out where this is above 0.

    Raises ValueError, in one line, for a class without a cut.

    >>> above([1.0, 3.0], [0, 1], {0: 0.5, 1: 4.0}).tolist()
    [0.5, -1.0]
    """
    classes, places = np.unique(np.ravel(taken_for), return_inverse=True)
    for label in classes:
        if int(label) not in cuts:
            raise ValueError(
                f"class {label} has no threshold: no calibration score was of an input taken for it."
            )
    return _scores("scores", scores) - np.array([cuts[int(label)] for label in classes])[places]


class _Maximise(ThresholdRule):
    """The cut where a figure is largest; of equals the one that keeps the most ID."""

    needs_outside: ClassVar[bool] = True

    @abc.abstractmethod
    def figure(self, every: Sweep) -> Array:
        """Returns what is to be large at each cut, (K,)."""

    def cut(self, inside: ArrayLike, outside: Groups) -> float:
        every = _with_outside(self, inside, outside)
        figure = self.figure(every)
        return float(
            every.cut[
                np.flatnonzero(figure >= figure.max() - 1e-12 * max(1.0, abs(figure.max())))[-1]
            ]
        )


@dataclass(frozen=True)
class Youden(_Maximise):
    """The largest ID kept + OOD caught - 1 (Youden 1950)."""

    title: ClassVar = "Balance (Youden)"
    summary: ClassVar = "The largest sum of ID kept and OOD caught."

    def figure(self, every: Sweep) -> Array:
        return every.kept + every.caught - 1


@dataclass(frozen=True)
class F1(_Maximise):
    """The largest harmonic mean of precision and recall, with OOD as the class to find, at a prevalence."""

    traffic: Deployment = Deployment()
    title: ClassVar = "Best F1"
    summary: ClassVar = (
        "The largest harmonic mean of precision and recall in finding OOD, at the prevalence set."
    )

    def figure(self, every: Sweep) -> Array:
        found, alarms = (
            self.traffic.prevalence * every.caught,
            (1 - self.traffic.prevalence) * (1 - every.kept),
        )
        called_or_there = found + alarms + self.traffic.prevalence
        return np.divide(
            2 * found, called_or_there, out=np.zeros_like(found), where=called_or_there > 0
        )


@dataclass(frozen=True)
class MinExpectedCost(_Maximise):
    """The least expected cost."""

    traffic: Deployment = Deployment()
    title: ClassVar = "Least cost"
    summary: ClassVar = "The least expected cost, at the prevalence and the costs set."

    def figure(self, every: Sweep) -> Array:
        return -every.cost(self.traffic)


@dataclass(frozen=True)
class FlagBudget(ThresholdRule):
    """The smallest cut at which at most a share of all traffic is flagged."""

    share: float = 0.05
    traffic: Deployment = Deployment()
    title: ClassVar = "Flag at most a share of traffic"
    summary: ClassVar = "The cut that catches the most while no more than this share of all inputs is flagged, at the prevalence set."
    needs_outside: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_share(self.share)

    def cut(self, inside: ArrayLike, outside: Groups) -> float:
        every = _with_outside(self, inside, outside)
        flagged = (1 - self.traffic.prevalence) * (
            1 - every.kept
        ) + self.traffic.prevalence * every.caught
        return float(
            every.cut[np.argmax(flagged <= self.share + 1e-12)]
        )  # the last cut flags nothing


def choose_threshold(
    rule: ThresholdRule, scores: Mapping[str, ArrayLike], sets: Iterable[str]
) -> float:
    """Returns a number with few digits that parts all scores as the rule's cut does.

    Args:
        scores: {set: (n,) scores}: `test` of ID, `val` of held-out ID if there are such, and OOD sets named `group_name`.
            The rule reads the ID scores of `val`, or of `test` without it.
        sets: the OOD sets that it may read.

    Raises ValueError, in one line, if these scores do not allow the rule.
    """
    cut = rule.cut(scores["val" if "val" in scores else "test"], by_group(scores, sets))
    return shortest_equivalent(
        cut, np.concatenate([np.ravel(values) for values in scores.values()])
    )


RULES: Mapping[str, type[ThresholdRule]] = {
    "keep": KeepShare,
    "conformal": Conformal,
    "youden": Youden,
    "f1": F1,
    "cost": MinExpectedCost,
    "flag": FlagBudget,
}


def _with_outside(objective: ThresholdRule, inside: ArrayLike, outside: Groups) -> Sweep:
    if not any(outside.values()):
        raise ValueError(f"{objective.title} needs OOD scores, got none.")
    return sweep(inside, outside)


def _least(share: float) -> int:
    """Returns how many calibration scores it takes to promise a share."""
    return math.ceil(share / (1 - share) - 1e-9)


def _smallest(scores: Array, rank: int) -> float:
    """Returns the score number `rank`, from 1."""
    return float(np.partition(scores, rank - 1)[rank - 1])


def _scores(name: str, values: ArrayLike) -> Array:
    scores = np.asarray(values, dtype=np.float64).ravel()
    if not scores.size:
        raise ValueError(f"{name} must hold at least one score.")
    if not np.isfinite(scores).all():
        raise ValueError(f"{name} must hold finite scores, got {scores[~np.isfinite(scores)][0]}.")
    return scores
