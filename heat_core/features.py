"""Features: what a classifier saw of images, as arrays; with its head, if known.

A features file is safetensors with `z`, optional `y`, views (`z__std`), metadata columns
(`column__camera`, `names__camera`) and the classifier's head (`weight`, `bias`). Features are
stored as the network gave them; normalising is a detector's business.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .files import read_tensors, write_whole
from .metadata import (
    META,
    Column,
    Metadata,
    check_metadata,
    metadata_from_tensors,
    metadata_tensors,
)
from .npz import listed, no_file_text, read_npz

VERSION = "1"
MAX_ABS = 1e15  # of a feature: squares of larger ones leave float32

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Head:
    """A classifier's last layer: logits = z @ weight.T + bias.

    Args:
        weight: (C, d).
        bias: (C,).

    Raises:
        ValueError: shapes disagree, or a value is not finite.

    >>> head = Head(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([0.5, 0.0]))
    >>> head.logits(torch.tensor([[3.0, 4.0]]))
    tensor([[3.5000, 8.0000]])
    """

    weight: Tensor
    bias: Tensor

    def __post_init__(self) -> None:
        if self.weight.ndim != 2:
            raise ValueError(f"weight must have shape (C, d), got {tuple(self.weight.shape)}.")
        if self.bias.shape != self.weight.shape[:1]:
            shape = tuple(self.weight.shape)
            transposed = self.bias.shape == self.weight.shape[1:]
            doubt = ", or else weight is transposed: wanted (C, d)" if transposed else ""
            raise ValueError(
                f"bias must have shape ({len(self.weight)},) as weight of shape {shape} says, "
                f"got {tuple(self.bias.shape)}{doubt}."
            )
        _check_finite("weight", self.weight)
        _check_finite("bias", self.bias)

    def logits(self, z: Tensor) -> Tensor:
        """Returns the logits of z (N, d), (N, C), in z's precision; of one row (d,), (C,)."""
        return z @ self.weight.to(z).T + self.bias.to(z)


@dataclass(frozen=True, eq=False)
class Moments:
    """What Gaussians need of features.

    Args:
        count: (C,) rows a class.
        means: (C, d) class means.
        covariance: (d, d), pooled within classes.

    Raises:
        ValueError: shapes disagree, or a value is not finite.

    >>> moments = Moments(torch.tensor([3.0, 1.0]), torch.zeros(2, 5), torch.eye(5))
    >>> moments.to("cpu", torch.float64).means.dtype
    torch.float64
    """

    count: Tensor
    means: Tensor
    covariance: Tensor

    def __post_init__(self) -> None:
        arrays = {"count": self.count, "means": self.means, "covariance": self.covariance}
        classes, dim = self.means.shape if self.means.ndim == 2 else (0, 0)
        if self.count.shape != (classes,) or self.covariance.shape != (dim, dim) or not classes:
            shapes = ", ".join(str(tuple(array.shape)) for array in arrays.values())
            raise ValueError(f"moments must have shapes (C,), (C, d) and (d, d), got {shapes}.")
        for name, array in arrays.items():
            _check_finite(name, array, MAX_ABS**2 if name == "covariance" else MAX_ABS)

    def to(self, device: str | torch.device, dtype: torch.dtype) -> Moments:
        """Returns the moments on a device and in a precision."""
        return Moments(
            self.count.to(device, dtype),
            self.means.to(device, dtype),
            self.covariance.to(device, dtype),
        )


@dataclass(frozen=True, eq=False)
class Features:
    """The penultimate features of a set of images.

    Args:
        z: (N, d) float16, 32 or 64; unnormalised.
        y: (N,) int64 labels from 0, if known.
        head: the classifier's last layer, if known: it makes logits, hence MSP and Energy,
            functions of z.
        views: other arrays of the same images by name, each (N, d'): `std` (the std-pooled
            features), `odin` and `early` (scores), `map` (where they lie on the map).
        index: (N,) int64 rows of the images in their dataset's split, if known.
        source: the dataset and split that `index` refers to, such as `cifar10/test`.
        moments: of a larger set that these rows were drawn from, by what they are of: `z`,
            `unit z` (z / ||z||), a view for z, or a layer whose features are not here.
        metadata: {column: what is known of each row}, such as camera, site or date; `id` names the
            rows.

    Raises:
        ValueError: shapes disagree, a value is not finite, a label is negative or beyond the head.

    >>> features = Features(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([3, 7]))
    >>> len(features), features.dim, features.classes.tolist(), features.class_index.tolist()
    (2, 2, [3, 7], [0, 1])
    """

    z: Tensor
    y: Tensor | None = None
    head: Head | None = None
    views: Mapping[str, Tensor] = field(default_factory=dict)
    index: Tensor | None = None
    source: str = ""
    moments: Mapping[str, Moments] = field(default_factory=dict)
    metadata: Metadata = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.z.ndim != 2 or 0 in self.z.shape:
            raise ValueError(
                f"z must have shape (N, d) with N and d of at least 1, got {tuple(self.z.shape)}."
            )
        _check_finite("z", self.z)
        for name, view in self.views.items():
            self._check_view(name, view)
        for name, numbers in (("y", self.y), ("index", self.index)):
            if numbers is not None:
                _check_whole_numbers(name, numbers, self.z.shape)
        if self.head is not None:
            self._check_head(self.head)
        for name, moments in self.moments.items():
            self._check_moments(name, moments)
        check_metadata(self.metadata, len(self.z))

    def _check_view(self, name: str, view: Tensor) -> None:
        if view.ndim != 2 or len(view) != len(self.z):
            raise ValueError(
                f"z__{name} must have shape ({len(self.z)}, d), got {tuple(view.shape)}."
            )
        _check_finite(f"z__{name}", view)

    def _check_head(self, head: Head) -> None:
        classes, width = head.weight.shape
        if width != self.dim:
            transposed = ": it looks transposed; wanted weight.T" if classes == self.dim else ""
            raise ValueError(
                f"weight must have shape (C, {self.dim}) as z says, "
                f"got {(classes, width)}{transposed}."
            )
        if self.y is not None and int(self.y.max()) >= classes:
            from_one = self.y.min() == 1 and self.y.max() == classes
            counted = ": labels count from 0, and these seem to count from 1" if from_one else ""
            raise ValueError(
                f"y must lie in 0..{classes - 1} as weight says, got {int(self.y.max())}{counted}."
            )

    def _check_moments(self, name: str, moments: Moments) -> None:
        view = name.removeprefix("unit ")
        values = self.z if view == "z" else self.views.get(view, moments.means)
        wanted = (len(self.classes), values.shape[1])
        if moments.means.shape != wanted:
            raise ValueError(
                f"the moments of {name} must have means of shape {wanted}, "
                f"got {tuple(moments.means.shape)}."
            )

    def __len__(self) -> int:
        return len(self.z)

    @property
    def dim(self) -> int:
        """The number of features, d."""
        return self.z.shape[1]

    @cached_property
    def classes(self) -> Tensor:
        """The distinct labels, (C,); without labels everything is class 0."""
        return torch.zeros(1, dtype=torch.int64) if self.y is None else self.y.unique()

    @cached_property
    def class_index(self) -> Tensor:
        """(N,) positions of the labels in `classes`."""
        if self.y is None:
            return torch.zeros(len(self), dtype=torch.int64)
        return torch.searchsorted(self.classes, self.y.contiguous())

    def take(self, rows: Tensor) -> Features:
        """Returns the features of rows (n,), positions or a mask (N,), with the same head.

        Moments are those of a larger set, and are left out.
        """
        return Features(
            self.z[rows],
            None if self.y is None else self.y[rows],
            self.head,
            {name: view[rows] for name, view in self.views.items()},
            None if self.index is None else self.index[rows],
            self.source,
            metadata={name: column.take(rows) for name, column in self.metadata.items()},
        )

    def to(self, device: str | torch.device) -> Features:
        """Returns the features with z and the views on a device."""
        views = {name: view.to(device) for name, view in self.views.items()}
        return replace(self, z=self.z.to(device), views=views)

    def view(self, name: str) -> Features:
        """Returns the features with a view for z (`z` for themselves), its moments and no head."""
        if name == "z":
            return self
        renamed = {"z": name, "unit z": f"unit {name}"}
        moments = {key: self.moments[old] for key, old in renamed.items() if old in self.moments}
        return Features(
            self.columns([name]),
            self.y,
            None,
            {},
            self.index,
            self.source,
            moments,
            self.metadata,
        )

    def columns(self, names: Sequence[str]) -> Tensor:
        """Returns z and views side by side, (N, sum of widths), in the order of `names`.

        `z` is z itself. Raises ValueError if a view is not there.
        """
        missing = [name for name in names if name != "z" and name not in self.views]
        if missing:
            available = ", ".join(self.views) or "no view"
            raise ValueError(f"the features must have the view {missing[0]}, got {available}.")
        views = [self.z if name == "z" else self.views[name] for name in names]
        if len(views) == 1:
            return views[0]
        widest = max((view.dtype for view in views), key=lambda dtype: dtype.itemsize)
        return torch.cat([view.to(widest) for view in views], 1)


# -- checks ----------------------------------------------------------------------------------------


def _dtype_name(array: Tensor) -> str:
    return str(array.dtype).removeprefix("torch.")


def _check_finite(name: str, array: Tensor, max_abs: float = MAX_ABS) -> None:
    """Raises ValueError unless the array, of any shape, holds finite floats up to `max_abs`."""
    if array.dtype not in (torch.float16, torch.float32, torch.float64):
        raise ValueError(f"{name} must be float16, float32 or float64, got {_dtype_name(array)}.")
    if not array.numel():
        return
    low, high = map(float, torch.aminmax(array))  # one pass; a nan anywhere makes both nan
    if not (math.isfinite(low) and math.isfinite(high)):
        places = torch.nonzero(~torch.isfinite(array))
        first = places[0].tolist()
        value = array[tuple(first)].item()
        raise ValueError(f"{name} must be finite, got {value} at {first} ({len(places)} in all).")
    if max(-low, high) > max_abs:
        raise ValueError(f"{name} must lie within {max_abs:g} of 0, got {max(-low, high):g}.")


def _check_whole_numbers(name: str, array: Tensor, shape: torch.Size) -> None:
    """Raises ValueError unless the array is (N,) int64, 0 or more.

    Args:
        shape: of z, (N, d).
    """
    if array.dtype != torch.int64 or array.shape != shape[:1]:
        doubt = ", or else z is transposed: wanted (N, d)" if array.shape == shape[1:] else ""
        raise ValueError(
            f"{name} must be whole numbers of shape ({shape[0]},) as z of shape {tuple(shape)} "
            f"says, got {_dtype_name(array)} {tuple(array.shape)}{doubt}."
        )
    if int(array.min()) < 0:
        raise ValueError(f"{name} must be 0 or more, got {int(array.min())}.")


# -- features files --------------------------------------------------------------------------------


def write_features(features: Features, path: Path) -> None:
    """Writes a features file, in the precision that the features have."""
    from safetensors.torch import save

    tensors = {"z": features.z}
    for name, view in features.views.items():
        tensors[f"z__{name}"] = view
    if features.y is not None:
        tensors["y"] = features.y
    if features.index is not None:
        tensors["index"] = features.index
    if features.head is not None:
        tensors["weight"] = features.head.weight
        tensors["bias"] = features.head.bias
    for name, moments in features.moments.items():
        for part in _MOMENTS:
            tensors[f"moments__{part}__{name}"] = getattr(moments, part)
    tensors |= metadata_tensors(features.metadata)
    tensors = _apart({name: tensor.contiguous().cpu() for name, tensor in tensors.items()})
    meta = {"format": "heat-features", "version": VERSION, "source": features.source}
    write_whole(path, save(tensors, meta))


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns tensors of any shape that share no memory, as a file wants them."""
    apart: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if place in places else tensor
        places.add(place)
    return apart


def read_features(path: Path | str, with_labels: bool = True) -> Features:
    """Returns the features in a file.

    One that `write_features` made, or an npz with `z` (and `y`, `weight`, `bias`, `z__VIEW`).

    Args:
        with_labels: whether to read labels. Scoring needs none, and files made for it may have -1
            for what is OOD.

    Raises:
        ValueError: the file is not readable, of another version, or its arrays are not what
            `Features` wants. The message names the file.
    """
    path = Path(path)
    try:
        if path.suffix == ".npz":
            return features_from_arrays(read_npz(path), "z", "y" if with_labels else "")
        tensors, source = _read_safetensors(path)
        if not with_labels:
            tensors.pop("y", None)
        return _features_from_tensors(tensors, source)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """Returns the tensors of a features file, and its source."""
    if not path.is_file():
        raise ValueError(no_file_text(path))
    try:
        tensors, meta = read_tensors(path)
    except ValueError:
        raise ValueError(
            "not a whole safetensors file; wanted features of a pack, or an .npz with z."
        ) from None
    if meta.get("format") != "heat-features":
        raise ValueError(
            "safetensors, but not a features file (its metadata says no format heat-features)."
        )
    if meta.get("version") != VERSION:
        raise ValueError(
            f"features of version {meta.get('version')}; this program reads version {VERSION}: "
            "read it with the program that wrote it, or a newer one."
        )
    return tensors, meta.get("source", "")


def _features_from_tensors(tensors: Mapping[str, Tensor], source: str) -> Features:
    """Returns the features that tensors under the names of a features file describe."""
    if "z" not in tensors:
        raise ValueError(f"wanted an array z, got {listed(tensors)}.")
    views = {
        name.removeprefix("z__"): tensor
        for name, tensor in tensors.items()
        if name.startswith("z__")
    }
    moments = _moments_from_tensors(tensors)
    head = _head_from_tensors(tensors)
    index = tensors.get("index")
    metadata = metadata_from_tensors(tensors)
    return Features(tensors["z"], tensors.get("y"), head, views, index, source, moments, metadata)


_MOMENTS = ("count", "means", "covariance")


def _moments_from_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Moments]:
    moments: dict[str, Moments] = {}
    prefix = "moments__count__"
    names = [key.removeprefix(prefix) for key in tensors if key.startswith(prefix)]
    for name in names:
        keys = [f"moments__{part}__{name}" for part in _MOMENTS]
        missing = [key for key in keys if key not in tensors]
        if missing:
            raise ValueError(f"moments need count, means and covariance; got no {missing[0]}.")
        moments[name] = Moments(*(tensors[key] for key in keys))
    return moments


def _head_from_tensors(tensors: Mapping[str, Tensor]) -> Head | None:
    """Returns the head. Raises ValueError if half of it is missing or it does not fit z."""
    names = [name for name in ("weight", "bias") if name in tensors]
    if len(names) == 1:
        raise ValueError(f"weight and bias come together; got {names[0]} alone.")
    if not names:
        return None
    weight, bias = tensors["weight"], tensors["bias"]
    wanted = (*bias.shape, *tensors["z"].shape[1:])
    if weight.shape != wanted and tuple(weight.shape[::-1]) == wanted:
        raise ValueError(
            f"weight must have shape {wanted} as bias and z say, got {tuple(weight.shape)}: "
            "it looks transposed; wanted weight.T."
        )
    return Head(weight, bias)


# -- arrays ----------------------------------------------------------------------------------------


def features_from_arrays(arrays: Arrays, z: str, y: str = "", source: str = "") -> Features:
    """Returns the features under the keys `z` (N, d) and `y` (N,); without `y` they have no labels.

    Views `z__VIEW` (N, d'), metadata columns `z__meta_COLUMN` (N,), and the head `weight` (C, d)
    and `bias` (C,), are taken where they are.

    Raises:
        ValueError: an array is not what it should be; the message begins with its key.

    >>> features_from_arrays({"test_z": np.ones((3, 2))}, "test_z", "test_y").z.shape
    torch.Size([3, 2])
    """
    if z not in arrays:
        raise ValueError(f"wanted an array {z}, got {listed(arrays)}.")
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, Column] = {}
    for key, array in arrays.items():
        if key.startswith(f"{z}{META}"):
            metadata[key.removeprefix(f"{z}{META}")] = _column(key, array)
        elif key.startswith(f"{z}__"):
            tensors[f"z{key.removeprefix(z)}"] = _tensor(key, array)
        elif key == z:
            tensors["z"] = _tensor(key, array)
        elif key == y:
            tensors["y"] = _tensor(key, array)
        elif key in ("weight", "bias"):
            tensors[key] = _tensor(key, array)
    try:
        return _features_from_tensors({**tensors, **metadata_tensors(metadata)}, source)
    except ValueError as error:
        raise ValueError(_with_own_keys(str(error), z, y)) from None


def _column(key: str, array: np.ndarray) -> Column:
    try:
        return Column.of_array(array)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _with_own_keys(message: str, z: str, y: str) -> str:
    """Returns a message that speaks of z and y with the keys that these have in the arrays."""
    if z == "z":
        return message
    return f"{y}{message[1:]}" if message.startswith("y ") else f"{z}: {message}"


def _tensor(name: str, array: np.ndarray) -> Tensor:
    """Returns an array of any shape as a tensor of int64 or of its own float precision."""
    if array.dtype.kind in "iu":
        if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"{name} must fit 64 bits with sign, got {array.max()}.")
        return torch.from_numpy(array.astype(np.int64))
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
        return torch.from_numpy(np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C"))
    raise ValueError(f"{name} must be numbers (float16, 32, 64 or whole), got {array.dtype}.")


# -- digests ---------------------------------------------------------------------------------------


def features_sha256(features: Features) -> str:
    """Returns the SHA-256 of features, in hex: the shape and values of z and of the views.

    Values are rounded to float16 before, so that it is the same before and after they are stored.

    >>> features_sha256(Features(torch.zeros(2, 3)))[:12]
    'b1d78e2e92d4'
    """
    digest = hashlib.sha256()
    for name, array in sorted({"z": features.z, **features.views}.items()):
        digest.update(f"{name}{tuple(array.shape)}".encode())
        digest.update(array.half().contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()
