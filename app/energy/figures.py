"""Pure: Plotly figures of the Energy page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.colour_scale import ColourScale
from app.figures import COLOURS, GREY, LEGEND, MARGIN
from app.plane.colours import ENERGY_COLOURS
from app.plane.figures import HEIGHT, heatmap, lines_by_step

Array = NDArray[np.floating]
DOTS = 1200  # of a scatter


def confidence_map(axis: Array, confidence: Array, points: Array, classes: int) -> go.Figure:
    """Returns the largest softmax share over the plane, (n, n): bright where it is sure."""
    sure_is_bright = ENERGY_COLOURS[::-1]
    scale = ColourScale(sure_is_bright, 100 / classes, 100.0, "%")
    return heatmap(axis, 100 * confidence, scale, points)


def energy_range(energies: Sequence[Array]) -> tuple[float, float]:
    """Returns the heights between which nearly all of some energies lie, of any shape."""
    pooled = np.concatenate([np.ravel(energy) for energy in energies])
    low, high = np.quantile(pooled, [0.02, 0.98])
    return float(low), float(max(high, low + 1))


def energy_map(
    axis: Array, energy: Array, points: Array, heights_range: tuple[float, float]
) -> go.Figure:
    """Returns an energy over the plane, (n, n): bright where it is low."""
    return heatmap(axis, energy, ColourScale(ENERGY_COLOURS, *heights_range), points)


def density_scatter(
    log_density: Array, values: Array, is_id: NDArray[np.bool_], title: str, seed: int = 0
) -> go.Figure:
    """Returns points of the plane: their exact log density, and what a classifier says of them.

    Args:
        log_density: (N,); where it is -inf, a point is drawn at the left edge.
        values: (N,).
        is_id: (N,) whether ID points lie there.
        title: of the values' axis.
        seed: of which points are drawn.
    """
    rows = np.random.default_rng(seed).permutation(len(values))[:DOTS]
    finite = log_density[np.isfinite(log_density)]
    lowest = float(np.quantile(finite, 0.02)) - 1
    x = np.maximum(np.nan_to_num(log_density[rows], neginf=lowest), lowest)
    figure = go.Figure()
    for name, group, symbol in (
        ("elsewhere", "near", "diamond-open"),
        ("where ID is", "ID", "circle"),
    ):
        shown = is_id[rows] if group == "ID" else ~is_id[rows]
        figure.add_scatter(
            x=x[shown].astype(np.float32),
            y=values[rows][shown].astype(np.float32),
            name=name,
            mode="markers",
            marker=dict(size=5, color=COLOURS[group], symbol=symbol, opacity=0.55),
            hovertemplate="log p %{x:.1f}: %{y:.3g}<extra></extra>",
        )
    figure.update_layout(height=HEIGHT, margin=MARGIN, legend=LEGEND)
    figure.update_xaxes(title_text="exact log density, log p")
    figure.update_yaxes(title_text=title)
    return figure


def course(
    steps: Sequence[int], lines: Mapping[str, Sequence[float]], marked_step: int | None = None
) -> go.Figure:
    """Returns percentages by training step, with a mark at a step.

    Args:
        lines: {name: (n,) percentages}.
    """
    figure = lines_by_step(steps, lines, "%")
    if marked_step is not None:
        figure.add_vline(marked_step, line=dict(color=GREY, width=1.5, dash="dot"))
    figure.update_yaxes(range=[0, 102])
    return figure
