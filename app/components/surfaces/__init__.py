"""Surfaces over one square, side by side: maps from above, or turned together.

The browser draws them without WebGL.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.colour_scale import ColourScale
from app.components import declared
from app.incoming import number_within

Array = NDArray[np.floating]
Range = tuple[float, float]

HEIGHT_STEPS = 30_000  # heights are sent as whole numbers, the highest as this one
_mount = declared("surfaces")


@dataclass(frozen=True)
class Surface:
    """Heights over the square.

    Args:
        values: (n, n), first axis y.
        title: above it; nothing for none.
        meaning: below the title.
        alt: what it shows, for a screen reader.
        level: a height where a dashed line is drawn, or None.
        scale: its heights and colours, where they are others than the block's.
    """

    values: Array
    title: str
    meaning: str
    alt: str
    level: float | None = None
    scale: ColourScale | None = None


@dataclass(frozen=True)
class Block:
    """What all surfaces have in common.

    Args:
        x, y: the square, from the lowest to the highest coordinate.
        scale: heights and colours of a surface that has none of its own; what lies beyond is drawn
            at its edge, and what is no number at the upper one.
        bands: of height, with a line between each and the next.
        marks: {text: (x, y)}; an empty text is drawn as a cross.
        axes: whether x, y and the scale of colours are written.
        columns: how many surfaces stand side by side at most.
        flat: seen from straight above, as a map; what follows does not matter then.
        steep: the block's height by its width.
        tilt: how far the camera looks down at first, in degrees.
        turn: how far the camera has gone round at first, in degrees.
        aspect: a picture's width over its height.
    """

    x: Range
    y: Range
    scale: ColourScale
    bands: int = 8
    marks: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    axes: bool = True
    columns: int = 1
    flat: bool = False
    steep: float = 0.2
    tilt: float = 56.0
    turn: float = -30.0
    aspect: float = 1.1


def surfaces(
    panels: Sequence[Surface],
    block: Block,
    key: str,
    on_pick: Callable[[float, float], None] | None = None,
) -> None:
    """Shows surfaces, and calls `on_pick` with the x and y of a spot that is clicked.

    What is no spot of the square is passed over: it comes from a browser.
    """

    def was_picked() -> None:
        spot = picked_spot(st.session_state[key].picked, block)
        if spot is not None and on_pick is not None:
            on_pick(*spot)

    data = surfaces_data(panels, block, picks=on_pick is not None)
    _mount(data=data, key=key, on_picked_change=was_picked)


def surfaces_data(panels: Sequence[Surface], block: Block, picks: bool) -> dict[str, Any]:
    """Returns what the browser takes; the first surface of each scale has a colour bar.

    Args:
        picks: whether it sends the spots that are clicked.
    """
    scales = [panel.scale or block.scale for panel in panels]
    shown = [
        {**panel_data(panel, scale), "labelled": scale not in scales[:i]}
        for i, (panel, scale) in enumerate(zip(panels, scales, strict=True))
    ]
    return {**asdict(block), "picks": picks, "shown": shown}


def panel_data(surface: Surface, scale: ColourScale) -> dict[str, Any]:
    """Returns a surface as the browser takes it.

    Its heights are shares of the scale, in units of 1 / HEIGHT_STEPS.
    """
    steps = np.round(scale.shares(surface.values) * HEIGHT_STEPS).astype("<i2")
    level = None if surface.level is None else float(scale.shares(np.array(surface.level)))
    return {
        "title": surface.title,
        "meaning": surface.meaning,
        "alt": surface.alt,
        "level": level,
        "scale": {**asdict(scale), "ticks": list(scale.ticks().items())},
        "side": len(steps),
        "full": HEIGHT_STEPS,
        "values": base64.b64encode(steps.tobytes()).decode(),
    }


def picked_spot(message: Any, block: Block) -> tuple[float, float] | None:
    """Returns the spot that a browser says was clicked, or None if it is not in the square."""
    if not isinstance(message, list | tuple) or len(message) != 2:
        return None
    x, y = number_within(message[0], *block.x), number_within(message[1], *block.y)
    return None if x is None or y is None else (x, y)
