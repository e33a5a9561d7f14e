"""Panels of the Toy lab: the layers of an energy, curves of a training, its state and result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from numpy.typing import NDArray

from app import figures
from app.figures import COLOURS
from app.job import Job
from app.pack.progress import show_failure
from app.plane.figures import (
    GREY,
    HEIGHT,
    Curve,
    energy_heatmap,
    kl_figure,
    lines_by_step,
    mark_step,
)
from app.plane.panels import PanelTitle, kl_note
from app.plane.state import ToyPreview, TrainingSeen, start_training
from app.plane.training import (
    TOTAL,
    Layer,
    Snapshot,
    ToyChoice,
    ToyResult,
    loss_levels,
    result_sentence,
    result_snapshot,
)
from app.text import number_text
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


@dataclass(frozen=True, eq=False)
class PlanePoints:
    """What is drawn over the maps of a moment: data, negatives, both or neither, (n, 2) each."""

    data: NDArray[np.float32] | None = None
    negatives: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, drawn: str, preview: ToyPreview, snapshot: Snapshot | None) -> PlanePoints:
        """Returns what `drawn`, one of `controls.DRAWN`, asks for of a toy and a snapshot."""
        negatives = snapshot.negatives if snapshot else None
        return cls(
            preview.points if drawn in ("data", "both") else None,
            negatives if drawn in ("negatives", "both") else None,
        )


def energy_panels(
    choice: ToyChoice, preview: ToyPreview, snapshot: Snapshot | None, drawn: str
) -> None:
    """Shows the truth and the layers of an energy side by side.

    Layers that are still to come keep their places.

    Args:
        drawn: which points are drawn over them, one of `controls.DRAWN`.
    """
    expected = ("prior", "correction", TOTAL) if choice.detector == "HEAT" else (TOTAL,)
    energies: dict[str, Layer | None] = {"truth": preview.true_energy}
    energies.update(snapshot.layers if snapshot else dict.fromkeys(expected))
    points = PlanePoints.of(drawn, preview, snapshot)
    data_alone = PlanePoints.of(drawn, preview, None)
    first_drawn = next((name for name, energy in energies.items() if energy is not None), "")
    count = max(4, len(energies))
    columns = st.columns(count)
    for column, (name, energy) in zip(columns, energies.items(), strict=False):
        title = TITLES.get(name) or PanelTitle(name.capitalize(), "a term of the total")
        with column:
            has_bar = name in (first_drawn, "correction")
            drawn_points = data_alone if name == "truth" else points
            energy_panel(name, title, preview, energy, drawn_points, count, has_bar)


def energy_panel(
    name: str,
    title: PanelTitle,
    preview: ToyPreview,
    energy: Layer | None,
    points: PlanePoints,
    columns: int,
    has_bar: bool,
) -> None:
    """Shows one energy over the plane, (n, n), or its empty place.

    Args:
        points: drawn over it.
        columns: how many stand side by side; a chart keeps the size of those that it began in.
        has_bar: whether the colour bar is below it.
    """
    st.markdown(f"**{title.title}**  \n:small[{title.meaning}]")
    if energy is None:
        empty = st.container(height=HEIGHT, border=True)
        is_unknown = name == "truth"
        empty.caption("Not known of your own points." if is_unknown else "Comes with the training.")
        return
    figure = energy_heatmap(
        preview.axis,
        energy,
        points.data,
        signed=name == "correction",
        negatives=points.negatives,
        has_bar=has_bar,
    )
    st.plotly_chart(
        figure,
        key=f"panel-{name}-of-{columns}",
        alt=f"{title.title} over the plane: {title.meaning}",
        config=figures.QUIET,
    )


# -- a training


def distance_note(snapshot: Snapshot) -> str:
    """Returns how far a snapshot is from the truth, in words; its loss, where that is unknown."""
    distance = snapshot.distance
    return kl_note(snapshot) if distance is None else distance_text(distance)


def distance_text(distance: Distance) -> str:
    """Returns a distance from the truth in words.

    >>> from heat_core.plane.grid import Distance
    >>> distance_text(Distance(0.04, 0.1, 0.0, 8, 9, 0.0))
    'KL 0.040 nats, 8 of 9 modes'
    """
    modes = f"{distance.modes_kept} of {distance.modes_total} modes"
    return f"KL {number_text(distance.kl, 3)} nats, {modes}"


def state_message(
    choice: ToyChoice, preview: ToyPreview, job: Job | None, seen: TrainingSeen | None
) -> None:
    """Says why there is no result: it failed, was cancelled or left, or was never started."""
    if show_failure(job, start_training, choice):
        return
    if job is not None or seen is not None:
        others = seen.other_watchers if seen else 0
        st.warning(_end_message(others))
    else:
        truth = "" if preview.true_energy is None else "The truth is above; "
        st.info(
            f"Nothing is trained yet on these settings. {truth}"
            f"{'press' if truth else 'Press'} “Train {choice.detector}” to see the model."
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


def kl_values(snapshots: Sequence[Snapshot]) -> Curve | None:
    """Returns KL by step of snapshots with a record; None where the truth is not known."""
    steps = [snapshot.record.step for snapshot in snapshots if snapshot.record]
    kl = [snapshot.distance.kl for snapshot in snapshots if snapshot.distance]
    return Curve(steps, kl) if len(kl) == len(steps) > 0 else None


def _kl_curve(
    recorded: Sequence[Snapshot], marked_step: int | None, result: ToyResult | None
) -> None:
    if result and (sentence := result_sentence(recorded, result.snapshot)):
        st.caption(sentence)
    curve, mog_distance = kl_values(recorded), recorded[-1].mog_distance
    if curve is None or mog_distance is None:
        st.caption("KL to the truth needs the exact density, which is not known here.")
        return
    kl = curve.values
    final = result.distance.kl if result and result.distance else kl[-1]
    fell = "fell" if final < kl[0] else "rose"
    st.markdown(
        f"**KL to the truth {fell} from {number_text(kl[0], 3)} to {number_text(final, 3)} nats** "
        ":small[(0 is the truth itself)]"
    )
    figure = kl_figure({"KL": curve}, {"MoG": mog_distance.kl})
    if result:
        _mark_kept(figure, result_snapshot(recorded, result.snapshot))
    mark_step(figure, marked_step)
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
    figure = lines_by_step(steps, losses, "nats")
    figure.update_yaxes(rangemode="tozero")
    dashed = dict(dash="dash", color=GREY, width=1.5)
    for name, level in loss_levels(choice, recorded[-1].mog_distance).items():
        figure.add_hline(level, line=dashed, annotation=dict(text=name))
    mark_step(figure, marked_step)
    alt = "Training and validation loss by training step"
    st.plotly_chart(figure, key="loss", alt=alt, config=figures.QUIET)


def _mark_kept(figure: go.Figure, kept: Snapshot | None) -> None:
    """Marks the snapshot that is the result."""
    if kept is None or kept.record is None or kept.distance is None:
        return
    figure.add_scatter(
        x=[kept.record.step],
        y=[kept.distance.kl],
        mode="markers",
        name="the result",
        marker=dict(color=COLOURS["near"], size=11, symbol="diamond"),
        hovertemplate="the result: step %{x}, %{y:.3f} nats<extra></extra>",
    )


def training_result(choice: ToyChoice, preview: ToyPreview, result: ToyResult) -> None:
    """Shows the result of a training, in a sentence and some figures, and its diagnosis."""
    distance, mog_distance = result.distance, result.mog_distance
    if distance is None or mog_distance is None:
        st.subheader(f"{choice.detector} is fitted to {preview.size:,} points of your own.")
    else:
        st.subheader(_finding(choice, distance, mog_distance))
    with st.container(horizontal=True):
        if distance is not None and mog_distance is not None:
            _distance_metrics(distance, mog_distance)
        st.metric("Training time", f"{result.seconds:.1f} s", help="Without snapshots and pauses.")
    if result.diagnosis is not None:
        diagnosis_panel(result.diagnosis)


def _distance_metrics(distance: Distance, mog_distance: Distance) -> None:
    """Shows how far a model is from the truth, in four figures."""
    st.metric(
        "KL(true || model)",
        f"{number_text(distance.kl, 3)} nats",
        help="0 is a perfect model; by quadrature on 300 x 300 points.",
    )
    st.metric("KL of the MoG", f"{number_text(mog_distance.kl, 3)} nats")
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


def _finding(choice: ToyChoice, distance: Distance, mog_distance: Distance) -> str:
    if choice.detector == "MoG":
        return f"One Gaussian a class is {number_text(distance.kl, 3)} nats from the truth."
    if distance.kl < mog_distance.kl:
        ratio = mog_distance.kl / distance.kl
        return (
            f"{choice.detector} is {ratio:.1f} times closer to the truth than the Gaussians alone."
        )
    return (
        f"{choice.detector} is further from the truth than the Gaussians alone: "
        "as a density, it is the worse model."
    )
