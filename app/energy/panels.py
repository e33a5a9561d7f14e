"""Panels of a trained classifier: its landscapes, temperature, decomposition and density."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from app import figures
from app.colour_scale import ColourScale
from app.components.surfaces import Block, Surface, surfaces
from app.components.temperature_dial import dial_data, temperature_dial
from app.energy.controls import select_temperature, temperature_input
from app.energy.figures import confidence_map, course, density_scatter, energy_map, energy_range
from app.energy.training import SIDE, ClassifierResult, ClassifierSnapshot, Values
from app.figures import COLOURS
from app.plane.colours import SIGNED_COLOURS
from app.plane.state import ToyPreview, toy_grid
from app.text import number_text

ID_AND_OOD = COLOURS["ID"], COLOURS["near"]
CATCH = (
    "Cross-entropy asks for differences of logits alone. Adding one number to all of them changes "
    "the energy and no loss, so nothing keeps the energy high where there is no data. Fine-tuning "
    "below does."
)


# -- the landscapes --------------------------------------------------------------------------------


def finding(result: ClassifierResult) -> str:
    """Returns what softmax and energy say far away, in a sentence."""
    softmax = f"Far away the softmax is still {100 * result.far_confidence:.0f} % sure"
    energy = f"the energy is {number_text(result.far_energy, 1)} there"
    mean = f"{number_text(result.snapshot.id_energy.mean(), 1)} on ID"
    if result.far_beyond_id >= 0.95:
        verdict = "so the energy tells"
    elif result.far_beyond_id <= 0.05:
        surer = result.far_energy < result.snapshot.id_energy.mean()
        verdict = (
            "so the energy takes it for ID, more surely than ID itself"
            if surer
            else "so the energy does not tell either"
        )
    else:
        verdict = f"so the energy tells in {100 * result.far_beyond_id:.0f} % of directions"
    return f"{softmax}; {energy}, and {mean}, {verdict}."


def landscapes(snapshot: ClassifierSnapshot, preview: ToyPreview, key: str) -> None:
    """Shows the softmax confidence and the energy side by side."""
    axis = map_axis(preview)
    softmax_column, energy_column = st.columns(2)
    with softmax_column:
        st.markdown("**Softmax confidence**  \n:small[bright: sure; dark: in doubt]")
        st.plotly_chart(
            confidence_map(axis, snapshot.confidence, preview.points, preview.modes),
            key=f"softmax-{key}",
            alt="The largest softmax share over the plane, in percent",
            config=figures.QUIET,
        )
    with energy_column:
        st.markdown("**Energy**  \n:small[-logsumexp of the logits; bright: low, taken for ID]")
        heights_range = energy_range([snapshot.energy, snapshot.id_energy])
        st.plotly_chart(
            energy_map(axis, snapshot.energy, preview.points, heights_range),
            key=f"energy-{key}",
            alt="The free energy over the plane, in nats",
            config=figures.QUIET,
        )


def map_axis(preview: ToyPreview) -> Values:
    """Returns the coordinates of a snapshot's grid, (SIDE,)."""
    half = preview.extent
    return ((np.arange(SIDE) + 0.5) / SIDE * 2 * half - half).astype(np.float32)


def training_course(snapshots: Sequence[ClassifierSnapshot], marked_step: int | None) -> None:
    """Shows the accuracy by training step."""
    recorded = [snapshot for snapshot in snapshots if snapshot.record]
    if len(recorded) < 2:
        return
    steps = [snapshot.record.step for snapshot in recorded if snapshot.record]
    accuracies = [100 * snapshot.accuracy for snapshot in recorded]
    st.markdown("**Accuracy** :small[(on 2,000 fresh ID points)]")
    st.plotly_chart(
        course(steps, {"accuracy": accuracies}, marked_step),
        key="course",
        alt="Accuracy by training step, in percent",
        config=figures.QUIET,
    )


def facts(result: ClassifierResult) -> None:
    """Shows a trained classifier in figures."""
    with st.container(horizontal=True):
        st.metric(
            "Accuracy",
            f"{100 * result.snapshot.accuracy:.1f} %",
            help="On 2,000 fresh ID points.",
        )
        st.metric(
            "Softmax far away",
            f"{100 * result.far_confidence:.1f} %",
            help="The largest share, on average over directions, three times as far out as the "
            "picture reaches.",
        )
        far, near = result.far_energy, result.snapshot.id_energy.mean()
        st.metric("Energy far away", f"{number_text(far, 1)} nats", help="The median there.")
        st.metric("Energy of ID", f"{number_text(near, 1)} nats", help="The mean.")
        st.metric("Training time", f"{result.seconds:.1f} s", help="Without snapshots and pauses.")
    if result.far_beyond_id < 0.95:
        st.caption(CATCH)


# -- the temperature -------------------------------------------------------------------------------


@st.fragment
def temperature_panel(result: ClassifierResult) -> None:
    """Shows the scores of ID and OOD points at a temperature to drag, and how well they part."""
    st.subheader("Temperature")
    st.caption(
        "2,000 fresh ID points and as many OOD ones. Drag T: the browser computes every score from "
        "the logits."
    )
    dial_column, table_column = st.columns([3, 2])
    with table_column:
        temperature = temperature_input()
        table = separation_table(result, temperature)
        st.dataframe(
            table,
            column_config=dict.fromkeys(
                ("AUROC %", "FPR95 %"), st.column_config.NumberColumn(format="%.1f")
            ),
            hide_index=True,
            alt="AUROC and FPR95 of energy and softmax at the temperature and at T = 1",
        )
        st.caption(
            "A small T leaves the energy the largest logit alone, a large one the mean of the "
            "logits, which cross-entropy does not teach. An AUROC below 50 % is the wrong way "
            "round: OOD is taken for ID more surely than ID itself."
        )
    with dial_column:
        data = dial_data(
            result.id_logits,
            result.ood_logits,
            temperature,
            ID_AND_OOD,
            label="Temperature of energy and softmax",
        )
        temperature_dial(data, select_temperature, key="temperature-dial")


def separation_table(result: ClassifierResult, temperature: float) -> pd.DataFrame:
    """Returns AUROC and FPR95 of energy and softmax at a temperature and at 1, in percent."""
    from heat_core.metrics import separation
    from heat_core.plane.classifier import read_logits

    rows = []
    for t in dict.fromkeys((temperature, 1.0)):
        inside, outside = (
            read_logits(logits, t) for logits in (result.id_logits, result.ood_logits)
        )
        for name, scores in (
            ("Energy", (inside.energy, outside.energy)),
            ("Softmax", (-inside.log_softmax, -outside.log_softmax)),
        ):
            parted = separation(*scores)
            rows.append(
                (name, f"{t:g}", round(100 * parted.auroc, 1), round(100 * parted.fpr95, 1))
            )
    return pd.DataFrame(rows, columns=["Score", "T", "AUROC %", "FPR95 %"])


# -- the decomposition -----------------------------------------------------------------------------


def decomposition(snapshot: ClassifierSnapshot, preview: ToyPreview) -> None:
    """Shows log max softmax = energy + max logit as three maps on the same colours."""
    reach = float(np.ceil(np.quantile(np.abs(snapshot.max_logit), 0.98)))
    softmax_reach = float(np.quantile(-snapshot.log_softmax, 0.98))
    st.subheader("log max softmax = E + max f: what the energy says, the largest logit takes back.")
    st.caption(
        f"The two terms reach ±{reach:.0f} nats, their sum only {-softmax_reach:.1f}: softmax "
        "compares logits, so how large they are is lost in it."
    )
    panels = [
        Surface(
            values,
            title,
            meaning,
            f"{title} over the plane: {meaning}; colours from -{reach:g} to {reach:g} nats",
        )
        for values, title, meaning in (
            (snapshot.energy, "E", "the energy"),
            (snapshot.max_logit, "+ max f", "the largest logit"),
            (snapshot.log_softmax, "= log max softmax", "their sum, never above 0"),
        )
    ]
    half = preview.extent
    block = Block(
        (-half, half),
        (-half, half),
        scale=ColourScale(SIGNED_COLOURS, -reach, reach),
        flat=True,
        columns=3,
    )
    surfaces(panels, block, "decomposition")


# -- against the exact density ---------------------------------------------------------------------


def density_panels(result: ClassifierResult, toy: str) -> None:
    """Shows which follows the exact density: the energy or the softmax."""
    from heat_core.plane.classifier import id_log_density

    grid = toy_grid(toy, SIDE)
    log_density = grid.true_log_prob
    is_id = log_density >= id_log_density(grid.toy)
    ranks = result.correlations
    st.subheader(_density_finding(ranks.energy, ranks.softmax))
    energy_column, softmax_column = st.columns(2)
    with energy_column:
        st.markdown(f"**-E against log p** :small[rank correlation {ranks.energy:+.2f}]")
        st.plotly_chart(
            density_scatter(log_density, -result.snapshot.energy.ravel(), is_id, "-E, nats"),
            key="scatter-energy",
            alt=f"Negative energy by exact log density, rank correlation {ranks.energy:+.2f}",
            config=figures.QUIET,
        )
    with softmax_column:
        st.markdown(f"**log softmax against log p** :small[rank correlation {ranks.softmax:+.2f}]")
        values = result.snapshot.log_softmax.ravel()
        st.plotly_chart(
            density_scatter(log_density, values, is_id, "log max softmax"),
            key="scatter-softmax",
            alt=f"Log max softmax by exact log density, rank correlation {ranks.softmax:+.2f}",
            config=figures.QUIET,
        )


def _density_finding(energy: float, softmax: float) -> str:
    figures_text = f"rank correlation {energy:+.2f} against {softmax:+.2f}"
    if max(energy, softmax) <= 0.1:
        return f"Neither energy nor softmax follows the density yet: {figures_text}."
    if energy > softmax:
        return f"The energy follows the density better than the softmax: {figures_text}."
    return f"The softmax follows the density no worse than the energy: {figures_text}."
