"""Points of one's own: drawn with the mouse or pasted as text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.components.scatter_map import WHOLE, Drawing, Legend, MapPicture, Window, scatter_map
from app.figures import GREY
from app.plane.own_points import (
    DRAWING_EXTENT,
    MAX_TEXT,
    OwnSource,
    own_points,
    own_source,
    set_own_source,
    were_typed_elsewhere,
)
from app.plane.polygons import drawn_polygon, map_outlines, parse_polygons, polygons_text
from app.plane.rendering import energy_map_png
from app.plane.training import ToyChoice
from app.text import plain

TEXT_KEY = "own-text"
PLACEHOLDER = "0.5, 1.2\n0.7, 1.1, left\n-1.3, 0.2, right"
FLAT = np.ones((2, 2), np.float32)
NO_TRUTH = "The exact density of your own points is not known: there is no truth, and no KL to it."


def own_choice(choice: ToyChoice) -> ToyChoice:
    """Shows where own points are drawn and pasted; returns the choice of them.

    The page ends here where there are none yet, or once it has said why they are refused.
    """
    is_lost = were_typed_elsewhere()
    source = own_source()
    is_empty = not (source.text or source.regions)
    if is_lost:
        st.warning(
            "The points of this link were pasted in another tab, and a link does not hold them: "
            "paste them again.",
            icon=":material/link_off:",
        )
    try:
        points = None if is_empty else own_points()
        refusal = ""
    except ValueError as error:
        points, refusal = None, str(error)
    with st.expander(
        "Draw or paste points",
        expanded=points is None,
        icon=":material/edit:",
        key="own-editor",
    ):
        map_column, text_column = st.columns([1, 2])
        with map_column:
            _drawing_map(source)
        with text_column:
            _text_input(source)
            if refusal:
                st.error(plain(refusal), icon=":material/error:")
    if points is None:
        st.info("Draw some regions or paste some points: then a detector can be trained on them.")
        st.stop()
    scaled = ""
    if points.was_scaled:
        (x, y), unit = points.centre, points.unit
        scaled = f" Shown in units of {unit:.3g} about ({x:.4g}, {y:.4g})."
    st.caption(NO_TRUTH + scaled)
    return replace(choice, toy=source.toy_name)


def _drawing_map(source: OwnSource) -> None:
    """Shows regions that were drawn, each a class, where one can draw others."""

    def on_draw(drawing: Drawing) -> None:
        text = polygons_text((*source.regions, drawn_polygon(drawing)))  # as the link has them
        set_own_source(OwnSource(regions=parse_polygons(text)))

    def on_move(window: Window) -> None:
        st.session_state["own-window"] = window

    window = st.session_state.get("own-window", WHOLE)
    nothing = np.zeros((0, 2), np.float32)
    picture = MapPicture(
        energy_map_png(FLAT, (0.0, 1.0), _shown_points(source), nothing, window),
        1.0,
        window,
        "A square to draw regions on; each becomes a class of points.",
        map_outlines(source.regions),
        (),
        Legend("Draw up to four regions, each a class", ((GREY, "●", "points"),)),
    )
    scatter_map(picture, on_draw, on_move, key="own-map")
    st.button(
        "Clear the drawing",
        icon=":material/delete:",
        disabled=not source.regions,
        on_click=set_own_source,
        args=(OwnSource(),),
    )


def _shown_points(source: OwnSource) -> NDArray[np.float32]:
    """Returns the points (N, 2) as shares of the square that they are shown on."""
    try:
        points = own_points()
    except ValueError:
        return np.zeros((0, 2), np.float32)
    if source.text:
        return (points.z.numpy() / points.extent).astype(np.float32)
    drawn = points.z.numpy() * points.unit + np.array(points.centre, np.float32)
    return (drawn / DRAWING_EXTENT).astype(np.float32)


def _text_input(source: OwnSource) -> None:
    st.text_area(
        "Points: x, y or x, y, label a line",
        source.text,
        height=230,
        max_chars=MAX_TEXT,
        key=TEXT_KEY,
        placeholder=PLACEHOLDER,
        help="10 to 4,000 points; every label is a class, without labels all are one. They are "
        "moved and scaled where they do not fit the square.",
    )
    st.button("Use these points", icon=":material/check:", on_click=_use_text)


def _use_text() -> None:
    set_own_source(OwnSource(text=str(st.session_state.get(TEXT_KEY) or "")[:MAX_TEXT]))
