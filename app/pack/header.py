"""The head of every room: its title, which data it shows and how to bring one's own, and what the words mean."""

from __future__ import annotations

import streamlit as st

from app.glossary import definitions
from app.pack import controls
from app.pack.data import (
    PackData,
    current_pack_data,
    is_own_data,
    offered_packs,
    unknown_pack_name,
    unsupported_reasons,
)
from app.pack.layout_state import is_link_of_other_data, select_linked_region
from app.pack.selected import map_region, select_linked_items, set_map_region
from app.pack.tables import classifier_sentence, pack_report, row_counts
from app.text import plain

OTHER_DATA = (
    "This link was made of other data than this, so what it selects and looks at is left out. Choose the pack that it was made "
    "of, or upload the arrays again: they go with the session."
)
NO_MAP = (
    "This link selects images on a map that is not there yet; the Feature map can lay it out by"
)


def show(title: str, caption: str, real: bool = True) -> PackData | None:
    """Shows the head of a room and returns its data; None once it has said why there is none.

    Args:
        real: whether the room shows real features. One that does not has no data, and nothing is said of it.
    """
    asked = unknown_pack_name()
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.title(title, width="content")
        with st.container(horizontal=True, horizontal_alignment="right", width="content"):
            pack_data = current_pack_data() if real else None
            with st.popover(
                _label(pack_data),
                icon=":material/database:",
                wrap=True,
                help="Which data, and how to use your own.",
            ):
                controls.data_choice()
                if isinstance(pack_data, PackData):
                    _report(pack_data)
            with st.popover("Glossary", icon=":material/menu_book:", type="tertiary"):
                st.markdown(definitions())
    st.caption(caption)
    if asked:
        offered = plain(", ".join(offered_packs())) or "none"
        st.error(
            f"This server offers no pack {plain(asked, 60)}; it offers {offered}.",
            icon=":material/error:",
        )
    if isinstance(pack_data, PackData):
        if is_link_of_other_data(pack_data):
            st.warning(OTHER_DATA, icon=":material/link_off:")
        select_linked_items()
        if method := select_linked_region(pack_data):
            st.info(f"{NO_MAP} {plain(method.upper(), 20)}.", icon=":material/map:")
            st.button(
                "Select nothing instead", type="tertiary", on_click=set_map_region, args=("",)
            )
        return pack_data
    map_region()  # a room without images passes on what is selected
    select_linked_items()
    if pack_data is not None:
        st.error(plain(pack_data), icon=":material/error:")
    elif real:
        st.info(
            "There are no features yet. Put a pack into assets/packs (python -m heat_core extract), or use your own."
        )
    return None


def _label(pack_data: PackData | str | None) -> str:
    if not isinstance(pack_data, PackData):
        return "Real features"
    return f"{'Yours: ' * is_own_data()}{plain(pack_data.pack.title, 60)}: {row_counts(pack_data.pack)}"


def _report(pack_data: PackData) -> None:
    st.markdown(f"**What was found in {plain(pack_data.pack.title, 80)}**")
    if classifier := classifier_sentence(pack_data.pack):
        st.caption(plain(classifier))
    st.table(
        pack_report(pack_data.pack, unsupported_reasons(pack_data)).map(plain).set_index("Part"),
        border="horizontal",
    )
