"""The demo: five slides of one story; its numbers are those of the pack and of the plane.

And the glossary, which is on every page.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.components import with_nested
from app.components.stage import NESTED
from app.demo import story
from app.demo.export import html_file
from app.demo.slides import ASSUMED, slide_data, slides
from app.demo.state import LEADS
from app.demo.story import Story
from app.glossary import TERMS
from heat_core.features import Features
from heat_core.images.gallery import Gallery
from heat_core.pack import NO_EXTRA, Pack, read_pack
from heat_core.scores import SetScores
from tests.app.pages import PAGE_NAMES, app, link, opened, text

pytestmark = pytest.mark.skipif(not story.PACK.is_dir(), reason="no pack in assets/packs")
STEPS = 5
JARGON = r"\b(OOD|ID|softmax|logit|AUROC|FPR|nats?|prior|KL)\b"


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


def _demo(**link_words: str) -> AppTest:
    return opened(
        opened(app(**link_words).switch_page("demo/page.py"))
    )  # AppTest brings a link back a run later


def _on_stage(at: AppTest) -> dict:
    """Returns what the browser is told to show."""
    (mounted,) = [
        json.loads(element.proto.json)
        for element in at.get("bidi_component")
        if '"slides"' in element.proto.json
    ]
    return mounted


def _caught(shipped: Story, detector: str) -> list[bool]:
    """Returns which strange examples lie above a detector's threshold."""
    scores, threshold = shipped.scores[detector], shipped.outcomes[detector].threshold
    return [bool(scores[one.set_name][one.row] > threshold) for one in shipped.strange]


# -- slides ----------------------------------------------------------------------------------------


def test_every_slide_has_a_finding_with_its_figure_a_picture_and_notes(shipped: Story) -> None:
    told = slides(shipped)
    assert len(told) == STEPS
    for slide in told:
        assert re.search(r"\d", slide.title)
        assert not re.search(JARGON, f"{slide.title} {slide.text} {slide.say}")
        assert slide.text.endswith(".")
        assert slide.say.endswith(".")
        assert slide.source.endswith(".")
    assert [slide.picture["kind"] for slide in told] == ["examples", "maps", "maps", "maps", "line"]


def test_sentences_say_what_the_arrays_say(shipped: Story) -> None:
    sure, energy, guess, correction, line = slides(shipped)
    count = sum(
        int((1 - np.exp(shipped.scores["MSP"][name]) > 0.9).sum()) for name in shipped.card.kinds
    )
    assert f"more than 90 % sure of {count} of 2,000 inputs" in sure.title
    outcome = shipped.outcomes["HEAT"]
    assert f"{100 * outcome.kept:.0f} of 100 familiar" in line.title
    assert f"{100 * outcome.caught:.0f} of 100 strange" in line.title
    assert f"energy catches {100 * shipped.outcomes['Energy'].caught:.0f} of 100" in energy.title
    assert list(energy.bars.values()) == [
        shipped.outcomes[name].caught for name in ("MSP", "Energy")
    ]
    assert list(correction.bars.values()) == [
        shipped.outcomes[name].caught for name in ("MoG", "HEAT-GMM")
    ]
    assert "47 %" in guess.title
    assert "from 47 % to 10 %" in correction.title


def test_a_strange_example_stands_beside_a_familiar_one_of_its_class(
    shipped: Story, pack: Pack
) -> None:
    assert not any(_caught(shipped, "MSP"))
    certainties = [shipped.confidence_of(example) for example in shipped.strange]
    assert min(certainties) > story.CONFIDENCE
    assert certainties == sorted(certainties, reverse=True)
    for strange, familiar in zip(shipped.strange, shipped.familiar, strict=True):
        assert familiar is not None
        assert familiar.set_name == "test"
        assert familiar.predicted == strange.predicted
        assert pack.class_name(int(pack.test.y[familiar.row])) == familiar.predicted
        assert shipped.confidence_of(familiar) == pytest.approx(
            shipped.confidence_of(strange), abs=0.01
        )
    first = slide_data(shipped)[0]["picture"]["pairs"][0]
    assert first["familiar"]["says"] == first["strange"]["says"] == "ship, 99.9 %"


def test_the_line_counts_exactly_and_says_what_it_assumes(shipped: Story) -> None:
    data = slides(shipped)[-1].picture["data"]
    outcome = shipped.outcomes["HEAT"]
    familiar = data["groups"][0]["sets"][0]
    assert familiar["passed"] / familiar["n"] == outcome.kept
    assert data["assumed"] == ASSUMED
    caught = [example["score"] > data["threshold"] for example in data["examples"]]
    assert caught == _caught(shipped, "HEAT")


def _bare_pack(train: Features, test: Features, ood: dict, head: bool) -> Pack:
    train = train if head else replace(train, head=None)
    return Pack(train, test, ood, NO_EXTRA, {"title": "bare <b>"})


@pytest.mark.parametrize("with_head", [True, False])
@pytest.mark.parametrize("has_ood", [True, False])
@pytest.mark.parametrize("ready", [(), ("MoG",), ("MSP", "Energy", "MoG")])
def test_slides_of_any_pack_say_what_is_absent(
    shipped, train, test, far, with_head: bool, has_ood: bool, ready: tuple[str, ...]
) -> None:
    bare = _bare_pack(train, test, {("far", "d"): far} if has_ood else {}, with_head)
    sets = {"test": test, "far_d": far} if has_ood else {"test": test}
    scores = {
        name: SetScores({key: -np.linspace(0.1, 0.9, len(rows)) for key, rows in sets.items()})
        for name in ready
        if with_head or name == "MoG"
    }
    told = story.story_of(bare, Gallery(bare), scores, shipped)
    sure, energy, _, correction, line = slides(told)
    if with_head and has_ood and "MSP" in scores:
        assert " of 50 inputs that are nothing it knows" in sure.title
        assert not any(pair["strange"]["image"] for pair in sure.picture["pairs"])
    elif not with_head:
        assert "no classifier" in sure.title
        assert "no classifier" in energy.title
    elif not has_ood:
        assert "no strange inputs" in sure.title
        assert "no strange inputs" in energy.title
    else:
        assert "not ready" in sure.title
    assert correction.bars == {}
    if not scores:
        assert "not ready" in line.title
    elif not has_ood:
        assert "no strange inputs" in line.title
    else:
        assert "of 100 strange ones are caught" in line.title
    assert html_file(told).count("<script") == 2


def test_where_it_is_sure_of_none_it_says_so(shipped: Story, monkeypatch) -> None:
    monkeypatch.setattr(story, "CONFIDENCE", 1.0)
    assert "sure of none of 2,000 inputs" in slides(shipped)[0].title
    assert story.confident_rows(shipped.scores["MSP"], shipped.card.kinds)[0] == (
        shipped.strange[0].set_name,
        shipped.strange[0].row,
    )


# -- the page --------------------------------------------------------------------------------------


def test_the_page_shows_the_step_of_the_link_and_offers_one_file(shipped: Story) -> None:
    at = _demo(step="3")
    shown = _on_stage(at)
    assert shown["step"] == 3
    assert [slide["title"] for slide in shown["slides"]] == [one.title for one in slides(shipped)]
    assert [lead["page"] for lead in shown["leads"]] == [lead.page for lead in LEADS]
    assert link(at)["step"] == "3"
    assert [button.label for button in at.get("download_button")] == ["Save as one file"]
    assert "10,000 familiar and 6,000 strange inputs" in text(at)


@pytest.mark.parametrize("wrong", ["6", "2.5"])
def test_a_step_that_is_not_there_is_the_first(wrong: str) -> None:
    assert _on_stage(_demo(step=wrong))["step"] == 1


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


# -- one file --------------------------------------------------------------------------------------


def test_the_file_names_nothing_on_a_network(shipped: Story) -> None:
    page = html_file(shipped)
    markup = re.sub(r"<(script|style)\b[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"https?:|//\w+\.\w", page.replace("\n//", ""))
    assert not re.search(r"\b(src|href|srcset)=", markup)
    assert not re.search(r"@import|url\(|\bimport\b|fetch\(|XMLHttpRequest|WebSocket", page)
    assert "default-src 'none'" in unescape(page)
    assert len(page) < 400_000


def test_the_file_takes_text_of_a_pack_as_text(shipped: Story) -> None:
    title = "</script></title><img src=x>"
    kinds = dict.fromkeys(shipped.card.kinds, title)
    hostile = replace(shipped, card=replace(shipped.card, pack_title=title, kinds=kinds))
    page = html_file(hostile)
    assert page.count("</script>") == 2
    assert page.count("</title>") == 1
    assert "<img" not in page


def test_components_within_the_stage_keep_to_themselves() -> None:
    texts = with_nested("stage", NESTED)
    assert texts["js"].count("export default") == 1
    assert all(f".nested-{name} {{" in texts["css"] for name in NESTED)


# -- the story on disk -----------------------------------------------------------------------------


def test_the_story_is_of_this_pack_and_of_these_detectors(shipped: Story, pack: Pack) -> None:
    assert shipped.card.pack_digest == story.digest(story.PACK), (
        "the pack has changed: python -m app.demo.story"
    )
    assert shipped.card.detectors == story.described(pack), (
        "a detector has changed: python -m app.demo.story"
    )
    assert story.is_story_of(shipped, pack)
    assert not story.is_story_of(shipped, replace(pack, card={"title": "another"}))


def test_scores_and_images_are_the_packs(shipped: Story, pack: Pack) -> None:
    from heat_core.detectors.presets import preset_detector
    from heat_core.run import fit
    from heat_core.scores import score_pack

    for name in ("MSP", "Energy", "MoG"):
        again = score_pack(pack, fit(preset_detector(name, domain="pseudo"), pack.train).score)
        assert set(again) == set(shipped.scores[name])
        for set_name, scores in again.items():
            assert np.allclose(scores, shipped.scores[name][set_name], rtol=1e-4, atol=1e-4)
    strange, familiar = story.find_examples(
        pack, Gallery(pack), shipped.scores["MSP"], shipped.card.kinds
    )
    for again, kept in zip(
        [*strange, *familiar], [*shipped.strange, *shipped.familiar], strict=True
    ):
        assert (again.set_name, again.row, again.predicted) == (
            kept.set_name,
            kept.row,
            kept.predicted,
        )
        assert np.array_equal(again.pixels, kept.pixels)


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
    lonely = replace(shipped, familiar=[None, *shipped.familiar[1:]])
    story.write(lonely, tmp_path / "again.npz")
    again = story.read(tmp_path / "again.npz")
    assert again.card == shipped.card
    assert np.array_equal(again.total, shipped.total)
    assert again.familiar[0] is None
    assert [one.row for one in again.familiar[1:]] == [one.row for one in shipped.familiar[1:]]
    assert all(
        np.array_equal(again.scores["HEAT"][name], values)
        for name, values in shipped.scores["HEAT"].items()
    )


def test_a_pack_makes_a_story_of_its_own(noise_pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "DETECTORS", ("MSP", "MoG"))
    monkeypatch.setattr(story, "CONFIDENCE", 0.0)
    empty = story.PlaneTraining(np.zeros(1), np.zeros((1, 2)), {}, {})
    monkeypatch.setattr(story, "train_plane", lambda: empty)
    monkeypatch.setattr(story, "IMAGES", 3)
    torch.manual_seed(0)
    made = story.make(noise_pack, {"far_mnist": "digits"})
    assert [example.set_name for example in made.strange] == ["far_mnist"] * 3
    assert all(example.pixels.shape == (32, 32, 3) for example in made.strange)
    assert made.confidence_of(made.strange[0]) == pytest.approx(
        1 - np.exp(min(made.scores["MSP"]["far_mnist"]))
    )


@pytest.mark.parametrize("page_name", PAGE_NAMES)
def test_every_page_has_the_glossary(page_name: str) -> None:
    at = app() if page_name == "toy_lab" else opened(app().switch_page(f"{page_name}/page.py"))
    assert all(f"**{term}**" in text(at) for term in TERMS)
    assert all(meaning.endswith(".") for meaning in TERMS.values())
