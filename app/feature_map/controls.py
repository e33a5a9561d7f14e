"""Widgets of the Feature map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from app.feature_map.tables import titles_by_set
from app.incoming import choice_input
from app.pack.controls import detector_input, share_to_keep_input
from app.pack.data import PackData
from app.pack.filters import filter_popover
from app.pack.flips import detector_pair_input
from app.pack.items import find_given_id, item_id
from app.pack.selected import map_region, open_item, waiting_region
from app.session import SCORES_OF_KEY, warn_if_not_offered, write_to_link
from app.text import plain
from heat_core.projection import METHODS

COLOURINGS = ("dataset", "class", "score", "correction", "flip")  # words of the link, too
ORDERS = ("most OOD", "least OOD")
SELECTION, PAIR, IMAGE = PANELS = ("selection", "before and after", "image")  # beside the map
PANEL_KEY = "panel"


@dataclass(frozen=True)
class MapChoice:
    """What the Feature map is set to.

    Args:
        colour: what colours mean, one of `COLOURINGS` or of `column_colourings`.
        column: the metadata column that colours stand for; nothing where they stand for another.
        detector: whose scores are shown.
        method: of the layout.
        set_names: names of the sets that are drawn.
        order: of the gallery, one of `ORDERS`.
        pair: names of the detectors that flips and percentiles are compared between.
        has_contours: whether contours of the ID images are drawn over the map.
    """

    colour: str
    column: str
    detector: str
    method: str
    set_names: tuple[str, ...]
    order: str
    pair: tuple[str, str]
    has_contours: bool


def map_choice(pack_data: PackData, detectors: Sequence[str], panel: str) -> MapChoice:
    """Returns what is drawn on the map: one row of controls, the others folded behind it.

    Args:
        detectors: names of those that are offered.
        panel: what is beside the map.
    """
    titles = titles_by_set(pack_data.pack)
    _reset_for_new_data(pack_data)
    _show_sets_of_region(titles)
    warn_if_not_offered(SCORES_OF_KEY, detectors, "detector")
    columns = column_colourings(pack_data.pack.metadata_columns)
    colourings = (*COLOURINGS, *columns)
    warn_if_not_offered("colour", colourings, "colour")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        colour = _colour_input(colourings)
        detector = detector_input(detectors, "Whose scores are drawn, sorted and compared.", 160)
        pair = ("", "")
        if colour == "flip" or panel == PAIR:
            pair = detector_pair_input()
        set_names = _sets_input(titles)
        column = columns.get(colour, "")
        filter_popover(pack_data, column)
        with st.popover("More", icon=":material/tune:"):
            has_contours = _contours_input()
            order = choice_input("Gallery", ORDERS, default=ORDERS[0], key="order")
            method = _method_input(pack_data)
            share_to_keep_input()
            _item_input(pack_data)
    return MapChoice(colour, column, detector, method, set_names, order, pair, has_contours)


def column_colourings(columns: Iterable[str]) -> dict[str, str]:
    """Returns {word for colours by a metadata column: the column}.

    >>> column_colourings(["camera", "class"])
    {'camera': 'camera', 'column class': 'class'}
    """
    return {f"column {name}" if name in COLOURINGS else name: name for name in columns}


def panel_input(item: str) -> str:
    """Returns what is beside the map, one of `PANELS`; an item that is opened anew is.

    Args:
        item: id of the item that is open, or nothing.
    """
    state = st.session_state
    linked = st.query_params.get(PANEL_KEY, "")
    if PANEL_KEY not in state:
        state[PANEL_KEY] = linked if linked in PANELS else (IMAGE if item else SELECTION)
    elif item and item != state.get("panel_of"):
        state[PANEL_KEY] = IMAGE
    state["panel_of"] = item
    if state[PANEL_KEY] not in PANELS or (state[PANEL_KEY] == IMAGE and not item):
        state[PANEL_KEY] = SELECTION
    panel = st.segmented_control(
        "Beside the map",
        PANELS if item else PANELS[:2],
        required=True,
        key=PANEL_KEY,
        format_func=str.capitalize,
        label_visibility="collapsed",
        width="stretch",
    )
    panel = str(panel or SELECTION)
    write_to_link(PANEL_KEY, "" if panel == (IMAGE if item else SELECTION) else panel)
    return panel


def _reset_for_new_data(pack_data: PackData) -> None:
    """Forgets which sets are shown, the layout and the window: they do not outlive their data."""
    if st.session_state.get("map_data", pack_data.key) != pack_data.key:
        for key in ("shown", "layout", "window"):
            st.session_state.pop(key, None)
            st.query_params.pop(key, None)
    st.session_state["map_data"] = pack_data.key


def _show_sets_of_region(titles: Mapping[str, str]) -> None:
    """Shows the sets that were shown when a region was drawn: they win over the link's own."""
    region = map_region() or waiting_region()
    if "shown" not in st.session_state and region is not None and region.set_names is not None:
        st.session_state["shown"] = [name for name in titles if name in region.set_names]


def _colour_input(colourings: Sequence[str]) -> str:
    if st.session_state.get("colour", COLOURINGS[0]) not in colourings:  # it was of other data
        del st.session_state["colour"]
    colour = st.selectbox(
        "Colour by",
        colourings,
        key="colour",
        bind="query-params",
        width=160,
        help="dataset: a colour a group, a shade and a symbol a set. score: of the detector beside "
        "it. correction: E_θ alone, what HEAT adds to its prior. flip: what one detector accepts "
        "and another rejects.",
    )
    return str(colour)


def _method_input(pack_data: PackData) -> str:
    """Returns the method of the layout, by default the one that the data comes with."""
    own_method = pack_data.layout.method if pack_data.layout else METHODS[0]
    return choice_input(
        "Layout",
        METHODS if own_method in METHODS else (own_method, *METHODS),
        default=own_method,
        key="layout",
        format_func=str.upper,
        help="UMAP keeps neighbours together. PCA keeps the two directions in which features vary "
        "most.",
    )


def _item_input(pack_data: PackData) -> None:
    """Offers to open an item by its id, or by the one that the data itself gives."""
    st.text_input(
        "Look at an image",
        key="typed-item",
        on_change=_on_item_typed,
        args=(pack_data,),
        placeholder="cifar10/test/123",
        width=210,
        help="As the inspector writes it: its dataset, split and number; of data without, its set "
        "and row, or the id that the data gives.",
    )


def _on_item_typed(pack_data: PackData) -> None:
    typed = st.session_state["typed-item"].strip()
    pack_row = find_given_id(pack_data.pack, typed)
    if pack_row is None:
        open_item(typed)
        return
    name, row = pack_row
    open_item(item_id(dict(pack_data.pack.sets())[name], name, row))


def _contours_input() -> bool:
    return st.toggle(
        "Contours of ID",
        key="contours",
        bind="query-params",
        help="Lines around the ID images where they lie densest.",
    )


def _sets_input(titles: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the names of the sets that are shown, in the order of the pack."""
    linked = [name for name in st.query_params.get_all("shown") if name in titles]
    shown = st.session_state.get("shown", linked or titles)
    label = f"Sets: {len(shown)} of {len(titles)}"
    with st.popover(label, icon=":material/layers:", key="sets"):
        names = st.pills(
            "Sets on the map",
            list(titles),
            selection_mode="multi",
            default=list(titles),
            key="shown",
            bind="query-params",
            format_func=lambda name: plain(titles[name], 40),
            help="A set that is switched off is never selected on the map.",
        )
    return tuple(name for name in titles if name in names)
