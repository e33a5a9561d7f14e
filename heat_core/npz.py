"""Arrays in an npz file, which may come from anybody: no pickle, and no more than is allowed."""

from __future__ import annotations

import io
import math
import mmap
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from .progress import report_progress

MEMBER = b"PK\x01\x02"  # stands before each file in the directory of a zip archive
INTEGER_BYTES = 8  # whole numbers are kept as int64
# What numpy writes. What the others unpack to is in memory before it can be counted.
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MAX_HEADER_BYTES = 10_000  # of what a file says of an array; numpy takes no more, but reads it all


class OverLimit(ValueError):
    """More came than is taken; the message says of what, how much, and how much is taken."""


@dataclass(frozen=True)
class ArrayHeader:
    """What a file says of one of its arrays: its shape, and the type of its numbers.

    >>> ArrayHeader((100, 512), np.dtype(np.float16)).kept_bytes
    102400
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def kept_bytes(self) -> int:
        """What the array takes in memory, as features."""
        is_whole = self.dtype.kind in "iu"
        return math.prod(self.shape) * (INTEGER_BYTES if is_whole else self.dtype.itemsize)


@dataclass(frozen=True)
class FileLimits:
    """How much is taken of an npz file.

    Args:
        arrays: sets, their views and their labels, all counted.
        rows: of all arrays together.
        width: features a row.
        classes: distinct labels, and rows of the classifier's head.
        kept_bytes: of all arrays together, in memory.

    >>> FileLimits(width=8).check({"train_z": ArrayHeader((2, 9), np.dtype(np.float32))})
    Traceback (most recent call last):
    heat_core.npz.OverLimit: train_z has 9 columns; at most 8 are taken.
    """

    arrays: int = 300
    rows: int = 2_000_000
    width: int = 4096
    classes: int = 25_000
    kept_bytes: int = 2**28

    def check(self, headers: Mapping[str, ArrayHeader]) -> None:
        """Raises OverLimit if arrays are too large, all together or one by itself."""
        rows = sum(header.shape[0] for header in headers.values() if header.shape)
        kept = sum(header.kept_bytes for header in headers.values())
        self._check("{:,} rows in all arrays", rows, self.rows)
        self._check("{:,} bytes when unpacked", kept, self.kept_bytes)
        for key, header in headers.items():
            if len(header.shape) > 1:
                self._check(f"{key} has {{:,}} columns", header.shape[1], self.width)
        if "weight" in headers:
            classes = max(headers["weight"].shape[:1], default=0)
            self._check("weight has {:,} classes", classes, self.classes)

    def check_classes(self, count: int) -> None:
        """Raises OverLimit if there are too many classes."""
        self._check("train_y has {:,} classes", count, self.classes)

    def _check(self, came: str, count: int, most: int) -> None:
        if count > most:
            raise OverLimit(f"{came.format(count)}; at most {most:,} are taken.")


def no_file_text(path: Path) -> str:
    """Returns what is wrong with a path at which there is no file."""
    return "no such file (it is a folder)." if path.is_dir() else "no such file."


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays in an npz file by name. No pickle is ever loaded.

    Raises:
        ValueError: there is no such file, it is damaged, or holds a pickle.
    """
    _check_is_archive(path)
    arrays: dict[str, Any] = {}
    with path.open("rb") as file:  # numpy leaves a damaged file open
        with _damage_named():
            archive = np.load(file, allow_pickle=False)
        with archive:
            for i, key in enumerate(archive.files):
                report_progress(f"reading {key}", i / len(archive.files))
                with _damage_named():
                    arrays[key] = archive[key]
    for key, array in arrays.items():
        # numpy gives the bytes of a member that has no array's header
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{key} is no array; wanted what numpy.savez writes.")
    return arrays


@contextmanager
def _damage_named() -> Iterator[None]:
    """Raises ValueError for whatever numpy makes of a damaged file."""
    try:
        yield
    except Exception as error:  # zlib.error, struct.error ...: damage shows in many ways
        if "pickle" in str(error).lower():
            raise ValueError(
                "holds a pickled object; wanted plain arrays of numbers, "
                "since a pickle can run code."
            ) from None
        raise ValueError(f"not a readable npz file ({error}).") from None


def check_npz(path: Path, limits: FileLimits) -> int:
    """Returns how many bytes the arrays in an npz file take in memory; none of them is read.

    Raises:
        ValueError: as `npz_headers` does.
        OverLimit: there is more than `limits` allow.
    """
    _check_is_archive(path)
    if _has_more_members(path, limits.arrays):
        came = f"more than {limits.arrays:,} arrays"
        raise OverLimit(f"{came}; at most {limits.arrays:,} are taken.")
    headers = npz_headers(path)
    limits.check(headers)
    return sum(header.kept_bytes for header in headers.values())


def _has_more_members(path: Path, count: int) -> bool:
    """Returns whether an archive holds more files than `count`.

    Its directory is not parsed, which alone takes seconds where it is long.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = -1
        for _ in range(count + 1):
            place = content.find(MEMBER, place + 1)
            if place < 0:
                return False
    return True


def npz_headers(path: Path) -> dict[str, ArrayHeader]:
    """Returns what an npz file says of its arrays, {name: header}; the arrays are not read.

    Raises:
        ValueError: there is no such file, it is damaged, holds what is no array, or one twice.
    """
    _check_is_archive(path)
    headers: dict[str, ArrayHeader] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                key = member.filename.removesuffix(".npy")
                if key in headers:
                    raise ValueError(f"it holds {key} twice")
                if member.compress_type not in COMPRESSIONS:
                    raise ValueError(f"{key} is packed as numpy.savez does not pack it")
                with archive.open(member) as file:
                    headers[key] = array_header(file, key)
    except Exception as error:  # as in read_npz
        raise ValueError(f"not a readable npz file ({error}).") from None
    return headers


def array_header(file: IO[bytes], key: str) -> ArrayHeader:
    """Returns the header that a .npy file begins with; no more is read than a header takes.

    Raises ValueError, or whatever else numpy makes of damage.
    """
    beginning = io.BytesIO(file.read(MAX_HEADER_BYTES))
    version = np.lib.format.read_magic(beginning)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(beginning)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(beginning)
    else:  # only names of fields need a later one
        raise ValueError(f"{key} is no plain array of numbers")
    if min(shape, default=0) < 0:
        raise ValueError(f"{key} has the shape {shape}")
    return ArrayHeader(shape, dtype)


def _check_is_archive(path: Path) -> None:
    if not path.is_file():
        raise ValueError(no_file_text(path))
    if not zipfile.is_zipfile(path):
        raise ValueError(
            "not a whole npz file (an npz is a zip archive; this is none, or was cut off)."
        )


def listed(names: Iterable[str], most: int = 20) -> str:
    """Returns names in order as a phrase; of many, the first and how many more there are.

    >>> listed(["b", "a"]), listed([]), listed("abcd", most=2)
    ('a, b', 'no array', 'a, b and 2 more')
    """
    names = sorted(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "no array") + more
