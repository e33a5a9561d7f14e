"""The head of every room: its title, which data it shows and how to bring one's own, and what the words mean."""

from __future__ import annotations

import streamlit as st

from app import controls, session, tables
from app.glossary import definitions
from app.text import plain


def show(title: str, caption: str, real: bool = True) -> None:
    """Shows the head of a room; `real` says whether the room shows real features and hence which."""
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


def _label(given: session.Data | str | None) -> str:
    if not isinstance(given, session.Data):
        return "Real features"
    return f"{'Yours: ' * session.is_own()}{plain(given.pack.title, 60)}: {tables.counts(given.pack)}"


def _report(given: session.Data) -> None:
    st.markdown(f"**What was found in {plain(given.pack.title, 80)}**")
    if classifier := tables.classifier(given.pack):
        st.caption(plain(classifier))
    st.table(tables.found(given.pack, session.absent(given)).map(plain).set_index("Part"), border="horizontal")
