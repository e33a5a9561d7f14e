"""Detectors in the plane over seeds: how far each is from the truth, as rows of a table."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heat_core.detectors.presets import preset_detector
from heat_core.run import fit

from .grid import Distance, Grid
from .toys import TOYS


@dataclass(frozen=True)
class Trial:
    """One toy, one recipe, one seed: the distance of the model and of the MoG on the same points, and CPU seconds of a fit."""

    toy: str
    detector: str
    preset: str
    seed: int
    distance: Distance
    mog: Distance
    seconds: float


SUITE = (
    *((toy, "HEAT", "modern") for toy in TOYS),
    ("crosses9", "HEAT", "best"),
    ("crosses9", "HEAT", "paper"),
    ("crosses9", "EBM", "paper"),
)
"""What is asked of training in the plane: every toy, the best that there is, and the paper's second figure."""


def trials(suite: Sequence[tuple[str, str, str]] = SUITE, seeds: int = 5) -> Iterator[Trial]:
    """Gives the trials of (toy, detector, preset), one seed after the other."""
    for toy, detector, preset in suite:
        grid = Grid(TOYS[toy])
        for seed in range(seeds):
            train = TOYS[toy].features(seed=seed)
            mog = fit(preset_detector("MoG", space="plane"), train)
            began = time.process_time()
            run = fit(preset_detector(detector, preset, "plane"), train, seed)
            seconds = time.process_time() - began
            ours, theirs = (grid.distance(grid.energy(one.energy)) for one in (run, mog))
            yield Trial(toy, detector, preset, seed, ours, theirs, seconds)


def trial_rows(found: Sequence[Trial]) -> tuple[list[str], list[list[str]]]:
    """Returns (heading, rows of text): mean and worst KL over seeds, against the MoG's; the fewest modes kept; CPU seconds."""
    heading = [
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
    rows = []
    for key in dict.fromkeys((t.toy, t.detector, t.preset) for t in found):
        mine = [t for t in found if (t.toy, t.detector, t.preset) == key]
        kl, ratio = [t.distance.kl for t in mine], max(t.distance.kl / t.mog.kl for t in mine)
        modes = f"{min(t.distance.modes for t in mine)} of {mine[0].distance.modes_total}"
        seconds = sorted(t.seconds for t in mine)[len(mine) // 2]
        mog = sum(t.mog.kl for t in mine) / len(mine)
        rows.append(
            [
                *key,
                f"{mog:.3f}",
                f"{sum(kl) / len(kl):.3f}",
                f"{max(kl):.3f}",
                f"{ratio:.2f}",
                modes,
                f"{seconds:.1f}",
            ]
        )
    return heading, rows
