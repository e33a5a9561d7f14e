"""What the body of a request holds, JSON, an array or an image, as features; within bounds."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heat_core.detectors.detector import Shape
from heat_core.images.decoding import FORMATS, read_image
from heat_core.judge import Judge
from heat_core.messages import error_text
from heat_core.npz import array_header
from heat_core.streams import RowBatch
from heat_core.streams.sources import features_of

JSON = "application/json"
NPY = ("application/octet-stream", "application/x-npy")
IMAGES = tuple(f"image/{name.lower()}" for name in FORMATS)
KEYS = ("z", "ids", "views")
LARGEST_MB = 1024


class Refused(Exception):
    """A request that gets no decisions: the HTTP status, and why in one line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class RequestLimits:
    """How much one request may bring.

    Args:
        rows: at most.
        megabytes: of the body, at most.

    Raises:
        ValueError: one is below 1, or the body may be larger than fits well into memory.

    >>> RequestLimits(megabytes=2).body_bytes
    2097152
    """

    rows: int = 4096
    megabytes: int = 16

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"a request must be allowed a row at least, got {self.rows:,}.")
        if not 1 <= self.megabytes <= LARGEST_MB:
            raise ValueError(
                f"a body must be allowed 1 to {LARGEST_MB:,} MB, got {self.megabytes:,}."
            )

    @property
    def body_bytes(self) -> int:
        """How large a body may be."""
        return self.megabytes * 2**20

    def check_rows(self, name: str, count: int) -> None:
        """Raises Refused if an array has too many rows."""
        if count > self.rows:
            raise Refused(413, f"{name} has {count:,} rows; a request may have {self.rows:,}.")


@dataclass(frozen=True)
class BodyReader:
    """Reads the rows that requests bring, for a detector.

    Args:
        shape: of the features that it was fitted to.
        judge: sees images; None where these are not taken.
        limits: of a request.
    """

    shape: Shape
    judge: Judge | None
    limits: RequestLimits

    def for_type(self, content_type: str) -> Callable[[bytes], RowBatch]:
        """Returns what reads a body of a content type, such as `image/png`.

        It raises Refused, or ValueError in one line, on a body that is not what is wanted.

        Raises Refused if such bodies are not read.
        """
        kind = content_type.partition(";")[0].strip().lower()
        if kind == JSON:
            return self._json_rows
        if kind in NPY:
            return self._npy_rows
        if kind in IMAGES and self.judge is not None:
            return self._image_row
        images = ", or an image" if self.judge is not None else "; no images are read here"
        raise Refused(
            415,
            f"wanted the Content-Type {JSON}, or {NPY[0]} for what numpy.save writes{images}; "
            f"got {kind or 'none'}.",
        )

    def _json_rows(self, content: bytes) -> RowBatch:
        """Returns the rows of `{"z": [[...], ...], "ids": [...], "views": {"std": [[...], ...]}}`.

        Without ids they are counted from 0.
        """
        request = _parse_json(content)
        if not isinstance(request, dict):
            raise Refused(422, f'wanted {{"z": [[numbers], ...]}}, got {_kind(request)}.')
        for key in request:
            if key not in KEYS:
                raise Refused(422, f"there is no key {key}; wanted z, and ids or views.")
        if "z" not in request:
            raise Refused(422, "wanted the key z, the features of each row; it is not there.")
        matrices = {"z": self._matrix("z", request["z"], self.shape.dim)}
        views = request.get("views", {})
        if not isinstance(views, dict):
            raise Refused(422, f'views must be {{"NAME": [[numbers], ...]}}, got {_kind(views)}.')
        for name, rows in views.items():
            if name not in self.shape.views:
                known = ", ".join(self.shape.views) or "no view"
                raise Refused(422, f"there is no view {name}; the detector knows {known}.")
            matrices[f"z__{name}"] = self._matrix(f"view {name}", rows, self.shape.views[name])
        count = len(matrices["z"])
        ids = _checked_ids(request["ids"], count) if "ids" in request else range(count)
        return RowBatch(ids, features_of(matrices, "the body", 0))

    def _matrix(self, name: str, rows: Any, width: int) -> NDArray[np.float64]:
        """Returns a list of rows, each a list of numbers, as (n, width). Raises Refused."""
        wanted = f"{name} must be a list of rows, each a list of {width:,} numbers"
        if not isinstance(rows, list) or not rows:
            raise Refused(422, f"{wanted}; got {_kind(rows)}.")
        self.limits.check_rows(name, len(rows))
        for number, row in enumerate(rows):
            if not isinstance(row, list):
                raise Refused(422, f"{wanted}; row {number:,} is {_kind(row)}.")
            if len(row) != width:
                raise Refused(422, f"{wanted}; row {number:,} has {len(row):,}.")
            if not set(map(type, row)) <= {int, float}:
                other = next(value for value in row if type(value) not in (int, float))
                raise Refused(422, f"{wanted}; row {number:,} holds {_kind(other)}.")
        try:
            return np.array(rows, np.float64)
        except OverflowError:
            raise Refused(422, f"{name} holds a whole number beyond what floats hold.") from None

    def _npy_rows(self, content: bytes) -> RowBatch:
        """Returns the rows of an array (N, d), of whose header nothing is believed before."""
        try:
            header = array_header(io.BytesIO(content), "the body")
        except Exception as error:  # damage shows in many ways
            raise Refused(400, f"{_NO_ARRAY} ({error_text(error)}).") from None
        shape, dtype = header.shape, header.dtype
        is_numbers = dtype.kind in "fiu" and dtype.itemsize <= 8
        if not is_numbers or shape[1:] != (self.shape.dim,) or not shape[0]:
            raise Refused(
                422, f"wanted numbers of shape (N, {self.shape.dim}), got {dtype} of shape {shape}."
            )
        self.limits.check_rows("the array", shape[0])
        if math.prod(shape) * dtype.itemsize > len(content):
            raise Refused(400, f"{_NO_ARRAY}: its header says {shape} of {dtype}, more than came.")
        file = io.BytesIO(content)
        try:
            array = np.load(file, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise Refused(400, f"{_NO_ARRAY} ({error_text(error)}).") from None
        if file.tell() != len(content):
            raise Refused(400, f"{_NO_ARRAY}: more follows where it should end.")
        array = array.astype(dtype.newbyteorder("="), copy=False)
        return RowBatch(range(len(array)), features_of({"z": array}, "the body", 0))

    def _image_row(self, content: bytes) -> RowBatch:
        assert self.judge is not None  # as `for_type` has seen
        return RowBatch(range(1), self.judge.features(read_image(content)))


_NO_ARRAY = "the body is not an array as numpy.save writes it"


def _parse_json(content: bytes) -> Any:
    """Returns what JSON says. Raises Refused if it is none, or nested too deeply."""
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except RecursionError:
        raise Refused(400, "the body is not JSON that can be read: nested too deeply.") from None
    except ValueError as error:  # UnicodeDecodeError, and numbers of thousands of digits, too
        raise Refused(400, f"the body is not JSON: {error_text(error)}.") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _checked_ids(ids: Any, count: int) -> Sequence[str | int]:
    """Returns what rows are called. Raises Refused unless each has a text or a whole number."""
    wanted = "ids must be a list with a text or a whole number for each row"
    if not isinstance(ids, list):
        raise Refused(422, f"{wanted}; got {_kind(ids)}.")
    if len(ids) != count:
        raise Refused(422, f"{wanted}; got {len(ids):,} for {count:,} rows.")
    for name in ids:
        if type(name) not in (str, int):
            raise Refused(422, f"{wanted}; got {_kind(name)} among them.")
    return ids


def _kind(value: Any) -> str:
    """Returns in words what JSON held.

    >>> _kind([]), _kind(True), _kind({})
    ('an empty list', 'true or false', 'an object')
    """
    if value == []:
        return "an empty list"
    kinds = {list: "a list", dict: "an object", str: "a text", bool: "true or false"}
    return kinds.get(type(value), "null" if value is None else "a number")
