"""Session state of the Monitor: a stream file, and the streams that were computed last."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import streamlit as st

from app.monitor.evaluation import Monitored
from app.monitor.stream_file import StreamFile, read_stream_file

MAX_REMEMBERED = 8  # streams of a tab
MOMENT_KEY = "moment"
FILE_KEY = "stream"  # of the widget that takes a file


def remembered(key: Hashable, compute: Callable[[], Monitored]) -> Monitored:
    """Returns a stream with its tests, computed at most once while it is among the last ones.

    Args:
        key: of the stream and all settings; it goes with the session.
        compute: returns it.
    """
    streams: dict[Hashable, Monitored] = st.session_state.setdefault("streams", {})
    monitored = streams.pop(key, None) or compute()
    streams[key] = monitored  # the last is the newest
    while len(streams) > MAX_REMEMBERED:
        del streams[next(iter(streams))]
    return monitored


def set_moment(row: int) -> None:
    """Sets the moment where the line was let go."""
    st.session_state[MOMENT_KEY] = float(row)


def stream_file() -> StreamFile | None:
    """Returns the stream file of this tab, if there is one."""
    return st.session_state.get("stream_file")


def stream_file_error() -> str:
    """Returns what is wrong with the file that came last; nothing if it was taken."""
    return st.session_state.get("stream_file_error", "")


def on_file() -> None:
    """Takes the file that was chosen, or forgets the one that was taken away."""
    file = st.session_state[FILE_KEY]
    st.session_state["stream_file"] = None
    st.session_state["stream_file_error"] = ""
    st.session_state.pop("streams", None)  # they are told apart by files that are there
    if file is None:
        return
    try:
        st.session_state["stream_file"] = read_stream_file(file.getvalue(), file.name)
    except ValueError as error:
        st.session_state["stream_file_error"] = f"{file.name}: {error}"
