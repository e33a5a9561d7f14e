"""Npz files from anybody: what they say of themselves, and how much of them is taken."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from heat_core.npz import FileLimits, OverLimit, check_npz, npz_headers
from heat_core.pack import pack_from_arrays
from tests.checks import refused

Arrays = dict[str, np.ndarray]


def test_headers_say_what_numpy_reads(tmp_path: Path, arrays: Arrays) -> None:
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    headers = npz_headers(tmp_path / "a.npz")
    assert {key: header.shape for key, header in headers.items()} == {
        key: array.shape for key, array in arrays.items()
    }
    kept = sum(array.nbytes for array in arrays.values())  # float32 and int64, kept as they are
    assert check_npz(tmp_path / "a.npz", FileLimits()) == kept


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (FileLimits(arrays=9), "more than 9 arrays; at most 9 are taken."),
        (FileLimits(rows=757), "758 rows in all arrays; at most 757 are taken."),
        (FileLimits(width=11), "train_z has 12 columns; at most 11 are taken."),
        (FileLimits(classes=3), "weight has 4 classes; at most 3 are taken."),
        (FileLimits(kept_bytes=100), "bytes when unpacked; at most 100 are taken."),
    ],
)
def test_what_is_too_large_is_refused_with_what_came_and_what_is_taken(
    tmp_path: Path, arrays: Arrays, limits: FileLimits, words: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(OverLimit) as caught:
        check_npz(tmp_path / "a.npz", limits)
    assert words in str(caught.value)


def test_whole_numbers_count_as_they_are_kept(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", train_y=np.zeros(1000, np.uint8))
    assert check_npz(tmp_path / "a.npz", FileLimits()) == 8000


def _header(shape: tuple[int, ...]) -> bytes:
    """Returns the start of an array of floats; its numbers are missing."""
    content = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, header)
    return content.getvalue()


def _write_members(path: Path, *members: tuple[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)


@pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6)])
def test_a_header_that_claims_more_than_is_there_is_refused_unread(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    _write_members(tmp_path / "a.npz", ("train_z.npy", _header(shape)))
    with pytest.raises(OverLimit):
        check_npz(tmp_path / "a.npz", FileLimits())


@pytest.mark.parametrize(
    "members",
    [
        (("a.npy", b"no array"),),
        (("a.npy", b""),),
        (("a.npy", b"\x93NUMPY\x01\x00\x0c\x00{'shape': 3}"),),
        (("a.npy", b"\x93NUMPY\x03\x00"),),
        (("a.npy", _header((-3, -5))),),
    ],
)
def test_what_is_no_array_is_refused_in_a_line(
    tmp_path: Path, members: tuple[tuple[str, bytes], ...]
) -> None:
    _write_members(tmp_path / "a.npz", *members)
    refused(lambda: check_npz(tmp_path / "a.npz", FileLimits()), "not a readable npz file")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    _write_members(tmp_path / "a.npz", *(("a.npy", _header((0,))),) * 2)
    refused(lambda: check_npz(tmp_path / "a.npz", FileLimits()), "holds a twice")


class _Key(str):
    """The key of an array, which counts how often its beginning is looked at."""

    looks = 0

    def startswith(self, *arguments) -> bool:
        _Key.looks += 1
        return super().startswith(*arguments)


def test_a_key_is_looked_at_as_often_however_many_sets_there_are(arrays: Arrays) -> None:
    def looks(sets: int) -> int:
        z = arrays["near_a"][:1]
        keyed = {_Key(key): array for key, array in arrays.items()}
        keyed |= {_Key(f"far_{i}"): z for i in range(sets)}
        _Key.looks = 0
        pack_from_arrays(keyed)
        return _Key.looks

    assert 0 < looks(200) < 3 * looks(100)


def test_of_many_arrays_a_refusal_names_the_first(arrays: Arrays) -> None:
    many = {f"near_{i}": arrays["near_a"] for i in range(1000)}
    line = refused(lambda: pack_from_arrays(many), "wanted an array train_z", "and 980 more")
    assert len(line) < 400


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_header_that_unpacks_to_much_is_refused_without_unpacking_it(
    tmp_path: Path, compression: int
) -> None:
    size = 64 * 2**20
    beginning = b"\x93NUMPY\x02\x00" + size.to_bytes(4, "little")
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", compression) as archive:
        archive.writestr("train_z.npy", beginning + bytes(size))
    assert (tmp_path / "bomb.npz").stat().st_size < 10**5
    tracemalloc.start()
    with pytest.raises(ValueError, match="not a readable npz file"):
        check_npz(tmp_path / "bomb.npz", FileLimits())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * 2**20
