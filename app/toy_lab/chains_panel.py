"""Langevin chains over a finished landscape."""

from __future__ import annotations

import streamlit as st

from app import figures
from app.plane.chains import Chains
from app.plane.figures import energy_heatmap, with_chains
from app.plane.state import ToyPreview, cached_chains
from app.plane.training import TOTAL, ToyChoice, ToyResult
from app.text import plain
from app.toy_lab.controls import chain_settings


def chains_panel(choice: ToyChoice, preview: ToyPreview, result: ToyResult) -> None:
    """Shows Langevin chains over the finished landscape, if they are switched on."""
    if not st.toggle("Chains over the landscape", key="chains", bind="query-params"):
        return
    outcome = cached_chains(choice.key, chain_settings(), result, choice.toy)
    chains = outcome.chains
    if chains is None:
        st.error(plain(outcome.error), icon=":material/error:")
        return
    count = chains.paths.shape[1]
    st.subheader(
        f"In {count * chains.steps:,} steps, {count} chains changed mode "
        f"{_times(chains.switch_count)}."
    )
    _metrics(chains, preview)
    energy = energy_heatmap(preview.axis, result.snapshot.layers[TOTAL])
    st.plotly_chart(
        with_chains(energy, chains.paths),
        key="walks",
        width=640,
        alt=(
            f"{count} Langevin chains over the energy; {chains.switch_count} mode switches, "
            f"acceptance {chains.acceptance:.2f}"
        ),
        config=figures.QUIET,
    )


def _times(count: int) -> str:
    if count == 0:
        return "not once"
    return f"{count} time{'s' * (count != 1)}"


def _metrics(chains: Chains, preview: ToyPreview) -> None:
    with st.container(horizontal=True):
        st.metric("Mode switches", f"{chains.switch_count}")
        st.metric(
            "Modes at the end",
            f"{chains.modes_at_end} of {preview.modes}",
            help="In how many modes a chain ended.",
        )
        st.metric(
            "Acceptance",
            f"{100 * chains.acceptance:.1f} %",
            help="What a Metropolis test would accept. Langevin has "
            "none: far below 100 %, the step is too long and the samples are biased.",
        )
        st.metric(
            "Temperature",
            f"{chains.temperature:.3g}",
            help="noise² / (2 a): 1 samples the energy as it is.",
        )
