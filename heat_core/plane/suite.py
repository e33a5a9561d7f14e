"""Detectors in the plane over seeds: how far each is from the truth, as rows of a table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heat_core.detectors.presets import preset_detector
from heat_core.run import fit

from .grid import Distance, Grid
from .toys import TOYS

SUITE = (
    *((toy, "HEAT", "modern") for toy in TOYS),
    ("crosses9", "HEAT", "best"),
    ("crosses9", "HEAT", "paper"),
    ("crosses9", "EBM", "paper"),
)
"""(toy, detector, preset) of every trial: each toy, the best preset, the paper's second figure."""

HEADING = [
    "Toy",
    "Detector",
    "Preset",
    "KL of the MoG",
    "KL, mean",
    "KL, worst seed",
    "Worst ratio to MoG",
    "Fewest modes",
    "CPU seconds, median",
]


@dataclass(frozen=True)
class Trial:
    """One detector fitted to one toy with one seed, and its distance from the truth.

    Args:
        toy, detector, preset: names.
        seed: of the training points and of the fit.
        distance: of the fitted model.
        mog_distance: of one Gaussian a class fitted to the same points.
        cpu_seconds: CPU time that the fit took.
    """

    toy: str
    detector: str
    preset: str
    seed: int
    distance: Distance
    mog_distance: Distance
    cpu_seconds: float

    @property
    def name(self) -> tuple[str, str, str]:
        """(toy, detector, preset): what the trials of several seeds share."""
        return self.toy, self.detector, self.preset


def trials(suite: Sequence[tuple[str, str, str]] = SUITE, seeds: int = 5) -> Iterator[Trial]:
    """Yields the trials of every (toy, detector, preset), one seed after the other."""
    for toy, detector, preset in suite:
        grid = Grid(TOYS[toy])
        for seed in range(seeds):
            yield _trial(grid, toy, detector, preset, seed)


def _trial(grid: Grid, toy: str, detector: str, preset: str, seed: int) -> Trial:
    train = grid.toy.features(seed=seed)
    mog = fit(preset_detector("MoG", domain="plane"), train)
    start = time.process_time()
    run = fit(preset_detector(detector, preset, "plane"), train, seed)
    cpu_seconds = time.process_time() - start
    distance = grid.distance(grid.evaluate(run.energy))
    mog_distance = grid.distance(grid.evaluate(mog.energy))
    return Trial(toy, detector, preset, seed, distance, mog_distance, cpu_seconds)


def trial_rows(trials: Sequence[Trial]) -> tuple[list[str], list[list[str]]]:
    """Returns (heading, rows of text), one row per (toy, detector, preset) over its seeds.

    A row has the mean and the worst KL, against the MoG's, the fewest modes kept, and CPU seconds.
    """
    by_name: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in trials:
        by_name.setdefault(trial.name, []).append(trial)
    return HEADING, [_row(over_seeds) for over_seeds in by_name.values()]


def _row(trials: Sequence[Trial]) -> list[str]:
    """Returns one row of text, of trials that differ in their seeds."""
    kl = [trial.distance.kl for trial in trials]
    mog_kl = [trial.mog_distance.kl for trial in trials]
    worst_ratio = max(ours / mog for ours, mog in zip(kl, mog_kl, strict=True))
    fewest_modes = min(trial.distance.modes_kept for trial in trials)
    median_seconds = statistics.median_high(trial.cpu_seconds for trial in trials)
    return [
        *trials[0].name,
        f"{sum(mog_kl) / len(trials):.3f}",
        f"{sum(kl) / len(trials):.3f}",
        f"{max(kl):.3f}",
        f"{worst_ratio:.2f}",
        f"{fewest_modes} of {trials[0].distance.modes_total}",
        f"{median_seconds:.1f}",
    ]
