"""A paired bootstrap over images: intervals of FPR95 and AUROC, and of their differences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heat_core.pack import GROUPS

from .table import Scores


@dataclass(frozen=True)
class Interval:
    """A mean, and where 95 % of its resamples lie."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """FPR95 and AUROC of images drawn anew, the same images for every detector, so that differences are paired.

    Args:
        detectors, groups: what the axes stand for; the last group is `average`.
        found: (detectors, groups, 2): FPR95 and AUROC of the images as they are.
        draws: (rounds, detectors, groups, 2): of the resamples.
    """

    detectors: tuple[str, ...]
    groups: tuple[str, ...]
    found: Scores
    draws: Scores

    def of(self, detector: str) -> dict[str, tuple[Interval, Interval]]:
        """Returns {group: (FPR95, AUROC)} of a detector, with their 95 % intervals."""
        place = self.detectors.index(detector)
        return self._intervals(self.found[place], self.draws[:, place])

    def between(self, ours: str, theirs: str) -> dict[str, tuple[Interval, Interval]]:
        """Returns {group: (difference in FPR95, difference in AUROC)}, ours less theirs."""
        a, b = self.detectors.index(ours), self.detectors.index(theirs)
        return self._intervals(self.found[a] - self.found[b], self.draws[:, a] - self.draws[:, b])

    def best(self, group: str, figure: str) -> tuple[str, tuple[str, ...]]:
        """Returns the best detector of a group by `fpr95` or `auroc`, and those that do not differ significantly from it.

        That is, the 95 % interval of the paired difference holds 0.
        """
        g, f = self.groups.index(group), ("fpr95", "auroc").index(figure)
        best = int(self.found[:, g, f].argmax() if f else self.found[:, g, f].argmin())
        low, high = np.quantile(
            self.draws[:, :, g, f] - self.draws[:, [best], g, f], [0.025, 0.975], axis=0
        )
        same = [
            name for i, name in enumerate(self.detectors) if i != best and low[i] <= 0 <= high[i]
        ]
        return self.detectors[best], tuple(same)

    def _intervals(self, middle: Scores, draws: Scores) -> dict[str, tuple[Interval, Interval]]:
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        parts = np.stack([middle, low, high], -1)
        return {
            group: (Interval(*fpr95), Interval(*auroc))
            for group, (fpr95, auroc) in zip(self.groups, parts.tolist(), strict=True)
        }


def bootstrap(
    scores: Mapping[str, Mapping[str, Scores]],
    sets: Iterable[tuple[str, str]],
    rounds: int = 200,
    seed: int = 0,
) -> Bootstrap:
    """Returns a bootstrap over images.

    Args:
        scores: {detector: {set: (n,) scores}} of the same images, in the same order.
        sets: (group, name) of the OOD sets.
        rounds: resamples; each draws the images of every set anew, the same for all detectors.
    """
    sets, generator = list(sets), np.random.default_rng(seed)
    names = [f"{group}_{name}" for group, name in sets]
    lengths = {name: len(next(iter(scores.values()))[name]) for name in ("test", *names)}
    weighed = [_SortedScores.of(by_set, names) for by_set in scores.values()]

    def times() -> Iterator[
        dict[str, NDArray[np.int64]]
    ]:  # how often each image is drawn: first once, then by chance
        yield {name: np.ones(n, np.int64) for name, n in lengths.items()}
        for _ in range(rounds):
            yield {
                name: np.bincount(generator.integers(n, size=n), minlength=n)
                for name, n in lengths.items()
            }

    figures = np.array(
        [[one.figures(drawn) for one in weighed] for drawn in times()]
    )  # (1 + rounds, detectors, sets, 2)
    groups = [group for group in GROUPS if any(g == group for g, _ in sets)]
    means = [figures[:, :, [g == group for g, _ in sets]].mean(2) for group in groups]
    averaged = np.stack([*means, np.mean(means, axis=0)], 2)
    return Bootstrap(tuple(scores), (*groups, "average"), averaged[0], averaged[1:])


@dataclass(frozen=True, eq=False)
class _SortedScores:
    """A detector's scores in order, once, so that figures of a resample take sums alone.

    Args:
        order: of the ID scores, ascending.
        sets: of each OOD set: its name, its order, how many ID scores are below each, how many at or below, and how many of
            the set are at or below each ID score.
    """

    order: NDArray[np.intp]
    sets: list[tuple[str, NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]]

    @classmethod
    def of(cls, by_set: Mapping[str, Scores], names: Sequence[str]) -> _SortedScores:
        order, sets = np.argsort(by_set["test"]), []
        low = by_set["test"][order]
        for name in names:
            place = np.argsort(by_set[name])
            high = by_set[name][place]
            below, upto = (np.searchsorted(low, high, side) for side in ("left", "right"))
            sets.append((name, place, below, upto, np.searchsorted(high, low, "right")))
        return cls(order, sets)

    def figures(self, times: Mapping[str, NDArray[np.int64]]) -> list[tuple[float, float]]:
        """Returns (FPR95, AUROC) of each set, where each image counts as often as it was drawn."""
        inside = np.concatenate([[0], times["test"][self.order].cumsum()])
        n = int(inside[-1])
        cut = int(np.searchsorted(inside[1:], math.ceil(0.95 * n - 1e-9)))
        found = []
        for name, order, below, upto, accepted in self.sets:
            drawn = times[name][order]
            m, wins = drawn.sum(), drawn @ (inside[below] + inside[upto]) / (2 * n)
            found.append((float(drawn[: accepted[cut]].sum() / m), float(wins / m)))
        return found


def paired_differences(
    ours: Mapping[str, Scores],
    theirs: Mapping[str, Scores],
    sets: Iterable[tuple[str, str]],
    rounds: int = 200,
    seed: int = 0,
) -> dict[str, tuple[Interval, Interval]]:
    """Returns {group: (difference in FPR95, difference in AUROC)}, ours less theirs, by `resample`."""
    return bootstrap({"ours": ours, "theirs": theirs}, sets, rounds, seed).between("ours", "theirs")
