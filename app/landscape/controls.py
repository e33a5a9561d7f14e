"""Widgets of the Landscape alone: how it is drawn, and the point that is taken apart."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.incoming import choice_input, number_input
from app.plane.colours import REACH
from app.plane.reading import PlaneWindow


@dataclass(frozen=True)
class LandscapeChoice:
    """How a landscape is drawn, and which of its points is taken apart.

    Args:
        style: `contour` or `surface`.
        reach: nats that the colours reach: of an energy above the lowest, of a correction up and
            down from zero.
        window: the part of the plane.
        point: (x, y) that is taken apart.
    """

    style: str
    reach: float
    window: PlaneWindow
    point: tuple[float, float]


def landscape_choice(extent: float) -> LandscapeChoice:
    """Returns how the landscape of a toy is drawn, and which point is taken apart.

    Args:
        extent: half the side of the toy's square.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        style = choice_input(
            "Draw as",
            ("contour", "surface"),
            default="contour",
            key="draw",
        )
        reach = number_input(
            "Colours reach, nats",
            0.01,
            1000.0,
            default=REACH,
            step=10.0,
            key="reach",
            width=180,
            help="Of energies above the total's lowest, of the correction up and down from zero; "
            "the error has its own. Colours are even in the logarithm, so that high walls still "
            "differ. Small values show a bounded correction.",
        )
        zoom = choice_input(
            "Zoom",
            (1, 2, 4, 8),
            default=1,
            key="zoom",
            format_func=lambda factor: f"{factor} ×",
            help="Around the point.",
        )
        with st.container(horizontal=True, width="content"):
            point = _coordinate("x"), _coordinate("y")
    centre = point if zoom != 1 else (0.0, 0.0)
    window = PlaneWindow(*centre, extent / zoom)
    return LandscapeChoice(style, reach, window, point)


def _coordinate(name: str) -> float:
    return number_input(name, -20.0, 20.0, 0.0, 0.1, key=name, decimals=3, width=140)


def select_point(x: float, y: float) -> None:
    """Selects the point that is taken apart, as a click on a layer does."""
    st.session_state.update(x=round(x, 3), y=round(y, 3))
