"""Images of a pack side by side, each a button that opens it in the inspector."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import figures
from app.components.tiles import Tile, encoded, tiles
from app.pack.controls import images_first_input
from app.pack.data import PackData, has_images, images_of
from app.pack.items import PackRow, given_id, item_id
from app.pack.selected import open_item
from app.text import plain
from heat_core.set_name import ID_SETS

if TYPE_CHECKING:
    from heat_core.pack import Pack


def gallery_order(pack_data: PackData, row_sets: NDArray[np.str_]) -> NDArray[np.intp]:
    """Returns the order in which to show rows, (N,): with images first, unless unwanted.

    Args:
        row_sets: (N,) names of the rows' sets, in the order that the gallery is sorted by.
    """
    bare_sets = [name for name in np.unique(row_sets).tolist() if not has_images(pack_data, name)]
    is_bare = np.isin(row_sets, bare_sets)
    if is_bare.all() or not is_bare.any():
        return np.arange(len(row_sets))
    titles = [pack_data.pack.title_of(name) for name in bare_sets]
    if not images_first_input(int(is_bare.sum()), titles):
        return np.arange(len(row_sets))
    return np.argsort(is_bare, kind="stable")


def rows_id(row_sets: NDArray[np.str_], rows: NDArray[np.int64]) -> str:
    """Returns what tells a list of rows from every other, the order included.

    Args:
        row_sets: (N,) names of the rows' sets.
        rows: (N,) which row of it.
    """
    digest = hashlib.sha256("/".join(row_sets.tolist()).encode())
    digest.update(rows.astype(np.int64).tobytes())
    return digest.hexdigest()


def show_tiles(
    pack_data: PackData,
    pack_rows: Sequence[PackRow],
    captions: Sequence[tuple[str, ...]],
    key: str,
    opened: str = "",
) -> None:
    """Shows images of a pack, each a button that opens it, and says why some are not there.

    Args:
        pack_rows: (set, row) of each.
        captions: the lines below each.
        opened: id of the item that is open.
    """
    images, reasons = images_of(pack_data, pack_rows)
    shown_tiles = [
        _tile(pack_data, pack_row, image, lines)
        for pack_row, image, lines in zip(pack_rows, images, captions, strict=True)
    ]
    tiles(shown_tiles, open_item, key, opened)
    for reason in reasons:
        st.caption(plain(reason))


def _class_text(pack: Pack, name: str, row: int) -> str:
    """Returns the class of an ID row where it has one, else the class that it is taken for."""
    features = dict(pack.sets())[name]
    if name in ID_SETS and features.y is not None:
        return pack.class_name(int(features.y[row]))
    if pack.train.head is None:
        return ""
    logits = pack.train.head.logits(features.z[row : row + 1].double())
    return f"taken for {pack.class_name(int(logits.argmax()))}"


def _tile(
    pack_data: PackData,
    pack_row: PackRow,
    image: NDArray[np.uint8] | None,
    lines: tuple[str, ...],
) -> Tile:
    """Returns the tile of a row; without an image it is a row of all that is known.

    Its set with the row's id there, the class that it is of or is taken for, and its figure.
    """
    name, row = pack_row
    features = dict(pack_data.pack.sets())[name]
    item = item_id(features, name, row)
    own_id = given_id(features, row)
    title = pack_data.pack.title_of(name)
    label = f"{title} {own_id or row}: {', '.join(lines)}"
    colour = figures.colour_of(name)
    if image is None:
        name_of_row = f"{title} {own_id or item.rpartition('/')[2]}"
        texts = (_class_text(pack_data.pack, name, row), *lines)
        others = dict.fromkeys(text for text in texts if text and text != title)
        return Tile(item, "", (name_of_row, *others), label, colour)
    return Tile(item, encoded(image), lines, label, colour)
