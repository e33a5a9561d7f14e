"""Pure: where rows of a pack lie on a map, and which of them a region holds.

Places on the map are fractions (x, y) of its whole extent, from the upper left, so that they fit any size of screen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from heat_core.pack import Pack


Array = NDArray[np.floating]
Mask = NDArray[np.bool]
Polygon = Sequence[tuple[float, float]]

SIZE = (1000, 800)  # of the picture, in pixels: width, height
MARGIN = 0.04  # of the extent, around the places
FINE = 10_000  # a region is written in units of the picture's extent / FINE
CORNERS = 4000  # numbers that the text of a region may hold
NUMBER = re.compile("[0-9]{1,5}")


@dataclass(frozen=True, eq=False)
class Layout:
    """Where rows lie on a map.

    Args:
        places: {name of a set: (n, 2) in the map's own units}.
        method: that laid them out, such as `umap`.
        trust: its trustworthiness, if known: 1 is perfect, 0.5 chance.
    """

    places: Mapping[str, Array]
    method: str
    trust: float | None = None

    @cached_property
    def spots(self) -> Mapping[str, Array]:
        """{name of a set: (n, 2) float32, fractions of the picture}; both axes have the same scale."""
        low = np.min([places.min(0) for places in self.places.values()], axis=0).astype(np.float64)
        high = np.max([places.max(0) for places in self.places.values()], axis=0).astype(np.float64)
        across = (1 + 2 * MARGIN) * max(
            float((high - low)[0]) / SIZE[0], float((high - low)[1]) / SIZE[1], 1e-12
        )
        extent = across * np.array(SIZE) * (1, -1)  # y points down on a picture
        middle = (low + high) / 2
        return {
            name: ((places - middle) / extent + 0.5).astype(np.float32)
            for name, places in self.places.items()
        }


def layout_of(pack: Pack) -> Layout | None:
    """Returns the map that a pack brings with it; None if it has none."""
    sets = {name: features for name, features in pack.sets() if name in mapped_sets(pack)}
    if not all(
        "map" in features.views and features.views["map"].shape[1] == 2
        for features in sets.values()
    ):
        return None
    about = pack.card.get("map")
    about = about if isinstance(about, dict) else {}
    trust = about.get("trustworthiness")
    places = {name: features.views["map"].float().cpu().numpy() for name, features in sets.items()}
    return Layout(
        places, str(about.get("method", "umap")), trust if isinstance(trust, float) else None
    )


def mapped_sets(pack: Pack) -> tuple[str, ...]:
    """Returns the names of the sets that a map shows: training and test images, and every OOD set."""
    return ("train", "test", *(f"{group}_{name}" for group, name in pack.ood))


# -- regions -----------------------------------------------------------------------------------------------------------


def polygons_text(regions: Sequence[Polygon]) -> str:
    """Returns polygons as text that goes into a link, such as `100.200-300.400-500.200`; `_` stands between polygons.

    >>> written([[(0.01, 0.02), (0.03, 0.04), (0.05, 0.02)]])
    '100.200-300.400-500.200'
    """
    return "_".join("-".join(f"{_whole(x)}.{_whole(y)}" for x, y in polygon) for polygon in regions)


def _whole(fraction: float) -> int:
    return min(max(round(FINE * fraction), 0), FINE)


def parse_polygons(text: str) -> list[Polygon]:
    """Returns the polygons that `written` wrote; none if the text is not of that form: it comes from a link."""
    if len(text) > 11 * CORNERS:
        return []
    found = [[corner.split(".") for corner in part.split("-")] for part in text.split("_")]
    if not all(
        len(polygon) > 2 and all(len(corner) == 2 for corner in polygon) for polygon in found
    ):
        return []
    if not all(NUMBER.fullmatch(n) for polygon in found for corner in polygon for n in corner):
        return []
    return [[(int(x) / FINE, int(y) / FINE) for x, y in polygon] for polygon in found]


@dataclass(frozen=True)
class Region:
    """What is drawn on a map.

    Args:
        method: by which the map was laid out.
        polygons: fractions of the picture.
        sets: names of those that were shown; None if all were.
    """

    method: str
    polygons: Sequence[Polygon]
    sets: tuple[str, ...] | None = None

    @property
    def text(self) -> str:
        """As it goes into a link: `umap:100.200-300.400-500.200`, and `:test,far_mnist` where sets were switched off."""
        return ":".join(
            [
                self.method,
                polygons_text(self.polygons),
                *([] if self.sets is None else [",".join(self.sets)]),
            ]
        )


def parse_region(text: str) -> Region | None:
    """Returns the region that a link says; None if it says none that is whole."""
    method, _, rest = text.partition(":")
    corners, named, names = rest.partition(":")
    polygons = parse_polygons(corners)
    return (
        Region(method, polygons, tuple(filter(None, names.split(","))) if named else None)
        if polygons
        else None
    )


def rows_in_region(layout: Layout, region: Region) -> dict[str, Mask]:
    """Returns {name of a set: mask of its rows} that a region holds."""
    return rows_in_polygons(
        layout,
        [name for name in layout.places if region.sets is None or name in region.sets],
        region.polygons,
    )


def rows_in_polygons(
    layout: Layout, shown: Sequence[str], regions: Sequence[Polygon]
) -> dict[str, Mask]:
    """Returns {name of a set: mask of its rows} within any of the polygons; sets that are not shown are never picked."""
    masks = {name: np.zeros(len(layout.spots[name]), bool) for name in shown}
    for name, polygon in ((name, polygon) for name in shown for polygon in regions):
        masks[name] |= points_in_polygon(polygon, layout.spots[name])
    return {name: mask for name, mask in masks.items() if mask.any()}


def points_in_polygon(polygon: Polygon, points: Array) -> Mask:
    """Returns which points (N, 2) lie within a polygon, by the even-odd rule.

    Points are sorted by height once; each edge then looks only at those beside it.
    """
    corners = np.asarray(polygon, np.float64)
    found, (low, high) = np.zeros(len(points), bool), (corners.min(0), corners.max(0))
    near = np.flatnonzero(((points >= low) & (points <= high)).all(1))
    near = near[np.argsort(points[near, 1], kind="stable")]
    x, y = points[near].astype(np.float64).T
    odd = np.zeros(len(near), bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        start, stop = np.searchsorted(y, sorted((y0, y1)))
        beside = slice(start, stop)
        if stop > start:
            odd[beside] ^= x[beside] < x0 + (y[beside] - y0) * (x1 - x0) / (y1 - y0)
    found[near[odd]] = True
    return found


def nearest_point(
    layout: Layout, shown: Sequence[str], spot: tuple[float, float], reach: float
) -> tuple[str, int] | None:
    """Returns (name of the set, row) of the shown point nearest to a spot, None if none is within reach.

    Args:
        spot: (x, y), fractions of the picture.
        reach: a fraction of the picture's width.
    """
    best, closest = None, reach**2
    for name in shown:
        apart = (layout.spots[name] - np.asarray(spot, np.float32)) * np.array(
            [1, SIZE[1] / SIZE[0]], np.float32
        )
        squared = (apart**2).sum(1)
        row = int(squared.argmin())
        if squared[row] <= closest:
            best, closest = (name, row), float(squared[row])
    return best
