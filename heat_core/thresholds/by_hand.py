"""The threshold that somebody sets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from numpy.typing import ArrayLike

from .outcome import NO_OOD, GroupedScores
from .rule import Decision, ThresholdRule, Widget


@dataclass(frozen=True)
class ByHand(ThresholdRule):
    """A threshold that a hand has set: it reads no scores, and promises nothing.

    Args:
        threshold: above which an input is flagged.

    Raises ValueError unless it is finite.

    >>> ByHand(2.5).fit([1.0, 2.0, 3.0]).flags([2.0, 3.0]).tolist()
    [False, True]
    """

    threshold: float
    title: ClassVar = "By hand"
    summary: ClassVar = "The threshold is where somebody put it."
    widget: ClassVar[Widget] = "hand"

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise ValueError(f"threshold must be finite, got {self.threshold}.")

    def fit(
        self,
        inside: ArrayLike,
        outside: GroupedScores = NO_OOD,
        predicted: ArrayLike | None = None,
    ) -> Decision:
        return Decision(self, float(self.threshold))
