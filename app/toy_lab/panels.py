"""Panels of the Toy lab: the layers of an energy, curves of a training, its state and result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go
import streamlit as st

from app import figures
from app.figures import COLOURS
from app.job import Job
from app.pack.progress import show_failure
from app.plane.figures import GREY, HEIGHT, curve, energy_heatmap
from app.plane.panels import PanelTitle
from app.plane.state import ToyPreview, TrainingSeen, start_training
from app.plane.training import (
    TOTAL,
    Layer,
    Snapshot,
    ToyChoice,
    ToyResult,
    kept_sentence,
    kept_snapshot,
    loss_levels,
)
from app.toy_lab.diagnosis import diagnosis_panel

if TYPE_CHECKING:
    from heat_core.plane.grid import Distance


TITLES = {
    "truth": PanelTitle("Truth", "the exact energy, -log p"),
    "prior": PanelTitle("Prior", "one Gaussian a class"),
    "correction": PanelTitle("Correction", "blue: likelier than the prior says, orange: rarer"),
    TOTAL: PanelTitle("Total", "the energy that scores"),
}


# -- energies over the plane


def energy_panels(choice: ToyChoice, preview: ToyPreview, layers: Mapping[str, Layer]) -> None:
    """Shows the truth and the layers of an energy side by side.

    Layers that are still to come keep their places.
    """
    expected = ("prior", "correction", TOTAL) if choice.detector == "HEAT" else (TOTAL,)
    energies: dict[str, Layer | None] = {"truth": preview.true_energy}
    energies.update(layers or dict.fromkeys(expected))
    count = max(4, len(energies))
    columns = st.columns(count)
    for column, (name, energy) in zip(columns, energies.items(), strict=False):
        title = TITLES.get(name) or PanelTitle(name.capitalize(), "a term of the total")
        with column:
            energy_panel(name, title, preview, energy, count)


def energy_panel(
    name: str, title: PanelTitle, preview: ToyPreview, energy: Layer | None, columns: int
) -> None:
    """Shows one energy over the plane, (n, n), or its empty place.

    Args:
        columns: how many stand side by side; a chart keeps the size of those that it began in.
    """
    st.markdown(f"**{title.title}**  \n:small[{title.meaning}]")
    if energy is None:
        empty = st.container(height=HEIGHT, border=True)
        empty.caption("Comes with the training.")
        return
    is_signed = name == "correction"
    figure = energy_heatmap(preview.axis, energy, preview.points, signed=is_signed)
    st.plotly_chart(
        figure,
        key=f"panel-{name}-of-{columns}",
        alt=f"{title.title} over the plane: {title.meaning}",
        config=figures.QUIET,
    )


# -- a training


def distance_note(snapshot: Snapshot) -> str:
    """Returns how far a snapshot is from the truth, in words."""
    distance = snapshot.distance
    return f"KL {distance.kl:.3f} nats, {distance.modes_kept} of {distance.modes_total} modes"


def state_message(choice: ToyChoice, job: Job | None, seen: TrainingSeen | None) -> None:
    """Says why there is no result: it failed, was cancelled or left, or was never started."""
    if show_failure(job, start_training, choice):
        return
    if job is not None or seen is not None:
        others = seen.other_watchers if seen else 0
        st.warning(_end_message(others))
    else:
        st.info(
            "Nothing is trained yet on these settings. The truth is above; "
            f"press “Train {choice.detector}” to see the model."
        )


def _end_message(other_watchers: int) -> str:
    """Returns what became of a training that this tab has left."""
    if not other_watchers:
        return "Training was cancelled. This is how far it came; press the button to start again."
    watch = "watches" if other_watchers == 1 else "watch"
    return (
        f"You left this training. It goes on for {other_watchers} more who {watch}. This is how "
        "far it had come; press the button to join it again."
    )


def training_curves(
    choice: ToyChoice,
    snapshots: Sequence[Snapshot],
    marked_step: int | None = None,
    result: ToyResult | None = None,
) -> None:
    """Shows how the distance to the truth and the loss fell, with a mark at a step.

    Args:
        result: of a training that is over: which snapshot it is, is said and marked.
    """
    recorded = [snapshot for snapshot in snapshots if snapshot.record]
    if len(recorded) < 2:
        return
    kl_column, loss_column = st.columns(2)
    with kl_column:
        _kl_curve(recorded, marked_step, result)
    with loss_column:
        _loss_curve(choice, recorded, marked_step)


def _kl_curve(
    recorded: Sequence[Snapshot], marked_step: int | None, result: ToyResult | None
) -> None:
    steps = [snapshot.record.step for snapshot in recorded if snapshot.record]
    kl = [snapshot.distance.kl for snapshot in recorded]
    final = result.distance.kl if result else kl[-1]
    fell = "fell" if final < kl[0] else "rose"
    st.markdown(
        f"**KL to the truth {fell} from {kl[0]:.3f} to {final:.3f} nats** "
        ":small[(0 is the truth itself)]"
    )
    figure = curve(steps, {"KL": kl}, "nats", ("MoG", recorded[-1].mog_distance.kl))
    if result:
        if sentence := kept_sentence(recorded, result.snapshot):
            st.caption(sentence)
        _mark_kept(figure, kept_snapshot(recorded, result.snapshot))
    _mark_step(figure, marked_step)
    alt = "KL divergence from the truth by training step"
    st.plotly_chart(figure, key="kl", alt=alt, config=figures.QUIET)


def _loss_curve(choice: ToyChoice, recorded: Sequence[Snapshot], marked_step: int | None) -> None:
    st.markdown("**Loss** :small[(validation: on data that training does not see)]")
    records = [snapshot.record for snapshot in recorded if snapshot.record]
    steps = [record.step for record in records]
    losses = {
        "training": [record.loss for record in records],
        "validation": [record.val_loss for record in records],
    }
    figure = curve(steps, losses, "nats")
    dashed = dict(dash="dash", color=GREY, width=1.5)
    for name, level in loss_levels(choice, recorded[-1].mog_distance).items():
        figure.add_hline(level, line=dashed, annotation=dict(text=name))
    _mark_step(figure, marked_step)
    alt = "Training and validation loss by training step"
    st.plotly_chart(figure, key="loss", alt=alt, config=figures.QUIET)


def _mark_kept(figure: go.Figure, kept: Snapshot | None) -> None:
    """Marks the snapshot that is the result."""
    if kept is None or kept.record is None:
        return
    figure.add_scatter(
        x=[kept.record.step],
        y=[kept.distance.kl],
        mode="markers",
        name="the result",
        marker=dict(color=COLOURS["near"], size=11, symbol="diamond"),
        hovertemplate="the result: step %{x}, %{y:.3f} nats<extra></extra>",
    )


def _mark_step(figure: go.Figure, step: int | None) -> None:
    if step is not None:
        figure.add_vline(step, line=dict(color=GREY, width=1.5, dash="dot"))


def training_result(choice: ToyChoice, result: ToyResult) -> None:
    """Shows the result of a training, in a sentence and five figures, and its diagnosis."""
    distance = result.distance
    st.subheader(_finding(choice, distance, result.mog_distance))
    with st.container(horizontal=True):
        st.metric(
            "KL(true || model)",
            f"{distance.kl:.3f} nats",
            help="0 is a perfect model; by quadrature on 300 x 300 points.",
        )
        st.metric("KL of the MoG", f"{result.mog_distance.kl:.3f} nats")
        st.metric(
            "Total variation",
            f"{100 * distance.tv:.1f} %",
            help="The share of probability that lies in the wrong place.",
        )
        st.metric(
            "Modes kept",
            f"{distance.modes_kept} of {distance.modes_total}",
            help="A mode is kept if it has at least half of its mass.",
        )
        st.metric("Training time", f"{result.seconds:.1f} s", help="Without snapshots and pauses.")
    if result.diagnosis is not None:
        diagnosis_panel(result.diagnosis)


def _finding(choice: ToyChoice, distance: Distance, mog_distance: Distance) -> str:
    if choice.detector == "MoG":
        return f"One Gaussian a class is {distance.kl:.3f} nats from the truth."
    if distance.kl < mog_distance.kl:
        ratio = mog_distance.kl / distance.kl
        return (
            f"{choice.detector} is {ratio:.1f} times closer to the truth than the Gaussians alone."
        )
    return (
        f"{choice.detector} is further from the truth than the Gaussians alone: "
        "as a density, it is the worse model."
    )
