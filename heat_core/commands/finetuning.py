"""Fine-tuning of a classifier against auxiliary images."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .batch import Interrupted
from .command import Command
from .options import (
    AddOption,
    add_device,
    add_roots,
    add_seed,
    read_count,
    read_number,
    read_positive,
)
from .progress import report_training
from .shared import check_parent, check_suffix, device_of, require

if TYPE_CHECKING:
    from torch import nn

    from heat_core.images.auxiliary import Auxiliary
    from heat_core.images.classifier import Architecture
    from heat_core.images.datasets import Images
    from heat_core.training.classifier_objectives import ClassifierObjective


def _finetune_options(add: AddOption) -> None:
    add("--weights", type=Path, required=True, help="a network that train-classifier wrote")
    auxiliary = (
        "OOD images to train against: a dataset, its training split if it has one, or NAME:SPLIT; "
        "folder:PATH; or destroyed, ID training images that are destroyed, and no OOD image"
    )
    add("--auxiliary", metavar="SET", required=True, help=auxiliary)
    add("--out", type=Path, required=True, help="a .safetensors file")
    objectives = "what auxiliary images are to have: high energies, or a uniform softmax"
    choices = ("energy-bounded", "outlier-exposure")
    add("--objective", choices=choices, default="energy-bounded", help=objectives)
    id_margin = "above which an ID energy costs; their mean energy if not given"
    add("--id-margin", type=read_number, metavar="ENERGY", help=id_margin)
    auxiliary_margin = (
        "below which an auxiliary energy costs; their mean energy if not given. Where that is "
        "below the mean ID energy, both margins are midway between them"
    )
    add("--auxiliary-margin", type=read_number, metavar="ENERGY", help=auxiliary_margin)
    weight = "of that beside the cross-entropy; .1 for energies, .5 for a uniform softmax"
    add("--weight", type=read_positive, help=weight)
    add("--epochs", type=read_count, default=10)
    learning_rate = "at the start; it falls as a cosine (0.001)"
    add("--lr", type=read_positive, default=1e-3, help=learning_rate)
    add("--id", help="the ID dataset, if the weights do not say it")
    held_out = "training images that the network never saw, if the weights do not say it"
    add("--held-out", type=read_count, help=held_out)
    add_roots(add)
    add_seed(add, "of the order of images, and of destroying them")
    add_device(add)


def finetune(options: argparse.Namespace) -> None:
    """Fine-tunes a network against auxiliary images and writes it, with its accuracies."""
    require("timm")
    from heat_core.images import classifier

    check_suffix(options.out, [".safetensors"])
    if options.out.exists():
        raise FileExistsError(f"{options.out} exists already.")
    check_parent(options.out)
    if options.objective != "energy-bounded" and _margins(options):
        raise ValueError("--id-margin and --auxiliary-margin are of energy-bounded fine-tuning.")
    start = time.perf_counter()
    task = _Task.read(options)
    objective = _objective(task, options)
    info = _training_info(task, objective, options)  # of the network as it is before
    _train(task, objective, options)
    accuracy = task.accuracy(task.test)
    info |= {"held_out_accuracy": task.accuracy(task.held_out), "test_accuracy": accuracy}
    classifier.save(task.network, task.architecture, options.out, info)
    _checkpoint(options).unlink()
    minutes = (time.perf_counter() - start) / 60
    print(
        f"{options.out}: test accuracy {accuracy:.2%} after {minutes:.0f} minutes, "
        f"{info['finetuned']['test_accuracy_before']:.2%} before."
    )


@dataclass(frozen=True)
class _Task:
    """A classifier on its device, how it was trained, and the images to fine-tune it with."""

    network: nn.Module
    architecture: Architecture
    info: dict[str, Any]
    device: str
    learned: Images
    held_out: Images
    test: Images
    auxiliary: Auxiliary

    @classmethod
    def read(cls, options: argparse.Namespace) -> _Task:
        """Returns the network that the weights hold, and the images.

        Raises ValueError if they do not go together, or FileNotFoundError if one is not there.
        """
        from heat_core.images import classifier
        from heat_core.images.datasets import read_images, split_validation

        device = device_of(options)
        network, architecture, info = classifier.load(options.weights)
        name = _of_training("id", info.get("id"), options.id)
        count = _of_training("held-out", info.get("held_out_images"), options.held_out)
        train, test = (read_images(name, options.root, split) for split in ("train", "test"))
        for images in (train, test):
            if images.skipped:
                _say([f"{name} ({images.split}): {images.skipped_text}."])
        if len(train.classes) != architecture.classes:
            raise ValueError(
                f"{options.weights} tells {architecture.classes} classes apart, and {name} has "
                f"{len(train.classes)}; wanted the dataset that it was trained on."
            )
        learned, held_out = split_validation(train, count)
        auxiliary = _read_auxiliary(options, train, learned, test)
        return cls(
            network.to(device), architecture, info, device, learned, held_out, test, auxiliary
        )

    def accuracy(self, images: Images) -> float:
        from heat_core.images.classifier import evaluate

        return evaluate(self.network, self.architecture, images, self.device)


def _of_training(option: str, of_weights: Any, asked: Any) -> Any:
    """Returns what the weights say of their training, or else what was asked for.

    Raises ValueError if neither says it, or both say something else.
    """
    if of_weights and asked and of_weights != asked:
        raise ValueError(f"the network was trained with --{option} {of_weights}, got {asked}.")
    if not (of_weights or asked):
        raise ValueError(
            f"the weights do not say with which --{option} they were trained; give it."
        )
    return of_weights or asked


def _read_auxiliary(
    options: argparse.Namespace, train: Images, learned: Images, test: Images
) -> Auxiliary:
    """Returns the auxiliary images, and says how many there are, and what was left out."""
    from heat_core.images.auxiliary import DESTROYED, destroyed_auxiliary, read_auxiliary

    if options.auxiliary == DESTROYED:
        auxiliary = destroyed_auxiliary(learned, options.seed)
    else:
        auxiliary = read_auxiliary(
            options.auxiliary, train, test, options.root, lambda text: _say([text])
        )
    _say(auxiliary.sentences())
    return auxiliary


def _objective(task: _Task, options: argparse.Namespace) -> ClassifierObjective:
    """Returns the objective asked for, and says its margins and what to doubt about them."""
    from heat_core.images.finetuning import energy_bounded, sample_logits
    from heat_core.training.classifier_objectives import (
        OutlierExposure,
        free_energy,
        margin_warnings,
    )

    weight = {"weight": options.weight} if options.weight else {}
    if options.objective == "outlier-exposure":
        return OutlierExposure(**weight)
    id_logits, auxiliary_logits = (
        sample_logits(task.network, task.architecture, images, task.device)
        for images in (task.learned, task.auxiliary.images)
    )
    objective = energy_bounded(id_logits, auxiliary_logits, **_margins(options), **weight)
    energies = free_energy(id_logits), free_energy(auxiliary_logits)
    margins = objective.id_margin, objective.auxiliary_margin
    _say(
        [
            f"Mean energies before: {energies[0].mean():.2f} of ID images, "
            f"{energies[1].mean():.2f} of auxiliary images. "
            f"Margins: {margins[0]:g} and {margins[1]:g}."
        ]
    )
    doubts = margin_warnings(*energies, *margins)
    _say(f"Warning: {doubt}" for doubt in doubts)
    return objective


def _margins(options: argparse.Namespace) -> dict[str, float]:
    """Returns the margins that were asked for, by name."""
    margins = {"id_margin": options.id_margin, "auxiliary_margin": options.auxiliary_margin}
    return {name: margin for name, margin in margins.items() if margin is not None}


def _training_info(
    task: _Task, objective: ClassifierObjective, options: argparse.Namespace
) -> dict[str, Any]:
    """Returns how the network was trained and will be fine-tuned, but for its new accuracies."""
    from heat_core.images.classifier import fingerprint

    resembles = [*task.info.get("resembles", []), *task.auxiliary.resembles]
    return task.info | {
        "id": task.test.name,
        "classes": list(task.test.classes),
        "train_images": len(task.learned),
        "held_out_images": len(task.held_out),
        "resembles": list(dict.fromkeys(resembles)),
        "finetuned": {
            "from": fingerprint(task.network),
            "test_accuracy_before": task.accuracy(task.test),
            "objective": options.objective,
            **asdict(objective),
            "epochs": options.epochs,
            "lr": options.lr,
            "seed": options.seed,
            "auxiliary": task.auxiliary.title,
            "auxiliary_images": len(task.auxiliary.images),
            "left_out": dict(task.auxiliary.left_out),
        },
    }


def _train(task: _Task, objective: ClassifierObjective, options: argparse.Namespace) -> None:
    """Fine-tunes the network in place. Raises Interrupted if ctrl-C left a checkpoint."""
    from heat_core.images import finetuning

    config = finetuning.FinetuneConfig(epochs=options.epochs, lr=options.lr)
    checkpoint = _checkpoint(options)
    try:
        finetuning.finetune(
            task.network,
            task.architecture,
            task.learned,
            task.auxiliary.images,
            task.held_out,
            objective,
            checkpoint,
            config,
            options.seed,
            task.device,
            partial(report_training, epochs=config.epochs, batch=config.batch),
        )
    except KeyboardInterrupt:
        if not checkpoint.exists():
            raise
        raise Interrupted(f"the same command goes on from {checkpoint}") from None


def _checkpoint(options: argparse.Namespace) -> Path:
    return options.out.with_suffix(".checkpoint")


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr, flush=True)


FINETUNE = Command(
    name="finetune",
    run=finetune,
    add_options=_finetune_options,
    summary="Fine-tune a classifier against auxiliary images; goes on after a kill.",
    example="--weights runs/cifar10.safetensors --root data --auxiliary cifar100 "
    "--out runs/finetuned.safetensors",
)
