"""Extraction of a pack: what goes where, and that a kill loses one shard at most."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from heat_core.detectors.closed_form import MoG
from heat_core.energies import GaussianMixture, Normalized, moments_of, on_sphere
from heat_core.images import datasets, packing
from heat_core.images.classifier import Architecture
from heat_core.images.extract import EarlyLayer, Extractor, extract
from heat_core.images.packing import Contents, build_pack
from heat_core.images.pseudo import FAMILIES, TWO_FAMILIES
from heat_core.images.thumbnails import decode_sheet, encode_sheet
from heat_core.pack import Pack, read_pack, write_pack

TINY = Architecture("resnet18", layers=(1, 1, 1, 1), channels=(16, 16, 16, 8), small_stem=False)
CONTENTS = Contents(
    "cifar10", ("cifar100", "mnist"), train_rows=60, test_rows=30, ood_rows=20, pseudo_rows=(5, 2)
)
NOTES = {"held_out_images": 40, "test_accuracy": 0.1}


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    torch.manual_seed(0)
    network: nn.Module = TINY.build().eval()
    return Extractor(network, TINY, odin=True)


@pytest.fixture(scope="module")
def pack(extractor: Extractor, sheets: Path, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return build_pack(extractor, NOTES, CONTENTS, [sheets], tmp_path_factory.mktemp("work"))


def test_held_out_images_are_validation_and_nothing_else(pack: Pack, sheets: Path) -> None:
    images = datasets.read_images("cifar10", [sheets], "train")
    _, held_out = datasets.split_validation(images, 40)
    assert pack.extra.val is not None
    for features, count in ((pack.extra.val, 40), (pack.train, 60)):
        assert features.index is not None
        assert len(features) == len(set(features.index.tolist())) == count
        assert features.source == "cifar10/train"
    assert (images.pixels[pack.extra.val.index] == held_out.pixels).all()
    held_out = set(pack.extra.val.index.tolist())
    assert not held_out & set(pack.train.index.tolist())  # type: ignore[union-attr]
    for family in pack.extra.pseudo.values():
        assert not held_out & set(family.index.tolist())  # type: ignore[union-attr]
    for family in pack.extra.pseudoval.values():
        assert set(family.index.tolist()) <= held_out  # type: ignore[union-attr]


def test_moments_are_of_all_images_that_the_network_saw(
    pack: Pack, extractor: Extractor, sheets: Path
) -> None:
    images = datasets.read_images("cifar10", [sheets], "train")
    held_out = set(pack.extra.val.index.tolist())  # type: ignore[union-attr]
    seen = np.array([row for row in range(len(images)) if row not in held_out])
    whole = extract(Extractor(extractor.network, TINY), images, seen)
    assert set(pack.train.moments) == {"z", "unit z", "std", "unit std"}
    for name, features in {
        "z": whole,
        "unit z": on_sphere(whole),
        "unit std": on_sphere(whole.view("std")),
    }.items():
        wanted, got = moments_of(features), pack.train.moments[name]
        assert int(got.count.sum()) == 160
        assert torch.allclose(got.means, wanted.means, atol=1e-4)
        assert torch.allclose(got.covariance, wanted.covariance, atol=1e-4)
    mog, direct = MoG().fit(pack.train), Normalized(GaussianMixture(8, 10)).fit(whole)
    assert torch.allclose(mog(pack.test.z.float()), direct(pack.test.z.float()), rtol=1e-2)


def test_families_and_scores_are_where_they_belong(pack: Pack) -> None:
    assert list(pack.extra.pseudo) == list(pack.extra.pseudoval) == [*FAMILIES, TWO_FAMILIES]
    assert [len(f) for f in pack.extra.pseudo.values()] == [*[5] * 16, 20]
    assert all(f.y is None for _, f in pack.ood.items())
    assert all("odin" in features.views for _, features in pack.sets())
    assert pack.card["sets"]["train"]["moments_of"] == pack.available_rows("train") == 160
    assert pack.card["sets"]["pseudo_warp"]["family"] == "warp"
    assert pack.card["sets"]["far_mnist"]["stands_in_for"] == "SVHN"


def test_only_images_that_may_be_handed_on_come_as_thumbnails(pack: Pack, sheets: Path) -> None:
    """They follow the rows of their set."""
    assert set(pack.thumbnails) == {"train", "test", "far_mnist"}
    assert pack.test.index is not None
    pixels = datasets.read_images("cifar10", [sheets], "test").pixels[pack.test.index]
    assert pack.thumbnails["test"] == encode_sheet(pixels)
    assert np.array_equal(
        decode_sheet(pack.thumbnails["test"], len(pixels)),
        decode_sheet(encode_sheet(pixels), len(pixels)),
    )


def test_a_pack_comes_back_from_disk(pack: Pack, tmp_path: Path) -> None:
    write_pack(pack, tmp_path / "pack")
    again = read_pack(tmp_path / "pack")
    assert [name for name, _ in again.sets()] == [name for name, _ in pack.sets()]
    for (_, one), (_, other) in zip(pack.sets(), again.sets(), strict=True):
        assert torch.equal(one.z, other.z)
        assert all(torch.equal(view, other.views[name]) for name, view in one.views.items())
    assert again.thumbnails == pack.thumbnails
    assert torch.equal(
        again.train.moments["unit z"].covariance, pack.train.moments["unit z"].covariance
    )


EARLY = EarlyLayer("layer2")


@pytest.fixture(scope="module")
def mirrored(
    extractor: Extractor, sheets: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Pack, Pack]:
    """A pack with the mirror and all views, and one of the same images mirrored."""
    flipping = copy.deepcopy(extractor.network)
    flipping.register_forward_pre_hook(lambda module, inputs: (inputs[0].flip(3),))
    one, other = (
        build_pack(
            replace(
                extractor, network=network, mirror=True, early_layer=EARLY, dtype=torch.float32
            ),
            NOTES,
            CONTENTS,
            [sheets],
            tmp_path_factory.mktemp("mirrored"),
        )
        for network in (extractor.network, flipping)
    )
    return one, other


def test_no_set_of_a_mirrored_pack_knows_left_from_right(mirrored: tuple[Pack, Pack]) -> None:
    """Bank, held-out and test images, families and OOD, in z and every view."""
    one, other = mirrored
    assert [name for name, _ in one.sets()] == [name for name, _ in other.sets()]
    for (name, features), (_, of_mirrored) in zip(one.sets(), other.sets(), strict=True):
        assert set(features.views) == {"std", "odin", "early"}, name
        assert torch.allclose(features.z, of_mirrored.z, atol=1e-5), name
        for view in ("std", "odin", "early"):
            assert torch.allclose(features.views[view], of_mirrored.views[view], rtol=1e-6), name
    for name, moments in one.train.moments.items():
        assert torch.allclose(moments.means, other.train.moments[name].means, atol=1e-5)


def test_the_card_says_that_features_are_of_two_passes(
    mirrored: tuple[Pack, Pack], pack: Pack, tmp_path: Path
) -> None:
    card = mirrored[0].card["classifier"]
    assert (card["mirror"], card["early"]) == (True, "layer2")
    assert card["odin"] == "the mean of the scores of an image and its mirror image"
    assert card["logits_difference"] < 1e-5
    assert (pack.card["classifier"]["mirror"], pack.is_mirrored) == (False, False)
    assert "odin" not in pack.card["classifier"]
    write_pack(mirrored[0], tmp_path / "pack")
    again = read_pack(tmp_path / "pack")
    assert again.is_mirrored
    assert again.passes_sentence.startswith("Scores take two passes")


def test_a_card_that_says_nothing_clear_of_mirrors_is_refused(
    mirrored: tuple[Pack, Pack], tmp_path: Path
) -> None:
    classifier = mirrored[0].card["classifier"] | {"mirror": "yes"}
    odd = replace(mirrored[0], card={**mirrored[0].card, "classifier": classifier})
    write_pack(odd, tmp_path / "pack")
    with pytest.raises(ValueError, match=r"classifier.mirror` must be true or false, got 'yes'"):
        read_pack(tmp_path / "pack")


class Killed(Exception):
    pass


@pytest.mark.parametrize("mirror", [False, True])
def test_a_killed_extraction_goes_on_and_ends_the_same(
    mirror: bool,
    extractor: Extractor,
    sheets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extractor = replace(extractor, mirror=mirror)
    contents = replace(CONTENTS, ood_names=("mnist",), pseudo_rows=(5, 0))
    monkeypatch.setattr(packing, "SHARD", 50)  # 160 seen images are 4 shards
    done: list[str] = []

    def kill(what: str, images: int, total: int) -> None:
        done.append(what)
        if len(done) == 3:
            raise Killed

    with pytest.raises(Killed):
        build_pack(extractor, NOTES, contents, [sheets], tmp_path, kill)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "seen-0000.safetensors",
        "seen-0001.safetensors",
        "settings.json",
    ]
    again: list[str] = []
    resumed = build_pack(
        extractor,
        NOTES,
        contents,
        [sheets],
        tmp_path,
        lambda what, images, total: again.append(what),
    )
    whole: list[str] = []
    pack = build_pack(
        extractor,
        NOTES,
        contents,
        [sheets],
        tmp_path / "whole",
        lambda what, images, total: whole.append(what),
    )
    assert len(whole) - len(again) == 2
    assert torch.equal(resumed.train.z, pack.train.z)
    assert torch.equal(resumed.extra.pseudo["warp"].z, pack.extra.pseudo["warp"].z)


def test_progress_is_of_each_set_whatever_its_shards(
    extractor: Extractor, sheets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "SHARD", 50)
    done_of: dict[str, list[int]] = {}
    total_of: dict[str, int] = {}

    def note_progress(name: str, done: int, total: int) -> None:
        done_of.setdefault(name, []).append(done)
        assert total_of.setdefault(name, total) == total

    plain = replace(extractor, odin=False)
    pack = build_pack(plain, NOTES, CONTENTS, [sheets], tmp_path, note_progress)
    assert set(total_of) == {"seen", *(name for name, _ in pack.sets())}
    assert all(total_of[name] == len(features) for name, features in pack.sets())
    for name, done in done_of.items():
        assert done == sorted(set(done))
        assert done[-1] == total_of[name]


def test_shards_of_other_settings_are_refused(
    extractor: Extractor, sheets: Path, tmp_path: Path
) -> None:
    few = Contents(
        "cifar10", ("mnist",), train_rows=20, test_rows=10, ood_rows=5, pseudo_rows=(0, 0)
    )
    without = build_pack(extractor, {}, few, [sheets], tmp_path)
    assert without.extra.val is None
    assert not without.extra.pseudo
    with pytest.raises(
        ValueError,
        match=r"extraction with other settings \(held_out_images 0, not 40\); delete it",
    ):
        build_pack(extractor, NOTES, few, [sheets], tmp_path)


@pytest.mark.parametrize("first", [True, False])
def test_shards_with_the_mirror_and_without_are_never_mixed(
    first: bool, extractor: Extractor, sheets: Path, tmp_path: Path
) -> None:
    few = replace(CONTENTS, ood_names=("mnist",), train_rows=20, pseudo_rows=(0, 0))
    one, other = (replace(extractor, odin=False, mirror=mirror) for mirror in (first, not first))
    build_pack(one, NOTES, few, [sheets], tmp_path)
    there, here = ("true", "false") if first else ("false", "true")
    with pytest.raises(
        ValueError, match=rf"other settings \(mirror {there}, not {here}\); delete it or give them"
    ):
        build_pack(other, NOTES, few, [sheets], tmp_path)
    (tmp_path / "settings.json").unlink()
    with pytest.raises(ValueError, match=r"holds shards, and no settings\.json says of what"):
        build_pack(one, NOTES, few, [sheets], tmp_path)
    (tmp_path / "settings.json").write_text("cut")
    with pytest.raises(ValueError, match=r"settings\.json does not say what the shards .* delete"):
        build_pack(one, NOTES, few, [sheets], tmp_path)


def test_an_extraction_that_version_0_1_began_goes_on_without_the_mirror(
    extractor: Extractor, sheets: Path, tmp_path: Path
) -> None:
    """Its settings said nothing of mirrors."""
    few = replace(CONTENTS, ood_names=("mnist",), train_rows=20, pseudo_rows=(0, 0))
    build_pack(replace(extractor, odin=False), NOTES, few, [sheets], tmp_path)
    assert "mirror" not in json.loads((tmp_path / "settings.json").read_text())


def test_a_missing_dataset_is_named_before_anything_is_extracted(
    extractor: Extractor, sheets: Path, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="textures"):
        build_pack(
            extractor,
            NOTES,
            Contents("cifar10", ("textures",)),
            [sheets],
            tmp_path,
            lambda *news: pytest.fail("extracted"),
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_rows": 0}, "rows must be at least 1, got 0 to train"),
        ({"ood_rows": -5}, "rows must be at least 1"),
        ({"ood_names": ()}, "at least one OOD set, got none"),
        ({"id_name": "lsun"}, "must have the splits train and test; lsun has val"),
        ({"pseudo_rows": (5,)}, "two numbers of 0 or more, got 5"),
        ({"pseudo_rows": (5, -1)}, "two numbers of 0 or more, got 5, -1"),
        ({"ood_names": ("cifar10",)}, "must not be the in-distribution one, got cifar10"),
        ({"ood_names": ("folder:a/x", "folder:b/x")}, "names of their own, got x 2 times"),
        ({"ood_names": ("folder:a,b",)}, "got 'far_a,b'"),
        ({"ood_names": ("folder:/",)}, "got 'far_'"),
        ({"ood_names": (f"folder:{57 * 'a'}",)}, "with its group, must be up to 60 .* got 'far_a"),
    ],
)
def test_contents_that_cannot_be_are_refused_at_once(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Contents(**{"id_name": "cifar10", "ood_names": ("mnist",)} | change)


def test_a_network_that_takes_no_such_image_is_refused_at_once(
    sheets: Path, tmp_path: Path
) -> None:
    wide = Architecture("inception_v3", small_stem=False)
    with pytest.raises(
        ValueError, match="inception_v3 does not take images of 32 pixels: "
    ) as caught:
        build_pack(
            Extractor(wide.build(), wide),
            {},
            CONTENTS,
            [sheets],
            tmp_path,
            lambda *news: pytest.fail("extracted"),
        )
    assert not list(tmp_path.iterdir())  # so that another try is not refused
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "training_info", "message"),
    [
        (
            {"train_rows": 7},
            NOTES,
            r"7 training rows leave 3 of 10 classes without one \(.+\); 11 are enough",
        ),
        ({}, {"held_out_images": 200}, "held out 200 training images, .* none is left"),
        ({}, {"held_out_images": 195}, "no training image of c.* is left for the bank"),
    ],
)
def test_a_class_without_a_row_is_named_before_anything_is_extracted(
    change: dict,
    training_info: dict,
    message: str,
    extractor: Extractor,
    sheets: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match=message):
        build_pack(
            extractor,
            training_info,
            replace(CONTENTS, **change),
            [sheets],
            tmp_path / "work",
            lambda *news: pytest.fail("extracted"),
        )
    assert not (tmp_path / "work").exists()  # so that another try is not refused


def test_as_many_rows_as_the_message_says_are_enough(
    extractor: Extractor, sheets: Path, tmp_path: Path
) -> None:
    few = replace(CONTENTS, train_rows=11, pseudo_rows=(0, 0))
    pack = build_pack(extractor, NOTES, few, [sheets], tmp_path)
    assert pack.train.classes.tolist() == list(range(10))


def test_a_network_of_fewer_classes_is_refused_at_once(sheets: Path, tmp_path: Path) -> None:
    few = replace(TINY, classes=4)
    with pytest.raises(
        ValueError, match="cifar10 has 10 classes, and the network's last layer 4; wanted"
    ):
        build_pack(
            Extractor(few.build().eval(), few),
            {},
            CONTENTS,
            [sheets],
            tmp_path,
            lambda *news: pytest.fail("extracted"),
        )


def test_features_that_overflow_on_ood_images_alone_are_found_on_the_first_batch(
    extractor: Extractor, sheets: Path, tmp_path: Path
) -> None:
    """The OOD sets are extracted last, after hours."""
    from PIL import Image

    (tmp_path / "white").mkdir()
    for i in range(3):
        Image.new("RGB", (32, 32), "white").save(tmp_path / "white" / f"{i}.png")

    def explode(self: nn.Module, inputs: tuple) -> tuple:
        white = TINY.normalise(torch.full((1, 3, 32, 32), 255, dtype=torch.uint8))
        factor = 1e8 if (inputs[0] == white).all() else 1.0
        return (factor * inputs[0],)

    handle = extractor.network.register_forward_pre_hook(explode)
    try:
        with pytest.raises(ValueError, match="which float16 cannot hold"):
            build_pack(
                extractor,
                NOTES,
                replace(CONTENTS, ood_names=(f"folder:{tmp_path / 'white'}",)),
                [sheets],
                tmp_path / "work",
                lambda *news: pytest.fail("extracted"),
            )
    finally:
        handle.remove()


def test_files_that_are_left_out_are_counted_by_their_kind(
    extractor: Extractor, sheets: Path, tmp_path: Path
) -> None:
    from PIL import Image

    folder = tmp_path / "holidays"
    folder.mkdir()
    for i in range(4):
        Image.new("RGB", (40, 40), (50 * i, 0, 0)).save(folder / f"{i}.png")
    for i in range(36):
        (folder / f"IMG_{i}.{'HEIC' if i else 'txt'}").write_bytes(b"\0\0\0\x18ftypheic")
    few = replace(CONTENTS, ood_names=("mnist", f"folder:{folder}"), pseudo_rows=(0, 0))
    lines: list[str] = []
    pack = build_pack(extractor, NOTES, few, [sheets], tmp_path / "work", on_message=lines.append)
    text = "36 of 40 files left out (35 .heic, 1 .txt); the first: IMG_0.txt: not an image"
    assert lines[0] == f"Images: {TINY.normalisation}."
    assert lines[1] == "Earlier layer: none."
    assert lines[2].startswith(f"holidays (all): {text}")
    assert len(lines) == 3
    assert pack.card["sets"]["far_holidays"]["skipped_files"].startswith(text)
    assert "skipped_files" not in pack.card["sets"]["far_mnist"]
    assert pack.card["classifier"]["logits_difference"] < 1e-3


def test_a_damaged_image_among_whole_ones_is_skipped(
    extractor: Extractor, sheets: Path, tmp_path: Path
) -> None:
    from PIL import Image

    (tmp_path / "own").mkdir()
    for i in range(5):
        Image.new("RGB", (40, 40), (50 * i, 0, 0)).save(tmp_path / "own" / f"{i}.png")
    (tmp_path / "own" / "0.png").write_bytes(b"damaged")
    few = Contents(
        "cifar10",
        (f"folder:{tmp_path / 'own'}",),
        train_rows=20,
        test_rows=10,
        ood_rows=5,
        pseudo_rows=(0, 0),
    )
    pack = build_pack(extractor, {}, few, [sheets], tmp_path / "work")
    assert len(pack.ood["far", "own"]) == 4
    assert pack.card["sets"]["far_own"]["skipped"] == 1


def test_a_name_of_sixty_characters_with_its_group_is_taken() -> None:
    contents = Contents("cifar10", (f"folder:{56 * 'a'}",))
    assert len(str(contents.set_name(contents.ood_names[0]))) == 60
