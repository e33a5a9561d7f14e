"""Settings side by side: small multiples on the same axes and colours, with one play button."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

from app import figures
from app.job import Job
from app.pack.progress import show_failure
from app.plane.figures import Curve, kl_figure, mark_step
from app.plane.panels import PanelTitle, kl_note
from app.plane.replay import show_replayed, step_slider
from app.plane.state import ToyPreview, leave_training, start_training, watch_trainings
from app.plane.training import TOTAL, Snapshot, ToyChoice
from app.text import plain
from app.toy_lab.panels import (
    TITLES,
    PlanePoints,
    distance_text,
    energy_panel,
    kl_values,
)
from app.toy_lab.side_by_side import (
    comparison_finding,
    recorded_steps,
    snapshot_at,
)

BUDGET_CAPTION = (
    "Here the EBM learns without MCMC, against noise spread over the whole square, "
    "so it finds every mode. The paper teaches it by short MCMC runs from N(0, I), where it loses "
    "most of them: a matter of the sampling budget."
)
REPLAY_KEY = "at"


@dataclass(frozen=True)
class Compared:
    """What stands side by side.

    Args:
        choices: {what it differs by: choice}.
        jobs: {the same name: its training}.
        preview: of the toy.
        drawn: which points are drawn over the maps, one of `controls.DRAWN`.
    """

    choices: Mapping[str, ToyChoice]
    jobs: Mapping[str, Job | None]
    preview: ToyPreview
    drawn: str

    @property
    def done(self) -> dict[str, Job]:
        """{name: training} of those that came to a result."""
        return {name: job for name, job in self.jobs.items() if job and job.state == "done"}

    @property
    def under_way(self) -> dict[str, Job]:
        """{name: training} of those that are not over."""
        return {name: job for name, job in self.jobs.items() if job and not job.over}

    @property
    def histories(self) -> dict[str, Sequence[Snapshot]]:
        """{name: snapshots so far}."""
        return {name: job.frames if job else () for name, job in self.jobs.items()}


def comparison(choices: Mapping[str, ToyChoice], preview: ToyPreview, drawn: str) -> None:
    """Shows settings side by side, in whatever state their trainings are."""
    jobs = dict(zip(choices, watch_trainings(list(choices.values())), strict=True))
    compared = Compared(choices, jobs, preview, drawn)
    if len(choices) == 1:
        st.caption("Change a knob, the preset or the seed: that stands beside what is kept.")
    _buttons(compared)
    if compared.under_way:
        st.fragment(partial(_live, compared), run_every=0.5)()
    elif compared.done:
        trained = [choices[name] for name in compared.done]
        show_replayed(trained, partial(_finished, compared), REPLAY_KEY)
    else:
        _panels(compared, dict.fromkeys(choices))


def _buttons(compared: Compared) -> None:
    """Offers to train what is not trained, and to stop what is under way."""
    waiting = {*compared.done, *compared.under_way}
    missing = {name: one for name, one in compared.choices.items() if name not in waiting}
    with st.container(horizontal=True):
        if missing:
            st.button(
                f"Train {', '.join(missing)}",
                type="primary",
                icon=":material/play_arrow:",
                on_click=_for_each,
                args=(start_training, list(missing.values())),
            )
        if compared.under_way:
            st.button(
                "Cancel",
                icon=":material/stop:",
                on_click=_for_each,
                args=(leave_training, [compared.choices[name] for name in compared.under_way]),
            )


def _for_each(act: Callable[[ToyChoice], None], choices: Sequence[ToyChoice]) -> None:
    for choice in choices:
        act(choice)


def _live(compared: Compared) -> None:
    """Shows trainings under way, each at its last snapshot."""
    if not compared.under_way:
        st.rerun()
    snapshots = {
        name: job.result.snapshot if job and job.result else _last(compared.histories[name])
        for name, job in compared.jobs.items()
    }
    _panels(compared, snapshots)
    _kl_curves(compared, None)


def _finished(compared: Compared) -> None:
    """Shows results, or all of them at one step of their trainings."""
    _finding(compared)
    trained = [compared.choices[name] for name in compared.done]
    histories = compared.histories
    step = step_slider(trained, recorded_steps(list(histories.values())), REPLAY_KEY)
    snapshots: dict[str, Snapshot | None] = {}
    for name, job in compared.jobs.items():
        if job is None or job.state != "done":
            snapshots[name] = None
        elif step is None or not histories[name]:
            snapshots[name] = job.result.snapshot
        else:
            snapshots[name] = snapshot_at(histories[name], step)
    _panels(compared, snapshots)
    _kl_curves(compared, step)


def _finding(compared: Compared) -> None:
    """Says what all results came to, once there are all."""
    if len(compared.done) < len(compared.choices):
        return
    distances = {name: job.result.distance for name, job in compared.done.items()}
    if None in distances.values():
        return
    st.subheader(plain(comparison_finding(distances), 400))
    ebm = next((one for one in compared.choices.values() if one.detector == "EBM"), None)
    objective = ebm.build_detector().objective if ebm else None
    if objective is None or objective.samples_model:
        return
    keeps_all = all(
        job.result.distance.modes_kept == job.result.distance.modes_total
        for name, job in compared.done.items()
        if compared.choices[name] == ebm
    )
    if keeps_all:
        st.caption(BUDGET_CAPTION)


def _last(history: Sequence[Snapshot]) -> Snapshot | None:
    return history[-1] if history else None


def _panels(compared: Compared, snapshots: Mapping[str, Snapshot | None]) -> None:
    """Shows the truth and the total of each."""
    preview, drawn = compared.preview, compared.drawn
    count = 1 + len(snapshots)
    truth_column, *columns = st.columns(count)
    with truth_column:
        points = PlanePoints.of(drawn, preview, None)
        energy_panel("truth", TITLES["truth"], preview, preview.true_energy, points, count, True)
    drawn_names = [name for name, snapshot in snapshots.items() if snapshot is not None]
    first_drawn = drawn_names[0] if drawn_names and preview.true_energy is None else ""
    for column, (name, snapshot) in zip(columns, snapshots.items(), strict=True):
        job = compared.jobs[name]
        total = snapshot.layers[TOTAL] if snapshot else None
        points = PlanePoints.of(drawn, preview, snapshot)
        with column:
            title = PanelTitle(name, _state_text(job, snapshot))
            energy_panel(name, title, preview, total, points, count, name == first_drawn)
            show_failure(job, start_training, compared.choices[name])


def _state_text(job: Job | None, snapshot: Snapshot | None) -> str:
    """Returns how far a model is from the truth, and its training from its end."""
    if snapshot is None:
        text = "still to come"
    else:
        is_result = job is not None and job.result and snapshot is job.result.snapshot
        distance = job.result.distance if job and is_result else snapshot.distance
        text = distance_text(distance) if distance else kl_note(snapshot)
    if job is not None and not job.over:
        text += f", {job.state} {job.progress:.0%}"
    return text


def _kl_curves(compared: Compared, marked_step: int | None) -> None:
    """Shows KL to the truth of all trainings in one figure; what does not train is a level."""
    curves: dict[str, Curve] = {}
    levels: dict[str, float] = {}
    for name, history in compared.histories.items():
        recorded = [one for one in history if one.record]
        curve = kl_values(recorded)
        if curve is not None:
            curves[name] = curve
        elif (
            name in compared.done and not recorded and (one := compared.done[name].result.distance)
        ):
            levels[name] = one.kl
    if not curves:
        return
    st.markdown("**KL to the truth** :small[(0 is the truth itself)]")
    figure = kl_figure(curves, levels)
    mark_step(figure, marked_step)
    st.plotly_chart(
        figure,
        key="compared-kl",
        alt=f"KL divergence from the truth by training step, of {', '.join(curves)}",
        config=figures.QUIET,
    )
