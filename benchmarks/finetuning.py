"""What fine-tuning changes: `python -m benchmarks.finetuning --weights W --root DATA`.

Needs the images of CIFAR-10 and of the OOD sets. The classifier is fine-tuned once a seed, by
`heat finetune`, and features are extracted before and after; whatever is in the work folder already
is taken from there, so a broken run goes on. Printed in Markdown: detectors before and after by
group of OOD sets that are not like the auxiliary images, those that are, ID accuracy, and Energy by
its temperature.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from heat_core.__main__ import main as heat
from heat_core.detectors.closed_form import EnergyLogits
from heat_core.detectors.detector import Detector
from heat_core.detectors.presets import supported_detectors
from heat_core.pack import Pack, read_pack
from heat_core.results.formats import group_cells, markdown
from heat_core.results.table import Table, over_seeds, tabulate
from heat_core.run import fit
from heat_core.scores import score_pack
from heat_core.set_name import SetName

DETECTORS = ("MSP", "Energy", "KNN", "MoG", "HEAT-GMM", "HEAT")
TEMPERATURES = (0.5, 1.0, 2.0, 5.0, 10.0, 100.0, 1000.0)


def main() -> int:
    """Prints the study; returns 0, or the exit code of a command that was refused."""
    options = _options()
    seeds = range(options.seeds)
    try:
        before = _pack(options, options.weights, "before")
        after = [_pack(options, *_finetuned(options, seed)) for seed in seeds]
    except SystemExit as refusal:
        return int(refusal.code or 0)
    print(_study(options, before, after))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finetuning")
    add = parser.add_argument
    add("--weights", type=Path, required=True, help="a network that train-classifier wrote")
    add("--root", action="append", required=True, help="a folder with datasets; repeatable")
    add("--auxiliary", default="cifar100", help="as of `heat finetune`: %(default)s")
    add("--objective", default="energy-bounded", help="%(default)s")
    add("--ood", default="cifar100,tinyimagenet,scenes,textures,mnist,fashion-mnist")
    add("--seeds", type=int, default=3, help="networks that are fine-tuned: %(default)s")
    add("--epochs", default="10", help="%(default)s")
    add("--rows", help="of each set, for a trial; as `heat extract` has them if not given")
    add("--preset", default="modern", help="%(default)s")
    add("--work", type=Path, default=Path("runs/finetuning"), help="%(default)s")
    return parser.parse_args()


# -- networks and their features -------------------------------------------------------------------


def _finetuned(options: argparse.Namespace, seed: int) -> tuple[Path, str]:
    """Returns the file of the network that is fine-tuned with a seed, and its name."""
    auxiliary = Path(options.auxiliary.replace(":", "-")).name
    name = f"{options.objective}-{auxiliary}-{seed}"
    file = options.work / f"{name}.safetensors"
    if not file.exists():
        _run(
            "finetune",
            options,
            file,
            *("--weights", str(options.weights)),
            *("--auxiliary", options.auxiliary, "--objective", options.objective),
            *("--epochs", options.epochs, "--seed", str(seed)),
        )
    return file, name


def _pack(options: argparse.Namespace, weights: Path, name: str) -> Pack:
    """Returns the features of a network."""
    folder = options.work / name
    if not folder.exists():
        rows = ("--train-rows", "--test-rows", "--ood-rows") if options.rows else ()
        limits = [word for flag in rows for word in (flag, options.rows)]
        limits += ["--pseudo-rows", "20,10"] if options.rows else []
        _run("extract", options, folder, "--weights", str(weights), "--ood", options.ood, *limits)
    return read_pack(folder)


def _run(command: str, options: argparse.Namespace, out: Path, *words: str) -> None:
    """Runs a command of the library; what it says goes to standard error.

    Raises SystemExit if it is refused.
    """
    roots = [word for root in options.root for word in ("--root", root)]
    with redirect_stdout(sys.stderr):
        code = heat([command, *words, *roots, "--out", str(out)])
    if code:
        raise SystemExit(code)


# -- tables ----------------------------------------------------------------------------------------


def _study(options: argparse.Namespace, before: Pack, after: Sequence[Pack]) -> str:
    """Returns the study in Markdown."""
    detectors, _ = supported_detectors(before, options.preset, DETECTORS)
    by_temperature = {f"T = {t:g}": EnergyLogits(t) for t in TEMPERATURES}
    averaged = after[0].averaged
    sections = [
        f"# Fine-tuning: {options.objective} against {options.auxiliary}",
        f"Printed by `python -m benchmarks.finetuning`, {len(after)} seeds. FPR95 (ID+) / AUROC in "
        "percent; averages leave out sets like the auxiliary images.",
        _accuracy_sentence(before, after),
    ]
    for title, tried in (("Detectors", detectors), ("Energy by its temperature", by_temperature)):
        both = {
            "before": over_seeds(list(_tables([before] * len(after), tried, averaged))),
            "after": over_seeds(list(_tables(after, tried, averaged))),
        }
        sections += [f"## {title}", _group_table(both)]
        if title == "Detectors":
            sections += _apart_sections(both)
    return "\n\n".join(sections)


def _tables(
    packs: Sequence[Pack], detectors: Mapping[str, Detector], averaged: Sequence[SetName]
) -> Iterator[Table]:
    """Gives the table of each pack, whose detectors are fitted with a seed of their own."""
    for seed, pack in enumerate(packs):
        scores = {}
        for name, detector in detectors.items():
            run = fit(detector, pack.train, seed, extra=pack.extra)
            scores[name] = score_pack(pack, run.score)
            print(f"{pack.title}: {name}, seed {seed}", file=sys.stderr, flush=True)
        yield tabulate(scores, pack.ood, averaged)


def _accuracy_sentence(before: Pack, after: Sequence[Pack]) -> str:
    accuracies = [pack.card["classifier"]["test_accuracy"] for pack in (before, *after)]
    tuned = ", ".join(f"{100 * accuracy:.2f}" for accuracy in accuracies[1:])
    return f"ID test accuracy: {100 * accuracies[0]:.2f} % before; {tuned} % after, by seed."


def _group_table(both: Mapping[str, tuple[Table, Table]]) -> str:
    """Returns a row per detector before and after, with the mean and std over seeds."""
    headings, bodies = zip(*(group_cells(*tables) for tables in both.values()), strict=True)
    rows = [
        [f"{name}, {when}", *cells]
        for pair in zip(*bodies, strict=True)
        for when, (name, *cells) in zip(both, pair, strict=True)
    ]
    return markdown(headings[0], rows)


def _apart_sections(both: Mapping[str, tuple[Table, Table]]) -> list[str]:
    """Returns the sets that are like the auxiliary images, if there are any."""
    rows = [
        [f"{row.detector}, {when}", row.set, f"{100 * row.fpr95:.1f} / {100 * row.auroc:.1f}"]
        for when, (mean, _) in both.items()
        for row in mean.rows
        if row.is_apart
    ]
    if not rows:
        return []
    return ["Sets like the auxiliary images, apart:", markdown(["Detector", "Set", "Mean"], rows)]


if __name__ == "__main__":
    sys.exit(main())
