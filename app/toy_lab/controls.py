"""Widgets of the Toy lab alone: the paper's figures, and how chains are run."""

from __future__ import annotations

import streamlit as st

from app.incoming import choice_input, number_input, whole_number_input
from app.plane.chains import STARTS, ChainSettings
from app.plane.state import COMPARED_DETECTORS, start_training
from app.plane.training import ToyChoice
from app.session import EARLY_STOPPING_KEY


def comparison_toggle() -> bool:
    """Returns whether three detectors are shown side by side; offers the paper's two figures."""
    with st.container(horizontal=True, vertical_alignment="center"):
        compare = st.toggle(
            "MoG, EBM and HEAT side by side",
            key="compare",
            bind="query-params",
            help="The paper's second figure, on any of these toys.",
        )
        _figure_button("Figure 1: a cross, corrected", "cross", compare=False)
        _figure_button("Figure 2: nine crosses", "crosses9", compare=True)
    return compare


def _figure_button(label: str, toy: str, compare: bool) -> None:
    st.button(
        label,
        icon=":material/menu_book:",
        type="tertiary",
        on_click=_open_figure,
        args=(toy, compare),
        help="Of Lafon et al. 2022, trained here and now.",
    )


def _open_figure(toy: str, compare: bool) -> None:
    """Selects what a figure of the paper shows, and starts its trainings."""
    st.session_state.update(toy=toy, detector="HEAT", preset="paper", seed=0, compare=compare)
    st.session_state[EARLY_STOPPING_KEY] = False
    for detector in COMPARED_DETECTORS if compare else ("HEAT",):
        start_training(ToyChoice(toy, detector, "paper", 0))


def chain_settings() -> ChainSettings:
    """Returns how chains are run."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        start = choice_input(
            "Start from",
            STARTS,
            default="data",
            key="start",
            help="noise: N(0, I), as the paper's EBM starts. data: points of the true density.",
        )
        steps = whole_number_input("Steps", 1, 2000, 300, 100, "steps", width=140)
        step_size = number_input(
            "Step size",
            1e-5,
            1.0,
            default=1e-3,
            step=1e-3,
            key="size",
            decimals=5,
            width=170,
            help="a in z - a ∇E(z) + √(2a) ε. Small: slow. Large: biased, and then it flies off.",
        )
    return ChainSettings(steps, step_size, start)
