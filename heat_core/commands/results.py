"""The paper's table for a pack, and the page of all results."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .shared import (
    Incomplete,
    allowed_detectors,
    device_of,
    failure_text,
    failures_text,
    print_notes,
)

if TYPE_CHECKING:
    from heat_core.detectors.detector import Detector
    from heat_core.pack import Pack
    from heat_core.plane.suite import Trial
    from heat_core.scores import SetScores


def benchmark(options: argparse.Namespace) -> None:
    """Prints the paper's table for a pack, of every detector that could be fitted.

    Raises ValueError if none could, and Incomplete after the table if some could not.
    """
    from heat_core.assumptions import notes_on
    from heat_core.pack import read_pack
    from heat_core.results.formats import FORMATS
    from heat_core.results.published import published_rows, what_differs
    from heat_core.results.table import over_seeds, tabulate

    options.device = device_of(options)
    pack = read_pack(options.pack)
    published: list[list[str]] = []
    if options.published:
        rows = published_rows(pack.card.get("id", ""))
        published = [[f"{name} (paper)", *cells] for name, *cells in rows]
    fitted = _fit_all(pack, options)
    fitted.check_any()
    mean, std = over_seeds([tabulate(by_detector, pack.ood) for by_detector in fitted.scores])
    spread = std if options.seeds > 1 else None
    print(FORMATS[options.format](mean, spread, published, pack.passes_sentence))
    if options.format == "json" and pack.is_mirrored:
        print(pack.passes_sentence, file=sys.stderr)
    if options.published:
        print(what_differs(pack), file=sys.stderr)
    print_notes(notes_on(pack), warnings_only=True)
    fitted.check_all()


def report(options: argparse.Namespace) -> None:
    """Prints all results on a pack as one Markdown page.

    Raises as `benchmark` does.
    """
    from heat_core.assumptions import notes_on
    from heat_core.pack import read_pack
    from heat_core.results.report import report

    options.device = device_of(options)
    pack = read_pack(options.pack)
    features_only_options = argparse.Namespace(**vars(options))
    features_only_options.detectors = "EBM,HEAT"
    if pack.extra.pseudo:
        features_only_options.preset = "features-only"
    fitted = _fit_all(pack, options)
    fitted.check_any()
    features_only = _fit_all(pack, features_only_options)
    plane, plane_failure = _plane_trials(options) if options.plane else ([], {})
    features_only_failures = {
        f"{name} from the features alone": reason for name, reason in features_only.failures.items()
    }
    failures = {**fitted.failures, **features_only_failures, **plane_failure}
    command = f"python -m heat_core report {options.pack} --seeds {options.seeds}"
    scores = fitted.scores, features_only.scores
    print(report(pack, *scores, command, plane, failures), end="")
    print_notes(notes_on(pack), warnings_only=True)
    if failures:
        raise Incomplete(failures_text(failures))


def _plane_trials(options: argparse.Namespace) -> tuple[list[Trial], dict[str, str]]:
    """Returns the trials in the plane, and {"the plane": why} if one of them failed."""
    from heat_core.plane.suite import trials

    done: list[Trial] = []
    try:
        for trial in trials(seeds=options.seeds):
            _report_trial(trial)
            done.append(trial)
    except Exception as error:
        return done, {"the plane": failure_text(error)}
    return done, {}


def _report_trial(trial: Trial) -> None:
    """Prints one line on a trial in the plane."""
    print(
        f"{trial.toy} {trial.detector} {trial.preset}, seed {trial.seed}: "
        f"KL {trial.distance.kl:.3f}, {trial.cpu_seconds:.1f} CPU seconds",
        file=sys.stderr,
        flush=True,
    )


@dataclass(frozen=True)
class _Fitted:
    """The scores of detectors on a pack.

    Args:
        scores: a seed each, {detector: scores of the pack's sets}.
        failures: {detector: why it has no scores}.
    """

    scores: list[dict[str, SetScores]]
    failures: dict[str, str]

    def check_any(self) -> None:
        """Raises ValueError if every detector failed."""
        if self.failures and not self.scores[0]:
            raise ValueError(failures_text(self.failures))

    def check_all(self) -> None:
        """Raises Incomplete if a detector failed."""
        if self.failures:
            raise Incomplete(failures_text(self.failures))


def _fit_all(pack: Pack, options: argparse.Namespace) -> _Fitted:
    """Returns the scores of the detectors asked for that the pack allows, of every seed."""
    fitted = _Fitted([{} for _ in range(options.seeds)], {})
    detectors = allowed_detectors(pack, options)
    for name, detector in detectors.items():
        start = time.perf_counter()
        try:
            by_seed = _scores_by_seed(detector, pack, options)
        except Exception as error:  # whatever ends one detector, the others stand
            fitted.failures[name] = failure_text(error)
            if len(detectors) > 1:  # of a single one, the last line says it
                print(f"{name} failed: {fitted.failures[name]}", file=sys.stderr)
            continue
        for by_detector, scores in zip(fitted.scores, by_seed, strict=True):
            by_detector[name] = scores
        print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    return fitted


def _scores_by_seed(detector: Detector, pack: Pack, options: argparse.Namespace) -> list[SetScores]:
    """Returns the scores of a detector, of every seed; one that does not train is fitted once.

    Raises ValueError if a score is no finite number, and what fitting raises.
    """
    from heat_core.run import fit
    from heat_core.scores import score_pack

    by_seed: list[SetScores] = []
    for number in range(options.seeds if detector.trains else 1):
        seed = options.seed + number
        run = fit(detector, pack.train, seed, options.device, extra=pack.extra)
        by_seed.append(score_pack(pack, run.score))
    return by_seed if detector.trains else by_seed * options.seeds
