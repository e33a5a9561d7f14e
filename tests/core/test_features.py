"""Features files: what is written is read back, and what is not right is refused in one line."""

from __future__ import annotations

import io
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from safetensors.torch import save

from heat_core.features import (
    Features,
    Head,
    Moments,
    features_from_arrays,
    read_features,
    write_features,
)
from heat_core.pack import pack_from_npz
from tests.checks import assert_same_features, harmless_or_refused, refused

Arrays = dict[str, np.ndarray]


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
    assert_same_features(read_features(tmp_path / "f.safetensors"), features)


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
    assert_same_features(
        read_features(tmp_path / "f.npz"),
        Features(features.z, features.y, features.head, features.views),
    )


# -- damaged files ---------------------------------------------------------------------------------


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
    refused(lambda: read_features(tmp_path), "no such file (it is a folder)")
    np.save(tmp_path / "z.npy", Z)
    wanted = "not a whole safetensors file; wanted features of a pack, or an .npz with z"
    refused(lambda: read_features(tmp_path / "z.npy"), wanted)


# -- arrays that are not what they should be -------------------------------------------------------

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
    "weight transposed": (
        {"z": Z, "weight": Z[:2].T, "bias": Z[:2, 0]},
        ("weight must have shape (2, 3) as bias and z say, got (3, 2)", "wanted weight.T"),
    ),
    "weight transposed or bias short": (
        {"z": Z, "weight": Z, "bias": Z[0]},
        ("bias must have shape (4,) as weight of shape (4, 3)", "or else weight is transposed"),
    ),
    "labels short or features transposed": (
        {"z": Z, "y": np.arange(3)},
        ("got int64 (3,), or else z is transposed: wanted (N, d)",),
    ),
    "labels from one": (
        {"z": Z, "y": np.arange(4) % 2 + 1, "weight": Z[:2], "bias": Z[:2, 0]},
        ("0..1", "labels count from 0, and these seem to count from 1"),
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


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_byte_order_and_precision_are_kept(order: str, dtype: str, tmp_path: Path) -> None:
    z = np.arange(6).reshape(2, 3).astype(order + dtype)
    np.savez(tmp_path / "f.npz", z=np.asfortranarray(z), y=np.arange(2, dtype=order + "u2"))
    features = read_features(tmp_path / "f.npz")
    assert (
        features.z.dtype == {"f2": torch.float16, "f4": torch.float32, "f8": torch.float64}[dtype]
    )
    assert features.z.tolist() == z.tolist()
    assert features.y is not None
    assert features.y.tolist() == [0, 1]


def test_features_too_large_for_float32_are_refused():
    with pytest.raises(ValueError, match=r"must lie within 1e\+15 of 0, got 1e\+20"):
        Features(torch.full((3, 2), 1e20))


def test_a_single_number_is_named_as_what_it_is() -> None:
    with pytest.raises(ValueError, match=r"got \(\)"):
        features_from_arrays({"z": np.array(3.0)}, "z", "y")


# -- heads and moments -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_are_as_precise_as_the_features(dtype: torch.dtype, train: Features) -> None:
    assert train.head is not None
    z = train.z.to(dtype)
    logits = train.head.logits(z)
    assert logits.dtype == dtype
    assert torch.equal(logits, z @ train.head.weight.to(dtype).T + train.head.bias.to(dtype))
    assert torch.allclose(train.head.logits(z[0]), logits[0])


def test_moments_take_a_precision() -> None:
    moments = Moments(torch.tensor([3.0, 1.0]), torch.rand(2, 5), torch.eye(5))
    precise = moments.to("cpu", torch.float64)
    assert {precise.count.dtype, precise.means.dtype, precise.covariance.dtype} == {torch.float64}
    assert torch.equal(precise.means, moments.means.double())


def test_labels_that_are_not_read_are_not_judged(tmp_path: Path) -> None:
    """OpenOOD labels what is OOD -1; to score it, its labels do not matter."""
    np.savez(tmp_path / "ood.npz", z=np.ones((3, 2)), y=np.full(3, -1))
    assert read_features(tmp_path / "ood.npz", with_labels=False).y is None
    with pytest.raises(ValueError, match="y must be 0 or more, got -1"):
        read_features(tmp_path / "ood.npz")
    write_features(Features(torch.ones(3, 2), torch.arange(3)), tmp_path / "id.safetensors")
    assert read_features(tmp_path / "id.safetensors", with_labels=False).y is None
