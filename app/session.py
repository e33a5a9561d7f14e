"""The browser tab, its link, and the server's job queue."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.jobs import JobQueue
from app.text import plain
from app.warm_up import warm_up


@st.cache_resource
def job_queue() -> JobQueue:
    """Returns the server's job queue.

    Torch is warmed up beside it in the background, so that the first training starts at once.
    """
    threading.Thread(target=warm_up, daemon=True).start()
    return JobQueue(is_connected=_is_connected)


def tab_id() -> str:
    """Returns the id of the browser tab that this run is for."""
    context = get_script_run_ctx()
    return context.session_id if context else ""


def _is_connected(tab: str) -> bool:
    """Returns whether a tab is still connected. One that was closed or loaded anew is not."""
    return not runtime.exists() or bool(runtime.get_instance().is_active_session(tab))


def from_link(key: str, options: Sequence[str]) -> None:
    """Sets a widget to what the link asks for, where it asks for something new.

    For widgets whose options are not what they show: one that is bound to the link puts there what
    it shows.
    """
    value = st.query_params.get(key, "")
    if value in options and value != st.session_state.get(f"linked-{key}"):
        st.session_state[key] = value


def to_link(key: str, value: str) -> str:
    """Returns a widget's value and keeps it in the link, where `from_link` finds it."""
    st.session_state[f"linked-{key}"] = value
    return keep_in_link(key, value)


def keep_in_link(key: str, value: str) -> str:
    """Returns a value and keeps it in the link; an empty one is left out of it."""
    if not value:
        st.query_params.pop(key, None)
    elif st.query_params.get(key) != value:
        st.query_params[key] = value
    return value


def warn_if_not_offered(key: str, options: Collection[str], noun: str) -> None:
    """Warns where the link asks for an option that a widget does not offer."""
    value = st.query_params.get(key, "")
    if value and value not in options:
        message = (
            f"The link asks for the {noun} {plain(value, 60)}, which is not offered here; "
            "another is shown."
        )
        st.warning(message, icon=":material/link_off:")
