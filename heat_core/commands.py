"""What each command does. Answers go to standard output, progress to standard error; slow imports happen inside."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib import resources, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from .detectors.detector import Detector
    from .judge import Opinion
    from .pack import Pack
    from .plane.suite import Trial


def list_known(options: argparse.Namespace) -> None:
    from .detectors.presets import DETECTORS, PRESETS
    from .images.datasets import DATASETS
    from .plane.toys import TOYS

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


def toy(options: argparse.Namespace) -> None:
    from .detectors.presets import preset_detector
    from .plane.grid import Grid
    from .plane.toys import toy
    from .run import fit

    truth, detector = toy(options.name), preset_detector(options.detector, options.preset, "plane")
    train, grid = truth.features(seed=options.seed), Grid(truth)
    began = time.perf_counter()
    run = fit(detector, train, options.seed, options.device)
    seconds = time.perf_counter() - began
    mog = fit(preset_detector("MoG", space="plane"), train)
    answer = {
        "toy": options.name,
        "detector": options.detector,
        "preset": options.preset,
        "seed": options.seed,
        **asdict(grid.distance(grid.energy(run.energy))),
        "seconds": seconds,
        "kl_mog": grid.distance(grid.energy(mog.energy)).kl,
    }
    if options.json:
        print(json.dumps(answer))
        return
    print(
        f"{truth.title}, {options.detector} ({options.preset}, seed {options.seed}), {seconds:.1f} s"
    )
    print(
        f"KL(true || model) {answer['kl']:.4f} nats (MoG {answer['kl_mog']:.4f}), total variation {answer['tv']:.4f}, ",
        end="",
    )
    print(
        f"JSD {answer['jsd']:.4f} nats, modes {answer['modes']} of {answer['modes_total']}, mass missed {answer['missed']:.1e}"
    )


def fetch(options: argparse.Namespace) -> None:
    from .images.fetching import fetch

    with _bars("B", scaled=True) as say:
        source = fetch(options.name, options.root, say)
    print(f"{options.name} is in {options.root} (from {source}).")


def train_classifier(options: argparse.Namespace) -> None:
    _needs("timm")
    from .images import classifier, datasets

    if options.out.exists():
        raise FileExistsError(f"{options.out} exists already.")
    recipe = classifier.find_recipe(options.recipe, options.epochs)
    images = datasets.read_images(options.id, options.root, "train")
    train, held_out = datasets.split_validation(images, options.held_out)
    architecture = classifier.Architecture(
        options.model, len(images.classes), options.layers, options.channels, options.small_stem
    )
    began = time.perf_counter()

    def report(now: Any) -> None:
        left = now.seconds / max(1, now.taken) * (now.steps - now.step) / 60
        seen = "" if now.accuracy is None else f"held-out accuracy {now.accuracy:.2%}, "
        print(
            f"epoch {now.epoch}/{recipe.epochs}, step {now.step}/{now.steps}: loss {now.loss:.3f}, {seen}"
            f"{now.taken * recipe.batch / now.seconds:.0f} images/s, {left:.0f} min to go",
            file=sys.stderr,
            flush=True,
        )

    checkpoint, device = options.out.with_suffix(".checkpoint"), _device(options)
    network = classifier.train(
        architecture, train, held_out, checkpoint, recipe, options.seed, device, report
    )
    test = datasets.read_images(options.id, options.root, "test")
    notes = {
        "id": options.id,
        "classes": list(images.classes),
        "recipe": options.recipe,
        "epochs": recipe.epochs,
        "seed": options.seed,
        "train_images": len(train),
        "held_out_images": len(held_out),
        "held_out_accuracy": classifier.evaluate(network, architecture, held_out, device),
        "test_accuracy": classifier.evaluate(network, architecture, test, device),
    }
    classifier.save(network, architecture, options.out, notes)
    checkpoint.unlink()
    minutes = (time.perf_counter() - began) / 60
    print(f"{options.out}: test accuracy {notes['test_accuracy']:.2%} after {minutes:.0f} minutes.")


def extract(options: argparse.Namespace) -> None:
    _needs("timm")
    from .images import classifier, packing
    from .images.extract import EarlyLayer, Extractor
    from .pack import write_pack

    _new(options.out, options.overwrite)
    architecture = (
        classifier.Architecture(options.model, small_stem=options.small_stem)
        if options.model
        else None
    )
    network, architecture, notes = classifier.load(options.weights, architecture)
    early = EarlyLayer(options.early) if options.early else None
    extractor = Extractor(
        network,
        architecture,
        options.layer,
        options.std,
        options.odin,
        device=_device(options),
        early=early,
    )
    contents = packing.Contents(
        options.id,
        tuple(options.ood.split(",")),
        options.train_rows,
        options.test_rows,
        options.ood_rows,
        options.pseudo_rows,
    )
    work = options.out.with_name(f"{options.out.name}.shards")
    with _bars("image") as say:
        pack = packing.build_pack(extractor, notes, contents, options.root, work, say)
    write_pack(pack, options.out)
    packing.delete_shards(work)
    families = f", {len(pack.extra.pseudo)} pseudo-OOD families" if pack.extra.pseudo else ""
    rows = f"{len(pack.train):,} training rows, {len(pack.test):,} test rows"
    print(f"{options.out}: {rows}, {len(pack.ood)} OOD sets{families}.")


def pack_up(options: argparse.Namespace) -> None:
    from .pack import pack_from_npz, write_pack

    _new(options.out, options.overwrite)
    pack = pack_from_npz(options.arrays)
    write_pack(pack, options.out)
    head = (
        "with a head"
        if pack.train.head is not None
        else "without a head: MSP and Energy need weight and bias"
    )
    print(
        f"{options.out}: {len(pack.train):,} x {pack.train.dim} training features, {len(pack.ood)} OOD sets, {head}."
    )


def benchmark(options: argparse.Namespace) -> None:
    from .pack import read_pack
    from .results.formats import FORMATS
    from .results.published import published_rows, what_differs
    from .results.table import over_seeds, tabulate

    if options.seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {options.seeds}.")
    pack = read_pack(options.pack)
    beside = (
        [[f"{name} (paper)", *rest] for name, *rest in published_rows(pack.card.get("id", ""))]
        if options.published
        else []
    )
    scores = _scores(pack, options)
    table, spread = over_seeds([tabulate(found, pack.ood) for found in scores])
    print(FORMATS[options.format](table, spread if options.seeds > 1 else None, beside))
    if options.published:
        print(what_differs(pack), file=sys.stderr)


def _scores(pack: Pack, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Returns {detector: {set: scores}} a seed, of the detectors asked for that the pack allows."""
    from .run import fit
    from .scores import score_pack

    scores: list[dict[str, Any]] = [{} for _ in range(options.seeds)]
    for name, detector in _allowed(pack, options).items():
        began = time.perf_counter()
        for number, found in enumerate(scores):
            if number and not detector.trains:
                found[name] = scores[0][name]
                continue
            run = fit(detector, pack.train, options.seed + number, options.device, extra=pack.extra)
            found[name] = score_pack(pack, run.score)
        print(f"{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
    return scores


def _allowed(pack: Pack, options: argparse.Namespace) -> dict[str, Detector]:
    """Returns the recipes asked for; says which are left out. Raises ValueError if one was asked for by name and cannot be."""
    from .detectors.presets import supported_detectors

    recipes, reasons = supported_detectors(
        pack, options.preset, options.detectors.split(",") if options.detectors else ()
    )
    if options.detectors and reasons:
        raise ValueError(" ".join(reasons.values()))
    for name, reason in reasons.items():
        print(f"{name} is left out: {reason}", file=sys.stderr)
    return recipes


def report(options: argparse.Namespace) -> None:
    from .pack import read_pack
    from .plane.suite import trials
    from .results.report import report as page

    if options.seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {options.seeds}.")
    pack, cached = read_pack(options.pack), argparse.Namespace(**vars(options))
    cached.detectors, cached.preset = "EBM,HEAT", "cached" if pack.extra.pseudo else options.preset
    command = f"python -m heat_core report {options.pack} --seeds {options.seeds}"
    found = [_said(trial) for trial in trials(seeds=options.seeds)] if options.plane else []
    print(page(pack, _scores(pack, options), _scores(pack, cached), command, found), end="")


def _said(trial: Trial) -> Trial:
    """Returns the trial, once it has been told on standard error."""
    said = f"{trial.toy} {trial.detector} {trial.preset}, seed {trial.seed}: KL {trial.distance.kl:.3f}, {trial.seconds:.1f} s"
    print(said, file=sys.stderr, flush=True)
    return trial


def project(options: argparse.Namespace) -> None:
    from .pack import read_pack, write_pack
    from .projection import project_pack as placed

    pack = placed(read_pack(options.pack), options.method, options.seed)
    write_pack(pack, options.pack)
    about = pack.card["map"]
    print(
        f"{options.pack}: {about['rows']:,} rows on a map by {about['method']}, trustworthiness {about['trustworthiness']}."
    )


def score_image(options: argparse.Namespace) -> None:
    _needs("timm")
    from .images.decoding import read_image
    from .judge import FittedDetector, Judge, weights_of
    from .pack import read_pack
    from .run import fit

    pack = read_pack(options.pack)
    shown = [(path, read_image(path)) for path in options.pictures]
    judge = Judge(pack, options.weights or weights_of(options.pack), options.device)
    known = {
        name: FittedDetector.of(
            fit(detector, pack.train, options.seed, options.device, extra=pack.extra), pack
        )
        for name, detector in _allowed(pack, options).items()
    }
    opinions = {str(path): judge(pixels, known, options.keep / 100) for path, pixels in shown}
    if options.json:
        print(json.dumps([_told(path, opinion) for path, opinion in opinions.items()], indent=1))
        return
    for path, opinion in opinions.items():
        print(f"{path}: {opinion.predicted} ({opinion.probability:.1%})")
        for verdict in opinion.verdicts:
            said = "out" if verdict.out else "in"
            print(
                f"  {verdict.detector:9} {verdict.score:12.4g}  above {verdict.percentile:6.1%} of ID test  {said}"
            )


def _told(path: str, opinion: Opinion) -> dict[str, Any]:
    verdicts = [{**asdict(verdict), "out": verdict.out} for verdict in opinion.verdicts]
    return {
        "picture": path,
        "class": opinion.predicted,
        "probability": opinion.probability,
        "verdicts": verdicts,
    }


def fit(options: argparse.Namespace) -> None:
    from . import run as study
    from .detectors.presets import preset_detector, space_of
    from .pack import read_pack

    _new(options.out, options.overwrite)
    pack = read_pack(options.pack)

    def report(record: Any, energy: Any) -> None:
        print(
            f"step {record.step}/{record.steps}: loss {record.loss:.4f}, held out {record.held_out:.4f}",
            file=sys.stderr,
        )

    detector = preset_detector(options.detector, options.preset, space_of(pack.extra))
    run = study.fit(detector, pack.train, options.seed, options.device, report, pack.extra)
    study.save(run, options.out)
    print(
        f"{options.out}: {options.detector} ({options.preset}) fitted to {len(pack.train):,} x {pack.train.dim} features."
    )
    if run.diagnosis is not None:
        print(f"Light: {run.diagnosis.light}. {run.diagnosis.reason}")


def score(options: argparse.Namespace) -> None:
    import io

    import pandas as pd

    from . import features
    from . import run as study
    from .files import write_whole

    if options.out.exists() and not (options.overwrite and options.out.suffix == ".parquet"):
        raise FileExistsError(
            f"{options.out} exists already; --overwrite replaces a .parquet file."
        )
    run = study.load(options.run_folder, options.device)
    given = features.read_features(options.features)
    scores = run.score(given)
    columns: dict[str, Any] = {"row": range(len(given)), "score": scores}
    if given.index is not None:
        columns |= {"source": given.source, "index": given.index.numpy()}
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer, index=False)
    write_whole(options.out, buffer.getvalue())
    print(
        f"{options.out}: {len(scores):,} scores of {run.detector.title}; larger is more out-of-distribution."
    )


def app(options: argparse.Namespace) -> None:
    """Becomes Streamlit, which finds the dashboard's settings beside its script."""
    _needs("streamlit")
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


def _needs(module: str) -> None:
    """Raises ModuleNotFoundError if a module of an extra is not installed, before any work."""
    if util.find_spec(module) is None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def _device(options: argparse.Namespace) -> str:
    from .run import resolve_device

    return resolve_device(options.device)


def _new(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; --overwrite replaces it.")
    if path.exists() and not any((path / card).is_file() for card in ("card.json", "run.json")):
        raise FileExistsError(
            f"{path} is neither a pack nor a run, so --overwrite does not replace it."
        )


class _bars:
    """A progress bar a file or set, on standard error."""

    def __init__(self, unit: str, scaled: bool = False) -> None:
        self.unit, self.scaled, self.bars = unit, scaled, {}

    def __enter__(self) -> Callable[[str, int, int], None]:
        return self.show

    def show(self, what: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if what not in self.bars:
            self.bars[what] = tqdm(
                total=total, unit=self.unit, unit_scale=self.scaled, desc=what, initial=0
            )
        self.bars[what].update(done - self.bars[what].n)

    def __exit__(self, *_: object) -> None:
        for bar in self.bars.values():
            bar.close()
