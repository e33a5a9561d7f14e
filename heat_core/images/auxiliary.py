"""Auxiliary images, which a classifier is fine-tuned against: OOD images, or destroyed ID ones.

OOD images must not be those that detectors are tested on, so every image that resembles one of a
test set is left out (`near_duplicates`), whatever the sets are called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from heat_core.arguments import check_seed
from heat_core.splits import stratified_rows

from .classifier import pixels_tensor
from .datasets import DATASETS, FOLDER, Images, find_dataset, read_images
from .near_duplicates import Hashes, near_duplicates, perceptual_hashes
from .packing import Contents, short_name
from .pseudo import FAMILIES, TWO_FAMILIES, destroy

DESTROYED = "destroyed"  # what asks for destroyed ID images in place of a dataset
RESEMBLING_SHARE = 0.01  # of a test set's images; more near duplicates, and the set is no stranger
TWO_FAMILIES_WEIGHT = 4  # shares of images destroyed twice in a row; every family has one
LEAST_A_FAMILY = 4  # images, since a collage takes four
DESTROYED_BATCH = 1000  # images that are destroyed at once, which bounds the memory


@dataclass(frozen=True, eq=False)
class Auxiliary:
    """Images to fine-tune against, and what they have to do with the sets to test on.

    Args:
        images: those that are left.
        available: how many there were.
        left_out: {set: how many resembled an image of it}; one may have resembled several.
        resembles: OOD datasets to test on that are of the same source, or share images: as packs
            call them. Their figures belong apart from those of other sets.
    """

    images: Images
    available: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    resembles: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the images are, such as `cifar100 (train)`."""
        return _title_of(self.images)

    def sentences(self) -> Iterator[str]:
        """Gives a line on how many images there are, and on each set that some resembled."""
        yield f"Auxiliary images: {len(self.images):,} of {self.title}."
        for name, count in self.left_out.items():
            yield (
                f"{count:,} of {self.available:,} auxiliary images resemble images of {name}: "
                "left out."
            )
        if self.resembles:
            yield (
                f"Sets like the auxiliary images: {', '.join(self.resembles)}; tables report them "
                "apart, in no average."
            )


def read_auxiliary(
    name: str,
    id_images: Images,
    id_test: Images,
    roots: Sequence[Path],
    on_message: Callable[[str], None] = lambda text: None,
) -> Auxiliary:
    """Returns the images of a dataset that resemble none of ID and none of a test set at hand.

    Of the test split of a dataset itself, the images that `extract` takes by default are left out.

    Args:
        name: as of `read_images`; its training split, if it has one, or `NAME:SPLIT`.
        id_images, id_test: all ID images, for training and for testing.
        roots: folders with the auxiliary dataset, and with those to test on.
        on_message: called with a line on what the images were held against.

    Raises:
        ValueError: it is the ID set, or resembles ID or test images entirely, or cannot be read.
        FileNotFoundError: no root has it.
    """
    name, split = _name_and_split(name)
    if name == id_images.name:
        raise ValueError(f"the auxiliary set must not be the ID set, got {name} as both.")
    images = read_images(name, roots, split)
    if not len(images):
        raise ValueError(f"{_title_of(images)} has no images; wanted auxiliary images.")
    if images.skipped:
        on_message(f"{_title_of(images)}: {images.skipped_text}.")
    # A mirrored copy is a copy, too: fine-tuning mirrors images at random.
    hashes = [perceptual_hashes(pixels) for pixels in (images.pixels, images.pixels[:, :, ::-1])]
    is_left_out = np.zeros(len(images), bool)
    left_out: dict[str, int] = {}
    resembles = [short_name(name)]
    test_sets = [id_test, *_test_sets(images, id_images.name, roots)]
    titles = ", ".join(_title_of(test_set) for test_set in test_sets)
    on_message(f"Auxiliary images are held against {_title_of(id_images)}, {titles}.")
    for other in (id_images, *test_sets):
        is_near, share = _resemblance(hashes, perceptual_hashes(other.pixels))
        if is_near.any():
            left_out[_title_of(other)] = int(is_near.sum())
        if share >= RESEMBLING_SHARE and other.name not in (id_images.name, *resembles):
            resembles.append(other.name)
        is_left_out |= is_near
    if is_left_out.all():
        raise ValueError(
            f"all {len(images):,} images of {_title_of(images)} resemble images of "
            f"{', '.join(left_out)}; wanted auxiliary images that are in no other set."
        )
    rest = images.take(np.flatnonzero(~is_left_out), images.split)
    return Auxiliary(rest, len(images), left_out, tuple(resembles))


def _resemblance(hashes: Sequence[Hashes], others: Hashes) -> tuple[NDArray[np.bool_], float]:
    """Returns which images (N,) have a near duplicate among others, and the share that are one.

    Args:
        hashes: (N,) of the images, and of what else they may look like.
        others: (M,).
    """
    found = [near_duplicates(own, others) for own in hashes]
    of_others = np.any([each.of_second for each in found], axis=0)
    return np.any([each.of_first for each in found], axis=0), float(of_others.mean())


def _name_and_split(name: str) -> tuple[str, str]:
    """Returns a dataset's name and the split asked for. Raises ValueError."""
    stem, _, split = name.partition(":")
    if name.startswith(FOLDER):
        stem, split = name, ""
    splits = find_dataset(stem).splits
    return stem, split or ("train" if "train" in splits else splits[0])


def _test_sets(auxiliary: Images, id_name: str, roots: Sequence[Path]) -> list[Images]:
    """Returns the OOD sets to test on that a root has.

    Of the auxiliary split itself, only the rows that `extract` takes.
    """
    test_sets = []
    for name in DATASETS:
        if name == id_name:
            continue
        try:
            images = read_images(name, roots)
        except FileNotFoundError:
            continue
        if (images.name, images.split) == (auxiliary.name, auxiliary.split):
            rows = stratified_rows(images.labels, Contents.ood_rows)
            images = images.take(rows, images.split)
        test_sets.append(images)
    return test_sets


def _title_of(images: Images) -> str:
    return f"{images.name} ({images.split})"


# -- destroyed images ------------------------------------------------------------------------------


def destroyed_auxiliary(images: Images, seed: int = 0) -> Auxiliary:
    """Returns ID training images, each destroyed once: auxiliary images without an OOD image.

    A share goes to each of `pseudo.FAMILIES`, and four to two of them in a row.

    Raises:
        ValueError: there are too few images, or their sides are no multiples of 4.
    """
    seed = check_seed(seed)
    families = (*FAMILIES, *[TWO_FAMILIES] * TWO_FAMILIES_WEIGHT)
    least = LEAST_A_FAMILY * len(families)
    if len(images) < least:
        raise ValueError(
            f"destroyed images need at least {least} training images, got {len(images):,}."
        )
    # Shuffled, since some families mix an image with the next one: of another class.
    shuffled = np.random.default_rng(seed).permutation(len(images))
    parts = np.array_split(shuffled, len(families))
    destroyed = np.empty_like(images.pixels)
    for family, family_rows in zip(families, parts, strict=True):
        for rows in np.array_split(family_rows, -(-len(family_rows) // DESTROYED_BATCH)):
            pixels = pixels_tensor(images)[torch.from_numpy(rows)]
            changed = destroy(pixels, family, int(rows[0]))
            destroyed[rows] = changed.permute(0, 2, 3, 1).numpy()
    auxiliary = Images(DESTROYED, images.name, destroyed, images.labels, images.classes)
    return Auxiliary(auxiliary, len(auxiliary))
