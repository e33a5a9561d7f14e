"""Rules that choose a threshold: a score above it is called out-of-distribution (OOD).

A rule is fitted to scores and gives a `Decision`. Rules with `needs_ood` read OOD scores: what they
choose is the best for the OOD sets that they see, and promises nothing about others. Every group of
OOD sets counts the same, and within a group every set, whatever its size, as in the paper's
averages. Scores are energies: larger is more out-of-distribution.
"""

from __future__ import annotations

from collections.abc import Mapping

from .id_only import Conformal, KeepShare, PerClassConformal
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
from .rule import Decision, ThresholdRule, Widget, choose_threshold
from .with_ood import F1, FlagBudget, MinExpectedCost, Youden

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

__all__ = [
    "RULES",
    "F1",
    "Confusion",
    "Conformal",
    "Decision",
    "Deployment",
    "FlagBudget",
    "GroupedScores",
    "KeepShare",
    "MinExpectedCost",
    "Outcome",
    "PerClassConformal",
    "Sweep",
    "ThresholdRule",
    "Widget",
    "Youden",
    "choose_threshold",
    "evaluate",
    "shortest_equivalent",
    "sweep",
]
