"""What the studies of recipes share: the pack that ships, and a recipe's figures on it."""

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


def pack() -> Pack:
    return read_pack(PACK)


@dataclass(frozen=True)
class Found:
    """What one recipe gives: the criterion, that saw ID images alone, and the OOD sets' means and deviations over seeds.

    Every figure is in percent; `auroc` and `fpr95` are averages over groups, `near` is (FPR95, AUROC).
    """

    criterion: float
    fpr95: float
    auroc: float
    spread: tuple[float, float]
    near: tuple[float, float]


def found(detector: Detector, pack: Pack, seeds: int = 1) -> Found:
    """Returns a recipe's figures. The criterion is computed first, from the pack without its OOD sets."""
    worth = float(
        np.mean([criterion(detector, pack.train, pack.extra, seed) for seed in range(seeds)])
    )
    tables = []
    for seed in range(seeds):
        run = fit(detector, pack.train, seed, extra=pack.extra)
        tables.append(tabulate({"it": score_pack(pack, run.score)}, pack.ood))
    table, error = over_seeds(tables)
    print(
        f"{detector.title}: criterion {100 * worth:.2f}, {len(tables)} seeds",
        file=sys.stderr,
        flush=True,
    )
    mean, near, around = table.average("it"), table.average("it", "near"), error.average("it")
    return Found(
        100 * worth,
        100 * mean.fpr95,
        100 * mean.auroc,
        (100 * around.fpr95, 100 * around.auroc),
        (100 * near.fpr95, 100 * near.auroc),
    )
