"""Pure: where the rows of a pack lie on a map, and which of them a drawn region holds.

Positions on the map are fractions (x, y) of its width and height, from the upper left, so that they
fit any size of screen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heat_core.polygons import Point, Polygon, points_in_polygon

if TYPE_CHECKING:
    from heat_core.pack import Pack


Array = NDArray[np.floating]
Mask = NDArray[np.bool]

MAP_SIZE = (1000, 800)  # in pixels: width, height
MARGIN = 0.04  # of the rows' width and height, around them
RESOLUTION = 10_000  # a region is written in units of the map's size / RESOLUTION
MAX_REGION_CORNERS = 4000  # that the text of a region may hold
CORNER = re.compile("([0-9]{1,5})[.]([0-9]{1,5})")
CORNER_LENGTH = 11  # characters at most, with the mark after it


@dataclass(frozen=True, eq=False)
class Layout:
    """Where rows lie on a map.

    Args:
        coordinates: {set: (n, 2) in the map's own units}.
        method: that laid the rows out, such as `umap`.
        trust: its trustworthiness, if known: 1 is perfect, 0.5 chance.
    """

    coordinates: Mapping[str, Array]
    method: str
    trust: float | None = None

    @cached_property
    def positions(self) -> Mapping[str, Array]:
        """{set: (n, 2) float32 fractions of the map}; both axes have the same scale."""
        minima = [coordinates.min(0) for coordinates in self.coordinates.values()]
        maxima = [coordinates.max(0) for coordinates in self.coordinates.values()]
        low = np.min(minima, axis=0).astype(np.float64)
        high = np.max(maxima, axis=0).astype(np.float64)
        width, height = (high - low).tolist()
        units_per_pixel = max(width / MAP_SIZE[0], height / MAP_SIZE[1], 1e-12)
        scale = (1 + 2 * MARGIN) * units_per_pixel
        size = scale * np.array(MAP_SIZE) * (1, -1)  # y points down on a map
        centre = (low + high) / 2
        return {
            name: ((coordinates - centre) / size + 0.5).astype(np.float32)
            for name, coordinates in self.coordinates.items()
        }


def layout_of(pack: Pack) -> Layout | None:
    """Returns the layout that a pack brings with it, as the view `map`; None if it has none."""
    coordinates = {}
    names = mapped_sets(pack)
    for name, features in pack.sets():
        if name not in names:
            continue
        view = features.views.get("map")
        if view is None or view.shape[1] != 2:
            return None
        coordinates[name] = view.float().cpu().numpy()
    card = pack.card.get("map")
    if not isinstance(card, dict):
        card = {}
    trust = card.get("trustworthiness")
    method = str(card.get("method", "umap"))
    return Layout(coordinates, method, trust if isinstance(trust, float) else None)


def mapped_sets(pack: Pack) -> tuple[str, ...]:
    """Returns the names of the sets on a map: training and test images, and every OOD set."""
    from heat_core.set_name import SetName

    return ("train", "test", *(str(SetName(group, name)) for group, name in pack.ood))


# -- regions ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Region:
    """Shapes drawn on a map.

    Args:
        method: by which the map was laid out.
        polygons: corners as fractions of the map.
        set_names: names of the sets that were shown; None if all were.
    """

    method: str
    polygons: Sequence[Polygon]
    set_names: tuple[str, ...] | None = None

    @property
    def text(self) -> str:
        """As it goes into a link; nothing if there are more than `MAX_REGION_CORNERS`.

        `umap:100.200-300.400-500.200`, and `:test,far_mnist` after it where sets were switched off.
        """
        text = corners_text(self.polygons)
        if len(text) > CORNER_LENGTH * MAX_REGION_CORNERS:
            return ""
        fields = [self.method, text]
        if self.set_names is not None:
            fields.append(",".join(self.set_names))
        return ":".join(fields)

    def rounded(self) -> Region:
        """Returns the region as a link says it, so that whoever opens the link selects the same."""
        polygons = [
            [(_units(x) / RESOLUTION, _units(y) / RESOLUTION) for x, y in polygon]
            for polygon in self.polygons
        ]
        return replace(self, polygons=polygons)


def parse_region(text: str) -> Region | None:
    """Returns the region of a link's text; None if the text is not whole.

    >>> parse_region("umap:0.0-5000.0-0.5000:test").set_names
    ('test',)
    """
    method, _, after_method = text.partition(":")
    corners, has_sets, names = after_method.partition(":")
    polygons = parse_corners(corners)
    if not polygons:
        return None
    set_names = tuple(filter(None, names.split(","))) if has_sets else None
    return Region(method, polygons, set_names)


def corners_text(polygons: Sequence[Polygon]) -> str:
    """Returns polygons as text for a link; `_` stands between them.

    >>> corners_text([[(0.01, 0.02), (0.03, 0.04), (0.05, 0.02)]])
    '100.200-300.400-500.200'
    """
    return "_".join(
        "-".join(f"{_units(x)}.{_units(y)}" for x, y in polygon) for polygon in polygons
    )


def _units(fraction: float) -> int:
    """Returns a fraction of the map in units of 1 / RESOLUTION."""
    return min(max(round(RESOLUTION * fraction), 0), RESOLUTION)


def parse_corners(text: str) -> list[Polygon]:
    """Returns the polygons that `corners_text` wrote; none if the text is not of that form.

    The text comes from a link, so it may be anything.
    """
    if len(text) > CORNER_LENGTH * MAX_REGION_CORNERS:
        return []
    polygons = []
    for polygon_text in text.split("_"):
        matches = [CORNER.fullmatch(corner_text) for corner_text in polygon_text.split("-")]
        corners = [
            (int(match[1]) / RESOLUTION, int(match[2]) / RESOLUTION) for match in matches if match
        ]
        if len(corners) < 3 or len(corners) < len(matches):
            return []
        polygons.append(corners)
    return polygons


def rows_in_region(layout: Layout, region: Region) -> dict[str, Mask]:
    """Returns {set: (n,) mask of its rows} that a region holds."""
    shown_sets = [
        name for name in layout.coordinates if region.set_names is None or name in region.set_names
    ]
    return rows_in_polygons(layout, shown_sets, region.polygons)


def rows_in_polygons(
    layout: Layout, shown_sets: Sequence[str], polygons: Sequence[Polygon]
) -> dict[str, Mask]:
    """Returns {set: (n,) mask of its rows} within any of the polygons, of the sets that have any.

    Rows of sets that are not shown are never selected.
    """
    masks = {}
    for name in shown_sets:
        positions = layout.positions[name]
        mask = np.zeros(len(positions), bool)
        for polygon in polygons:
            mask |= points_in_polygon(polygon, positions)
        if mask.any():
            masks[name] = mask
    return masks


def nearest_point(
    layout: Layout, shown_sets: Sequence[str], point: Point, reach: float
) -> tuple[str, int] | None:
    """Returns (set, row) of the shown row nearest to a point; None if none is within reach.

    Args:
        point: (x, y), fractions of the map.
        reach: a fraction of the map's width.
    """
    aspect = np.array([1, MAP_SIZE[1] / MAP_SIZE[0]], np.float32)
    nearest = None
    smallest = reach**2
    for name in shown_sets:
        offsets = (layout.positions[name] - np.asarray(point, np.float32)) * aspect
        squared = (offsets**2).sum(1)
        row = int(squared.argmin())
        if squared[row] <= smallest:
            nearest = (name, row)
            smallest = float(squared[row])
    return nearest
