"""Figures of any number of curves: each is drawn, and told apart from the others."""

from __future__ import annotations

import numpy as np
import pytest

from app import figures
from app.plane import figures as figures_of_plane
from app.plane.colours import energy_scale, signed_scale

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


@pytest.mark.parametrize(
    ("kl", "mog", "axis"),
    [([0.7, 0.04], 0.75, "log"), ([0.7, 0.3], 0.75, None), ([0.7, 0.3], 0.01, "log")],
)
def test_kl_is_on_a_log_axis_where_it_spans_more_than_a_decade(kl, mog, axis):
    curve = figures_of_plane.Curve([10, 20], kl)
    figure = figures_of_plane.kl_figure({"KL": curve}, {"MoG": mog})
    assert figure.layout.yaxis.type == axis
    assert [line.name for line in figure.data] == ["KL", "MoG"]
    assert tuple(figure.data[1].y) == (mog, mog)


def test_negatives_are_told_from_data_by_colour_and_by_direction():
    axis = np.linspace(-5, 5, 20)
    data, negatives = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [-1.0, 0.0]])
    figure = figures_of_plane.energy_heatmap(axis, np.zeros((20, 20)), data, negatives=negatives)
    level, upright = figure.layout.shapes
    assert (level.path.count("H"), level.path.count("V")) == (1, 0)
    assert (upright.path.count("H"), upright.path.count("V")) == (0, 2)
    assert level.line.color != upright.line.color


@pytest.mark.parametrize("scale", [energy_scale(), signed_scale(8.0), signed_scale(0.5)])
def test_a_height_has_the_same_colour_on_the_map_and_on_its_bar(scale):
    heights = np.linspace(scale.low, scale.high, 7)
    np.testing.assert_allclose(scale.heights(scale.shares(heights)), heights, atol=1e-9)
    places, colours = zip(*scale.stops(), strict=True)
    assert (colours[0], colours[-1]) == (scale.colours[0], scale.colours[-1])
    assert np.all(np.diff(places) > 0)
    middle = scale.heights(np.array([0.5]))[0]
    share = (middle - scale.low) / (scale.high - scale.low)
    assert colours[len(colours) // 2] == scale.colours[len(scale.colours) // 2]
    assert places[len(places) // 2] == pytest.approx(share)
    ticks = scale.ticks()
    assert ticks["0"] == pytest.approx(float(scale.shares(np.array(0.0))), abs=1e-3)
    assert list(ticks.values()) == sorted(ticks.values())
