"""A map to draw lassos and boxes on, to zoom, and to click.

Only the shape that was drawn travels: what it holds is the server's business.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import streamlit as st

from app.components import declared
from app.components.thumbnails import MAX_WANTED
from app.incoming import numbers_within

_mount = declared("scatter_map")

Point = tuple[float, float]  # (x, y), fractions of the map from its upper left
Window = tuple[float, float, float, float]  # left, top, right, bottom: fractions of the map

WHOLE: Window = (0.0, 0.0, 1.0, 1.0)
MAX_SHAPE_CORNERS = 128  # of a shape
FARTHEST = 100.0  # that a corner may be from the map, in maps: a drag may end outside
SMALLEST_WINDOW = 1 / 64  # its width, a fraction of the map's
CORNERS = {  # fewest and most
    "spot": (1, 1),
    "box": (3, MAX_SHAPE_CORNERS),
    "lasso": (3, MAX_SHAPE_CORNERS),
}


@dataclass(frozen=True)
class Mark:
    """A text at a spot of the map, or a ring where there is no text."""

    spot: Point
    text: str = ""


@dataclass(frozen=True)
class Legend:
    """What colours mean: a title, and entries, or a scale of colours with a text at each end.

    Args:
        title: what the colours stand for.
        entries: (colour, symbol, text) of each.
        scale: colours in order.
        ends: the texts at the ends of the scale.
    """

    title: str
    entries: tuple[tuple[str, str, str], ...] = ()
    scale: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """What somebody drew on the map: a shape, or one spot.

    Args:
        kind: `lasso`, `box` or `spot`.
        corners: of the shape.
        adds: whether it adds to what was drawn before.
        reach: how far from a spot a point may be, a fraction of the map's width.
    """

    kind: str
    corners: tuple[Point, ...]
    adds: bool
    reach: float


@dataclass(frozen=True)
class MapPicture:
    """What is shown of a map: the part in its window, and what is drawn over it.

    Args:
        image: a PNG of the window.
        aspect: its width over its height.
        window: the part of the map that is shown.
        alt: what it shows, for a screen reader.
        outlines: of the shapes that are drawn.
        marks: over it.
        legend: below it.
        plot: the name of the shared data that say where rows lie on it, for their previews; see
            `app.feature_map.previews`.
        shown: numbers of the sets that are drawn, among those of the shared rows.
        has_lines: whether the lines of the shared data are drawn over it.
        opened: id of the item that is open: where another is opened, the page scrolls to the map.
    """

    image: bytes
    aspect: float
    window: Window
    alt: str
    outlines: Sequence[Sequence[Point]]
    marks: Sequence[Mark]
    legend: Legend
    plot: str = ""
    shown: Sequence[int] = ()
    has_lines: bool = False
    opened: str = ""


def scatter_map(
    picture: MapPicture,
    on_draw: Callable[[Drawing], None],
    on_move: Callable[[Window], None],
    key: str,
) -> None:
    """Shows a map.

    What a browser sends that is no drawing or window is passed over.

    Args:
        on_draw: called with what is drawn on it.
        on_move: called with the window once a zoom or a move has ended.
    """

    def on_drawn_change() -> None:
        drawing = parse_drawing(st.session_state[key].drawn)
        if drawing is not None:
            on_draw(drawing)

    def on_moved_change() -> None:
        window = parse_window(st.session_state[key].moved)
        if window is not None:
            on_move(window)

    data = asdict(picture)
    data["image"] = f"data:image/png;base64,{base64.b64encode(picture.image).decode()}"
    data["max_corners"] = MAX_SHAPE_CORNERS
    data["smallest_window"] = SMALLEST_WINDOW
    data["max_wanted"] = MAX_WANTED
    _mount(
        data=data,
        key=key,
        on_drawn_change=on_drawn_change,
        on_moved_change=on_moved_change,
    )


def parse_drawing(message: Any) -> Drawing | None:
    """Returns the drawing that a browser sends, or None if the message is of no such form.

    >>> message = {"kind": "spot", "corners": [0.5, 0.25], "adds": False, "reach": 0.01}
    >>> parse_drawing(message).corners
    ((0.5, 0.25),)
    """
    if not isinstance(message, dict):
        return None
    kind = message.get("kind")
    coordinates = message.get("corners")
    reach = message.get("reach")
    if kind not in ("lasso", "box", "spot") or not isinstance(coordinates, list):
        return None
    numbers = numbers_within([*coordinates, reach], -FARTHEST, FARTHEST)
    if numbers is None or len(coordinates) % 2:
        return None
    *coordinates, reach = numbers
    corners = tuple(zip(coordinates[::2], coordinates[1::2], strict=True))
    fewest, most = CORNERS[kind]
    if not fewest <= len(corners) <= most:
        return None
    return Drawing(kind, corners, message.get("adds") is True, reach)


def parse_window(edges: Any) -> Window | None:
    """Returns the window of four numbers from a browser or a link, or None if they are none.

    It is as wide as it is high, lies on the map, and is not too small.

    >>> parse_window([0.25, 0.5, 0.5, 0.75]), parse_window([0, 0, 2, 2])
    ((0.25, 0.5, 0.5, 0.75), None)
    """
    numbers = numbers_within(edges, -FARTHEST, FARTHEST, 4)
    if numbers is None:
        return None
    left, top, right, bottom = numbers
    width, height = right - left, bottom - top
    has_size = 0.999 * SMALLEST_WINDOW <= width <= 1.001
    is_square = abs(width - height) < 1e-3
    is_inside = min(left, top) > -1e-3 and max(right, bottom) < 1.001
    return (left, top, right, bottom) if has_size and is_square and is_inside else None
