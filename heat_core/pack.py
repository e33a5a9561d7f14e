"""A pack: the features of ID and OOD sets, with a card that says where they come from.

As a folder it holds features files (`train`, `val`, `test`, `near_NAME`, `mid_NAME`, `far_NAME`,
`pseudo_NAME`, `pseudoval_NAME`), optional sheets of thumbnails (`SET.webp`) and a `card.json`.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from .features import (
    VERSION,
    Arrays,
    Features,
    features_from_arrays,
    read_features,
    write_features,
)
from .files import whole_folder
from .labels import CLASSES_KEY, numbered_labels
from .metadata import ID_COLUMN, META, with_one_kind
from .npz import FileLimits, OverLimit, check_npz, listed, read_npz
from .progress import report_progress
from .set_name import PSEUDO_GROUPS, SetName
from .texts import one_line

GROUPS = ("near", "mid", "far")
VIEWS = ("std", "odin", "early", "map")  # that packs are known to have beside z
SET_NAME = re.compile(r"[\w .+-]{1,60}")  # with its group; it becomes a file name
MIRROR = "mirror"  # the key, of the classifier on the card, of features that are means over mirrors
RESEMBLES = "resembles"  # the key, of the classifier, of OOD sets like those it was fine-tuned on
MIRRORED = "features are means over an image and its mirror image"
AVAILABLE_ROWS_KEY = "moments_of"  # the key of a set on the card, as version 0.1 wrote it
METHOD = re.compile(r"[\w-]{1,20}")  # what lays a map out: it becomes a part of a link
READ_TRIES = 5  # of a pack that is replaced while it is read


def check_set_name(name: str) -> None:
    """Raises ValueError unless a set may be called so, its group included: files bear its name.

    >>> check_set_name("near_a/b")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: the name of a set, with its group, must be up to 60 letters, digits, ...; got ...
    """
    _, underscore, short_name = name.partition("_")
    if SET_NAME.fullmatch(name) and (short_name or not underscore):
        return
    raise ValueError(
        "the name of a set, with its group, must be up to 60 letters, digits, spaces and . + - _; "
        f"got {name!r}."
    )


def only_resembling_text(names: Iterable[str]) -> str:
    """Returns why OOD sets of these names alone do not make a pack, in a sentence."""
    return (
        f"the network was fine-tuned against images like those of {', '.join(names)}; wanted an "
        "OOD set that it does not know, too."
    )


# -- packs -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ExtraID:
    """What fitting may see beside the training features, all of it made of ID images.

    Args:
        val: ID features that the classifier was not trained on.
        pseudo: {family: features} of destroyed training images.
        pseudoval: {family: features} of destroyed held-out images.

    >>> blurred = Features(torch.zeros(3, 2))
    >>> [name for name, _ in ExtraID(pseudo={"blur": blurred}).sets()]
    ['pseudo_blur']
    """

    val: Features | None = None
    pseudo: Mapping[str, Features] = field(default_factory=dict)
    pseudoval: Mapping[str, Features] = field(default_factory=dict)

    def to(self, device: str | torch.device) -> ExtraID:
        """Returns the same on a device."""
        return self.of_each(lambda features: features.to(device))

    def view(self, name: str) -> ExtraID:
        """Returns the same with a view for z, as `Features.view` does."""
        return self.of_each(lambda features: features.view(name))

    def of_each(self, change: Callable[[Features], Features]) -> ExtraID:
        """Returns what becomes of each set."""
        return ExtraID(
            None if self.val is None else change(self.val),
            {name: change(family) for name, family in self.pseudo.items()},
            {name: change(family) for name, family in self.pseudoval.items()},
        )

    def destroyed(self) -> dict[str, Features]:
        """Returns {set: features} of every family: of held-out images, or else training images.

        >>> z = Features(torch.zeros(3, 2))
        >>> list(ExtraID(pseudo={"blur": z, "warp": z}, pseudoval={"blur": z}).destroyed())
        ['pseudoval_blur', 'pseudo_warp']
        """
        destroyed = {
            str(SetName("pseudoval", name)): features for name, features in self.pseudoval.items()
        }
        for name, features in self.pseudo.items():
            if name not in self.pseudoval:
                destroyed[str(SetName("pseudo", name))] = features
        return destroyed

    def sets(self) -> Iterator[tuple[str, Features]]:
        """Gives (name with its group, features) of every set."""
        if self.val is not None:
            yield "val", self.val
        for group in PSEUDO_GROUPS:
            for name, features in getattr(self, group).items():
                yield str(SetName(group, name)), features


NO_EXTRA = ExtraID()


@dataclass(frozen=True, eq=False)
class Pack:
    """ID features to fit on (`train`) and to test on (`test`), OOD sets, and a card.

    Args:
        ood: {(group, name): features}, group one of near, mid, far. Its keys become `SetName`s.
            Without any, detectors can be fitted and thresholds chosen, but nothing says what they
            catch.
        extra: what fitting and selecting may see beside `train`.
        card: what the pack is: title, classifier, accuracy, sets with counts and sources,
            stand-ins. Plain JSON.
        thumbnails: {set: a sheet of its images as `encode_sheet` makes it}, of sets whose
            images may be handed on.

    Raises:
        ValueError: `train` has no labels or a single class, averages count none of the OOD sets, a
            set has a name that `check_set_name` refuses or another width than `train`, or labels
            that `train` lacks, or a metadata column holds numbers in one set and texts in another.

    >>> z = torch.eye(4)
    >>> train, test = Features(z, torch.tensor([0, 0, 1, 1])), Features(z)
    >>> pack = Pack(train, test, {SetName("far", "noise"): Features(10 * z)}, NO_EXTRA, {})
    >>> [name for name, _ in pack.sets()]
    ['train', 'test', 'far_noise']
    """

    train: Features
    test: Features
    ood: Mapping[SetName, Features]
    extra: ExtraID
    card: Mapping[str, Any]
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = {SetName(*key): features for key, features in self.ood.items()}
        object.__setattr__(self, "ood", named)
        if self.train.y is None:
            raise ValueError("train_y is missing; wanted labels of shape (N,) for train_z.")
        if len(self.train.classes) < 2:
            raise ValueError(
                "train_y must hold at least 2 classes, "
                f"got only class {int(self.train.classes[0])}."
            )
        if self.ood and not self.averaged:
            raise ValueError(only_resembling_text(map(str, named)))
        for name, features in self.sets():
            self._check_set(name, features)
        self._check_metadata()
        self._check_labels("test", self.test)
        if self.extra.val is not None:
            self._check_labels("val", self.extra.val)

    def _check_set(self, name: str, features: Features) -> None:
        """Raises ValueError if the set cannot be called so, or is not as wide as train."""
        check_set_name(name)
        if features.dim != self.train.dim:
            raise ValueError(
                f"{name} must have {self.train.dim} features a row like train, got {features.dim}."
            )
        for view, values in features.views.items():
            width = self.train.views[view].shape[1] if view in self.train.views else None
            if width == values.shape[1]:
                continue
            wanted = "train has no such view" if width is None else f"that of train has {width}"
            raise ValueError(
                f"the view {view} of {name} has {values.shape[1]} columns, but {wanted}."
            )

    def _check_metadata(self) -> None:
        """Raises ValueError if a metadata column is of one kind here and of another there."""
        first: dict[str, tuple[str, bool]] = {}
        for name, features in self.sets():
            for column, values in features.metadata.items():
                first_name, is_number = first.setdefault(column, (name, values.is_number))
                if values.is_number != is_number:
                    numbers, texts = (first_name, name) if is_number else (name, first_name)
                    raise ValueError(
                        f"the metadata column {column} holds numbers in {numbers} and texts in "
                        f"{texts}; wanted one kind."
                    )

    def _check_labels(self, name: str, features: Features) -> None:
        """Raises ValueError if a set has a label that train lacks."""
        if features.y is None:
            return
        unknown = features.y[~torch.isin(features.y, self.train.classes)]
        if len(unknown):
            raise ValueError(f"{name}_y must hold only labels of train_y, got {int(unknown[0])}.")

    def sets(self) -> Iterator[tuple[str, Features]]:
        """Gives (name with its group, features) of every set in the pack."""
        yield "train", self.train
        yield "test", self.test
        for name, features in self.ood.items():
            yield str(name), features
        yield from self.extra.sets()

    @property
    def metadata_columns(self) -> tuple[str, ...]:
        """The metadata columns that any of its sets has, sorted, without that of ids."""
        columns = {column for _, features in self.sets() for column in features.metadata}
        return tuple(sorted(columns - {ID_COLUMN}))

    @property
    def calibration(self) -> Features:
        """ID features that nothing was fitted to: `val` where there is one, else `test`.

        Thresholds are chosen on them.
        """
        return self.test if self.extra.val is None else self.extra.val

    @property
    def is_mirrored(self) -> bool:
        """Whether features are means over an image and its mirror image, as the card says.

        They are not where it says nothing.
        """
        return self.card.get("classifier", {}).get(MIRROR) is True

    @property
    def passes_sentence(self) -> str:
        """What a table of scores says of a mirrored pack, in a sentence; empty for another."""
        if not self.is_mirrored:
            return ""
        return (
            "Scores take two passes of the network, over an image and its mirror image; published "
            "figures take one."
        )

    @property
    def averaged(self) -> tuple[SetName, ...]:
        """The OOD sets that averages count.

        Not those that resemble images which the network was fine-tuned against, as the card says:
        it knows them, and what it makes of them tells nothing of others.
        """
        resembling = self.card.get("classifier", {}).get(RESEMBLES, [])
        return tuple(name for name in self.ood if name.short_name not in resembling)

    @property
    def apart(self) -> tuple[str, ...]:
        """The names of the OOD sets that averages do not count."""
        return tuple(str(name) for name in self.ood if name not in self.averaged)

    @property
    def apart_sentence(self) -> str:
        """What a table says of OOD sets that averages do not count; empty if there is none."""
        if not self.apart:
            return ""
        names = ", ".join(self.apart)
        return (
            f"The network was fine-tuned against images like those of {names} (*): no average "
            "counts them."
        )

    @property
    def title(self) -> str:
        """The name to show for it, in one line."""
        return one_line(self.card.get("title", "features"))

    def title_of(self, name: str) -> str:
        """Returns the name to show for a set, in one line."""
        return one_line(self.card.get("sets", {}).get(name, {}).get("title", name))

    def marked_title_of(self, name: str) -> str:
        """Returns the name to show for a set, with an asterisk if no average counts it."""
        return self.title_of(name) + (" *" if name in self.apart else "")

    def available_rows(self, name: str) -> int:
        """Returns how many rows there were for a set, of which its own may be a sample.

        They are those of its own where the card says of no more.

        Raises KeyError if there is no such set.
        """
        rows = len(dict(self.sets())[name])
        available = self.card.get("sets", {}).get(name, {}).get(AVAILABLE_ROWS_KEY)
        return max(rows, available) if isinstance(available, int) else rows

    def class_name(self, label: int) -> str:
        """Returns the name to show for a class, in one line: the card's, or its number."""
        classes = self.card.get("classes")
        if isinstance(classes, list) and 0 <= label < len(classes):
            return one_line(classes[label])
        return str(label)


# -- arrays ----------------------------------------------------------------------------------------


def pack_from_arrays(arrays: Arrays, title: str = "features") -> Pack:
    """Returns the pack that a dictionary of arrays describes.

    Args:
        arrays: `train_z` (N, d), `train_y` (N,), `test_z`, optional `test_y`, optional `weight`
            (C, d) and `bias` (C,), OOD sets as `near_NAME`, `mid_NAME`, `far_NAME` (n, d),
            pseudo-OOD families as `pseudo_NAME` (n, d). Any feature array may have a second view
            under its own key and `__std`, or `__VIEW` as `train_z` has it, and metadata columns
            (n,) of numbers or texts under its own key and `__meta_COLUMN`, of which `id` names the
            rows; any other double underscore belongs to the name of a set. Labels may be words;
            `classes` (C,) names the classes in order.

    Raises:
        ValueError: an array is missing, unknown or not what it should be; the message names its
            key.

    >>> import numpy as np
    >>> z, y = np.random.default_rng(0).normal(size=(6, 2)), np.array([0, 1] * 3)
    >>> arrays = {"train_z": z, "train_y": y, "test_z": z, "near_a": z + 1, "far_b": z + 9}
    >>> [str(name) for name in pack_from_arrays(arrays).ood]
    ['near_a', 'far_b']
    """
    arrays, class_names = numbered_labels(arrays)
    arrays = with_one_kind(arrays)
    keys = _check_keys(arrays)
    by_set = {
        key: {own_key: arrays[own_key] for own_key in (key, *view_keys)}
        for key, view_keys in keys.items()
    }
    sets: dict[str, dict[str, Features]] = {group: {} for group in (*GROUPS, *PSEUDO_GROUPS)}
    for i, (key, own_arrays) in enumerate(by_set.items()):
        report_progress(f"checking {key}", i / len(by_set))
        group, name = SetName.parse(key)
        if group in sets:
            sets[group][name] = features_from_arrays(own_arrays, key)
    ood = {
        SetName(group, name): features for group in GROUPS for name, features in sets[group].items()
    }
    # the head is that of the training features alone
    head = {key: arrays[key] for key in ("weight", "bias") if key in arrays}
    train = _id_features("train", arrays, by_set, head)
    test = _id_features("test", arrays, by_set)
    val = None
    if "val_z" in arrays or "val_y" in arrays:
        val = _id_features("val", arrays, by_set)
    extra = ExtraID(val, sets["pseudo"], sets["pseudoval"])
    card: dict[str, Any] = {"title": title}
    if class_names is not None:
        card["classes"] = class_names
    return Pack(train, test, ood, extra, card)


_FEATURES = ("train_z", "val_z", "test_z")
_KEYS = ("bias", CLASSES_KEY, "test_y", "test_z", "train_y", "train_z", "val_y", "val_z", "weight")
_PREFIXES = tuple(f"{group}_" for group in (*GROUPS, *PSEUDO_GROUPS))


def _id_features(
    name: str,
    arrays: Arrays,
    by_set: Mapping[str, Arrays],
    head: Arrays = MappingProxyType({}),
) -> Features:
    """Returns the features of `train`, `val` or `test`, with their labels.

    Args:
        by_set: {key of features: {key: array} of them and of their views}.
        head: `weight` and `bias`, if they are known.
    """
    z, y = f"{name}_z", f"{name}_y"
    if z not in arrays:
        raise ValueError(f"wanted an array {z}, got {listed(arrays)}.")
    labels = {y: arrays[y]} if y in arrays else {}
    return features_from_arrays({**by_set[z], **labels, **head}, z, y)


def _check_keys(arrays: Arrays) -> dict[str, list[str]]:
    """Returns {key: keys of its views} of all arrays. Raises ValueError on a key no pack has."""
    views = {key.partition("__")[2] for key in arrays if key.startswith("train_z__")}
    views = {view for view in {*VIEWS, *views} if view and not f"__{view}".startswith(META)}
    keys: dict[str, list[str]] = {}
    owners: dict[str, str] = {}
    for key in arrays:
        owner = _owner_of(key, views)
        if owner == key and (key in _KEYS or _is_set(key)):
            keys[key] = []
        elif owner != key and (owner in _FEATURES or _is_set(owner)):
            owners[key] = owner
        else:
            wanted = [*_KEYS, *(f"{prefix}NAME" for prefix in _PREFIXES)]
            raise ValueError(f"unknown array {key!r}; wanted {', '.join(wanted)}.")
    for key, owner in owners.items():
        if owner not in keys:
            raise ValueError(
                f"unknown array {key!r}: what stands after the double underscore is a view, "
                f"here of {owner}, which is not there."
            )
        keys[owner].append(key)
    return keys


def _owner_of(key: str, views: Collection[str]) -> str:
    """Returns the key that an array is a view of; its own if it is none.

    Args:
        views: their names, in which the key of a set ends if it is one.
    """
    features, _, view = key.partition("__")
    if features in _FEATURES and view:
        return features
    features, _, column = key.partition(META)
    if column:
        return features
    for splits in (3, 2, 1):  # `x__a__std` may be the view `a__std` that train has
        owner, *rest = key.rsplit("__", splits)
        if "__".join(rest) in views:
            return owner
    return key


def _is_set(key: str) -> bool:
    return key.startswith(_PREFIXES) and not key.endswith("_")


def pack_from_npz(path: Path | str, limits: FileLimits | None = None) -> Pack:
    """Returns the pack in an npz file, as `pack_from_arrays` describes it.

    Args:
        limits: how much is taken; anything by default.

    Raises:
        ValueError: the file or an array in it is not what it should be; the message names the file.
        OverLimit: there is more than `limits` allow, which shows before the arrays are read.
    """
    path = Path(path)
    try:
        if limits is not None:
            check_npz(path, limits)
        pack = pack_from_arrays(read_npz(path), title=path.stem)
        if limits is not None:
            limits.check_classes(len(pack.train.classes))
    except OverLimit as error:
        raise OverLimit(f"{path}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return pack


# -- folders ---------------------------------------------------------------------------------------


def write_pack(pack: Pack, path: Path, overwrite: bool = True) -> None:
    """Writes a pack folder, whole or not at all.

    Args:
        overwrite: whether to replace a folder that is there by then.

    Raises:
        FileExistsError: there is one, and it is not to be replaced.
    """
    with whole_folder(path, overwrite) as folder:
        sets = dict(pack.sets())
        for i, (name, features) in enumerate(sets.items()):
            report_progress(f"writing {name}", i / len(sets))
            write_features(features, folder / f"{name}.safetensors")
        for name, sheet in pack.thumbnails.items():
            (folder / f"{name}.webp").write_bytes(sheet)
        order = [name for name, _ in pack.sets()]
        card = {"format": "heat-pack", "version": VERSION, **pack.card, "order": order}
        (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")


def read_pack(path: Path | str) -> Pack:
    """Returns the pack in a folder that `write_pack` made.

    One that is replaced while it is read is read again: never a mixture of two.

    Raises ValueError naming the file that is wrong.
    """
    path = Path(path)
    for _ in range(READ_TRIES):
        folder = _identity(path)
        try:
            pack = _read_folder(path)
        except ValueError:
            if _identity(path) == folder:
                raise
        else:
            if _identity(path) == folder:
                return pack
    raise ValueError(f"{path}: replaced {READ_TRIES} times while it was read.")


def _identity(path: Path) -> tuple[int, int] | None:
    """Returns what tells a folder from another that takes its place; None if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def _read_folder(path: Path) -> Pack:
    """Returns the pack in a folder. Raises ValueError naming the file that is wrong."""
    card = _read_card(path)
    names = card["order"]
    for name in ("train", "test"):
        if name not in names:
            file = path / "card.json"
            raise ValueError(f"{file}: wanted the sets train and test, got no {name}.")
    sets = {}
    for i, name in enumerate(names):
        report_progress(f"reading {name}", i / len(names))
        sets[name] = read_features(path / f"{name}.safetensors")
    ood: dict[SetName, Features] = {}
    families: dict[str, dict[str, Features]] = {group: {} for group in PSEUDO_GROUPS}
    for text, features in sets.items():
        name = SetName.parse(text)
        if name.group in GROUPS:
            ood[name] = features
        elif name.is_pseudo:
            families[name.group][name.short_name] = features
    extra = ExtraID(sets.get("val"), families["pseudo"], families["pseudoval"])
    thumbnails = _read_thumbnails(path, names)
    try:
        return Pack(sets["train"], sets["test"], ood, extra, card, thumbnails)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read_thumbnails(path: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Returns {set: sheet} of the sets that have one. Raises ValueError if one cannot be read."""
    thumbnails = {}
    for name in names:
        sheet = path / f"{name}.webp"
        try:
            if sheet.is_file():
                thumbnails[name] = sheet.read_bytes()
        except OSError as error:
            raise ValueError(f"{sheet}: not readable ({error.strerror}).") from None
    return thumbnails


def _read_card(path: Path) -> dict[str, Any]:
    """Returns a pack folder's card. Raises ValueError naming what is wrong with it."""
    file = path / "card.json"
    if not os.path.isfile(file):  # which, unlike Path.is_file, never fails
        raise ValueError(
            f"{path} is not a pack: wanted a folder with card.json. "
            "Arrays in an npz become one by `pack`."
        )
    try:
        card = json.loads(file.read_text())
    except (ValueError, OSError, RecursionError) as error:
        raise ValueError(f"{file}: not readable as JSON ({error}).") from None
    if not isinstance(card, dict) or card.get("format") != "heat-pack":
        raise ValueError(f"{file}: not the card of a pack (it says no format heat-pack).")
    if card.get("version") != VERSION:
        raise ValueError(
            f"{file}: a pack of version {card.get('version')}; this program reads version "
            f"{VERSION}: open it with the program that wrote it, or a newer one."
        )
    _check_order(file, card.get("order"))
    sets = card.get("sets", {})
    described = isinstance(sets, dict) and all(isinstance(entry, dict) for entry in sets.values())
    if not described or not isinstance(card.get("classifier", {}), dict):
        raise ValueError(
            f"{file}: `sets` and `classifier` must be objects; `sets` holds one object a set."
        )
    _check_mirror(file, card.get("classifier", {}))
    _check_resembles(file, card.get("classifier", {}))
    _check_map(file, card.get("map"))
    return card


def _check_order(file: Path, order: Any) -> None:
    """Raises ValueError unless the order of a card lists names of sets, each once."""
    if not isinstance(order, list) or not all(_is_file_name(name) for name in order):
        raise ValueError(f"{file}: `order` must list the names of the sets, got {order!r:.100}.")
    if len(set(order)) < len(order):
        name, times = Counter(order).most_common(1)[0]
        raise ValueError(f"{file}: `order` must name each set once, got {name} {times:,} times.")


def _check_mirror(file: Path, classifier: Mapping[str, Any]) -> None:
    """Raises ValueError unless what a card says of mirror images is true or false."""
    mirror = classifier.get(MIRROR, False)
    if not isinstance(mirror, bool):
        raise ValueError(
            f"{file}: `classifier.{MIRROR}` must be true or false, got {mirror!r:.100}."
        )


def _check_resembles(file: Path, classifier: Mapping[str, Any]) -> None:
    """Raises ValueError unless a card lists the sets that fine-tuning knew by their names."""
    names = classifier.get(RESEMBLES, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"{file}: `classifier.{RESEMBLES}` must list names of OOD sets, got {names!r:.100}."
        )


def _check_map(file: Path, layout: Any) -> None:
    """Raises ValueError unless what a card says of its map is an object with a named method."""
    if layout is None:
        return
    method = layout.get("method", "umap") if isinstance(layout, dict) else None
    if not isinstance(method, str) or not METHOD.fullmatch(method):
        raise ValueError(
            f"{file}: `map` must be an object whose `method` is a name such as umap, "
            f"got {layout!r:.100}."
        )


def _is_file_name(name: Any) -> bool:
    return isinstance(name, str) and name == Path(name).name
