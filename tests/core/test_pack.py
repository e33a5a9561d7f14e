"""Packs: arrays and folders become one, and what is not right is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from heat_core.features import Features, write_features
from heat_core.npz import FileLimits, OverLimit
from heat_core.pack import Pack, pack_from_arrays, pack_from_npz, read_pack, write_pack
from tests.checks import assert_same_features, harmless_or_refused, refused

Arrays = dict[str, np.ndarray]


# -- arrays ----------------------------------------------------------------------------------------


def _with(**changed: object) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {key: np.asarray(value) for key, value in changed.items()}


def _without(*keys: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {key: value for key, value in arrays.items() if key not in keys}


def _worded(arrays: Arrays, words: str) -> Arrays:
    """Returns the arrays with labels that are letters, by number."""
    letters = np.array(list(words))
    return arrays | {key: letters[arrays[key]] for key in ("train_y", "test_y")}


BAD_PACKS: dict[str, tuple[Callable[[Arrays], Arrays], tuple[str, ...]]] = {
    "no train_z": (_without("train_z"), ("train_z",)),
    "no train_y": (_without("train_y"), ("train_y is missing",)),
    "no test_z": (_without("test_z"), ("test_z",)),
    "words and numbers": (
        lambda a: a | {"train_y": a["train_y"].astype(str)},
        ("train_y holds words and test_y numbers",),
    ),
    "words beside a head": (
        lambda a: _worded(a, "bcad"),
        ("`classes` must name the rows of weight",),
    ),
    "a word that is no class": (
        lambda a: _worded(a, "abcd") | {"classes": np.array(["a", "b", "c"])},
        ("train_y has the label 'd'", "the classes are a, b, c"),
    ),
    "metadata of other length": (
        _with(far_d__meta_site=["a", "b"]),
        ("far_d", "column site must have 50 values", "got 2"),
    ),
    "metadata of two columns": (
        lambda a: a | {"far_d__meta_site": a["far_d"]},
        ("far_d__meta_site", "one value a row"),
    ),
    "metadata of nothing": (_with(near_z__meta_site=["a"]), ("near_z, which is not there",)),
    "weight without bias": (_without("bias"), ("train_z", "weight alone")),
    "bias without weight": (_without("weight"), ("bias alone",)),
    "one class": (lambda a: a | {"train_y": a["train_y"] * 0}, ("at least 2 classes", "class 0")),
    "label beyond": (lambda a: a | {"train_y": a["train_y"] + 1}, ("train_y", "0..3", "got 4")),
    "stray test label": (
        lambda a: a | {"train_y": np.minimum(a["train_y"], 2)},
        ("test_y", "got 3"),
    ),
    "label negative": (lambda a: a | {"test_y": a["test_y"] - 1}, ("test_y", "0 or more")),
    "OOD narrower": (lambda a: a | {"mid_c": a["mid_c"][:, :5]}, ("mid_c must have 12", "got 5")),
    "test wider": (
        lambda a: a | {"test_z": np.hstack([a["test_z"]] * 2)},
        ("test must have 12", "got 24"),
    ),
    "OOD nan": (lambda a: a | {"far_d": a["far_d"] * np.nan}, ("far_d", "finite")),
    "OOD empty": (lambda a: a | {"far_d": a["far_d"][:0]}, ("far_d", "(0, 12)")),
    "unknown key": (_with(train_x=[1.0]), ("unknown array 'train_x'", "wanted")),
    "unknown group": (_with(close_e=[[1.0]]), ("unknown array 'close_e'",)),
    "no name": (_with(near_=[[1.0]]), ("unknown array 'near_'",)),
    "view of nothing": (
        _with(near_z__std=[[1.0]]),
        ("unknown array 'near_z__std'", "a view, here of near_z, which is not there"),
    ),
    "a view that train has, of nothing": (
        lambda a: a | {"train_z__a__b": a["train_z"], "near_x__a__b": a["near_a"]},
        ("here of near_x",),
    ),
    "weight transposed": (
        lambda a: a | {"weight": a["weight"].T},
        ("weight must have shape (4, 12)", "got (12, 4)", "transposed; wanted weight.T"),
    ),
    "head transposed": (
        lambda a: a | {"weight": a["weight"].T, "bias": np.zeros(12, np.float32)},
        ("weight must have shape (C, 12)", "got (12, 4)", "transposed; wanted weight.T"),
    ),
    "bias a column": (
        lambda a: a | {"bias": a["bias"][:, None]},
        ("bias must have shape (4,)", "weight of shape (4, 12)", "got (4, 1)"),
    ),
    "features transposed": (
        lambda a: a | {"train_z": a["train_z"].T},
        ("train_y", "(240,), or else z is transposed: wanted (N, d)"),
    ),
    "labels from one": (
        lambda a: a | {"train_y": a["train_y"] + 1},
        ("0..3", "got 4: labels count from 0, and these seem to count from 1"),
    ),
    "view without a name": (lambda a: a | {"near_a__": a["near_a"]}, ("unknown array 'near_a__'",)),
    "view of labels": (_with(train_y__std=[[1.0]]), ("unknown array 'train_y__std'",)),
    "view that train lacks": (
        lambda a: a | {"near_a__std": a["near_a"]},
        ("the view std of near_a", "train has no such view"),
    ),
    "view narrower": (
        lambda a: a | {"train_z__std": a["train_z"], "near_a__std": a["near_a"][:, :4]},
        ("near_a has 4 col", "train has 12"),
    ),
    "a name with a folder": (lambda a: a | {"near_a/b": a["near_a"]}, ("near_a/b",)),
    "a name that climbs": (lambda a: a | {"near_/../../evil": a["near_a"]}, ("near_/../../evil",)),
    "a name with a backslash": (lambda a: a | {"near_\\x": a["near_a"]}, ("near_\\",)),
    "a name of two lines": (lambda a: a | {"near_a\nb": a["near_a"]}, ("near_a\\nb",)),
    "a very long name": (lambda a: a | {"near_" + 300 * "n": a["near_a"]}, ("near_nnn",)),
    "bool": (lambda a: a | {"near_a": a["near_a"] > 0}, ("near_a must be numbers", "bool")),
    "complex": (
        lambda a: a | {"train_z": a["train_z"] * 1j},
        ("train_z must be numbers", "complex"),
    ),
    "unsigned": (
        lambda a: a | {"test_z": a["test_z"].astype(np.uint16)},
        ("test_z", "must be float"),
    ),
}


@pytest.mark.parametrize("bad", BAD_PACKS)
def test_bad_packs_are_refused(bad: str, tmp_path: Path, arrays: Arrays) -> None:
    change, words = BAD_PACKS[bad]
    refused(lambda: pack_from_arrays(change(arrays)), *words)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "train_z",
                "train_y",
                "test_z",
                "test_y",
                "weight",
                "bias",
                "near_a",
                "far_b",
                "pseudo_c",
                "train_z__std",
            ]
        )
        | st.text(max_size=8),
        numpy_strategies.arrays(
            st.sampled_from(
                [
                    np.float16,
                    np.float32,
                    np.float64,
                    np.int64,
                    np.uint8,
                    np.bool_,
                    np.complex64,
                    "U3",
                ]
            ),
            numpy_strategies.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
        ),
        max_size=8,
    )
)
@settings(max_examples=150)
def test_any_arrays_make_a_pack_or_a_line(arrays: Arrays) -> None:
    harmless_or_refused(partial(pack_from_arrays, arrays))


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, arrays):
    np.savez_compressed(
        tmp_path / "bomb.npz", **arrays, near_zeros=np.zeros((100_000, 12), np.float32)
    )
    with pytest.raises(OverLimit, match=r"bytes when unpacked; at most 100,000 are taken"):
        pack_from_npz(tmp_path / "bomb.npz", FileLimits(kept_bytes=100_000))


def test_too_many_classes_are_refused(tmp_path, arrays):
    headless = _without("weight", "bias")(arrays)
    np.savez(tmp_path / "a.npz", **headless)
    with pytest.raises(OverLimit, match=r"a\.npz: train_y has 4 classes; at most 3 are taken"):
        pack_from_npz(tmp_path / "a.npz", FileLimits(classes=3))


# -- folders ---------------------------------------------------------------------------------------


@pytest.fixture
def pack(arrays: Arrays) -> Pack:
    extra = {
        "train_z__std": arrays["train_z"][:, :7],
        "near_a__std": arrays["near_a"][:, :7],
        "pseudo_blur": arrays["mid_c"],
    }
    return pack_from_arrays(arrays | extra, title="mine")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_pack_of_arrays_becomes_a_folder_and_comes_back(
    dtype: type, arrays: Arrays, tmp_path: Path
) -> None:
    arrays = {
        key: value.astype(dtype) if value.dtype.kind == "f" else value
        for key, value in arrays.items()
    }
    arrays |= {
        "train_z__std": arrays["train_z"][:, :7],
        "near_a__std": arrays["near_a"][:, :7],
        "pseudo_x": arrays["mid_c"],
    }
    np.savez(tmp_path / "mine.npz", **arrays)
    pack = pack_from_npz(tmp_path / "mine.npz")
    write_pack(pack, tmp_path / "packs" / "mine")
    again = read_pack(tmp_path / "packs" / "mine")
    assert [name for name, _ in again.sets()] == [name for name, _ in pack.sets()]
    for (_, written), (_, features) in zip(pack.sets(), again.sets(), strict=True):
        assert_same_features(written, features)
    assert list(again.ood) == [("near", "a"), ("near", "b"), ("mid", "c"), ("far", "d")]
    assert list(again.extra.pseudo) == ["x"]
    assert again.title == "mine"
    assert again.train.z.numpy().tobytes() == arrays["train_z"].tobytes()
    assert again.test.head is None
    assert not list(tmp_path.glob("packs/.*"))


@pytest.mark.parametrize("beside", [False, True])
def test_a_double_underscore_may_be_part_of_a_name(
    beside: bool, arrays: Arrays, tmp_path: Path
) -> None:
    """`near_places__365` is a set, also beside a set `near_places`: there is no view `365`."""
    own = {"near_places__365": arrays["far_d"], "pseudo_blur__4": arrays["mid_c"]}
    own |= {"train_z__std": arrays["train_z"], "near_places__365__std": arrays["far_d"]}
    if beside:
        own["near_places"] = arrays["near_a"]
    pack = pack_from_arrays(arrays | own)
    write_pack(pack, tmp_path / "pack")
    for each in (pack, read_pack(tmp_path / "pack")):
        places = each.ood["near", "places__365"]
        assert np.array_equal(places.z.numpy(), arrays["far_d"])
        assert list(places.views) == ["std"]
        assert (("near", "places") in each.ood) == beside
        assert list(each.extra.pseudo) == ["blur__4"]


def test_a_double_underscore_before_a_view_of_train_is_that_view(arrays: Arrays) -> None:
    views = {"train_z__365": arrays["train_z"], "near_a__365": arrays["near_a"]}
    pack = pack_from_arrays(arrays | views)
    assert list(pack.ood["near", "a"].views) == ["365"]
    assert ("near", "a__365") not in pack.ood


def test_what_a_pack_may_leave_out(arrays: Arrays) -> None:
    pack = pack_from_arrays(
        _without("test_y", "weight", "bias", "near_a", "near_b", "mid_c")(arrays)
    )
    assert pack.test.y is None
    assert pack.train.head is None
    assert list(pack.ood) == [("far", "d")]


@pytest.mark.parametrize(
    ("written", "rows"), [(4500, 4500), (10, 240), (None, 240), ("4500", 240), ([], 240)]
)
def test_a_card_says_how_many_rows_there_were(arrays: Arrays, written: object, rows: int) -> None:
    pack = replace(pack_from_arrays(arrays), card={"sets": {"train": {"moments_of": written}}})
    assert pack.available_rows("train") == rows
    assert pack.available_rows("far_d") == len(arrays["far_d"])


def _edit_card(folder: Path, **changed: object) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changed))


DAMAGE: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "no card": (lambda p: (p / "card.json").unlink(), ("not a pack", "card.json")),
    "card cut": (
        lambda p: (p / "card.json").write_bytes((p / "card.json").read_bytes()[:40]),
        ("card.json", "JSON"),
    ),
    "card of bytes": (
        lambda p: (p / "card.json").write_bytes(b"\xff\xfe\x00"),
        ("card.json", "JSON"),
    ),
    "card too deep": (lambda p: (p / "card.json").write_text("[" * 100_000), ("card.json", "JSON")),
    "card a list": (lambda p: (p / "card.json").write_text("[]"), ("no format heat-pack",)),
    "other version": (lambda p: _edit_card(p, version="9"), ("version 9", "reads version 1")),
    "no order": (lambda p: _edit_card(p, order=None), ("`order`",)),
    "order of numbers": (lambda p: _edit_card(p, order=[1, 2]), ("`order`",)),
    "order that climbs": (
        lambda p: _edit_card(p, order=["train", "test", "../far_d"]),
        ("`order`",),
    ),
    "no test": (lambda p: _edit_card(p, order=["train", "far_d"]), ("got no test",)),
    "set missing": (
        lambda p: (p / "far_d.safetensors").unlink(),
        ("far_d.safetensors", "no such file"),
    ),
    "set cut": (
        lambda p: (p / "far_d.safetensors").write_bytes(b"123"),
        ("far_d.safetensors", "not a whole"),
    ),
    "train cut": (lambda p: (p / "train.safetensors").write_bytes(b""), ("train.safetensors",)),
    "set of another width": (
        lambda p: write_features(Features(torch.ones(3, 5)), p / "far_d.safetensors"),
        ("far_d must have 12", "got 5"),
    ),
}


def test_labels_that_are_words_keep_their_names(arrays: Arrays) -> None:
    named = _worded(arrays, "bcad") | {"classes": np.array(list("bcad"))}
    pack = pack_from_arrays(named)
    assert pack.train.y is not None
    assert pack.train.y.tolist() == arrays["train_y"].tolist()
    assert [pack.class_name(label) for label in range(4)] == list("bcad")
    without_head = {key: named[key] for key in ("train_z", "train_y", "test_z", "test_y")}
    pack = pack_from_arrays(without_head)  # sorted: a, b, c, d
    assert pack.test.y is not None
    assert [pack.class_name(label) for label in pack.test.y.tolist()] == named["test_y"].tolist()


def test_metadata_stay_with_their_rows_in_a_pack_folder(arrays: Arrays, tmp_path: Path) -> None:
    rows = len(arrays["test_z"])
    sites = np.array([f"S{i % 3}" for i in range(rows)])
    heat = np.where(np.arange(rows) == 1, np.nan, np.arange(rows))
    own = {"test_z__meta_site": sites, "test_z__meta_heat": heat, "test_z__meta_id": sites}
    one_number = {"far_d__meta_site": np.arange(len(arrays["far_d"]))}  # a text beside `S0`
    write_pack(pack_from_arrays(arrays | own | one_number), tmp_path / "pack")
    pack = read_pack(tmp_path / "pack")
    assert pack.metadata_columns == ("heat", "site")
    assert pack.test.take(torch.tensor([4, 1])).metadata["site"].texts() == ["S1", "S1"]
    assert pack.test.metadata["heat"].texts()[:3] == ["0", "", "2"]
    assert pack.test.view("z").metadata["id"].texts() == sites.tolist()
    assert dict(pack.sets())["far_d"].metadata["site"].texts()[7] == "7"
    assert pack.train.metadata == {}


def test_a_pack_without_ood_sets_is_written_and_read(arrays: Arrays, tmp_path: Path) -> None:
    write_pack(
        pack_from_arrays(_without("near_a", "near_b", "mid_c", "far_d")(arrays)), tmp_path / "p"
    )
    assert dict(read_pack(tmp_path / "p").ood) == {}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_pack_is_refused(kind: str, pack: Pack, tmp_path: Path) -> None:
    write_pack(pack, tmp_path / "pack")
    damage, words = DAMAGE[kind]
    damage(tmp_path / "pack")
    refused(lambda: read_pack(tmp_path / "pack"), *words)


@given(
    content=st.binary(max_size=100)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda s: st.lists(s) | st.dictionaries(st.text(max_size=4), s),
    ).map(
        lambda value: json.dumps({"format": "heat-pack", "version": "1", "order": value}).encode()
    )
)
def test_any_card_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "card.json").write_bytes(content)
    refused(lambda: read_pack(tmp_path))


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_interrupted_pack_leaves_the_old_one(
    error: type[BaseException], pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pack(pack, tmp_path / "pack")
    before = {path.name: path.read_bytes() for path in (tmp_path / "pack").iterdir()}
    calls = []

    def breaks(features: Features, path: Path) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise error
        write_features(features, path)

    monkeypatch.setattr("heat_core.pack.write_features", breaks)
    with pytest.raises(error):
        write_pack(pack, tmp_path / "pack")
    assert {path.name: path.read_bytes() for path in (tmp_path / "pack").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


# -- folders that are odd, or change ---------------------------------------------------------------


def _change_card(folder: Path, **changed: object) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changed))


@pytest.mark.parametrize("method", [7, ["umap"], None, "", "a:b", "x" * 100])
def test_a_map_without_a_name_is_refused(tmp_path: Path, pack: Pack, method: object) -> None:
    write_pack(pack, tmp_path / "p")
    _change_card(tmp_path / "p", map={"method": method})
    line = refused(lambda: read_pack(tmp_path / "p"), "card.json", "`map` must be an object")
    assert len(line) < 300


def test_an_order_that_repeats_a_name_is_refused_in_a_short_line(
    tmp_path: Path, pack: Pack
) -> None:
    write_pack(pack, tmp_path / "p")
    order = [name for name, _ in pack.sets()]
    _change_card(tmp_path / "p", order=order + ["near_a"] * 100_000)
    refused(lambda: read_pack(tmp_path / "p"), "card.json", "got near_a 100,001 times")
    _change_card(tmp_path / "p", order=[["near_a"]] * 100_000)
    line = refused(lambda: read_pack(tmp_path / "p"), "`order` must list the names")
    assert len(line) < 300


def test_a_sheet_that_cannot_be_read_is_named(
    tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pack(pack, tmp_path / "p")
    (tmp_path / "p" / "test.webp").write_bytes(b"sheet")

    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    refused(lambda: read_pack(tmp_path / "p"), "test.webp: not readable (Permission denied)")


def test_sets_that_fine_tuning_knew_are_in_no_average(tmp_path: Path, pack: Pack) -> None:
    assert (pack.averaged, pack.apart_sentence) == (tuple(pack.ood), "")
    tuned = replace(pack, card={"classifier": {"resembles": ["b", "not here"]}})
    write_pack(tuned, tmp_path / "p")
    read = read_pack(tmp_path / "p")
    assert [str(name) for name in read.averaged] == ["near_a", "mid_c", "far_d"]
    assert "images like those of near_b (*): no average" in read.apart_sentence
    every_set = {"classifier": {"resembles": ["a", "b", "c", "d"]}}
    refused(lambda: replace(pack, card=every_set), "wanted an OOD set that it does not know")
    _change_card(tmp_path / "p", classifier={"resembles": "b"})
    refused(lambda: read_pack(tmp_path / "p"), "`classifier.resembles` must list names", "'b'")


@pytest.mark.parametrize("fails", [False, True])
def test_a_pack_that_is_replaced_while_it_is_read_is_one_of_the_two_and_no_mixture(
    tmp_path: Path, arrays: Arrays, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    from heat_core import pack as module

    sets = ("train_z", "test_z", "near_a", "near_b", "mid_c", "far_d")
    new = pack_from_arrays(arrays | {name: arrays[name] + 1 for name in sets}, "new")
    write_pack(pack_from_arrays(arrays, "old"), tmp_path / "p")
    read_features = module.read_features
    replacements = []

    def read_and_replace(path: Path) -> Features:
        features = read_features(path)
        if path.stem == "near_a" and not replacements:
            replacements.append(path)
            write_pack(new, tmp_path / "p")
            if fails:
                raise ValueError(f"{path}: no such file.")
        return features

    monkeypatch.setattr(module, "read_features", read_and_replace)
    pack = read_pack(tmp_path / "p")
    assert replacements
    for (_, features), (_, expected) in zip(pack.sets(), new.sets(), strict=True):
        assert_same_features(features, expected)


def test_a_pack_that_is_replaced_again_and_again_is_refused(
    tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    from heat_core import pack as module

    write_pack(pack, tmp_path / "p")
    read_folder = module._read_folder

    def read_and_replace(path: Path) -> Pack:
        pack = read_folder(path)
        write_pack(pack, path)
        return pack

    monkeypatch.setattr(module, "_read_folder", read_and_replace)
    refused(lambda: read_pack(tmp_path / "p"), "replaced 5 times while it was read")
