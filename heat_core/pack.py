"""A pack: the features of ID and OOD sets in one folder, with a card that says where they come from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .features import (
    VERSION,
    Features,
    features_from_arrays,
    read_features,
    read_npz,
    write_features,
)
from .files import whole_folder

GROUPS = ("near", "mid", "far")
PSEUDO_GROUPS = (
    "pseudo",
    "pseudoval",
)  # families made of ID images: of training images, and of held-out ones
SET_NAME = re.compile(r"[\w .+-]{1,60}")  # it becomes a file name


# -- packs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ExtraID:
    """What else fitting may see, all of it made of ID images.

    Args:
        val: ID features that the classifier was not trained on.
        pseudo: {family: features} of destroyed training images.
        pseudoval: {family: features} of destroyed held-out images.
    """

    val: Features | None = None
    pseudo: Mapping[str, Features] = field(default_factory=dict)
    pseudoval: Mapping[str, Features] = field(default_factory=dict)

    def to(self, device: str | torch.device) -> ExtraID:
        """Returns the same on a device."""
        pseudo, pseudoval = (
            {k: f.to(device) for k, f in family.items()} for family in (self.pseudo, self.pseudoval)
        )
        return ExtraID(None if self.val is None else self.val.to(device), pseudo, pseudoval)

    def sets(self) -> Iterable[tuple[str, Features]]:
        """Gives (file name, features) of every set."""
        if self.val is not None:
            yield "val", self.val
        for group in PSEUDO_GROUPS:
            for name, features in getattr(self, group).items():
                yield f"{group}_{name}", features


NO_EXTRA = ExtraID()


@dataclass(frozen=True, eq=False)
class Pack:
    """ID features to fit on (`train`) and to test on (`test`), OOD sets by group and name, and a card.

    Args:
        ood: {(group, name): features}, group one of near, mid, far.
        extra: what fitting and selecting may see beside `train`.
        card: what the pack is: title, classifier, accuracy, sets with counts and sources, stand-ins. Plain JSON.
        thumbnails: {set: a sheet of its images as `encode_sheet` makes it}, of sets whose images may be handed on.
    """

    train: Features
    test: Features
    ood: Mapping[tuple[str, str], Features]
    extra: ExtraID
    card: Mapping[str, Any]
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.train.y is None:
            raise ValueError("train_y is missing; wanted labels of shape (N,) for train_z.")
        if len(self.train.classes) < 2:
            raise ValueError(
                f"train_y must hold at least 2 classes, got only class {int(self.train.classes[0])}."
            )
        if not self.ood:
            raise ValueError(
                "no OOD set; wanted at least one array near_NAME, mid_NAME or far_NAME."
            )
        for name, features in self.sets():
            if not SET_NAME.fullmatch(name):
                raise ValueError(
                    f"the name of a set must be up to 60 letters, digits, spaces and . + - _, got {name!r}."
                )
            if features.dim != self.train.dim:
                raise ValueError(
                    f"{name} must have {self.train.dim} features a row like train, got {features.dim}."
                )
            for view, values in features.views.items():
                like = self.train.views.get(view)
                if like is None or like.shape[1] != values.shape[1]:
                    wanted = (
                        "train has no such view"
                        if like is None
                        else f"that of train has {like.shape[1]}"
                    )
                    raise ValueError(
                        f"the view {view} of {name} has {values.shape[1]} columns, but {wanted}."
                    )
        for name, features in (("test", self.test), ("val", self.extra.val)):
            if (
                features is not None
                and features.y is not None
                and not torch.isin(features.y, self.train.classes).all()
            ):
                stray = features.y[~torch.isin(features.y, self.train.classes)][0]
                raise ValueError(f"{name}_y must hold only labels of train_y, got {int(stray)}.")

    def sets(self) -> Iterable[tuple[str, Features]]:
        """Gives (file name, features) of every set in the pack."""
        yield "train", self.train
        yield "test", self.test
        for (group, name), features in self.ood.items():
            yield f"{group}_{name}", features
        yield from self.extra.sets()

    @property
    def calibration(self) -> Features:
        """ID features that nothing was fitted to: `val` where there is one, else `test`. Thresholds are chosen on them."""
        return self.test if self.extra.val is None else self.extra.val

    @property
    def title(self) -> str:
        return str(self.card.get("title", "features"))

    def set_title(self, name: str) -> str:
        """Returns the name to show for a set."""
        return str(self.card.get("sets", {}).get(name, {}).get("title", name))

    def class_name(self, label: int) -> str:
        """Returns the name to show for a class: the card's, or its number."""
        classes = self.card.get("classes")
        return (
            str(classes[label])
            if isinstance(classes, list) and 0 <= label < len(classes)
            else str(label)
        )


def pack_from_arrays(arrays: Mapping[str, np.ndarray], title: str = "features") -> Pack:
    """Returns the pack that a dictionary of arrays describes.

    Args:
        arrays: `train_z` (N, d), `train_y` (N,), `test_z`, optional `test_y`, optional `weight` (C, d) and `bias` (C,),
            OOD sets as `near_NAME`, `mid_NAME`, `far_NAME` (n, d), pseudo-OOD families as `pseudo_NAME` (n, d). Any
            feature array may have a second view under its own key and `__std`.

    Raises:
        ValueError: an array is missing, unknown or not what it should be; the message names its key.
    """
    prefixes = tuple(f"{group}_" for group in (*GROUPS, *PSEUDO_GROUPS))
    known = {"train_z", "train_y", "val_z", "val_y", "test_z", "test_y", "weight", "bias"}
    for key in arrays:
        owner, _, view = key.partition("__")
        feature_key = owner in ("train_z", "val_z", "test_z") or (
            owner.startswith(prefixes) and not owner.endswith("_")
        )
        if not (key in known or (feature_key and owner in arrays and (view or owner == key))):
            some = ", ".join(f"{prefix}NAME" for prefix in prefixes)
            raise ValueError(f"unknown array {key!r}; wanted {', '.join(sorted(known))}, {some}.")
    headless = {key: value for key, value in arrays.items() if key not in ("weight", "bias")}
    sets: dict[str, dict[str, Features]] = {group: {} for group in (*GROUPS, *PSEUDO_GROUPS)}
    for key in arrays:
        group, _, name = key.partition("_")
        if group in sets and "__" not in key:
            sets[group][name] = features_from_arrays(headless, key, "")
    ood = {(group, name): features for group in GROUPS for name, features in sets[group].items()}
    val = (
        features_from_arrays(headless, "val_z", "val_y")
        if {"val_z", "val_y"} & set(arrays)
        else None
    )
    train, test = (
        features_from_arrays(arrays, "train_z", "train_y"),
        features_from_arrays(headless, "test_z", "test_y"),
    )
    return Pack(train, test, ood, ExtraID(val, sets["pseudo"], sets["pseudoval"]), {"title": title})


def pack_from_npz(path: Path | str, limit: int | None = None) -> Pack:
    """Returns the pack in an npz file, as `pack_arrays` describes it.

    Raises ValueError naming the file, also if it would unpack to more than `limit` bytes.
    """
    path = Path(path)
    try:
        return pack_from_arrays(read_npz(path, limit), title=path.stem)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write_pack(pack: Pack, path: Path) -> None:
    """Writes a pack folder, whole or not at all."""
    with whole_folder(path) as folder:
        for name, features in pack.sets():
            write_features(features, folder / f"{name}.safetensors")
        for name, sheet in pack.thumbnails.items():
            (folder / f"{name}.webp").write_bytes(sheet)
        order = [name for name, _ in pack.sets()]
        card = {"format": "heat-pack", "version": VERSION, **pack.card, "order": order}
        (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")


def read_pack(path: Path | str) -> Pack:
    """Returns the pack in a folder that `write_pack` made. Raises ValueError naming the file that is wrong."""
    path = Path(path)
    card = _read_card(path)
    names = card["order"]
    missing = [name for name in ("train", "test") if name not in names]
    if missing:
        raise ValueError(
            f"{path / 'card.json'}: wanted the sets train and test, got no {missing[0]}."
        )
    sets = {name: read_features(path / f"{name}.safetensors") for name in names}
    ood, families = {}, {group: {} for group in PSEUDO_GROUPS}
    for name in names:
        group, _, short = name.partition("_")
        if group in GROUPS:
            ood[group, short] = sets[name]
        elif group in PSEUDO_GROUPS:
            families[group][short] = sets[name]
    try:
        extra = ExtraID(sets.get("val"), families["pseudo"], families["pseudoval"])
        sheets = {
            name: (path / f"{name}.webp").read_bytes()
            for name in names
            if (path / f"{name}.webp").is_file()
        }
        return Pack(sets["train"], sets["test"], ood, extra, card, sheets)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read_card(path: Path) -> dict[str, Any]:
    file = path / "card.json"
    if not file.is_file():
        raise ValueError(
            f"{path} is not a pack: wanted a folder with card.json. Arrays in an npz become one by `pack`."
        )
    try:
        card = json.loads(file.read_text())
    except (ValueError, OSError, RecursionError) as error:
        raise ValueError(f"{file}: not readable as JSON ({error}).") from None
    if not isinstance(card, dict) or card.get("format") != "heat-pack":
        raise ValueError(f"{file}: not the card of a pack (it says no format heat-pack).")
    if card.get("version") != VERSION:
        raise ValueError(
            f"{file}: a pack of version {card.get('version')}; this program reads version {VERSION}."
        )
    order = card.get("order")
    if not isinstance(order, list) or not all(
        isinstance(n, str) and n == Path(n).name for n in order
    ):
        raise ValueError(f"{file}: `order` must list the names of the sets, got {order!r}.")
    sets, classifier = card.get("sets", {}), card.get("classifier", {})
    if not (
        isinstance(sets, dict)
        and isinstance(classifier, dict)
        and all(isinstance(s, dict) for s in sets.values())
    ):
        raise ValueError(
            f"{file}: `sets` and `classifier` must be objects; `sets` holds one object a set."
        )
    return card
