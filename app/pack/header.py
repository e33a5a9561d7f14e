"""The head of every room: its title, which data it shows and how to bring one's own, and what the words mean."""

from __future__ import annotations

import streamlit as st

from app import session
from app.glossary import definitions
from app.pack import controls, tables
from app.text import plain

OTHER_DATA = (
    "This link was made of other data than this, so what it selects and looks at is left out. Choose the pack that it was made "
    "of, or upload the arrays again: they go with the session."
)
NO_MAP = "This link selects images on a map that is not there yet; the Feature map can lay it out by"


def show(title: str, caption: str, real: bool = True) -> session.Data | None:
    """Shows the head of a room and returns its data; None once it has said why there is none.

    Args:
        real: whether the room shows real features. One that does not has no data, and nothing is said of it.
    """
    asked = session.unknown_pack()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.title(title, width="content")
        with st.container(horizontal=True, horizontal_alignment="right", width="content"):
            given = session.data() if real else None
            with st.popover(_label(given), icon=":material/database:", wrap=True, help="Which data, and how to use your own."):
                controls.data_choice()
                if isinstance(given, session.Data):
                    _report(given)
            with st.popover("Glossary", icon=":material/menu_book:", type="tertiary"):
                st.markdown(definitions())
    st.caption(caption)
    if asked:
        offered = plain(", ".join(session.packs())) or "none"
        st.error(f"This server offers no pack {plain(asked, 60)}; it offers {offered}.", icon=":material/error:")
    if isinstance(given, session.Data):
        if session.is_of_other_data(given):
            st.warning(OTHER_DATA, icon=":material/link_off:")
        session.follow_picked()
        if method := session.follow_link(given):
            st.info(f"{NO_MAP} {plain(method.upper(), 20)}.", icon=":material/map:")
            st.button("Select nothing instead", type="tertiary", on_click=session.draw_region, args=("",))
        return given
    session.region()  # a room without images passes on what is selected
    session.follow_picked()
    if given is not None:
        st.error(plain(given), icon=":material/error:")
    elif real:
        st.info("There are no features yet. Put a pack into assets/packs (python -m heat_core extract), or use your own.")
    return None


def _label(given: session.Data | str | None) -> str:
    if not isinstance(given, session.Data):
        return "Real features"
    return f"{'Yours: ' * session.is_own()}{plain(given.pack.title, 60)}: {tables.counts(given.pack)}"


def _report(given: session.Data) -> None:
    st.markdown(f"**What was found in {plain(given.pack.title, 80)}**")
    if classifier := tables.classifier(given.pack):
        st.caption(plain(classifier))
    st.table(tables.found(given.pack, session.absent(given)).map(plain).set_index("Part"), border="horizontal")
