"""Widgets of the Toy lab alone: side by side, the points that are drawn, how chains are run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from app import session
from app.incoming import choice_input, number_input, whole_number_input
from app.plane.chains import STARTS, ChainSettings
from app.plane.knob_panel import forget_knobs
from app.plane.state import start_training
from app.plane.training import ToyChoice
from app.text import plain
from app.toy_lab.side_by_side import (
    COMPARED_DETECTORS,
    MAX_COMPARED,
    compared_choices,
    kept_text,
    parse_kept,
)

SIDES = ("off", "detectors", "seeds", "presets", "kept")
SIDES_HELP = (
    "detectors: MoG, EBM and HEAT, as in the paper's second figure. seeds: this one and the next "
    "two. presets: quick, modern, paper. kept: what “Keep” has kept, and what is set now."
)
COMPARE_KEY = "compare"  # in the link, too; a link of version 0.1 says `true` there
KEPT_KEY = "beside"  # in the link, too


def comparison_choice(choice: ToyChoice) -> dict[str, ToyChoice]:
    """Returns {what it differs by: choice} of what stands side by side; nothing where none does.

    Offers the paper's two figures, too.
    """
    kept = _kept_choices(choice)
    side = _side_input()
    st.button(
        "Keep",
        icon=":material/push_pin:",
        on_click=_keep,
        args=(kept, choice),
        help="Keeps these settings; change a knob, the preset or the seed, and both stand side by "
        "side. The last two are kept.",
    )
    if kept:
        st.button("Forget kept", icon=":material/close:", type="tertiary", on_click=_forget_kept)
    _figure_button("Figure 1: a cross, corrected", "cross", compare=False)
    _figure_button("Figure 2: nine crosses", "crosses9", compare=True)
    return {} if side == "off" else compared_choices(side, choice, kept)


def _side_input() -> str:
    """Returns what stands side by side, one of `SIDES`."""
    if st.query_params.get(COMPARE_KEY) == "true":
        st.query_params[COMPARE_KEY] = "detectors"
    session.from_link(COMPARE_KEY, SIDES)
    st.session_state.setdefault(COMPARE_KEY, "off")
    side = st.segmented_control(
        "Side by side",
        SIDES,
        required=True,
        key=COMPARE_KEY,
        persist_state="session",
        help=SIDES_HELP,
    )
    session.to_link(COMPARE_KEY, "" if side in (None, "off") else str(side))
    return side or "off"


def _kept_choices(choice: ToyChoice) -> tuple[ToyChoice, ...]:
    """Returns the settings that are kept, on a choice's toy, and keeps them in the link."""
    state = st.session_state
    if KEPT_KEY not in state:
        state[KEPT_KEY] = ()
        try:
            state[KEPT_KEY] = parse_kept(st.query_params.get(KEPT_KEY, ""), choice.toy)
        except ValueError as error:
            message = f"The link's kept settings are left out: {plain(str(error).rstrip('.'))}."
            st.warning(message, icon=":material/link_off:")
    session.write_to_link(KEPT_KEY, kept_text(state[KEPT_KEY]))
    return tuple(
        replace(kept, toy=choice.toy, early_stopping=choice.early_stopping)
        for kept in state[KEPT_KEY]
    )


def _keep(kept: Sequence[ToyChoice], choice: ToyChoice) -> None:
    """Keeps settings beside the last that were kept, and shows both."""
    others = [other for other in kept if other != choice]
    st.session_state[KEPT_KEY] = (*others, choice)[1 - MAX_COMPARED :]
    st.session_state[COMPARE_KEY] = "kept"


def _forget_kept() -> None:
    st.session_state[KEPT_KEY] = ()
    st.session_state[COMPARE_KEY] = "off"


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
    forget_knobs()
    st.session_state.update(toy=toy, detector="HEAT", preset="paper", seed=0)
    st.session_state[COMPARE_KEY] = "detectors" if compare else "off"
    st.session_state[session.EARLY_STOPPING_KEY] = False
    for detector in COMPARED_DETECTORS if compare else ("HEAT",):
        start_training(ToyChoice(toy, detector, "paper", 0))


DRAWN = ("data", "negatives", "both", "none")
DRAWN_HELP = (
    "data: training points, as level strokes. negatives: what the step before a snapshot learned "
    "from, as upright strokes: noise, or where chains have ended."
)


def drawn_input() -> str:
    """Returns which points are drawn over the maps."""
    return choice_input("Points", DRAWN, default="data", key="points", help=DRAWN_HELP)


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
