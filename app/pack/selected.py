"""What this tab has selected and opened. It stays in the link."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.pack.data import PackData, is_own_data, is_pack_of_name
from app.pack.items import LabelledItems, Selection, masks_in, parse_parts
from app.pack.layout import Region, parse_region
from app.session import RULE_KEY, SELECTION_KEY, THRESHOLD_KEY, write_to_link
from heat_core.thresholds import ByHand

CONDITIONS_KEY = "where"  # in the link
FROM_MAP = "map"  # the origin of what is selected by drawing on the map
DATA_KEY_LENGTH = 12  # letters of a hash
OLD_DATA_KEY_LENGTH = 8
WORDS_OF_DATA = {
    THRESHOLD_KEY: "its threshold",
    "sets": "its choice of OOD sets",
    "shown": "the sets on its map",
    "mixed": "the set mixed into its stream",
    SELECTION_KEY: "its selection",
    CONDITIONS_KEY: "its filter by columns",
    "region": "the region drawn on its map",
    "window": "the window on its map",
    "item": "the image that it opens",
    "tags": "the tags on its images",
}
"""{word of a link that means something in its own data alone: what it says}."""
WORDS_OF_WIDGETS = (THRESHOLD_KEY, "sets", "shown")  # of these, what widgets read by themselves


# -- the link that this tab was opened with --------------------------------------------------------


@dataclass
class LinkState:
    """How far this tab has followed the link that it was opened with.

    Args:
        waiting_region_text: of its region, until the region is selected or dropped.
        waiting_conditions_text: of its filters, until they are selected or dropped.
        pack_name: of the server's pack that it names; nothing for the first one, or none.
        made_of: what it says of the data that it was made of; nothing if it says nothing.
        has_read_items: whether its items were selected or dropped.
        data_key: of the data that a page has shown last; nothing before there was any.
        refused_by: the data that a page showed first, if the link was made of other data and the
            visitor has not accepted that.
        left_out: what it says that was left out, in words.
    """

    waiting_region_text: str
    waiting_conditions_text: str = ""
    pack_name: str = ""
    made_of: str = ""
    has_read_items: bool = False
    data_key: str = ""
    refused_by: str = ""
    left_out: tuple[str, ...] = ()


def _link_state() -> LinkState:
    if "link_state" not in st.session_state:
        query = st.query_params
        st.session_state["link_state"] = LinkState(
            query.get("region", ""),
            query.get(CONDITIONS_KEY, ""),
            query.get("pack", ""),
            query.get("of", ""),
        )
    return st.session_state["link_state"]


def keep_data_in_link(pack_data: PackData) -> None:
    """Keeps in the link of which data it is, and refuses the session's link if it is of other data.

    A refused link goes on to say of which data it was made until the visitor accepts that, so that
    a reload says it again. It comes before what selects by the link, and before all widgets.
    """
    state = _link_state()
    data_key = _data_key(pack_data)
    is_first_data = not state.data_key
    if state.data_key != data_key:
        state.refused_by = ""
    state.data_key = data_key
    if is_first_data and state.made_of and not _is_of(pack_data, state.made_of):
        state.refused_by = data_key
    write_to_link("of", state.made_of if state.refused_by else data_key)
    if is_first_data and state.refused_by:
        _leave_out_words_of_data()


def _leave_out_words_of_data() -> None:
    """Takes out of the link all that means something in its own data alone.

    Where a widget would read it from the link as it was when this run began, the page runs anew.
    """
    state = _link_state()
    query = st.query_params
    is_read_by_widget = any(word in query for word in WORDS_OF_WIDGETS)
    left_out = {word: text for word, text in WORDS_OF_DATA.items() if word in query}
    if state.waiting_region_text:
        left_out["region"] = WORDS_OF_DATA["region"]
    state.left_out = tuple(left_out.values())
    clear_selection()
    state.has_read_items = True
    open_item("")
    set_window_text("")
    if query.get(RULE_KEY) == ByHand.title:
        query.pop(RULE_KEY)
    for word in WORDS_OF_DATA:
        query.pop(word, None)
    if is_read_by_widget:
        st.rerun()


def is_link_of_other_data() -> bool:
    """Returns whether the link was refused, and the visitor has not accepted that."""
    return bool(_link_state().refused_by)


def left_out_of_link() -> tuple[str, ...]:
    """Returns what a refused link says that was left out, in words."""
    return _link_state().left_out


def accept_other_data() -> None:
    """Goes on with data that the link was not made of."""
    _link_state().refused_by = ""


def _data_key(pack_data: PackData) -> str:
    """Returns what a link says of its data."""
    return hashlib.sha256(pack_data.key.encode()).hexdigest()[:DATA_KEY_LENGTH]


def _is_of(pack_data: PackData, link_key: str) -> bool:
    """Returns whether a link that says `link_key` of its data is of this data.

    Older links say how its key begins. Those of many packs begin alike, so that of the server's
    packs it counts for the one that the link names, too.
    """
    if link_key == _data_key(pack_data):
        return True
    if link_key != pack_data.key[:OLD_DATA_KEY_LENGTH]:
        return False
    return is_own_data() or is_pack_of_name(pack_data, _link_state().pack_name)


# -- the selection ---------------------------------------------------------------------------------


def current_selection() -> Selection:
    """Returns what is selected in this tab, whatever page it was selected on."""
    return st.session_state.get("selection", Selection())


def set_part(part: LabelledItems) -> None:
    """Narrows the selection down by a part, which replaces the one of the same origin."""
    st.session_state["selection"] = current_selection().with_part(part)


def drop_part(origin: str) -> None:
    """Drops the part of an origin, so that the selection is as wide as the others leave it."""
    st.session_state["selection"] = current_selection().without(origin)


def clear_selection() -> None:
    """Selects nothing; a region and filters of the link that still wait are dropped, too."""
    drop_waiting_region()
    take_waiting_conditions()
    st.session_state["selection"] = Selection()


def sync_items_with_link() -> None:
    """Selects once what the link of this session says, and keeps the selection in the link.

    The map's part is left to its region, filters to their conditions. A selection that is too large
    for a link is not in it.
    """
    state = _link_state()
    if not state.has_read_items:
        state.has_read_items = True
        for part in parse_parts(st.query_params.get(SELECTION_KEY, "")):
            if part.origin != FROM_MAP and current_selection().part(part.origin) is None:
                set_part(part)
    selection = current_selection()
    said_otherwise = (part.origin for part in selection.parts if part.condition is not None)
    write_to_link(SELECTION_KEY, selection.text_without(FROM_MAP, *said_otherwise))


def waiting_conditions_text() -> str:
    """Returns the conditions of the link that wait for data to filter; nothing if none do."""
    return _link_state().waiting_conditions_text


def take_waiting_conditions() -> str:
    """Returns the conditions of the link that wait for data to filter; from now on none do."""
    state = _link_state()
    text, state.waiting_conditions_text = state.waiting_conditions_text, ""
    return text


def selected_masks(pack_data: PackData, selection: Selection) -> dict[str, NDArray[np.bool]]:
    """Returns {set: which of its rows are selected (n,)} of scored sets that have any."""
    masks = masks_in(pack_data.pack, selection.items)
    return {name: mask for name, mask in masks.items() if name in pack_data.scored_sets}


# -- the region drawn on the map -------------------------------------------------------------------


def map_region() -> Region | None:
    """Returns what is drawn on the map: it is part of the selection."""
    part = current_selection().part(FROM_MAP)
    return None if part is None else part.region


def waiting_region() -> Region | None:
    """Returns the region of the link that waits for its layout; None if there is none to read."""
    return parse_region(_link_state().waiting_region_text)


def drop_waiting_region() -> None:
    """Gives up the link's region: it was selected, cannot be, or is not wanted."""
    _link_state().waiting_region_text = ""


def keep_region_in_link() -> None:
    """Keeps the region in the link of every page, or the one that still waits for a layout."""
    region = map_region()
    write_to_link("region", _link_state().waiting_region_text if region is None else region.text)


# -- the opened item, the window on the map --------------------------------------------------------


def opened_item() -> str:
    """Returns the id of the item in the inspector, such as `cifar10/test/123`, or nothing."""
    item = st.session_state.setdefault("item", st.query_params.get("item", ""))
    return write_to_link("item", item)


def open_item(item: str) -> None:
    """Opens an item in the inspector, or none."""
    st.session_state["item"] = item


def window_text() -> str:
    """Returns the part of the map that is shown, four numbers as text; nothing is the whole map."""
    text = st.session_state.setdefault("window", st.query_params.get("window", ""))
    return write_to_link("window", text)


def set_window_text(text: str) -> None:
    """Sets the part of the map that is shown."""
    st.session_state["window"] = text
