"""From images: datasets, a classifier, its features as a pack, and verdicts on images."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from .batch import BatchResult, Interrupted, work_through
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
    recipe = find_recipe(options.recipe, options.epochs)
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
