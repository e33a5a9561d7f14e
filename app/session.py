"""The browser tab, its link, and the server's jobs."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.jobs import Jobs, warm_up
from app.text import plain


def warn_if_not_offered(key: str, offered: Collection[str], what: str) -> None:
    """Says so where the link asks for what is not offered."""
    asked = st.query_params.get(key, "")
    if asked and asked not in offered:
        said = f"The link asks for the {what} {plain(asked, 60)}, which is not offered here; another is shown."
        st.warning(said, icon=":material/link_off:")


@st.cache_resource
def job_queue() -> Jobs:
    """Returns the server's jobs, and warms torch up in the background so that the first training starts at once."""
    threading.Thread(target=warm_up, daemon=True).start()
    return Jobs(present=_present)


def tab_id() -> str:
    """Returns the id of the browser tab that this run is for."""
    context = get_script_run_ctx()
    return context.session_id if context else ""


def _present(who: str) -> bool:
    """Returns whether a tab is still connected. A tab that was closed or loaded anew is not."""
    return not runtime.exists() or bool(runtime.get_instance().is_active_session(who))


def from_link(name: str, options: Sequence[str]) -> None:
    """Sets a widget to what a link asks for, where it asks for something new.

    For choices whose titles are not their names: a widget that is bound to the link puts its titles there.
    """
    asked = st.query_params.get(name, "")
    if asked in options and asked != st.session_state.get(f"linked-{name}"):
        st.session_state[name] = asked


def to_link(name: str, value: str) -> str:
    """Returns a choice, which the link says from now on."""
    st.session_state[f"linked-{name}"] = value
    return linked(name, value)


def linked(name: str, value: str) -> str:
    """Returns a value, which the link says from now on; nothing is left out of the link."""
    if not value:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != value:
        st.query_params[name] = value
    return value
