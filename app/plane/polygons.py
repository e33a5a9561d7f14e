"""Polygons that somebody drew over a toy's square, in a link's words. No Streamlit here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from app.components.scatter_map import Drawing
from app.incoming import numbers_within

Polygon = tuple[tuple[float, float], ...]
"""Corners (x, y) in order, in extents of the toy."""

MAX_POLYGONS = 4
MAX_CORNERS = 24
STEPS_PER_EXTENT = 1000  # corners in a link are whole numbers of these
CLICK_REACH = 0.04  # extents that a click on the map fills with points


def polygons_text(polygons: Sequence[Polygon]) -> str:
    """Returns polygons as a link has them: the last few, of each so many corners at most.

    >>> polygons_text([((0.5, 0.25), (0.0, 1.0), (-1.0, 0.0))])
    '500_250_0_1000_-1000_0'
    """
    texts = []
    for polygon in polygons[-MAX_POLYGONS:]:
        every = -(-len(polygon) // MAX_CORNERS)
        numbers = [round(STEPS_PER_EXTENT * part) for corner in polygon[::every] for part in corner]
        texts.append("_".join(map(str, numbers)))
    return "~".join(texts)


def parse_polygons(text: str) -> tuple[Polygon, ...]:
    """Returns the polygons of a link's text; none where it is of another form.

    >>> parse_polygons("500_250_0_1000_-1000_0")
    (((0.5, 0.25), (0.0, 1.0), (-1.0, 0.0)),)
    >>> parse_polygons("1_2_3_4"), parse_polygons("1_x_3_4_5_6"), parse_polygons("")
    ((), (), ())
    """
    polygons = []
    for part in text.split("~")[:MAX_POLYGONS]:
        try:
            steps = [float(number) for number in part.split("_")]
        except ValueError:
            return ()
        numbers = numbers_within(steps, -2 * STEPS_PER_EXTENT, 2 * STEPS_PER_EXTENT)
        if numbers is None or len(numbers) % 2 or not 6 <= len(numbers) <= 2 * MAX_CORNERS:
            return ()
        parts = [number / STEPS_PER_EXTENT for number in numbers]
        polygons.append(tuple(zip(parts[::2], parts[1::2], strict=True)))
    return tuple(polygons)


def drawn_polygon(drawing: Drawing) -> Polygon:
    """Returns what was drawn in extents of the toy; of a click, a small circle."""
    corners = tuple((2 * x - 1, 1 - 2 * y) for x, y in drawing.corners)
    if drawing.kind != "spot":
        return corners
    ((x, y),) = corners
    angles = [2 * math.pi * i / 12 for i in range(12)]
    return tuple((x + CLICK_REACH * math.cos(a), y + CLICK_REACH * math.sin(a)) for a in angles)


def map_outlines(polygons: Sequence[Polygon]) -> list[tuple[tuple[float, float], ...]]:
    """Returns polygons in extents of the toy as fractions of its map."""
    return [tuple(((x + 1) / 2, (1 - y) / 2) for x, y in corners) for corners in polygons]
