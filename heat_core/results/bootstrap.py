"""A paired bootstrap over images: intervals of FPR95 and AUROC, and of their differences."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from heat_core.arguments import check_seed, finite_scores
from heat_core.pack import GROUPS
from heat_core.progress import report_progress
from heat_core.set_name import SetName

from .table import AllScores, Array

Counts = NDArray[np.float64]  # whole numbers: sums of products are exact
Order = NDArray[np.intp]
BOOTSTRAP_FIGURES = ("fpr95", "auroc")  # the last axis of `Bootstrap.observed`
BOUNDS = (0.025, 0.975)  # quantiles: 95 % of the resamples lie between them
BLOCK = 8  # resamples that are counted at once


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
        ValueError: a score is not a finite number, detectors score different numbers of rows, or
            there is no OOD set.
    """
    seed = check_seed(seed)
    set_names = [SetName(*key) for key in sets]
    if not set_names:
        raise ValueError("wanted at least one OOD set, got none.")
    names = [str(name) for name in set_names]
    sizes = _common_sizes(scores, ("test", *names))
    ranked = [_RankedScores.of(by_set, names) for by_set in scores.values()]

    def figures_of_all(counts: _ImageCounts) -> Array:
        return np.stack([detector.figures(counts) for detector in ranked], 1)

    blocks = _in_threads(figures_of_all, _image_counts(sizes, rounds, seed))
    figures = np.concatenate(list(blocks))  # (1 + rounds, detectors, sets, 2)

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


def _in_threads(
    function: Callable[[_ImageCounts], Array], blocks: Iterable[_ImageCounts]
) -> Iterator[Array]:
    """Gives what a function returns of each block, in order; few blocks are held at a time."""
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Array]] = deque()
        for counts in blocks:
            waiting.append(pool.submit(function, counts))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _image_counts(sizes: Mapping[str, int], rounds: int, seed: int) -> Iterator[_ImageCounts]:
    """Gives how often each image is drawn: each once, then `rounds` times by chance, in blocks.

    Args:
        sizes: {set: how many images it has}.
        rounds, seed: as of `bootstrap`.
    """
    generator = np.random.default_rng(seed)
    yield _ImageCounts.of({name: np.ones((1, n)) for name, n in sizes.items()})
    for begin in range(0, rounds, BLOCK):
        report_progress("resampling images", begin / rounds)
        size = min(BLOCK, rounds - begin)
        counts = {name: np.empty((size, n)) for name, n in sizes.items()}
        for i in range(size):
            for name, n in sizes.items():
                counts[name][i] = np.bincount(generator.integers(n, size=n), minlength=n)
        yield _ImageCounts.of(counts)


class _ImageCounts(NamedTuple):
    """How often each image was drawn, in each of R resamples.

    Args:
        inside: (R, n) of ID test.
        outside: {OOD set: (R, m)}.
    """

    inside: Counts
    outside: dict[str, Counts]

    @classmethod
    def of(cls, counts: dict[str, Counts]) -> _ImageCounts:
        """Returns the counts of {set: (R, n)}, `test` among the sets."""
        outside = {name: drawn for name, drawn in counts.items() if name != "test"}
        return cls(counts["test"], outside)


@dataclass(frozen=True, eq=False)
class _RankedSet:
    """How the scores of an OOD set lie among the ID scores.

    Args:
        name: of the set.
        below, upto: (m,) how many ID scores are below each score, and at or below it.
        has_ties: whether a score equals an ID score.
    """

    name: str
    below: Order
    upto: Order
    has_ties: bool

    def auroc(self, drawn: Counts, cumulated: Counts) -> Array:
        """Returns AUROC of each resample, (R,), where each image counts as often as it was drawn.

        Args:
            drawn: (R, m) how often each image of the set was drawn, m in all.
            cumulated: (n + 1, R) of how many draws the k lowest ID scores are, k from 0.
        """
        lower = cumulated.take(self.below, 0)
        if self.has_ties:  # which count half
            lower = (lower + cumulated.take(self.upto, 0)) / 2
        # A product of matrices does more than is read of it, and is the quickest all the same;
        # `dot`, unlike `@`, lets other threads go on meanwhile.
        pairs = np.diagonal(np.dot(drawn, lower))
        return pairs / (cumulated[-1] * len(self.below))

    def share_accepted(self, drawn: Counts, thresholds: Order) -> Array:
        """Returns the share at or below an ID score in each resample, (R,).

        Args:
            drawn: (R, m) how often each image of the set was drawn, m in all.
            thresholds: (R,) places of the ID scores among all, from 0.
        """
        lowest, highest = thresholds.min(), thresholds.max()
        accepted = np.dot(drawn, (self.below <= lowest).astype(np.float64))
        between = np.flatnonzero((self.below > lowest) & (self.below <= highest))
        accepted += np.where(
            self.below[between] <= thresholds[:, None], drawn[:, between], 0.0
        ).sum(1)
        return accepted / len(self.below)


@dataclass(frozen=True, eq=False)
class _RankedScores:
    """A detector's scores, ranked once, so that the figures of a resample take sums alone.

    Args:
        order: (n,) rows of the ID scores by ascending score.
        sets: the OOD sets.
    """

    order: Order
    sets: list[_RankedSet]

    @classmethod
    def of(cls, scores: Mapping[str, Array], names: Sequence[str]) -> _RankedScores:
        """Returns the ranks of {set: (n,) scores}, with the OOD sets that are named."""
        order = np.argsort(scores["test"])
        inside = scores["test"][order]
        sets = []
        for name in names:
            below = np.searchsorted(inside, scores[name], "left")
            upto = np.searchsorted(inside, scores[name], "right")
            sets.append(_RankedSet(name, below, upto, not np.array_equal(below, upto)))
        return cls(order, sets)

    def figures(self, counts: _ImageCounts) -> Array:
        """Returns (FPR95, AUROC) of each set in each resample, (R, sets, 2)."""
        size, n = counts.inside.shape
        cumulated, thresholds = np.zeros((n + 1, size)), np.empty(size, np.intp)
        to_keep = math.ceil(0.95 * n - 1e-9)
        for i, drawn in enumerate(counts.inside):
            lowest = drawn.take(self.order).cumsum()
            cumulated[1:, i] = lowest
            thresholds[i] = np.searchsorted(lowest, to_keep)
        figures = [
            (
                ood.share_accepted(counts.outside[ood.name], thresholds),
                ood.auroc(counts.outside[ood.name], cumulated),
            )
            for ood in self.sets
        ]
        return np.moveaxis(np.array(figures), -1, 0)
