"""Widgets of the Energy page."""

from __future__ import annotations

import streamlit as st

from app import session
from app.components.margin_lines import MAX_MARGIN, Margins
from app.components.temperature_dial import MAX_TEMPERATURE, MIN_TEMPERATURE
from app.energy.state import drawn_polygons, set_margins
from app.energy.training import AUXILIARY_SETS, UNITS, AuxiliaryChoice, ClassifierChoice
from app.incoming import choice_input, number_input
from app.plane.controls import TOYS, seed_input, toy_input
from app.plane.state import toy_title

UNITS_HELP = (
    "Hidden units. ReLU: logits grow without bound far away. tanh: they stay bounded. "
    "bump, exp(-x²): they fade away from the data."
)
SET_TITLES = {"around": "around", "ring": "a ring", "toy": "another toy", "drawn": "drawn"}
SET_HELP = (
    "What the classifier is to call OOD. around: spread over a square half as wide again. "
    "drawn: what you draw on the map, filled with points. None lies where ID points do."
)
WEIGHT_HELP = (
    "λ, what the penalty of margins counts beside cross-entropy. Liu et al. 2020 take 0.1 for "
    "images; in the plane 1 gets there in 2,000 steps."
)


def classifier_choice() -> ClassifierChoice:
    """Returns the toy, the hidden units and the seed that are selected."""
    session.warn_if_not_offered("toy", TOYS, "toy")
    session.warn_if_not_offered("units", tuple(UNITS), "hidden units")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width=240):
            toy = toy_input()
        units = choice_input(
            "Hidden units",
            tuple(UNITS),
            default="relu",
            key="units",
            help=UNITS_HELP,
        )
        with st.container(width=140):
            seed = seed_input()
    session.to_link("toy", toy)
    return ClassifierChoice(toy, units, seed)


def wants_tuned() -> bool:
    """Returns whether the fine-tuned classifier is shown, where there is one."""
    shown = choice_input(
        "Classifier",
        ("trained", "fine-tuned"),
        default="trained",
        key="shown",
        help="Which one the temperature, the decomposition and the density are of.",
    )
    return shown == "fine-tuned"


def temperature_input() -> float:
    """Returns the temperature, as it was let go or typed."""
    return number_input(
        "Temperature T",
        MIN_TEMPERATURE,
        MAX_TEMPERATURE,
        default=1.0,
        step=0.1,
        key="T",
        width=160,
        help="Of the energy, -T logsumexp(f / T), and of the softmax of f / T. "
        "Liu et al. 2020 recommend 1.",
    )


def select_temperature(temperature: float) -> None:
    """Selects a temperature, as a drag does."""
    st.session_state["T"] = round(temperature, 2)


def auxiliary_choice(toy: str) -> AuxiliaryChoice:
    """Returns the auxiliary set that is selected for a toy."""
    session.warn_if_not_offered("aux", AUXILIARY_SETS, "auxiliary set")
    kind = choice_input(
        "Auxiliary points",
        AUXILIARY_SETS,
        default="around",
        key="aux",
        format_func=SET_TITLES.__getitem__,
        help=SET_HELP,
    )
    polygons = drawn_polygons()
    if kind == "toy":
        return AuxiliaryChoice(kind, other_toy=_other_toy(toy))
    return AuxiliaryChoice(kind, polygons=polygons if kind == "drawn" else ())


def _other_toy(toy: str) -> str:
    session.from_link("aux_toy", TOYS)
    default = next(name for name in ("checkerboard", "rings") if name != toy)
    name = st.selectbox(
        "Whose points",
        TOYS,
        index=TOYS.index(default),
        key="aux_toy",
        persist_state="session",
        format_func=toy_title,
        help="Scaled to the same square; those where ID points lie are left out.",
    )
    return session.to_link("aux_toy", str(name))


def weight_input() -> float:
    """Returns the weight of the penalty."""
    return number_input(
        "Weight λ", 0.01, 100.0, 1.0, 0.1, key="weight", width=150, help=WEIGHT_HELP
    )


def margin_inputs(margins: Margins) -> None:
    """Shows the margins to type, each of which sets both."""
    for key, value in zip(("m_in", "m_out"), margins, strict=True):
        st.session_state[key] = round(value, 2)
    _margin_input("m_in", "m_in: ID energies are to stay below it")
    _margin_input("m_out", "m_out: auxiliary energies are to rise above it")


def _margin_input(key: str, label: str) -> None:
    st.number_input(
        label, -MAX_MARGIN, MAX_MARGIN, step=0.5, format="%.2f", key=key, on_change=_margins_typed
    )


def _margins_typed() -> None:
    state = st.session_state
    set_margins((float(state["m_in"]), float(state["m_out"])))
