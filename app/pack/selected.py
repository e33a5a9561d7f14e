"""What this tab has selected and opened. It stays in the link."""

from __future__ import annotations

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.pack.data import PackData
from app.pack.items import Part, Selection, masks_in, parse_parts
from app.pack.layout import Region, parse_region
from app.session import keep_in_link

FROM_MAP = "map"  # the origin of what is selected by drawing on the map


# -- the selection ---------------------------------------------------------------------------------


def current_selection() -> Selection:
    """Returns what is selected in this tab, whatever page it was selected on."""
    return st.session_state.get("selection", Selection())


def add_to_selection(part: Part) -> None:
    """Adds a part to the selection, in place of the one of the same origin."""
    st.session_state["selection"] = current_selection().with_part(part)


def remove_from_selection(origin: str) -> None:
    """Takes the part of an origin out of the selection."""
    st.session_state["selection"] = current_selection().without(origin)


def clear_selection() -> None:
    """Selects nothing; a region of the link that still waits for its layout is dropped, too."""
    drop_waiting_region()
    st.session_state["selection"] = Selection()


def select_linked_items() -> None:
    """Selects once what the link of this session says, and keeps the selection in the link.

    The map's part is left to its region. A selection that is too large for a link is not in it.
    """
    if not st.session_state.get("link_read", False):
        st.session_state["link_read"] = True
        for part in parse_parts(st.query_params.get("picked", "")):
            if part.origin != FROM_MAP and current_selection().part(part.origin) is None:
                add_to_selection(part)
    keep_in_link("picked", current_selection().text_without(FROM_MAP))


def selected_masks(pack_data: PackData, selection: Selection) -> dict[str, NDArray[np.bool]]:
    """Returns {set: which of its rows are selected (n,)} of scored sets that have any."""
    masks = masks_in(pack_data.pack, selection.items)
    return {name: mask for name, mask in masks.items() if name in pack_data.scored_sets}


def keep_data_in_link(pack_data: PackData) -> None:
    """Keeps in the link of which data it is.

    A link that begins the session and was made of other data selects and opens nothing here.
    """
    key = _data_key(pack_data)
    state = st.session_state
    if "data_in_link" not in state and st.query_params.get("of", key) != key:
        drop_waiting_region()
        open_item("")
        state["link_read"] = True
        state["warned_data"] = key  # until other data is opened
    state["data_in_link"] = keep_in_link("of", key)


def is_link_of_other_data(pack_data: PackData) -> bool:
    """Returns whether `keep_data_in_link` found that the session's link was made of other data."""
    return st.session_state.get("warned_data") == _data_key(pack_data)


def _data_key(pack_data: PackData) -> str:
    """Returns what a link says of its data."""
    return pack_data.key[:8]


# -- the region drawn on the map -------------------------------------------------------------------


def map_region() -> Region | None:
    """Returns what is drawn on the map: it is part of the selection."""
    part = current_selection().part(FROM_MAP)
    return None if part is None else part.region


def waiting_region() -> Region | None:
    """Returns the region of the link that waits for its layout; None if there is none to read."""
    return parse_region(_waiting_text())


def drop_waiting_region() -> None:
    """Gives up the link's region: it was selected, cannot be, or is not wanted."""
    st.session_state["waiting_region"] = ""


def keep_region_in_link() -> None:
    """Keeps the region in the link of every page, or the one that still waits for a layout."""
    region = map_region()
    keep_in_link("region", _waiting_text() if region is None else region.text)


def _waiting_text() -> str:
    return st.session_state.setdefault("waiting_region", st.query_params.get("region", ""))


# -- the opened item, the window on the map --------------------------------------------------------


def opened_item() -> str:
    """Returns the id of the item in the inspector, such as `cifar10/test/123`, or nothing."""
    item = st.session_state.setdefault("item", st.query_params.get("item", ""))
    return keep_in_link("item", item)


def open_item(item: str) -> None:
    """Opens an item in the inspector, or none."""
    st.session_state["item"] = item


def window_text() -> str:
    """Returns the part of the map in view, four numbers as text; nothing is the whole map."""
    text = st.session_state.setdefault("window", st.query_params.get("window", ""))
    return keep_in_link("window", text)


def set_window_text(text: str) -> None:
    """Sets the part of the map in view."""
    st.session_state["window"] = text
