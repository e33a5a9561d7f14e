"""Pure: Plotly figures of the plane. Colours are locked and centred on zero: blue likely, orange rare; lines say it again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.figures import BESIDE, COLOURS, DASHES, HEIGHT, INK, LEGEND, SIGNED

Array = NDArray[np.floating]

MARK = dict(size=11, symbol="x-thin", line=dict(width=2.5, color=INK))
PICK = 4  # every fourth point of a layer can be clicked
FINE = 30_000  # a layer is sent as whole numbers: its limit is this many (half the bytes of float32, and as smooth)
COARSE = 120  # and for its lines: this many
QUIET = "#8a96a3"
FAINT = "rgba(17, 22, 28, 0.45)"
LINES = {"total": ("ID", 3.0), "energy": ("ID", 3.0), "prior": ("near", 1.8), "correction": ("mid", 1.8), "truth": ("far", 1.8)}


def layer(
    axes: tuple[Array, Array], values: Array, limit: float, point: tuple[float, float] | None = None,
    line: bool = False, unit: str = "nats",
) -> go.Figure:  # fmt: skip
    """Returns a layer seen from above, with lines of equal height and points to click.

    Args:
        axes: (n,) and (n,) coordinates in x and y.
        values: (n, n), first axis y.
        limit: the colours reach from -limit to limit.
        point: marked.
        line: whether the height 0 is drawn as a dashed line.
        unit: of the values.
    """
    x, y = axes
    shown = _whole(values, limit)
    figure = go.Figure(
        go.Heatmap(
            x=x, y=y, z=shown, zmin=-FINE, zmax=FINE, colorscale=SIGNED, hoverinfo="skip", name="layer", zsmooth="fast",
            colorbar=dict(thickness=8, len=0.9, outlinewidth=0, xpad=2, tickfont=dict(size=10), **_ticks(limit)),
        )
    )  # fmt: skip
    figure.add_contour(**_lines(axes, shown, "lines", FAINT, end=COARSE), line=dict(width=0.5))
    if line:
        figure.add_contour(**_lines(axes, shown, "zero", INK, end=0), line=dict(width=2, dash="dash"))
    across, up = np.meshgrid(x[::PICK], y[::PICK])
    figure.add_scatter(  # empty words can be clicked as well as hidden marks, and cost a browser a third
        x=across.ravel(), y=up.ravel(), customdata=values[::PICK, ::PICK].ravel().astype(np.float32), mode="text",
        text="", showlegend=False,
        hovertemplate=f"x %{{x:.2f}}, y %{{y:.2f}}: %{{customdata:.2f}} {unit}<extra></extra>",
    )  # fmt: skip
    if point is not None:
        figure.add_scatter(x=[point[0]], y=[point[1]], mode="markers", marker=MARK, hoverinfo="skip", showlegend=False)
    figure.update_xaxes(range=[float(x[0]), float(x[-1])], fixedrange=True, constrain="domain", tickfont=dict(size=10))
    figure.update_yaxes(
        range=[float(y[0]), float(y[-1])], fixedrange=True, scaleanchor="x", constrain="domain", tickfont=dict(size=10)
    )
    figure.update_layout(height=HEIGHT, margin={**BESIDE, "l": 30, "b": 22}, dragmode=False, hovermode="closest")
    figure.update_layout(clickmode="event+select")
    return figure


def _lines(axes: tuple[Array, Array], shown: NDArray[np.int16], name: str, colour: str, end: int) -> dict:
    """Returns lines of equal height, a quarter of the limit apart, from -`end` to `end` in units of limit / COARSE.

    They are drawn from every second point, rounded to these units: few bytes, and a quarter of the work of a filled contour.
    """
    x, y = axes
    return dict(
        x=x[::2], y=y[::2], z=np.round(shown[::2, ::2] * (COARSE / FINE)).astype(np.int8), name=name, showscale=False,
        hoverinfo="skip", colorscale=[[0, colour], [1, colour]],
        contours=dict(start=-end, end=end, size=COARSE / 4, coloring="lines"),
    )  # fmt: skip


def _whole(values: Array, limit: float) -> NDArray[np.int16]:
    """Returns values between -limit and limit (and a little beyond, to tell what is) in units of limit / FINE."""
    return np.round(np.clip(values / limit, -1.001, 1.001) * FINE).astype(np.int16)


def _ticks(limit: float) -> dict[str, list]:
    """Returns the ticks of an axis in units of limit / FINE."""
    shares = (-1, -0.5, 0, 0.5, 1)
    return dict(tickvals=[share * FINE for share in shares], ticktext=[f"{share * limit:g}" for share in shares])


def masses(owed: Array, held: Array) -> go.Figure:
    """Returns the share of probability of each mode, in truth and in the model."""
    modes = np.arange(1, len(owed) + 1)
    figure = go.Figure()
    for name, values, group, pattern in (("truth", owed, "far", "/"), ("model", held, "ID", "")):
        figure.add_bar(
            x=modes, y=values.astype(np.float32), name=name, marker=dict(color=COLOURS[group], pattern=dict(shape=pattern)),
            hovertemplate=f"mode %{{x}}: %{{y:.1%}} in the {name}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(height=HEIGHT, margin=dict(l=8, r=8, t=8, b=8), bargap=0.25, legend=LEGEND)
    figure.update_xaxes(title_text="mode", dtick=1)
    figure.update_yaxes(tickformat=".0%", title_text="share of probability", rangemode="tozero")
    return figure


def ray(distance: Array, lines: Mapping[str, Array], cut: float, here: float, data: float, named: bool = True) -> go.Figure:
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
            x=distance, y=values, name=name, mode="lines", line=dict(color=COLOURS[group], dash=DASHES[group], width=width)
        )
    low, high = _heights(lines, cut)
    figure.add_hline(cut, line=dict(color=QUIET, width=1.5), annotation=dict(text="threshold", font=dict(size=11)))
    figure.add_vline(here, line=dict(color=QUIET, width=1.5, dash="dot"), annotation=marks[1])
    figure.update_layout(height=HEIGHT, margin=dict(l=8, r=8, t=8, b=8), legend=LEGEND, hovermode="x unified")
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
    gap = np.full((1, paths.shape[1], 2), np.nan, dtype=np.float32)  # one trace for all, with gaps between them
    joined = np.concatenate([paths, gap]).swapaxes(0, 1).reshape(-1, 2).astype(np.float32)
    figure.add_scatter(
        x=joined[:, 0], y=joined[:, 1], mode="lines", line=dict(color=COLOURS["near"], width=1), hoverinfo="skip", name="path"
    )
    for name, at, marker in (
        ("start", paths[0], dict(symbol="circle-open", size=8, color=INK, line=dict(width=2))),
        ("end", paths[-1], dict(symbol="circle", size=7, color="#ffffff", line=dict(width=1.5, color=INK))),
    ):
        figure.add_scatter(x=at[:, 0], y=at[:, 1], mode="markers", marker=marker, hoverinfo="skip", name=name)
    figure.update_layout(showlegend=True, legend=LEGEND, height=HEIGHT + 120)
    return figure
