"""The Landscape in every state, and what it says of an energy against what is known exactly."""

from __future__ import annotations

import base64
import dataclasses
import math

import numpy as np
import pytest
import torch

from app.colour_scale import ColourScale
from app.components import surfaces
from app.components.surfaces import HEIGHT_STEPS, Block, Surface
from app.job import Job
from app.landscape import controls, panels
from app.plane import figures, reading
from app.plane.colours import energy_scale, signed_scale
from app.plane.reading import EnergyReading, PlaneWindow, PointTerms
from app.plane.training import ToyChoice, names_of_terms
from heat_core.detectors import presets
from heat_core.detectors.heat import HEAT
from heat_core.detectors.presets import preset_detector
from heat_core.energies import GaussianMixture, Network
from heat_core.metrics import threshold_keeping
from heat_core.plane.grid import Grid
from heat_core.plane.toys import toy
from heat_core.run import fit
from heat_core.training.objectives import LeastSquares
from heat_core.training.trainer import TrainConfig
from tests.app.pages import app, endless, offered, opened, press, text, wait
from tests.app.plane import GRIDS, QUICK

pytestmark = pytest.mark.usefixtures("fresh_server")

SCALE = ColourScale(("#0072B2", "#f7f7f7", "#D55E00"), -8.0, 8.0)
SQUARE = Block((-4.0, 4.0), (-4.0, 4.0), SCALE)


@pytest.fixture(scope="module")
def blobs_reading(trained) -> EnergyReading:
    return reading.read(trained.result.terms, QUICK, GRIDS[1])


def _landscape(**link: str):
    return _moved(app(toy="blobs", preset="quick", **link))


def _moved(at):
    """Goes to the page.

    AppTest drops the link at a page switch and brings it back a run later; a browser does not.
    """
    return opened(opened(at.switch_page("landscape/page.py")))


def _with(job: Job, monkeypatch, **link: str):
    """Opens the page with a training that is done."""
    monkeypatch.setattr("app.plane.state.train_toy", lambda *settings: lambda own_job: job.result)
    at = press(_landscape(**link), "Train HEAT")
    return wait(at, lambda page: page.metric)


# -- the page


def test_it_starts_empty_and_says_what_to_do():
    at = _landscape()
    assert "There is no landscape yet" in at.info[0].value
    assert "Train HEAT" in offered(at)


def test_it_shows_how_far_a_training_is_and_lets_one_cancel_it(monkeypatch):
    monkeypatch.setattr("app.plane.state.train_toy", lambda *settings: endless)
    at = press(_landscape(), "Train HEAT")
    assert "Training HEAT" in text(at)
    press(at, "Cancel")
    assert "There is no landscape yet" in at.info[0].value


def test_it_says_why_a_training_failed(monkeypatch):
    def broken(job: Job) -> None:
        raise ValueError("no *grid*")

    monkeypatch.setattr("app.plane.state.train_toy", lambda *settings: broken)
    at = press(_landscape(), "Train HEAT")
    wait(at, lambda page: page.error)
    assert at.error[0].value == r"no \*grid\*"


def test_it_spells_the_sum_out_at_the_point_of_the_link(monkeypatch, trained, blobs_reading):
    at = _with(trained, monkeypatch, x="-2.0", y="-1.5")
    terms = reading.point_terms(trained.result.terms, blobs_reading, "blobs", -2.0, -1.5)
    assert at.subheader[0].value == f"At (-2.00, -1.50): {terms.sentence}"
    assert "verdict in: 95 % of ID lie at or below" in at.subheader[0].value
    assert {metric.label for metric in at.metric} == set(panels.FACTS)
    at.number_input(key="x").set_value(15.0)
    opened(at)
    assert "verdict out" in at.subheader[0].value


@pytest.mark.parametrize("draw", ["contour", "surface"])
def test_it_shows_the_layers_the_truth_and_the_error_and_takes_clicks(
    monkeypatch, trained, blobs_reading, draw
):
    calls = {}
    monkeypatch.setattr(
        panels,
        "surfaces",
        lambda shown, block, key, on_pick: calls.update({key: (shown, block, on_pick)}),
    )
    at = _with(trained, monkeypatch, draw=draw, reach="3", x="1.5")
    assert len(at.get("plotly_chart")) == 3  # masses, two rays
    shown, block, _ = calls["layers"]
    assert [surface.title for surface in shown] == [
        panels.TITLES[name].title for name in ("prior", "correction", "total")
    ]
    threshold = blobs_reading.threshold - blobs_reading.lowest
    assert [surface.level for surface in shown] == [None, None, pytest.approx(threshold)]
    assert [surface.scale for surface in shown] == [
        energy_scale(3.0),
        signed_scale(3.0),
        energy_scale(3.0),
    ]
    assert block.flat == (draw == "contour")
    np.testing.assert_allclose(shown[0].values + shown[1].values, shown[2].values, atol=1e-4)
    for key, limit in (("layers", 3.0), ("exact", 3.0), ("error", None)):
        _, block, picked = calls[key]
        assert block.scale.low == -block.scale.high  # colours are centred on zero
        assert block.scale.high == limit or limit is None
        edge = toy("blobs").extent
        if key == "error":  # its values are of the centres of blocks
            edge *= 1 - 1 / reading.ERROR_SIDE
        assert block.x == block.y == pytest.approx((-edge, edge))
        assert block.marks == {"": (1.5, 0.0)}
        assert picked is controls.select_point


def test_a_zoomed_window_lies_around_the_point(monkeypatch, trained):
    calls = {}
    monkeypatch.setattr(
        panels, "surfaces", lambda shown, block, key, on_pick: calls.update({key: block})
    )
    _with(trained, monkeypatch, zoom="4 ×", x="1.5")
    assert calls["layers"].x == pytest.approx(
        (1.5 - toy("blobs").extent / 4, 1.5 + toy("blobs").extent / 4)
    )
    edge = toy("blobs").extent * (1 - 1 / reading.ERROR_SIDE)
    assert calls["error"].x == pytest.approx((-edge, edge))


def test_a_closed_form_has_one_layer_and_the_truth_beside_it():
    at = _moved(app(toy="blobs", detector="SSD"))
    press(at, "Train SSD")
    wait(at, lambda page: page.metric)
    assert "**Correction, E_θ**" not in text(at)
    assert {metric.label: metric.value for metric in at.metric}["Largest |E_θ|"] == "none"


def test_a_click_becomes_the_point(monkeypatch):
    state: dict = {}
    monkeypatch.setattr(controls.st, "session_state", state)
    controls.select_point(1.23456, -2.0)
    assert state == {"x": 1.235, "y": -2.0}


# -- what it says


def test_the_parts_add_up_to_the_energy_itself(trained, blobs_reading):
    energy, window = trained.result.energy, PlaneWindow(0.5, -1.0, 2.0)
    layers = reading.layers(trained.result.terms, window)
    np.testing.assert_allclose(layers["prior"] + layers["correction"], layers["total"], atol=1e-4)
    x, y = window.axes
    assert (x[0], x[-1], y[0], y[-1]) == pytest.approx((-1.5, 2.5, -3.0, 1.0))
    points = torch.tensor([[x[7], y[60]], [x[80], y[3]]])
    with torch.no_grad():
        exact = energy(points).numpy()
    np.testing.assert_allclose([layers["total"][60, 7], layers["total"][3, 80]], exact, atol=1e-4)
    terms = reading.point_terms(
        trained.result.terms, blobs_reading, "blobs", float(x[7]), float(y[60])
    )
    assert terms.total == pytest.approx(float(exact[0]), abs=1e-4)
    assert terms.true_energy == pytest.approx(
        -float(toy("blobs").log_prob(points[:1].double())), abs=1e-9
    )
    assert terms.out == (terms.total > blobs_reading.threshold)


@pytest.mark.parametrize(
    ("prior", "correction", "equation"),
    [
        (1.314, -0.044, "prior 1.31 + correction -0.04 = 1.27"),
        (1.314, 0.013, "prior 1.31 + correction 0.01 ≈ 1.33"),
        (0.002, -0.003, "prior 0.00 + correction -0.00 = -0.00"),
    ],
)
def test_the_sentence_and_the_table_round_the_same_total(prior, correction, equation):
    total = prior + correction
    percentiles = {"prior": 0.1, "correction": 0.2, "total": 0.3}
    terms = PointTerms({"prior": prior, "correction": correction}, total, percentiles, 1.0, 0, 3.2)
    assert terms.sentence == f"{equation}, verdict in: 95 % of ID lie at or below 3.20"
    assert panels._term_table(terms)["Nats"].tolist() == [
        f"{prior:.2f}",
        f"{correction:.2f}",
        equation.split()[-1],
    ]


def test_equal_energies_of_id_count_into_the_percentile_of_a_point(trained, blobs_reading):
    """As on the pages of a pack: at or below, not below alone."""
    terms = trained.result.terms
    energies = reading.point_terms(terms, blobs_reading, "blobs", 0.5, -0.5)
    values = {**energies.terms, "total": energies.total}
    tied = {name: np.array([value - 1, value, value, value + 1]) for name, value in values.items()}
    counted = reading.point_terms(
        terms, dataclasses.replace(blobs_reading, id_energies=tied), "blobs", 0.5, -0.5
    )
    assert counted.percentiles == dict.fromkeys(values, 0.75)


def test_the_threshold_keeps_95_percent_of_points_that_nothing_was_fitted_to(
    trained, blobs_reading
):
    inside = blobs_reading.id_energies["total"]
    assert blobs_reading.threshold == threshold_keeping(inside, 0.95)
    fresh, _ = toy("blobs").sample(
        reading.FRESH_POINTS, torch.Generator().manual_seed(reading.FRESH_SEED)
    )
    with torch.no_grad():
        np.testing.assert_allclose(np.sort(trained.result.energy(fresh).numpy()), inside, atol=1e-4)
    train = toy("blobs").features(seed=0).z
    assert not (fresh[:, None] == train[None, :200]).all(-1).any()


def test_masses_and_error_agree_with_quadrature(trained, blobs_reading):
    d = trained.result.distance
    assert int((blobs_reading.model_mass >= 0.5 * blobs_reading.true_mass).sum()) == d.modes_kept
    assert blobs_reading.true_mass.sum() == pytest.approx(1)
    assert blobs_reading.model_mass.sum() == pytest.approx(1)
    assert blobs_reading.log_z == pytest.approx(
        0, abs=0.1
    )  # E_theta learned against q: -log p, normalised
    assert blobs_reading.density_error.shape == (reading.ERROR_SIDE, reading.ERROR_SIDE)
    assert abs(blobs_reading.density_error.mean()) < 1e-6
    assert blobs_reading.far_out == 1.0  # the prior grows without bound


def test_the_error_is_the_truth_less_the_model_in_numbers_and_on_the_panel(monkeypatch):
    """A model that is far too broad has too little at the modes, too much where no data is."""
    broad = fit(preset_detector("MoG", domain="plane"), toy("blobs").features()).energy / 9.0
    choice = ToyChoice("blobs", "MoG", "quick", 0)
    too_broad = reading.read({"total": broad}, choice, GRIDS[1])
    error = too_broad.density_error
    truth = GRIDS[1].true_mass.reshape(reading.ERROR_SIDE, 4, reading.ERROR_SIDE, 4).mean((1, 3))
    peak = np.unravel_index(truth.argmax(), truth.shape)
    assert error[peak] > 0.5
    assert (error[truth < 1e-12] < 0).all()

    panel = {}
    monkeypatch.setattr(
        panels,
        "surfaces",
        lambda shown, block, key, on_pick: panel.update(
            surface=shown[0], colours=block.scale.colours
        ),
    )
    window = PlaneWindow(0.0, 0.0, too_broad.extent)
    panels._error_panel(too_broad, controls.LandscapeChoice("contour", 8.0, window, (0.0, 0.0)))
    np.testing.assert_array_equal(panel["surface"].values, 100 * error)
    assert panel["surface"].meaning == "truth less model, % of the peak; blue: too much"
    assert panel["colours"][0] == "#005a9e"  # the lowest: blue


def test_the_error_is_drawn_where_its_blocks_are(blobs_reading):
    x_axis, y_axis = blobs_reading.error_window.axes
    centres = GRIDS[1].axis.reshape(reading.ERROR_SIDE, -1).mean(1)
    np.testing.assert_allclose(x_axis, centres, rtol=1e-5)
    np.testing.assert_allclose(y_axis, centres, rtol=1e-5)


def test_what_is_said_of_the_rays_and_the_bound_is_so(monkeypatch, trained):
    at = _with(trained, monkeypatch)
    titles = [entry.value for entry in at.markdown if entry.value.startswith("**The same")]
    assert titles == ["**The same, 10 times as far out as the picture reaches**"]
    bound = next(metric for metric in at.metric if metric.label.startswith("Bound"))
    assert "does not pass this bound there" in bound.help
    assert "the error has its own" in at.number_input(key="reach").help


def test_temperature_and_bound_are_those_of_the_recipe(monkeypatch, blobs_reading):
    assert (blobs_reading.temperature, blobs_reading.alpha, blobs_reading.bound) == (
        1.0,
        None,
        None,
    )
    assert blobs_reading.largest_e_theta is not None
    alpha = 0.5
    quick = preset_detector("HEAT", "quick", "plane")
    assert isinstance(quick, HEAT)
    correction = dataclasses.replace(
        quick.correction,
        objective=LeastSquares(alpha=alpha),
        training=TrainConfig(steps=120, batch=512, lr=1e-2),
    )
    bounded = dataclasses.replace(quick, temperature=4.0, correction=correction)
    only = {"plane": {"quick": {**presets.PRESETS["plane"]["quick"], "HEAT": bounded}}}
    monkeypatch.setattr(presets, "PRESETS", only)
    prior, correction = fit(bounded, toy("blobs").features()).energy.addends()
    own = reading.read({"prior": prior, "correction": correction}, QUICK, GRIDS[1])
    assert (own.temperature, own.alpha, own.bound) == (4.0, alpha, 1 / (2 * alpha))
    assert own.largest_e_theta is not None
    assert 0.5 * own.bound < own.largest_e_theta < 1.5 * own.bound


def test_a_detector_without_prior_or_network_says_none():
    choice = ToyChoice("blobs", "MoG", "quick", 0)
    energy = fit(preset_detector("MoG", domain="plane"), toy("blobs").features()).energy
    own = reading.read({"total": energy}, choice, Grid(toy(choice.toy)))
    assert isinstance(energy, GaussianMixture)
    assert (own.temperature, own.alpha, own.largest_e_theta) == (None, None, None)


def test_the_only_term_of_an_energy_is_its_total():
    choice, train = ToyChoice("blobs", "MoG", "quick", 0), toy("blobs").features()
    detector = preset_detector("MoG", domain="plane")
    assert names_of_terms(detector, train) == ("total",)
    terms = {"total": fit(detector, train).energy}
    own = reading.read(terms, choice, GRIDS[1])
    point = reading.point_terms(terms, own, "blobs", 0.0, 0.0)
    assert list(own.id_energies) == list(reading.layers(terms, PlaneWindow(0, 0, 5))) == ["total"]
    assert point.sentence.startswith(f"total {point.total:.2f}, verdict")
    assert panels._term_table(point)["Term"].tolist() == ["Total"]


def test_the_ray_passes_the_point_and_the_truth_lies_on_an_exact_model(trained, blobs_reading):
    terms = trained.result.terms
    ray = reading.ray(terms, blobs_reading, "blobs", -2.0, -1.5, 1.5)
    distance, lines = ray.distances, ray.energies
    x, y = blobs_reading.centre
    point_distance = math.hypot(-2.0 - x, -1.5 - y)
    assert ray.point_distance == point_distance
    point = reading.point_terms(terms, blobs_reading, "blobs", -2.0, -1.5)
    assert np.interp(point_distance, distance, lines["total"]) == pytest.approx(
        point.total, abs=0.1
    )
    near = distance < point_distance
    assert np.abs(lines["total"] - lines["truth"])[near].mean() < 0.6
    assert set(lines) == {"prior", "correction", "total", "truth"}
    assert set(lines) <= set(figures.LINES)
    at_centre = reading.direction(blobs_reading.centre, *blobs_reading.centre)
    assert tuple(at_centre) == (1.0, 0.0)


def test_where_the_density_is_zero_the_truth_is_no_line():
    choice = ToyChoice("checkerboard", "MoG", "quick", 0)
    energy = fit(preset_detector("MoG", domain="plane"), toy("checkerboard").features()).energy
    terms = {"total": energy}
    own = reading.read(terms, choice, Grid(toy(choice.toy)))
    ray = reading.ray(terms, own, "checkerboard", 1.0, 0.2, 10)
    assert np.isnan(ray.energies["truth"]).any()
    point = reading.point_terms(terms, own, "checkerboard", 4.4, 4.4)
    assert math.isinf(point.true_energy)
    assert np.isfinite(reading.true_energy("checkerboard", PlaneWindow(0, 0, 4.5))).all()


def test_an_untrained_correction_changes_nothing():
    """With E_theta = 0 the sum is the prior, whatever the window."""
    prior = fit(preset_detector("MoG", domain="plane"), toy("blobs").features()).energy / 1.0
    correction = Network(2, 8, 1).randomise(torch.Generator().manual_seed(0))
    layers = reading.layers({"prior": prior, "correction": correction}, PlaneWindow(0, 0, 5))
    assert not layers["correction"].any()
    np.testing.assert_array_equal(layers["prior"], layers["total"])


# -- surfaces: what is sent, and what comes back


def test_heights_are_sent_as_shares_of_the_range():
    values = np.array([[-20.0, -8.0, -np.inf], [0.0, 8.1, np.nan], [np.inf, 4.0, 1e300]])
    sent = surfaces.panel_data(Surface(values, "", "", "", level=2.0), SCALE)
    whole = np.frombuffer(base64.b64decode(sent["values"]), "<i2")
    assert whole.tolist() == [
        0,
        0,
        0,
        HEIGHT_STEPS / 2,
        HEIGHT_STEPS,
        HEIGHT_STEPS,
        HEIGHT_STEPS,
        HEIGHT_STEPS * 3 / 4,
        HEIGHT_STEPS,
    ]
    assert (sent["side"], sent["full"], sent["level"]) == (3, HEIGHT_STEPS, 0.625)


@pytest.mark.parametrize(
    "message",
    [None, "1,2", [1], [1, 2, 3], [1, "2"], [math.nan, 0], [math.inf, 0], [4.1, 0], [0, -4.1]],
)
def test_what_is_no_spot_of_the_square_is_passed_over(message):
    assert surfaces.picked_spot(message, SQUARE) is None


def test_a_spot_is_taken():
    assert surfaces.picked_spot([1, -4.0], SQUARE) == (1.0, -4.0)


# -- the figures


def test_a_ray_shows_the_threshold_however_high_the_parabola_ends():
    distance = np.linspace(0, 50, 100)
    figure = figures.ray_figure(
        distance,
        {"total": distance**2, "truth": distance**3},
        threshold=5.0,
        point_distance=1.0,
        extent=5.0,
    )
    low, high = figure.layout.yaxis.range
    assert low < 0 < 5 < high < 100


@pytest.mark.parametrize("draw", ["contour", "surface"])
def test_a_click_sends_less_than_300_kilobytes(monkeypatch, trained, draw):
    """Everything that the page draws, as when the point, the window or the style changes."""
    at = _with(trained, monkeypatch, draw=draw)
    at.number_input(key="x").set_value(1.0)
    opened(at)
    drawn = [*at.get("plotly_chart"), *at.get("bidi_component")]
    sent = [len(chart.proto.SerializeToString()) for chart in drawn]
    assert len(sent) >= 6  # the charts, and what belongs to the head of a page
    assert sum(sent) < 300_000
