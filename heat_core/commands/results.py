"""The paper's table for a pack, and the page of all results."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .batch import BatchResult, failure_text, work_through
from .command import Command
from .options import (
    AddOption,
    add_detectors,
    add_device,
    add_overwrite,
    add_preset,
    add_seed,
    add_switch,
    whole_number,
)
from .progress import progress_line
from .shared import (
    allowed_detectors,
    check_parent,
    device_of,
    has_format,
    print_notes,
    split_names,
)

if TYPE_CHECKING:
    from heat_core.detectors.detector import Detector
    from heat_core.pack import Pack
    from heat_core.plane.suite import Trial
    from heat_core.results.report import Results
    from heat_core.scores import SetScores

PAGE_DEFAULTS = {"detectors": None, "seeds": 5, "preset": "modern", "seed": 0, "plane": True}
FEATURES_ALONE = ("EBM", "HEAT-GMM", "HEAT")  # that learn, fitted once more from features alone
MAX_SEEDS = 1000


def _benchmark_options(add: AddOption) -> None:
    add("pack", metavar="PACK", type=Path)
    add_detectors(add)
    seeds = "fit what trains with so many seeds; print mean and standard deviation"
    add("--seeds", type=whole_number(1, MAX_SEEDS), default=1, help=seeds)
    add("--published", action="store_true", help="print the paper's numbers below")
    add_preset(add)
    add_seed(add)
    add_device(add)
    for form in ("json", "markdown", "latex"):
        add(f"--{form}", dest="format", action="store_const", const=form, default="text")


def benchmark(options: argparse.Namespace) -> None:
    """Prints the paper's table for a pack, of every detector that could be fitted.

    Raises ValueError if none could, or the pack has no OOD set; after the table Incomplete if some
    could not, and Interrupted if ctrl-C came before all were.
    """
    from heat_core.assumptions import notes_on
    from heat_core.pack import read_pack
    from heat_core.results.formats import FORMATS
    from heat_core.results.published import published_rows, what_differs
    from heat_core.results.table import over_seeds, tabulate

    options.device = device_of(options)
    pack = read_pack(options.pack)
    _check_has_ood(pack, options.pack)
    published: list[list[str]] = []
    if options.published:
        rows = published_rows(pack.card.get("id", ""))
        published = [[f"{name} (paper)", *cells] for name, *cells in rows]
    fitted = _fit_all(pack, options)
    fitted.check_any()
    tables = [tabulate(scores, pack.ood, pack.averaged) for scores in _by_seed(fitted, options)]
    mean, std = over_seeds(tables)
    std = std if options.seeds > 1 else None
    note = " ".join(filter(None, [pack.passes_sentence, pack.apart_sentence]))
    print(FORMATS[options.format](mean, std, published, note))
    if options.format == "json" and note:
        print(note, file=sys.stderr)
    if options.published:
        print(what_differs(pack), file=sys.stderr)
    print_notes(notes_on(pack), warnings_only=True)
    fitted.check_all()


def _report_options(add: AddOption) -> None:
    paths = "a pack; with --html a bundle, then the pack that it was made of"
    add("pack", metavar="[BUNDLE] PACK", type=Path, help=paths)
    add("pack_of_bundle", nargs="?", type=Path, help=argparse.SUPPRESS)
    html = "the file to write the bundle's report to; nothing is fitted then"
    add("--html", type=Path, metavar="FILE", help=html)
    link = "with --html: of the view in the app, which the report then offers to open"
    add("--link", metavar="URL", help=link)
    add_overwrite(add)
    add_detectors(add)
    add("--seeds", type=whole_number(1, MAX_SEEDS), default=5)
    add_preset(add)
    add_seed(add)
    add_device(add)
    add_switch(add, "--plane", "also the toys, against the truth")


def report(options: argparse.Namespace) -> None:
    """Prints all results on a pack as one Markdown page; of a bundle writes one in HTML.

    After ctrl-C it holds the tables of what is finished by then, and compares nothing.

    Raises as `benchmark` does, and ValueError if bundle, pack and --html do not go together.
    """
    from heat_core.assumptions import notes_on
    from heat_core.pack import read_pack
    from heat_core.results.report import Results

    if _is_of_bundle(options):
        _report_bundle(options)
        return
    options.device = device_of(options)
    pack = read_pack(options.pack)
    _check_has_ood(pack, options.pack)
    fitted = _fit_all(pack, options)
    fitted.check_any()
    features_only = _fit_from_features_alone(pack, options, is_wanted=not fitted.unfinished)
    plane = _Plane()
    if options.plane:
        is_wanted = not (fitted.unfinished or features_only.unfinished)
        plane = _plane_trials(options, is_wanted)
    results = Results(
        _by_seed(fitted, options),
        _by_seed(features_only, options),
        plane.trials,
        {**fitted.failures, **features_only.failures, **plane.failures},
        [*fitted.unfinished, *features_only.unfinished, *plane.unfinished],
        options.seed,
    )
    _print_page(pack, results, options)
    print_notes(notes_on(pack), warnings_only=True)
    BatchResult({}, dict(results.failures), results.unfinished).check_all()


def _check_has_ood(pack: Pack, path: Path) -> None:
    """Raises ValueError if a pack has no OOD set, of which a table says what is caught."""
    if not pack.ood:
        raise ValueError(
            f"{path} has no OOD set, so no table can say what detectors catch; fit, score, decide "
            "and watch do without one."
        )


def _is_of_bundle(options: argparse.Namespace) -> bool:
    """Returns whether a bundle's report is asked for.

    Raises ValueError if what is asked for does not go together.
    """
    wanted = "a bundle's report is made by `report BUNDLE PACK --html FILE`"
    if options.html is None:
        has_bundle = has_format(options.pack / "decision.json", "heat-bundle")
        if has_bundle or options.pack_of_bundle or options.link or options.overwrite:
            raise ValueError(f"{wanted}, and --html is missing.")
        return False
    if options.pack_of_bundle is None:
        raise ValueError(f"{wanted}; got {options.pack} alone.")
    if has_format(options.pack / "card.json", "heat-pack"):
        raise ValueError(f"{wanted}, the bundle first; {options.pack} is a pack.")
    if any(getattr(options, name) != default for name, default in PAGE_DEFAULTS.items()):
        raise ValueError(
            f"{wanted}; --detectors, --seeds, --seed, --preset and --no-plane are of the Markdown "
            "page."
        )
    return True


def _report_bundle(options: argparse.Namespace) -> None:
    """Writes the report of a bundle as one HTML file."""
    from heat_core.assumptions import notes_on
    from heat_core.bundles import load_bundle
    from heat_core.files import write_whole
    from heat_core.pack import read_pack
    from heat_core.results.html_report import html_report
    from heat_core.scores import score_pack

    if options.html.suffix not in (".html", ".htm"):
        raise ValueError(f"--html must end in .html, got {options.html.name}.")
    if options.html.exists() and not options.overwrite:
        raise FileExistsError(f"{options.html} exists already; --overwrite replaces it.")
    check_parent(options.html)
    bundle = load_bundle(options.pack, options.device)
    pack = read_pack(options.pack_of_bundle)
    notes = [str(note) for note in notes_on(pack) if note.is_warning]
    with progress_line(bundle.detector.title):
        scores = score_pack(pack, bundle.score)
    page = html_report(bundle, pack, scores, options.link or "", notes)
    write_whole(options.html, page.encode())
    print(f"{options.html}: {bundle.detector.name} with its decision, to read and to print.")


def _print_page(pack: Pack, results: Results, options: argparse.Namespace) -> None:
    """Prints the page; without comparisons if ctrl-C comes while they are made."""
    from heat_core.results.report import report

    command = _command(options)
    try:
        with progress_line("Comparing"):
            page = report(pack, results, command)
    except KeyboardInterrupt:
        results.unfinished.append("the comparisons")
        page = report(pack, results, command)
    print(page, end="")


def _command(options: argparse.Namespace) -> str:
    """Returns the command that prints the page, with what was asked for beside its defaults."""
    words = ["python", "-m", "heat_core", "report", str(options.pack)]
    words += ["--seeds", str(options.seeds)]
    if options.preset != "modern":
        words += ["--preset", options.preset]
    if options.seed:
        words += ["--seed", str(options.seed)]
    if options.detectors:
        words += ["--detectors", options.detectors]
    if not options.plane:
        words.append("--no-plane")
    return shlex.join(words)


# -- the detectors ---------------------------------------------------------------------------------


def _fit_all(pack: Pack, options: argparse.Namespace) -> BatchResult[list[SetScores]]:
    """Returns the scores of the detectors asked for that the pack allows, of every seed.

    Raises ValueError if a detector or a seed is none.
    """
    from heat_core.arguments import check_seed
    from heat_core.detectors.detector import Shape

    check_seed(options.seed + options.seeds - 1)  # the last one, before hours are spent
    detectors = allowed_detectors(pack, options)
    shape = Shape.of(pack.train)

    def score(name: str, detector: Detector) -> list[SetScores]:
        start = time.perf_counter()
        by_seed = _scores_by_seed(name, detector, pack, options)
        left_out = detector.left_out(shape)
        remark = f". {left_out}" if left_out else ""
        print(f"{name}: {time.perf_counter() - start:.1f} s{remark}", file=sys.stderr)
        return by_seed

    def say_failure(name: str, reason: str) -> None:
        if len(detectors) > 1:  # of a single one, the last line says it
            print(f"{name} failed: {reason}", file=sys.stderr)

    return work_through(detectors, score, say_failure)


def _fit_from_features_alone(
    pack: Pack, options: argparse.Namespace, is_wanted: bool
) -> BatchResult[list[SetScores]]:
    """Returns the scores of the detectors that learn, where they see no destroyed image.

    Args:
        is_wanted: false after ctrl-C: then nothing is fitted, and all of it is unfinished.
    """

    def full(name: str) -> str:
        return f"{name} from the features alone"

    asked = split_names(options.detectors or ",".join(FEATURES_ALONE))
    names = [name for name in FEATURES_ALONE if name in asked]
    if not is_wanted or not names:
        return BatchResult(unfinished=[full(name) for name in names])
    features_only = argparse.Namespace(**vars(options))
    features_only.detectors = ",".join(names)
    if pack.extra.pseudo:
        features_only.preset = "features-only"
    fitted = _fit_all(pack, features_only)
    failures = {full(name): reason for name, reason in fitted.failures.items()}
    return BatchResult(fitted.results, failures, [full(name) for name in fitted.unfinished])


def _by_seed(
    fitted: BatchResult[list[SetScores]], options: argparse.Namespace
) -> list[dict[str, SetScores]]:
    """Returns a seed each, {detector: scores of the pack's sets}."""
    return [
        {name: by_seed[number] for name, by_seed in fitted.results.items()}
        for number in range(options.seeds)
    ]


def _scores_by_seed(
    name: str, detector: Detector, pack: Pack, options: argparse.Namespace
) -> list[SetScores]:
    """Returns the scores of a detector, of every seed; one that does not train is fitted once.

    Raises ValueError if a score is no finite number, and what fitting raises.
    """
    from heat_core.run import fit
    from heat_core.scores import score_pack

    count = options.seeds if detector.trains else 1
    by_seed: list[SetScores] = []
    for number in range(count):
        seed = options.seed + number
        with progress_line(f"{name}, seed {seed}" if count > 1 else name):
            run = fit(detector, pack.train, seed, options.device, extra=pack.extra)
            by_seed.append(score_pack(pack, run.score))
    return by_seed if detector.trains else by_seed * options.seeds


# -- the plane -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plane:
    """The trials in the plane that are finished, and {"the plane": why} if one failed.

    Args:
        unfinished: `the plane`, if ctrl-C came first.
    """

    trials: list[Trial] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)


def _plane_trials(options: argparse.Namespace, is_wanted: bool) -> _Plane:
    """Returns the trials in the plane; none after ctrl-C, when nothing more is wanted."""
    from heat_core.plane.suite import trials

    plane = _Plane()
    if not is_wanted:
        plane.unfinished.append("the plane")
        return plane
    try:
        with progress_line("The plane") as line:
            for trial in trials(seeds=options.seeds):
                line.clear()
                _report_trial(trial)
                plane.trials.append(trial)
    except KeyboardInterrupt:
        plane.unfinished.append("the plane")
    except Exception as error:
        plane.failures["the plane"] = failure_text(error)
    return plane


def _report_trial(trial: Trial) -> None:
    """Prints one line on a trial in the plane."""
    print(
        f"{trial.toy} {trial.detector} {trial.preset}, seed {trial.seed}: "
        f"KL {trial.distance.kl:.3f}, {trial.cpu_seconds:.1f} CPU seconds",
        file=sys.stderr,
        flush=True,
    )


BENCHMARK = Command(
    name="benchmark",
    run=benchmark,
    add_options=_benchmark_options,
    summary="Print the paper's table for a pack: FPR95 and AUROC, no speeds.",
    example="assets/packs/cifar10-resnet18 --detectors KNN,HEAT",
)

REPORT = Command(
    name="report",
    run=report,
    add_options=_report_options,
    summary="Print all results on a pack as one Markdown page, or write a bundle's report "
    "as one of HTML.",
    example="assets/packs/cifar10-resnet18 --seeds 5",
)
