"""Pure: arrays in, Plotly figures out. Colours are safe for the colour-blind; dashes say it a second time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

Array = NDArray[np.floating]

COLOURS = {"ID": "#0072B2", "near": "#D55E00", "mid": "#CC79A7", "far": "#009E73"}
DASHES = {"ID": "solid", "near": "dash", "mid": "dot", "far": "dashdot"}
SELECTED = "#E69F00"
BY_ROW = {**COLOURS, "selected": SELECTED}
DENSE = [
    [0, "#fde737"],
    [0.25, "#7ad151"],
    [0.5, "#22a884"],
    [0.75, "#2a788e"],
    [1, "#2d2f5e"],
]  # low energy is bright
SIGNED = [[0, "#0072B2"], [0.5, "#f7f7f7"], [1, "#D55E00"]]
DEPTH = 10.0  # nats above the lowest energy that are still told apart
REACH = 6.0  # nats of a correction, up or down, that are still told apart
INK = "#11161c"
BESIDE = dict(
    l=4, r=46, t=4, b=4
)  # room for a colour bar: where it must push, everything is drawn twice
LEGEND = dict(
    orientation="h", x=0, y=1.02, yanchor="bottom"
)  # grows upwards, away from the curves, where it needs two lines
QUIET = {"displayModeBar": False}
HEIGHT = 300  # of a landscape, in pixels


def landscape(
    axis: Array, energy: Array, points: Array | None = None, signed: bool = False
) -> go.Figure:
    """Returns an energy over the plane, in nats.

    Args:
        axis: (n,) coordinates, the same in x and y.
        energy: (n, n), the first axis y.
        points: (m, 2) drawn over it.
        signed: centre the colours on zero (a correction) instead of starting at the lowest energy.
    """
    shown = energy if signed else energy - energy.min()
    low, high = (-REACH, REACH) if signed else (0.0, DEPTH)
    heat = go.Heatmap(
        x=axis,
        y=axis,
        z=shown.astype(np.float32),
        zmin=low,
        zmax=high,
        colorscale=SIGNED if signed else DENSE,
        zsmooth="fast",
        colorbar=dict(thickness=8, len=0.9, outlinewidth=0, xpad=2, tickfont=dict(size=10)),
        hovertemplate="x %{x:.2f}, y %{y:.2f}: %{z:.2f} nats<extra></extra>",
    )
    figure = go.Figure(heat)
    if points is not None:
        line = dict(width=2.5, color=INK if signed else "#ffffff")
        figure.add_shape(
            type="path", path=_dots(points, float(axis[-1] - axis[0])), line=line, opacity=0.55
        )
    edge = [float(axis[0]), float(axis[-1])]
    figure.update_xaxes(range=edge, visible=False, constrain="domain")
    figure.update_yaxes(range=edge, visible=False, scaleanchor="x", constrain="domain")
    figure.update_layout(height=HEIGHT, margin=BESIDE, uirevision="landscape", dragmode="pan")
    return figure


def _dots(points: Array, extent: float) -> str:
    """Returns short strokes as the path of one shape: a browser draws it at once, and marks one by one."""
    half = 1.25 / HEIGHT * extent
    return "".join(f"M{x - half:.3g},{y:.3g}H{x + half:.3g}" for x, y in points)


def curve(
    steps: Sequence[int],
    lines: Mapping[str, Sequence[float]],
    unit: str,
    reference: tuple[str, float] | None = None,
) -> go.Figure:
    """Returns values by training step.

    Args:
        lines: {name: (steps,) values}.
        unit: of the values.
        reference: (name, value) of a level to compare with, drawn dashed.
    """
    figure = go.Figure()
    for (name, values), colour, dash in zip(
        lines.items(), COLOURS.values(), DASHES.values(), strict=False
    ):
        line = dict(color=colour, dash=dash)
        figure.add_scatter(
            x=list(steps),
            y=list(values),
            name=name,
            mode="lines+markers",
            line=line,
            marker=dict(size=4),
        )
    if reference is not None:
        name, level = reference
        figure.add_hline(
            level,
            line=dict(dash="dash", color="#8a96a3", width=1.5),
            annotation=dict(text=name, font=dict(size=11)),
        )
    figure.update_layout(
        height=230, margin=dict(l=8, r=8, t=8, b=8), legend=LEGEND, hovermode="x unified"
    )
    figure.update_xaxes(title_text="optimiser step", rangemode="tozero")
    figure.update_yaxes(title_text=unit, rangemode="tozero")
    return figure


def bins(by_group: Mapping[str, Array], threshold: float, count: int = 60) -> Array:
    """Returns the edges of a histogram's bars, (count + 1,). The last bars hold everything beyond."""
    low, high = np.quantile(np.concatenate(list(by_group.values())), [0.002, 0.975])
    low, high = min(low, threshold), max(high, threshold)
    return np.linspace(low, high if high > low else low + 1e-9 * max(1.0, abs(low)), count + 1)


def histogram(
    by_group: Mapping[str, Array],
    edges: Array,
    threshold: float,
    unit: str = "score",
    selected: Array | None = None,
) -> go.Figure:
    """Returns the distribution of scores of each group as outlines, the threshold, and columns to click.

    Args:
        by_group: {group: (n,) scores}, a group a key of `COLOURS`; drawn as shares of the group.
        edges: of the bars, as `bins` returns them. The columns are the last trace; a column's number is its bar's.
        threshold: above it means out.
        selected: scores of what is selected, drawn as a group of its own.
    """
    groups = dict(by_group) if selected is None else {**by_group, "selected": selected}
    shares = {
        name: np.histogram(np.clip(scores, edges[0], edges[-1]), edges)[0] / max(len(scores), 1)
        for name, scores in groups.items()
    }
    middle = ((edges[1:] + edges[:-1]) / 2).astype(np.float32)
    figure = go.Figure()
    for name, share in shares.items():
        colour, dash = COLOURS.get(name, SELECTED), DASHES.get(name, "solid")
        figure.add_scatter(
            x=middle,
            y=share.astype(np.float32),
            name=name,
            mode="lines",
            fill="tozeroy" if name == "ID" else None,
            line=dict(color=colour, dash=dash, width=2, shape="hvh"),
            hoverinfo="skip",
        )
    said = [
        ", ".join(f"{name} {100 * share[i]:.1f} %" for name, share in shares.items())
        for i in range(len(middle))
    ]
    tallest = max(
        float(shares[name].max()) for name in by_group
    )  # a selection may be one bar: it is cut off
    tall = np.full(len(middle), tallest, np.float32)
    hidden = dict(marker=dict(opacity=0))
    figure.add_bar(
        x=middle,
        y=tall,
        width=float(edges[1] - edges[0]),
        customdata=said,
        marker=dict(opacity=0),
        selected=hidden,
        unselected=hidden,
        showlegend=False,
        hovertemplate="%{x:.4g}: %{customdata}<br>click to select these<extra></extra>",
    )
    figure.add_vline(threshold, line=dict(color="#8a96a3", width=2))
    figure.update_layout(height=230, margin=dict(l=8, r=8, t=8, b=8), legend=LEGEND, dragmode=False)
    figure.update_yaxes(
        tickformat=".0%", title_text="share of the set", range=[0, 1.05 * tallest], fixedrange=True
    )
    figure.update_xaxes(title_text=f"{unit} (larger is more OOD)", fixedrange=True)
    return figure


def against(selected: Array, rest: Array, threshold: float) -> go.Figure:
    """Returns the scores of a selection, as an area, and of the rest, dashed, as shares of each; and the threshold."""
    edges = bins({"selected": selected, "rest": rest}, threshold)
    middle, figure = ((edges[1:] + edges[:-1]) / 2).astype(np.float32), go.Figure()
    for name, scores, colour, dash in (
        ("rest", rest, "#8a96a3", "dash"),
        ("selected", selected, SELECTED, "solid"),
    ):
        share = np.histogram(np.clip(scores, edges[0], edges[-1]), edges)[0] / len(scores)
        figure.add_scatter(
            x=middle,
            y=share.astype(np.float32),
            name=name,
            mode="lines",
            fill="tozeroy" if name == "selected" else None,
            line=dict(color=colour, dash=dash, width=2, shape="hvh"),
            hovertemplate=f"{name}: %{{y:.1%}} at %{{x:.3g}}<extra></extra>",
        )
    figure.add_vline(threshold, line=dict(color="#8a96a3", width=2))
    figure.update_layout(height=230, margin=dict(l=8, r=8, t=8, b=8), legend=LEGEND, dragmode=False)
    figure.update_yaxes(tickformat=".0%", title_text="share", rangemode="tozero", fixedrange=True)
    figure.update_xaxes(title_text="score (larger is more OOD)", fixedrange=True)
    return figure


def ranks(names: Sequence[str], values: Array, shares: Array, kept: float) -> go.Figure:
    """Returns a bar a term: the share of ID that has at most as much of it, with what it adds written beside it.

    Args:
        names: of the terms and the total, which comes last and is drawn stronger.
        values: what each adds, (n,).
        shares: (n,) fractions of ID.
        kept: the share of ID at or below the threshold of the total.
    """
    colours = [COLOURS["near"] if share > kept else COLOURS["ID"] for share in shares]
    figure = go.Figure(
        go.Bar(
            y=list(names),
            x=(100 * np.asarray(shares)).astype(np.float32),
            orientation="h",
            width=0.55,
            marker=dict(color=colours, opacity=[0.55] * (len(names) - 1) + [1.0]),
            text=[f"{value:.2f}" for value in values],
            textposition="auto",
            insidetextanchor="start",
            textfont=dict(size=13),
            hovertemplate="%{y}: %{text}; %{x:.1f} % of ID have at most as much<extra></extra>",
        )
    )
    figure.add_vline(100 * kept, line=dict(color="#8a96a3", width=2, dash="dash"))
    figure.update_layout(
        height=70 + 34 * len(names), margin=dict(l=8, r=8, t=8, b=8), showlegend=False
    )
    figure.update_xaxes(title_text="ID test images that have at most as much (%)", range=[0, 101])
    figure.update_yaxes(autorange="reversed")
    return figure


def roc(
    curves: Mapping[str, tuple[Array, Array]], points: Mapping[str, tuple[float, float]]
) -> go.Figure:
    """Returns what share of OOD is caught for what share of ID is flagged.

    Args:
        curves: {name: (flagged, caught)} fractions, (n,) each, flagged falling; a group, or `selected`, takes its own colour.
        points: {name: (flagged, caught)} where the lines are.
    """
    figure = go.Figure()
    for (name, (flagged, caught)), spare in zip(curves.items(), BY_ROW, strict=False):
        look = name if name in BY_ROW else spare
        x, y = (100 * np.asarray(values)[_spread(flagged)] for values in (flagged, caught))
        figure.add_scatter(
            x=x.astype(np.float32),
            y=y.astype(np.float32),
            name=name,
            mode="lines",
            legendgroup=name,
            line=dict(color=BY_ROW[look], dash=DASHES.get(look, "longdash"), width=2),
            hovertemplate=f"{name}: %{{y:.1f}} % caught, %{{x:.1f}} % of ID flagged<extra></extra>",
        )
        at = points[name]
        figure.add_scatter(
            x=[100 * at[0]],
            y=[100 * at[1]],
            mode="markers",
            showlegend=False,
            legendgroup=name,
            hoverinfo="skip",
            marker=dict(color=BY_ROW[look], size=11, line=dict(color="#ffffff", width=1.5)),
        )
    return _quiet(figure, "ID flagged (%)", "OOD caught (%)")


def cost(kept: Array, costs: Array, at: tuple[float, float]) -> go.Figure:
    """Returns the expected cost of 1000 inputs by the share of ID kept.

    Args:
        kept, costs: (n,), kept rising.
        at: (kept, cost) where the line is.
    """
    rows, best = _spread(kept), int(np.argmin(costs))
    figure = go.Figure()
    figure.add_scatter(
        x=(100 * kept[rows]).astype(np.float32),
        y=costs[rows].astype(np.float32),
        mode="lines",
        name="cost",
        line=dict(color=COLOURS["ID"], width=2),
        hovertemplate="%{y:.0f} where %{x:.1f} % of ID is kept<extra></extra>",
    )
    for name, x, y, symbol in (
        ("least", kept[best], costs[best], "diamond-open"),
        ("the line", at[0], at[1], "circle"),
    ):
        marker = dict(color=COLOURS["near"], size=11, symbol=symbol, line=dict(width=2))
        figure.add_scatter(
            x=[100 * x], y=[y], mode="markers", name=name, marker=marker, hoverinfo="skip"
        )
    return _quiet(figure, "ID kept (%)", "cost of 1000 inputs")


def _quiet(figure: go.Figure, x: str, y: str) -> go.Figure:
    figure.update_layout(height=280, margin=dict(l=8, r=8, t=8, b=8), legend=LEGEND)
    figure.update_xaxes(title_text=x, range=[-2, 102])
    figure.update_yaxes(title_text=y, rangemode="tozero")
    return figure


def _spread(values: Array, most: int = 200) -> NDArray[np.intp]:
    """Returns rows of sorted values, at most about `most`, so that what is drawn looks the same."""
    steps = np.round(np.asarray(values) * most)
    return np.flatnonzero(
        np.append(True, steps[1:] != steps[:-1]) | np.append(steps[1:] != steps[:-1], True)
    )
