"""Pure: the map of an energy with ID and auxiliary points on it, as a PNG."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from app.figures import COLOURS, WHITE
from app.plane.colours import ENERGY_COLOURS

Array = NDArray[np.floating]
Window = tuple[float, float, float, float]  # left, top, right, bottom: fractions of the map
SIDE = 500  # pixels of the map
ID_DOT, AUXILIARY_DOT = 1, 2  # pixels that a dot reaches from its middle


def energy_map_png(
    energy: Array,
    energy_range: tuple[float, float],
    inside: Array,
    auxiliary: Array,
    window: Window = (0.0, 0.0, 1.0, 1.0),
) -> bytes:
    """Returns a PNG of an energy over a toy's square, with points on it.

    Args:
        energy: (n, n), first axis y, from the bottom.
        energy_range: of the first and the last colour.
        inside, auxiliary: (N, 2) and (M, 2) in extents of the toy; those beyond it are left out.
        window: the part that is shown.
    """
    from PIL import Image

    low, high = energy_range
    share = np.clip((energy - low) / max(high - low, 1e-9), 0, 1)
    stops = np.linspace(0, 1, len(ENERGY_COLOURS))
    colours = np.array([_rgb(colour) for colour in ENERGY_COLOURS])
    channels = [np.interp(share, stops, colours[:, i]) for i in range(3)]
    cells = np.stack(channels, -1)[::-1].round().astype(np.uint8)
    image = Image.fromarray(cells).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels = np.array(image)
    _stamp(pixels, inside, _rgb(WHITE), ID_DOT)
    _stamp(pixels, auxiliary, _rgb(COLOURS["near"]), AUXILIARY_DOT)
    left, top, right, bottom = (round(SIDE * edge) for edge in window)
    shown = Image.fromarray(pixels).crop((left, top, right, bottom)).resize((SIDE, SIDE))
    out = io.BytesIO()
    shown.quantize(64).save(out, "PNG", optimize=True)
    return out.getvalue()


def _rgb(colour: str) -> tuple[int, int, int]:
    """Returns the parts of a colour, each from 0 to 255.

    >>> _rgb("#0072B2")
    (0, 114, 178)
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def _stamp(
    pixels: NDArray[np.uint8], points: Array, colour: tuple[int, int, int], reach: int
) -> None:
    """Puts a dot of a colour at each point (N, 2) that lies on the map."""
    shown = points[(np.abs(points) < 1).all(1)]
    columns = np.floor((shown[:, 0] + 1) / 2 * SIDE).astype(int)
    rows = np.floor((1 - shown[:, 1]) / 2 * SIDE).astype(int)
    for down in range(-reach + 1, reach):
        for right in range(-reach + 1, reach):
            if abs(down) + abs(right) < reach:
                y, x = np.clip(rows + down, 0, SIDE - 1), np.clip(columns + right, 0, SIDE - 1)
                pixels[y, x] = colour
