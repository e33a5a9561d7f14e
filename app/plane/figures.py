"""Pure: Plotly figures of the plane. What is told apart by colour is told apart by dash as well."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.figures import COLOURS, DASHES, GREY, HEIGHT, INK, LEGEND, MARGIN

Array = NDArray[np.floating]

LINES = {
    "total": ("ID", 3.0),
    "energy": ("ID", 3.0),
    "prior": ("near", 1.8),
    "correction": ("mid", 1.8),
    "truth": ("far", 1.8),
}
"""{line of a ray: (group whose colour and dash it takes, width)}."""
CHAIN_START = dict(symbol="circle-open", size=8, color=INK, line=dict(width=2))
CHAIN_END = dict(symbol="circle", size=7, color="#ffffff", line=dict(width=1.5, color=INK))


def mode_masses(true_mass: Array, model_mass: Array) -> go.Figure:
    """Returns bars: the probability of each mode, (modes,), in truth and in the model."""
    figure = go.Figure()
    _add_masses(figure, "truth", true_mass, COLOURS["far"], pattern="/")
    _add_masses(figure, "model", model_mass, COLOURS["ID"], pattern="")
    figure.update_layout(height=HEIGHT, margin=MARGIN, bargap=0.25, legend=LEGEND)
    figure.update_xaxes(title_text="mode", dtick=1)
    figure.update_yaxes(tickformat=".0%", title_text="share of probability", rangemode="tozero")
    return figure


def _add_masses(figure: go.Figure, name: str, mass: Array, colour: str, pattern: str) -> None:
    figure.add_bar(
        x=np.arange(1, len(mass) + 1),
        y=mass.astype(np.float32),
        name=name,
        marker=dict(color=colour, pattern=dict(shape=pattern)),
        hovertemplate=f"mode %{{x}}: %{{y:.1%}} in the {name}<extra></extra>",
    )


def ray(
    distances: Array,
    lines: Mapping[str, Array],
    threshold: float,
    point: float,
    extent: float,
    labelled: bool = True,
) -> go.Figure:
    """Returns energies along a ray.

    Args:
        distances: (n,) from the data's mean.
        lines: {name: (n,)}, names of `LINES`.
        threshold: above it means out.
        point: the distance of the point.
        extent: the distance up to which the picture of the data reaches.
        labelled: whether the marks of data and point are labelled, where there is space for it.
    """
    small = dict(size=11)
    data_label = dict(text="data" if labelled else "", font=small)
    point_label = dict(text="point" if labelled else "", font=small)
    threshold_label = dict(text="threshold", font=small)

    figure = go.Figure()
    figure.add_vrect(0, extent, fillcolor=GREY, opacity=0.12, line_width=0, annotation=data_label)
    for name, values in lines.items():
        group, width = LINES.get(name, LINES["correction"])
        line = dict(color=COLOURS[group], dash=DASHES[group], width=width)
        figure.add_scatter(x=distances, y=values, name=name, mode="lines", line=line)
    solid = dict(color=GREY, width=1.5)
    dotted = dict(color=GREY, width=1.5, dash="dot")
    figure.add_hline(threshold, line=solid, annotation=threshold_label)
    figure.add_vline(point, line=dotted, annotation=point_label)
    figure.update_layout(height=HEIGHT, margin=MARGIN, legend=LEGEND, hovermode="x unified")
    figure.update_xaxes(title_text="distance from the data's mean", rangemode="tozero")
    figure.update_yaxes(title_text="nats", range=_energy_range(lines, threshold))
    return figure


def _energy_range(lines: Mapping[str, Array], threshold: float) -> list[float]:
    """Returns [low, high] of a ray's lines, {name: (n,)}.

    It shows the model near the threshold and how it leaves it, not the last of a parabola.
    """
    model = np.concatenate([values for name, values in lines.items() if name != "truth"])
    low = min(float(np.nanmin(model)), threshold)
    high = min(float(np.nanmax(model)), threshold + 6 * (threshold - low) + 5)
    return [low - 0.05 * (high - low), max(high, threshold) + 0.08 * (high - low)]


def with_chains(figure: go.Figure, paths: Array) -> go.Figure:
    """Returns a landscape with chains (points, chains, 2) over it.

    A ring is where a chain starts, a dot where it ends.
    """
    # One trace for all, with gaps between them.
    gap = np.full((1, paths.shape[1], 2), np.nan, dtype=np.float32)
    joined = np.concatenate([paths, gap]).swapaxes(0, 1).reshape(-1, 2).astype(np.float32)
    figure.add_scatter(
        x=joined[:, 0],
        y=joined[:, 1],
        mode="lines",
        line=dict(color=COLOURS["near"], width=1),
        hoverinfo="skip",
        name="path",
    )
    _add_ends(figure, "start", paths[0], CHAIN_START)
    _add_ends(figure, "end", paths[-1], CHAIN_END)
    figure.update_layout(showlegend=True, legend=LEGEND, height=HEIGHT + 120)
    return figure


def _add_ends(figure: go.Figure, name: str, points: Array, marker: dict) -> None:
    figure.add_scatter(
        x=points[:, 0],
        y=points[:, 1],
        mode="markers",
        marker=marker,
        hoverinfo="skip",
        name=name,
    )
