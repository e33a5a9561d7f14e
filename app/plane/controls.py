"""Widgets of both pages of the plane: toy, detector, preset with its knobs, seed."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import session
from app.incoming import choice_input, whole_number_input
from app.plane.knob_panel import knob_inputs, selected_knobs
from app.plane.own_points import OWN
from app.plane.state import toy_title
from app.plane.training import ToyChoice

TOYS = (
    "crosses9",
    "cross",
    "moons",
    "circles",
    "spirals",
    "pinwheel",
    "checkerboard",
    "rings",
    "blobs",
)
PLANE_DETECTORS = ("HEAT", "EBM", "MoG", "SSD", "KNN")
PRESETS = ("modern", "quick", "best", "paper")

DETECTOR_HELP = (
    "HEAT: Gaussians plus a learned correction; its prior is the MoG alone here, as HEAT-GMM's is. "
    "EBM: a learned energy alone. "
    "MoG: one Gaussian a class. SSD: distance to the nearest class. "
    "KNN: distance to the k-th nearest point."
)
PRESET_HELP = (
    "modern: two networks, 800 steps, noise-contrastive. quick: one, 300 steps. "
    "best: eight, 800 steps. paper: maximum likelihood with 20 Langevin steps, "
    "from N(0, I) for the EBM and from the Gaussians for HEAT."
)
EARLY_STOPPING_HELP = (
    "Ends a training once KL to the truth has not come down by 2 % for 5 snapshots, "
    "and keeps the closest model."
)


def toy_choice(offers_own: bool = False) -> ToyChoice:
    """Returns the toy, the detector with its preset, and the seed that are selected.

    Args:
        offers_own: whether points of one's own are among the toys; they have a name of their own
            once there are some.
    """
    toys = (*TOYS, OWN) if offers_own else TOYS
    session.warn_if_not_offered("toy", toys, "toy")
    session.warn_if_not_offered("detector", PLANE_DETECTORS, "detector")
    session.warn_if_not_offered("preset", PRESETS, "preset")
    toy_column, detector_column, preset_column, knobs_column, seed_column = st.columns(
        [2, 2.6, 2.1, 1.6, 1.1], vertical_alignment="bottom"
    )
    with toy_column:
        toy = toy_input(toys)
    with detector_column:
        detector = _detector()
    with preset_column:
        preset = _preset()
    knobs = selected_knobs(detector, preset)
    with knobs_column:
        title = f"{preset}, changed" if knobs.text else "Knobs"
        with st.popover(title, icon=":material/tune:", width="stretch", key="knobs-popover"):
            knob_inputs(detector, preset, knobs)
            early_stopping = toy != OWN and _early_stopping()
    with seed_column:
        seed = seed_input()
    session.to_link("toy", toy)
    return ToyChoice(toy, detector, preset, seed, early_stopping, knobs)


def _early_stopping() -> bool:
    early_stopping = st.toggle(
        "Stop when KL stops falling",
        key=session.EARLY_STOPPING_KEY,
        bind="query-params",
        help=EARLY_STOPPING_HELP,
    )
    return bool(early_stopping)


def toy_input(toys: Sequence[str] = TOYS) -> str:
    """Returns the toy that is selected, of those that are offered."""
    session.from_link("toy", toys)
    if st.session_state.get("toy") == OWN and OWN not in toys:
        st.session_state["toy"] = toys[0]
        st.toast("Your own points stay in the Toy lab: this page needs an exact density.")
    toy = st.selectbox(
        "Toy",
        toys,
        key="toy",
        persist_state="session",
        format_func=toy_title,
        help="Densities in the plane, known exactly.",
    )
    return str(toy)


def _detector() -> str:
    return choice_input(
        "Detector",
        PLANE_DETECTORS,
        default="HEAT",
        key="detector",
        help=DETECTOR_HELP,
    )


def _preset() -> str:
    return choice_input(
        "Preset",
        PRESETS,
        default="modern",
        key="preset",
        help=PRESET_HELP,
    )


def seed_input() -> int:
    """Returns the seed that is set."""
    return whole_number_input(
        "Seed", 0, 9999, 0, 1, "seed", help="The same seed gives the same result."
    )
