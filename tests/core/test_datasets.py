"""What is known of datasets, which root wins, and how rows are chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heat_core.images.datasets import (
    DATASETS,
    Images,
    find_dataset,
    read_images,
    split_validation,
)
from heat_core.splits import stratified_rows
from tests.samples import image_bytes, write_digits, write_files

# -- names -----------------------------------------------------------------------------------------


def test_the_first_root_that_has_it_wins(sheets: Path, tmp_path: Path) -> None:
    assert len(read_images("mnist", [tmp_path, sheets])) == 40
    write_digits(tmp_path, "MNIST", 3)
    assert len(read_images("mnist", [tmp_path, sheets])) == 3
    assert len(read_images("mnist", [sheets, tmp_path])) == 40


def test_what_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"CIFAR-10 \(train\) is not in .*fetch cifar10 --root"
    ):
        read_images("cifar10", [tmp_path])
    with pytest.raises(
        FileNotFoundError, match=r"LSUN \(val\) is not in .* To get it: download CLASS_val_lmdb.zip"
    ):
        read_images("lsun", [tmp_path])
    with pytest.raises(
        ValueError, match=r"dataset must be one of cifar10, .* or folder:PATH; got 'imagenet'"
    ):
        read_images("imagenet", [tmp_path])
    with pytest.raises(ValueError, match="textures has the splits all; got 'test'"):
        read_images("textures", [tmp_path], "test")


@pytest.mark.parametrize("name", DATASETS)
def test_what_no_root_has_names_a_way_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        read_images(name, [tmp_path])
    assert (f"fetch {name} --root {tmp_path}" in str(caught.value)) == (
        not DATASETS[name].manual_download
    )
    with pytest.raises(FileNotFoundError, match="is not in "):
        read_images(name, [])


def test_groups_are_the_papers_for_both_cifars() -> None:
    paper = {
        "tinyimagenet": "near",
        "lsun": "mid",
        "places365": "mid",
        "textures": "far",
        "svhn": "far",
    }
    assert {name: DATASETS[name].group_beside("cifar10") for name in paper} == paper
    assert {name: DATASETS[name].group_beside("cifar100") for name in paper} == paper
    cifars = {
        (name, of): DATASETS[name].group_beside(of)
        for name in ("cifar10", "cifar100")
        for of in ("cifar10", "cifar100")
    }
    assert [cifars[pair] for pair in sorted(cifars)] == ["in", "near", "near", "in"]


def test_some_classes_of_a_dataset_are_one_of_their_own(sheets: Path) -> None:
    whole = read_images("mnist", [sheets])
    some = read_images("mnist[1+8-9]", [sheets])
    rows = np.flatnonzero(np.isin(whole.labels, [1, 8, 9]))
    assert np.array_equal(some.pixels, whole.pixels[rows])
    assert [some.classes[label] for label in some.labels] == [
        whole.classes[label] for label in whole.labels[rows]
    ]
    assert some.classes == ("c1", "c8", "c9")
    assert (some.name, find_dataset(some.name).title) == ("mnist[1+8-9]", "MNIST 1+8-9")
    groups = {
        name: find_dataset(name).group_beside("mnist[0-7]")
        for name in ("mnist[0-7]", "mnist[8-9]", "fashion-mnist", "tinyimagenet", "cifar10")
    }
    assert list(groups.values()) == ["in", "near", "far", "far", "far"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mnist[3-1]", r"classes must be labels up to 9999, such as 0-4\+7; got 'mnist\[3-1\]'"),
        ("mnist[0-99999]", r"classes must be labels up to 9999, .* got 'mnist\[0-99999\]'"),
        ("mnist[]", r"dataset must be one of .*, some classes of one .* got 'mnist\[\]'"),
        ("mnist[a]", r"dataset must be one of .*; got 'mnist\[a\]'"),
        ("birds[0]", r"dataset must be one of .*; got 'birds\[0\]'"),
        (
            "mnist[0-10]",
            r"MNIST 0-10 \(test\) in .* it has classes 0 to 9; got 10 in mnist\[0-10\]",
        ),
    ],
)
def test_classes_that_are_not_there_are_refused(sheets: Path, name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_images(name, [sheets])


# -- size and count --------------------------------------------------------------------------------


def test_a_count_opens_only_the_chosen_files(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {f"{name}/{i}.png": image_bytes(i, "PNG") for name in ("x", "y") for i in range(20)},
    )
    images = read_images(f"folder:{tmp_path}", [], count=6, seed=1)
    assert np.bincount(images.labels).tolist() == [3, 3]
    rows = stratified_rows(np.repeat([0, 1], 20), 6, 1)
    files = sorted(tmp_path.rglob("*.png"))
    for i in set(range(40)) - set(rows.tolist()):
        files[i].write_bytes(b"damaged")
    again = read_images(f"folder:{tmp_path}", [], count=6, seed=1)
    assert np.array_equal(again.pixels, images.pixels)
    assert again.skipped == ()


def test_arrays_are_resized_and_counted_too(sheets: Path) -> None:
    whole, some = (
        read_images("cifar10", [sheets]),
        read_images("cifar10", [sheets], size=16, count=30),
    )
    rows = stratified_rows(whole.labels, 30)
    assert some.pixels.shape == (30, 16, 16, 3)
    assert np.array_equal(some.labels, whole.labels[rows])
    small = Image.fromarray(whole.pixels[rows[7]]).resize((16, 16), Image.Resampling.BILINEAR)
    assert np.array_equal(some.pixels[7], np.asarray(small))
    assert read_images("cifar10", [sheets], size=16, count=0).pixels.shape == (0, 16, 16, 3)


# -- splits ----------------------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match="holding out 100 images takes all of a; hold out fewer"):
        split_validation(images, 100)
