"""Pure: rows of a pack on a map: where they lie, which of them a lasso holds, and their picture, drawn point by point.

Places on the picture are fractions (x, y) of its whole extent, from the upper left, so that they fit any size of screen.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from heat_core.features import Pack

Array = NDArray[np.floating]
Mask = NDArray[np.bool]
Polygon = Sequence[tuple[float, float]]

SIZE = (1000, 800)  # of the picture, in pixels: width, height
PIXELS = np.array(SIZE, np.float32)
MARGIN = 0.04  # of the extent, around the places
FINE = 10_000  # a region is written in units of the picture's extent / FINE
CORNERS = 4000  # numbers that the text of a region may hold
NUMBER = re.compile("[0-9]{1,5}")
SHAPES = "●▲■◆✚✖▼○"


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
        across = (1 + 2 * MARGIN) * max(float((high - low)[0]) / SIZE[0], float((high - low)[1]) / SIZE[1], 1e-12)
        extent = across * np.array(SIZE) * (1, -1)  # y points down on a picture
        middle = (low + high) / 2
        return {name: ((places - middle) / extent + 0.5).astype(np.float32) for name, places in self.places.items()}


def layout_of(pack: Pack) -> Layout | None:
    """Returns the map that a pack brings with it; None if it has none."""
    sets = {name: features for name, features in pack.sets() if name in mapped(pack)}
    if not all("map" in features.views and features.views["map"].shape[1] == 2 for features in sets.values()):
        return None
    about = pack.card.get("map")
    about = about if isinstance(about, dict) else {}
    trust = about.get("trustworthiness")
    places = {name: features.views["map"].float().cpu().numpy() for name, features in sets.items()}
    return Layout(places, str(about.get("method", "umap")), trust if isinstance(trust, float) else None)


def mapped(pack: Pack) -> tuple[str, ...]:
    """Returns the names of the sets that a map shows: training and test images, and every OOD set."""
    return ("train", "test", *(f"{group}_{name}" for group, name in pack.outside))


# -- regions -----------------------------------------------------------------------------------------------------------


def written(regions: Sequence[Polygon]) -> str:
    """Returns polygons as text that goes into a link, such as `100.200-300.400-500.200`; `_` stands between polygons.

    >>> written([[(0.01, 0.02), (0.03, 0.04), (0.05, 0.02)]])
    '100.200-300.400-500.200'
    """
    return "_".join("-".join(f"{_whole(x)}.{_whole(y)}" for x, y in polygon) for polygon in regions)


def _whole(fraction: float) -> int:
    return min(max(round(FINE * fraction), 0), FINE)


def regions_in(text: str) -> list[Polygon]:
    """Returns the polygons that `written` wrote; none if the text is not of that form: it comes from a link."""
    if len(text) > 11 * CORNERS:
        return []
    found = [[corner.split(".") for corner in part.split("-")] for part in text.split("_")]
    if not all(len(polygon) > 2 and all(len(corner) == 2 for corner in polygon) for polygon in found):
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
        return ":".join([self.method, written(self.polygons), *([] if self.sets is None else [",".join(self.sets)])])


def region_in(text: str) -> Region | None:
    """Returns the region that a link says; None if it says none that is whole."""
    method, _, rest = text.partition(":")
    corners, named, names = rest.partition(":")
    polygons = regions_in(corners)
    return Region(method, polygons, tuple(filter(None, names.split(","))) if named else None) if polygons else None


def held(layout: Layout, region: Region) -> dict[str, Mask]:
    """Returns {name of a set: mask of its rows} that a region holds."""
    return picked(layout, [name for name in layout.places if region.sets is None or name in region.sets], region.polygons)


def picked(layout: Layout, shown: Sequence[str], regions: Sequence[Polygon]) -> dict[str, Mask]:
    """Returns {name of a set: mask of its rows} within any of the polygons; sets that are not shown are never picked."""
    masks = {name: np.zeros(len(layout.spots[name]), bool) for name in shown}
    for name, polygon in ((name, polygon) for name in shown for polygon in regions):
        masks[name] |= within(polygon, layout.spots[name])
    return {name: mask for name, mask in masks.items() if mask.any()}


def within(polygon: Polygon, points: Array) -> Mask:
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


def nearest(layout: Layout, shown: Sequence[str], spot: tuple[float, float], reach: float) -> tuple[str, int] | None:
    """Returns (name of the set, row) of the shown point nearest to a spot, None if none is within reach.

    Args:
        spot: (x, y), fractions of the picture.
        reach: a fraction of the picture's width.
    """
    best, closest = None, reach**2
    for name in shown:
        apart = (layout.spots[name] - np.asarray(spot, np.float32)) * np.array([1, SIZE[1] / SIZE[0]], np.float32)
        squared = (apart**2).sum(1)
        row = int(squared.argmin())
        if squared[row] <= closest:
            best, closest = (name, row), float(squared[row])
    return best


# -- the picture -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Points:
    """Points to draw.

    Args:
        spots: (N, 2) fractions of the picture.
        colours: (N,) rows of a palette, the first of which is transparent.
        shapes: (N,) places in `SHAPES`.
        faint: (N,) which are drawn first, below the others.
    """

    spots: Array
    colours: NDArray[np.uint8]
    shapes: NDArray[np.uint8]
    faint: Mask

    def __len__(self) -> int:
        return len(self.spots)


def drawn(points: Points, palette: NDArray[np.uint8], window: tuple[float, float, float, float]) -> bytes:
    """Returns a PNG of the points within a window, each with a thin gap around it, in an order that favours no set.

    Args:
        palette: (colours, 4) RGBA, at most 256.
        window: (left, top, right, bottom) fractions of the picture.
    """
    from PIL import Image

    image = Image.fromarray(_painted(points, window))  # palette indices
    image.putpalette(palette[:, :3].tobytes())
    content = io.BytesIO()
    image.save(content, "PNG", transparency=palette[:, 3].tobytes(), compress_level=4)
    return content.getvalue()


def _painted(points: Points, window: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    """Returns the palette's rows (height, width); whatever is painted later covers what was painted before."""
    left, top, right, bottom = window
    place = (points.spots - np.array([left, top], np.float32)) / np.array([right - left, bottom - top], np.float32) * PIXELS
    kept = np.flatnonzero(((place > -1) & (place < PIXELS + 1)).all(1))
    kept = np.random.default_rng(0).permutation(kept)
    kept = kept[np.argsort(~points.faint[kept], kind="stable")]
    radius = float(np.clip(0.4 * np.sqrt(SIZE[0] * SIZE[1] / max(len(kept), 1)), 1, 7))
    steps, solid = _stamps(radius)
    edge = int(abs(steps).max()) + 2
    canvas = np.zeros((SIZE[1] + 2 * edge, SIZE[0] + 2 * edge), np.uint8)
    x, y = np.floor(place[kept]).astype(np.int32).T + edge
    shape = points.shapes[kept]
    at = (y * canvas.shape[1] + x)[:, None] + (steps[shape, :, 1] * canvas.shape[1] + steps[shape, :, 0])
    canvas.ravel()[at.ravel()] = np.where(solid[shape], points.colours[kept][:, None], 0).ravel()
    return canvas[edge:-edge, edge:-edge]


def _stamps(radius: float) -> tuple[NDArray[np.int32], Mask]:
    """Returns how each of `SHAPES` is painted: steps from its middle (shapes, pixels, 2), and which of them are solid."""
    reach = int(np.ceil(radius)) + 1
    across = np.arange(-reach, reach + 1)
    dx, dy = (grid.ravel() for grid in np.meshgrid(across, across))
    u, v = dx / radius, dy / radius
    distance, p, q = np.hypot(u, v), abs(u + v) / np.sqrt(2), abs(u - v) / np.sqrt(2)
    crossed = np.minimum(p, q) <= 0.35
    insides = (
        distance <= 1, (v <= 0.85) & (abs(u) <= (v + 1.15) / 1.8), np.maximum(abs(u), abs(v)) <= 0.85, abs(u) + abs(v) <= 1.2,
        (np.minimum(abs(u), abs(v)) <= 0.35) & (np.maximum(abs(u), abs(v)) <= 1), crossed & (distance <= 1.1),
        (v >= -0.85) & (abs(u) <= (1.15 - v) / 1.8), (distance >= 0.5) & (distance <= 1.05),
    )  # fmt: skip
    stamps = [_with_gap(inside.reshape(len(across), -1), gap=radius >= 2) for inside in insides]
    longest = max(int(painted.sum()) for painted, _ in stamps)
    steps, solid = np.zeros((len(stamps), longest, 2), np.int32), np.zeros((len(stamps), longest), bool)
    for i, (painted, inside) in enumerate(stamps):
        rows = np.flatnonzero(painted)
        rows = rows[np.argsort(inside.ravel()[rows], kind="stable")]  # solid ones last, so that one of them can be repeated
        rows = np.append(rows, np.repeat(rows[-1], longest - len(rows)))
        steps[i] = np.stack([dx[rows], dy[rows]], 1)
        solid[i] = inside.ravel()[rows]
    return steps, solid


def _with_gap(inside: Mask, gap: bool) -> tuple[Mask, Mask]:
    """Returns a shape with the pixels that touch it, and the shape; its middle is solid where nothing else would be."""
    inside = inside.copy()
    if not inside.any():
        inside[len(inside) // 2, len(inside) // 2] = True
    painted = inside.copy()
    if gap:
        painted[1:] |= inside[:-1]
        painted[:-1] |= inside[1:]
        painted[:, 1:] |= inside[:, :-1]
        painted[:, :-1] |= inside[:, 1:]
    return painted, inside
