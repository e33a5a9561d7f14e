"""A visitor's own features: accepted, refused in one line, kept on the server, discarded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from app.kept import KeptUpload, NotKept
from app.pack.data import PackData, forget_own_data, is_own_data, set_own_data
from app.pack.kept_results import ResultKeeper
from app.pack.selected import clear_selection, open_item
from app.session import keep_in_link, kept_uploads, upload_reader
from app.uploads import TITLE_LENGTH, WAIT_SECONDS, UploadFile
from heat_core.texts import one_line

if TYPE_CHECKING:
    from heat_core.table_files import ColumnNames

KEPT_KEY = "kept"  # of the token of a kept upload, in the tab and in the link
KEEPER_KEY = "result_keeper"  # what keeps its scores and layouts, in the tab
OWN_KEY = "own"  # of the title of data that is not kept, in the link
MISSING_KEY = "missing_own_data"  # the data of the tab's link that is not there, in the tab


def accept_upload(files: Sequence[UploadFile], columns: ColumnNames | None = None) -> None:
    """Takes files of arrays and tables as this session's own data.

    A mistake is kept for `upload_error` and changes nothing else.

    Args:
        columns: which columns of tables hold what; by their usual names if None.
    """
    reading = upload_reader().start_reading(files, columns)
    try:
        with st.spinner("Reading your data …"):
            digest, pack = reading.result(WAIT_SECONDS)
    except TimeoutError:
        reading.cancel()
        names = ", ".join(file.name for file in files)
        reason = "the server is busy reading other visitors' data. Try again in a minute."
        st.session_state["upload_error"] = f"{names}: {reason}"
        return
    except ValueError as error:
        st.session_state["upload_error"] = str(error)
        return
    discard_own_data()
    set_own_data(PackData(digest, pack))
    sync_own_data_with_link()


def upload_error() -> str:
    """Returns what is wrong with the file that was uploaded last; nothing if it was accepted."""
    return st.session_state.get("upload_error", "")


def on_files_removed() -> None:
    """Forgets what was wrong with files that are taken away, or else the data that they brought."""
    if st.session_state.pop("upload_error", None) is None:
        discard_own_data()


def discard_own_data() -> None:
    """Goes back to a pack of the server's.

    The visitor's own data is forgotten, with all that was made of it, selected in it or wrong with
    it. What is kept on the server stays there, for its link.
    """
    clear_selection()
    open_item("")
    forget_own_data()
    for key in ("upload_error", KEPT_KEY, KEEPER_KEY, MISSING_KEY):
        st.session_state.pop(key, None)
    for key in (KEPT_KEY, OWN_KEY):
        keep_in_link(key, "")


# -- kept on the server ----------------------------------------------------------------------------


def days_kept() -> float:
    """Returns for how many days the server keeps an upload; 0 if it keeps none."""
    store = kept_uploads()
    return 0.0 if store is None else store.days


def keep_own_data() -> None:
    """Keeps the visitor's own data on the server, behind a token that goes into the link.

    Why that cannot be is kept for `upload_error`.
    """
    store = kept_uploads()
    if store is None or not is_own_data():
        return
    pack_data: PackData = st.session_state["uploaded"]
    try:
        kept = store.keep(pack_data.pack, pack_data.key)
    except NotKept as error:
        st.session_state["upload_error"] = f"{pack_data.pack.title}: {error}"
        return
    _on_kept(kept)


def _on_kept(kept: KeptUpload) -> None:
    st.session_state[KEPT_KEY] = kept
    keeper = result_keeper()
    if keeper is not None:
        keeper.start(kept.token)


def kept_upload() -> KeptUpload | None:
    """Returns how the visitor's own data is kept; None if it is not."""
    return st.session_state.get(KEPT_KEY) if is_own_data() else None


def delete_kept() -> None:
    """Deletes from the server what it keeps of the visitor's own data, which stays in this tab."""
    store, kept = kept_uploads(), kept_upload()
    if store is not None and kept is not None:
        store.delete(kept.token)
    keeper = result_keeper()
    if keeper is not None:
        keeper.stop()
    st.session_state.pop(KEPT_KEY, None)


def result_keeper() -> ResultKeeper | None:
    """Returns what keeps results on the visitor's own data, once that is kept; None if none may be.

    The same one as long as the data is the same.
    """
    store = kept_uploads()
    if store is None or not is_own_data():
        return None
    return st.session_state.setdefault(KEEPER_KEY, ResultKeeper(store))


# -- after a reload --------------------------------------------------------------------------------


@dataclass(frozen=True)
class MissingData:
    """Own data that the link of this tab is of, and that is not there.

    Args:
        reason: why it is not there and how to give it again, in a sentence.
        link: {key: value} that the link says of it.
    """

    reason: str
    link: dict[str, str]


def sync_own_data_with_link() -> None:
    """Opens once the kept upload that this tab's link names, and keeps it in the link.

    Where the link is of own data that is not there, `missing_own_data` says so.
    """
    if "has_read_own_link" not in st.session_state:
        st.session_state["has_read_own_link"] = True
        if not is_own_data():
            st.session_state[MISSING_KEY] = _follow_link()
    for key, value in _link_of_own_data().items():
        keep_in_link(key, value)


def missing_own_data() -> MissingData | None:
    """Returns the own data that the link is of and that is not there; None if there is none."""
    return None if is_own_data() else st.session_state.get(MISSING_KEY)


def link_caution() -> str:
    """Returns what the link does not bring along, in a few words; nothing if it brings all."""
    return "without your data, which is not kept" if is_own_data() and not kept_upload() else ""


def _link_of_own_data() -> dict[str, str]:
    """Returns {key: value} that the link says of own data; an empty value is left out of it."""
    link = {KEPT_KEY: "", OWN_KEY: ""}
    missing, kept = missing_own_data(), kept_upload()
    if missing is not None:
        link |= missing.link
    elif kept is not None:
        link[KEPT_KEY] = kept.token
    elif is_own_data():
        link[OWN_KEY] = st.session_state["uploaded"].pack.title
    return link


def _follow_link() -> MissingData | None:
    """Opens the kept upload of the link; returns what is missing, if anything is."""
    token, title = st.query_params.get(KEPT_KEY, ""), st.query_params.get(OWN_KEY, "")
    if token:
        reason = _open_kept(token)
        return MissingData(reason, {KEPT_KEY: token}) if reason else None
    if title:
        shown = one_line(title, TITLE_LENGTH)
        reason = (
            f"Your own data, {shown}, left the server when this page was loaded anew. Give its "
            "files again here, and the page is as it was."
        )
        return MissingData(reason, {OWN_KEY: title[:TITLE_LENGTH]})
    return None


def _open_kept(token: str) -> str:
    """Opens a kept upload as this session's own data; returns why not, if that cannot be."""
    store = kept_uploads()
    kept = None if store is None else store.find(token)
    if store is None or kept is None:
        return (
            "The data of this link is not kept on this server: it was deleted, or its time is "
            "over. If it was yours, give its files again here."
        )
    reading = upload_reader().start_reading_kept(kept.size, lambda: store.read(kept))
    try:
        with st.spinner("Reading the data that was kept …"):
            pack = reading.result(WAIT_SECONDS)
    except (TimeoutError, ValueError):
        reading.cancel()
        return "The server has no room for the data of this link now. Load the page again later."
    set_own_data(PackData(kept.key, pack))
    _on_kept(kept)
    return ""
