"""Two thresholds: keep what is below both, flag what is above both, ask a person in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heat_core.arguments import finite_scores

from .id_only import Conformal
from .proportion import percent

KEEP, ASK, FLAG = "keep", "ask", "flag"


@dataclass(frozen=True)
class ThreeWayDecision:
    """Two thresholds.

    Args:
        rule: what chose them.
        keep_up_to: scores up to it are kept.
        flag_above: scores above it are flagged; a person is asked about those in between.
        n_calibration: how many ID scores they were chosen on.
    """

    rule: ThreeWay
    keep_up_to: float
    flag_above: float
    n_calibration: int

    def actions(self, scores: ArrayLike) -> NDArray[np.str_]:
        """Returns `keep`, `ask` or `flag` for each score, (N,).

        >>> ThreeWayDecision(ThreeWay(), 1.0, 2.0, 99).actions([1.0, 2.0, 2.5]).tolist()
        ['keep', 'ask', 'flag']
        """
        values = finite_scores("scores", scores)
        return np.select([values <= self.keep_up_to, values <= self.flag_above], [KEEP, ASK], FLAG)


@dataclass(frozen=True)
class ThreeWay:
    """Keeps at least a share of ID without a look, flags at most a share of it, asks in between.

    Both thresholds are conformal, so both promises hold, each on average over calibration sets.

    Args:
        keep_share: of ID inputs kept at once, at least.
        flag_share: of ID inputs flagged at once, at most.

    Raises ValueError unless keep_share + flag_share is at most 1.

    >>> decision = ThreeWay(0.5, 0.2).fit([1.0, 2.0, 3.0, 4.0])
    >>> decision.keep_up_to, decision.flag_above
    (3.0, 4.0)
    """

    keep_share: float = 0.9
    flag_share: float = 0.01
    title: ClassVar = "Keep, ask or flag"
    assumption: ClassVar = Conformal.assumption

    def __post_init__(self) -> None:
        shares = (self.keep_share, self.flag_share)
        if not (min(shares) > 0 and sum(shares) <= 1):
            raise ValueError(
                "the shares of ID kept and flagged must be above 0 and at most 1 together, got "
                f"{self.keep_share} and {self.flag_share}."
            )

    @property
    def guarantee(self) -> str:
        """What it promises of new inputs, in a sentence; it holds under `assumption`."""
        return (
            f"A new ID input is kept at once with a probability of at least "
            f"{percent(self.keep_share)}, and flagged at once with one of at most "
            f"{percent(self.flag_share)}, on average over calibration sets."
        )

    def fit(self, inside: ArrayLike) -> ThreeWayDecision:
        """Returns the decision for ID scores (N,) of rows that nothing was fitted to.

        Raises ValueError, in one line, if they are too few for the promise.
        """
        scores = finite_scores("inside", inside)
        keep = Conformal(self.keep_share).fit(scores).threshold
        flag = Conformal(1 - self.flag_share).fit(scores).threshold
        return ThreeWayDecision(self, keep, flag, len(scores))
