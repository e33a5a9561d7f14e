"""Images of a pack's rows: thumbnails, the user's folders, or a line on how to get them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from heat_core.features import Features
from heat_core.images import datasets
from heat_core.images.gallery import Gallery
from heat_core.images.thumbnails import decode_sheet, encode_sheet
from heat_core.pack import ExtraID, Pack


@pytest.fixture
def pack(train: Features, test: Features, far: Features, sheets: Path) -> Pack:
    """Test rows are the last 60 images of a dataset, with thumbnails.

    Near rows are the first of another one, without thumbnails.
    """
    index = torch.arange(40, 100)
    pixels = datasets.read_images("cifar10", [sheets], "test").pixels[index]
    test = replace(test, index=index, source="cifar10/test")
    near = replace(far, index=torch.arange(50).flip(0), source="cifar100/test")
    ood = {("near", "cifar100"): near, ("far", "own"): far}
    return Pack(train, test, ood, ExtraID(), {}, {"test": encode_sheet(pixels)})


def test_thumbnails_need_no_folder(pack: Pack) -> None:
    pixels = Gallery(pack).pixels("test", [3, 1])
    assert np.array_equal(pixels, decode_sheet(pack.thumbnails["test"])[[3, 1]])


def test_other_sets_come_from_the_users_folders(pack: Pack, sheets: Path) -> None:
    pixels = Gallery(pack, [sheets]).pixels("near_cifar100", [0, 49])
    assert np.array_equal(
        pixels, datasets.read_images("cifar100", [sheets], "test").pixels[[49, 0]]
    )


def test_what_is_not_there_says_how_to_get_it(pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(
        LookupError,
        match=r"CIFAR-100 is not at hand\. To see it: python -m heat_core fetch cifar100",
    ):
        Gallery(pack, [tmp_path]).pixels("near_cifar100", [0])
    with pytest.raises(LookupError, match="far_own came as features alone"):
        Gallery(pack, [tmp_path]).pixels("far_own", [0])


def test_it_knows_which_sets_it_has_images_of(pack: Pack, sheets: Path, tmp_path: Path) -> None:
    assert [Gallery(pack, [sheets]).has(name) for name in ("test", "near_cifar100", "far_own")] == [
        True,
        True,
        False,
    ]
    assert [
        Gallery(pack, [tmp_path]).has(name) for name in ("test", "near_cifar100", "far_own")
    ] == [True, False, False]


def test_destroyed_images_are_not_the_images_they_were_made_of(pack: Pack, sheets: Path) -> None:
    family = replace(pack.test, index=torch.arange(60), source="cifar10/test")
    pack = replace(pack, extra=ExtraID(pseudo={"blur": family}, pseudoval={"blur": family}))
    for name in ("pseudo_blur", "pseudoval_blur"):
        assert not Gallery(pack, [sheets]).has(name)
        with pytest.raises(LookupError, match=f"{name} was made of destroyed images"):
            Gallery(pack, [sheets]).pixels(name, [0])
