"""Polygons: which points lie within one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Mask = NDArray[np.bool]
Point = tuple[float, float]
Polygon = Sequence[Point]  # its corners in order


def points_in_polygon(polygon: Polygon | Array, points: Array) -> Mask:
    """Returns which points (N, 2) lie within a polygon by the even-odd rule, (N,).

    Points are sorted by height once; each edge then looks only at those beside it.

    >>> points_in_polygon([(0, 0), (1, 0), (0, 1)], np.array([[0.2, 0.2], [0.8, 0.8]])).tolist()
    [True, False]
    """
    corners = np.asarray(polygon, np.float64)
    within_bounds = ((points >= corners.min(0)) & (points <= corners.max(0))).all(1)
    candidates = np.flatnonzero(within_bounds)
    candidates = candidates[np.argsort(points[candidates, 1], kind="stable")]
    x, y = points[candidates].astype(np.float64).T
    is_odd = np.zeros(len(candidates), bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        start, stop = np.searchsorted(y, sorted((y0, y1)))
        if stop > start:
            beside = slice(start, stop)
            is_odd[beside] ^= x[beside] < x0 + (y[beside] - y0) * (x1 - x0) / (y1 - y0)
    mask = np.zeros(len(points), bool)
    mask[candidates[is_odd]] = True
    return mask
