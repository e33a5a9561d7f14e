"""The pieces of the Toy lab's page: panels, curves, the transport, chains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from app import figures
from app.jobs import Job
from app.plane import figures as planes
from app.plane.controls import walk_choice
from app.plane.state import (
    COMPARED_DETECTORS,
    ToyPreview,
    cancel_training,
    reset_training,
    start_training,
    walked_chains,
)
from app.plane.training import Layer, Snapshot, ToyChoice, ToyResult, alarm, loss_levels
from app.session import job_queue, tab_id
from app.text import plain

if TYPE_CHECKING:
    from heat_core.diagnostics import Diagnosis

TITLES = {
    "truth": ("Truth", "the exact energy, -log p"),
    "prior": ("Prior", "one Gaussian a class"),
    "correction": ("Correction", "blue: likelier than the prior says, orange: rarer"),
    "total": ("Total", "the energy that scores"),
}
RESULT = "result"


def panels(choice: ToyChoice, picture: ToyPreview, layers: Mapping[str, Layer]) -> None:
    """Shows the truth and the layers of an energy side by side; a layer that is still to come keeps its place."""
    expected = ("prior", "correction", "total") if choice.detector == "HEAT" else ("total",)
    shown = {"truth": picture.truth} | {name: layers.get(name) for name in expected}
    for column, (name, energy) in zip(st.columns(4), shown.items(), strict=False):
        title, meaning = TITLES[name]
        _panel(column, name, title, meaning, picture, energy, signed=name == "correction")


def _panel(
    column,
    key: str,
    title: str,
    meaning: str,
    picture: ToyPreview,
    energy: Layer | None,
    signed: bool = False,
) -> None:
    column.markdown(f"**{title}**  \n:small[{meaning}]")
    if energy is None:
        column.container(height=figures.HEIGHT, border=True).caption("Comes with the training.")
        return
    figure = figures.landscape(picture.axis, energy, picture.points, signed=signed)
    column.plotly_chart(
        figure, key=f"panel-{key}", alt=f"{title} over the plane: {meaning}", config=figures.QUIET
    )


def curves(choice: ToyChoice, frames: Sequence[Snapshot], at: int | None = None) -> None:
    """Shows how the distance to the truth and the loss fell; `at` marks a step."""
    recorded = [frame for frame in frames if frame.record]
    if len(recorded) < 2:
        return
    records = [frame.record for frame in recorded if frame.record]
    steps, kl = [record.step for record in records], [frame.distance.kl for frame in recorded]
    left, right = st.columns(2)
    fell = "fell" if kl[-1] < kl[0] else "rose"
    left.markdown(
        f"**KL to the truth {fell} from {kl[0]:.2f} to {kl[-1]:.3f} nats** :small[(0 is the truth itself)]"
    )
    figure = figures.curve(steps, {"KL": kl}, "nats", ("MoG", recorded[-1].mog.kl))
    right.markdown("**Loss** :small[(held out: on data that training does not see)]")
    losses = {
        "training": [record.loss for record in records],
        "held out": [record.val_loss for record in records],
    }
    loss = figures.curve(steps, losses, "nats")
    for name, level in loss_levels(choice, recorded[-1].mog).items():
        loss.add_hline(
            level, line=dict(dash="dash", color=planes.QUIET, width=1.5), annotation=dict(text=name)
        )
    for place, drawn, key, alt in (
        (left, figure, "kl", "KL divergence from the truth by training step"),
        (right, loss, "loss", "Training and held-out loss by training step"),
    ):
        if at is not None:
            drawn.add_vline(at, line=dict(color=planes.QUIET, width=1.5, dash="dot"))
        place.plotly_chart(drawn, key=key, alt=alt, config=figures.QUIET)


def warn(frames: Sequence[Snapshot], result: ToyResult | None = None) -> None:
    """Raises the alarm where training goes wrong, and says why it ended before its time."""
    if result is not None and result.note:
        (st.error if result.diverged else st.info)(plain(result.note), icon=":material/alarm:")
    elif trouble := alarm(frames):
        st.warning(plain(trouble), icon=":material/alarm:")


def so_far(choice: ToyChoice, picture: ToyPreview, frames: Sequence[Snapshot]) -> None:
    """Shows how far a training came, or the truth alone."""
    warn(frames)
    panels(choice, picture, frames[-1].layers if frames else {})
    curves(choice, frames)


# -- while it trains ---------------------------------------------------------------------------------------------------


def start(choice: ToyChoice) -> None:
    """Offers to train."""
    label = f"Train {choice.detector}"
    st.button(
        label, type="primary", icon=":material/play_arrow:", on_click=start_training, args=(choice,)
    )


def transport(choice: ToyChoice, job: Job) -> None:
    """Play, pause, step, reset and cancel for a training under way; they stop the work only if nobody else watches it."""
    who = tab_id()
    paused = job.allowed_frames(who) < math.inf
    with st.container(horizontal=True):
        st.button(
            "Play",
            icon=":material/play_arrow:",
            disabled=not paused,
            on_click=job.play,
            args=(who,),
        )
        st.button(
            "Pause", icon=":material/pause:", disabled=paused, on_click=job.pause, args=(who,)
        )
        st.button(
            "Step",
            icon=":material/skip_next:",
            on_click=job.step,
            args=(who,),
            help="One snapshot more, then pause.",
        )
        st.button("Reset", icon=":material/restart_alt:", on_click=reset_training, args=(choice,))
        st.button("Cancel", icon=":material/stop:", on_click=cancel_training, args=(choice,))


def progress(choice: ToyChoice, job: Job, frames: Sequence[Snapshot]) -> None:
    """Says how far a training is, or where in line."""
    kl = f", KL {frames[-1].distance.kl:.3f} nats" if frames else ""
    if job.state == "waiting":
        text = f"Waiting: number {job_queue().ahead_of(job) + 1} in line. Two jobs are under way, and this one follows."
    elif job.allowed_frames(tab_id()) < math.inf:
        behind = (
            " It goes on behind this picture, for somebody else watches it too."
            if job.state == "running"
            else ""
        )
        coming = (
            " The next snapshot is under way."
            if job.state == "running" and not job.other_watchers(tab_id())
            else ""
        )
        text = f"Paused after snapshot {len(frames)}{kl}.{behind if job.other_watchers(tab_id()) else coming}"
    else:
        text = f"Training {choice.detector}: {job.progress:.0%}{kl}"
    record = frames[-1].record if frames else None
    st.progress(record.step / record.steps if record else job.progress, text)


# -- afterwards --------------------------------------------------------------------------------------------------------


def scrubber(choice: ToyChoice, frames: Sequence[Snapshot]) -> Snapshot | None:
    """Returns the snapshot that is looked at, or None for the result. Plays them one after the other if asked to."""
    names = [f"step {frame.record.step}" for frame in frames if frame.record] + [RESULT]
    state = st.session_state
    if state.get("snapshot", RESULT) not in names:
        state["snapshot"] = RESULT
    at = names.index(state.get("snapshot", RESULT))
    if state.get("replaying") and at < len(names) - 1:
        at += 1
        state["snapshot"] = names[at]
    state["replaying"] = bool(state.get("replaying")) and at < len(names) - 1
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button(
            "Play",
            icon=":material/play_arrow:",
            disabled=state["replaying"],
            on_click=_replay,
            args=(names,),
        )
        st.button(
            "Pause",
            icon=":material/pause:",
            disabled=not state["replaying"],
            on_click=_show,
            args=(names[at],),
        )
        st.button(
            "Step",
            icon=":material/skip_next:",
            on_click=_show,
            args=(names[(at + 1) % len(names)],),
        )
        st.button("Reset", icon=":material/restart_alt:", on_click=reset_training, args=(choice,))
        name = st.select_slider(
            "Snapshot", names, RESULT, key="snapshot", bind="query-params", width="stretch"
        )
    if name == RESULT:
        return None
    frame = frames[names.index(str(name))]
    kept = f"{frame.distance.modes} of {frame.distance.modes_total} modes"
    st.caption(f"The panels show the model at {name}: KL {frame.distance.kl:.3f} nats, {kept}.")
    return frame


def _replay(names: Sequence[str]) -> None:
    if st.session_state.get("snapshot", RESULT) == RESULT:
        st.session_state["snapshot"] = names[0]
    st.session_state["replaying"] = True


def _show(name: str) -> None:
    st.session_state.update(snapshot=name, replaying=False)


def finding(choice: ToyChoice, result: ToyResult) -> None:
    """Shows what came out of a training, in a sentence and five figures."""
    d, mog = result.distance, result.mog
    if choice.detector == "MoG":
        said = f"One Gaussian a class is {d.kl:.3f} nats from the truth."
    elif d.kl < mog.kl:
        said = f"{choice.detector} is {mog.kl / d.kl:.1f} times closer to the truth than the Gaussians alone."
    else:
        said = f"{choice.detector} is further from the truth than the Gaussians alone: as a density, it is the worse model."
    st.subheader(said)
    with st.container(horizontal=True):
        st.metric(
            "KL(true || model)",
            f"{d.kl:.3f} nats",
            help="0 is a perfect model; by quadrature on 300 x 300 points.",
        )
        st.metric("KL of the MoG", f"{mog.kl:.3f} nats")
        st.metric(
            "Total variation",
            f"{100 * d.tv:.1f} %",
            help="The share of probability that lies in the wrong place.",
        )
        st.metric(
            "Modes kept",
            f"{d.modes} of {d.modes_total}",
            help="A mode is kept if it has at least half of its mass.",
        )
        st.metric("Training time", f"{result.seconds:.1f} s", help="Without snapshots and pauses.")
    if result.diagnosis is not None:
        diagnosis(result.diagnosis)


LIGHTS = {
    "green": ("green", "check_circle", "Sound"),
    "amber": ("orange", "warning", "With care"),
    "red": ("red", "dangerous", "Not to be trusted"),
}
FIGURES = {
    "acceptance": (
        "MALA acceptance",
        "{:.0%}",
        "after tuning towards 57 %; far below, the energy is rough",
    ),
    "r_hat_energy": (
        "Split R-hat of the energy",
        "{:.2f}",
        "1 where chains agree; above 1.1 they sit in wells of their own",
    ),
    "r_hat_class": (
        "Split R-hat of the class",
        "{:.2f}",
        "large where classes lie apart and no chain crosses",
    ),
    "ess_energy": (
        "Independent draws, energy",
        "{:,.0f}",
        "what all steps of all chains are worth",
    ),
    "ess_class": ("Independent draws, class", "{:,.0f}", "few where chains keep to their class"),
    "gap": (
        "Energy gap",
        "{:.2f}",
        "mean E_θ of noise less that of data; below 0 it learned nothing",
    ),
    "bound_used": (
        "|E_θ| · 2α",
        "{:.2f}",
        "the share of its bound that 99 % stay within; above 1 it left it",
    ),
    "effective": (
        "Noise that counts",
        "{:.1%}",
        "the effective share of the noise as weighted draws of the model",
    ),
    "log_z": ("log Z", "{:.3f}", "by importance sampling from the noise, in nats"),
    "drift": (
        "Drift of long chains",
        "{:.2f}",
        "from the data's energies, in their standard deviations",
    ),
    "condition": ("Condition number", "{:.3g}", "of the data's covariance within classes"),
}


def diagnosis(found: Diagnosis) -> None:
    """Shows a traffic light with its reason, and behind it the figures that it comes from."""
    colour, icon, word = LIGHTS[found.light]
    st.markdown(f":{colour}-badge[:material/{icon}: {word}] {plain(found.reason)}")
    with st.expander(
        "Diagnostics: 32 chains of 200 MALA steps, begun at data",
        on_change="rerun",
        key="diagnostics",
    ) as box:
        if not box.open:
            return
        rows = [
            (title, form.format(value), meaning)
            for name, (title, form, meaning) in FIGURES.items()
            if math.isfinite(value := getattr(found, name))
        ]
        heading = ["Figure", "Value", "What it means"]
        st.table([dict(zip(heading, row, strict=True)) for row in rows], width="content")
        if len(found.switches) > 1:
            moved = sum(map(sum, found.switches)) - sum(
                row[i] for i, row in enumerate(found.switches)
            )
            st.markdown(
                f"**Mode switches: {moved:,} steps of {sum(map(sum, found.switches)):,}** :small[(from row to column)]"
            )
            names = [f"mode {i + 1}" for i in range(len(found.switches))]
            st.dataframe(pd.DataFrame(found.switches, names, names), width="content")


def chains(choice: ToyChoice, picture: ToyPreview, result: ToyResult) -> None:
    """Shows Langevin chains over the finished landscape, if asked for."""
    if not st.toggle("Chains over the landscape", key="chains", bind="query-params"):
        return
    how = walk_choice()
    walked = walked_chains(choice.key, how, result, choice.toy)
    if isinstance(walked, str):
        st.error(plain(walked), icon=":material/error:")
        return
    count = walked.paths.shape[1]
    crossed = (
        f"{walked.switched} time{'s' * (walked.switched != 1)}" if walked.switched else "not once"
    )
    st.subheader(f"In {count * walked.steps:,} steps, {count} chains changed mode {crossed}.")
    with st.container(horizontal=True):
        st.metric("Mode switches", f"{walked.switched}")
        st.metric(
            "Modes at the end",
            f"{walked.visited} of {picture.modes}",
            help="In how many modes a chain ended.",
        )
        st.metric(
            "Acceptance",
            f"{100 * walked.acceptance:.1f} %",
            help="What a Metropolis test would accept. Langevin has "
            "none: far below 100 %, the step is too long and the samples are biased.",
        )
        st.metric(
            "Temperature",
            f"{walked.temperature:.3g}",
            help="noise² / (2 a): 1 samples the energy as it is.",
        )
    figure = planes.walks(
        figures.landscape(picture.axis, result.frame.layers["total"]), walked.paths
    )
    alt = f"{count} Langevin chains over the energy; {walked.switched} mode switches, acceptance {walked.acceptance:.2f}"
    st.plotly_chart(figure, key="walks", width=640, alt=alt, config=figures.QUIET)


# -- side by side ------------------------------------------------------------------------------------------------------


def compared(choice: ToyChoice) -> dict[str, ToyChoice]:
    """Returns {detector: choice} of what the paper's second figure shows."""
    return {name: replace(choice, detector=name) for name in COMPARED_DETECTORS}


def start_all(choices: Mapping[str, ToyChoice], jobs: Mapping[str, Job | None]) -> None:
    """Offers to train what is not trained, and to stop what is under way."""

    def each(act, which: Sequence[ToyChoice]) -> None:
        for one in which:
            act(one)

    failed = ("failed", "cancelled")
    missing = [choices[name] for name, job in jobs.items() if job is None or job.state in failed]
    under_way = [choices[name] for name, job in jobs.items() if job is not None and not job.over]
    with st.container(horizontal=True):
        if missing:
            label = f"Train {', '.join(one.detector for one in missing)}"
            act = (start_training, missing)
            st.button(label, type="primary", icon=":material/play_arrow:", on_click=each, args=act)
        if under_way:
            st.button(
                "Cancel", icon=":material/stop:", on_click=each, args=(cancel_training, under_way)
            )


def comparison(choice: ToyChoice, picture: ToyPreview, jobs: Mapping[str, Job | None]) -> None:
    """Shows the truth and the detectors' totals side by side."""
    _lost(
        choice,
        {
            name: job.result.distance
            for name, job in jobs.items()
            if job is not None and job.state == "done"
        },
    )
    columns = st.columns(1 + len(jobs))
    _panel(columns[0], "truth", *TITLES["truth"], picture, picture.truth)
    for column, (name, job) in zip(columns[1:], jobs.items(), strict=True):
        frame = (
            None
            if job is None
            else job.result.frame
            if job.result
            else job.frames[-1]
            if job.frames
            else None
        )
        meaning = "still to come"
        if frame is not None:
            d = job.result.distance if job is not None and job.result else frame.distance
            meaning = f"KL {d.kl:.3f} nats, {d.modes} of {d.modes_total} modes"
        if job is not None and not job.over:
            meaning += f", {job.state} {job.progress:.0%}"
        _panel(column, name, name, meaning, picture, frame.layers["total"] if frame else None)
        if job is not None and job.state == "failed":
            column.error(plain(job.error), icon=":material/error:")


def _lost(choice: ToyChoice, distances: Mapping) -> None:
    """Says which models keep the modes, by the figures."""
    if len(distances) < len(COMPARED_DETECTORS):
        return
    total = distances["MoG"].modes_total
    kept = [f"{name} keeps {d.modes} of {total}" for name, d in distances.items()]
    losers = [name for name, d in distances.items() if d.modes < total]
    lead = (
        f"{' and '.join(losers)} {'lose' if len(losers) > 1 else 'loses'} modes"
        if losers
        else "All three keep every mode"
    )
    st.subheader(f"{lead}: {', '.join(kept)}.")
    if choice.preset not in ("paper", "official") and "EBM" not in losers:
        st.caption(
            "This preset teaches the EBM without MCMC, against noise spread over the whole square, so it finds every mode. The "
            "paper teaches it by short MCMC runs from N(0, I), where it loses most of them: a matter of the sampling budget."
        )
