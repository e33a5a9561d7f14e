"""A visitor's own features: accepted, refused in one line, kept on the server, discarded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.job import Cancelled, Job
from app.kept import KeptUpload, KeptUploads
from app.pack.data import PackData, forget_own_data, is_own_data, set_own_data
from app.pack.kept_results import ResultKeeper
from app.pack.selected import clear_selection, open_item
from app.session import kept_uploads, tab_id, upload_reader, write_to_link
from app.text import PATIENCE_SECONDS
from app.uploads import TITLE_LENGTH, UploadFile
from heat_core.texts import one_line

if TYPE_CHECKING:
    from heat_core.pack import Pack
    from heat_core.table_files import ColumnNames

KEPT_KEY = "kept"  # of the token of a kept upload, in the tab and in the link
KEEPER_KEY = "result_keeper"  # what keeps its scores and layouts, in the tab
OWN_KEY = "own"  # of the title of data that is not kept, in the link
WORK_KEY = "own_work"  # what the tab waits for
STOPPED_KEY = "stopped_upload"  # the names of files that were not to be read on, in the tab
MISSING_KEY = "missing_own_data"  # the data of the tab's link that is not there, in the tab


# -- work that the tab waits for -------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class OwnWork:
    """Work on the visitor's own data, which this tab waits for.

    Args:
        job: the work.
        doing: what it does, such as `Reading mine.npz`.
        on_done: called with its result.
        on_failed: called with why it came to nothing, in one line.
        on_cancelled: called once it is cancelled.
    """

    job: Job
    doing: str
    on_done: Callable[[Any], None]
    on_failed: Callable[[str], None]
    on_cancelled: Callable[[], None]


def own_work() -> OwnWork | None:
    """Returns the work that this tab waits for, if there is some."""
    return st.session_state.get(WORK_KEY)


def _wait_for(work: OwnWork) -> None:
    """Waits for work; where it takes longer than a moment, the page goes on and shows it."""
    st.session_state[WORK_KEY] = work
    work.job.wait(PATIENCE_SECONDS)
    finish_own_work()


def finish_own_work() -> None:
    """Takes what the work came to, once it is over."""
    work = own_work()
    if work is None or not work.job.over:
        return
    del st.session_state[WORK_KEY]
    if work.job.state == "done":
        work.on_done(work.job.result)
    elif work.job.state == "failed":
        work.on_failed(work.job.error)
    else:
        work.on_cancelled()


def cancel_own_work() -> None:
    """Cancels the work that this tab waits for; what is done already stays so."""
    work = own_work()
    if work is None:
        return
    if work.job.over:
        finish_own_work()
    else:
        _drop_own_work()
        work.on_cancelled()


def _drop_own_work() -> None:
    """Ends the work that this tab waits for: something else takes its place."""
    work = st.session_state.pop(WORK_KEY, None)
    if work is not None:
        work.job.cancel()


# -- uploads ---------------------------------------------------------------------------------------


def accept_upload(files: Sequence[UploadFile], columns: ColumnNames | None = None) -> None:
    """Takes files of arrays and tables as this session's own data, once they are read.

    Until then, and where they are refused or no longer wanted, nothing else changes. A mistake is
    kept for `upload_error`.

    Args:
        columns: which columns of tables hold what; by their usual names if None.
    """
    _drop_own_work()
    st.session_state.pop(STOPPED_KEY, None)
    names = one_line(", ".join(file.name for file in files), TITLE_LENGTH)

    def on_done(read: tuple[str, Pack]) -> None:
        discard_own_data()
        set_own_data(PackData(*read))
        sync_own_data_with_link()

    def on_failed(reason: str) -> None:
        st.session_state["upload_error"] = reason

    def on_cancelled() -> None:
        st.session_state[STOPPED_KEY] = names

    job = upload_reader().start_reading(files, columns, tab_id())
    _wait_for(OwnWork(job, f"Reading {names}", on_done, on_failed, on_cancelled))


def stopped_upload() -> str:
    """Returns the names of files whose reading was cancelled; nothing if none was."""
    return st.session_state.get(STOPPED_KEY, "")


def upload_error() -> str:
    """Returns what is wrong with the file that was uploaded last; nothing if it was accepted."""
    return st.session_state.get("upload_error", "")


def on_files_removed() -> None:
    """Forgets what was wrong with files that are taken away, or else the data that they brought.

    Where they are still being read, that ends.
    """
    was_read = own_work() is None and STOPPED_KEY not in st.session_state
    _drop_own_work()
    st.session_state.pop(STOPPED_KEY, None)
    if st.session_state.pop("upload_error", None) is None and was_read:
        discard_own_data()


def discard_own_data() -> None:
    """Goes back to a pack of the server's.

    The visitor's own data is forgotten, with all that was made of it, selected in it or wrong with
    it. What is kept on the server stays there, for its link.
    """
    clear_selection()
    open_item("")
    forget_own_data()
    _drop_own_work()
    for key in ("upload_error", STOPPED_KEY, KEPT_KEY, KEEPER_KEY, MISSING_KEY):
        st.session_state.pop(key, None)
    for key in (KEPT_KEY, OWN_KEY):
        write_to_link(key, "")


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
    pack, key = pack_data.pack, pack_data.key

    def on_failed(reason: str) -> None:
        st.session_state["upload_error"] = f"{pack.title}: {reason}"

    job = upload_reader().start(partial(_keep, store, pack, key), tab_id())
    _wait_for(OwnWork(job, f"Packing {pack.title}", _on_kept, on_failed, lambda: None))


def _keep(store: KeptUploads, pack: Pack, key: str, job: Job) -> KeptUpload:
    """Returns how a pack is kept; of one that is cancelled at last nothing stays."""
    kept = store.keep(pack, key)
    try:
        job.report(1.0)
    except Cancelled:
        store.delete(kept.token)
        raise
    return kept


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
            _follow_link()
    for key, value in _link_of_own_data().items():
        write_to_link(key, value)


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


def _follow_link() -> None:
    """Opens the kept upload of the link; or says what is missing, if anything is."""
    token, title = st.query_params.get(KEPT_KEY, ""), st.query_params.get(OWN_KEY, "")
    if token:
        _open_kept(token)
    elif title:
        shown = one_line(title, TITLE_LENGTH)
        reason = (
            f"Your own data, {shown}, left the server when this page was loaded anew. Give its "
            "files again here, and the page is as it was."
        )
        st.session_state[MISSING_KEY] = MissingData(reason, {OWN_KEY: title[:TITLE_LENGTH]})


def _open_kept(token: str) -> None:
    """Opens a kept upload as this session's own data; without it, says what is missing."""

    def miss(reason: str) -> None:
        st.session_state[MISSING_KEY] = MissingData(reason, {KEPT_KEY: token})

    store = kept_uploads()
    kept = None if store is None else store.find(token)
    if store is None or kept is None:
        miss(
            "The data of this link is not kept on this server: it was deleted, or its time is "
            "over. If it was yours, give its files again here."
        )
        return

    def on_done(pack: Pack) -> None:
        st.session_state.pop(MISSING_KEY, None)
        set_own_data(PackData(kept.key, pack))
        _on_kept(kept)

    def on_failed(reason: str) -> None:
        miss("The server has no room for the data of this link now. Load the page again later.")

    def on_cancelled() -> None:
        miss("You stopped reading the data of this link. Load the page again to read it.")

    miss("The data of this link is being read.")
    job = upload_reader().start_reading_kept(kept.size, lambda: store.read(kept), tab_id())
    doing = "Reading the data that was kept"
    _wait_for(OwnWork(job, doing, on_done, on_failed, on_cancelled))
