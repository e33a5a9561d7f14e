"""Features: what a classifier saw, as arrays; and packs of them, with a card that says where they come from.

A features file is safetensors with `z`, optional `y`, views (`z__std`) and the classifier's head (`weight`, `bias`).
A pack is a folder of features files (`train`, `val`, `test`, `near_NAME`, `mid_NAME`, `far_NAME`, `pseudo_NAME`,
`pseudoval_NAME`), optional sheets of thumbnails (`SET.webp`) and a `card.json`. Features are stored as the network gave
them; normalising is a detector's business.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .files import write_whole

VERSION = "1"
MAX_ABS = 1e15  # of a feature: squares of larger ones leave float32
_FLOATS = (torch.float16, torch.float32, torch.float64)


@dataclass(frozen=True, eq=False)
class Head:
    """A classifier's last layer: logits = z @ weight.T + bias, with weight (C, d) and bias (C,)."""

    weight: Tensor
    bias: Tensor

    def __post_init__(self) -> None:
        if self.weight.ndim != 2:
            raise ValueError(f"weight must have shape (C, d), got {tuple(self.weight.shape)}.")
        if self.bias.shape != self.weight.shape[:1]:
            raise ValueError(
                f"bias must have shape ({len(self.weight)},) as weight says, got {tuple(self.bias.shape)}."
            )
        for name, value in (("weight", self.weight), ("bias", self.bias)):
            _finite_floats(name, value)


@dataclass(frozen=True, eq=False)
class Moments:
    """What Gaussians need of features: rows a class (C,), class means (C, d), and the pooled covariance (d, d)."""

    count: Tensor
    means: Tensor
    covariance: Tensor

    def __post_init__(self) -> None:
        classes, dim = self.means.shape if self.means.ndim == 2 else (0, 0)
        if self.count.shape != (classes,) or self.covariance.shape != (dim, dim) or not classes:
            shapes = ", ".join(
                str(tuple(value.shape)) for value in (self.count, self.means, self.covariance)
            )
            raise ValueError(f"moments must have shapes (C,), (C, d) and (d, d), got {shapes}.")
        for name in ("count", "means", "covariance"):
            _finite_floats(name, getattr(self, name))

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
        head: the classifier's last layer, if known: it makes logits, hence MSP and Energy, functions of z.
        views: other arrays of the same images by name, each (N, d'): `std` (the std-pooled features), `odin` and `early`
            (scores), `map` (where they lie on the map).
        moments: of a larger set that these rows were drawn from, by what they are of: `z`, `unit z` (z / ||z||), a view
            for z, or a layer whose features are not here.
        index: (N,) int64 rows of the images in their dataset's split, if known.
        source: the dataset and split that `index` refers to, such as `cifar10/test`.

    Raises:
        ValueError: shapes disagree, a value is not finite, a label is negative or beyond the head.
    """

    z: Tensor
    y: Tensor | None = None
    head: Head | None = None
    views: Mapping[str, Tensor] = field(default_factory=dict)
    index: Tensor | None = None
    source: str = ""
    moments: Mapping[str, Moments] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.z.ndim != 2 or 0 in self.z.shape:
            raise ValueError(
                f"z must have shape (N, d) with N and d of at least 1, got {tuple(self.z.shape)}."
            )
        _finite_floats("z", self.z)
        for name, view in self.views.items():
            if view.ndim != 2 or len(view) != len(self.z):
                raise ValueError(
                    f"z__{name} must have shape ({len(self.z)}, d), got {tuple(view.shape)}."
                )
            _finite_floats(f"z__{name}", view)
        for name, rows in (("y", self.y), ("index", self.index)):
            if rows is not None:
                _whole_numbers(name, rows, len(self.z))
        if self.head is not None:
            self._check_head(self.head)
        for name, moments in self.moments.items():
            of = name.removeprefix("unit ")
            here = self.z if of == "z" else self.views.get(of, moments.means)
            width = here.shape[1]
            if moments.means.shape != (len(self.classes), width):
                raise ValueError(
                    f"the moments of {name} must have means of shape ({len(self.classes)}, {width}), "
                    f"got {tuple(moments.means.shape)}."
                )

    def _check_head(self, head: Head) -> None:
        classes, width = head.weight.shape
        if width != self.z.shape[1]:
            raise ValueError(
                f"weight must have shape (C, {self.z.shape[1]}) as z says, got {(classes, width)}."
            )
        if self.y is not None and int(self.y.max()) >= classes:
            raise ValueError(
                f"y must lie in 0..{classes - 1} as weight says, got {int(self.y.max())}."
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
        return torch.searchsorted(self.classes, self.y)

    def take(self, rows: Tensor) -> Features:
        """Returns the given rows, with the same head and without the moments."""
        return Features(
            self.z[rows],
            None if self.y is None else self.y[rows],
            self.head,
            {name: view[rows] for name, view in self.views.items()},
            None if self.index is None else self.index[rows],
            self.source,
        )

    def to(self, device: str | torch.device) -> Features:
        """Returns the features with z and the views on a device."""
        views = {name: view.to(device) for name, view in self.views.items()}
        return replace(self, z=self.z.to(device), views=views)

    def view(self, name: str) -> Features:
        """Returns the features with a view for z (`z` for themselves), and no head; its moments come with it."""
        if name == "z":
            return self
        renamed = {"z": name, "unit z": f"unit {name}"}
        moments = {key: self.moments[old] for key, old in renamed.items() if old in self.moments}
        return Features(self.columns([name]), self.y, None, {}, self.index, self.source, moments)

    def columns(self, names: Sequence[str]) -> Tensor:
        """Returns z and views side by side, in the order of `names` (`z` for z itself), (N, sum of widths).

        Raises ValueError if a view is not there.
        """
        lacking = [name for name in names if name != "z" and name not in self.views]
        if lacking:
            raise ValueError(
                f"the features must have the view {lacking[0]}, got {', '.join(self.views) or 'no view'}."
            )
        parts = [self.z if name == "z" else self.views[name] for name in names]
        return (
            parts[0]
            if len(parts) == 1
            else torch.cat([part.to(_widest(parts)) for part in parts], 1)
        )


def _widest(parts: Sequence[Tensor]) -> torch.dtype:
    return max((part.dtype for part in parts), key=lambda dtype: dtype.itemsize)


def _finite_floats(name: str, value: Tensor) -> None:
    if value.dtype not in _FLOATS:
        raise ValueError(
            f"{name} must be float16, float32 or float64, got {str(value.dtype).removeprefix('torch.')}."
        )
    if not value.numel():
        return
    low, high = map(float, torch.aminmax(value))  # one pass; a nan anywhere makes both nan
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = torch.nonzero(~torch.isfinite(value))
        first = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"{name} must be finite, got {value[first].item()} at {list(first)} ({len(bad)} in all)."
        )
    if max(-low, high) > MAX_ABS:
        raise ValueError(f"{name} must lie within {MAX_ABS:g} of 0, got {max(-low, high):g}.")


def _whole_numbers(name: str, value: Tensor, count: int) -> None:
    if value.dtype != torch.int64 or value.shape != (count,):
        raise ValueError(
            f"{name} must be whole numbers of shape ({count},), got {str(value.dtype).removeprefix('torch.')} "
            f"{tuple(value.shape)}."
        )
    if int(value.min()) < 0:
        raise ValueError(f"{name} must be 0 or more, got {int(value.min())}.")


# -- features files ----------------------------------------------------------------------------------------------------


def write_features(features: Features, path: Path) -> None:
    """Writes a features file, in the precision that the features have."""
    from safetensors.torch import save

    tensors = {"z": features.z, **{f"z__{name}": view for name, view in features.views.items()}}
    optional = {"y": features.y, "index": features.index}
    if features.head is not None:
        optional |= {"weight": features.head.weight, "bias": features.head.bias}
    tensors |= {name: value for name, value in optional.items() if value is not None}
    for name, moments in features.moments.items():
        tensors |= {f"moments__{part}__{name}": getattr(moments, part) for part in _MOMENTS}
    meta = {"format": "heat-features", "version": VERSION, "source": features.source}
    write_whole(
        path, save({name: value.contiguous().cpu() for name, value in tensors.items()}, meta)
    )


def read_features(path: Path | str) -> Features:
    """Returns the features in a file: one that `write` made, or an npz with `z` (and `y`, `weight`, `bias`, `z__VIEW`).

    Raises:
        ValueError: the file is not readable, of another version, or its arrays are not what `Features` wants. The
            message names the file.
    """
    path = Path(path)
    try:
        if path.suffix == ".npz":
            return features_from_arrays(read_npz(path), "z", "y")
        tensors, source = _read_safetensors(path)
        return _assemble(tensors, source)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], str]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ValueError("no such file.")
    try:
        with safe_open(str(path), "pt") as file:
            meta = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"not a whole safetensors file ({error}).") from None
    if meta.get("format") != "heat-features":
        raise ValueError(
            "safetensors, but not a features file (its metadata says no format heat-features)."
        )
    if meta.get("version") != VERSION:
        raise ValueError(
            f"features of version {meta.get('version')}; this program reads version {VERSION}."
        )
    return tensors, meta.get("source", "")


def _assemble(tensors: dict[str, Tensor], source: str) -> Features:
    if "z" not in tensors:
        raise ValueError(f"wanted an array z, got {', '.join(sorted(tensors)) or 'no array'}.")
    views = {
        name.removeprefix("z__"): value for name, value in tensors.items() if name.startswith("z__")
    }
    index, moments = tensors.get("index"), _moments(tensors)
    return Features(tensors["z"], tensors.get("y"), _head(tensors), views, index, source, moments)


_MOMENTS = ("count", "means", "covariance")


def _moments(tensors: Mapping[str, Tensor]) -> dict[str, Moments]:
    names = [
        key.removeprefix("moments__count__")
        for key in tensors
        if key.startswith("moments__count__")
    ]
    lacking = [
        key
        for name in names
        for part in _MOMENTS
        if (key := f"moments__{part}__{name}") not in tensors
    ]
    if lacking:
        raise ValueError(f"moments need count, means and covariance; got no {lacking[0]}.")
    return {
        name: Moments(*(tensors[f"moments__{part}__{name}"] for part in _MOMENTS)) for name in names
    }


def _head(tensors: Mapping[str, Tensor]) -> Head | None:
    given = [name for name in ("weight", "bias") if name in tensors]
    if len(given) == 1:
        raise ValueError(f"weight and bias come together; got {given[0]} alone.")
    return Head(tensors["weight"], tensors["bias"]) if given else None


def read_npz(path: Path, limit: int | None = None) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise ValueError("no such file.")
    if not zipfile.is_zipfile(path):
        raise ValueError(
            "not a whole npz file (an npz is a zip archive; this is none, or was cut off)."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if limit is not None and unpacked > limit:
            raise ValueError(f"{unpacked:,} bytes when unpacked; at most {limit:,} are taken")
        with (
            path.open("rb") as file,
            np.load(file, allow_pickle=False) as arrays,
        ):  # numpy leaves a damaged file open
            found = {key: arrays[key] for key in arrays.files}
    except (
        ValueError,
        OSError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        NotImplementedError,
        MemoryError,
    ) as error:
        if "pickle" in str(error).lower():
            raise ValueError(
                "holds a pickled object; wanted plain arrays of numbers, since a pickle can run code."
            ) from None
        raise ValueError(f"not a readable npz file ({error}).") from None
    except Exception as error:  # zlib.error and struct.error: a damaged archive fails in many ways
        raise ValueError(f"not a readable npz file ({error}).") from None
    for key, array in found.items():
        if not isinstance(
            array, np.ndarray
        ):  # numpy gives the bytes of a member that has no array's header
            raise ValueError(f"{key} is no array; wanted what numpy.savez writes.")
    return found


def features_from_arrays(
    arrays: Mapping[str, np.ndarray], z: str, y: str, source: str = ""
) -> Features:
    """Returns the features under the keys `z` and `y`, with views `z__VIEW` and the head `weight`, `bias` if there.

    Raises ValueError with the key of the array in front.
    """
    if z not in arrays:
        raise ValueError(f"wanted an array {z}, got {', '.join(sorted(arrays)) or 'no array'}.")
    tensors = {
        key: _tensor(key, arrays[key])
        for key in arrays
        if key in (z, y, "weight", "bias") or key.startswith(f"{z}__")
    }
    renamed = {
        ("z" + key[len(z) :] if key.startswith(z) else "y" if key == y else key): t
        for key, t in tensors.items()
    }
    try:
        return _assemble(renamed, source)
    except ValueError as error:
        said = str(error)
        if z != "z":  # it speaks of z and y, and these have other names here
            said = f"{y}{said[1:]}" if said.startswith("y ") else f"{z}: {said}"
        raise ValueError(said) from None


def _tensor(name: str, array: np.ndarray) -> Tensor:
    if array.dtype.kind in "iu":
        if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"{name} must fit 64 bits with sign, got {array.max()}.")
        return torch.from_numpy(array.astype(np.int64))
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
        return torch.from_numpy(np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C"))
    raise ValueError(f"{name} must be numbers (float16, 32, 64 or whole), got {array.dtype}.")
