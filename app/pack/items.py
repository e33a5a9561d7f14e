"""Pure: which items are selected, by an id that holds in every chart, on every page and in a link.

An item is (source, index): `cifar10/test` and 123, written `cifar10/test/123`. Where features do
not say which images they are of, and for destroyed images, the source is the set's own name and
the index its row. A position in an array is never an id.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heat_core.metadata import ID_COLUMN
from heat_core.set_name import SetName

if TYPE_CHECKING:
    from app.pack.layout import Region
    from app.pack.metadata import Condition
    from heat_core.features import Features
    from heat_core.pack import Pack


RowIndices = NDArray[np.int64]
Mask = NDArray[np.bool]
Items = Mapping[str, RowIndices]  # {source: sorted distinct indices}
PackRow = tuple[str, int]  # name of a set, and a row of it

MAX_TEXT_LENGTH = 8000  # characters that a selection may take in a link
MAX_UNPACKED_BYTES = 2**20  # that a link's text may unpack to
MAX_PARTS = 32  # of a selection in a link: each is a chip on the page
STEP_TYPES = {1: np.uint8, 2: np.uint16, 4: np.uint32}  # by their bytes
MIN_OOD_SELECTED = 20  # selected OOD images, below which figures of their own say nothing


# -- the selection ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LabelledItems:
    """Items with a label: selected on one chart or map, or under one tag.

    Args:
        origin: where, such as `map`; a new part replaces the one of the same origin.
        label: what its chip says, such as `Drawn on the map`.
        items: as `items_of` returns them.
        region: what is drawn around the items, of a part of the map.
        condition: on a metadata column, of a part that holds all rows for which it is true.
    """

    origin: str
    label: str
    items: Items
    region: Region | None = None
    condition: Condition | None = None

    def __len__(self) -> int:
        return _count(self.items)


@dataclass(frozen=True, eq=False)
class Selection:
    """The items that are in every part: parts narrow each other down.

    Without a part nothing is selected.

    >>> lasso = LabelledItems("map", "A lasso", {"cifar10/test": np.array([1, 2, 3])})
    >>> bar = LabelledItems("bar", "A bar", {"cifar10/test": np.array([3, 4])})
    >>> Selection((lasso, bar)).items
    {'cifar10/test': array([3])}
    """

    parts: tuple[LabelledItems, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __len__(self) -> int:
        return _count(self.items)

    @cached_property
    def items(self) -> Items:
        """{source: sorted distinct indices} of what is in every part, of sources that have any."""
        if not self.parts:
            return {}
        return reduce(_intersection, (part.items for part in self.parts))

    def part(self, origin: str) -> LabelledItems | None:
        """Returns the part of an origin, if there is one."""
        for part in self.parts:
            if part.origin == origin:
                return part
        return None

    def with_part(self, part: LabelledItems) -> Selection:
        """Returns the selection with a part, which replaces the one of the same origin."""
        if self.part(part.origin) is None:
            return Selection((*self.parts, part))
        return Selection(tuple(part if old.origin == part.origin else old for old in self.parts))

    def without(self, origin: str) -> Selection:
        """Returns the selection without the part of an origin."""
        return Selection(tuple(part for part in self.parts if part.origin != origin))

    def text_without(self, *origins: str) -> str:
        """Returns the parts of other origins as text for a link.

        They are packed once: every run of a page asks for them.
        """
        if origins not in self._texts:
            self._texts[origins] = parts_text(
                part for part in self.parts if part.origin not in origins
            )
        return self._texts[origins]

    @cached_property
    def _texts(self) -> dict[tuple[str, ...], str]:
        return {}


def _count(items: Items) -> int:
    return sum(map(len, items.values()))


def _intersection(items: Items, other_items: Items) -> Items:
    common = {
        source: np.intersect1d(items[source], other_items[source], assume_unique=True)
        for source in items
        if source in other_items
    }
    return {source: indices for source, indices in common.items() if len(indices)}


# -- the selection in a link -----------------------------------------------------------------------
#
# The text is base64 of zlib of a line of JSON and bytes. The JSON lists [origin, label, sources] of
# each part and [source, number of items, bytes per step] of each source; the bytes are the steps
# from one index to the next, which are small where many are selected.


def parts_text(parts: Iterable[LabelledItems]) -> str:
    """Returns parts as text for a link; nothing if there are none, or too many or too large."""
    header = []
    body = b""
    for part in parts:
        sources = []
        for source, indices in part.items.items():
            steps = np.diff(indices, prepend=-1)
            width = _bytes_per_step(steps)
            sources.append([source, len(steps), width])
            body += steps.astype(STEP_TYPES[width]).tobytes()
        header.append([part.origin, part.label, sources])
    packed = zlib.compress(json.dumps(header).encode() + b"\n" + body, 9)
    text = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    fits = len(header) <= MAX_PARTS and len(text) <= MAX_TEXT_LENGTH
    return text if header and fits else ""


def _bytes_per_step(steps: RowIndices) -> int:
    largest = steps.max(initial=0)
    return next(width for width, kind in STEP_TYPES.items() if largest <= np.iinfo(kind).max)


def parse_parts(text: str) -> tuple[LabelledItems, ...]:
    """Returns the parts of a link's text; none if the text is not whole, or has too many."""
    if not text or len(text) > MAX_TEXT_LENGTH:
        return ()
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        unpacked = zlib.decompressobj().decompress(packed, MAX_UNPACKED_BYTES)
        header, _, body = unpacked.partition(b"\n")
        return tuple(_parse_body(json.loads(header), body))
    except (ValueError, TypeError, KeyError, zlib.error, RecursionError):
        return ()


def _parse_body(header: Any, body: bytes) -> Iterable[LabelledItems]:
    """Gives the parts that a header describes. Raises ValueError if header and body do not fit."""
    if len(header) > MAX_PARTS:
        raise ValueError(f"wanted at most {MAX_PARTS} parts, got {len(header)}.")
    for origin, label, sources in header:
        items = {}
        for source, count, width in sources:
            size = count * width
            steps = np.frombuffer(body[:size], STEP_TYPES[width]).astype(np.int64)
            body = body[size:]
            if len(steps) != count or not count or steps.min() < 1:
                raise ValueError(f"wanted {count} indices that rise.")
            items[str(source)[:200]] = np.cumsum(steps) - 1
        yield LabelledItems(str(origin)[:60], str(label)[:100], items)


# -- items of a pack -------------------------------------------------------------------------------


def source_of(features: Features, name: str) -> str:
    """Returns the source of a set's items: its dataset and split, or the set's own name."""
    if features.index is None or not features.source or SetName.parse(name).is_pseudo:
        return name
    return features.source


def indices_of(features: Features, name: str) -> RowIndices:
    """Returns the index of each row of a set within its source, (N,)."""
    if features.index is None or source_of(features, name) == name:
        return np.arange(len(features))
    return features.index.cpu().numpy()


def item_id(features: Features, name: str, row: int) -> str:
    """Returns the id of a row of a set, such as `cifar10/test/123`."""
    return f"{source_of(features, name)}/{int(indices_of(features, name)[row])}"


def given_id(features: Features, row: int) -> str:
    """Returns the id that the data itself gives a row; nothing where it gives none."""
    column = features.metadata.get(ID_COLUMN)
    return "" if column is None else column.text(row)


def find_given_id(pack: Pack, text: str) -> PackRow | None:
    """Returns (set, row) of an id that the data itself gives; None if it gives no row that id."""
    for name, features in pack.sets():
        column = features.metadata.get(ID_COLUMN)
        if column is not None and text in (texts := column.texts()):
            return name, texts.index(text)
    return None


def find_item(pack: Pack, item: str) -> PackRow | None:
    """Returns (set, row) of an id such as `cifar10/test/123`; None if the pack has no such row."""
    source, _, index = item.strip().rpartition("/")
    if not (index.isascii() and index.isdigit() and len(index) < 19):
        return None
    for name, features in pack.sets():
        if source == source_of(features, name):
            rows = np.flatnonzero(indices_of(features, name) == int(index))
            if len(rows):
                return name, int(rows[0])
    return None


def items_of(pack: Pack, rows: Mapping[str, RowIndices | Mask]) -> Items:
    """Returns the items of rows of a pack.

    Args:
        rows: {set: the rows, or a mask of them (N,)}.
    """
    sets = dict(pack.sets())
    indices_by_source: dict[str, list[RowIndices]] = {}
    for name, selected_rows in rows.items():
        indices = indices_of(sets[name], name)[selected_rows]
        if len(indices):
            indices_by_source.setdefault(source_of(sets[name], name), []).append(indices)
    return {
        source: np.unique(np.concatenate(indices)) for source, indices in indices_by_source.items()
    }


def masks_in(pack: Pack, items: Items) -> dict[str, Mask]:
    """Returns {set: mask of its rows (N,)} of items, for the sets that have any."""
    masks = {name: mask_in(features, name, items) for name, features in pack.sets()}
    return {name: mask for name, mask in masks.items() if mask.any()}


def masks_of_sets(pack: Pack, names: Iterable[str], items: Items) -> dict[str, Mask]:
    """Returns {set: mask of its rows (N,)} of items, for each of these sets."""
    sets = dict(pack.sets())
    return {name: mask_in(sets[name], name, items) for name in names}


def mask_in(features: Features, name: str, items: Items) -> Mask:
    """Returns which rows of a set are among the items, (N,)."""
    indices = items.get(source_of(features, name))
    if indices is None:
        return np.zeros(len(features), bool)
    return np.isin(indices_of(features, name), indices)
