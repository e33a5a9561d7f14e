"""State of points of one's own: typed or drawn in this tab, and how a choice names them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from app.plane.polygons import Polygon, parse_polygons, polygons_text
from app.session import write_to_link

if TYPE_CHECKING:
    from heat_core.plane.own_points import OwnPoints
    from heat_core.plane.toys import Toy

OWN = "own"  # as a toy in the link
OWN_KEY = "mine"  # in the link: the regions that were drawn, or that points were typed
TYPED = "typed"
DRAWING_EXTENT = 4.0  # of the square that one draws on
MAX_TEXT = 400_000  # characters


@dataclass(frozen=True)
class OwnSource:
    """What points of one's own are made of: a text, or else regions.

    Args:
        text: a point a line.
        regions: in extents of the square that they were drawn on.
    """

    text: str = ""
    regions: tuple[Polygon, ...] = ()

    @property
    def toy_name(self) -> str:
        """The name of the toy, which says all of it."""
        content = self.text or polygons_text(self.regions)
        return f"{OWN}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"

    def points(self) -> OwnPoints:
        """Returns the points. Raises ValueError, in one line, where there are none."""
        from heat_core.plane.own_points import parse_points, points_in_regions

        if self.text:
            return parse_points(self.text)
        scale = DRAWING_EXTENT
        return points_in_regions(
            [[(scale * x, scale * y) for x, y in region] for region in self.regions]
        )


def own_source() -> OwnSource:
    """Returns what this tab's own points are made of, and keeps regions in the link."""
    state = st.session_state
    linked = st.query_params.get(OWN_KEY, "")
    if "own-source" not in state:
        state["own-source"] = OwnSource(regions=parse_polygons(linked))
    source: OwnSource = state["own-source"]
    write_to_link(OWN_KEY, TYPED if source.text else polygons_text(source.regions))
    return source


def were_typed_elsewhere() -> bool:
    """Returns whether the link is of points that were typed, which it does not hold."""
    return st.query_params.get(OWN_KEY) == TYPED and "own-source" not in st.session_state


def set_own_source(source: OwnSource) -> None:
    """Takes a text or regions for what this tab's own points are made of."""
    st.session_state["own-source"] = source
    st.session_state.pop("own-points", None)


def own_points() -> OwnPoints:
    """Returns this tab's own points. Raises ValueError, in one line, where there are none."""
    state = st.session_state
    if "own-points" not in state:
        state["own-points"] = own_source().points()
    return state["own-points"]


def is_own(toy_name: str) -> bool:
    """Returns whether a toy's name is of points of one's own."""
    return toy_name.startswith(OWN)


def find_toy(name: str) -> Toy:
    """Returns the toy of a name, this tab's own points among them.

    Raises ValueError where there is none.
    """
    from heat_core.plane.toys import toy

    return own_points() if is_own(name) else toy(name)
