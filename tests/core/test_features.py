"""Features files and packs: what is written is read back exactly, and what is not right is refused in one line."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from safetensors.torch import save

from heat_core.features import Features, Head, features_from_arrays, read_features, write_features
from heat_core.files import whole_folder, write_whole
from heat_core.pack import Pack, pack_from_arrays, pack_from_npz, read_pack, write_pack

Arrays = dict[str, np.ndarray]


def refused(act: Callable[[], object], *words: str) -> str:
    """Returns the one line that `act` refuses its input with, which holds every word."""
    with pytest.raises(ValueError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) > 10
    for word in words:
        assert word in message
    return message


def harmless_or_refused(act: Callable[[], object]) -> None:
    try:
        act()
    except ValueError as error:
        message = str(error)
    else:
        return
    assert "\n" not in message


def same(one: Features, other: Features) -> None:
    assert one.source == other.source
    assert set(one.views) == set(other.views)
    pairs = [(one.z, other.z), (one.y, other.y), (one.index, other.index)]
    pairs += [(one.views[name], other.views[name]) for name in one.views]
    assert (one.head is None) == (other.head is None)
    if one.head is not None and other.head is not None:
        pairs += [(one.head.weight, other.head.weight), (one.head.bias, other.head.bias)]
    for a, b in pairs:
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


@st.composite
def some_features(draw: st.DrawFn) -> Features:
    rows, dim = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    numbers = st.floats(-6e4, 6e4, width=np.dtype(dtype).itemsize * 8)  # type: ignore[arg-type]

    def matrix(*shape: int) -> torch.Tensor:
        return torch.from_numpy(draw(numpy_strategies.arrays(dtype, shape, elements=numbers)))

    classes = draw(st.integers(1, 4))
    labels = draw(
        st.none() | numpy_strategies.arrays(np.int64, rows, elements=st.integers(0, classes - 1))
    )
    head = Head(matrix(classes, dim), matrix(classes)) if draw(st.booleans()) else None
    views = {
        name: matrix(rows, dim + 1)
        for name in draw(st.sets(st.sampled_from(["std", "max", "x y"])))
    }
    index = draw(
        st.none() | numpy_strategies.arrays(np.int64, rows, elements=st.integers(0, 2**60))
    )
    whole = [None if a is None else torch.from_numpy(a) for a in (labels, index)]
    return Features(
        matrix(rows, dim),
        whole[0],
        head,
        views,
        whole[1],
        draw(st.sampled_from(["", "cifar10/test", "ä/ß"])),
    )


@given(some_features())
def test_a_features_file_gives_back_what_was_written(tmp_path: Path, features: Features) -> None:
    write_features(features, tmp_path / "f.safetensors")
    same(read_features(tmp_path / "f.safetensors"), features)


@given(some_features())
def test_an_npz_gives_the_same_features(tmp_path: Path, features: Features) -> None:
    tensors = {"z": features.z, "y": features.y} | {
        f"z__{name}": view for name, view in features.views.items()
    }
    if features.head is not None:
        tensors |= {"weight": features.head.weight, "bias": features.head.bias}
    np.savez(
        tmp_path / "f.npz",
        **{name: value.numpy() for name, value in tensors.items() if value is not None},
    )
    same(
        read_features(tmp_path / "f.npz"),
        Features(features.z, features.y, features.head, features.views),
    )


# -- damaged files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path: Path, train: Features) -> Path:
    write_features(train, tmp_path / "f.safetensors")
    return tmp_path / "f.safetensors"


@given(cut=st.floats(0, 1, exclude_max=True))
def test_a_truncated_features_file_is_refused(written: Path, cut: float) -> None:
    whole = written.read_bytes()
    part = written.with_name("cut.safetensors")
    part.write_bytes(whole[: int(cut * len(whole))])
    refused(lambda: read_features(part), "cut.safetensors")


@given(cut=st.floats(0, 1, exclude_max=True))
def test_a_truncated_npz_is_refused(tmp_path: Path, arrays: Arrays, cut: float) -> None:
    whole = tmp_path / "whole.npz"
    if not whole.exists():
        np.savez_compressed(whole, **arrays)
    content = whole.read_bytes()
    part = tmp_path / "cut.npz"
    part.write_bytes(content[: int(cut * len(content))])
    refused(lambda: pack_from_npz(part), "cut.npz")
    refused(lambda: read_features(part), "cut.npz")


@given(content=st.binary(max_size=300), suffix=st.sampled_from([".npz", ".safetensors", ".bin"]))
def test_random_bytes_are_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(content)
    refused(lambda: read_features(path), path.name)
    refused(lambda: pack_from_npz(path), path.name)


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), packed=st.booleans())
@settings(max_examples=150)
def test_a_flipped_bit_is_refused_or_harmless(
    tmp_path: Path, arrays: Arrays, place: float, bit: int, packed: bool
) -> None:
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(
        buffer, **{key: arrays[key][:4] for key in ("train_z", "train_y", "bias")}
    )
    content = bytearray(buffer.getvalue())
    content[int(place * len(content))] ^= 1 << bit
    (tmp_path / "flip.npz").write_bytes(content)
    for reader in (read_features, pack_from_npz):
        harmless_or_refused(partial(reader, tmp_path / "flip.npz"))


@given(
    name=st.sampled_from(["z", "y", "train_z"]),
    content=st.binary(max_size=200),
    header=st.booleans(),
)
def test_a_zip_that_holds_no_arrays_is_refused(
    tmp_path: Path, name: str, content: bytes, header: bool
) -> None:
    with zipfile.ZipFile(tmp_path / "z.npz", "w") as archive:
        archive.writestr(f"{name}.npy", (b"\x93NUMPY\x01\x00" if header else b"") + content)
    refused(lambda: read_features(tmp_path / "z.npz"), "z.npz")
    refused(lambda: pack_from_npz(tmp_path / "z.npz"), "z.npz")


def test_a_pickle_in_an_npz_is_refused_and_not_run(tmp_path: Path, arrays: Arrays) -> None:
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (Path.touch, (ran,))

    np.savez(
        tmp_path / "p.npz",
        allow_pickle=True,
        **(arrays | {"near_a": np.array([Trap()], dtype=object)}),
    )
    refused(lambda: pack_from_npz(tmp_path / "p.npz"), "pickle", "wanted plain arrays")
    np.savez(tmp_path / "q.npz", allow_pickle=True, z=np.array([Trap()], dtype=object))
    refused(lambda: read_features(tmp_path / "q.npz"), "pickle")
    assert not ran.exists()


def test_a_file_of_another_kind_or_version_is_refused(tmp_path: Path, train: Features) -> None:
    path = tmp_path / "f.safetensors"
    for meta, words in (
        (None, ["no format heat-features"]),
        ({"format": "pt"}, ["no format heat-features"]),
        ({"format": "heat-features", "version": "2"}, ["version 2", "reads version 1"]),
        ({"format": "heat-features"}, ["version None"]),
    ):
        path.write_bytes(save({"z": train.z}, meta))
        refused(lambda: read_features(path), *words)
    path.write_bytes(save({"x": train.z}, {"format": "heat-features", "version": "1"}))
    refused(lambda: read_features(path), "wanted an array z, got x")
    path.write_bytes(save({}, {"format": "heat-features", "version": "1"}))
    refused(lambda: read_features(path), "got no array")
    path.write_bytes(save({"z": train.z.bfloat16()}, {"format": "heat-features", "version": "1"}))
    refused(lambda: read_features(path), "got bfloat16")
    refused(lambda: read_features(tmp_path / "none.safetensors"), "no such file")
    refused(lambda: read_features(tmp_path / "none.npz"), "no such file")
    refused(lambda: read_features(tmp_path), "no such file")


# -- arrays that are not what they should be ---------------------------------------------------------------------------

Z = np.ones((4, 3), dtype=np.float32)
BAD_FEATURES: dict[str, tuple[Arrays, tuple[str, ...]]] = {
    "no z": ({"y": np.arange(4)}, ("wanted an array z", "got y")),
    "nothing": ({}, ("got no array",)),
    "nan": ({"z": np.array([[1.0, np.nan]])}, ("finite", "nan at [0, 1]")),
    "inf": ({"z": np.array([[1.0], [-np.inf]])}, ("finite", "-inf at [1, 0]")),
    "rank 0": ({"z": np.float32(1)}, ("(N, d)",)),
    "rank 1": ({"z": Z[0]}, ("(N, d)", "(3,)")),
    "rank 3": ({"z": Z[None]}, ("(N, d)", "(1, 4, 3)")),
    "no rows": ({"z": Z[:0]}, ("(0, 3)",)),
    "no columns": ({"z": Z[:, :0]}, ("(4, 0)",)),
    "whole": ({"z": Z.astype(int)}, ("z must be float", "int64")),
    "unsigned": ({"z": Z.astype(np.uint8)}, ("z must be",)),
    "bool": ({"z": Z > 0}, ("z must be numbers", "bool")),
    "complex": ({"z": Z.astype(complex)}, ("z must be numbers", "complex128")),
    "text": ({"z": Z.astype(str)}, ("z must be numbers", "U")),
    "dates": ({"z": np.zeros((4, 3), "M8[s]")}, ("z must be numbers", "datetime64")),
    "records": ({"z": np.zeros(4, [("a", "f4")])}, ("z must be numbers",)),
    "long double": (
        {"z": Z.astype(np.longdouble)},
        ("z must be numbers", str(np.dtype(np.longdouble))),
    ),
    "labels short": (
        {"z": Z, "y": np.arange(3)},
        ("y must be whole numbers of shape (4,)", "(3,)"),
    ),
    "labels float": ({"z": Z, "y": np.arange(4.0)}, ("y must be whole numbers", "float64")),
    "labels wide": ({"z": Z, "y": np.arange(4)[:, None]}, ("y must be whole numbers", "(4, 1)")),
    "labels negative": ({"z": Z, "y": np.arange(4) - 1}, ("y must be 0 or more", "-1")),
    "labels huge": (
        {"z": Z, "y": np.full(4, 2**64 - 1, np.uint64)},
        ("y must fit", "18446744073709551615"),
    ),
    "labels beyond": (
        {"z": Z, "y": np.arange(4), "weight": Z, "bias": Z[:3, 0]},
        ("bias must have shape (4,)",),
    ),
    "label beyond the head": (
        {"z": Z, "y": np.arange(4) + 1, "weight": Z, "bias": Z[:, 0]},
        ("0..3", "got 4"),
    ),
    "weight alone": ({"z": Z, "weight": Z}, ("weight alone",)),
    "bias alone": ({"z": Z, "bias": Z[0]}, ("bias alone",)),
    "weight narrow": (
        {"z": Z, "weight": Z[:, :2], "bias": Z[:, 0]},
        ("weight must have shape (C, 3)", "(4, 2)"),
    ),
    "weight flat": ({"z": Z, "weight": Z[0], "bias": Z[0]}, ("weight must have shape (C, d)",)),
    "weight nan": ({"z": Z, "weight": Z * np.nan, "bias": Z[:, 0]}, ("weight must be finite",)),
    "view rows": ({"z": Z, "z__std": Z[:2]}, ("z__std must have shape (4, d)", "(2, 3)")),
    "view nan": ({"z": Z, "z__std": Z * np.nan}, ("z__std must be finite",)),
    "view rank": ({"z": Z, "z__std": Z[:, 0]}, ("z__std must have shape",)),
}


@pytest.mark.parametrize("bad", BAD_FEATURES)
def test_bad_features_are_refused(bad: str, tmp_path: Path) -> None:
    arrays, words = BAD_FEATURES[bad]
    np.savez(tmp_path / "bad.npz", **arrays)
    refused(lambda: read_features(tmp_path / "bad.npz"), "bad.npz", *words)


def _with(**changed: object) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {key: np.asarray(value) for key, value in changed.items()}


def _without(*keys: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {key: value for key, value in arrays.items() if key not in keys}


BAD_PACKS: dict[str, tuple[Callable[[Arrays], Arrays], tuple[str, ...]]] = {
    "no train_z": (_without("train_z"), ("train_z",)),
    "no train_y": (_without("train_y"), ("train_y is missing",)),
    "no test_z": (_without("test_z"), ("test_z",)),
    "no OOD set": (_without("near_a", "near_b", "mid_c", "far_d"), ("no OOD set", "near_NAME")),
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
    "view of nothing": (_with(near_z__std=[[1.0]]), ("unknown array 'near_z__std'",)),
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


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_byte_order_and_precision_are_kept(order: str, dtype: str, tmp_path: Path) -> None:
    z = np.arange(6).reshape(2, 3).astype(order + dtype)
    np.savez(tmp_path / "f.npz", z=np.asfortranarray(z), y=np.arange(2, dtype=order + "u2"))
    found = read_features(tmp_path / "f.npz")
    assert found.z.dtype == {"f2": torch.float16, "f4": torch.float32, "f8": torch.float64}[dtype]
    assert found.z.tolist() == z.tolist()
    assert found.y is not None
    assert found.y.tolist() == [0, 1]


# -- packs -------------------------------------------------------------------------------------------------------------


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
    for (_, one), (_, other) in zip(pack.sets(), again.sets(), strict=True):
        same(one, other)
    assert list(again.ood) == [("near", "a"), ("near", "b"), ("mid", "c"), ("far", "d")]
    assert list(again.extra.pseudo) == ["x"]
    assert again.title == "mine"
    assert again.train.z.numpy().tobytes() == arrays["train_z"].tobytes()
    assert again.test.head is None
    assert not list(tmp_path.glob("packs/.*"))


def test_what_a_pack_may_leave_out(arrays: Arrays) -> None:
    pack = pack_from_arrays(
        _without("test_y", "weight", "bias", "near_a", "near_b", "mid_c")(arrays)
    )
    assert pack.test.y is None
    assert pack.train.head is None
    assert list(pack.ood) == [("far", "d")]


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
    "no OOD set": (lambda p: _edit_card(p, order=["train", "test"]), ("no OOD set",)),
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


# -- whole or not at all -----------------------------------------------------------------------------------------------


def test_an_interrupted_file_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "f", b"old")

    def broken(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="no space"):
        write_whole(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


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


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a").write_text("old")
    plain = Path.replace

    def breaks(self: Path, target: Path) -> Path:
        if (self / "new").exists():
            raise OSError("the disk is gone")
        return plain(self, target)

    monkeypatch.setattr(Path, "replace", breaks)
    with pytest.raises(OSError, match="disk"), whole_folder(tmp_path / "f") as part:
        (part / "new").write_text("new")
    assert (tmp_path / "f" / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with whole_folder(tmp_path / "deep" / "f") as part:
            (part / name).write_text(name)
    assert [path.name for path in (tmp_path / "deep" / "f").iterdir()] == ["b"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["f"]


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, arrays):
    np.savez_compressed(
        tmp_path / "bomb.npz", **arrays, near_zeros=np.zeros((100_000, 12), np.float32)
    )
    with pytest.raises(ValueError, match=r"bytes when unpacked; at most 100,000 are taken"):
        pack_from_npz(tmp_path / "bomb.npz", limit=100_000)


def test_features_too_large_for_float32_are_refused():
    with pytest.raises(ValueError, match=r"must lie within 1e\+15 of 0, got 1e\+20"):
        Features(torch.full((3, 2), 1e20))


def test_a_single_number_is_named_as_what_it_is() -> None:
    with pytest.raises(ValueError, match=r"got \(\)"):
        features_from_arrays({"z": np.array(3.0)}, "z", "y")
