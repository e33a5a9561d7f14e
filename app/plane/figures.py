"""Pure: Plotly figures of the plane. What is told apart by colour is told apart by dash as well."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.figures import COLOURS, DASHES, HEIGHT, INK, LEGEND

Array = NDArray[np.floating]

QUIET = "#8a96a3"
LINES = {
    "total": ("ID", 3.0),
    "energy": ("ID", 3.0),
    "prior": ("near", 1.8),
    "correction": ("mid", 1.8),
    "truth": ("far", 1.8),
}


def masses(owed: Array, held: Array) -> go.Figure:
    """Returns the share of probability of each mode, in truth and in the model."""
    modes = np.arange(1, len(owed) + 1)
    figure = go.Figure()
    for name, values, group, pattern in (("truth", owed, "far", "/"), ("model", held, "ID", "")):
        figure.add_bar(
            x=modes,
            y=values.astype(np.float32),
            name=name,
            marker=dict(color=COLOURS[group], pattern=dict(shape=pattern)),
            hovertemplate=f"mode %{{x}}: %{{y:.1%}} in the {name}<extra></extra>",
        )
    figure.update_layout(height=HEIGHT, margin=dict(l=8, r=8, t=8, b=8), bargap=0.25, legend=LEGEND)
    figure.update_xaxes(title_text="mode", dtick=1)
    figure.update_yaxes(tickformat=".0%", title_text="share of probability", rangemode="tozero")
    return figure


def ray(
    distance: Array,
    lines: Mapping[str, Array],
    cut: float,
    here: float,
    data: float,
    named: bool = True,
) -> go.Figure:
    """Returns energies along a ray.

    Args:
        distance: (n,) from the data's mean.
        lines: {name: (n,)}, names of `LINES`.
        cut: the threshold.
        here: where the point is.
        data: up to where the picture of the data reaches.
        named: whether the marks are named, where there is room.
    """
    figure = go.Figure()
    marks = [dict(text=text if named else "", font=dict(size=11)) for text in ("data", "point")]
    figure.add_vrect(0, data, fillcolor=QUIET, opacity=0.12, line_width=0, annotation=marks[0])
    for name, values in lines.items():
        group, width = LINES[name]
        figure.add_scatter(
            x=distance,
            y=values,
            name=name,
            mode="lines",
            line=dict(color=COLOURS[group], dash=DASHES[group], width=width),
        )
    low, high = _heights(lines, cut)
    figure.add_hline(
        cut,
        line=dict(color=QUIET, width=1.5),
        annotation=dict(text="threshold", font=dict(size=11)),
    )
    figure.add_vline(here, line=dict(color=QUIET, width=1.5, dash="dot"), annotation=marks[1])
    figure.update_layout(
        height=HEIGHT, margin=dict(l=8, r=8, t=8, b=8), legend=LEGEND, hovermode="x unified"
    )
    figure.update_xaxes(title_text="distance from the data's mean", rangemode="tozero")
    figure.update_yaxes(title_text="nats", range=[low, high])
    return figure


def _heights(lines: Mapping[str, Array], cut: float) -> tuple[float, float]:
    """Returns a range that shows the model's lines near the threshold and how they leave it, not the last of a parabola."""
    model = np.concatenate([values for name, values in lines.items() if name != "truth"])
    low = min(float(np.nanmin(model)), cut)
    high = min(float(np.nanmax(model)), cut + 6 * (cut - low) + 5)
    return low - 0.05 * (high - low), max(high, cut) + 0.08 * (high - low)


def walks(figure: go.Figure, paths: Array) -> go.Figure:
    """Returns a landscape with chains (points, chains, 2) over it: a ring where one starts, a dot where it ends."""
    gap = np.full(
        (1, paths.shape[1], 2), np.nan, dtype=np.float32
    )  # one trace for all, with gaps between them
    joined = np.concatenate([paths, gap]).swapaxes(0, 1).reshape(-1, 2).astype(np.float32)
    figure.add_scatter(
        x=joined[:, 0],
        y=joined[:, 1],
        mode="lines",
        line=dict(color=COLOURS["near"], width=1),
        hoverinfo="skip",
        name="path",
    )
    for name, at, marker in (
        ("start", paths[0], dict(symbol="circle-open", size=8, color=INK, line=dict(width=2))),
        (
            "end",
            paths[-1],
            dict(symbol="circle", size=7, color="#ffffff", line=dict(width=1.5, color=INK)),
        ),
    ):
        figure.add_scatter(
            x=at[:, 0], y=at[:, 1], mode="markers", marker=marker, hoverinfo="skip", name=name
        )
    figure.update_layout(showlegend=True, legend=LEGEND, height=HEIGHT + 120)
    return figure
