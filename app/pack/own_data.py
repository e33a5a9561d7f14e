"""A visitor's own features: accepted, refused in one line, discarded."""

from __future__ import annotations

import hashlib
import io
import tempfile
from dataclasses import replace
from pathlib import Path

import streamlit as st

from app.pack.data import PackData, forget_own_data, set_own_data
from app.pack.selected import clear_selection, open_item

MAX_UNPACKED_BYTES = 2**30  # that an upload may unpack to


def accept_upload(file: io.BytesIO, name: str) -> None:
    """Takes an npz of arrays as this session's own data.

    A mistake is kept for `upload_error` and changes nothing else.
    """
    from heat_core.pack import pack_from_npz

    content = file.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload.npz"
        path.write_bytes(content)
        try:
            pack = pack_from_npz(path, MAX_UNPACKED_BYTES)
        except ValueError as error:
            reason = str(error).removeprefix(f"{path}: ")
            st.session_state["upload_error"] = f"{name}: {reason}"
            return
    discard_own_data()
    key = hashlib.sha256(content).hexdigest()[:16]
    set_own_data(PackData(key, replace(pack, card={"title": Path(name).stem})))


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
