"""A paired bootstrap over images: intervals of FPR95 and AUROC, and of their differences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heat_core.arguments import check_seed, finite_scores
from heat_core.pack import GROUPS
from heat_core.progress import report_progress
from heat_core.set_name import SetName

from .table import AllScores, Array

Counts = NDArray[np.int64]
Order = NDArray[np.intp]
BOOTSTRAP_FIGURES = ("fpr95", "auroc")  # the last axis of `Bootstrap.observed`
BOUNDS = (0.025, 0.975)  # quantiles: 95 % of the resamples lie between them


@dataclass(frozen=True)
class FigureInterval:
    """A figure as observed, and the bounds between which 95 % of its resamples lie."""

    observed: float
    low: float
    high: float


class FigureIntervals(NamedTuple):
    """The intervals of a detector's figures on a group, or of differences of two detectors."""

    fpr95: FigureInterval
    auroc: FigureInterval


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """FPR95 and AUROC of images drawn anew with replacement.

    The images are the same for every detector, so that differences are paired.

    Args:
        detectors: of the first axis.
        groups: of the second axis; the last is `average`.
        observed: (detectors, groups, 2) FPR95 and AUROC of the images as they are.
        resampled: (rounds, detectors, groups, 2) the same of the resamples.

    >>> inside = np.arange(40.0)
    >>> near, far = {"test": inside, "far_a": inside + 10}, {"test": inside, "far_a": inside + 90}
    >>> draws = bootstrap({"Energy": near, "KNN": far}, [("far", "a")], rounds=50)
    >>> draws.best("far", "auroc")
    ('KNN', ())
    """

    detectors: tuple[str, ...]
    groups: tuple[str, ...]
    observed: Array
    resampled: Array

    def joined(self, other: Bootstrap) -> Bootstrap:
        """Returns the bootstrap of both's detectors, of the same images drawn in the same way.

        Raises ValueError if groups or resamples differ.
        """
        if self.groups != other.groups or len(self.resampled) != len(other.resampled):
            raise ValueError(
                f"wanted the groups {', '.join(self.groups)} and {len(self.resampled)} resamples, "
                f"got {', '.join(other.groups)} and {len(other.resampled)}."
            )
        return Bootstrap(
            (*self.detectors, *other.detectors),
            self.groups,
            np.concatenate([self.observed, other.observed]),
            np.concatenate([self.resampled, other.resampled], 1),
        )

    def intervals(self, detector: str) -> dict[str, FigureIntervals]:
        """Returns {group: a detector's figures with their 95 % intervals}."""
        i = self.detectors.index(detector)
        return self._by_group(self.observed[i], self.resampled[:, i])

    def differences(self, ours: str, theirs: str) -> dict[str, FigureIntervals]:
        """Returns {group: differences of two detectors' figures, ours less theirs}."""
        i, j = self.detectors.index(ours), self.detectors.index(theirs)
        return self._by_group(
            self.observed[i] - self.observed[j], self.resampled[:, i] - self.resampled[:, j]
        )

    def best(self, group: str, figure: str) -> tuple[str, tuple[str, ...]]:
        """Returns the best detector of a group, and those that do not differ significantly from it.

        That is, the 95 % interval of the paired difference holds 0.

        Args:
            group: one of `groups`.
            figure: `fpr95` or `auroc`.
        """
        g, f = self.groups.index(group), BOOTSTRAP_FIGURES.index(figure)
        observed, resampled = self.observed[:, g, f], self.resampled[:, :, g, f]
        best = int(observed.argmin() if figure == "fpr95" else observed.argmax())
        lows, highs = np.quantile(resampled - resampled[:, [best]], BOUNDS, axis=0)
        equals = tuple(
            name for i, name in enumerate(self.detectors) if i != best and lows[i] <= 0 <= highs[i]
        )
        return self.detectors[best], equals

    def _by_group(self, observed: Array, resampled: Array) -> dict[str, FigureIntervals]:
        """Returns {group: intervals} of (groups, 2) figures and their (rounds, groups, 2)
        resamples."""
        low, high = np.quantile(resampled, BOUNDS, axis=0)
        bounds = np.stack([observed, low, high], -1).tolist()
        return {
            group: FigureIntervals(FigureInterval(*fpr95), FigureInterval(*auroc))
            for group, (fpr95, auroc) in zip(self.groups, bounds, strict=True)
        }


def bootstrap(
    scores: AllScores, sets: Iterable[tuple[str, str]], rounds: int = 200, seed: int = 0
) -> Bootstrap:
    """Returns a bootstrap over images.

    Args:
        scores: {detector: {set: (n,) scores}} of the same images, in the same order.
        sets: (group, name) of the OOD sets.
        rounds: resamples; each draws the images of every set anew, the same for all detectors.
        seed: of the draws.

    Raises:
        ValueError: a score is not a finite number, or detectors score different numbers of rows.
    """
    seed = check_seed(seed)
    set_names = [SetName(*key) for key in sets]
    names = [str(name) for name in set_names]
    sizes = _common_sizes(scores, ("test", *names))
    sorted_scores = [_SortedScores.of(by_set, names) for by_set in scores.values()]

    figures = np.array(
        [
            [detector.figures(counts) for detector in sorted_scores]
            for counts in _image_counts(sizes, rounds, seed)
        ]
    )  # (1 + rounds, detectors, sets, 2)

    set_groups = np.array([name.group for name in set_names])
    groups = [group for group in GROUPS if group in set_groups]
    means = [figures[:, :, set_groups == group].mean(2) for group in groups]
    averaged = np.stack([*means, np.mean(means, axis=0)], 2)
    return Bootstrap(tuple(scores), (*groups, "average"), averaged[0], averaged[1:])


def _common_sizes(scores: AllScores, names: Iterable[str]) -> dict[str, int]:
    """Returns {set: how many rows}. Raises ValueError unless all detectors score as many."""
    sizes: dict[str, int] = {}
    for detector, by_set in scores.items():
        for name in names:
            count = len(finite_scores(f"{detector}'s {name}", by_set[name]))
            if sizes.setdefault(name, count) != count:
                raise ValueError(
                    f"all detectors must score the same rows of {name}, got {sizes[name]:,} and "
                    f"{count:,} of {detector}."
                )
    return sizes


def paired_differences(
    ours: Mapping[str, Array],
    theirs: Mapping[str, Array],
    sets: Iterable[tuple[str, str]],
    rounds: int = 200,
    seed: int = 0,
) -> dict[str, FigureIntervals]:
    """Returns {group: differences of two detectors' figures, ours less theirs}.

    Args:
        ours, theirs: {set: (n,) scores} of the same images.
        sets, rounds, seed: as of `bootstrap`.
    """
    draws = bootstrap({"ours": ours, "theirs": theirs}, sets, rounds, seed)
    return draws.differences("ours", "theirs")


def _image_counts(sizes: Mapping[str, int], rounds: int, seed: int) -> Iterator[dict[str, Counts]]:
    """Gives {set: (n,) how often each image is drawn}: each once, then `rounds` times by chance."""
    generator = np.random.default_rng(seed)
    yield {name: np.ones(n, np.int64) for name, n in sizes.items()}
    for number in range(rounds):
        report_progress("resampling images", number / rounds)
        yield {
            name: np.bincount(generator.integers(n, size=n), minlength=n)
            for name, n in sizes.items()
        }


@dataclass(frozen=True, eq=False)
class _SortedSet:
    """An OOD set's scores, sorted once.

    Args:
        name: of the set.
        order: (m,) rows by ascending score.
        inside_below, inside_upto: (m,) how many ID scores are below each, and at or below each.
        upto_inside: (n,) how many of the set are at or below each ID score.
    """

    name: str
    order: Order
    inside_below: Order
    inside_upto: Order
    upto_inside: Order


@dataclass(frozen=True, eq=False)
class _SortedScores:
    """A detector's scores, sorted once, so that figures of a resample take sums alone.

    Args:
        order: (n,) rows of the ID scores by ascending score.
        sets: the OOD sets.
    """

    order: Order
    sets: list[_SortedSet]

    @classmethod
    def of(cls, scores: Mapping[str, Array], names: Sequence[str]) -> _SortedScores:
        """Returns the sorted scores of {set: (n,) scores}."""
        inside_order = np.argsort(scores["test"])
        inside = scores["test"][inside_order]
        sets = []
        for name in names:
            order = np.argsort(scores[name])
            outside = scores[name][order]
            sets.append(
                _SortedSet(
                    name,
                    order,
                    inside_below=np.searchsorted(inside, outside, "left"),
                    inside_upto=np.searchsorted(inside, outside, "right"),
                    upto_inside=np.searchsorted(outside, inside, "right"),
                )
            )
        return cls(inside_order, sets)

    def figures(self, counts: Mapping[str, Counts]) -> list[tuple[float, float]]:
        """Returns (FPR95, AUROC) of each set, where each image counts as often as it was drawn.

        Args:
            counts: {set: (n,) how often each image was drawn}.
        """
        cumulated = np.concatenate([[0], counts["test"][self.order].cumsum()])
        n = int(cumulated[-1])
        threshold = int(np.searchsorted(cumulated[1:], math.ceil(0.95 * n - 1e-9)))
        figures = []
        for ood in self.sets:
            drawn = counts[ood.name][ood.order]
            m = drawn.sum()
            accepted = drawn[: ood.upto_inside[threshold]].sum()
            lower = cumulated[ood.inside_below] + cumulated[ood.inside_upto]  # ties count half
            wins = drawn @ lower / (2 * n)
            figures.append((float(accepted / m), float(wins / m)))
        return figures
