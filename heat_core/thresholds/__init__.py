"""Rules that choose a threshold: a score above it is flagged as out-of-distribution (OOD).

A rule is fitted to scores and gives a `Decision`. Rules with `needs_ood` read OOD scores: what they
choose is the best for the OOD sets that they see, and promises nothing about others. Every group of
OOD sets counts the same, and within a group every set, whatever its size, as in the paper's
averages. Scores are energies: larger is more out-of-distribution.
"""

from __future__ import annotations

from collections.abc import Mapping

from .assessment import Assessment
from .by_hand import ByHand
from .halves import (
    CalibrationScores,
    TestScores,
    assess,
    choose_and_assess,
    split_rows,
    split_scores,
)
from .id_only import AtRank, Conformal, KeepShare, KeepWithConfidence, PerClassConformal
from .learn_then_test import PrecisionAtLeast, RecallAtLeast
from .outcome import (
    Confusion,
    Deployment,
    GroupedScores,
    Outcome,
    Sweep,
    evaluate,
    shortest_equivalent,
    sweep,
)
from .p_values import Discoveries, discoveries, p_values
from .proportion import Interval, Proportion
from .rule import Decision, ThresholdRule, Widget, choose_threshold
from .three_way import ThreeWay, ThreeWayDecision
from .with_ood import F1, FlagBudget, MinExpectedCost, Youden

RULES: Mapping[str, type[ThresholdRule]] = {
    "keep": KeepShare,
    "conformal": Conformal,
    "keep_with_confidence": KeepWithConfidence,
    "youden": Youden,
    "f1": F1,
    "cost": MinExpectedCost,
    "flag": FlagBudget,
    "recall": RecallAtLeast,
    "precision": PrecisionAtLeast,
    "conformal_per_class": PerClassConformal,
    "hand": ByHand,
}
"""Every rule by name, in the order in which they are offered."""

__all__ = [
    "F1",
    "RULES",
    "Assessment",
    "AtRank",
    "ByHand",
    "CalibrationScores",
    "Conformal",
    "Confusion",
    "Decision",
    "Deployment",
    "Discoveries",
    "FlagBudget",
    "GroupedScores",
    "Interval",
    "KeepShare",
    "KeepWithConfidence",
    "MinExpectedCost",
    "Outcome",
    "PerClassConformal",
    "PrecisionAtLeast",
    "Proportion",
    "RecallAtLeast",
    "Sweep",
    "TestScores",
    "ThreeWay",
    "ThreeWayDecision",
    "ThresholdRule",
    "Widget",
    "Youden",
    "assess",
    "choose_threshold",
    "choose_and_assess",
    "discoveries",
    "evaluate",
    "p_values",
    "shortest_equivalent",
    "split_rows",
    "split_scores",
    "sweep",
]
