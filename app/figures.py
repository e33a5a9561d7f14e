"""Pure: arrays in, Plotly figures out.

Colours are safe for the colour-blind; a dash tells the same groups apart without colour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from heat_core.results.histogram import COLOURS, bar_shares, bin_edges
from heat_core.results.score_axis import is_even, places, ticks_at
from heat_core.set_name import SetName

Array = NDArray[np.floating]

DASHES = {"ID": "solid", "near": "dash", "mid": "dot", "far": "dashdot"}
SELECTED = "#E69F00"
GROUP_COLOURS = {**COLOURS, "selected": SELECTED}
STYLES = {name: (colour, DASHES.get(name, "longdash")) for name, colour in GROUP_COLOURS.items()}
"""{group: (colour, dash) of its curve}; what is selected is drawn as a group."""
SHADES = {
    "near": (COLOURS["near"], "#8F3A00", "#F0806A"),
    "mid": (COLOURS["mid"], "#8E4585", "#B388D9"),
    "far": (COLOURS["far"], "#00665A", "#6DB33F"),
}
"""{group: colours of its sets}, apart in lightness, and seen on white and on black."""
GREY = "#8a96a3"
INK = "#11161c"
WHITE = "#ffffff"

CHART_HEIGHT = 230  # in pixels
MARGIN = dict(l=8, r=8, t=8, b=8)
LEGEND = dict(orientation="h", x=0, y=1.02, yanchor="bottom")  # of two lines, it grows upwards
QUIET = {"displayModeBar": False}


def colour_of(name: str) -> str:
    """Returns the colour of a set's group; that of ID for a set without one, such as `test`.

    >>> colour_of("near_cifar100"), colour_of("test")
    ('#D55E00', '#0072B2')
    """
    return COLOURS.get(SetName.parse(name).group, COLOURS["ID"])


def set_colours(names: Iterable[str]) -> dict[str, str]:
    """Returns {set: its colour}: the sets of a group have shades of one family in turn.

    A set without a group, such as `test`, has the colour of ID. Sets beyond the third of a group
    share their shades with others: a symbol must tell them apart.

    >>> set_colours(["test", "near_a", "near_b"])
    {'test': '#0072B2', 'near_a': '#D55E00', 'near_b': '#8F3A00'}
    """
    colours = {}
    count_by_group: Counter[str] = Counter()
    for name in names:
        group = SetName.parse(name).group
        shades = SHADES.get(group, (COLOURS["ID"],))
        colours[name] = shades[count_by_group[group] % len(shades)]
        count_by_group[group] += 1
    return colours


def scores_by_group(scores: Mapping[str, Array]) -> dict[str, Array]:
    """Returns {`ID` or group: (n,) scores} of a detector, the sets of a group put together.

    Args:
        scores: {set: (n,) scores}; those of held-out ID are left out.

    >>> scores_by_group({"far_b": np.ones(1), "far_c": np.ones(2), "test": np.zeros(1)})
    {'ID': array([0.]), 'far': array([1., 1., 1.])}
    """
    parts: dict[str, list[Array]] = {}
    for set_name, values in scores.items():
        if set_name != "val":
            group = "ID" if set_name == "test" else SetName.parse(set_name).group
            parts.setdefault(group, []).append(values)
    return {group: np.concatenate(parts[group]) for group in COLOURS if group in parts}


def nth_style(i: int) -> tuple[str, str]:
    """Returns colour and dash of the i-th curve: no two alike of the first 25, then in turn.

    >>> nth_style(0), nth_style(5)
    (('#0072B2', 'solid'), ('#0072B2', 'dash'))
    """
    colours, dashes = zip(*STYLES.values(), strict=True)
    count = len(STYLES)
    return colours[i % count], dashes[(i + i // count) % count]


# -- histograms ------------------------------------------------------------------------------------


def histogram(
    by_group: Mapping[str, Array],
    edges: Array,
    threshold: float,
    unit: str = "score",
) -> go.Figure:
    """Returns the distribution of scores of each group as outlines, and the threshold.

    Args:
        by_group: {group: (n,) scores}, a group a key of `COLOURS`; drawn as shares of the group.
        edges: of the bars, as `bin_edges` returns them.
        threshold: above it means out.
        unit: of the scores.
    """
    shares = {name: bar_shares(scores, edges) for name, scores in by_group.items()}
    tallest = max(float(share.max()) for share in shares.values())
    figure = go.Figure()
    for name, share in shares.items():
        figure.add_scatter(
            x=_middles(edges),
            y=share.astype(np.float32),
            name=name,
            mode="lines",
            fill="tozeroy" if name == "ID" else None,
            line=_outline(COLOURS[name], DASHES[name]),
            hoverinfo="skip",
        )
    _lay_out_histogram(figure, edges, threshold, unit)
    figure.update_yaxes(
        tickformat=".0%",
        title_text="share of the group",
        range=[0, 1.05 * tallest],
        fixedrange=True,
    )
    return figure


def against(selected: Array, rest: Array, threshold: float) -> go.Figure:
    """Returns the scores of a selection, as an area, and of the rest, dashed, as shares of each.

    Args:
        selected: (n,) scores.
        rest: (m,) scores.
        threshold: above it means out.
    """
    edges = bin_edges({"selected": selected, "rest": rest}, threshold)
    figure = go.Figure()
    for name, scores, colour, dash in (
        ("rest", rest, GREY, "dash"),
        ("selected", selected, SELECTED, "solid"),
    ):
        figure.add_scatter(
            x=_middles(edges),
            y=bar_shares(scores, edges).astype(np.float32),
            name=name,
            mode="lines",
            fill="tozeroy" if name == "selected" else None,
            line=_outline(colour, dash),
            customdata=((edges[1:] + edges[:-1]) / 2).astype(np.float32),
            hovertemplate=f"{name}: %{{y:.1%}} at %{{customdata:.3g}}<extra></extra>",
        )
    _lay_out_histogram(figure, edges, threshold, "score")
    figure.update_yaxes(tickformat=".0%", title_text="share", rangemode="tozero", fixedrange=True)
    return figure


def _middles(edges: Array) -> NDArray[np.float32]:
    """Returns the middle of each bar on the drawn axis, (bars,): in shares of an uneven one."""
    if not is_even(edges):
        edges = places(edges, edges)
    return ((edges[1:] + edges[:-1]) / 2).astype(np.float32)


def _outline(colour: str, dash: str) -> dict:
    return dict(color=colour, dash=dash, width=2, shape="hvh")


def _lay_out_histogram(figure: go.Figure, edges: Array, threshold: float, unit: str) -> None:
    title = f"{unit} (larger is more OOD)"
    if not is_even(edges):
        threshold = float(places(np.array([threshold]), edges)[0])
        shares, texts = zip(*ticks_at(edges, 6), strict=True)
        figure.update_xaxes(tickvals=shares, ticktext=texts)
        title = f"{unit} on a symlog axis (larger is more OOD)"
    figure.add_vline(threshold, line=dict(color=GREY, width=2))
    figure.update_layout(height=CHART_HEIGHT, margin=MARGIN, legend=LEGEND, dragmode=False)
    figure.update_xaxes(title_text=title, fixedrange=True)


# -- other charts ----------------------------------------------------------------------------------


def percentile_bars(names: Sequence[str], percentiles: Array, share_kept: float) -> go.Figure:
    """Returns a bar per term: the share of ID that has at most as much of it.

    Args:
        names: of the terms and the total, which comes last and is drawn stronger.
        percentiles: (n,) fractions of ID.
        share_kept: the share of ID at or below the threshold of the total.
    """
    colours = [COLOURS["near"] if share > share_kept else COLOURS["ID"] for share in percentiles]
    opacities = [0.55] * (len(names) - 1) + [1.0]
    bars = go.Bar(
        y=list(names),
        x=(100 * np.asarray(percentiles)).astype(np.float32),
        orientation="h",
        width=0.55,
        marker=dict(color=colours, opacity=opacities),
        text=[f"{100 * share:.1f} %" for share in percentiles],
        textposition="auto",
        insidetextanchor="start",
        textfont=dict(size=13),
        hovertemplate="%{y}: %{text} of ID have at most as much<extra></extra>",
    )
    figure = go.Figure(bars)
    figure.add_vline(100 * share_kept, line=dict(color=GREY, width=2, dash="dash"))
    figure.update_layout(height=70 + 34 * len(names), margin=MARGIN, showlegend=False)
    figure.update_xaxes(title_text="ID test images that have at most as much (%)", range=[0, 101])
    figure.update_yaxes(autorange="reversed")
    return figure


def roc(
    curves: Mapping[str, tuple[Array, Array]], points: Mapping[str, tuple[float, float]]
) -> go.Figure:
    """Returns what share of OOD is caught for what share of ID is flagged.

    Args:
        curves: {name: (false alarms, caught)} fractions, (n,) each, the first falling; a group, or
            `selected`, takes its own colour.
        points: {name: (false alarms, caught)} at the thresholds.
    """
    figure = go.Figure()
    for i, (name, (false_alarms, caught)) in enumerate(curves.items()):
        colour, dash = STYLES[name] if name in STYLES else nth_style(i)
        rows = _thinned(false_alarms)
        figure.add_scatter(
            x=(100 * np.asarray(false_alarms)[rows]).astype(np.float32),
            y=(100 * np.asarray(caught)[rows]).astype(np.float32),
            name=name,
            mode="lines",
            legendgroup=name,
            line=dict(color=colour, dash=dash, width=2),
            hovertemplate=f"{name}: %{{y:.1f}} % caught, %{{x:.1f}} % of ID flagged<extra></extra>",
        )
        x, y = points[name]
        figure.add_scatter(
            x=[100 * x],
            y=[100 * y],
            mode="markers",
            showlegend=False,
            legendgroup=name,
            hoverinfo="skip",
            marker=dict(color=colour, size=11, line=dict(color=WHITE, width=1.5)),
        )
    _lay_out_percent(figure, "ID flagged (%)", "OOD caught (%)")
    return figure


def cost(kept: Array, costs: Array, point: tuple[float, float]) -> go.Figure:
    """Returns the expected cost of 1000 inputs by the share of ID kept.

    Args:
        kept: (n,) fractions, rising.
        costs: (n,) at each.
        point: (kept, cost) at the threshold.
    """
    rows = _thinned(kept)
    least = int(np.argmin(costs))
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
        ("least", kept[least], costs[least], "diamond-open"),
        ("the line", *point, "circle"),
    ):
        marker = dict(color=COLOURS["near"], size=11, symbol=symbol, line=dict(width=2))
        figure.add_scatter(
            x=[100 * x], y=[y], mode="markers", name=name, marker=marker, hoverinfo="skip"
        )
    _lay_out_percent(figure, "ID kept (%)", "cost of 1000 inputs")
    return figure


def _lay_out_percent(figure: go.Figure, x: str, y: str) -> None:
    """Sets the axes of a chart whose x axis is in percent."""
    figure.update_layout(height=280, margin=MARGIN, legend=LEGEND)
    figure.update_xaxes(title_text=x, range=[-2, 102])
    figure.update_yaxes(title_text=y, rangemode="tozero")


def _thinned(values: Array, most: int = 200) -> NDArray[np.intp]:
    """Returns rows of sorted fractions, (n,), at most about `most`, so that a curve looks the
    same."""
    steps = np.round(np.asarray(values) * most)
    changes = steps[1:] != steps[:-1]
    is_first, is_last = np.append(True, changes), np.append(changes, True)
    return np.flatnonzero(is_first | is_last)
