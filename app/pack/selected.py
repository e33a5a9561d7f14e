"""What this tab has selected and opened; it stays in the link."""

from __future__ import annotations

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.pack.data import PackData
from app.pack.items import Part, Selection, mask_in, parse_parts
from app.pack.layout import parse_region
from app.session import keep_in_link

FROM_MAP = "map"  # the origin of what is selected by drawing on the map


# -- what is selected, and what is looked at ---------------------------------------------------------------------------


def current_selection() -> Selection:
    """Returns what is selected in this tab, whatever page it was picked on."""
    return st.session_state.get("selection", Selection())


def add_to_selection(part: Part) -> None:
    """Adds a part to the selection, in place of the one of the same origin."""
    st.session_state["selection"] = current_selection().with_part(part)


def remove_from_selection(origin: str) -> None:
    """Takes the part of an origin out of the selection."""
    if origin == FROM_MAP:
        set_map_region("")
    st.session_state["selection"] = current_selection().without(origin)


def clear_selection() -> None:
    """Selects nothing."""
    set_map_region("")
    st.session_state["selection"] = Selection()


def select_linked_items() -> None:
    """Selects what the link that began this session says was picked, and lets the link say what is picked from now on.

    What is drawn on the map is left to its region; a selection that is too large for a link is not in it.
    """
    if not st.session_state.setdefault("followed", False):
        st.session_state["followed"] = True
        for part in parse_parts(st.query_params.get("picked", "")):
            if part.origin != FROM_MAP and current_selection().part(part.origin) is None:
                add_to_selection(part)
    keep_in_link("picked", current_selection().text_without(FROM_MAP))


def opened_item() -> str:
    """Returns the id of the item that is looked at, such as `cifar10/test/123`, or nothing; it stays in the link."""
    return keep_in_link(
        "item", st.session_state.setdefault("item", st.query_params.get("item", ""))
    )


def open_item(item: str) -> None:
    """Looks at an item, or at none."""
    st.session_state["item"] = item


def map_region() -> str:
    """Returns what is drawn on the map, as `maps.Region.text` writes it; it stays in the link of every room."""
    return keep_in_link(
        "region", st.session_state.setdefault("region", st.query_params.get("region", ""))
    )


def map_region_sets() -> tuple[str, ...] | None:
    """Returns the sets that were shown when the map was drawn on; None if all were, or nothing is drawn."""
    drawn = parse_region(map_region())
    return None if drawn is None else drawn.sets


def set_map_region(text: str) -> None:
    """Draws on the map, or takes away what is drawn."""
    st.session_state["region"] = text


def map_window() -> str:
    """Returns which part of the map is looked at, four numbers as text; nothing is the whole. It stays in the link."""
    return keep_in_link(
        "window", st.session_state.setdefault("window", st.query_params.get("window", ""))
    )


def set_map_window(window: str) -> None:
    """Looks at a part of the map."""
    st.session_state["window"] = window


def selected_masks(pack_data: PackData, chosen: Selection) -> dict[str, NDArray[np.bool]]:
    """Returns {set: which of its rows are selected (N,)}, of the sets that are scored and have any."""
    sets = {
        name: features
        for name, features in pack_data.pack.sets()
        if name != "train" and not name.startswith("pseudo")
    }
    found = {name: mask_in(features, name, chosen.items) for name, features in sets.items()}
    return {name: mask for name, mask in found.items() if mask.any()}
