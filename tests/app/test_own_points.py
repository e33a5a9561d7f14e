"""Points of one's own in the Toy lab: what is taken, what is refused, and what is missing then."""

from __future__ import annotations

import pytest
import torch

from app.job import Job
from app.plane.own_points import OwnSource
from app.plane.training import ToyChoice, kl_alarm, result_sentence, train_toy
from heat_core.plane.grid import Grid
from heat_core.plane.own_points import OwnPoints, parse_points, points_in_regions
from tests.app.pages import app, link, offered, opened, press, text, wait

LINES = [f"{i % 7}, {i % 5}, {'east' if i % 2 else 'west'}" for i in range(40)]


def test_a_text_becomes_points_with_a_class_for_every_label():
    points = parse_points("\n".join(["", *LINES, "  "]))
    assert (points.size, points.modes, points.was_scaled) == (40, 2, True)
    torch.testing.assert_close(
        points.z[8] * points.unit + torch.tensor(points.centre), torch.tensor([1.0, 3.0])
    )
    as_given = parse_points("\n".join(f"{i / 5},\t{-i / 5}" for i in range(12)))
    assert (as_given.modes, as_given.was_scaled) == (1, False)
    assert as_given.mode_of(torch.tensor([[9.0, 9.0]])).tolist() == [0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([*LINES[:6], "3, north"], "line 7: wanted two numbers, got '3, north'."),
        ([*LINES[:6], "3"], "line 7: wanted two numbers, got '3'."),
        ([*LINES[:6], "nan 1"], "line 7: wanted numbers from -1,000,000 to 1,000,000"),
        (LINES[:9], "wanted at least 10 points, got 9."),
        (["1 2"] * 12, "the points all lie at one place"),
        ([f"{i} 0" for i in range(4001)], "line 4001: wanted at most 4,000 points"),
        ([f"{i} 0 {i}" for i in range(30)], "wanted at most 20 labels, got 30."),
    ],
)
def test_a_bad_text_is_refused_in_one_line(lines, message):
    with pytest.raises(ValueError) as refusal:
        parse_points("\n".join(lines))
    assert str(refusal.value).startswith(message)
    assert "\n" not in str(refusal.value)


def test_regions_become_classes_and_their_name_says_which():
    square = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5))
    source = OwnSource(regions=(square, tuple((-x, y) for x, y in square)))
    points = source.points()
    assert (points.modes, points.size) == (2, 3000)
    assert bool((points.z[points.y == 1][:, 0] <= 0).all())
    assert source.toy_name != OwnSource(regions=(square,)).toy_name
    with pytest.raises(ValueError, match="draw a region"):
        points_in_regions([])


def test_a_density_that_nobody_knows_has_no_distance():
    generator = torch.Generator().manual_seed(0)
    points = OwnPoints.of(torch.randn(60, 2, generator=generator), torch.arange(60) % 2)
    with pytest.raises(ValueError, match="no exact density"):
        points.log_prob(torch.zeros(1, 2))
    choice = ToyChoice("own-1", "EBM", "quick", 0)
    job = Job("any", train_toy(choice, Grid(points, 40), Grid(points, 40)))
    job.run()
    assert job.state == "done", job.error
    assert job.result.distance is job.frames[0].distance is None
    assert job.frames[-1].negatives.shape == (200, 2)
    assert kl_alarm(job.frames) == ""
    assert "KL" not in result_sentence(job.frames, job.result.snapshot)


@pytest.mark.usefixtures("fresh_server")
def test_pasted_points_are_trained_on_and_the_page_says_what_is_missing():
    at = app(toy="own", detector="MoG", mine="typed")
    assert "paste them again" in at.warning[0].value
    assert "Train MoG" not in offered(at)
    at.text_area(key="own-text").set_value("1, 2\nhere")
    press(at, "Use these points")
    assert at.error[0].value.startswith(r"line 2\: wanted two numbers, got")
    at.text_area(key="own-text").set_value("\n".join(LINES))
    press(at, "Use these points")
    assert not at.error
    assert "40 training points, 2 modes" in text(at)
    press(at, "Train MoG")
    wait(at, lambda page: page.metric)
    assert [metric.label for metric in at.metric] == ["Training time"]
    assert at.subheader[0].value == "MoG is fitted to 40 points of your own."
    assert "there is no truth, and no KL to it" in text(at)
    assert link(at)["mine"] == "typed"
    assert app(toy="own", mine="0_0_500_0_500_500").info[0].value.startswith("Nothing is trained")
    opened(at.switch_page("landscape/page.py"))
