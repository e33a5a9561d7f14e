"""Widgets of the Monitor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from app.components.refused_files import last_refusal, refused_file
from app.incoming import number_input, number_within, whole_number_input
from app.monitor.evaluation import FileChoice, StreamChoice
from app.monitor.state import FILE_KEY, MOMENT_KEY, on_file, stream_file_error
from app.monitor.stream_file import MAX_ROWS, MIN_ROWS, StreamFile
from app.pack.controls import share_to_keep_input
from app.session import (
    from_link,
    to_link,
    warn_if_not_offered,
)
from app.text import plain
from heat_core.set_name import SetName

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from heat_core.pack import Pack

FILE_TYPES = ["parquet"]
MIXED_KEY, COLUMN_KEY = "mixed", "slice"
NOTHING = "nothing"  # is mixed in
MIN_STREAM_ROWS, MAX_STREAM_ROWS = 20, 5000
NO_COLUMN = ""
UPLOAD_MB = 32


# -- a simulated stream ----------------------------------------------------------------------------


def mixed_input(titles: Mapping[str, str], first: str) -> str:
    """Returns the set that is mixed in; nothing for none.

    Args:
        titles: {set: title} of the sets.
        first: the one that is mixed in where nobody has chosen.
    """
    options = [*titles, NOTHING]
    warn_if_not_offered(MIXED_KEY, options, "set")
    from_link(MIXED_KEY, options)
    if st.session_state.get(MIXED_KEY) not in options:
        st.session_state[MIXED_KEY] = first
    mixed = st.selectbox(
        "Mixed in",
        options,
        key=MIXED_KEY,
        persist_state="session",
        format_func=lambda name: titles.get(name, "nothing: ID alone"),
        help="An OOD set, or ID images that were destroyed, such as blurred ones.",
    )
    to_link(MIXED_KEY, str(mixed))
    return "" if mixed == NOTHING else str(mixed)


def set_titles(pack: Pack) -> dict[str, str]:
    """Returns {set: title} of what can be mixed in: OOD sets, and destroyed ID images."""
    titles = {str(name): pack.title_of(str(name)) for name in pack.ood}
    for name in pack.extra.destroyed():
        titles[name] = f"{SetName.parse(name).short_name} on ID images"
    return titles


def usual_set(titles: Mapping[str, str]) -> str:
    """Returns the set that is mixed in where nobody has chosen: the first that is far, if any is.

    >>> usual_set({"near_a": "A", "far_b": "B", "far_c": "C"}), usual_set({"near_a": "A"})
    ('far_b', 'near_a')
    >>> usual_set({})
    'nothing'
    """
    return min(titles, key=lambda name: SetName.parse(name).group != "far", default=NOTHING)


def stream_choice(
    places: Sequence[DeltaGenerator], detector: str, titles: Mapping[str, str]
) -> StreamChoice:
    """Returns the settings of a simulated stream, but for its moment.

    Args:
        places: of the widgets, four.
        detector: whose scores are watched.
        titles: {set: title} of what can be mixed in.
    """
    with places[0]:
        mixed = mixed_input(titles, usual_set(titles))
    with places[1]:
        share = number_input("Of the rows (%)", 0.0, 100.0, 10.0, 5.0, "mix", 1)
    with places[2]:
        keep = keep_input()
    with places[3], st.popover("The stream", icon=":material/tune:", width="stretch"):
        rows = whole_number_input(
            "Rows of the stream",
            MIN_STREAM_ROWS,
            MAX_STREAM_ROWS,
            2000,
            100,
            "length",
            help="At most as many as ID test rows that the threshold was not chosen on: none of "
            "them comes twice.",
        )
        window = window_input()
        seed = whole_number_input(
            "Seed of the order",
            0,
            9999,
            0,
            1,
            "shuffle",
            help="Another seed is another stream: alarms that come and go with it are chance.",
        )
    return StreamChoice(detector, mixed, share / 100, keep, rows, window, seed)


def keep_input() -> float:
    """Returns the share of new ID rows that the threshold keeps."""
    return share_to_keep_input(
        "ID to keep (%)",
        width=None,
        help="Rows above the threshold are flagged. It keeps at least this share of new ID rows "
        "(conformal).",
    )


def window_input() -> int:
    """Returns how many rows a window has."""
    return whole_number_input(
        "Rows a window",
        5,
        1000,
        100,
        10,
        "every",
        help="Flag rates and tests of windows are known when a window's last row has come.",
    )


def moment_input(label: str, low: int, high: int) -> int:
    """Returns a row of the stream, from 0; two fifths of the range, unless a person has moved it.

    Args:
        label: of the widget.
        low, high: the range.
    """
    if high <= low:
        return low
    usual = low + 2 * (high - low) // 5
    current = number_within(st.session_state.get(MOMENT_KEY), low, high)
    if MOMENT_KEY in st.session_state and current is None:
        st.session_state[MOMENT_KEY] = float(usual)
    return whole_number_input(label, low, high, usual, max(1, (high - low) // 100), MOMENT_KEY, 220)


# -- a stream of one's own -------------------------------------------------------------------------


def file_input() -> None:
    """Takes a stream file."""
    with st.popover("Your own stream", icon=":material/upload_file:", width="stretch"):
        st.file_uploader(
            "A stream of scores",
            type=FILE_TYPES,
            key=FILE_KEY,
            max_upload_size=UPLOAD_MB,
            on_change=on_file,
        )
        st.caption(
            f"A Parquet file of {MIN_ROWS} to {MAX_ROWS:,} rows, as `heat score BUNDLE` writes it: "
            "a column `score`, or else `p_value`; `time` if rows are not in order; columns of few "
            "values to slice by, such as `predicted`. It goes with this session. `heat watch` "
            "takes files of any size, and holds them against the bundle's calibration scores."
        )
        refused_file(FILE_KEY, FILE_TYPES, UPLOAD_MB, "heat watch takes files of any size.")


def show_file_error() -> None:
    """Shows what is wrong with the file that came last, if anything is."""
    if error := last_refusal(FILE_KEY) or stream_file_error():
        st.error(plain(error), icon=":material/error:")


def file_choice(stream: StreamFile) -> FileChoice:
    """Returns the settings by which a stream file is watched, but for its moment."""
    rows = len(stream.scores)
    columns = st.columns(5, vertical_alignment="bottom")
    with columns[0]:
        calm = number_input(
            "First rows taken for calm (%)",
            5.0,
            80.0,
            20.0,
            5.0,
            "calm",
            0,
            help="All later rows are held against these: what they are stands for ID.",
        )
    with columns[1]:
        keep = keep_input()
    with columns[2]:
        window = window_input()
    with columns[3]:
        column = column_input(stream)
    with columns[4]:
        file_input()
    calm_rows = max(1, round(rows * calm / 100))
    return FileChoice(keep, calm_rows, min(window, rows - calm_rows), column)


def column_input(stream: StreamFile) -> str:
    """Returns the column by which a stream file is sliced; nothing for none."""
    options = [NO_COLUMN, *stream.columns]
    from_link(COLUMN_KEY, options)
    if st.session_state.get(COLUMN_KEY) not in options:
        st.session_state[COLUMN_KEY] = NO_COLUMN
    column = st.selectbox(
        "Sliced by",
        options,
        key=COLUMN_KEY,
        format_func=lambda name: name or "no column",
        help="Every value of the column gets a martingale of its own.",
    )
    return to_link(COLUMN_KEY, str(column or NO_COLUMN))
