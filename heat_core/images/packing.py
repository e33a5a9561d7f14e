"""A network and image datasets become a pack, set by set, in steps that survive a kill.

Every set is extracted in shards of at most `SHARD` images into a folder beside the pack; what is there already is taken
as it is, so a killed extraction loses one shard. The folder goes when the pack is written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from heat_core.energies import moments_of, on_sphere
from heat_core.features import Features, Moments, read_features, write_features
from heat_core.files import write_whole
from heat_core.pack import SET_NAME, ExtraID, Pack

from .classifier import fingerprint
from .datasets import Images, find_dataset, read_images, stratified_rows
from .extract import EarlyLayer, Extractor, OnBatch, extract, head_of
from .pseudo import COMPOSED, FAMILIES, destroy
from .thumbnails import encode_sheet

SHARD = 5000


@dataclass(frozen=True)
class Contents:
    """How many images of what a pack holds.

    Args:
        inside: the in-distribution dataset.
        outside: OOD datasets.
        train: rows of the bank of training features, drawn from all that the network saw; their moments are of all.
        test: ID test rows.
        ood: rows an OOD set.
        family: destroyed training images a pseudo-OOD family, and held-out ones; compositions of two families come four
            times as many of the first and twice of the second. 0 leaves the families out.
    """

    inside: str
    outside: tuple[str, ...]
    train: int = 6000
    test: int = 10_000
    ood: int = 1000
    family: tuple[int, ...] = (200, 80)

    def __post_init__(self) -> None:
        if min(self.train, self.test, self.ood) < 1:
            raise ValueError(
                f"rows must be at least 1, got {self.train} to train, {self.test} to test, {self.ood} of OOD sets."
            )
        if len(self.family) != 2 or min(self.family) < 0:
            raise ValueError(
                f"pseudo-OOD rows must be two numbers of 0 or more, got {', '.join(map(str, self.family))}."
            )
        if self.inside in self.outside:
            raise ValueError(
                f"an OOD set must not be the in-distribution one, got {self.inside} as both."
            )
        shorts = [short_name(name) for name in self.outside]
        for name in shorts:
            if not SET_NAME.fullmatch(name):
                raise ValueError(
                    f"the name of a set must be up to 60 letters, digits, spaces and . + - _, got {name!r}."
                )
            if shorts.count(name) > 1:
                raise ValueError(
                    f"OOD sets must have names of their own, got {name} {shorts.count(name)} times."
                )


def short_name(name: str) -> str:
    """Returns what a dataset is called in a pack: a folder by its own name."""
    return Path(name.removeprefix("folder:")).name if name.startswith("folder:") else name


def build_pack(
    extractor: Extractor,
    notes: Mapping[str, Any],
    contents: Contents,
    roots: Sequence[Path],
    work: Path,
    on_batch: OnBatch = lambda what, done, total: None,
) -> Pack:
    """Returns the pack; its shards stay in `work` until `work` is deleted.

    Args:
        extractor: the network; with `odin` set, the sets it scores have that view.
        notes: of the network: `held_out_images` of the training split, drawn as `datasets.split_validation` draws, were
            not learned from and become `val`; `classes` and accuracies go on the card.
        roots: folders with the datasets.

    Raises:
        FileNotFoundError: a dataset is not there.
        ValueError: a dataset or the network cannot be read, or `work` holds the shards of another extraction.
    """
    for name in contents.outside:
        read_images(name, roots, count=contents.ood)  # before hours are spent on the others
    _try(extractor)
    _claim(work, extractor, notes, contents)
    images = read_images(contents.inside, roots, "train")
    held_out = stratified_rows(images.labels, int(notes.get("held_out_images", 0)))
    seen = np.setdiff1d(np.arange(len(images)), held_out)
    moments, extractor = _learned(
        extractor, _Shards(extractor, work, on_batch).plain("seen", images, seen)
    )
    shards = _Shards(extractor, work, on_batch)
    head = None if extractor.layer else head_of(extractor.network)
    bank = shards.shown("train", images, seen[stratified_rows(images.labels[seen], contents.train)])
    extra = ExtraID(
        shards.scored("val", images, held_out) if len(held_out) else None,
        shards.families("pseudo", images, seen, contents.family[0]),
        shards.families("pseudoval", images, held_out, contents.family[1]),
    )
    images = read_images(contents.inside, roots, "test")
    test = shards.shown("test", images, stratified_rows(images.labels, contents.test))
    outside = dict(shards.outside(contents, roots))
    train = replace(bank, head=head, moments=moments)
    pack = Pack(train, test, outside, extra, {}, shards.thumbnails)
    return replace(
        pack, card=make_card(contents.inside, extractor, notes, pack, shards.images, len(seen))
    )


def _try(extractor: Extractor) -> None:
    """Reads one black image. Raises ValueError if the network does not take it."""
    extractor.network.to(extractor.device).eval()
    try:
        extractor(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{extractor.architecture.model} does not take images of 32 pixels: {reason}"
        ) from None


def _claim(work: Path, extractor: Extractor, notes: Mapping[str, Any], contents: Contents) -> None:
    """Writes what the shards in `work` will be of, or checks it."""
    settings = {
        "weights": fingerprint(extractor.network),
        "architecture": asdict(extractor.architecture),
        "layer": extractor.layer,
        "std": extractor.std,
        "odin": extractor.odin,
        "early": extractor.early.layer if extractor.early else "",
        "dtype": str(extractor.dtype),
        "contents": asdict(contents),
        "held_out_images": notes.get("held_out_images", 0),
    }
    text, file = json.dumps(settings, indent=2, sort_keys=True), work / "settings.json"
    if not file.is_file():
        write_whole(file, text.encode())
    elif file.read_text() != text:
        raise ValueError(
            f"{work} holds the shards of an extraction with other settings; delete it or give them again."
        )


@dataclass(frozen=True, eq=False)
class _Shards:
    """Features of sets, from shards or from the network; what their images were, and small copies where that is allowed."""

    extractor: Extractor
    work: Path
    on_batch: OnBatch
    images: dict[str, Images] = field(default_factory=dict)  # without their pixels
    thumbnails: dict[str, bytes] = field(default_factory=dict)

    def plain(self, name: str, images: Images, rows: NDArray[np.int64]) -> Features:
        """Returns features without ODIN's score, which costs three times as much."""
        return self._all(replace(self.extractor, odin=False), name, images, rows)

    def scored(self, name: str, images: Images, rows: NDArray[np.int64]) -> Features:
        """Returns features with ODIN's score, where that is wanted."""
        self.images[name] = images.take(rows[:0], images.split)
        return self._all(self.extractor, name, images, rows)

    def shown(self, name: str, images: Images, rows: NDArray[np.int64]) -> Features:
        """Returns features of a set that people look at, and keeps thumbnails if they may be handed on."""
        if find_dataset(images.name).shareable:
            self.thumbnails[name] = encode_sheet(images.pixels[rows])
        return self.scored(name, images, rows)

    def outside(
        self, contents: Contents, roots: Sequence[Path]
    ) -> Iterator[tuple[tuple[str, str], Features]]:
        """Gives ((group, name), features) of the OOD sets; their classes mean nothing to the network."""
        for name in contents.outside:
            images, group = (
                read_images(name, roots),
                find_dataset(name).group_beside(contents.inside),
            )
            key = group, short_name(name)
            rows = stratified_rows(images.labels, contents.ood)
            yield key, replace(self.shown("_".join(key), images, rows), y=None)

    def families(
        self, kind: str, images: Images, rows: NDArray[np.int64], count: int
    ) -> dict[str, Features]:
        """Returns the pseudo-OOD families made of rows, each of rows of its own drawing."""
        if not count or not len(rows):
            return {}
        found = {}
        for seed, family in enumerate((*FAMILIES, COMPOSED)):
            wanted = count * (1 if family != COMPOSED else 4 if kind == "pseudo" else 2)
            drawn = rows[stratified_rows(images.labels[rows], wanted, seed)]
            mixed = np.random.default_rng(seed).permutation(
                drawn
            )  # neighbours in the batch are of other classes
            change = partial(destroy, family=family, seed=0 if kind == "pseudo" else 1)
            made = self._all(self.extractor, f"{kind}_{family}", images, mixed, change)
            found[family] = replace(made, y=None)
        return found

    def _all(
        self,
        extractor: Extractor,
        name: str,
        images: Images,
        rows: NDArray[np.int64],
        change: Any = None,
    ) -> Features:
        parts = []
        for number, start in enumerate(range(0, len(rows), SHARD)):
            file = self.work / f"{name}-{number:04}.safetensors"
            if not file.is_file():
                write_features(
                    extract(
                        extractor,
                        images,
                        rows[start : start + SHARD],
                        change,
                        on_batch=self.on_batch,
                    ),
                    file,
                )
            parts.append(read_features(file))
        return _joined(parts)


def _joined(parts: Sequence[Features]) -> Features:
    first = parts[0]
    if len(parts) == 1:
        return first
    labels = [p.y for p in parts if p.y is not None]
    index = [p.index for p in parts if p.index is not None]
    views = {name: torch.cat([p.views[name] for p in parts]) for name in first.views}
    return Features(
        torch.cat([p.z for p in parts]),
        torch.cat(labels),
        None,
        views,
        torch.cat(index),
        first.source,
    )


def _learned(extractor: Extractor, seen: Features) -> tuple[dict[str, Moments], Extractor]:
    """Returns the moments of all that the network saw, and the extractor with its earlier layer's energy fitted to them."""
    views = {name: seen.view(name) for name in ("z", *seen.views) if name != "early"}
    moments = {
        key: moments_of(f)
        for name, view in views.items()
        for key, f in ((name, view), (f"unit {name}", on_sphere(view)))
    }
    if extractor.early is None:
        return moments, extractor
    layer = extractor.early.layer
    moments[f"unit {layer}"] = moments_of(on_sphere(seen.view("early")))
    return moments, replace(extractor, early=EarlyLayer.of(layer, moments[f"unit {layer}"]))


def make_card(
    inside: str,
    extractor: Extractor,
    notes: Mapping[str, Any],
    pack: Pack,
    images: Mapping[str, Images],
    seen: int,
) -> dict[str, Any]:
    """Returns the card of an extracted pack: the network, its accuracy, every set with count, source and stand-in."""
    sets = {key: _described(key, features, images.get(key)) for key, features in pack.sets()}
    sets["train"]["moments_of"] = seen
    name, widths = extractor.architecture.model, extractor.architecture.channels
    early = {"early": extractor.early.layer} if extractor.early else {}
    if widths:
        name = f"{name} of widths {', '.join(map(str, widths))}"
    return {
        "title": f"{find_dataset(inside).title}, {name}",
        "id": find_dataset(inside).title,
        "classes": notes.get("classes", []),
        "classifier": {
            "architecture": asdict(extractor.architecture),
            "layer": extractor.layer,
            **early,
            "weights": fingerprint(extractor.network),
            **notes,
        },
        "sets": sets,
    }


def _described(key: str, features: Features, images: Images | None) -> dict[str, Any]:
    """Returns what a card says of a set; `images` of one that is no family."""
    dataset, _, split = features.source.rpartition("/")
    known = find_dataset(dataset)
    about: dict[str, Any] = {
        "title": known.title,
        "split": split,
        "rows": len(features),
        "source": known.source,
        "licence": known.licence,
    }
    if images is None:
        return about | {"family": key.partition("_")[2]}
    if known.stands_in_for and not 0 < known.complete_classes <= len(images.classes):
        about["stands_in_for"] = known.stands_in_for
    if images.skipped:
        about["skipped"] = len(images.skipped)
    return about


def delete_shards(work: Path) -> None:
    """Deletes the shards."""
    shutil.rmtree(work, ignore_errors=True)
