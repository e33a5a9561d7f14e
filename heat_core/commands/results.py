"""The paper's table for a pack, and the page of all results."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from .shared import allowed_detectors, check_seeds

if TYPE_CHECKING:
    from heat_core.pack import Pack
    from heat_core.plane.suite import Trial
    from heat_core.scores import SetScores

ScoresBySeed = list[dict[str, "SetScores"]]  # a seed each, {detector: scores of the pack's sets}


def benchmark(options: argparse.Namespace) -> None:
    """Prints the paper's table for a pack."""
    from heat_core.pack import read_pack
    from heat_core.results.formats import FORMATS
    from heat_core.results.published import published_rows, what_differs
    from heat_core.results.table import over_seeds, tabulate

    check_seeds(options.seeds)
    pack = read_pack(options.pack)
    published: list[list[str]] = []
    if options.published:
        rows = published_rows(pack.card.get("id", ""))
        published = [[f"{name} (paper)", *cells] for name, *cells in rows]
    scores = _scores_by_seed(pack, options)
    mean, std = over_seeds([tabulate(by_detector, pack.ood) for by_detector in scores])
    print(FORMATS[options.format](mean, std if options.seeds > 1 else None, published))
    if options.published:
        print(what_differs(pack), file=sys.stderr)


def report(options: argparse.Namespace) -> None:
    """Prints all results on a pack as one Markdown page."""
    from heat_core.pack import read_pack
    from heat_core.plane.suite import trials
    from heat_core.results.report import report

    check_seeds(options.seeds)
    pack = read_pack(options.pack)
    features_only = argparse.Namespace(**vars(options))
    features_only.detectors = "EBM,HEAT"
    if pack.extra.pseudo:
        features_only.preset = "cached"
    plane: list[Trial] = []
    if options.plane:
        for trial in trials(seeds=options.seeds):
            _report_trial(trial)
            plane.append(trial)
    scores = _scores_by_seed(pack, options)
    features_only_scores = _scores_by_seed(pack, features_only)
    command = f"python -m heat_core report {options.pack} --seeds {options.seeds}"
    print(report(pack, scores, features_only_scores, command, plane), end="")


def _report_trial(trial: Trial) -> None:
    """Prints one line on a trial in the plane."""
    print(
        f"{trial.toy} {trial.detector} {trial.preset}, seed {trial.seed}: "
        f"KL {trial.distance.kl:.3f}, {trial.seconds:.1f} s",
        file=sys.stderr,
        flush=True,
    )


def _scores_by_seed(pack: Pack, options: argparse.Namespace) -> ScoresBySeed:
    """Returns the scores of the detectors asked for that the pack allows, of every seed.

    A detector that does not train is fitted once.
    """
    from heat_core.run import fit
    from heat_core.scores import score_pack

    scores: ScoresBySeed = [{} for _ in range(options.seeds)]
    for name, detector in allowed_detectors(pack, options).items():
        start = time.perf_counter()
        for number, by_detector in enumerate(scores):
            if number and not detector.trains:
                by_detector[name] = scores[0][name]
                continue
            seed = options.seed + number
            run = fit(detector, pack.train, seed, options.device, extra=pack.extra)
            by_detector[name] = score_pack(pack, run.score)
        print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    return scores
