"""Widgets that several pages of real features share. Every choice lives in the link."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import streamlit as st

from app.components.refused_files import refused_file
from app.incoming import choice_input, number_input
from app.job import Job
from app.pack.data import PACKS_VARIABLE, is_own_data, offered_packs
from app.pack.own_data import (
    accept_upload,
    cancel_own_work,
    days_kept,
    delete_kept,
    discard_own_data,
    keep_own_data,
    kept_upload,
    missing_own_data,
    on_files_removed,
    own_work,
    stopped_upload,
    upload_error,
)
from app.pack.progress import show_cancellable
from app.pack.selected import clear_selection, current_selection, drop_part
from app.session import SCORE_UNIT_KEY, SCORES_OF_KEY, SHARE_TO_KEEP_KEY
from app.text import plain
from app.uploads import WAY_OUT, UploadFile
from heat_core.results.score_axis import SCORE_UNITS, ScoreUnit

COLUMN_INPUTS = {
    "features": ("Features", "z, or those numbered f0, f1 ...; names or f*"),
    "label": ("Labels", "label, y or class"),
    "id": ("Ids", "id"),
    "set": ("The set of each row", "set or split"),
}
"""{field of `ColumnNames`: (label, what it is by default)}."""

UPLOAD_TYPES = ["npz", "npy", "parquet", "csv"]
UPLOAD_MB = 200  # of a file
FLOAT16 = "Features saved as float16 take half of it."
GALLERY_SIZE = 24  # images on a page of a gallery


def detector_input(
    detectors: Sequence[str],
    help: str,
    width: int | Literal["stretch"] = "stretch",
    on_change: Callable[[], None] | None = None,
) -> str:
    """Returns the detector whose scores a page is of: HEAT, or else the first, until one is chosen.

    Args:
        detectors: names to choose from.
        help: what the page does with its scores.
        width: in pixels.
        on_change: called when another is chosen.
    """
    detector = st.selectbox(
        "Detector",
        detectors,
        detectors.index("HEAT") if "HEAT" in detectors else 0,
        key=SCORES_OF_KEY,
        bind="query-params",
        width=width,
        on_change=on_change,
        help=help,
    )
    return str(detector)


def share_to_keep_input(
    label: str = "Keep at least this much of ID (%)",
    width: int | None = 300,
    help: str | None = "The threshold of each detector is the smallest one that keeps this share "
    "of held-out ID, or of the ID test set where there is none.",
) -> float:
    """Returns the share of ID that the threshold must keep, the same on every page.

    Args:
        label: of the widget.
        width: in pixels; as wide as there is room if None.
        help: what the page does with it.
    """
    percent = number_input(
        label,
        50.0,
        99.9,
        default=95.0,
        step=0.5,
        key=SHARE_TO_KEEP_KEY,
        decimals=1,
        width=width,
        help=help,
    )
    return percent / 100


def score_unit_input() -> ScoreUnit:
    """Returns how scores are laid on an axis."""
    return choice_input(
        "Show scores as",
        SCORE_UNITS,
        default="raw",
        key=SCORE_UNIT_KEY,
        help="A percentile says what share of the ID test set scores at most as much, so that "
        "detectors compare. A symlog axis is even where most of ID lies and logarithmic beyond: "
        "it holds all scores, the farthest, too.",
    )


def gallery_page(count: int, key: str, list_id: object) -> slice:
    """Returns which of `count` images are on the page of a gallery that is shown.

    Args:
        key: of the widget.
        list_id: which list it is; another one begins at its first page.
    """
    pages = max(1, -(-count // GALLERY_SIZE))
    if st.session_state.setdefault(f"{key}-of", list_id) != list_id:
        st.session_state[key] = 1
        st.session_state[f"{key}-of"] = list_id
    if st.session_state.get(key, 1) > pages:
        st.session_state[key] = pages
    number = st.pagination(pages, key=key, bind="query-params") if pages > 1 else 1
    return slice((number - 1) * GALLERY_SIZE, number * GALLERY_SIZE)


def images_first_input(bare_count: int, bare_titles: Sequence[str]) -> bool:
    """Returns whether a gallery begins with the rows that have images.

    It says how many come after them, and of which sets.
    """
    first = st.toggle("Those with images first", True, key="pictured", bind="query-params")
    if first:
        sets = plain(", ".join(bare_titles), 200)
        st.caption(f"{bare_count:,} come after them: there are no images at hand of {sets}.")
    return first


def show_data_choice() -> None:
    """Offers the server's packs by name, an upload, and the way back."""
    names = list(offered_packs())
    if names:
        st.selectbox(
            "A pack on this server",
            names,
            key="pack",
            on_change=discard_own_data,
            help="Folders that whoever runs the server has put into assets/packs or named in "
            f"{PACKS_VARIABLE}. No other folder of the server can be opened from here.",
        )
    st.file_uploader(
        "Arrays or tables of your own",
        type=UPLOAD_TYPES,
        accept_multiple_files=True,
        key="arrays",
        max_upload_size=UPLOAD_MB,
        on_change=_on_upload,
        help="At most 300 arrays, 2,000,000 rows, 4,096 columns, 25,000 classes and 256 MB "
        "unpacked. They are yours alone and go when this session ends, unless you have the server "
        "keep them.",
    )
    st.caption(
        "An `.npz` of `train_z` (N, d), `train_y` (N,), `test_z`; with `near_NAME`, `mid_NAME`, "
        "`far_NAME` where you have OOD sets, `weight` and `bias` of the classifier's last layer "
        "for what reads logits, `val_z`, `pseudo_NAME`. Or a Parquet, CSV or `.npy` a set, called "
        "`train`, `test`, `near_NAME` ...; a table's columns may be text, too: labels, ids, and "
        "metadata such as a camera or a day."
    )
    with st.expander("Which columns of a table are what"):
        _column_inputs()
    _show_own_work()
    refused = refused_file("arrays", UPLOAD_TYPES, UPLOAD_MB, f"{FLOAT16} {WAY_OUT}")
    if error := refused or upload_error():
        st.error(plain(error, 500), icon=":material/error:")
    if is_own_data() and own_work() is None:
        _show_keeping()
    if is_own_data() or missing_own_data() is not None:
        st.button("Back to the server's data", icon=":material/undo:", on_click=discard_own_data)


def _show_own_work() -> None:
    """Shows how far the work on own data is, with a way to end it, or that it was ended."""
    work = own_work()
    if work is not None:
        show_cancellable(
            work.job,
            plain(work.doing),
            cancel_own_work,
            note=_line_note,
            help="Nothing of it stays, and nothing that was there goes.",
        )
    elif stopped := stopped_upload():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"You stopped reading {plain(stopped)}.")
            st.button("Read it after all", icon=":material/refresh:", on_click=_on_upload)


def _line_note(job: Job) -> str:
    return ". It waits for other uploads to be read." if job.state == "waiting" else ""


def _column_inputs() -> None:
    """Asks which columns of tables hold what; a change reads the files anew."""
    for name, (label, usual) in COLUMN_INPUTS.items():
        st.text_input(label, key=f"column-{name}", placeholder=usual, on_change=_on_columns)


def _on_columns() -> None:
    if st.session_state.get("arrays"):
        _on_upload()


def _on_upload() -> None:
    from heat_core.table_files import ColumnNames

    files = st.session_state["arrays"]
    if not files:
        on_files_removed()
        return
    names = {name: st.session_state.get(f"column-{name}", "") for name in COLUMN_INPUTS}
    accept_upload([UploadFile(file.name, file.getvalue()) for file in files], ColumnNames(**names))


def _show_keeping() -> None:
    """Offers to keep own data on the server, or says until when it is kept and deletes it."""
    kept, days = kept_upload(), days_kept()
    if kept is not None:
        st.caption(
            f"Kept on this server until {kept.until_text}, with its scores. Whoever has this "
            "page's link can open it; nobody else can find it."
        )
        st.button("Delete it from the server now", icon=":material/delete:", on_click=delete_kept)
    elif days:
        st.button(
            f"Keep on this server for {days:g} day{'' if days == 1 else 's'}",
            icon=":material/cloud_upload:",
            on_click=keep_own_data,
            help="Features, labels, metadata and scores, so that this page's link opens them "
            "tomorrow. Whoever has the link can open them. You can delete them at any time.",
        )
    else:
        st.caption("It goes when this page is loaded anew: this server keeps no uploads.")


def selection_chips() -> None:
    """Shows what is selected: a chip a part, dropped by a click, and a button that clears all.

    Nothing if nothing is selected. The container is always there, so that what comes below keeps
    its place on the page, and so its state.
    """
    container = st.container()
    if current_selection():
        with container:
            _chip_row()


def _chip_row() -> None:
    selection = current_selection()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Selected: {len(selection):,}", width="content")
        for part in selection.parts:
            st.button(
                f"{plain(part.label, 60)}: {len(part):,}",
                icon=":material/close:",
                key=f"chip-{part.origin}",
                on_click=drop_part,
                args=(part.origin,),
                help="Drop this condition.",
            )
        st.button(
            "Clear the selection", type="tertiary", key="clear-selection", on_click=clear_selection
        )
    if not len(selection) and len(selection.parts) > 1:
        st.caption("Nothing is in all of these at once; drop one.")
