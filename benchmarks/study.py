"""What the studies of detectors share: the pack that ships, and a detector's figures on it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heat_core.detectors.detector import Detector
from heat_core.model_selection import criterion
from heat_core.pack import Pack, read_pack
from heat_core.results.table import over_seeds, tabulate
from heat_core.run import fit
from heat_core.scores import score_pack

PACK = Path(__file__).parents[1] / "assets" / "packs" / "cifar10-resnet18"
NAME = "detector"  # of the only row of a study's table


def shipped_pack() -> Pack:
    """Returns the pack that ships."""
    return read_pack(PACK)


@dataclass(frozen=True)
class Figures:
    """What one detector gives, in percent.

    Args:
        criterion: what it is chosen by; it saw ID images alone.
        fpr95, auroc: averages over groups of OOD sets and over seeds.
        fpr95_std, auroc_std: their standard deviations over seeds.
        near_fpr95, near_auroc: of the near OOD sets.
    """

    criterion: float
    fpr95: float
    auroc: float
    fpr95_std: float
    auroc_std: float
    near_fpr95: float
    near_auroc: float


def figures_of(detector: Detector, pack: Pack, seeds: int = 1) -> Figures:
    """Returns a detector's figures.

    The criterion is computed first, from the pack without its OOD sets.
    """
    criteria = [criterion(detector, pack.train, pack.extra, seed) for seed in range(seeds)]
    mean_criterion = float(np.mean(criteria))
    tables = []
    for seed in range(seeds):
        run = fit(detector, pack.train, seed, extra=pack.extra)
        tables.append(tabulate({NAME: score_pack(pack, run.score)}, pack.ood, pack.averaged))
    means, deviations = over_seeds(tables)
    print(
        f"{detector.title}: criterion {100 * mean_criterion:.2f}, {len(tables)} seeds",
        file=sys.stderr,
        flush=True,
    )
    average = means.average(NAME)
    near = means.average(NAME, "near")
    std = deviations.average(NAME)
    return Figures(
        criterion=100 * mean_criterion,
        fpr95=100 * average.fpr95,
        auroc=100 * average.auroc,
        fpr95_std=100 * std.fpr95,
        auroc_std=100 * std.auroc,
        near_fpr95=100 * near.fpr95,
        near_auroc=100 * near.auroc,
    )
