"""Pure: which items are selected, by global id, whatever chart they were picked on. A position in an array is never an id.

An item is (source, index): `cifar10/test` and 123, written `cifar10/test/123`. Where features do not say which images they
are of, and for destroyed images, the source is the set's own name and the index its row.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from heat_core.features import Features
    from heat_core.pack import Pack


Rows = NDArray[np.int64]
Mask = NDArray[np.bool]
Items = Mapping[str, Rows]  # {source: sorted distinct indices}
LONGEST = 8000  # characters that a selection may take in a link
LARGEST = 2**20  # bytes that a link may unpack to
WIDTHS = {1: np.uint8, 2: np.uint16, 4: np.uint32}
FEW = 20  # selected OOD images, below which figures of their own say nothing


@dataclass(frozen=True, eq=False)
class Part:
    """What was picked in one place.

    Args:
        origin: where, such as `map`; a new part takes the place of the one of the same origin.
        label: what the chip says, such as `Lasso on the map`.
        items: as `items_of` returns them.
    """

    origin: str
    label: str
    items: Items

    def __len__(self) -> int:
        return sum(map(len, self.items.values()))


@dataclass(frozen=True, eq=False)
class Selection:
    """The items that are in every part: parts narrow each other down. Without a part nothing is selected."""

    parts: tuple[Part, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __len__(self) -> int:
        return sum(map(len, self.items.values()))

    @cached_property
    def items(self) -> Items:
        """{source: sorted distinct indices} of what is in every part; a source without any is left out."""
        if not self.parts:
            return {}
        return reduce(_common, (part.items for part in self.parts))

    def text_without(self, origin: str) -> str:
        """Returns the other parts as `written`, packed once: every run of a page asks for them."""
        if origin not in self._texts:
            self._texts[origin] = parts_text(self.without(origin).parts)
        return self._texts[origin]

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {}

    def with_part(self, part: Part) -> Selection:
        """Returns the selection with a part, in place of the one of the same origin."""
        if self.part(part.origin) is None:
            return Selection((*self.parts, part))
        return Selection(tuple(part if old.origin == part.origin else old for old in self.parts))

    def part(self, origin: str) -> Part | None:
        """Returns the part of an origin, if there is one."""
        return next((part for part in self.parts if part.origin == origin), None)

    def without(self, origin: str) -> Selection:
        """Returns the selection without the part of an origin."""
        return Selection(tuple(part for part in self.parts if part.origin != origin))


def parts_text(parts: Iterable[Part]) -> str:
    """Returns parts as they go into a link; nothing if there are none, or if that were longer than `LONGEST`."""
    head, rows = [], b""
    for part in parts:
        sources = []
        for source, indices in part.items.items():
            steps = np.diff(indices, prepend=-1)  # small where many are picked
            width = next(
                width
                for width, kind in WIDTHS.items()
                if steps.max(initial=0) <= np.iinfo(kind).max
            )
            sources.append([source, len(steps), width])
            rows += steps.astype(WIDTHS[width]).tobytes()
        head.append([part.origin, part.label, sources])
    text = (
        base64.urlsafe_b64encode(zlib.compress(json.dumps(head).encode() + b"\n" + rows, 9))
        .decode()
        .rstrip("=")
    )
    return text if head and len(text) <= LONGEST else ""


def parse_parts(text: str) -> tuple[Part, ...]:
    """Returns the parts that a link says; none if it says nothing that is whole."""
    if not text or len(text) > LONGEST:
        return ()
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        head, _, rows = zlib.decompressobj().decompress(packed, LARGEST).partition(b"\n")
        parts = []
        for origin, label, sources in json.loads(head):
            items = {}
            for source, count, width in sources:
                steps, rows = (
                    np.frombuffer(rows[: count * width], WIDTHS[width]).astype(np.int64),
                    rows[count * width :],
                )
                if len(steps) != count or not count or steps.min() < 1:
                    return ()
                items[str(source)[:200]] = np.cumsum(steps) - 1
            parts.append(Part(str(origin)[:60], str(label)[:100], items))
    except (ValueError, TypeError, KeyError, zlib.error, RecursionError):
        return ()
    return tuple(parts)


def _common(left: Items, right: Items) -> Items:
    both = {
        source: np.intersect1d(left[source], right[source], assume_unique=True)
        for source in left
        if source in right
    }
    return {source: indices for source, indices in both.items() if len(indices)}


def source_of(features: Features, name: str) -> str:
    """Returns the source of a set's items: its dataset and split, or its own name."""
    known = (
        features.index is not None
        and features.source
        and not name.startswith(("pseudo_", "pseudoval_"))
    )
    return features.source if known else name


def indices_of(features: Features, name: str) -> Rows:
    """Returns the index of each row of a set within its source, (N,)."""
    if features.index is None or source_of(features, name) == name:
        return np.arange(len(features))
    return features.index.cpu().numpy()


def item_of(features: Features, name: str, row: int) -> str:
    """Returns the id of a row, such as `cifar10/test/123`."""
    return f"{source_of(features, name)}/{int(indices_of(features, name)[row])}"


def items_of(pack: Pack, picked: Mapping[str, Rows | Mask]) -> Items:
    """Returns the items of rows of a pack.

    Args:
        picked: {name of a set: the rows, or a mask of them (N,)}.
    """
    sets, found = dict(pack.sets()), {}
    for name, rows in picked.items():
        indices = indices_of(sets[name], name)[rows]
        if len(indices):
            found.setdefault(source_of(sets[name], name), []).append(indices)
    return {source: np.unique(np.concatenate(parts)) for source, parts in found.items()}


def masks_in(pack: Pack, items: Items) -> dict[str, Mask]:
    """Returns {name of a set: mask of its rows (N,)} of items, for the sets that have any."""
    masks = {name: mask_in(features, name, items) for name, features in pack.sets()}
    return {name: mask for name, mask in masks.items() if mask.any()}


def mask_in(features: Features, name: str, items: Items) -> Mask:
    """Returns which rows of a set are among the items, (N,)."""
    wanted = items.get(source_of(features, name))
    return (
        np.zeros(len(features), bool)
        if wanted is None
        else np.isin(indices_of(features, name), wanted)
    )


def find_item(pack: Pack, item: str) -> tuple[str, int] | None:
    """Returns (name of the set, row) of an id such as `cifar10/test/123`; None if the pack does not hold it."""
    source, _, index = item.strip().rpartition("/")
    if not (index.isascii() and index.isdigit() and len(index) < 19):
        return None
    for name, features in pack.sets():
        if source == source_of(features, name):
            rows = np.flatnonzero(indices_of(features, name) == int(index))
            if len(rows):
                return name, int(rows[0])
    return None
