"""A rule that chooses a threshold, and the decision that it comes to."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heat_core.arguments import finite_scores

from .assessment import Assessment
from .outcome import NO_OOD, Array, GroupedScores, shortest_equivalent
from .proportion import Interval

if TYPE_CHECKING:
    from heat_core.scores import SetScores

Widget = Literal[
    "none", "keep", "keep_with_confidence", "flag", "deployment", "least", "precision", "hand"
]
"""The setting that a rule asks a person for, beside its title."""


class ThresholdRule(abc.ABC):
    """A rule that chooses a threshold. Subclasses are frozen dataclasses of its settings.

    title, summary: the rule in a few words, and in a sentence.
    assumption: what its guarantee rests on, as the end of a sentence; nothing without one.
    needs_ood: whether it reads OOD scores.
    reads_costs: whether it reads the costs of a `Deployment`, and not its prevalence alone.
    per_class: whether it gives every predicted class a threshold of its own.
    widget: the setting that a person chooses for it.
    """

    title: ClassVar[str]
    summary: ClassVar[str]
    assumption: ClassVar[str] = ""
    needs_ood: ClassVar[bool] = False
    reads_costs: ClassVar[bool] = False
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
            predicted: (N,) class that each ID score counts for; read where `per_class`.

        Raises:
            ValueError: these scores do not allow the rule; in one line.
        """

    @property
    def guarantee(self) -> str:
        """What the rule promises of new inputs, in a sentence; nothing where it promises nothing.

        It holds under `assumption`.
        """
        return ""

    def threshold_interval(
        self,
        inside: ArrayLike,
        outside: GroupedScores = NO_OOD,
        confidence: float = 0.95,
        seed: int = 0,
    ) -> Interval | None:
        """Returns where the threshold lies for other draws of these scores, by the bootstrap.

        None where the rule has more than one threshold, or does not say.

        Args:
            inside, outside: as `fit` takes them.
            confidence: the share of draws within the interval.
            seed: of resamples, where there are any.
        """
        return None


@dataclass(frozen=True)
class Decision:
    """One threshold for all inputs, or one for each predicted class.

    Args:
        rule: what chose it.
        thresholds: one for inputs of all classes, or {predicted class: its threshold}.
        n_calibration: how many ID scores it was chosen on; 0 where a hand chose.
        interval: where the threshold lies for other draws of the scores, if that was asked for.
        assessment: what it does to scores that it was not chosen on, if that was asked for.

    >>> from heat_core.thresholds import KeepShare
    >>> decision = KeepShare(0.5).fit([1.0, 2.0, 3.0, 4.0])
    >>> decision.threshold, decision.flags([1.5, 2.5]).tolist()
    (2.0, [False, True])
    """

    rule: ThresholdRule
    thresholds: float | Mapping[int, float]
    n_calibration: int = 0
    interval: Interval | None = None
    assessment: Assessment | None = None

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
        """Returns scores less their thresholds, (N,): an input is flagged where this is above 0.

        Args:
            scores: (N,).
            predicted: (N,) predicted classes; read where classes have thresholds of their own.

        Raises:
            ValueError: a score is not finite, or a predicted class has no threshold.

        >>> from heat_core.thresholds import PerClassConformal
        >>> decision = Decision(PerClassConformal(), {0: 0.5, 1: 4.0})
        >>> decision.margin([1.0, 3.0], predicted=[0, 1]).tolist()
        [0.5, -1.0]
        """
        values = finite_scores("scores", scores)
        return values - self.row_thresholds(len(values), predicted)

    def row_thresholds(self, rows: int, predicted: ArrayLike | None = None) -> Array:
        """Returns the threshold of each input, (N,).

        Args:
            rows: N.
            predicted: (N,) predicted classes; read where classes have thresholds of their own.

        Raises ValueError if a predicted class has no threshold, or there are not as many.

        >>> from heat_core.thresholds import PerClassConformal
        >>> Decision(PerClassConformal(), {0: 0.5, 1: 4.0}).row_thresholds(3, [0, 1, 0]).tolist()
        [0.5, 4.0, 0.5]
        """
        if not self.by_class:
            return np.full(rows, self.threshold, np.float64)
        classes, positions = np.unique(classes_of(rows, predicted), return_inverse=True)
        for label in classes:
            if int(label) not in self.by_class:
                raise ValueError(
                    f"class {label} has no threshold: no calibration score was of an input "
                    "taken for it."
                )
        thresholds = np.array([self.by_class[int(label)] for label in classes])
        return thresholds[positions]

    def flags(self, scores: ArrayLike, predicted: ArrayLike | None = None) -> NDArray[np.bool]:
        """Returns which inputs are flagged, (N,); arguments and errors are those of `margin`."""
        values = finite_scores("scores", scores)
        return values > self.row_thresholds(len(values), predicted)


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


def classes_of(rows: int, predicted: ArrayLike | None) -> NDArray[np.int64]:
    """Returns the predicted class of each row, (N,). Raises ValueError unless there are N."""
    labels = np.ravel(() if predicted is None else predicted)
    if len(labels) != rows:
        raise ValueError(
            f"predicted must have a class for each of {rows:,} scores, got {len(labels):,}."
        )
    return labels
