"""The command line: `python -m heat_core COMMAND --help`. Answers go to standard output, progress to standard error.

What a user can put right ends in one line on standard error and exit code 2.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, ArithmeticError) as error:  # ArithmeticError: training diverged
        print(f"heat_core {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


# -- commands ----------------------------------------------------------------------------------------------------------


def run_list(options: argparse.Namespace) -> None:
    from .datasets import DATASETS
    from .detectors import DETECTORS, PRESETS
    from .toys import TOYS

    known = {
        "detectors": {name: detector.summary for name, detector in DETECTORS.items()},
        "presets": {space: list(presets) for space, presets in PRESETS.items()},
        "toys": {name: toy.title for name, toy in TOYS.items()},
        "datasets": {name: f"{d.title} ({d.group}; {d.source})" for name, d in DATASETS.items()},
    }
    if options.json:
        print(json.dumps(known, indent=1))
        return
    for kind, entries in known.items():
        print(kind)
        for name, what in entries.items():
            print(f"  {name:15} {what if isinstance(what, str) else ', '.join(what)}")


def run_toy(options: argparse.Namespace) -> None:
    from .detectors import recipe
    from .quadrature import Grid
    from .study import fit
    from .toys import toy

    truth, detector = toy(options.name), recipe(options.detector, options.preset, "plane")
    train, grid = truth.features(seed=options.seed), Grid(truth)
    began = time.perf_counter()
    run = fit(detector, train, options.seed, options.device)
    seconds = time.perf_counter() - began
    mog = fit(recipe("MoG", space="plane"), train)
    answer = {
        "toy": options.name, "detector": options.detector, "preset": options.preset, "seed": options.seed,
        **asdict(grid.distance(grid.energy(run.energy))), "seconds": seconds,
        "kl_mog": grid.distance(grid.energy(mog.energy)).kl,
    }  # fmt: skip
    if options.json:
        print(json.dumps(answer))
        return
    print(f"{truth.title}, {options.detector} ({options.preset}, seed {options.seed}), {seconds:.1f} s")
    print(
        f"KL(true || model) {answer['kl']:.4f} nats (MoG {answer['kl_mog']:.4f}), total variation {answer['tv']:.4f}, ", end=""
    )
    print(
        f"JSD {answer['jsd']:.4f} nats, modes {answer['modes']} of {answer['modes_total']}, mass missed {answer['missed']:.1e}"
    )


def run_fetch(options: argparse.Namespace) -> None:
    from .datasets import fetch

    with _bars("B", scaled=True) as say:
        source = fetch(options.name, options.root, say)
    print(f"{options.name} is in {options.root} (from {source}).")


def run_train_classifier(options: argparse.Namespace) -> None:
    from . import classifier, datasets

    if options.out.exists():
        raise FileExistsError(f"{options.out} exists already.")
    recipe = classifier.Recipe(epochs=options.epochs)
    images = datasets.read(options.id, options.root, "train")
    train, held_out = datasets.split_validation(images, options.held_out)
    began = time.perf_counter()

    def report(epoch: Any) -> None:
        left = epoch.seconds * (epoch.epochs - epoch.epoch) / 60
        print(f"epoch {epoch.epoch}/{epoch.epochs}: loss {epoch.loss:.3f}, held-out accuracy {epoch.accuracy:.2%}, "
              f"{epoch.seconds:.0f} s, {left:.0f} min to go", file=sys.stderr, flush=True)  # fmt: skip

    checkpoint = options.out.with_suffix(".checkpoint")
    architecture, device = classifier.SMALL_RESNET18, _device(options)
    network = classifier.train(architecture, train, held_out, checkpoint, recipe, options.seed, device, report)
    test = datasets.read(options.id, options.root, "test")
    notes = {
        "id": options.id, "classes": list(images.classes), "recipe": asdict(recipe), "seed": options.seed,
        "train_images": len(train), "held_out_images": len(held_out),
        "held_out_accuracy": classifier.evaluate(network, architecture, held_out, device),
        "test_accuracy": classifier.evaluate(network, architecture, test, device),
    }  # fmt: skip
    classifier.save(network, architecture, options.out, notes)
    checkpoint.unlink()
    minutes = (time.perf_counter() - began) / 60
    print(f"{options.out}: test accuracy {notes['test_accuracy']:.2%} after {minutes:.0f} minutes.")


def run_extract(options: argparse.Namespace) -> None:
    import numpy as np

    from . import classifier, datasets
    from .extract import assemble, card, extract, head_of
    from .features import write_pack

    _new(options.out, options.overwrite)
    network, architecture, notes = classifier.load(options.weights)
    known = [datasets.named(name) for name in options.ood.split(",")]
    device, sets = _device(options), {}
    images = datasets.read(options.id, options.root, "train")
    held_out = datasets.stratified(images.labels, notes.get("held_out_images", 0))
    seen = np.setdiff1d(np.arange(len(images)), held_out)
    with _bars("image") as say:

        def take(images: Any, rows: Any) -> Any:
            return extract(network, architecture, images, rows, device=device, std=options.std, on_batch=say)

        train = take(images, seen[datasets.stratified(images.labels[seen], options.train_rows)])
        images = datasets.read(options.id, options.root, "test")
        test = take(images, datasets.stratified(images.labels, options.test_rows))
        for dataset in known:
            images = datasets.read(dataset.name, options.root)
            sets[dataset.group, dataset.name] = take(images, datasets.stratified(images.labels, options.ood_rows))
    described = card(options.id, architecture, notes, {"train": train, "test": test}, sets)
    write_pack(assemble(train, test, sets, head_of(network), described), options.out)
    print(f"{options.out}: {len(train):,} training rows, {len(test):,} test rows, {len(sets)} OOD sets.")


def run_pack(options: argparse.Namespace) -> None:
    from .features import pack_npz, write_pack

    _new(options.out, options.overwrite)
    pack = pack_npz(options.arrays)
    write_pack(pack, options.out)
    head = "with a head" if pack.train.head is not None else "without a head: MSP and Energy need weight and bias"
    print(f"{options.out}: {len(pack.train):,} x {pack.train.dim} training features, {len(pack.outside)} OOD sets, {head}.")


def run_benchmark(options: argparse.Namespace) -> None:
    from .benchmark import FORMATS, score_pack, tabulate
    from .detectors import DETECTORS, Shape, recipe
    from .features import read_pack
    from .study import fit

    pack = read_pack(options.pack)
    shape = Shape.of(pack.train)
    names = options.detectors.split(",") if options.detectors else list(DETECTORS)
    recipes = {name: recipe(name, options.preset) for name in names}
    lacking = {name: reason for name, detector in recipes.items() if (reason := detector.lacks(shape))}
    if options.detectors and lacking:
        raise ValueError(" ".join(lacking.values()))
    scores = {}
    for name, detector in recipes.items():
        if name in lacking:
            print(f"{name} is left out: {lacking[name]}", file=sys.stderr)
            continue
        began = time.perf_counter()
        scores[name] = score_pack(pack, fit(detector, pack.train, options.seed, options.device).score)
        print(f"{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
    print(FORMATS[options.format](tabulate(scores, pack.outside)))


def run_fit(options: argparse.Namespace) -> None:
    from . import study
    from .detectors import recipe
    from .features import read_pack

    _new(options.out, options.overwrite)
    pack = read_pack(options.pack)

    def report(record: Any, energy: Any) -> None:
        print(f"step {record.step}/{record.steps}: loss {record.loss:.4f}, held out {record.held_out:.4f}", file=sys.stderr)

    run = study.fit(recipe(options.detector, options.preset), pack.train, options.seed, options.device, report)
    study.save(run, options.out)
    print(f"{options.out}: {options.detector} ({options.preset}) fitted to {len(pack.train):,} x {pack.train.dim} features.")


def run_score(options: argparse.Namespace) -> None:
    import io

    import pandas as pd

    from . import features, study
    from .files import write_whole

    if options.out.exists() and not (options.overwrite and options.out.suffix == ".parquet"):
        raise FileExistsError(f"{options.out} exists already; --overwrite replaces a .parquet file.")
    run = study.load(options.run_folder, options.device)
    given = features.read(options.features)
    scores = run.score(given)
    columns: dict[str, Any] = {"row": range(len(given)), "score": scores}
    if given.index is not None:
        columns |= {"source": given.source, "index": given.index.numpy()}
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer, index=False)
    write_whole(options.out, buffer.getvalue())
    print(f"{options.out}: {len(scores):,} scores of {run.detector.title}; larger is more out-of-distribution.")


# -- the parser --------------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Says what is wrong in one line, without the usage."""
        self.exit(2, f"{self.prog}: {message}; see --help.\n")


def parser() -> argparse.ArgumentParser:
    """Returns the parser of every command."""
    top = _Parser(prog="python -m heat_core", description="Energies that tell in- from out-of-distribution.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], what: str, example: str) -> Callable[..., Any]:
        sub = commands.add_parser(
            name, help=what, description=what, epilog=f"example: python -m heat_core {name} {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        sub.set_defaults(run=run)
        return sub.add_argument

    presets = {"--preset": {"default": "modern", "help": "modern or quick"}}
    seed = {"--seed": {"type": int, "default": 0, "help": "the same seed gives the same scores"}}
    device = {"--device": {"default": "cpu", "help": "cpu, cuda or auto"}}
    overwrite = {"--overwrite": {"action": "store_true", "help": "replace what is there"}}
    roots = {"--root": {"type": Path, "action": "append", "required": True, "help": "a folder with datasets; repeatable"}}

    def options(add: Callable[..., Any], *groups: Mapping[str, Mapping[str, Any]]) -> None:
        for group in groups:
            for flag, settings in group.items():
                add(flag, **settings)

    add = command("list", run_list, "What is known by name: detectors, presets, toys, datasets.", "--json")
    add("--json", action="store_true")

    add = command("toy", run_toy, "Train a detector on a 2D toy and hold it against the truth.", "crosses9 HEAT --seed 1")
    add("name", metavar="NAME")
    add("detector", metavar="DETECTOR")
    options(add, presets, seed, device)
    add("--json", action="store_true")

    add = command(
        "fetch", run_fetch, "Fetch a dataset: torchvision's hosts first, a package mirror second.", "cifar10 --root data"
    )
    add("name", metavar="NAME", help="cifar10, mnist or fashion-mnist")
    add("--root", type=Path, required=True, help="the folder to put it in")

    add = command(
        "train-classifier", run_train_classifier, "Train a half-width ResNet-18 on 32-pixel images; goes on after a kill.",
        "--id cifar10 --root data --out runs/cifar10.safetensors",
    )  # fmt: skip
    add("--id", default="cifar10", help="the in-distribution dataset")
    add("--out", type=Path, required=True)
    add("--epochs", type=int, default=16)
    add("--held-out", type=int, default=5000, help="training images that the network never sees")
    options(add, roots, seed, device)

    add = command(
        "extract", run_extract, "Turn images into a pack of features.",
        "--weights runs/cifar10.safetensors --root data --ood mnist,fashion-mnist --out packs/cifar10",
    )  # fmt: skip
    add("--weights", type=Path, required=True, help="a network that train-classifier wrote")
    add("--id", default="cifar10", help="the in-distribution dataset")
    add("--ood", default="cifar100,tinyimagenet,scenes,textures,mnist,fashion-mnist", help="OOD datasets, by commas")
    add("--out", type=Path, required=True, help="the pack's folder")
    add("--train-rows", type=int, default=50_000)
    add("--test-rows", type=int, default=10_000)
    add("--ood-rows", type=int, default=10_000, help="at most, of each OOD set")
    add("--std", action=argparse.BooleanOptionalAction, default=True, help="store the std-pooled view too")
    options(add, roots, device, overwrite)

    add = command("pack", run_pack, "Make a pack of your own arrays.", "arrays.npz --out packs/mine")
    add("arrays", metavar="ARRAYS.npz", type=Path, help="train_z, train_y, test_z, near_NAME, ...: see the README")
    add("--out", type=Path, required=True, help="the pack's folder")
    options(add, overwrite)

    add = command(
        "benchmark", run_benchmark, "Print the paper's table for a pack.",
        "assets/packs/cifar10-resnet18-half --detectors KNN,HEAT",
    )  # fmt: skip
    add("pack", metavar="PACK", type=Path)
    add("--detectors", help="by commas; all that the pack allows if not given")
    options(add, presets, seed, device)
    for form in ("json", "markdown", "latex"):
        add(f"--{form}", dest="format", action="store_const", const=form, default="text")

    add = command(
        "fit", run_fit, "Fit a detector to a pack and keep it.", "assets/packs/cifar10-resnet18-half HEAT --out runs/heat"
    )
    add("pack", metavar="PACK", type=Path)
    add("detector", metavar="DETECTOR")
    add("--out", type=Path, required=True, help="the run's folder")
    options(add, presets, seed, device, overwrite)

    add = command(
        "score", run_score, "Score a features file with a kept detector.", "runs/heat features.npz --out scores.parquet"
    )  # fmt: skip
    add("run_folder", metavar="RUN", type=Path)
    add("features", metavar="FEATURES", type=Path, help="safetensors from a pack, or an npz with z")
    add("--out", type=Path, required=True, help="a Parquet file")
    options(add, device, overwrite)
    return top


def _device(options: argparse.Namespace) -> str:
    from .study import resolve

    return resolve(options.device)


def _new(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; --overwrite replaces it.")
    if path.exists() and not any((path / card).is_file() for card in ("card.json", "run.json")):
        raise FileExistsError(f"{path} is neither a pack nor a run, so --overwrite does not replace it.")


class _bars:
    """A progress bar a file or set, on standard error."""

    def __init__(self, unit: str, scaled: bool = False) -> None:
        self.unit, self.scaled, self.bars = unit, scaled, {}

    def __enter__(self) -> Callable[[str, int, int], None]:
        return self.show

    def show(self, what: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if what not in self.bars:
            self.bars[what] = tqdm(total=total, unit=self.unit, unit_scale=self.scaled, desc=what, initial=0)
        self.bars[what].update(done - self.bars[what].n)

    def __exit__(self, *_: object) -> None:
        for bar in self.bars.values():
            bar.close()


if __name__ == "__main__":
    sys.exit(main())
