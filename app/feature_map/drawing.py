"""Pure: the picture of a map, drawn point by point."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.pack.layout import SIZE, Array, Mask

PIXELS = np.array(SIZE, np.float32)
SHAPES = "●▲■◆✚✖▼○"


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


def draw_points(
    points: Points, palette: NDArray[np.uint8], window: tuple[float, float, float, float]
) -> bytes:
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
    place = (
        (points.spots - np.array([left, top], np.float32))
        / np.array([right - left, bottom - top], np.float32)
        * PIXELS
    )
    kept = np.flatnonzero(((place > -1) & (place < PIXELS + 1)).all(1))
    kept = np.random.default_rng(0).permutation(kept)
    kept = kept[np.argsort(~points.faint[kept], kind="stable")]
    radius = float(np.clip(0.4 * np.sqrt(SIZE[0] * SIZE[1] / max(len(kept), 1)), 1, 7))
    steps, solid = _stamps(radius)
    edge = int(abs(steps).max()) + 2
    canvas = np.zeros((SIZE[1] + 2 * edge, SIZE[0] + 2 * edge), np.uint8)
    x, y = np.floor(place[kept]).astype(np.int32).T + edge
    shape = points.shapes[kept]
    at = (y * canvas.shape[1] + x)[:, None] + (
        steps[shape, :, 1] * canvas.shape[1] + steps[shape, :, 0]
    )
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
        distance <= 1,
        (v <= 0.85) & (abs(u) <= (v + 1.15) / 1.8),
        np.maximum(abs(u), abs(v)) <= 0.85,
        abs(u) + abs(v) <= 1.2,
        (np.minimum(abs(u), abs(v)) <= 0.35) & (np.maximum(abs(u), abs(v)) <= 1),
        crossed & (distance <= 1.1),
        (v >= -0.85) & (abs(u) <= (1.15 - v) / 1.8),
        (distance >= 0.5) & (distance <= 1.05),
    )
    stamps = [_with_gap(inside.reshape(len(across), -1), gap=radius >= 2) for inside in insides]
    longest = max(int(painted.sum()) for painted, _ in stamps)
    steps, solid = (
        np.zeros((len(stamps), longest, 2), np.int32),
        np.zeros((len(stamps), longest), bool),
    )
    for i, (painted, inside) in enumerate(stamps):
        rows = np.flatnonzero(painted)
        rows = rows[
            np.argsort(inside.ravel()[rows], kind="stable")
        ]  # solid ones last, so that one of them can be repeated
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
