"""The Energy page in every state, with trainings of a few steps."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.energy import training
from app.energy.panels import finding
from app.energy.training import AuxiliaryChoice, ClassifierChoice, TuningChoice
from app.plane.rendering import SIDE, energy_map_png
from app.session import job_queue
from heat_core.plane import classifier
from tests.app.pages import app, endless, link, offered, opened, press, text, wait

pytestmark = pytest.mark.usefixtures("fresh_server")


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings take 20 steps, and are read on fewer points."""
    few = replace(classifier.PRETRAINING, steps=20, batch=64, log_points=3)
    monkeypatch.setattr(training, "TEST_POINTS", 200)
    for name in ("train_classifier", "fine_tune"):
        function = getattr(classifier, name)

        def with_few_steps(*arguments, function=function, **settings):
            return function(*arguments, training=few, **settings)

        monkeypatch.setattr(classifier, name, with_few_steps)


def _energy(**words: str) -> AppTest:
    at = app()
    at.switch_page("energy/page.py")
    for word, value in {"toy": "blobs", **words}.items():
        at.query_params[word] = value
    return opened(opened(at))


def _trained(**words: str) -> AppTest:
    at = press(_energy(**words), "Train the classifier")
    return wait(at, lambda page: page.metric)


def test_it_starts_empty_and_a_toy_of_one_class_is_refused() -> None:
    at = _energy()
    assert "Nothing is trained yet" in at.info[0].value
    assert "4 classes" in text(at)
    at.selectbox(key="toy").set_value("cross")
    opened(at)
    assert at.error[0].value.startswith("Cross has 1 class, so there is nothing to classify")
    assert "Train the classifier" not in offered(at)


def test_a_training_can_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.energy.state.train_work", lambda *settings: endless)
    at = press(_energy(), "Train the classifier")
    assert {"Pause", "Step", "Reset", "Cancel"} <= offered(at)
    press(at, "Reset")
    assert "Nothing is trained yet" in at.info[0].value
    assert "job" not in link(at)


def test_it_trains_fine_tunes_and_a_link_brings_both_back(few_steps: None) -> None:
    at = _trained()
    assert at.subheader[0].value.startswith("Far away the softmax is still")
    assert link(at)["job"] == "classifier.blobs.relu.0"
    table = at.dataframe[0].value
    assert list(table["Score"]) == ["Energy", "Softmax"]
    at.number_input(key="T").set_value(10.0)
    opened(at)
    table = at.dataframe[0].value
    assert list(table["T"]) == ["10", "10", "1", "1"]

    press(at, "Fine-tune")
    wait(at, lambda page: any("beyond their margins" in head.value for head in page.subheader))
    compared = at.dataframe[-1].value
    assert list(compared.columns) == ["Figure", "Before", "After"]
    assert "Rank correlation of -E with log p" in set(compared["Figure"])
    slider = at.select_slider(key="tuning-step")
    assert slider.options[:-1] == ["step 7", "step 13", "step 20"]
    slider.set_value("step 7")
    opened(at)
    assert "The panels show the model at step 7: accuracy" in text(at)
    assert at.segmented_control(key="shown").options == ["trained", "fine-tuned"]

    again = app(**{word: value for word, value in link(at).items() if word != "tuning-step"})
    again.switch_page("energy/page.py")
    opened(opened(again))
    key = link(at)["tuned"]
    assert key.startswith("tuning.blobs.relu.0.around.")
    assert job_queue().get(key).state == "done"


def test_margins_and_drawings_that_cannot_be_are_refused(few_steps: None) -> None:
    at = _trained(margins="-5_3")
    assert [at.number_input(key=key).value for key in ("m_in", "m_out")] == [-5.0, 3.0]
    at.number_input(key="m_in").set_value(4.0)
    opened(at)
    assert at.error[0].value == "m_in must not lie above m_out, got 4 and 3."
    assert "Fine-tune" not in offered(at)
    at.number_input(key="m_in").set_value(-60.0)
    opened(at)
    assert "far below the mean ID energy" in at.warning[0].value
    assert "accuracy may fall" in at.warning[0].value
    press(at, "Pretrained means")
    assert not at.warning
    assert "margins" not in link(at)

    at.segmented_control(key="aux").set_value("drawn")
    opened(at)
    assert at.error[0].value.startswith("the drawing is empty")
    at.session_state["drawn"] = (((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),)
    opened(at)
    assert "auxiliary points lie where ID points do" in at.error[0].value
    at.session_state["drawn"] = (((0.8, 0.8), (0.95, 0.8), (0.95, 0.95)),)
    opened(at)
    assert not at.error
    assert link(at)["drawn"] == "800_800_950_800_950_950"
    assert "Fine-tune" in offered(at)


@pytest.mark.parametrize(
    ("far_energy", "words"),
    [
        (-57.4, "so the energy takes it for ID, more surely than ID itself."),
        (-12.9, "so the energy does not tell either."),
    ],
)
def test_an_energy_that_falls_far_away_is_the_wrong_way_round(far_energy: float, words: str):
    result: Any = SimpleNamespace(
        far_confidence=1.0,
        far_energy=far_energy,
        far_beyond_id=0.0,
        snapshot=SimpleNamespace(id_energy=np.array([-12.0, -14.0])),
    )
    assert finding(result).endswith(words)


def test_a_key_says_all_of_a_fine_tuning() -> None:
    start = ClassifierChoice("moons", "bump", 3)
    around = TuningChoice(start, AuxiliaryChoice("around"), -4.0, 2.5, 1.0)
    others = [
        replace(around, id_margin=-4.5),
        replace(around, weight=0.1),
        replace(around, auxiliary=AuxiliaryChoice("toy", "rings")),
        replace(around, auxiliary=AuxiliaryChoice("drawn", polygons=(((0, 0), (1, 0), (0, 1)),))),
        replace(around, auxiliary=AuxiliaryChoice("drawn", polygons=(((0, 0), (1, 0), (1, 1)),))),
    ]
    keys = {choice.key for choice in [around, *others]}
    assert around.key == "tuning.moons.bump.3.around.-4.00.2.50.1"
    assert len(keys) == 6


def test_the_map_shows_points_where_they_are() -> None:
    import io

    from PIL import Image

    energy = np.zeros((10, 10), np.float32)
    points = np.array([[0.5, 0.5]])
    png = energy_map_png(energy, (0.0, 1.0), np.zeros((0, 2)), points)
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    assert pixels.shape == (SIDE, SIDE, 3)
    is_dot = np.abs(pixels - (0xD5, 0x5E, 0x00)).sum(2) < 40
    rows, columns = np.nonzero(is_dot)
    assert rows.mean() == pytest.approx(SIDE / 4, abs=1)
    assert columns.mean() == pytest.approx(3 * SIDE / 4, abs=1)
