"""The commands, a function each: answers on standard output, progress on standard error.

Slow imports happen inside.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib import resources, util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from .detectors.detector import Detector
    from .energies import Energy
    from .images.classifier_training import Progress, Recipe
    from .judge import FittedDetector, Opinion, Verdict
    from .pack import Pack
    from .plane.grid import Distance
    from .plane.suite import Trial
    from .scores import SetScores
    from .training.trainer import Record

ScoresBySeed = list[dict[str, "SetScores"]]  # a seed each, {detector: scores of the pack's sets}


def list_known(options: argparse.Namespace) -> None:
    """Prints the names of detectors, presets, toys and datasets."""
    from .detectors.presets import DETECTORS, PRESETS
    from .images.datasets import DATASETS
    from .plane.toys import TOYS

    datasets = {
        name: f"{dataset.title} ({dataset.group}; {dataset.source})"
        for name, dataset in DATASETS.items()
    }
    names: dict[str, dict[str, Any]] = {
        "detectors": {name: detector.summary for name, detector in DETECTORS.items()},
        "presets": {space: list(presets) for space, presets in PRESETS.items()},
        "toys": {name: toy.title for name, toy in TOYS.items()},
        "datasets": datasets,
    }
    if options.json:
        print(json.dumps(names, indent=1))
        return
    for kind, entries in names.items():
        print(kind)
        for name, entry in entries.items():
            text = entry if isinstance(entry, str) else ", ".join(entry)
            print(f"  {name:15} {text}")


# -- in the plane ----------------------------------------------------------------------------------


def toy(options: argparse.Namespace) -> None:
    """Trains a detector on a toy, and prints its distance from the truth."""
    from .detectors.presets import preset_detector
    from .plane.grid import Grid
    from .plane.toys import toy
    from .run import fit

    truth = toy(options.name)
    detector = preset_detector(options.detector, options.preset, "plane")
    train = truth.features(seed=options.seed)
    grid = Grid(truth)
    start = time.perf_counter()
    run = fit(detector, train, options.seed, options.device)
    seconds = time.perf_counter() - start
    mog = fit(preset_detector("MoG", space="plane"), train)
    distance = grid.distance(grid.energy(run.energy))
    kl_mog = grid.distance(grid.energy(mog.energy)).kl
    if options.json:
        answer = {
            "toy": options.name,
            "detector": options.detector,
            "preset": options.preset,
            "seed": options.seed,
            **asdict(distance),
            "seconds": seconds,
            "kl_mog": kl_mog,
        }
        print(json.dumps(answer))
        return
    settings = f"{options.preset}, seed {options.seed}"
    print(f"{truth.title}, {options.detector} ({settings}), {seconds:.1f} s")
    print(_distance_text(distance, kl_mog))


def _distance_text(distance: Distance, kl_mog: float) -> str:
    """Returns one line on how far a model is from the truth."""
    return (
        f"KL(true || model) {distance.kl:.4f} nats (MoG {kl_mog:.4f}), "
        f"total variation {distance.tv:.4f}, JSD {distance.jsd:.4f} nats, "
        f"modes {distance.modes} of {distance.modes_total}, mass missed {distance.missed:.1e}"
    )


# -- images ----------------------------------------------------------------------------------------


def fetch(options: argparse.Namespace) -> None:
    """Fetches a dataset."""
    _require("torchvision")
    from .images.fetching import fetch

    with ProgressBars("B", is_scaled=True) as bars:
        source = fetch(options.name, options.root, bars.show)
    print(f"{options.name} is in {options.root} (from {source}).")


def train_classifier(options: argparse.Namespace) -> None:
    """Trains a network on images and writes it, with its accuracies."""
    _require("timm")
    from .images import classifier, datasets
    from .images.classifier_training import find_recipe, train

    if options.out.exists():
        raise FileExistsError(f"{options.out} exists already.")
    recipe = find_recipe(options.recipe, options.epochs)
    images = datasets.read_images(options.id, options.root, "train")
    learned, held_out = datasets.split_validation(images, options.held_out)
    architecture = classifier.Architecture(
        options.model, len(images.classes), options.layers, options.channels, options.small_stem
    )
    start = time.perf_counter()
    checkpoint = options.out.with_suffix(".checkpoint")
    device = _device(options)
    on_progress = partial(_report_training, recipe=recipe)
    network = train(
        architecture, learned, held_out, checkpoint, recipe, options.seed, device, on_progress
    )
    test = datasets.read_images(options.id, options.root, "test")
    notes = {
        "id": options.id,
        "classes": list(images.classes),
        "recipe": options.recipe,
        "epochs": recipe.epochs,
        "seed": options.seed,
        "train_images": len(learned),
        "held_out_images": len(held_out),
        "held_out_accuracy": classifier.evaluate(network, architecture, held_out, device),
        "test_accuracy": classifier.evaluate(network, architecture, test, device),
    }
    classifier.save(network, architecture, options.out, notes)
    checkpoint.unlink()
    minutes = (time.perf_counter() - start) / 60
    print(f"{options.out}: test accuracy {notes['test_accuracy']:.2%} after {minutes:.0f} minutes.")


def _report_training(progress: Progress, recipe: Recipe) -> None:
    """Prints one line on how far the training of a classifier is."""
    seconds_a_step = progress.seconds / max(1, progress.steps_taken)
    minutes_left = seconds_a_step * (progress.steps - progress.step) / 60
    rate = progress.steps_taken * recipe.batch / progress.seconds
    parts = [
        f"epoch {progress.epoch}/{recipe.epochs}, step {progress.step}/{progress.steps}: "
        f"loss {progress.loss:.3f}"
    ]
    if progress.accuracy is not None:
        parts.append(f"held-out accuracy {progress.accuracy:.2%}")
    parts += [f"{rate:.0f} images/s", f"{minutes_left:.0f} min to go"]
    print(", ".join(parts), file=sys.stderr, flush=True)


def extract(options: argparse.Namespace) -> None:
    """Extracts the features of images into a pack."""
    _require("timm")
    from .images import classifier, packing
    from .images.extract import EarlyLayer, Extractor
    from .pack import write_pack

    _check_out(options.out, options.overwrite)
    architecture = None
    if options.model:
        architecture = classifier.Architecture(options.model, small_stem=options.small_stem)
    network, architecture, notes = classifier.load(options.weights, architecture)
    extractor = Extractor(
        network,
        architecture,
        options.layer,
        options.std,
        options.odin,
        device=_device(options),
        early_layer=EarlyLayer(options.early) if options.early else None,
    )
    contents = packing.Contents(
        id_name=options.id,
        ood_names=tuple(options.ood.split(",")),
        train_rows=options.train_rows,
        test_rows=options.test_rows,
        ood_rows=options.ood_rows,
        pseudo_rows=options.pseudo_rows,
    )
    work = options.out.with_name(f"{options.out.name}.shards")
    with ProgressBars("image") as bars:
        pack = packing.build_pack(extractor, notes, contents, options.root, work, bars.show)
    write_pack(pack, options.out, options.overwrite)
    packing.delete_shards(work)
    families = len(pack.extra.pseudo)
    print(
        f"{options.out}: {len(pack.train):,} training rows, {len(pack.test):,} test rows, "
        f"{len(pack.ood)} OOD sets{f', {families} pseudo-OOD families' if families else ''}."
    )


def score_image(options: argparse.Namespace) -> None:
    """Judges pictures by the detectors of a pack."""
    _require("timm")
    from .images.decoding import read_image
    from .judge import FittedDetector, Judge, weights_of
    from .pack import read_pack
    from .run import fit

    pack = read_pack(options.pack)
    pictures = [(str(path), read_image(path)) for path in options.pictures]
    judge = Judge(pack, options.weights or weights_of(options.pack), options.device)
    detectors: dict[str, FittedDetector] = {}
    for name, detector in _detectors(pack, options).items():
        run = fit(detector, pack.train, options.seed, options.device, extra=pack.extra)
        detectors[name] = FittedDetector.of(run, pack)
    keep = options.keep / 100
    opinions = {path: judge(pixels, detectors, keep) for path, pixels in pictures}
    if options.json:
        entries = [_opinion_entry(path, opinion) for path, opinion in opinions.items()]
        print(json.dumps(entries, indent=1))
        return
    for path, opinion in opinions.items():
        print(f"{path}: {opinion.predicted} ({opinion.probability:.1%})")
        for verdict in opinion.verdicts:
            print(_verdict_text(verdict))


def _verdict_text(verdict: Verdict) -> str:
    """Returns one line of a detector on a picture."""
    return (
        f"  {verdict.detector:9} {verdict.score:12.4g}  above {verdict.percentile:6.1%} of ID test"
        f"  {'out' if verdict.out else 'in'}"
    )


def _opinion_entry(path: str, opinion: Opinion) -> dict[str, Any]:
    """Returns the JSON of a picture."""
    return {
        "picture": path,
        "class": opinion.predicted,
        "probability": opinion.probability,
        "verdicts": [{**asdict(verdict), "out": verdict.out} for verdict in opinion.verdicts],
    }


# -- packs -----------------------------------------------------------------------------------------


def make_pack(options: argparse.Namespace) -> None:
    """Makes a pack of arrays."""
    from .pack import pack_from_npz, write_pack

    _check_out(options.out, options.overwrite)
    pack = pack_from_npz(options.arrays)
    write_pack(pack, options.out, options.overwrite)
    head = "with a head"
    if pack.train.head is None:
        head = "without a head: MSP and Energy need weight and bias"
    print(
        f"{options.out}: {len(pack.train):,} x {pack.train.dim} training features, "
        f"{len(pack.ood)} OOD sets, {head}."
    )


def project(options: argparse.Namespace) -> None:
    """Adds a map of its rows to a pack."""
    from .pack import read_pack, write_pack
    from .projection import project_pack

    pack = project_pack(read_pack(options.pack), options.method, options.seed)
    write_pack(pack, options.pack)
    layout = pack.card["map"]
    print(
        f"{options.pack}: {layout['rows']:,} rows on a map by {layout['method']}, "
        f"trustworthiness {layout['trustworthiness']}."
    )


def benchmark(options: argparse.Namespace) -> None:
    """Prints the paper's table for a pack."""
    from .pack import read_pack
    from .results.formats import FORMATS
    from .results.published import published_rows, what_differs
    from .results.table import over_seeds, tabulate

    _check_seeds(options.seeds)
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
    from .pack import read_pack
    from .plane.suite import trials
    from .results.report import report

    _check_seeds(options.seeds)
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
    from .run import fit
    from .scores import score_pack

    scores: ScoresBySeed = [{} for _ in range(options.seeds)]
    for name, detector in _detectors(pack, options).items():
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


def _detectors(pack: Pack, options: argparse.Namespace) -> Mapping[str, Detector]:
    """Returns the detectors asked for, by default all; says which the pack does not allow.

    Raises ValueError if one was asked for by name and the pack does not allow it.
    """
    from .detectors.presets import supported_detectors

    names: Sequence[str] = options.detectors.split(",") if options.detectors else ()
    detectors, reasons = supported_detectors(pack, options.preset, names)
    if names and reasons:
        raise ValueError(" ".join(reasons.values()))
    for name, reason in reasons.items():
        print(f"{name} is left out: {reason}", file=sys.stderr)
    return detectors


# -- runs ------------------------------------------------------------------------------------------


def fit(options: argparse.Namespace) -> None:
    """Fits a detector to a pack and writes the run."""
    from .detectors.presets import preset_detector, space_of
    from .pack import read_pack
    from .run import fit, save

    _check_out(options.out, options.overwrite)
    pack = read_pack(options.pack)
    detector = preset_detector(options.detector, options.preset, space_of(pack.extra))
    run = fit(detector, pack.train, options.seed, options.device, _report_record, pack.extra)
    save(run, options.out, options.overwrite)
    print(
        f"{options.out}: {options.detector} ({options.preset}) fitted to "
        f"{len(pack.train):,} x {pack.train.dim} features."
    )
    if run.diagnosis is not None:
        print(f"Light: {run.diagnosis.light}. {run.diagnosis.reason}")


def _report_record(record: Record, energy: Energy) -> None:
    """Prints one line of a training's history."""
    print(
        f"step {record.step}/{record.steps}: loss {record.loss:.4f}, "
        f"held out {record.val_loss:.4f}",
        file=sys.stderr,
    )


def score(options: argparse.Namespace) -> None:
    """Scores a features file by a run, into a table."""
    import pandas as pd

    from .features import read_features
    from .files import write_whole
    from .run import load

    if options.out.exists() and not (options.overwrite and options.out.suffix == ".parquet"):
        raise FileExistsError(
            f"{options.out} exists already; --overwrite replaces a .parquet file."
        )
    run = load(options.run_folder, options.device)
    features = read_features(options.features)
    scores = run.score(features)
    columns: dict[str, Any] = {"row": range(len(features)), "score": scores}
    if features.index is not None:
        columns["source"] = features.source
        columns["index"] = features.index.numpy()
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer, index=False)
    write_whole(options.out, buffer.getvalue())
    print(
        f"{options.out}: {len(scores):,} scores of {run.detector.title}; "
        "larger is more out-of-distribution."
    )


# -- the dashboard ---------------------------------------------------------------------------------


def app(options: argparse.Namespace) -> None:
    """Becomes Streamlit, which finds the dashboard's settings beside its script."""
    _require("streamlit")
    script = _dashboard() / "app" / "main.py"
    streamlit = [sys.executable, "-P", "-m", "streamlit"]
    settings = ["--server.port", str(options.port), *options.flags]
    os.execv(sys.executable, [*streamlit, "run", str(script), *settings])


def _dashboard() -> Traversable:
    """Returns the folder that holds app/ and assets/: the checkout that this is, or the wheel's."""
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "app" / "main.py").is_file() and (checkout / "assets").is_dir():
        return checkout
    return resources.files("heat_dashboard")


# -- checks and progress ---------------------------------------------------------------------------


def _require(module: str) -> None:
    """Raises ModuleNotFoundError if a module of an extra is not installed, before any work."""
    if util.find_spec(module) is None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def _check_seeds(count: int) -> None:
    """Raises ValueError unless there is a seed."""
    if count < 1:
        raise ValueError(f"seeds must be at least 1, got {count}.")


def _check_out(path: Path, overwrite: bool) -> None:
    """Raises FileExistsError if the folder of a pack or a run cannot be written."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; --overwrite replaces it.")
    if path.exists() and not any((path / card).is_file() for card in ("card.json", "run.json")):
        raise FileExistsError(
            f"{path} is neither a pack nor a run, so --overwrite does not replace it."
        )


def _device(options: argparse.Namespace) -> str:
    from .run import resolve_device

    return resolve_device(options.device)


class ProgressBars:
    """Progress bars on standard error, one a file or set.

    Args:
        unit: of what is counted.
        is_scaled: print large counts in thousands or millions.
    """

    def __init__(self, unit: str, is_scaled: bool = False) -> None:
        self.unit, self.is_scaled = unit, is_scaled
        self._bars: dict[str, Any] = {}

    def show(self, name: str, done: int, total: int) -> None:
        """Moves the bar of a name."""
        from tqdm import tqdm

        if name not in self._bars:
            self._bars[name] = tqdm(
                total=total, unit=self.unit, unit_scale=self.is_scaled, desc=name, initial=0
            )
        self._bars[name].update(done - self._bars[name].n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for bar in self._bars.values():
            bar.close()
