"""The demo: five steps, each a link; its numbers are those of the pack and of the plane.

And the glossary, which is on every page.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.demo import story
from app.demo.steps import STEPS
from app.demo.story import Story
from app.glossary import TERMS
from heat_core.pack import Pack, read_pack
from tests.app.pages import PAGE_NAMES, app, link, offered, opened, press, text

pytestmark = pytest.mark.skipif(not story.PACK.is_dir(), reason="no pack in assets/packs")


@pytest.fixture(autouse=True)
def _quick_server(fresh_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.server.warm_up", lambda: None)
    monkeypatch.setattr(
        "app.pack.scores.scoring_work", lambda *settings, **more: lambda job: None
    )  # nothing here waits for scores


@pytest.fixture(scope="module")
def shipped() -> Story:
    return story.read()


@pytest.fixture(scope="module")
def pack() -> Pack:
    return read_pack(story.PACK)


def _demo(step: int) -> AppTest:
    return opened(
        opened(app(step=str(step)).switch_page("demo/page.py"))
    )  # AppTest brings a link back a run later


@pytest.mark.parametrize("number", range(1, len(STEPS) + 1))
def test_every_step_has_a_finding_a_sentence_and_a_picture(number: int, shipped: Story) -> None:
    at = _demo(number)
    step = STEPS[number - 1]
    assert at.header[0].value == f"{number}. {step.title}"
    sentence = step.sentence(shipped)
    assert sentence.endswith(".")
    assert sentence.count(". ") == 0  # one sentence
    assert not re.search(r"\b(OOD|ID|softmax|logit|AUROC|FPR|nats?|prior|KL)\b", sentence)
    assert sum(len(at.get(kind)) for kind in ("plotly_chart", "image", "bidi_component")) >= 1
    assert link(at)["step"] == str(number)
    assert f"**{number}** of {len(STEPS)}" in text(at)


def test_buttons_go_on_and_back_and_stop_at_the_ends() -> None:
    at = _demo(1)
    assert "Back" not in offered(at)
    for number in range(2, len(STEPS) + 1):
        press(at, "Next")
        assert at.header[0].value.startswith(f"{number}. ")
    assert "Next" not in offered(at)
    assert press(at, "Back").header[0].value.startswith("4. ")


@pytest.mark.parametrize("wrong", ["0", "6", "x", "-1", "2.5"])
def test_a_step_that_is_not_there_is_the_first(wrong: str) -> None:
    assert (
        opened(opened(app(step=wrong).switch_page("demo/page.py")))
        .header[0]
        .value.startswith("1. ")
    )


def test_a_press_as_the_page_is_left_does_no_harm() -> None:
    at = _demo(2)
    next(button for button in at.button if button.label == "Next").click()
    opened(at.switch_page("toy_lab/page.py"))
    assert opened(at.switch_page("demo/page.py")).header[0].value.startswith("3. ")


def test_sentences_say_what_the_arrays_say(shipped: Story) -> None:
    outcome = shipped.outcomes["HEAT"]
    assert f"{100 * outcome.caught:.0f} of 100 strange" in STEPS[4].sentence(shipped)
    assert f"among them {shipped.out('HEAT').sum()} of the 12" in STEPS[4].sentence(shipped)
    sure = sum(
        int((1 - np.exp(shipped.scores["MSP"][name]) > 0.9).sum()) for name in shipped.card.kinds
    )
    assert f"sure what {sure} of them are" in STEPS[0].sentence(shipped)
    assert (shipped.probabilities > story.CONFIDENCE).all()
    assert not shipped.out("MSP").any()
    assert (np.diff(shipped.probabilities) <= 0).all()


def test_the_story_is_of_this_pack_and_of_these_detectors(shipped: Story, pack: Pack) -> None:
    assert shipped.card.pack_digest == story.digest(story.PACK), (
        "the pack has changed: python -m app.demo.story"
    )
    assert shipped.card.detectors == story.described(pack), (
        "a detector has changed: python -m app.demo.story"
    )


def test_scores_and_images_are_the_packs(shipped: Story, pack: Pack) -> None:
    from heat_core.detectors.presets import preset_detector
    from heat_core.run import fit
    from heat_core.scores import score_pack

    for name in ("MSP", "Energy", "MoG"):
        again = score_pack(pack, fit(preset_detector(name, domain="pseudo"), pack.train).score)
        assert set(again) == set(shipped.scores[name])
        for set_name, scores in again.items():
            assert np.allclose(scores, shipped.scores[name][set_name], rtol=1e-4, atol=1e-4)
    sets, rows = story.confident_images(shipped.scores["MSP"], tuple(shipped.card.kinds))
    assert sets == shipped.image_sets
    assert np.array_equal(rows, shipped.rows)
    pixels, predicted = story.images_of(pack, sets, rows)
    assert np.array_equal(pixels, shipped.pixels)
    assert predicted == shipped.predicted


def test_the_planes_energies_are_what_training_gives(shipped: Story) -> None:
    plane = story.train_plane()
    assert np.allclose(plane.points[: story.POINTS], shipped.points, atol=2e-3)
    for name in ("truth", "prior"):
        assert np.allclose(plane.layers[name], shipped.layers[name], rtol=2e-3, atol=2e-3)
    near = shipped.layers["truth"] < 5  # where there is data; elsewhere a trained network is free
    assert np.abs(plane.layers["correction"] - shipped.layers["correction"])[near].mean() < 0.3
    assert plane.total_variation["MoG"] == pytest.approx(
        shipped.card.total_variation["MoG"], abs=1e-3
    )
    assert plane.total_variation["HEAT"] == pytest.approx(
        shipped.card.total_variation["HEAT"], abs=0.03
    )


def test_a_story_is_written_and_read_whole(shipped: Story, tmp_path: Path) -> None:
    story.write(shipped, tmp_path / "again.npz")
    again = story.read(tmp_path / "again.npz")
    assert again.card == shipped.card
    assert np.array_equal(again.total, shipped.total)
    assert all(
        np.array_equal(again.scores["HEAT"][name], values)
        for name, values in shipped.scores["HEAT"].items()
    )


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut off", "whole"])
def test_a_story_that_is_lost_or_damaged_gives_one_line(
    content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "story.npz"
    if content is not None:
        path.write_bytes(story.PATH.read_bytes()[:-5000] if content == "whole" else content)
    monkeypatch.setattr("app.demo.state.PATH", path)
    at = opened(app().switch_page("demo/page.py"))
    assert len(at.error) == 1
    assert "python -m app.demo.story" in at.error[0].value.replace("\\", "")
    assert "\n" not in at.error[0].value


@pytest.mark.parametrize("page_name", PAGE_NAMES)
def test_every_page_has_the_glossary(page_name: str) -> None:
    at = app() if page_name == "toy_lab" else opened(app().switch_page(f"{page_name}/page.py"))
    assert all(f"**{term}**" in text(at) for term in TERMS)
    assert all(meaning.endswith(".") for meaning in TERMS.values())


def test_a_pack_makes_a_story_of_its_own(noise_pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "DETECTORS", ("MSP", "MoG"))
    monkeypatch.setattr(story, "CONFIDENCE", 0.0)
    empty = story.PlaneTraining(np.zeros(1), np.zeros((1, 2)), {}, {})
    monkeypatch.setattr(story, "train_plane", lambda: empty)
    monkeypatch.setattr(story, "IMAGES", 3)
    torch.manual_seed(0)
    made = story.make(noise_pack, {"far_mnist": "digits"})
    assert made.image_sets == ["far_mnist"] * 3
    assert made.pixels.shape == (3, 32, 32, 3)
    assert made.probabilities[0] == pytest.approx(1 - np.exp(min(made.scores["MSP"]["far_mnist"])))
