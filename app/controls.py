"""Widgets that return choices. Every choice lives in the URL, so a link reproduces the view."""

from __future__ import annotations

import streamlit as st

from app import session
from app.session import ToyChoice
from app.text import plain

TOYS = ("crosses9", "cross", "moons", "circles", "spirals", "pinwheel", "checkerboard", "rings", "blobs")
PLANE_DETECTORS = ("HEAT", "EBM", "MoG", "SSD", "KNN")
PRESETS = ("modern", "quick")


def toy_choice() -> ToyChoice:
    """Returns what to train on what."""
    columns = st.columns([2, 3, 2, 1], vertical_alignment="bottom")
    toy = columns[0].selectbox("Dataset", TOYS, key="toy", bind="query-params", help="Densities in the plane, known exactly.")
    detector = columns[1].segmented_control(
        "Detector", PLANE_DETECTORS, default="HEAT", required=True, key="detector", bind="query-params",
        help="HEAT: Gaussians plus a learned correction. EBM: a learned energy alone. MoG: one Gaussian a class. "
        "SSD: distance to the nearest class. KNN: distance to the k-th nearest point.",
    )  # fmt: skip
    preset = columns[2].segmented_control(
        "Preset", PRESETS, default="modern", required=True, key="preset", bind="query-params",
        help="modern: 800 steps. quick: 300 steps.",
    )  # fmt: skip
    seed = columns[3].number_input(
        "Seed", 0, 9999, 0, key="seed", bind="query-params", help="The same seed gives the same result."
    )
    return ToyChoice(str(toy), str(detector), str(preset), int(seed or 0))


def kept_share() -> float:
    """Returns the share of ID that the threshold must keep."""
    percent = st.number_input(
        "Keep at least this much of ID (%)", 50.0, 99.9, 95.0, 0.5, format="%.1f", key="keep", bind="query-params", width=300,
        help="The threshold of each detector is the smallest one that keeps this share of the ID test set.",
    )  # fmt: skip
    return float(percent or 95.0) / 100


def scale() -> str:
    """Returns whether scores are shown as they are or as ID percentiles."""
    return str(
        st.segmented_control(
            "Show scores as", ("ID percentile", "raw"), default="raw", required=True, key="scale", bind="query-params",
            help="A percentile says what share of the ID test set scores lower, so that detectors compare.",
        )
    )  # fmt: skip


def own_data() -> None:
    """Offers an upload, and the way back."""
    with st.popover("Use your own features", icon=":material/upload:"):
        st.markdown(
            "An `.npz` with `train_z` (N, d), `train_y` (N,), `test_z`, and OOD sets `near_NAME`, `mid_NAME`, `far_NAME`; "
            "`weight` and `bias` of the classifier's last layer if MSP and Energy are wanted. It stays in this session."
        )
        file = st.file_uploader("Arrays", type="npz", max_upload_size=200)
        if file is None:
            session.forget_mistake()
        elif st.session_state.get("seen") != file.file_id:
            st.session_state["seen"] = file.file_id
            session.upload(file, file.name)
        if "upload_error" in st.session_state:
            st.error(plain(st.session_state["upload_error"]), icon=":material/error:")
        if "uploaded" in st.session_state:
            st.button("Back to the data that ships", on_click=session.drop_upload)
