"""Pure: the image of a map, drawn point by point.

The image has indices of a palette for pixels. Each point is stamped: its symbol in its colour, and
a thin gap around it in the palette's first colour, which is transparent.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.pack.layout import MAP_SIZE, Array, Mask

SYMBOLS = "●▲■◆✚✖▼○"
COVERAGE = 0.4  # a point's radius, of the side of the square that each point would have
MIN_RADIUS, MAX_RADIUS = 1, 7  # in pixels
GAP_RADIUS = 2  # in pixels: smaller points have no gap around them

Indices = NDArray[np.uint8]
Window = tuple[float, float, float, float]  # left, top, right, bottom: fractions of the map


@dataclass(frozen=True, eq=False)
class Points:
    """Points to draw.

    Args:
        positions: (N, 2) fractions of the map.
        colours: (N,) rows of a palette, the first of which is transparent.
        symbols: (N,) indices into `SYMBOLS`.
        faint: (N,) which are drawn first, below the others.
    """

    positions: Array
    colours: Indices
    symbols: Indices
    faint: Mask

    @classmethod
    def empty(cls) -> Self:
        """Returns no points."""
        none = np.zeros(0, np.uint8)
        return cls(np.zeros((0, 2), np.float32), none, none, np.zeros(0, bool))

    def __len__(self) -> int:
        return len(self.positions)


def render_points(points: Points, palette: Indices, window: Window) -> bytes:
    """Returns a PNG of the points within a window, in an order that favours no set.

    Args:
        palette: (colours, 4) RGBA, at most 256.
        window: the part of the map that is shown.
    """
    from PIL import Image

    image = Image.fromarray(_pixels(points, window))
    image.putpalette(palette[:, :3].tobytes())
    content = io.BytesIO()
    image.save(content, "PNG", transparency=palette[:, 3].tobytes(), compress_level=4)
    return content.getvalue()


def _pixels(points: Points, window: Window) -> Indices:
    """Returns the image, (height, width) rows of the palette.

    Whatever is drawn later covers what was drawn before.
    """
    width, height = MAP_SIZE
    positions = _pixel_positions(points, window)
    order = _drawing_order(positions, points.faint)
    spacing = np.sqrt(width * height / max(len(order), 1))
    radius = float(np.clip(COVERAGE * spacing, MIN_RADIUS, MAX_RADIUS))
    steps, solid = _stamps(radius)
    edge = int(abs(steps).max()) + 2  # stamps at the edge reach beyond the image
    canvas = np.zeros((height + 2 * edge, width + 2 * edge), np.uint8)
    x, y = np.floor(positions[order]).astype(np.int32).T + edge
    symbol = points.symbols[order]
    stride = canvas.shape[1]
    centres = y * stride + x
    offsets = steps[symbol, :, 1] * stride + steps[symbol, :, 0]
    pixels = centres[:, None] + offsets
    colours = np.where(solid[symbol], points.colours[order][:, None], 0)
    canvas.ravel()[pixels.ravel()] = colours.ravel()
    return canvas[edge:-edge, edge:-edge]


def _pixel_positions(points: Points, window: Window) -> Array:
    """Returns where the points lie on the image of a window, (N, 2) in pixels."""
    left, top, right, bottom = window
    corner = np.array([left, top], np.float32)
    size = np.array([right - left, bottom - top], np.float32)
    return (points.positions - corner) / size * np.array(MAP_SIZE, np.float32)


def _drawing_order(positions: Array, faint: Mask) -> NDArray[np.intp]:
    """Returns the points on the image in the order to draw them: shuffled, faint ones first."""
    is_inside = (positions > -1) & (positions < np.array(MAP_SIZE, np.float32) + 1)
    order = np.random.default_rng(0).permutation(np.flatnonzero(is_inside.all(1)))
    return order[np.argsort(~faint[order], kind="stable")]


# -- stamps ----------------------------------------------------------------------------------------


def _stamps(radius: float) -> tuple[NDArray[np.int32], Mask]:
    """Returns how each of `SYMBOLS` is stamped.

    Steps from its middle, (symbols, pixels, 2), and which of them are solid, (symbols, pixels); the
    others are its gap. All stamps have as many pixels: the last of a smaller symbol is repeated.
    """
    reach = int(np.ceil(radius)) + 1
    axis = np.arange(-reach, reach + 1)
    dx, dy = (grid.ravel() for grid in np.meshgrid(axis, axis))
    stamps = [
        _with_gap(symbol.reshape(len(axis), -1), has_gap=radius >= GAP_RADIUS)
        for symbol in _symbol_masks(dx / radius, dy / radius)
    ]
    length = max(int(stamped.sum()) for stamped, _ in stamps)
    steps = np.zeros((len(stamps), length, 2), np.int32)
    solid = np.zeros((len(stamps), length), bool)
    for i, (stamped, symbol) in enumerate(stamps):
        is_solid = symbol.ravel()
        pixels = np.flatnonzero(stamped)
        pixels = pixels[np.argsort(is_solid[pixels], kind="stable")]  # a solid one is repeated
        pixels = np.append(pixels, np.repeat(pixels[-1], length - len(pixels)))
        steps[i] = np.stack([dx[pixels], dy[pixels]], 1)
        solid[i] = is_solid[pixels]
    return steps, solid


def _symbol_masks(u: NDArray, v: NDArray) -> tuple[Mask, ...]:
    """Returns which pixels each of `SYMBOLS` covers, (pixels,) each.

    Args:
        u, v: (pixels,) how far each pixel lies to the right and down, in radii.
    """
    distance = np.hypot(u, v)
    nearer = np.minimum(abs(u), abs(v))
    farther = np.maximum(abs(u), abs(v))
    to_diagonal = np.minimum(abs(u + v) / np.sqrt(2), abs(u - v) / np.sqrt(2))
    return (
        distance <= 1,
        (v <= 0.85) & (abs(u) <= (v + 1.15) / 1.8),
        farther <= 0.85,
        abs(u) + abs(v) <= 1.2,
        (nearer <= 0.35) & (farther <= 1),
        (to_diagonal <= 0.35) & (distance <= 1.1),
        (v >= -0.85) & (abs(u) <= (1.15 - v) / 1.8),
        (distance >= 0.5) & (distance <= 1.05),
    )


def _with_gap(symbol: Mask, has_gap: bool) -> tuple[Mask, Mask]:
    """Returns a symbol (side, side) with the pixels that touch it, and the symbol.

    Its middle is solid where nothing else would be.
    """
    symbol = symbol.copy()
    if not symbol.any():
        symbol[len(symbol) // 2, len(symbol) // 2] = True
    stamped = symbol.copy()
    if has_gap:
        stamped[1:] |= symbol[:-1]
        stamped[:-1] |= symbol[1:]
        stamped[:, 1:] |= symbol[:, :-1]
        stamped[:, :-1] |= symbol[:, 1:]
    return stamped, symbol
