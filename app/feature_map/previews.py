"""What a browser needs to preview the row under a pointer: sent once, drawn without the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.components.shared_data import NOTHING, packed, packed_numbers, shared_data
from app.components.thumbnails import thumbnails
from app.components.tiles import encoded
from app.feature_map.tables import title_on_map
from app.pack.data import PackData, has_images, images_of
from app.pack.items import PackRow
from app.pack.layout import Layout
from heat_core.metadata import ID_COLUMN
from heat_core.metrics import percentile
from heat_core.texts import one_line

MAX_ROWS = 30_000  # that a browser knows: of more, it knows every second, third ...
MAX_CLASS_NAMES = 1000  # of more classes, previews name none
MAX_TITLE = 40  # characters
MAX_ID = 24  # characters of an id in a preview
MAX_IDS_LENGTH = 400_000  # characters of all of them: of more, previews say none
WANTED_KEY = "wanted_thumbnails"

Scores = Mapping[str, NDArray[np.float64]]  # {set: (n,)}


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines over a plot.

    Args:
        pieces: (pieces, 4) from (x, y) to (x, y), fractions of the plot.
        dash: lengths of a dash and of the gap after it, in pixels; nothing for a whole line.
        strength: from 0, not seen, to 1.
    """

    pieces: NDArray[np.floating]
    dash: tuple[int, ...] = ()
    strength: float = 1.0


def every_nth(layout: Layout) -> int:
    """Returns of how many rows a browser knows one."""
    return -(-sum(map(len, layout.coordinates.values())) // MAX_ROWS)


def set_numbers(layout: Layout, set_names: Sequence[str]) -> list[int]:
    """Returns the numbers of sets among those of the map, as the browser knows them."""
    return [i for i, name in enumerate(layout.coordinates) if name in set_names]


def share_rows(pack_data: PackData, layout: Layout) -> None:
    """Tells the browser of which set and class each row is; rows are numbered set after set."""
    pack = pack_data.pack
    labels = []
    sets = []
    start = 0
    for name, features in pack.sets():
        if name not in layout.coordinates:
            continue
        rows = len(features)
        is_named = features.y is not None and name in ("train", "test")
        labels.append(_class_numbers(pack_data, name) if is_named else np.full(rows, NOTHING))
        title = one_line(title_on_map(pack, name), MAX_TITLE)
        sets.append(
            {
                "title": title,
                "start": start,
                "stop": start + rows,
                "has_images": has_images(pack_data, name),
            }
        )
        start += rows
    every = every_nth(layout)
    classes = pack.train.classes.tolist()
    names = [one_line(pack.class_name(label), MAX_TITLE) for label in classes[:MAX_CLASS_NAMES]]
    content = {
        "sets": sets,
        "every": every,
        "labels": packed_numbers(np.concatenate(labels)[::every]),
        "classes": names if len(classes) <= MAX_CLASS_NAMES else [],
        "ids": _ids_text(pack_data, layout),
    }
    shared_data("rows", content)


def _ids_text(pack_data: PackData, layout: Layout) -> str:
    """Returns the ids that the data gives its rows, one a line; nothing without, or of too many."""
    ids: list[str] = []
    for name, features in pack_data.pack.sets():
        if name in layout.coordinates:
            column = features.metadata.get(ID_COLUMN)
            ids += [""] * len(features) if column is None else column.texts()
    text = "\n".join(one_line(text, MAX_ID) for text in ids[:: every_nth(layout)])
    return text if any(ids) and len(text) <= MAX_IDS_LENGTH else ""


def _class_numbers(pack_data: PackData, name: str) -> NDArray[np.int64]:
    """Returns the number of each row's class among those of the training set, (n,)."""
    y = dict(pack_data.pack.sets())[name].y
    assert y is not None
    return np.searchsorted(pack_data.pack.train.classes.numpy(), y.cpu().numpy())


def share_values(layout: Layout, detector: str, scores: Scores | None) -> None:
    """Tells the browser the share of ID test rows that score at most as much as each row."""
    percentiles = [
        percentile(scores["test"], scores[name])
        if scores and name in scores
        else np.full(len(coordinates), np.nan)
        for name, coordinates in layout.coordinates.items()
    ]
    content = {
        "title": detector,
        "percentiles": packed(np.concatenate(percentiles)[:: every_nth(layout)]),
        "missing": "not scored" if scores else f"{detector} is not ready",
    }
    shared_data("values", content)


def share_plot(name: str, rows_layout: Layout, plotted: Layout, lines: Sequence[Lines]) -> None:
    """Tells the browser where rows lie on a plot, and the lines over it.

    Args:
        name: of the plot.
        rows_layout: that numbers the rows.
        plotted: where they lie; rows of sets that it has not lie nowhere.
        lines: over the plot.
    """
    positions = [
        plotted.positions.get(set_name, np.full((len(coordinates), 2), np.nan))
        for set_name, coordinates in rows_layout.coordinates.items()
    ]
    content = {
        "positions": packed(np.concatenate(positions)[:: every_nth(rows_layout)]),
        "lines": [
            {"pieces": packed(line.pieces), "dash": line.dash, "strength": line.strength}
            for line in lines
        ],
    }
    shared_data(name, content)


@st.fragment
def serve_thumbnails(pack_data: PackData, layout: Layout) -> None:
    """Gives the browser the thumbnails that it asks for, without running the page."""

    def on_wanted(rows: list[int]) -> None:
        st.session_state[WANTED_KEY] = rows

    rows = st.session_state.pop(WANTED_KEY, [])
    pack_rows = {row: _pack_row(layout, row) for row in rows}
    known = {row: pack_row for row, pack_row in pack_rows.items() if pack_row is not None}
    images, _ = images_of(pack_data, list(known.values()))
    addresses = [encoded(image) if image is not None else "" for image in images]
    thumbnails(pack_data.key, dict(zip(known, addresses, strict=True)), on_wanted, "previews")


def _pack_row(layout: Layout, number: int) -> PackRow | None:
    """Returns (set, row) of a row's number; None if there is none."""
    for name, coordinates in layout.coordinates.items():
        if number < len(coordinates):
            return name, number
        number -= len(coordinates)
    return None
