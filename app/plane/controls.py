"""Widgets of the two pages of the plane."""

from __future__ import annotations

import streamlit as st

from app import session
from app.plane.chains import STARTS, Walk
from app.plane.reading import Window
from app.plane.state import COMPARED_DETECTORS, start_training, toy_title
from app.plane.training import ToyChoice
from app.session import warn_if_not_offered

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


def toy_choice() -> ToyChoice:
    """Returns what to train on what."""
    for key, offered in (("toy", TOYS), ("detector", PLANE_DETECTORS), ("preset", PRESETS)):
        warn_if_not_offered(key, offered, key)
    columns = st.columns([2, 3, 2, 1], vertical_alignment="bottom")
    session.from_link("toy", TOYS)
    toy = columns[0].selectbox(
        "Dataset",
        TOYS,
        key="toy",
        persist_state="session",
        format_func=toy_title,
        help="Densities in the plane, known exactly.",
    )
    detector = columns[1].segmented_control(
        "Detector",
        PLANE_DETECTORS,
        default="HEAT",
        required=True,
        key="detector",
        bind="query-params",
        help="HEAT: Gaussians plus a learned correction. EBM: a learned energy alone. MoG: one Gaussian a class. "
        "SSD: distance to the nearest class. KNN: distance to the k-th nearest point.",
    )
    preset = columns[2].segmented_control(
        "Preset",
        PRESETS,
        default="modern",
        required=True,
        key="preset",
        bind="query-params",
        help="modern: two networks, 800 steps, noise-contrastive. quick: one, 300 steps. best: eight, 800 steps. "
        "paper: maximum likelihood with 20 Langevin steps, from N(0, I) for the EBM and from the Gaussians for HEAT.",
    )
    seed = columns[3].number_input(
        "Seed",
        0,
        9999,
        0,
        key="seed",
        bind="query-params",
        help="The same seed gives the same result.",
    )
    early = st.toggle(
        "Stop when KL stops falling",
        key="early",
        bind="query-params",
        help="Ends a training once KL to the truth has not come down by 2 % for 5 snapshots, and keeps the closest model.",
    )
    return ToyChoice(
        session.to_link("toy", str(toy)), str(detector), str(preset), int(seed or 0), bool(early)
    )


def paper_figures() -> bool:
    """Offers the paper's two figures, each one click. Returns whether three detectors are shown side by side."""
    preset = "paper" if "paper" in PRESETS else "modern"
    with st.container(horizontal=True, vertical_alignment="center"):
        compare = st.toggle(
            "MoG, EBM and HEAT side by side",
            key="compare",
            bind="query-params",
            help="The paper's second figure, on any of these toys.",
        )
        for label, toy, three in (
            ("Figure 1: a cross, corrected", "cross", False),
            ("Figure 2: nine crosses", "crosses9", True),
        ):
            st.button(
                label,
                icon=":material/menu_book:",
                type="tertiary",
                on_click=_open_figure,
                args=(toy, preset, three),
                help="Of Lafon et al. 2022, trained here and now.",
            )
    return compare


def _open_figure(toy: str, preset: str, compare: bool) -> None:
    st.session_state.update(
        toy=toy, detector="HEAT", preset=preset, seed=0, early=False, compare=compare
    )
    for detector in COMPARED_DETECTORS if compare else ("HEAT",):
        start_training(ToyChoice(toy, detector, preset, 0))


def walk_choice() -> Walk:
    """Returns how chains walk."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        start = st.segmented_control(
            "Start from",
            STARTS,
            default="data",
            required=True,
            key="start",
            bind="query-params",
            help="noise: N(0, I), as the paper's EBM starts. data: points of the true density.",
        )
        steps = st.number_input(
            "Steps", 1, 2000, 300, 100, key="steps", bind="query-params", width=140
        )
        size = st.number_input(
            "Step size",
            1e-5,
            1.0,
            1e-3,
            1e-3,
            format="%.5f",
            key="size",
            bind="query-params",
            width=170,
            help="a in z - a ∇E(z) + √(2a) ε. Small: slow. Large: biased, and then it flies off.",
        )
    return Walk(int(steps or 300), float(size or 1e-3), str(start))


def landscape_view(extent: float) -> tuple[str, float, Window, tuple[float, float]]:
    """Returns how a landscape is drawn (contour or surface), how far its colours reach, in nats, which
    window, and the point."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        drawn = st.segmented_control(
            "Draw as",
            ("contour", "surface"),
            default="contour",
            required=True,
            key="draw",
            bind="query-params",
        )
        limit = st.number_input(
            "Colours reach ± nats",
            0.01,
            1000.0,
            8.0,
            1.0,
            key="reach",
            bind="query-params",
            width=180,
            help="The same for all three panels, centred on zero. Small values show a bounded correction.",
        )
        zoom = st.segmented_control(
            "Zoom",
            (1, 2, 4, 8),
            default=1,
            required=True,
            key="zoom",
            bind="query-params",
            format_func=lambda factor: f"{factor} ×",
            help="Around the point.",
        )
        with st.container(horizontal=True, width="content"):
            x = st.number_input(
                "x", -20.0, 20.0, 0.0, 0.1, format="%.3f", key="x", bind="query-params", width=140
            )
            y = st.number_input(
                "y", -20.0, 20.0, 0.0, 0.1, format="%.3f", key="y", bind="query-params", width=140
            )
    x, y, half = float(x or 0), float(y or 0), extent / int(zoom or 1)
    centre = (x, y) if zoom != 1 else (0.0, 0.0)
    return str(drawn), float(limit or 8), Window(*centre, half), (x, y)
