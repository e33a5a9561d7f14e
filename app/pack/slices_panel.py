"""What a threshold does to the rows of each camera, site or day: a table by a metadata column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from app.pack.data import PackData
from app.pack.slices import slices, slices_finding, slices_table
from app.session import is_asked_for_by_link, warn_if_not_offered
from app.text import plain

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from heat_core.scores import SetScores

COLUMN_KEY = "column"  # which metadata column, in the link, too


def slices_expander(pack_data: PackData) -> DeltaGenerator | None:
    """Returns the fold of the table, open once somebody, or the link, has chosen a column.

    None where the data has no such column.
    """
    columns = pack_data.pack.metadata_columns
    if not columns:
        return None
    return st.expander(
        f"Kept and caught by {plain(', '.join(columns), 80)}",
        expanded=is_asked_for_by_link(COLUMN_KEY),
        icon=":material/table_rows:",
    )


def column_input(pack_data: PackData) -> str:
    """Returns the metadata column that is looked at; the data has one."""
    columns = pack_data.pack.metadata_columns
    warn_if_not_offered(COLUMN_KEY, columns, "metadata column")
    if st.session_state.get(COLUMN_KEY, columns[0]) not in columns:  # it was of other data
        del st.session_state[COLUMN_KEY]
    return str(st.selectbox("By", columns, key=COLUMN_KEY, bind="query-params", width=200))


def show_slices(
    pack_data: PackData,
    column: str,
    scores: SetScores,
    threshold: float,
    ood_names: Sequence[str],
) -> None:
    """Shows how much ID is kept and OOD caught of each value of a metadata column.

    Args:
        column: its name.
        scores: of a detector.
        threshold: above it means out.
        ood_names: of the OOD sets that count.
    """
    found = slices(pack_data.metadata_colours(column), scores, threshold, ood_names)
    st.markdown(f"**{plain(slices_finding(column, found))}**")
    st.dataframe(
        slices_table(column, found),
        hide_index=True,
        height="content",
        alt=f"ID kept and OOD caught by {column}",
    )
    st.caption(
        "In brackets: the exact 95 % interval of each share. OOD rows of all sets that count are "
        "put together."
    )
