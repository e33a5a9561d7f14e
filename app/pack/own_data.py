"""A visitor's own features: accepted, refused in one line, discarded."""

from __future__ import annotations

import io

import streamlit as st

from app.pack.data import PackData, forget_own_data, set_own_data
from app.pack.selected import clear_selection, open_item
from app.session import upload_reader
from app.uploads import WAIT_SECONDS


def accept_upload(file: io.BytesIO, name: str) -> None:
    """Takes an npz of arrays as this session's own data.

    A mistake is kept for `upload_error` and changes nothing else.
    """
    reading = upload_reader().start_reading(file.getvalue(), name)
    try:
        with st.spinner("Reading your arrays …"):
            digest, pack = reading.result(WAIT_SECONDS)
    except TimeoutError:
        reading.cancel()
        reason = "the server is busy reading other visitors' arrays. Try again in a minute."
        st.session_state["upload_error"] = f"{name}: {reason}"
        return
    except ValueError as error:
        st.session_state["upload_error"] = f"{name}: {error}"
        return
    discard_own_data()
    set_own_data(PackData(digest, pack))


def upload_error() -> str:
    """Returns what is wrong with the file that was uploaded last; nothing if it was accepted."""
    return st.session_state.get("upload_error", "")


def on_file_removed() -> None:
    """Forgets what was wrong with a file that is taken away, or else the data that it brought."""
    if st.session_state.pop("upload_error", None) is None:
        discard_own_data()


def discard_own_data() -> None:
    """Goes back to a pack of the server's.

    The visitor's own data is forgotten, with all that was made of it, selected in it or wrong with
    it.
    """
    clear_selection()
    open_item("")
    forget_own_data()
    st.session_state.pop("upload_error", None)
