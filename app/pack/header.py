"""The head of every page: its title, which data it shows, one's own data, and a glossary."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from app.components.copy_link import copy_link
from app.glossary import definitions
from app.pack import controls
from app.pack.data import (
    PackData,
    UnreadablePack,
    current_pack_data,
    is_own_data,
    offered_packs,
    sync_pack_with_link,
    unknown_pack_name,
    unsupported_reasons,
)
from app.pack.filters import keep_filters_in_link, sync_filters_with_link
from app.pack.layout_state import sync_region_with_link
from app.pack.own_data import (
    finish_own_work,
    link_caution,
    missing_own_data,
    own_work,
    sync_own_data_with_link,
)
from app.pack.selected import (
    accept_other_data,
    drop_waiting_region,
    is_link_of_other_data,
    keep_data_in_link,
    keep_region_in_link,
    left_out_of_link,
    sync_items_with_link,
)
from app.pack.shown import shown_detectors
from app.pack.tables import classifier_sentence, is_sampled, pack_report, row_counts, short_title
from app.pack.tags import sync_tags_with_link
from app.text import plain

OTHER_DATA = "This link was made of other data than this."
WAY_BACK = (
    "Choose the pack that it was made of, or upload the arrays again: they go with the session."
)
DATA_POPOVER_KEY = "data-popover"
NO_MAP = (
    "This link selects images on a map that is not there yet; the Feature map can lay it out by"
)
NO_FEATURES = (
    "There are no features yet. Put a pack into assets/packs (python -m heat_core extract), or use "
    "your own."
)


def show(
    title: str, caption: str, uses_pack: bool = True, is_opened_by_page: bool = False
) -> PackData | None:
    """Shows the head of a page, one row, and returns its data.

    None once it has said why there is none.

    Args:
        title: of the page.
        caption: what it is for, folded behind the title.
        uses_pack: whether the page shows the pack that is chosen. One that does not has no data,
            and nothing is said of it.
        is_opened_by_page: whether the page, too, opens the choice of data, with `open_data_choice`;
            each time that it is opened or closed the page runs anew.
    """
    unknown_pack = unknown_pack_name()
    sync_pack_with_link()
    with st.container(
        key="page-head",  # which looks.css lays into the line of the navigation
        horizontal=True,
        horizontal_alignment="distribute",
        vertical_alignment="center",
    ):
        st.title(title, anchor=False, width="content", help=caption)
        with st.container(horizontal=True, horizontal_alignment="right", width="content"):
            finish_own_work()
            sync_own_data_with_link()
            missing = missing_own_data() if uses_pack else None
            is_shown = uses_pack and missing is None
            pack_data, error = _pack_data_or_error() if is_shown else (None, "")
            if is_shown:
                _data_popover(pack_data, "rerun" if is_opened_by_page else "ignore")
            copy_link(link_caution())
            with st.popover("Glossary", icon=":material/menu_book:", type="tertiary"):
                _glossary()
    if unknown_pack:
        names = plain(", ".join(offered_packs())) or "none"
        st.error(
            f"This server offers no pack {plain(unknown_pack, 60)}; it offers {names}.",
            icon=":material/error:",
        )
    if pack_data is not None:
        if pack_data.pack.is_mirrored:
            st.caption(pack_data.pack.passes_sentence)
        _follow_link(pack_data)
        return pack_data
    keep_region_in_link()  # a page without images passes on what is selected
    keep_filters_in_link()
    sync_items_with_link()
    if missing is not None:
        if own_work() is None:
            st.warning(plain(missing.reason), icon=":material/cloud_off:")
        controls.show_data_choice()
    elif error:
        st.error(plain(error), icon=":material/error:")
    elif uses_pack:
        st.info(NO_FEATURES)
    return None


@st.fragment
def _glossary() -> None:
    """Shows the words on the pages, all or those that are looked for."""
    search = st.text_input("Look for", key="glossary", placeholder="a word, such as threshold")
    st.markdown(definitions(search) or "Nothing here says that.")


def _pack_data_or_error() -> tuple[PackData | None, str]:
    """Returns the data on the page, and why it cannot be read, if that is so."""
    try:
        return current_pack_data(), ""
    except UnreadablePack as error:
        return None, str(error)


def open_data_choice() -> None:
    """Opens the choice of data with the next run, on a page that `show` lets open it."""
    st.session_state[DATA_POPOVER_KEY] = True


def _data_popover(pack_data: PackData | None, on_change: Literal["rerun", "ignore"]) -> None:
    """Shows which data the page is of, with what was found in it, and offers other data."""
    label = "Real features"
    if pack_data is not None:
        label = f"{plain(short_title(pack_data.pack))} {_data_badge(pack_data)}"
    with st.popover(
        label,
        icon=":material/database:",
        wrap=True,
        help="Which data, and how to use your own.",
        key=DATA_POPOVER_KEY,
        on_change=on_change,
    ):
        controls.show_data_choice()
        if pack_data is not None:
            _show_report(pack_data)


def _data_badge(pack_data: PackData) -> str:
    """Returns whose data it is and whether it is a sample, as a badge in Markdown."""
    if is_own_data():
        return ":blue-badge[yours]"
    return ":gray-badge[sample]" if is_sampled(pack_data.pack) else ":gray-badge[all rows]"


def _show_report(pack_data: PackData) -> None:
    st.markdown(f"**What was found in {plain(pack_data.pack.title, 80)}**")
    st.caption(f"{row_counts(pack_data.pack)}.")
    if classifier := classifier_sentence(pack_data.pack):
        st.caption(plain(classifier))
    reasons = unsupported_reasons(pack_data, shown_detectors())
    report = pack_report(pack_data.pack, reasons, pack_data.notes)
    st.table(report.map(plain).set_index("Part"), border="horizontal")


def _follow_link(pack_data: PackData) -> None:
    """Selects what the link says, or says why that cannot be."""
    keep_data_in_link(pack_data)
    if is_link_of_other_data():
        _warn_of_other_data()
    sync_filters_with_link(pack_data)
    sync_items_with_link()
    sync_tags_with_link(pack_data)
    missing_method = sync_region_with_link(pack_data)
    if missing_method:
        st.info(f"{NO_MAP} {plain(missing_method.upper(), 20)}.", icon=":material/map:")
        st.button("Select nothing instead", type="tertiary", on_click=drop_waiting_region)


def _warn_of_other_data() -> None:
    """Says what of a link is left out, and offers to go on without it."""
    left_out = left_out_of_link()
    sentence = f" Left out: {', '.join(left_out)}." if left_out else ""
    st.warning(f"{OTHER_DATA}{sentence} {WAY_BACK}", icon=":material/link_off:")
    st.button("Go on with this data", icon=":material/check:", on_click=accept_other_data)
