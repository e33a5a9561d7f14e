"""A network and image datasets become a pack, set by set, in steps that survive a kill.

Every set is extracted in shards of at most `SHARD` images into a folder beside the pack; a shard
that is there already is read, so a killed extraction loses one. The folder goes when the pack is
written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from heat_core.energies import moments_of, on_sphere
from heat_core.features import Features, Head, Moments, read_features, write_features
from heat_core.files import write_whole
from heat_core.pack import (
    AVAILABLE_ROWS_KEY,
    MIRROR,
    MIRRORED,
    RESEMBLES,
    ExtraID,
    Pack,
    SetName,
    check_set_name,
    only_resembling_text,
)
from heat_core.splits import stratified_rows

from .classifier import FINGERPRINT_KEY, fingerprint, pixels_tensor
from .datasets import FOLDER, PAPERS_ID, Images, find_dataset, read_images
from .extract import (
    EarlyLayer,
    Extractor,
    Transform,
    check_network,
    extract,
    head_of,
    logits_difference,
)
from .pseudo import FAMILIES, TWO_FAMILIES, destroy
from .thumbnails import encode_sheet

SHARD = 5000
LONG_VALUE = 60  # characters of a setting and another; longer ones are not written out
FIRST_BATCH = 32  # images of each set that are read before any hour is spent
RowIndices = NDArray[np.int64]
OnImages = Callable[[str, int, int], None]
"""A callback of a set's name, the images of it that are done, and how many it has."""

OnMessage = Callable[[str], None]  # of a line on what was found, before the extraction


@dataclass(frozen=True)
class Contents:
    """The datasets of a pack, and how many images of each.

    Args:
        id_name: the in-distribution dataset.
        ood_names: OOD datasets.
        train_rows: rows of the bank of training features, chosen from all that the network saw;
            their moments are of all.
        test_rows: ID test rows.
        ood_rows: rows an OOD set.
        pseudo_rows: destroyed training images a pseudo-OOD family, and held-out ones; that of two
            families in a row has four times as many of the first and twice of the second. 0 leaves
            the families out.

    Example:
        >>> contents = Contents("cifar10", ("mnist", "folder:holidays/beach"))
        >>> [short_name(name) for name in contents.ood_names]
        ['mnist', 'beach']
    """

    id_name: str
    ood_names: tuple[str, ...]
    train_rows: int = 6000
    test_rows: int = 10_000
    ood_rows: int = 1000
    pseudo_rows: tuple[int, ...] = (200, 80)

    def __post_init__(self) -> None:
        if min(self.train_rows, self.test_rows, self.ood_rows) < 1:
            raise ValueError(
                f"rows must be at least 1, got {self.train_rows} to train, "
                f"{self.test_rows} to test, {self.ood_rows} of OOD sets."
            )
        if len(self.pseudo_rows) != 2 or min(self.pseudo_rows) < 0:
            raise ValueError(
                "pseudo-OOD rows must be two numbers of 0 or more, "
                f"got {', '.join(map(str, self.pseudo_rows))}."
            )
        if not self.ood_names:
            raise ValueError("wanted at least one OOD set, got none.")
        splits = find_dataset(self.id_name).splits
        if not {"train", "test"} <= set(splits):
            raise ValueError(
                "the in-distribution dataset must have the splits train and test; "
                f"{self.id_name} has {', '.join(splits)}."
            )
        if self.id_name in self.ood_names:
            raise ValueError(
                f"an OOD set must not be the in-distribution one, got {self.id_name} as both."
            )
        names = [short_name(name) for name in self.ood_names]
        for ood_name, name in zip(self.ood_names, names, strict=True):
            check_set_name(str(self.set_name(ood_name)))
            if names.count(name) > 1:
                raise ValueError(
                    f"OOD sets must have names of their own, got {name} {names.count(name)} times."
                )

    def set_name(self, ood_name: str) -> SetName:
        """Returns what the set of an OOD dataset is called in the pack. Raises ValueError."""
        group = find_dataset(ood_name).group_beside(self.id_name)
        return SetName(group, short_name(ood_name))


def short_name(name: str) -> str:
    """Returns what a dataset is called in a pack: a folder by its own name.

    >>> short_name("folder:holidays/beach"), short_name("mnist[8-9]")
    ('beach', 'mnist-8-9')
    """
    if name.startswith(FOLDER):
        return Path(name.removeprefix(FOLDER)).name
    return name.replace("[", "-").removesuffix("]")


def build_pack(
    extractor: Extractor,
    training_info: Mapping[str, Any],
    contents: Contents,
    roots: Sequence[Path],
    work: Path,
    on_progress: OnImages = lambda name, done, total: None,
    on_message: OnMessage = lambda text: None,
) -> Pack:
    """Returns the pack; its shards stay in `work` until `work` is deleted.

    Before the first shard it reads a batch of every dataset, and all labels.

    Args:
        extractor: the network; with `odin` set, the sets it scores have that view.
        training_info: of the network's file: `held_out_images` of the training split, chosen as
            `datasets.split_validation` chooses, were not learned from and become `val`; `classes`
            and accuracies go on the card.
        roots: folders with the datasets.
        on_progress: called after every batch; `seen` are all images that the network learned from.
        on_message: called, once all is checked, with a line on how images are normalised, and one
            on each dataset of which files are left out.

    Raises:
        FileNotFoundError: a dataset is not there.
        ValueError: a dataset or the network cannot be read, the network's features do not fit
            `extractor.dtype`, a class would have no row, or `work` holds the shards of another
            extraction, or the network was fine-tuned against images like those of all OOD sets.
    """
    check_network(extractor)
    _check_averaged(training_info, contents)
    skipped_texts: list[str] = []
    ood_images = [read_images(name, roots) for name in contents.ood_names]
    for split in ood_images:
        skipped_texts += _check_first_batch(extractor, split)
    images = read_images(contents.id_name, roots, "train")
    test_images = read_images(contents.id_name, roots, "test")
    rows = _TrainRows.of(images, int(training_info.get("held_out_images", 0)), contents.train_rows)
    head = None if extractor.layer else head_of(extractor.network)
    _check_labels(images, test_images, rows, head)
    for split in (images, test_images):
        skipped_texts += _check_first_batch(extractor, split)
    _check_settings(work, extractor, training_info, contents)
    for text in (*_readings(extractor), *skipped_texts):
        on_message(text)
    plain = _Shards(
        replace(extractor, odin=False), work, on_progress
    )  # ODIN takes three times as long
    seen = plain.read_or_extract("seen", images, rows.learned)  # its view `early` is averages
    moments = _moments_of_views(extractor, seen)
    extractor = _fit_early_layer(extractor, moments)
    sets = _Sets(_Shards(extractor, work, on_progress))
    train = sets.features_with_thumbnails("train", images, rows.bank)
    extra = ExtraID(
        sets.features("val", images, rows.held_out) if len(rows.held_out) else None,
        sets.families("pseudo", images, rows.learned, contents.pseudo_rows[0]),
        sets.families("pseudoval", images, rows.held_out, contents.pseudo_rows[1]),
    )
    test_rows = stratified_rows(test_images.labels, contents.test_rows)
    test = sets.features_with_thumbnails("test", test_images, test_rows)
    ood = sets.ood(contents, ood_images)
    train = replace(train, head=head, moments=moments)
    pack = Pack(train, test, ood, extra, {}, sets.thumbnails)
    card = make_card(
        contents.id_name, extractor, training_info, pack, sets.images, len(rows.learned)
    )
    if head is not None:
        first = pixels_tensor(images)[:FIRST_BATCH]
        card["classifier"]["logits_difference"] = logits_difference(extractor, head, first)
    return replace(pack, card=card)


def delete_shards(work: Path) -> None:
    """Deletes the folder of the shards."""
    shutil.rmtree(work, ignore_errors=True)


def _readings(extractor: Extractor) -> Iterator[str]:
    """Gives a line on how images are normalised, on the mirror, and on the earlier layer."""
    yield f"Images: {extractor.architecture.normalisation}."
    if extractor.mirror:
        yield f"Mirror images: {MIRRORED}."
    yield f"Earlier layer: {extractor.early_layer.layer if extractor.early_layer else 'none'}."


def _check_averaged(training_info: Mapping[str, Any], contents: Contents) -> None:
    """Raises ValueError if the network was fine-tuned against images like those of all OOD sets."""
    names = [short_name(name) for name in contents.ood_names]
    if set(names) <= set(training_info.get(RESEMBLES, [])):
        raise ValueError(only_resembling_text(names))


def _check_first_batch(extractor: Extractor, images: Images) -> list[str]:
    """Reads the first images of a split; returns a line if files of it are left out.

    Raises ValueError if their features cannot be stored.
    """
    replace(extractor, odin=False)(pixels_tensor(images)[:FIRST_BATCH])
    if not images.skipped:
        return []
    return [f"{find_dataset(images.name).title} ({images.split}): {images.skipped_text}."]


@dataclass(frozen=True, eq=False)
class _TrainRows:
    """Rows of the training split: learned from, held out, and those of the bank."""

    learned: RowIndices
    held_out: RowIndices
    bank: RowIndices

    @classmethod
    def of(cls, images: Images, held_out_count: int, bank_count: int) -> _TrainRows:
        """Returns the rows. Raises ValueError if none is left to learn from."""
        held_out = stratified_rows(images.labels, held_out_count)
        learned = np.setdiff1d(np.arange(len(images)), held_out)  # what the network learned from
        if not len(learned):
            raise ValueError(
                f"the network's file says that it held out {held_out_count:,} training images, "
                f"and {images.name} has {len(images):,}: none is left that it learned from."
            )
        bank = learned[stratified_rows(images.labels[learned], bank_count)]
        return cls(learned, held_out, bank)


def _check_labels(images: Images, test: Images, rows: _TrainRows, head: Head | None) -> None:
    """Raises ValueError if the network lacks a class, or the training rows do."""
    classes = np.unique(np.concatenate([images.labels, test.labels]))
    if head is not None and len(head.weight) <= classes.max():
        raise ValueError(
            f"{images.name} has {classes.max() + 1} classes, and the network's last layer "
            f"{len(head.weight)}; wanted a network that was trained on {images.name}."
        )
    learned_classes, counts = np.unique(images.labels[rows.learned], return_counts=True)
    missing = np.setdiff1d(classes, images.labels[rows.bank])
    if not len(missing):
        return
    names = ", ".join(images.classes[label] for label in missing[:5])
    names += ", ..." if len(missing) > 5 else ""
    if len(np.setdiff1d(missing, learned_classes)):
        raise ValueError(
            f"no training image of {names} is left for the bank, but other images of "
            f"{images.name} are; wanted at least one a class."
        )
    # Rows are picked at equal distances from all images sorted by class.
    enough = int(np.ceil((len(rows.learned) - 1) / counts.min())) + 1
    raise ValueError(
        f"{len(rows.bank):,} training rows leave {len(missing)} of {len(classes)} classes without "
        f"one ({names}); {min(enough, len(rows.learned)):,} are enough (--train-rows)."
    )


def _check_settings(
    work: Path, extractor: Extractor, training_info: Mapping[str, Any], contents: Contents
) -> None:
    """Writes what the shards in `work` will be of, or else checks it. Raises ValueError."""
    settings: dict[str, Any] = {
        FINGERPRINT_KEY: fingerprint(extractor.network),
        "architecture": asdict(extractor.architecture),
        "layer": extractor.layer,
        "std": extractor.std,
        "odin": extractor.odin,
        "early": extractor.early_layer.layer if extractor.early_layer else "",
        "dtype": str(extractor.dtype),
        "contents": {  # as version 0.1 calls them, so that its extractions go on
            "inside": contents.id_name,
            "outside": contents.ood_names,
            "train": contents.train_rows,
            "test": contents.test_rows,
            "ood": contents.ood_rows,
            "family": contents.pseudo_rows,
        },
        "held_out_images": training_info.get("held_out_images", 0),
    }
    if extractor.mirror:  # version 0.1 had none and wrote nothing of it
        settings["mirror"] = True
    file = work / "settings.json"
    if file.is_file():
        _check_same(work, _read_settings(file), json.loads(json.dumps(settings)))
    elif next(work.glob("*.safetensors"), None):
        raise ValueError(f"{work} holds shards, and no settings.json says of what; delete it.")
    else:
        write_whole(file, json.dumps(settings, indent=2, sort_keys=True).encode())


def _read_settings(file: Path) -> dict[str, Any]:
    """Returns what shards are of. Raises ValueError if that cannot be read."""
    try:
        settings = json.loads(file.read_text())
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(
            f"{file} does not say what the shards beside it are of; delete {file.parent}."
        )
    return settings


def _check_same(work: Path, settings: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises ValueError naming the settings of the shards in `work` that are not those wanted."""
    differences = []
    for name in sorted({*settings, *wanted}):
        there, here = settings.get(name, False), wanted.get(name, False)
        if there == here:
            continue
        values = f"{json.dumps(there)}, not {json.dumps(here)}"
        differences.append(f"{name} {values if len(values) < LONG_VALUE else 'different'}")
    if differences:
        raise ValueError(
            f"{work} holds the shards of an extraction with other settings "
            f"({'; '.join(differences)}); delete it or give them again."
        )


# -- sets ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Shards:
    """Features of rows, from the shards in `work` or else from the network."""

    extractor: Extractor
    work: Path
    on_progress: OnImages

    def read_or_extract(
        self, name: str, images: Images, rows: RowIndices, transform: Transform | None = None
    ) -> Features:
        """Returns the features of rows (n,), shard by shard."""
        shards = []
        for number, start in enumerate(range(0, len(rows), SHARD)):
            file = self.work / f"{name}-{number:04}.safetensors"
            if not file.is_file():
                part = rows[start : start + SHARD]
                features = extract(
                    self.extractor,
                    images,
                    part,
                    transform,
                    on_batch=lambda done, start=start: self.on_progress(
                        name, start + done, len(rows)
                    ),
                )
                write_features(features, file)
            shards.append(read_features(file))
        return _concatenate(shards)


@dataclass(frozen=True, eq=False)
class _Sets:
    """The sets of a pack; what their images were, and small copies where that is allowed."""

    shards: _Shards
    images: dict[str, Images] = field(default_factory=dict)  # without their pixels
    thumbnails: dict[str, bytes] = field(default_factory=dict)

    def features(self, name: str, images: Images, rows: RowIndices) -> Features:
        """Returns the features of rows (n,)."""
        self.images[name] = images.take(rows[:0], images.split)
        return self.shards.read_or_extract(name, images, rows)

    def features_with_thumbnails(self, name: str, images: Images, rows: RowIndices) -> Features:
        """Returns the features of rows (n,), and makes thumbnails if they may be handed on."""
        if find_dataset(images.name).shareable:
            self.thumbnails[name] = encode_sheet(images.pixels[rows])
        return self.features(name, images, rows)

    def ood(self, contents: Contents, ood_images: Sequence[Images]) -> dict[SetName, Features]:
        """Returns {set: features}; their classes mean nothing to the network."""
        sets = {}
        for name, images in zip(contents.ood_names, ood_images, strict=True):
            rows = stratified_rows(images.labels, contents.ood_rows)
            key = contents.set_name(name)
            sets[key] = replace(self.features_with_thumbnails(str(key), images, rows), y=None)
        return sets

    def families(
        self, group: str, images: Images, rows: RowIndices, count: int
    ) -> dict[str, Features]:
        """Returns the pseudo-OOD families made of rows (n,), each of rows of its own choice.

        Args:
            group: `pseudo`, of images that the network learned from, or `pseudoval`.
            count: images a family; none if 0.
        """
        if not count or not len(rows):
            return {}
        factor = 4 if group == "pseudo" else 2  # of that of two families in a row
        noise_seed = 0 if group == "pseudo" else 1
        families = {}
        for seed, family in enumerate((*FAMILIES, TWO_FAMILIES)):
            size = count * factor if family == TWO_FAMILIES else count
            chosen_rows = rows[stratified_rows(images.labels[rows], size, seed)]
            # Shuffled, since some families mix an image with the next one: of another class.
            shuffled = np.random.default_rng(seed).permutation(chosen_rows)
            transform = partial(destroy, family=family, seed=noise_seed)
            features = self.shards.read_or_extract(
                str(SetName(group, family)), images, shuffled, transform
            )
            families[family] = replace(features, y=None)
        return families


def _concatenate(shards: Sequence[Features]) -> Features:
    """Returns the rows of shards in one."""
    first = shards[0]
    if len(shards) == 1:
        return first
    labels = [shard.y for shard in shards if shard.y is not None]
    index = [shard.index for shard in shards if shard.index is not None]
    views = {name: torch.cat([shard.views[name] for shard in shards]) for name in first.views}
    z = torch.cat([shard.z for shard in shards])
    return Features(z, torch.cat(labels), None, views, torch.cat(index), first.source)


def _moments_of_views(extractor: Extractor, features: Features) -> dict[str, Moments]:
    """Returns the moments of z and its views, as they are and on the sphere."""
    moments = {}
    for name in ("z", *features.views):
        if name != "early":
            view = features.view(name)
            moments[name] = moments_of(view)
            moments[f"unit {name}"] = moments_of(on_sphere(view))
    if extractor.early_layer is not None:
        averages = features.view("early")
        moments[f"unit {extractor.early_layer.layer}"] = moments_of(on_sphere(averages))
    return moments


def _fit_early_layer(extractor: Extractor, moments: Mapping[str, Moments]) -> Extractor:
    """Returns the extractor with the energy of its earlier layer, if it reads one."""
    if extractor.early_layer is None:
        return extractor
    layer = extractor.early_layer.layer
    return replace(extractor, early_layer=EarlyLayer.of(layer, moments[f"unit {layer}"]))


# -- card ------------------------------------------------------------------------------------------


def make_card(
    id_name: str,
    extractor: Extractor,
    training_info: Mapping[str, Any],
    pack: Pack,
    images: Mapping[str, Images],
    learned_count: int,
) -> dict[str, Any]:
    """Returns the card of an extracted pack: the network, its accuracy, and every set.

    Args:
        images: {set: what its images were}, of all but the pseudo-OOD families.
        learned_count: images that the network learned from.
    """
    title = find_dataset(id_name).title
    architecture = extractor.architecture
    network = architecture.model
    if architecture.channels:
        network = f"{network} of widths {', '.join(map(str, architecture.channels))}"
    classifier = {"architecture": asdict(architecture), "layer": extractor.layer}
    if extractor.early_layer:
        classifier["early"] = extractor.early_layer.layer  # key of version 0.1
    classifier[MIRROR] = extractor.mirror
    if extractor.mirror and extractor.odin:
        classifier["odin"] = "the mean of the scores of an image and its mirror image"
    classifier |= {FINGERPRINT_KEY: fingerprint(extractor.network), **training_info}
    sets = {
        name: _describe(name, features, images.get(name), id_name) for name, features in pack.sets()
    }
    sets["train"][AVAILABLE_ROWS_KEY] = learned_count
    return {
        "title": f"{title}, {network}",
        "id": title,
        "classes": training_info.get("classes", []),
        "classifier": classifier,
        "sets": sets,
    }


def _describe(name: str, features: Features, images: Images | None, id_name: str) -> dict[str, Any]:
    """Returns the entry of a set on the card: its rows, attribution and licence, and so on.

    Args:
        images: of the set; None of a pseudo-OOD family.
    """
    dataset_name, _, split = features.source.rpartition("/")
    dataset = find_dataset(dataset_name)
    entry: dict[str, Any] = {
        "title": dataset.title,
        "split": split,
        "rows": len(features),
        "source": dataset.attribution,  # key of version 0.1
        "licence": dataset.licence,
    }
    if images is None:
        return entry | {"family": SetName.parse(name).short_name}
    is_complete = 0 < dataset.complete_classes <= len(images.classes)
    is_of_paper = find_dataset(id_name).base in PAPERS_ID
    if dataset.stands_in_for and is_of_paper and not is_complete:
        entry["stands_in_for"] = dataset.stands_in_for
    if images.skipped:
        # keys of version 0.1: their number, and a sentence
        entry["skipped"] = len(images.skipped)
        entry["skipped_files"] = images.skipped_text
    return entry
