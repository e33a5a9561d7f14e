"""Pure: Plotly figures of the plane. What is told apart by colour is told apart by dash as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.colour_scale import ColourScale
from app.figures import (
    CHART_HEIGHT,
    COLOURS,
    DASHES,
    GREY,
    INK,
    LEGEND,
    MARGIN,
    WHITE,
    nth_style,
)
from app.plane.colours import energy_scale, signed_scale

Array = NDArray[np.floating]

HEIGHT = 330  # of an energy heatmap, in pixels
COLOUR_BAR_MARGIN = dict(l=4, r=4, t=4, b=34)  # wide enough: Plotly draws twice where it is not
LINES = {
    "total": ("ID", 3.0),
    "prior": ("near", 1.8),
    "correction": ("mid", 1.8),
    "truth": ("far", 1.8),
}
"""{line of a ray: (group whose colour and dash it takes, width)}."""
LEVEL_DASHES = ("dash", "dot", "dashdot")
NEGATIVE_INK = "#e6007e"
CHAIN_START = dict(symbol="circle-open", size=8, color=INK, line=dict(width=2))
CHAIN_END = dict(symbol="circle", size=7, color=WHITE, line=dict(width=1.5, color=INK))


def energy_heatmap(
    axis: Array,
    energy: Array,
    points: Array | None = None,
    signed: bool = False,
    negatives: Array | None = None,
    has_bar: bool = True,
) -> go.Figure:
    """Returns a heatmap of an energy over the plane, in nats.

    Args:
        axis: (n,) coordinates, the same in x and y.
        energy: (n, n), the first axis y.
        points: (m, 2) of data, drawn over it as level strokes.
        signed: centre the colours on zero (a correction), not from the lowest energy upwards.
        negatives: (k, 2) drawn over it as upright strokes, of another colour.
        has_bar: whether the colour bar is below the map.
    """
    heights = energy if signed else energy - energy.min()
    scale = signed_scale() if signed else energy_scale()
    figure = heatmap(axis, heights, scale, points, has_bar)
    if negatives is not None:
        _add_strokes(figure, axis, negatives, NEGATIVE_INK, upright=True)
    return figure


def heatmap(
    axis: Array,
    heights: Array,
    scale: ColourScale,
    points: Array | None = None,
    has_bar: bool = True,
) -> go.Figure:
    """Returns heights over the plane, (n, n) with first axis y, as colours.

    Args:
        axis: (n,) coordinates, the same in x and y.
        scale: the colours of the heights.
        points: (m, 2) drawn over it.
        has_bar: whether the colour bar is below the map; its place is kept in any case.
    """
    cells = go.Heatmap(
        x=axis,
        y=axis,
        z=heights.astype(np.float32),
        zmin=scale.low,
        zmax=scale.high,
        colorscale=scale.stops(),
        showscale=False,
        zsmooth="fast",
        hovertemplate=f"x %{{x:.2f}}, y %{{y:.2f}}: %{{z:.2f}} {scale.unit}<extra></extra>",
    )
    figure = go.Figure(cells)
    if has_bar:
        _add_colour_bar(figure, scale)
    if points is not None:
        _add_strokes(figure, axis, points, INK)
    edge = [float(axis[0]), float(axis[-1])]
    figure.update_xaxes(range=edge, visible=False, constrain="domain")
    figure.update_yaxes(
        range=edge, visible=False, scaleanchor="x", constrain="domain", constraintoward="top"
    )
    figure.update_layout(
        height=HEIGHT,
        margin=COLOUR_BAR_MARGIN,
        uirevision="landscape",
        dragmode="pan",
        showlegend=False,
    )
    return figure


def _add_colour_bar(figure: go.Figure, scale: ColourScale) -> None:
    """Adds a colour bar below a map: of a trace without points, whose colours are even."""
    ticks = scale.ticks()
    last = list(ticks)[-1]
    bar = dict(
        orientation="h",
        thickness=8,
        lenmode="pixels",
        len=HEIGHT - COLOUR_BAR_MARGIN["t"] - COLOUR_BAR_MARGIN["b"],
        x=0.5,
        y=0,
        yanchor="top",
        ypad=4,
        xpad=0,
        outlinewidth=0,
        tickfont=dict(size=10),
        tickvals=list(ticks.values()),
        ticktext=[f"{text} {scale.unit}" if text == last else text for text in ticks],
    )
    marker = dict(
        color=[0.0],
        cmin=0.0,
        cmax=1.0,
        colorscale=list(scale.colours),
        showscale=True,
        colorbar=bar,
    )
    figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, hoverinfo="skip")


def _add_strokes(
    figure: go.Figure, axis: Array, points: Array, ink: str, upright: bool = False
) -> None:
    """Adds (m, 2) points as short strokes to a square map of an axis (n,): one shape.

    A browser draws that at once, and marks one by one.
    """
    half = 1.25 / HEIGHT * float(axis[-1] - axis[0])
    if upright:
        strokes = [f"M{x:.3g},{y - half:.3g}V{y + half:.3g}" for x, y in points]
    else:
        strokes = [f"M{x - half:.3g},{y:.3g}H{x + half:.3g}" for x, y in points]
    line = dict(width=2.5, color=ink)
    figure.add_shape(type="path", path="".join(strokes), line=line, opacity=0.55)


@dataclass(frozen=True)
class Curve:
    """Values by training step.

    Args:
        steps: (n,) of the optimiser.
        values: (n,).
    """

    steps: Sequence[int]
    values: Sequence[float]


def kl_figure(curves: Mapping[str, Curve], levels: Mapping[str, float]) -> go.Figure:
    """Returns KL to the truth by optimiser step, in nats, of one training or of several.

    The axis is logarithmic where values and levels span more than a decade.

    Args:
        curves: {name: KL}.
        levels: {name: KL of what does not train}, drawn dashed.
    """
    figure = go.Figure()
    for i, (name, curve) in enumerate(curves.items()):
        _add_curve(figure, i, name, curve)
    last_step = max(step for curve in curves.values() for step in curve.steps)
    for i, (name, level) in enumerate(levels.items()):
        line = dict(color=GREY, width=1.5, dash=LEVEL_DASHES[i % len(LEVEL_DASHES)])
        figure.add_scatter(x=[0, last_step], y=[level, level], name=name, mode="lines", line=line)
    _lay_out_curves(figure, "nats")
    figure.update_layout(showlegend=True)
    values = [value for curve in curves.values() for value in curve.values]
    if spans_decades([*values, *levels.values()]):
        figure.update_yaxes(type="log", dtick="D2", tickformat=".2~g")
    else:
        figure.update_yaxes(rangemode="tozero")
    return figure


def mark_step(figure: go.Figure, step: int | None) -> None:
    """Marks an optimiser step, if there is one, in a figure by step."""
    if step is not None:
        figure.add_vline(step, line=dict(color=GREY, width=1.5, dash="dot"))


def spans_decades(values: Sequence[float]) -> bool:
    """Returns whether the largest of some values, all above 0, is over ten times the smallest.

    >>> spans_decades([0.04, 0.75]), spans_decades([0.4, 0.75]), spans_decades([0.0, 0.75])
    (True, False, False)
    """
    return min(values) > 0 and max(values) > 10 * min(values)


def lines_by_step(
    steps: Sequence[int], lines: Mapping[str, Sequence[float]], unit: str
) -> go.Figure:
    """Returns {name: (n,) values in a unit} by optimiser step (n,), each in a style of its own."""
    figure = go.Figure()
    for i, (name, values) in enumerate(lines.items()):
        _add_curve(figure, i, name, Curve(steps, values))
    _lay_out_curves(figure, unit)
    return figure


def _add_curve(figure: go.Figure, i: int, name: str, curve: Curve) -> None:
    """Adds the i-th curve, in a style of its own."""
    colour, dash = nth_style(i)
    figure.add_scatter(
        x=list(curve.steps),
        y=list(curve.values),
        name=name,
        mode="lines+markers",
        line=dict(color=colour, dash=dash),
        marker=dict(size=4),
    )


def _lay_out_curves(figure: go.Figure, unit: str) -> None:
    figure.update_layout(height=CHART_HEIGHT, margin=MARGIN, legend=LEGEND, hovermode="x unified")
    figure.update_xaxes(title_text="optimiser step", rangemode="tozero")
    figure.update_yaxes(title_text=unit)


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


def ray_figure(
    distances: Array,
    lines: Mapping[str, Array],
    threshold: float,
    point_distance: float,
    extent: float,
    labelled: bool = True,
) -> go.Figure:
    """Returns energies along a ray.

    Args:
        distances: (n,) from the data's mean.
        lines: {name: (n,)}, names of `LINES`.
        threshold: above it means out.
        point_distance: of the point, from the data's mean.
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
    figure.add_vline(point_distance, line=dotted, annotation=point_label)
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
    """Returns an energy heatmap with chains (points, chains, 2) over it.

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
