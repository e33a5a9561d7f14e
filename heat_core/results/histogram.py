"""Histograms of scores: their bars and colours, and one as an SVG that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .markup import Html, element
from .score_axis import is_even, needs_symlog, places, symlog_edges, ticks_at

Array = NDArray[np.floating]

COLOURS = {"ID": "#0072B2", "near": "#D55E00", "mid": "#CC79A7", "far": "#009E73"}
"""{`ID` or group: its colour on white}, safe for the colour-blind."""

# Of the drawing, in its own units, which are pixels where it is as wide as drawn.
WIDTH, HEIGHT = 360, 190
LEFT, RIGHT, TOP, BOTTOM = 38, 350, 24, 146  # of the bars


def bin_edges(by_group: Mapping[str, Array], threshold: float, count: int = 60) -> Array:
    """Returns the edges of a histogram's bars, (count + 1,); the last bars hold all beyond.

    They are evenly spaced, unless that would leave a single bar to ID: then they lie as
    `symlog_edges` lays them, and bars are drawn equally wide.

    Args:
        by_group: {group: (n,) scores}; `ID` among the groups, or else all count as ID.
        threshold: that must lie between the edges.
        count: of the bars.
    """
    pooled = np.concatenate(list(by_group.values()))
    low, high = np.quantile(pooled, [0.002, 0.975])
    low, high = min(low, threshold), max(high, threshold)
    inside = by_group.get("ID", pooled)
    if needs_symlog(low, high, inside):
        return symlog_edges(np.append(pooled, threshold), inside, count)
    if not high > low:
        high = low + 1e-9 * max(1.0, abs(low))
    return np.linspace(low, high, count + 1)


def bar_shares(scores: Array, edges: Array) -> Array:
    """Returns the share of (n,) scores in each bar, (bars,); those beyond are in the last ones.

    >>> bar_shares(np.array([0.5, 1.5, 9.0, 9.5]), np.array([0.0, 1.0, 2.0]))
    array([0.25, 0.75])
    """
    counts, _ = np.histogram(np.clip(scores, edges[0], edges[-1]), edges)
    return counts / max(len(scores), 1)


@dataclass(frozen=True, eq=False)
class Histogram:
    """The scores of a group, and the threshold that they are held against.

    Args:
        group: `ID` or a group of OOD sets, which gives the bars their class, `group-near`.
        title, description: in words, for whoever cannot see it.
        scores: (n,).
        edges: of the bars, as `bin_edges` returns them.
        unit: of the scores.
        threshold: above it means out.
        interval: of the threshold, drawn as a band.
    """

    group: str
    title: str
    description: str
    scores: Array
    edges: Array
    unit: str
    threshold: float
    interval: tuple[float, float] | None = None

    def svg(self) -> Html:
        """Returns the drawing; its colours are those of the page's classes."""
        identity = f"histogram-{self.group}"
        shares = bar_shares(self.scores, self.edges)
        top = _round_up(float(shares.max()))
        return element(
            "svg",
            element("title", self.title, id=f"{identity}-title"),
            element("desc", self.description, id=f"{identity}-text"),
            *_share_axis(top),
            element("path", d=self._outline(shares / top), class_=f"bars group-{self.group}"),
            *self._band(),
            *self._score_axis(),
            *self._line(),
            viewBox=f"0 0 {WIDTH} {HEIGHT}",
            role="img",
            aria_labelledby=f"{identity}-title {identity}-text",
        )

    def _x(self, score: float) -> float:
        """Returns where a score is from left to right; one beyond the edges is at an edge."""
        share = float(places(np.array([score]), self.edges)[0])
        return round(LEFT + share * (RIGHT - LEFT), 2)

    def _outline(self, heights: Array) -> str:
        """Returns the path around bars of these heights, (bars,) fractions of the axis."""
        steps = [f"M{LEFT} {BOTTOM}"]
        for right, height in zip(self.edges[1:], heights, strict=True):
            steps.append(f"V{BOTTOM - height * (BOTTOM - TOP):.2f}H{self._x(right):g}")
        return "".join([*steps, f"V{BOTTOM}Z"])

    def _band(self) -> list[Html]:
        if self.interval is None:
            return []
        low, high = (self._x(bound) for bound in self.interval)
        width = max(round(high - low, 2), 1.0)
        return [element("rect", x=low, y=TOP, width=width, height=BOTTOM - TOP, class_="band")]

    def _line(self) -> list[Html]:
        """Returns the threshold, and its number above it, on the side where there is room."""
        x = self._x(self.threshold)
        is_left = x < (LEFT + RIGHT) / 2
        return [
            element("line", x1=x, x2=x, y1=TOP - 4, y2=BOTTOM, class_="threshold"),
            element(
                "text",
                f"threshold {self.threshold:.6g}",
                x=x,
                y=TOP - 9,
                text_anchor="start" if is_left else "end",
                class_="strong",
            ),
        ]

    def _score_axis(self) -> list[Html]:
        middle = (LEFT + RIGHT) / 2
        parts = [element("line", x1=LEFT, x2=RIGHT, y1=BOTTOM, y2=BOTTOM, class_="axis")]
        for x, text in self._ticks():
            parts.append(element("line", x1=x, x2=x, y1=BOTTOM, y2=BOTTOM + 4, class_="axis"))
            parts.append(element("text", text, x=x, y=BOTTOM + 17, text_anchor="middle"))
        name = f"{self.unit} (larger is more OOD)"
        parts.append(element("text", name, x=middle, y=BOTTOM + 36, text_anchor="middle"))
        return parts

    def _ticks(self) -> list[tuple[float, str]]:
        """Returns (x, text) of ticks at round scores."""
        if is_even(self.edges):
            ticks = _ticks(float(self.edges[0]), float(self.edges[-1]))
            return [(self._x(tick), f"{tick:g}") for tick in ticks]
        return [
            (round(LEFT + share * (RIGHT - LEFT), 2), text) for share, text in ticks_at(self.edges)
        ]


def _share_axis(top: float) -> list[Html]:
    """Returns the lines at no share, at half the top, and at the top, with their numbers."""
    parts = []
    for share in (0.0, top / 2, top):
        y = BOTTOM - share / top * (BOTTOM - TOP)
        parts.append(element("line", x1=LEFT, x2=RIGHT, y1=y, y2=y, class_="grid"))
        percent = f"{100 * share:g} %"
        parts.append(element("text", percent, x=LEFT - 5, y=y + 4, text_anchor="end"))
    return parts


def _round_up(share: float) -> float:
    """Returns a round number that is at least as large as a share above 0.

    >>> _round_up(0.13), _round_up(0.05), _round_up(0.9)
    (0.2, 0.06, 1.0)
    """
    power = 10.0 ** math.floor(math.log10(share))
    step = next(step for step in (1, 2, 4, 6, 8, 10) if share <= step * power * (1 + 1e-9))
    return round(step * power, 12)


def _ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Returns round numbers from low to high.

    >>> _ticks(-1.2, 4.1)
    [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0]
    """
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step for step in (1, 2, 5, 10) if rough <= step * power * (1 + 1e-9)) * power
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(number * step, 12) + 0.0 for number in range(first, last + 1)]
