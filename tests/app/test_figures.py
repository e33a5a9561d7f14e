"""Figures of any number of curves: each is drawn, and told apart from the others."""

from __future__ import annotations

import numpy as np
import pytest

from app import figures
from app.plane import figures as figures_of_plane

NAMES = [f"detector {i}" for i in range(2 * len(figures.STYLES))]


@pytest.mark.parametrize("count", [1, len(figures.STYLES), len(NAMES)])
def test_every_roc_curve_is_drawn_in_a_style_of_its_own(count):
    line = (np.linspace(1, 0, 5), np.linspace(1, 0, 5))
    names = NAMES[:count]
    figure = figures.roc(dict.fromkeys(names, line), dict.fromkeys(names, (0.05, 0.5)))
    curves = [trace for trace in figure.data if trace.mode == "lines"]
    assert [curve.name for curve in curves] == names
    assert len({(curve.line.color, curve.line.dash) for curve in curves}) == count
    points = [trace for trace in figure.data if trace.mode == "markers"]
    assert [point.marker.color for point in points] == [curve.line.color for curve in curves]


def test_a_roc_curve_of_a_group_has_the_colour_of_the_group():
    line = (np.linspace(1, 0, 5), np.linspace(1, 0, 5))
    names = ["far", "selected"]
    figure = figures.roc(dict.fromkeys(names, line), dict.fromkeys(names, (0.05, 0.5)))
    curves = [trace.line for trace in figure.data if trace.mode == "lines"]
    assert [curve.color for curve in curves] == [figures.COLOURS["far"], figures.SELECTED]
    assert [curve.dash for curve in curves] == [figures.DASHES["far"], "longdash"]


def test_every_line_by_training_step_is_drawn_in_a_style_of_its_own():
    figure = figures_of_plane.lines_by_step([0, 1], {name: [1.0, 0.5] for name in NAMES}, "nats")
    assert [line.name for line in figure.data] == NAMES
    assert len({(line.line.color, line.line.dash) for line in figure.data}) == len(NAMES)


def test_a_histogram_of_scores_far_apart_has_ticks_of_their_own_and_says_so():
    by_group = {"ID": np.linspace(0, 10, 100), "far": np.geomspace(1e6, 1e9, 100)}
    figure = figures.histogram(by_group, figures.bin_edges(by_group, 9.5), 9.5)
    assert "symlog" in figure.layout.xaxis.title.text
    assert 0.05 < figure.layout.shapes[0].x0 < 0.9
    assert figure.layout.xaxis.ticktext[-1] == "1e+09"
    assert max(figure.data[0].y) < 0.5
