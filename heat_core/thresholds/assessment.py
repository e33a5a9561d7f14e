"""What a decision does to scores that it was not chosen on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .proportion import Interval, Proportion


@dataclass(frozen=True)
class Assessment:
    """What a decision does to scores that it was not chosen on.

    Args:
        kept: of ID rows.
        caught_by_set: {group: {set: of its rows}}.
        chance: where the share of ID kept lies in 95 of 100 cases if these rows come from where
            the calibration scores come from; None where the rule says nothing of it.
    """

    kept: Proportion
    caught_by_set: Mapping[str, Mapping[str, Proportion]]
    chance: Interval | None = None

    @property
    def is_within_chance(self) -> bool:
        """Whether as much ID is kept as is to be expected in 95 of 100 cases."""
        return self.chance is None or self.chance[0] <= self.kept.share <= self.chance[1]

    @property
    def remark(self) -> str:
        """How ID kept compares with what was to be expected, in a sentence.

        >>> print(Assessment(Proportion(293, 300), {}, (0.92, 0.977)).remark)
        97.7 % of 300 other ID rows are kept, within chance (92.0 to 97.7 %).
        """
        kept = f"{100 * self.kept.share:.1f} % of {self.kept.n:,} other ID rows are kept"
        if self.chance is None:
            return f"{kept}."
        low, high = (100 * bound for bound in self.chance)
        if self.is_within_chance:
            return f"{kept}, within chance ({low:.1f} to {high:.1f} %)."
        word = "less" if self.kept.share < self.chance[0] else "more"
        return (
            f"{kept}, {word} than chance explains in 95 of 100 cases ({low:.1f} to {high:.1f} %): "
            "these rows may not be like those that the threshold was chosen on."
        )
