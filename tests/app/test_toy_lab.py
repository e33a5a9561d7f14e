"""The Toy lab in every state, and what its trainings do."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from app.job import Job
from app.pack.lights import LIGHTS
from app.plane import chains, reading, training
from app.plane import figures as figures_of_plane
from app.plane.replay import RESULT
from app.plane.state import toy_grid, toy_preview
from app.plane.training import COARSE_SIDE, FINE_SIDE, Snapshot, SnapshotTaker, ToyChoice
from app.session import job_queue
from app.toy_lab.diagnosis import ROWS
from app.toy_lab.side_by_side import COMPARED_DETECTORS
from heat_core.detectors.detector import Detector, Shape
from heat_core.energies import Energy, GaussianMixture
from heat_core.plane.toys import toy
from heat_core.training.trainer import Diverged
from tests.app.pages import (
    app,
    endless,
    link,
    offered,
    opened,
    press,
    restart_server,
    text,
    until,
    wait,
)
from tests.app.plane import GRIDS, QUICK
from tests.samples import Residual

pytestmark = pytest.mark.usefixtures("fresh_server")


def _replayed(job: Job):
    """Returns work that ends at once as another training did."""

    def work(own_job: Job):
        for number, snapshot in enumerate(job.frames, start=1):
            own_job.report(number / len(job.frames), snapshot)
        return job.result

    return lambda *settings, **more: work


def _slowly(job: Job, gate: threading.Event):
    """Returns work that gives two snapshots of another training, the others once a gate is open."""

    def work(own_job: Job):
        for number, snapshot in enumerate(job.frames):
            share = number / len(job.frames)
            while number >= 2 and not gate.wait(0.01):
                own_job.report(share)
            own_job.report(share, snapshot)
        return job.result

    return lambda *settings, **more: work


def test_it_starts_empty_and_says_what_to_do():
    at = app()
    assert "Nothing is trained yet" in at.info[0].value
    assert "Train HEAT" in offered(at)
    assert "9,000 training points" in text(at)


def test_it_trains_and_reports_the_distance_to_the_truth():
    at = press(app(toy="blobs", preset="quick"), "Train HEAT")
    wait(at, lambda page: page.metric)
    metrics = {metric.label: metric.value for metric in at.metric}
    kl, mog = (float(metrics[name].split()[0]) for name in ("KL(true || model)", "KL of the MoG"))
    assert kl < mog / 3
    assert metrics["Modes kept"] == "4 of 4"
    assert "closer to the truth" in at.subheader[0].value


def test_a_link_finds_the_training_and_a_new_server_trains_it_again():
    at = press(app(toy="cross", detector="MoG"), "Train MoG")
    wait(at, lambda page: page.metric)
    shared = link(at)
    assert shared["job"] == "toy.cross.MoG.modern.0"
    assert "One Gaussian a class" in app(**shared).subheader[0].value
    restart_server()
    again = app(**shared)
    wait(again, lambda page: page.metric)
    assert "One Gaussian a class" in again.subheader[0].value


def test_a_toy_is_shown_by_its_title_and_linked_by_its_name():
    at = app(toy="moons")
    picker = at.selectbox(key="toy")
    assert "3 x 3 crosses" in picker.options
    assert "crosses9" not in picker.options
    assert picker.value == link(at)["toy"] == "moons"
    picker.set_value("rings")
    opened(at)
    assert link(at)["toy"] == "rings"
    opened(opened(at.switch_page("landscape/page.py")))  # AppTest brings a link back a run later
    assert at.selectbox(key="toy").value == link(at)["toy"] == "rings"
    opened(opened(at.switch_page("demo/page.py")))
    at.query_params["toy"] = "blobs"  # what a link on a page asks for
    opened(opened(at.switch_page("toy_lab/page.py")))
    assert at.selectbox(key="toy").value == link(at)["toy"] == "blobs"
    assert app(toy="<b>").selectbox(key="toy").value == "crosses9"


def test_the_help_of_the_detector_says_which_prior_heat_has_in_the_plane():
    choice = app().segmented_control(key="detector")
    assert choice.value == "HEAT"
    assert "its prior is the MoG alone here" in choice.help


def test_a_bound_is_that_of_an_optimum():
    (meaning,) = (row.meaning for row in ROWS if row.field == "bound_used")
    assert meaning.endswith("at its optimum at most 1")


def test_a_link_to_another_training_starts_nothing():
    at = app(toy="cross", detector="MoG", job="toy.cross.HEAT.paper.0")
    assert "Nothing is trained yet" in at.info[0].value
    assert "job" not in at.query_params


def test_cancel_is_shown_at_once_and_training_can_begin_again(monkeypatch):
    monkeypatch.setattr("app.plane.state.train_toy", lambda *settings: endless)
    at = press(app(toy="moons"), "Train HEAT")
    assert {"Pause", "Step", "Reset", "Cancel"} <= offered(at)
    job = job_queue().get("toy.moons.HEAT.modern.0")
    press(at, "Cancel")
    assert at.warning[0].value.startswith("Training was cancelled. This is how far it came")
    until(lambda: job.state == "cancelled")
    press(at, "Train HEAT")
    assert "Cancel" in offered(at)
    assert job_queue().get(job.key) is not job
    press(at, "Reset")
    assert "Nothing is trained yet" in at.info[0].value
    assert job_queue().get(job.key) is None


def test_cancel_by_one_does_not_cancel_the_same_training_of_another(monkeypatch, trained):
    gate = threading.Event()
    monkeypatch.setattr("app.plane.state.train_toy", _slowly(trained, gate))
    tab = ["ann"]
    monkeypatch.setattr(
        "app.session.get_script_run_ctx", lambda: SimpleNamespace(session_id=tab[0])
    )
    ann = press(app(toy="blobs", preset="quick"), "Train HEAT")
    tab[0] = "bob"
    bob = app(toy="blobs", preset="quick")
    press(bob, "Cancel")
    assert bob.warning[0].value.startswith(
        "You left this training. It goes on for 1 more who watches."
    )
    tab[0] = "ann"
    assert "Cancel" in offered(opened(ann))
    gate.set()
    wait(ann, lambda page: page.metric)
    tab[0] = "bob"
    assert bob.warning
    press(bob, "Train HEAT")  # joins what is there
    wait(bob, lambda page: page.metric)


def test_pause_and_step_then_leave_and_come_back(monkeypatch, trained):
    gate = threading.Event()
    gate.set()
    monkeypatch.setattr("app.plane.state.train_toy", _slowly(trained, gate))
    job = job_queue().submit(QUICK.key, endless)
    job.cancel()
    at = app(toy="blobs", preset="quick")
    gate.clear()
    press(at, "Train HEAT")
    job = job_queue().get(QUICK.key)
    until(lambda: len(job.frames) == 2)
    press(at, "Pause")
    assert "Paused after snapshot 2" in text(at)
    assert "Play" in offered(at)
    gate.set()
    until(lambda: job.state == "paused")
    press(at, "Step")
    assert "Paused after snapshot 3" in text(at)
    for script in ("landscape/page.py", "toy_lab/page.py"):
        opened(
            opened(at.switch_page(script))
        )  # AppTest drops the link at a page switch and brings it back a run later
        assert "Paused after snapshot 3" in text(at)
    press(at, "Play")
    wait(at, lambda page: page.metric)


def test_a_third_training_says_where_it_is_in_line(monkeypatch):
    monkeypatch.setattr("app.plane.state.train_toy", lambda *settings: endless)
    for seed in ("1", "2", "3", "4"):
        at = press(app(seed=seed), "Train HEAT")
    assert "Waiting: number 2 in line" in text(at)
    press(at, "Cancel")
    assert "cancelled" in at.warning[0].value
    for job in list(job_queue()._jobs.values()):
        job.cancel()


def test_a_refused_training_says_so_to_its_visitor_alone_and_can_be_tried_again(monkeypatch):
    monkeypatch.setattr("app.plane.state.train_toy", lambda *settings: endless)
    visitors = [("here", "mine")]
    monkeypatch.setattr("app.session.visitor", lambda: visitors[-1])
    jobs = [job_queue().submit(f"link {i}", endless, visitors[0]) for i in range(8)]
    at = press(app(toy="moons"), "Train HEAT")
    assert "Your part of the line is full" in at.error[0].value
    assert "job" not in at.query_params
    visitors.append(("there", "another's"))
    assert "Nothing is trained yet" in app(toy="moons").info[0].value
    visitors.pop()
    for job in jobs:
        job.cancel()
    until(lambda: all(job.over for job in jobs))
    press(at, "Try again")
    assert not at.error
    assert "Cancel" in offered(at)


def test_snapshots_are_scrubbed_and_played_and_stay_in_the_link(monkeypatch, trained):
    monkeypatch.setattr("app.plane.state.train_toy", _replayed(trained))
    at = press(app(toy="blobs", preset="quick"), "Train HEAT")
    wait(at, lambda page: page.metric)
    slider = at.select_slider(key="snapshot")
    assert slider.value == RESULT
    assert len(slider.options) == len(trained.frames) + 1
    first, second = slider.options[:2]
    slider.set_value(second)
    opened(at)
    assert (
        app(toy="blobs", preset="quick", snapshot=second).select_slider(key="snapshot").value
        == second
    )
    press(at, "Step")
    assert at.select_slider(key="snapshot").value == slider.options[2]
    at.select_slider(key="snapshot").set_value(RESULT)
    press(at, "Play")
    assert "Pause" in offered(at)
    assert at.select_slider(key="snapshot").value in (first, second)
    press(at, "Pause")
    assert "Pause" not in offered(at)
    press(at, "Reset")
    assert "Nothing is trained yet" in at.info[0].value


def test_chains_walk_on_the_finished_landscape(monkeypatch, trained):
    monkeypatch.setattr("app.plane.state.train_toy", _replayed(trained))
    at = press(app(toy="blobs", preset="quick", chains="true"), "Train HEAT")
    wait(at, lambda page: any(metric.label == "Acceptance" for metric in page.metric))
    assert "24 chains changed mode" in text(at)
    at.number_input(key="size").set_value(1.0)
    at.number_input(key="steps").set_value(1000)
    opened(at)
    shown = {metric.label: metric.value for metric in at.metric}
    assert at.error or float(shown["Acceptance"].split()[0]) < 60


def test_the_papers_second_figure_is_one_click_away(monkeypatch, trained):
    monkeypatch.setattr("app.plane.state.train_toy", _replayed(trained))
    at = press(app(), "Figure 2: nine crosses")
    wait(at, lambda page: page.subheader)
    assert "All three keep every mode" in at.subheader[0].value
    assert link(at)["compare"] == "detectors"
    assert link(at)["job"] == ",".join(
        f"toy.crosses9.{name}.paper.0" for name in COMPARED_DETECTORS
    )


def test_the_papers_first_figure_is_one_click_away(monkeypatch, trained):
    monkeypatch.setattr("app.plane.state.train_toy", _replayed(trained))
    at = press(app(detector="KNN"), "Figure 1: a cross, corrected")
    wait(at, lambda page: page.metric)
    assert link(at)["toy"] == "cross"
    assert link(at)["job"] == "toy.cross.HEAT.paper.0"


@pytest.mark.parametrize("light", ["green", "amber", "red"])
def test_a_light_says_whether_a_training_can_be_trusted(monkeypatch, trained, light):
    assert trained.result.diagnosis is not None
    shown = replace(
        trained.result,
        diagnosis=replace(trained.result.diagnosis, light=light, reason="The *reason* is this."),
    )
    monkeypatch.setattr("app.plane.state.train_toy", lambda *settings: lambda job: shown)
    at = press(app(toy="blobs", preset="quick", diagnostics="true"), "Train HEAT")
    wait(at, lambda page: page.metric)
    shown = LIGHTS[light]
    badge = f":{shown.colour}-badge[:material/{shown.icon}: {shown.text}]"
    text = next(markdown.value for markdown in at.markdown if badge in markdown.value)
    assert r"The \*reason\* is this." in text


def test_side_by_side_offers_what_is_missing_and_can_be_cancelled(monkeypatch):
    monkeypatch.setattr("app.plane.state.train_toy", lambda *settings: endless)
    at = press(app(compare="true"), "Train MoG, EBM, HEAT")
    assert "Cancel" in offered(at)
    press(at, "Cancel")
    assert "Train MoG, EBM, HEAT" in offered(at)


def test_a_failure_is_shown_in_one_line(monkeypatch):
    def broken(job: Job) -> None:
        raise ValueError("the *grid* is gone")

    monkeypatch.setattr("app.plane.state.train_toy", lambda *settings: broken)
    at = press(app(), "Train HEAT")
    wait(at, lambda page: page.error)
    assert at.error[0].value == r"the \*grid\* is gone"


def test_divergence_raises_the_alarm_and_keeps_the_last_sound_state(monkeypatch):
    from heat_core import run
    from heat_core.detectors import presets

    fit = run.fit

    def diverging(detector, train, seed=0, on_record=None, **rest):
        if on_record is None:
            return fit(detector, train)

        def then(record, energy):
            on_record(record, energy)
            if record.step > 30:
                raise Diverged(
                    "training diverged by step 36: the loss is nan. Try a learning rate below 0.01."
                )

        return fit(detector, train, seed, on_record=then, **rest)

    monkeypatch.setattr(run, "fit", diverging)
    assert presets.preset_detector("HEAT", "quick", "plane").trains
    at = press(app(toy="blobs", preset="quick"), "Train HEAT")
    wait(at, lambda page: page.error)
    assert "The alarm went off" in at.error[0].value
    assert "Try a learning rate below" in at.error[0].value
    assert at.metric


def test_a_rising_kl_raises_the_alarm(trained):
    snapshots = list(trained.frames)
    assert training.kl_alarm(snapshots) == ""
    last = snapshots[-1]
    far = Snapshot(
        last.terms, type(last.distance)(9.0, 1.0, 0.6, 1, 4, 0.0), last.mog_distance, last.record
    )
    assert "KL has risen from" in training.kl_alarm([*snapshots, far])


def test_it_stops_when_kl_stops_falling_and_keeps_the_closest_model():
    choice = ToyChoice("blobs", "HEAT", "modern", 0, early_stopping=True)
    job = Job(choice.key, training.train_toy(choice, *GRIDS))
    job.run()
    assert job.state == "done", job.error
    step, best = (
        job.frames[-1].record.step,
        min(job.frames, key=lambda snapshot: snapshot.distance.kl),
    )
    assert step < job.frames[-1].record.steps
    assert f"Stopped at step {step}" in job.result.end_reason
    assert f"of step {best.record.step} was kept" in job.result.end_reason
    assert job.result.snapshot.distance.kl == pytest.approx(best.distance.kl, rel=1e-6)


def test_the_truth_is_computed_once_on_each_grid(monkeypatch):
    """For the picture, for every training, and for what the Landscape says of them."""
    counted: list[int] = []
    mode_log_prob = type(toy("rings")).mode_log_prob

    def counting(self, z):
        if self is toy("rings"):
            counted.append(len(z))
        return mode_log_prob(self, z)

    monkeypatch.setattr(type(toy("rings")), "mode_log_prob", counting)
    toy_grid.clear()
    toy_preview.clear()
    at = app(toy="rings", detector="MoG")
    assert counted == [COARSE_SIDE**2]
    press(at, "Train MoG")
    wait(at, lambda page: page.metric)
    press(at, "Reset")
    at.number_input(key="seed").set_value(1)
    press(opened(at), "Train MoG")
    wait(at, lambda page: page.metric)
    wait(at.switch_page("landscape/page.py"), lambda page: "log Z" in text(page))
    assert sorted(n for n in counted if n >= COARSE_SIDE**2) == [COARSE_SIDE**2, FINE_SIDE**2]


def test_snapshots_are_small(trained):
    terms = [term for snapshot in trained.frames for term in snapshot.terms.values()]
    sizes = {id(term): term.nbytes for term in terms}
    # a prior that does not change is kept once
    assert sum(sizes.values()) <= (len(trained.frames) + 1) * 100 * 100 * 4
    assert all(term.dtype == np.float32 for term in terms)
    assert len(trained.frames) <= training.MAX_SNAPSHOTS


def test_a_detector_of_two_terms_of_its_own_keeps_their_names(monkeypatch):
    """They reach the pages as they are called, and none is left out."""
    from heat_core.detectors import presets

    plane = presets.PRESETS["plane"]
    quick = {**plane["quick"], "TwoTerms": TwoTerms()}
    monkeypatch.setattr(presets, "PRESETS", {"plane": {**plane, "quick": quick}})
    monkeypatch.setitem(presets.DETECTORS, "TwoTerms", TwoTerms)
    choice = ToyChoice("blobs", "TwoTerms", "quick", 0)
    job = Job("any", training.train_toy(choice, *GRIDS))
    job.run()
    assert job.state == "done", job.error
    terms = job.result.terms
    assert list(terms) == ["residual", "gaussians"]
    layers = job.result.snapshot.layers
    assert list(layers) == ["residual", "gaussians", "total"]
    np.testing.assert_allclose(
        layers["residual"] + layers["gaussians"], layers["total"], rtol=1e-5, atol=1e-5
    )
    whole = reading.read(terms, choice, GRIDS[1])
    point = reading.point_terms(terms, whole, "blobs", 1.0, 2.0)
    assert point.sentence.startswith("residual ")
    assert " + gaussians " in point.sentence
    lines = reading.ray(terms, whole, "blobs", 1.0, 2.0, 1.5).energies
    assert list(lines) == ["residual", "gaussians", "total", "truth"]
    figure = figures_of_plane.ray_figure(np.arange(240.0), lines, 0.0, 1.0, 2.0)
    assert {line.name for line in figure.select_traces()} >= {"residual", "gaussians", "total"}


@dataclass(frozen=True)
class TwoTerms(Detector):
    """How far a point lies from the first principal direction, and one Gaussian a class."""

    title = "TwoTerms"
    summary = "a test"

    def build(self, shape: Shape) -> Energy:
        return Residual(shape.dim, 1) + GaussianMixture(shape.dim, shape.classes)

    def term_names(self, shape: Shape) -> tuple[str, ...]:
        return "residual", "gaussians"


def test_a_long_history_keeps_every_nth_snapshot(monkeypatch, trained):
    monkeypatch.setattr(training, "MAX_SNAPSHOTS", 9)
    job = Job("any", endless)
    result = trained.result
    take_snapshot = SnapshotTaker(
        job, GRIDS[0], result.mog_distance, result.term_names, early_stopping=False
    )
    for snapshot in trained.frames:
        take_snapshot(snapshot.record, result.energy)
    assert 8 <= len(job.frames) <= 10
    assert job.frames[-1].record.step == job.frames[-1].record.steps


def test_the_truths_own_loss_is_reached_from_above(trained):
    levels = training.loss_levels(QUICK, trained.result.mog_distance)
    assert levels["truth"] < levels["guessing"]
    best = min(snapshot.record.val_loss for snapshot in trained.frames)
    assert best == pytest.approx(levels["truth"], abs=0.08)
    assert (
        training.loss_levels(ToyChoice("blobs", "KNN", "quick", 0), trained.result.mog_distance)
        == {}
    )


def test_chains_on_the_exact_energy_know_what_they_do():
    """On one Gaussian, a short step is accepted nearly always, a long one rarely."""
    from heat_core.detectors.presets import preset_detector
    from heat_core.run import fit

    energy = fit(preset_detector("MoG", domain="plane"), toy("blobs").features()).energy
    short = chains.run_chains(energy, toy("blobs"), chains.ChainSettings(steps=200, step_size=1e-3))
    long = chains.run_chains(energy, toy("blobs"), chains.ChainSettings(steps=200, step_size=0.3))
    assert short.acceptance > 0.98 > 0.8 > long.acceptance
    assert short.temperature == 1.0
    assert short.transitions.sum() == 200 * chains.CHAINS
    assert long.switch_count > short.switch_count
    assert short.paths.shape[1:] == (chains.CHAINS, 2)
    assert len(short.paths) <= chains.MAX_DRAWN
    with pytest.raises(ValueError, match="too long"):
        chains.run_chains(energy, toy("blobs"), chains.ChainSettings(steps=2000, step_size=30.0))
    with pytest.raises(ValueError, match="start must be one of noise, data"):
        chains.ChainSettings(start="there")


def test_every_point_over_a_landscape_is_a_mark_where_it_lies():
    axis = np.linspace(-5, 5, 100, dtype=np.float32)
    points = np.array([[-4.9, 0.01], [1.234, 2.0], [3e-5, -1.0]])
    (shape,) = figures_of_plane.energy_heatmap(axis, np.zeros((100, 100)), points).layout.shapes
    drawn = [
        [float(number) for number in mark.replace("H", ",").split(",")]
        for mark in shape.path.split("M")[1:]
    ]
    np.testing.assert_allclose(
        [[(left + right) / 2, y] for left, y, right in drawn], points, atol=0.01
    )
