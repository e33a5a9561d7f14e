"""The knobs of a preset, folded behind one button, and their state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import streamlit as st

from app import session
from app.incoming import number_within
from app.plane.knobs import (
    KNOBS,
    OBJECTIVE,
    OBJECTIVES,
    Knob,
    Knobs,
    Value,
    changed_knobs,
    knob_values,
    with_knobs,
)
from app.text import plain

if TYPE_CHECKING:
    from heat_core.detectors.detector import Detector

KNOBS_KEY = "knobs"  # in the link, too
OBJECTIVE_HELP = (
    "noise-contrastive: tells data from noise. likelihood by noise: its normaliser is a mean over "
    "noise. bounded: a critic within 1 / (2α). likelihood by chains: negatives are the model's own "
    "samples, by Langevin steps, for one network at a time."
)


def selected_knobs(detector_name: str, preset: str) -> Knobs:
    """Returns the knobs that are changed of a detector's preset, and keeps them in the link.

    Another preset fills all of them in anew.
    """
    from heat_core.detectors.presets import PRESETS

    state = st.session_state
    if state.get("knobs_of", preset) != preset:
        forget_knobs()
    state["knobs_of"] = preset
    detector = PRESETS["plane"][preset][detector_name]
    linked = st.query_params.get(KNOBS_KEY, "")
    if linked and linked != state.get("linked-knobs"):
        state[KNOBS_KEY] = _knobs_from_link(linked, detector)
    knobs = changed_knobs(detector, state.get(KNOBS_KEY, Knobs()).values)
    session.to_link(KNOBS_KEY, knobs.text)
    return knobs


def _knobs_from_link(text: str, detector: Detector) -> Knobs:
    """Returns the knobs of a link; none, once it has said why, where they are refused."""
    try:
        with_knobs(detector, Knobs(text))
    except ValueError as error:
        message = f"The link's knobs are left out: {plain(str(error).rstrip('.'))}."
        st.warning(message, icon=":material/link_off:")
        return Knobs()
    return Knobs(text)


def forget_knobs() -> None:
    """Goes back to the preset."""
    st.session_state[KNOBS_KEY] = Knobs()


def knob_inputs(detector_name: str, preset: str, knobs: Knobs) -> None:
    """Shows the knobs that a detector has, as they are set, and a button back to the preset."""
    from heat_core.detectors.presets import PRESETS

    detector = PRESETS["plane"][preset][detector_name]
    values = knob_values(with_knobs(detector, knobs))
    if not values:
        st.caption(f"{detector_name} has no network: it has no knobs.")
        return
    _objective_input(detector, values)
    columns = st.columns(2)
    offered = [knob for knob in KNOBS if knob.name in values]
    for number, knob in enumerate(offered):
        with columns[number % 2]:
            _number_input(detector, knob, values)
    st.button(
        f"Back to {preset}",
        icon=":material/undo:",
        disabled=not knobs.text,
        on_click=forget_knobs,
    )


def _objective_input(detector: Detector, values: Mapping[str, Value]) -> None:
    key = _key(OBJECTIVE)
    st.session_state[key] = values[OBJECTIVE]
    st.segmented_control(
        "Objective",
        tuple(OBJECTIVES),
        required=True,
        key=key,
        format_func=OBJECTIVES.__getitem__,
        on_change=_set_knob,
        args=(detector, OBJECTIVE),
        help=OBJECTIVE_HELP,
    )


def _number_input(detector: Detector, knob: Knob, values: Mapping[str, Value]) -> None:
    key = _key(knob.name)
    st.session_state[key] = float(values[knob.name])
    st.number_input(
        knob.title,
        float(knob.low),
        float(knob.high),
        None,
        step=float(knob.step),
        format=f"%.{knob.decimals}f",
        key=key,
        on_change=_set_knob,
        args=(detector, knob.name),
        help=knob.help or None,
    )


def _key(name: str) -> str:
    """Returns the key of a knob's widget."""
    return f"knob-{name}"


def _set_knob(detector: Detector, name: str) -> None:
    """Takes what a widget says; what is out of range or cleared is as in the preset."""
    values = dict(st.session_state.get(KNOBS_KEY, Knobs()).values)
    value = st.session_state[_key(name)]
    if name == OBJECTIVE:
        value = value if value in OBJECTIVES else None
    else:
        knob = next(knob for knob in KNOBS if knob.name == name)
        value = number_within(value, knob.low, knob.high)
        if value is not None and not knob.decimals:
            value = float(round(value))
    if value is None:
        values.pop(name, None)
    else:
        values[name] = value
    st.session_state[KNOBS_KEY] = changed_knobs(detector, values)
