"""Pure: contour lines of how densely points lie on a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

SHARES = (0.5, 0.8, 0.95)  # of the points, that contours enclose
CELLS = (100, 80)  # of the map, across and down
BLUR = 1.5  # standard deviation of what blurs the counts, in cells

# Which edges of a square a contour joins, by which of its corners lie within: 1 for the upper left,
# 2 for the upper right, 4 for the lower right, 8 for the lower left.
TOP, RIGHT, BOTTOM, LEFT = range(4)
JOINED_EDGES = {
    1: ((LEFT, TOP),),
    2: ((TOP, RIGHT),),
    3: ((LEFT, RIGHT),),
    4: ((RIGHT, BOTTOM),),
    5: ((LEFT, TOP), (RIGHT, BOTTOM)),
    6: ((TOP, BOTTOM),),
    7: ((LEFT, BOTTOM),),
    8: ((BOTTOM, LEFT),),
    9: ((TOP, BOTTOM),),
    10: ((TOP, RIGHT), (BOTTOM, LEFT)),
    11: ((RIGHT, BOTTOM),),
    12: ((LEFT, RIGHT),),
    13: ((TOP, RIGHT),),
    14: ((LEFT, TOP),),
}


def density_contours(positions: Array, shares: Sequence[float] = SHARES) -> list[Array]:
    """Returns the contours that enclose shares of the points where they lie most densely.

    Args:
        positions: (N, 2) fractions of the map.
        shares: of the points.

    Returns:
        of each share the pieces of its contour, (pieces, 4): from (x, y) to (x, y), fractions of
        the map.
    """
    density = _density(positions)
    columns, rows = _cells(positions).T
    levels = [
        float(np.quantile(density[rows, columns], 1 - share, method="lower")) for share in shares
    ]
    return [_on_map(contour_pieces(density, level)) for level in levels]


def _cells(positions: Array) -> NDArray[np.int64]:
    """Returns in which cell of the map each point lies, (N, 2): column and row."""
    cells = np.floor(positions * np.array(CELLS)).astype(np.int64)
    return np.clip(cells, 0, np.array(CELLS) - 1)


def _density(positions: Array) -> Array:
    """Returns blurred counts of points in each cell of the map, (rows, columns)."""
    from scipy.ndimage import gaussian_filter

    columns, rows = _cells(positions).T
    across, down = CELLS
    counts = np.bincount(rows * across + columns, minlength=across * down)
    return gaussian_filter(counts.reshape(down, across).astype(np.float64), BLUR, mode="constant")


def _on_map(pieces: Array) -> Array:
    """Returns pieces (pieces, 4), counted in cells from the first one's middle, as fractions."""
    across, down = CELLS
    return (pieces + 0.5) / np.array([across, down, across, down])


def contour_pieces(values: Array, level: float) -> Array:
    """Returns the contour around the values that are at least a level, piece by piece.

    These are marching squares: between neighbours the values are taken to change evenly.

    Args:
        values: (rows, columns) at the points of a grid.
        level: of the contour.

    Returns:
        (pieces, 4): from (x, y) to (x, y), where x counts columns and y rows.

    >>> contour_pieces(np.array([[1.0, 0.0], [1.0, 0.0]]), 0.5).tolist()
    [[0.5, 1.0, 0.5, 0.0]]
    """
    upper_left, upper_right = values[:-1, :-1], values[:-1, 1:]
    lower_left, lower_right = values[1:, :-1], values[1:, 1:]
    corners = (upper_left, upper_right, lower_right, lower_left)
    kinds = sum((corner >= level).astype(np.int64) << i for i, corner in enumerate(corners))
    y, x = np.indices(upper_left.shape).astype(np.float64)
    crossings = {
        TOP: (x + _crossing(upper_left, upper_right, level), y),
        RIGHT: (x + 1, y + _crossing(upper_right, lower_right, level)),
        BOTTOM: (x + _crossing(lower_left, lower_right, level), y + 1),
        LEFT: (x, y + _crossing(upper_left, lower_left, level)),
    }
    pieces = [
        np.stack([axis[kinds == kind] for edge in edges for axis in crossings[edge]], axis=1)
        for kind, joined in JOINED_EDGES.items()
        for edges in joined
    ]
    return np.concatenate(pieces)


def _crossing(first: Array, second: Array, level: float) -> Array:
    """Returns where between two values a level lies, as a fraction of the way."""
    difference = second - first
    safe = np.where(difference == 0, 1.0, difference)
    return np.clip((level - first) / safe, 0.0, 1.0)
