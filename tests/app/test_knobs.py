"""Knobs of a preset in the plane: what they change, what they refuse, and what they are called."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from app.plane.knobs import Knobs, changed_knobs, knob_values, with_knobs
from app.plane.training import ToyChoice, loss_levels
from app.toy_lab.side_by_side import (
    compared_choices,
    comparison_finding,
    difference_names,
    kept_text,
    parse_kept,
    recorded_steps,
    snapshot_at,
)
from heat_core.detectors.presets import preset_detector
from tests.app.pages import app, link, opened, press, text

MODERN = ToyChoice("cross", "HEAT", "modern", 0)


def _heat() -> Any:
    return preset_detector("HEAT", "modern", "plane")


def test_a_preset_fills_in_every_knob_that_applies():
    assert knob_values(_heat()) == {
        "objective": "nce",
        "width": 64,
        "depth": 2,
        "lr": 7e-3,
        "steps": 800,
        "noise": 1.0,
    }
    assert knob_values(preset_detector("EBM", "paper", "plane"))["chain_steps"] == 20
    assert knob_values(preset_detector("MoG", "modern", "plane")) == {}


def test_knobs_change_what_they_name_and_nothing_else():
    heat = _heat()
    changed: Any = with_knobs(heat, Knobs("w32_d1_lr0.01_s50_n2"))
    own, learner = heat.correction, changed.correction
    assert (learner.network.width, learner.network.depth) == (32, 1)
    assert (learner.training.lr, learner.training.steps, learner.noise_scale) == (0.01, 50, 2.0)
    back = replace(
        learner,
        network=replace(learner.network, width=own.network.width, depth=own.network.depth),
        training=own.training,
        noise_scale=None,
    )
    assert replace(changed, correction=back) == heat


def test_chains_train_one_network_and_take_the_steps_that_are_set():
    learner = with_knobs(_heat(), Knobs("ml_k5")).correction  # type: ignore[attr-defined]
    assert (learner.network_count, learner.objective.sampler.steps) == (1, 5)
    assert learner.objective.samples_model
    ebm: Any = preset_detector("EBM", "paper", "plane")
    assert with_knobs(ebm, Knobs("nce")).learner.objective.samples_model is False  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text_", "detector", "message"),
    [
        ("x3", "HEAT", "no knob is called 'x3'"),
        ("lr", "HEAT", "no knob is called 'lr'"),
        ("w3", "HEAT", "width must be a whole number from 4 to 256; got 3"),
        ("w32.5", "HEAT", "got 32.5"),
        ("lr1e-9", "HEAT", "learning rate must be a number from 1e-05 to 1"),
        ("lr1.2.3", "HEAT", "got 1.2.3"),
        ("k20", "HEAT", "noise-contrastive walks no chains, so it has no Langevin steps"),
        ("w32", "MoG", "has no network, so it has no knobs"),
    ],
)
def test_what_no_knob_can_be_is_refused_in_one_line(text_, detector, message):
    with pytest.raises(ValueError, match=message) as refusal:
        with_knobs(preset_detector(detector, "modern", "plane"), Knobs(text_))
    assert "\n" not in str(refusal.value)


def test_what_is_as_in_the_preset_or_does_not_apply_is_no_change():
    values = {"width": 64, "lr": 0.01, "chain_steps": 40}
    assert changed_knobs(_heat(), values).text == "lr0.01"
    assert changed_knobs(_heat(), {**values, "objective": "ml"}).text == "ml_lr0.01_k40"
    assert changed_knobs(_heat(), {"objective": "ml", "chain_steps": 20}).text == "ml"
    assert changed_knobs(preset_detector("MoG", "modern", "plane"), values).text == ""


def test_a_choice_is_named_as_changed_and_has_a_job_of_its_own():
    changed = replace(MODERN, knobs=Knobs("n2"))
    assert (MODERN.preset_title, changed.preset_title) == ("modern", "modern, changed")
    assert (MODERN.key, changed.key) == ("toy.cross.HEAT.modern.0", "toy.cross.HEAT.modern.0.n2")
    distance: Any = SimpleNamespace(jsd=0.1)
    assert set(loss_levels(MODERN, distance)) == {"guessing", "truth"}
    assert set(loss_levels(changed, distance)) == {"guessing"}  # the noise is not the MoG itself


# -- side by side ----------------------------------------------------------------------------------


def test_settings_are_named_by_what_differs():
    kept = (replace(MODERN, knobs=Knobs("lr0.01")), replace(MODERN, knobs=Knobs("lr0.05_w32")))
    names = compared_choices("kept", MODERN, kept)
    assert list(names) == ["lr 0.01", "lr 0.05, width 32", "modern"]
    assert list(compared_choices("seeds", MODERN, ())) == ["seed 0", "seed 1", "seed 2"]
    assert list(compared_choices("presets", MODERN, ())) == ["quick", "modern", "paper"]
    detectors = compared_choices("detectors", replace(MODERN, knobs=Knobs("lr0.01")), ())
    assert [choice.knobs.text for choice in detectors.values()] == ["", "lr0.01", "lr0.01"]
    assert difference_names([MODERN, replace(MODERN, preset="paper", knobs=Knobs("w32"))]) == [
        "modern",
        "paper, width 32",
    ]
    assert list(compared_choices("kept", MODERN, (MODERN,))) == ["HEAT"]


def test_kept_settings_come_back_from_a_link_and_bad_ones_are_refused():
    kept = (replace(MODERN, knobs=Knobs("lr0.01")), ToyChoice("cross", "MoG", "quick", 3))
    assert parse_kept(kept_text(kept), "cross") == kept
    for bad in ("HEAT", "HEAT.modern.x", "HEAT.modern.-1", "HEAT.modern.0.q9", "ViM.modern.0"):
        with pytest.raises(ValueError, match=r"wanted|no knob|classifier"):
            parse_kept(bad, "cross")


def _snapshot(step: int) -> Any:
    return SimpleNamespace(record=SimpleNamespace(step=step))


def test_one_step_shows_of_each_training_what_it_had_by_then():
    short, long = [_snapshot(10), _snapshot(20)], [_snapshot(15), _snapshot(30)]
    assert recorded_steps([short, long, []]) == [10, 15, 20, 30]
    assert snapshot_at(long, 10) is None
    assert snapshot_at(long, 20) is long[0]
    assert snapshot_at(short, 30) is short[1]


def test_the_finding_names_who_loses_modes_or_is_much_further():
    def distance(kl: float, kept: int) -> Any:
        return SimpleNamespace(kl=kl, modes_kept=kept, modes_total=4)

    both = {"lr 0.01": distance(0.02, 4), "lr 0.05": distance(0.3, 4)}
    assert comparison_finding(both) == (
        "Both keep every mode, but lr 0.05 is 15 times further from the truth than lr 0.01: "
        "KL in nats 0.020 (lr 0.01), 0.300 (lr 0.05)."
    )
    assert comparison_finding({**both, "lr 1": distance(2.0, 1)}) == (
        "lr 1 loses modes: lr 0.01 keeps 4 of 4, lr 0.05 keeps 4 of 4, lr 1 keeps 1 of 4."
    )


# -- the page --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fresh_server")
def test_knobs_live_in_the_link_and_a_button_goes_back_to_the_preset():
    at = app(knobs="lr0.0100_w32")
    assert at.number_input(key="knob-lr").value == 0.01
    assert link(at)["knobs"] == "w32_lr0.01"
    assert "modern, changed: width 32, lr 0.01" in text(at)
    at.number_input(key="knob-depth").set_value(3.0)
    assert link(opened(at))["knobs"] == "w32_d3_lr0.01"
    at.button_group(key="knob-objective").set_value("ml")
    assert at_langevin(opened(at)) == 20
    press(at, "Keep")
    at.button_group(key="preset").set_value("quick")
    opened(at)
    assert "knobs" not in link(at)
    assert link(at)["beside"] == "HEAT.modern.0.ml_w32_d3_lr0.01"
    assert "Train modern" in " ".join(button.label for button in at.button)
    at.number_input(key="knob-width").set_value(8.0)
    press(opened(at), "Back to quick")
    assert at.number_input(key="knob-width").value == 64
    assert not app(detector="MoG").number_input(key="seed").disabled
    bad = app(knobs="w9999", beside="HEAT")
    assert [warning.value.split(":")[0] for warning in bad.warning] == [
        "The link's knobs are left out",
        "The link's kept settings are left out",
    ]


def at_langevin(at) -> float:
    """Returns the Langevin steps that the page shows."""
    return at.number_input(key="knob-chain_steps").value
