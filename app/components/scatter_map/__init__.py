"""A map to draw lassos and boxes on, to zoom, and to click. Only the shape that was drawn travels: what it holds is the
server's business.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import streamlit as st

from app.components import are_numbers, declared

_mount = declared("scatter_map")

Spot = tuple[float, float]
WHOLE = (0.0, 0.0, 1.0, 1.0)  # the window that shows everything: left, top, right, bottom
CORNERS = 128  # of a shape at most
DEEPEST = 1 / 64  # of the picture's extent, the narrowest window


@dataclass(frozen=True)
class Mark:
    """A text, or a ring without one, at a spot of the picture (fractions of its extent)."""

    spot: Spot
    text: str = ""


@dataclass(frozen=True)
class Legend:
    """What colours mean: a title, and (colour, shape, text) entries, or a scale of colours with a text at each end."""

    title: str
    entries: tuple[tuple[str, str, str], ...] = ()
    scale: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picked:
    """What somebody drew: the corners of a shape, or one spot; fractions of the picture.

    Args:
        kind: `lasso`, `box` or `spot`.
        corners: of the shape.
        more: whether it adds to what was drawn before.
        reach: how far from a spot a point may be, a fraction of the picture's width.
    """

    kind: str
    corners: tuple[Spot, ...]
    more: bool
    reach: float


@dataclass(frozen=True)
class Picture:
    """What is shown.

    Args:
        image: a PNG of the window.
        aspect: its width over its height.
        window: (left, top, right, bottom) fractions of the picture.
        alt: what it shows, for a screen reader.
        outlines: of shapes that were drawn.
        marks: over it.
        legend: below it.
    """

    image: bytes
    aspect: float
    window: tuple[float, float, float, float]
    alt: str
    outlines: Sequence[Sequence[Spot]]
    marks: Sequence[Mark]
    legend: Legend


def scatter_map(
    picture: Picture, on_pick: Callable[[Picked], None], on_move: Callable[[tuple], None], key: str
) -> None:
    """Shows a map; calls `on_pick` with what is drawn on it, and `on_move` with the window once a zoom or a move has ended.

    What is not of that form is passed over: it comes from a browser.
    """

    def was_picked() -> None:
        if (found := picked(st.session_state[key].picked)) is not None:
            on_pick(found)

    def was_moved() -> None:
        if (window := window_of(st.session_state[key].moved)) is not None:
            on_move(window)

    image = f"data:image/png;base64,{base64.b64encode(picture.image).decode()}"
    data = {**asdict(picture), "image": image, "corners": CORNERS, "deepest": DEEPEST}
    _mount(data=data, key=key, on_picked_change=was_picked, on_moved_change=was_moved)


def picked(said: Any) -> Picked | None:
    """Returns what a browser says was drawn, or None if that is nothing of the kind."""
    if (
        not isinstance(said, dict)
        or said.get("kind") not in ("lasso", "box", "spot")
        or not isinstance(said.get("at"), list)
    ):
        return None
    if not are_numbers([*said["at"], said.get("reach")]) or len(said["at"]) % 2:
        return None
    corners = tuple(
        (float(x), float(y)) for x, y in zip(said["at"][::2], said["at"][1::2], strict=True)
    )
    least, most = (1, 1) if said["kind"] == "spot" else (3, CORNERS)
    if not least <= len(corners) <= most:
        return None
    return Picked(said["kind"], corners, said.get("more") is True, float(said["reach"]))


def window_of(said: Any) -> tuple[float, float, float, float] | None:
    """Returns the window that a browser or a link says, or None if that is none."""
    if not are_numbers(said, 4):
        return None
    left, top, right, bottom = (float(n) for n in said)
    wide = right - left
    fits = (
        0.999 * DEEPEST <= wide <= 1.001
        and abs(wide - (bottom - top)) < 1e-3
        and min(left, top) > -1e-3
    )
    return (left, top, right, bottom) if fits and max(right, bottom) < 1.001 else None
