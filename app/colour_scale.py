"""Pure: heights as colours, and the ticks beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

STOPS = 33  # colours that a scale is drawn with where it is not even in heights
TICKS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
MIN_GAP = 0.12  # between ticks, a share of the scale


@dataclass(frozen=True)
class ColourScale:
    """The colours of heights, from the lowest to the highest.

    Args:
        colours: #rrggbb, evenly along the scale.
        low, high: the heights at its ends; what lies beyond is drawn as an end.
        unit: of the heights.
        softness: the scale is even in sign(h) log(1 + |h| / softness), so that high walls still
            differ; None: it is even in h.

    >>> scale = ColourScale(("#000000", "#ffffff"), 0.0, 30.0, softness=2.0)
    >>> scale.shares(np.array([0.0, 1.0, 10.0, 30.0, 99.0])).round(2).tolist()
    [0.0, 0.15, 0.65, 1.0, 1.0]
    """

    colours: tuple[str, ...]
    low: float
    high: float
    unit: str = "nats"
    softness: float | None = None

    def shares(self, heights: Array) -> Array:
        """Returns how far along the scale heights of any shape lie, in [0, 1]; nan at its end."""
        low, high = self._even(np.array([self.low, self.high]))
        share = (self._even(np.asarray(heights, np.float64)) - low) / (high - low)
        return np.clip(np.nan_to_num(share, nan=1.0), 0.0, 1.0)

    def _even(self, heights: Array) -> Array:
        """Returns heights on the axis that the scale is even in."""
        if self.softness is None:
            return heights
        return np.sign(heights) * np.log1p(np.abs(heights) / self.softness)

    def heights(self, shares: Array) -> Array:
        """Returns the heights at shares of the scale."""
        low, high = self._even(np.array([self.low, self.high]))
        even = low + shares * (high - low)
        if self.softness is None:
            return even
        return np.sign(even) * np.expm1(np.abs(even)) * self.softness

    def stops(self) -> list[tuple[float, str]]:
        """Returns (share of the heights' range, colour) of the scale, as Plotly takes them."""
        given = np.linspace(0, 1, len(self.colours))
        if self.softness is None:
            return list(zip(given.tolist(), self.colours, strict=True))
        shares = np.linspace(0, 1, STOPS)
        places = (self.heights(shares) - self.low) / (self.high - self.low)
        places[[0, -1]] = 0.0, 1.0
        parts = np.array([_rgb(colour) for colour in self.colours])
        mixed = np.stack([np.interp(shares, given, parts[:, i]) for i in range(3)], 1)
        return [
            (float(place), "#{:02x}{:02x}{:02x}".format(*rgb.round().astype(int)))
            for place, rgb in zip(places, mixed, strict=True)
        ]

    def ticks(self) -> dict[str, float]:
        """Returns {text: share of the scale} of round heights between its ends.

        >>> ColourScale(("#000000", "#ffffff"), -20.0, 20.0, softness=2.0).ticks()
        {'−10': 0.126, '−3': 0.309, '0': 0.5, '3': 0.691, '10': 0.874}
        """
        if self.softness is None:
            places = self.heights(np.array([0.1, 0.5, 0.9]))
            heights = [float(f"{place:.2g}") for place in places]
        else:
            above = [tick for tick in TICKS if tick <= self.high]
            heights = _apart([0.0, *above], self)
        if self.low < 0 and self.softness is not None:
            heights = [-height for height in heights[:0:-1]] + heights
        shares = self.shares(np.array(heights)).round(3).tolist()
        return {_text(height): share for height, share in zip(heights, shares, strict=True)}


def _apart(heights: Sequence[float], scale: ColourScale) -> list[float]:
    """Returns heights, from 0 upwards, without those too close to the one before."""
    kept = [heights[0]]
    for height in heights[1:]:
        last, share = scale.shares(np.array([kept[-1], height]))
        if share - last >= MIN_GAP:
            kept.append(height)
    return kept


def _text(height: float) -> str:
    return f"{height:.3g}".replace("-", "−")


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue
