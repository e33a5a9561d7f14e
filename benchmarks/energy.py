"""Does energy follow density? Rank correlations and margins on every labelled toy, over seeds.

Run: python -m benchmarks.energy [SEEDS]
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass

from heat_core.plane.classifier import (
    FRESH_SEED,
    MarginShares,
    RankCorrelations,
    accuracy,
    auxiliary_around,
    fine_tune,
    fresh_points,
    margin_shares,
    rank_correlations,
    read_logits,
    train_classifier,
)
from heat_core.plane.grid import Grid
from heat_core.plane.toys import TOYS, Toy
from heat_core.training.classifier_objectives import EnergyBounded, default_margins

SIDE = 100


@dataclass(frozen=True)
class Trial:
    """One seed: accuracy and rank correlations before and after, and what lies beyond margins."""

    accuracies: tuple[float, float]
    before: RankCorrelations
    after: RankCorrelations
    shares: MarginShares


def run_trial(toy: Toy, grid: Grid, seed: int) -> Trial:
    """Trains a classifier of a toy and fine-tunes it with the defaults of the Energy page."""
    classifier = train_classifier(toy, seed)
    inside = fresh_points(toy, seed)
    outside = auxiliary_around(toy, 2000, seed + FRESH_SEED)
    energies = [read_logits(classifier.logits(z)).energy for z in (inside.z, outside)]
    margins = default_margins(energies[0], energies[1])
    objective = EnergyBounded(1.0, *margins)
    tuned = fine_tune(classifier, toy, auxiliary_around(toy, seed=seed), objective, seed)
    tuned_energies = [read_logits(tuned.logits(z)).energy for z in (inside.z, outside)]
    return Trial(
        (accuracy(classifier, inside), accuracy(tuned, inside)),
        rank_correlations(read_logits(classifier.logits(grid.points)), grid),
        rank_correlations(read_logits(tuned.logits(grid.points)), grid),
        margin_shares(tuned_energies[0], tuned_energies[1], *margins),
    )


def main(seeds: int) -> None:
    """Prints a row per toy: means over seeds, and the worst seed where a bar is set."""
    print("| toy | before: E, softmax | after: E, softmax | worst E - softmax | ID, auxiliary |")
    print("|---|---|---|---|---|")
    for name, toy in TOYS.items():
        if toy.modes < 2:
            continue
        grid = Grid(toy, SIDE)
        trials = [run_trial(toy, grid, seed) for seed in range(seeds)]
        means = [
            statistics.fmean(getattr(getattr(trial, when), score) for trial in trials)
            for when in ("before", "after")
            for score in ("energy", "softmax")
        ]
        worst_lead = min(trial.after.energy - trial.after.softmax for trial in trials)
        before_lead = min(trial.before.energy - trial.before.softmax for trial in trials)
        inside = min(trial.shares.inside for trial in trials)
        auxiliary = min(trial.shares.auxiliary for trial in trials)
        loss = max(trial.accuracies[0] - trial.accuracies[1] for trial in trials)
        print(
            f"| {name} | {means[0]:+.2f}, {means[1]:+.2f} (worst lead {before_lead:+.2f}) "
            f"| {means[2]:+.2f}, {means[3]:+.2f} | {worst_lead:+.2f} "
            f"| {100 * inside:.1f} %, {100 * auxiliary:.1f} %, accuracy lost {100 * loss:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
