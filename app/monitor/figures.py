"""Pure: a stream's tests over time, and its p-values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from app.figures import CHART_HEIGHT, COLOURS, GREY, LEGEND, MARGIN, WHITE

if TYPE_CHECKING:
    from heat_core.monitoring import Watch

Array = NDArray[np.floating]

HEIGHT = 620  # of the three charts together, in pixels
LEFT = 56  # of the charts, as the style sheet of `moment_line` has it, in pixels
MOST_POINTS = 2000  # of a line
MOST_WEALTH = 1e6  # that is drawn
P_BINS = 20
ALARM = dict(color=COLOURS["near"], size=11, symbol="diamond", line=dict(color=WHITE, width=1.5))
LIMIT = dict(color=COLOURS["near"], dash="dash", width=1.5)


def stream_figure(
    found: Watch, moment: int, first_row: int, limits: tuple[float, float], has_change: bool
) -> go.Figure:
    """Returns the flag rate, the martingale and the CUSUM over the rows of a stream.

    Args:
        found: what became of the stream.
        moment: the row, from 0, at which the change begins, or that somebody looks at.
        first_row: the number that the first row of the stream is shown with.
        limits: the wealth at which the martingale and the CUSUM alarm.
        has_change: whether something changes at the moment.
    """
    rates = found.rates
    titles = (
        f"Flagged of each {int(rates.rows[0]):,} rows, and where that is expected",
        f"Wealth of the martingale, which alarms at {limits[0]:,.0f}",
        f"Wealth of the CUSUM, which alarms at {limits[1]:,.0f}",
    )
    figure = make_subplots(
        3, 1, shared_xaxes=True, vertical_spacing=0.09, subplot_titles=titles, row_heights=[4, 4, 3]
    )
    _add_rates(figure, found, first_row)
    tests = (found.martingale, found.cusum)
    for row, (test, limit) in enumerate(zip(tests, limits, strict=True), 2):
        _add_wealth(figure, row, test.log_wealth, test.alarm_at, limit, first_row)
    last = first_row + int(rates.rows.sum())
    figure.add_vline(
        first_row + moment,
        line=dict(color=GREY, width=2, dash="solid" if has_change else "dot"),
    )
    margin = dict(l=LEFT, r=8, t=28, b=8)
    figure.update_layout(height=HEIGHT, margin=margin, showlegend=False)
    figure.update_layout(dragmode=False, hovermode="x")
    figure.update_annotations(x=0, xanchor="left", font=dict(size=14))
    figure.update_xaxes(range=[first_row, last], fixedrange=True)
    figure.update_yaxes(fixedrange=True, automargin=False)
    figure.update_xaxes(title_text="row of the stream", row=3, col=1)
    return figure


def _add_rates(figure: go.Figure, found: Watch, first_row: int) -> None:
    """Adds the flag rate of each window, its band, and the rates that are alarms."""
    rates = found.rates
    edges = first_row + np.append(rates.starts, rates.starts[-1] + rates.rows[-1])
    at = np.repeat(edges, 2)[1:-1].astype(np.float32)  # both ends of every window

    def steps(values: Array) -> NDArray[np.float32]:
        return np.repeat(100 * values, 2).astype(np.float32)

    quiet = dict(mode="lines", hoverinfo="skip")
    hidden = dict(width=0)
    figure.add_scatter(x=at, y=steps(rates.low), line=hidden, **quiet, row=1, col=1)
    figure.add_scatter(
        x=at,
        y=steps(rates.high),
        line=hidden,
        fill="tonexty",
        fillcolor="rgba(138, 150, 163, 0.28)",
        **quiet,
        row=1,
        col=1,
    )
    figure.add_scatter(x=at, y=steps(rates.alarm_high), line=LIMIT, **quiet, row=1, col=1)
    if rates.alarm_low.any():
        figure.add_scatter(x=at, y=steps(rates.alarm_low), line=LIMIT, **quiet, row=1, col=1)
    figure.add_scatter(
        x=at,
        y=steps(rates.rates),
        mode="lines",
        line=dict(color=COLOURS["ID"], width=2),
        hovertemplate="%{y:.1f} % flagged<extra></extra>",
        row=1,
        col=1,
    )
    alarms = np.flatnonzero(rates.is_alarm)
    figure.add_scatter(
        x=((edges[:-1] + edges[1:]) / 2)[alarms].astype(np.float32),
        y=(100 * rates.rates[alarms]).astype(np.float32),
        mode="markers",
        marker=ALARM,
        hoverinfo="skip",
        row=1,
        col=1,
    )
    figure.update_yaxes(rangemode="tozero", ticksuffix=" %", row=1, col=1)


def _add_wealth(
    figure: go.Figure, row: int, log_wealth: Array, alarm_at: int | None, limit: float, first: int
) -> None:
    """Adds the wealth of a test, (N,) as logarithms, its limit, and where it reached it."""
    shown = thinned(log_wealth, alarm_at)
    wealth = np.exp(np.clip(log_wealth[shown], -50, 50))
    figure.add_scatter(
        x=(first + 1 + shown).astype(np.float32),
        y=wealth.astype(np.float32),
        mode="lines",
        line=dict(color=COLOURS["ID"], width=2),
        hovertemplate="wealth %{y:.3g}<extra></extra>",
        row=row,
        col=1,
    )
    figure.add_hline(limit, line=LIMIT, row=row, col=1)  # pyright: ignore[reportArgumentType]
    if alarm_at is not None:
        figure.add_scatter(
            x=[first + 1 + alarm_at],
            y=[float(np.exp(min(log_wealth[alarm_at], 50)))],
            mode="markers",
            marker=ALARM,
            hoverinfo="skip",
            row=row,
            col=1,
        )
    lowest = np.log10(max(float(wealth.min()), 1e-3))
    highest = np.log10(min(max(float(wealth.max()), 2 * limit), max(MOST_WEALTH, 10 * limit)))
    margin = 0.06 * (highest - lowest)
    figure.update_yaxes(
        type="log",
        range=[lowest - margin, highest + margin],
        dtick=1 if highest - lowest < 5 else 2,
        exponentformat="power",
        row=row,
        col=1,
    )


def thinned(values: Array, alarm_at: int | None) -> NDArray[np.intp]:
    """Returns rows of a line, (n,), about `MOST_POINTS` at most, the last and the alarm among them.

    >>> thinned(np.zeros(5), 2).tolist(), len(thinned(np.zeros(9001), 7))
    ([0, 1, 2, 3, 4], 1802)
    """
    rows = np.arange(0, len(values), -(-len(values) // MOST_POINTS))
    return np.union1d(rows, [len(values) - 1] + ([] if alarm_at is None else [alarm_at]))


def p_value_figure(p_values: Array, moment: int) -> go.Figure:
    """Returns how p-values are spread before a moment and from it on, as shares of bins.

    Args:
        p_values: (N,) of a stream.
        moment: the first row of the second part.
    """
    edges = np.linspace(0, 1, P_BINS + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).astype(np.float32)
    figure = go.Figure()
    for name, part, colour, dash in (
        ("before", p_values[:moment], COLOURS["ID"], "solid"),
        ("from the moment on", p_values[moment:], COLOURS["near"], "dash"),
    ):
        if not len(part):
            continue
        counts, _ = np.histogram(part, edges)
        figure.add_scatter(
            x=middles,
            y=(100 * counts / len(part)).astype(np.float32),
            name=name,
            mode="lines",
            line=dict(color=colour, dash=dash, width=2, shape="hvh"),
            hovertemplate=f"{name}: %{{y:.1f}} % near %{{x:.3f}}<extra></extra>",
        )
    figure.add_hline(100 / P_BINS, line=dict(color=GREY, width=2, dash="dot"))
    figure.update_layout(height=CHART_HEIGHT, margin=MARGIN, legend=LEGEND, dragmode=False)
    figure.update_xaxes(title_text="p-value of a row", range=[0, 1], fixedrange=True)
    figure.update_yaxes(
        title_text="share of the rows", ticksuffix=" %", rangemode="tozero", fixedrange=True
    )
    return figure
