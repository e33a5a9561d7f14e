"""Pure: the thresholds that the Threshold lab shows, and their effect on scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.threshold_lab.same_share import same_share_thresholds
from heat_core.scores import SetScores
from heat_core.thresholds import Outcome, ThresholdRule, choose_threshold, evaluate

if TYPE_CHECKING:
    from app.pack.scores import ScoresByDetector
    from app.threshold_lab.controls import ThresholdChoice

AssignedClasses = Mapping[str, NDArray[np.int64]]
"""{set: (n,) the class that each row is assigned to}, as `PackData.assigned_classes`."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The thresholds of one detector or of two that are compared, and their effect.

    Args:
        choice: the settings of the page.
        rule: what chose the thresholds; None if a hand did.
        shown_scores: {detector: its scores as the page shows them} of all that are ready. Where
            every class has a threshold of its own they are margins, the scores less that
            threshold, so that one line at 0 stands for all.
        class_thresholds: {detector: {assigned class: its threshold}} of all that are ready; empty
            where one threshold holds for all classes.
        outcomes: {detector: the effect of its threshold} of the detectors on the page.
        refusals: {detector: why its scores do not allow the rule} of the detectors on the page.
    """

    choice: ThresholdChoice
    rule: ThresholdRule | None
    shown_scores: ScoresByDetector
    class_thresholds: Mapping[str, Mapping[int, float]]
    outcomes: Mapping[str, Outcome]
    refusals: Mapping[str, str] = field(default_factory=dict)

    @property
    def set_scores(self) -> SetScores:
        """The shown scores of the detector whose threshold is chosen."""
        return self.shown_scores[self.choice.detector]

    @property
    def outcome(self) -> Outcome:
        """The effect of the threshold that is chosen."""
        return self.outcomes[self.choice.detector]

    @property
    def compared_outcome(self) -> Outcome | None:
        """The effect of the compared detector's threshold, if there is one."""
        return self.outcomes.get(self.choice.compared)

    @property
    def counted_scores(self) -> dict[str, NDArray[np.float64]]:
        """{set: (n,) shown scores} of ID test and of the OOD sets that count."""
        return {name: self.set_scores[name] for name in ("test", *self.choice.set_names)}

    def matching_thresholds(self) -> tuple[dict[str, float], dict[str, str]]:
        """Returns ({detector: its threshold}, {detector: why its scores do not allow the rule}).

        Of all that are ready, by the same rule, where one threshold holds for all classes.
        """
        thresholds = {name: outcome.threshold for name, outcome in self.outcomes.items()}
        refusals = dict(self.refusals)
        for name, scores in self.shown_scores.items():
            if name in thresholds or name in refusals:
                continue
            try:
                thresholds[name] = matching_threshold(
                    self.rule,
                    self.outcome.threshold,
                    self.set_scores,
                    scores,
                    self.choice.set_names,
                )
            except ValueError as error:
                refusals[name] = str(error)
        return thresholds, refusals


def evaluate_threshold(
    choice: ThresholdChoice,
    rule: ThresholdRule | None,
    threshold: float,
    scores_by_detector: ScoresByDetector,
) -> Evaluation:
    """Returns the effect of one threshold for all classes, and of the compared detector's.

    Args:
        choice: the settings of the page.
        rule: what chose the threshold; None if a hand did.
        threshold: of `choice.detector`.
        scores_by_detector: of all detectors that are ready.
    """
    outcomes = {choice.detector: _evaluate(threshold, scores_by_detector[choice.detector], choice)}
    refusals = {}
    if choice.compared in scores_by_detector:
        other = scores_by_detector[choice.compared]
        scores = scores_by_detector[choice.detector]
        try:
            other_threshold = matching_threshold(rule, threshold, scores, other, choice.set_names)
        except ValueError as error:
            refusals[choice.compared] = str(error)
        else:
            outcomes[choice.compared] = _evaluate(other_threshold, other, choice)
    return Evaluation(choice, rule, scores_by_detector, {}, outcomes, refusals)


def evaluate_per_class(
    choice: ThresholdChoice,
    rule: ThresholdRule,
    scores_by_detector: ScoresByDetector,
    assigned_classes: AssignedClasses,
) -> Evaluation:
    """Returns the effect of a rule that gives every assigned class a threshold of its own.

    Raises ValueError, in one line, if the scores do not allow the rule.
    """
    margins, class_thresholds = {}, {}
    for name, set_scores in scores_by_detector.items():
        decision = choose_threshold(rule, set_scores, choice.set_names, assigned_classes)
        class_thresholds[name] = decision.by_class
        margins[name] = SetScores(
            {
                set_name: decision.margin(values, assigned_classes[set_name])
                for set_name, values in set_scores.items()
            }
        )
    outcomes = {
        name: _evaluate(0.0, margins[name], choice) for name in choice.detectors if name in margins
    }
    return Evaluation(choice, rule, margins, class_thresholds, outcomes)


def matching_threshold(
    rule: ThresholdRule | None,
    threshold: float,
    scores: SetScores,
    other_scores: SetScores,
    ood_names: tuple[str, ...],
) -> float:
    """Returns the threshold of another detector, a scalar.

    Args:
        rule: that chooses it, with one threshold for all classes. None where a hand chose the
            first: the other keeps the same share of the calibration scores.
        threshold: the first.
        scores: of the first detector.
        other_scores: of the other detector.
        ood_names: OOD sets that the rule may read.

    Raises ValueError, in one line, if the scores do not allow the rule.
    """
    if rule is None:
        matched = same_share_thresholds([threshold], scores.calibration, other_scores.calibration)
        return float(matched[0])
    return choose_threshold(rule, other_scores, ood_names).threshold


def _evaluate(threshold: float, scores: SetScores, choice: ThresholdChoice) -> Outcome:
    return evaluate(threshold, scores.test, scores.ood(choice.set_names))
