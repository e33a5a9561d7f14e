"""The panels of the Monitor: the tests over time, who noticed when, batches, slices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.components.moment_line import dots, moment_line
from app.figures import COLOURS, GREY, QUIET
from app.monitor.evaluation import Monitored
from app.monitor.figures import p_value_figure, stream_figure
from app.monitor.state import set_moment
from app.monitor.stream_file import StreamFile
from app.monitor.tables import (
    FIRST_ROWS,
    GUARANTEED,
    LIMIT,
    NOT_GUARANTEED,
    RUN_LENGTH,
    batches_table,
    notices_table,
    slices_caption,
    slices_table,
)
from app.pack.tables import assignment
from app.text import plain

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from heat_core.pack import Pack


def tests(place: DeltaGenerator, monitored: Monitored, label: str, has_change: bool) -> None:
    """Shows a stream with all its tests.

    Args:
        place: of the stream and its charts, above the widget of the moment.
        monitored: the stream.
        label: of the moment.
        has_change: whether something changes at the moment.
    """
    with place:
        stream_line(monitored, label)
        stream_chart(monitored, has_change)
    who_noticed(monitored, has_change)
    before_and_after(monitored)


def stream_line(monitored: Monitored, label: str) -> None:
    """Shows the scores of the stream, with the moment to drag.

    Args:
        label: of the line, for a screen reader.
    """
    first, rows = monitored.first_row, len(monitored.scores)
    data = dots(
        monitored.scores,
        monitored.is_changed,
        monitored.decision.threshold,
        first + monitored.moment,
        first,
        {"inside": COLOURS["ID"], "changed": COLOURS["near"], "limit": GREY},
        low=first,
        high=first + rows,
        label=label,
    )
    mixed = " Diamonds were mixed in." if monitored.has_changed_rows else ""
    st.caption(
        f"A dot for each row, higher for a larger score; flagged above the dashed line.{mixed} "
        "Drag the upright line."
    )
    moment_line(data, set_moment, key="moment-line")


def stream_chart(monitored: Monitored, has_change: bool) -> None:
    """Shows the flag rate, the martingale and the CUSUM over the stream."""
    if monitored.refusal:
        st.warning(
            f"{plain(monitored.refusal)} The threshold keeps that share of the calibration rows "
            "instead, which promises nothing.",
            icon=":material/warning:",
        )
    st.plotly_chart(
        stream_figure(
            monitored.found,
            monitored.moment,
            monitored.first_row,
            (LIMIT, RUN_LENGTH),
            has_change,
        ),
        key="stream-chart",
        alt="Flag rate, martingale and CUSUM by the row of the stream, with where they alarm",
        config=QUIET,
    )


def who_noticed(monitored: Monitored, has_change: bool) -> None:
    """Shows when each test noticed the change, and what it promises."""
    st.markdown("**Who noticed when**" if has_change else "**Who alarmed when**")
    st.dataframe(
        notices_table(monitored, has_change),
        hide_index=True,
        alt="When each test noticed the change",
    )
    begin = FIRST_ROWS if monitored.first_row else ""
    st.caption(f"{begin}{GUARANTEED} {NOT_GUARANTEED}")


def before_and_after(monitored: Monitored) -> None:
    """Shows the p-values before and after the moment, and two batches compared."""
    left, right = st.columns(2)
    with left:
        st.markdown("**p-values of the rows: uniform while nothing changes**")
        st.plotly_chart(
            p_value_figure(monitored.found.p_values, monitored.moment),
            key="p-values",
            alt="The spread of p-values before the moment and from it on, with the uniform share",
            config=QUIET,
        )
    with right:
        _batches(monitored)


def _batches(monitored: Monitored) -> None:
    batches = monitored.batches
    if batches is None:
        st.markdown("**Two batches compared**")
        st.info("It takes two rows before the moment, and two after.", icon=":material/info:")
        return
    before, after = batches.rows
    st.markdown(f"**{before:,} rows before the moment against {after:,} from it on**")
    st.dataframe(batches_table(batches), hide_index=True, alt="Batch tests of two windows")
    st.caption(
        "A p-value holds for two batches that were fixed beforehand, looked at once: who moves the "
        "moment until it is small finds changes that are none. That of the features is of 500 "
        "exchanges of rows, so 0.002 at the least."
        if batches.features is not None
        else "A p-value holds for two batches that were fixed beforehand, looked at once. A file "
        "has no features, so only scores are compared."
    )


def classes(pack: Pack, monitored: Monitored) -> None:
    """Shows what became of the rows of each class that they are assigned to."""
    st.markdown(f"**By the class that a row is {assignment(pack)}**")
    _slices(monitored, assignment(pack).capitalize(), "class", pack.class_name)


def column(stream: StreamFile, name: str, monitored: Monitored) -> None:
    """Shows what became of the rows of each value of a file's column."""
    names = stream.columns[name].names
    st.markdown(f"**By the column {plain(name, 60)}**")
    _slices(monitored, name, "value", names.__getitem__)


def _slices(monitored: Monitored, heading: str, kind: str, name_of: Callable[[Any], str]) -> None:
    """Shows what became of each slice of the stream.

    Args:
        monitored: the stream.
        heading: of the slices in the table.
        kind: what a slice is, such as `class`.
        name_of: the name of a slice by its value.
    """
    st.dataframe(
        slices_table(monitored, heading, name_of),
        hide_index=True,
        height="content",
        alt="What became of each slice of the stream",
    )
    st.caption(slices_caption(monitored, kind))
