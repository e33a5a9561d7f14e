"""A visitor's own features: accepted, refused in one line, discarded."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import streamlit as st

from app.pack.data import PackData
from app.pack.selected import clear_selection, open_item

MAX_UNPACKED_BYTES = 2**30  # bytes that an upload may unpack to


def accept_upload(file: io.BytesIO, name: str) -> None:
    """Takes an npz of arrays as this session's own data; a mistake is kept in `upload_error` and changes nothing."""
    import tempfile

    from heat_core.pack import pack_from_npz

    content = file.getvalue()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "upload.npz"
            path.write_bytes(content)
            pack = replace(pack_from_npz(path, MAX_UNPACKED_BYTES), card={"title": Path(name).stem})
    except ValueError as error:
        st.session_state["upload_error"] = f"{name}: {str(error).removeprefix(f'{path}: ')}"
        return
    discard_own_data()
    st.session_state["uploaded"] = PackData(hashlib.sha256(content).hexdigest()[:16], pack)


def on_file_removed() -> None:
    """Forgets what was wrong with the file that is taken away; where nothing was, the data that it brought."""
    if st.session_state.pop("upload_error", None) is None:
        discard_own_data()


def discard_own_data() -> None:
    """Goes back to a pack of the server's; forgets the visitor's own, all that was made of it, and what was wrong before."""
    clear_selection()
    open_item("")
    for job in st.session_state.pop("own_jobs", {}).values():
        job.cancel()
    for name in ("uploaded", "upload_error", "unknown_pack"):
        st.session_state.pop(name, None)
