"""Filters by metadata columns, such as camera or day: parts of the selection, and of the link."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

import streamlit as st

from app.pack.data import PackData
from app.pack.items import LabelledItems, items_of
from app.pack.metadata import (
    EPOCH,
    Condition,
    MetadataColours,
    conditions_text,
    day_of,
    metadata_mask,
    parse_conditions,
)
from app.pack.selected import (
    CONDITIONS_KEY,
    current_selection,
    drop_part,
    set_part,
    take_waiting_conditions,
    waiting_conditions_text,
)
from app.session import write_to_link
from app.text import plain

FILTERED_KEY = "filtered"  # the column that the popover shows
NUMBER_STEPS = 200  # of a slider


def sync_filters_with_link(pack_data: PackData) -> None:
    """Selects once what the link's conditions hold of the data, and keeps them in the link."""
    for condition in parse_conditions(take_waiting_conditions()):
        if condition.column in pack_data.pack.metadata_columns:
            colours = pack_data.metadata_colours(condition.column)
            if colours.takes(condition.wanted):
                set_filter(pack_data, colours, condition.wanted)
    write_to_link(CONDITIONS_KEY, conditions_text(_conditions().values()))


def keep_filters_in_link() -> None:
    """Keeps the conditions in the link of a page without data."""
    waiting = waiting_conditions_text()
    write_to_link(CONDITIONS_KEY, waiting or conditions_text(_conditions().values()))


def _conditions() -> dict[str, Condition]:
    """Returns {column: condition} of what is selected."""
    conditions = (part.condition for part in current_selection().parts)
    return {condition.column: condition for condition in conditions if condition is not None}


def set_filter(
    pack_data: PackData, colours: MetadataColours, wanted: Collection[str] | tuple[float, float]
) -> None:
    """Selects the rows that have some values of a column; all of them where none is left out."""
    condition = colours.condition(wanted)
    origin = f"column {colours.column}"
    if condition is None:
        drop_part(origin)
        return
    items = items_of(pack_data.pack, metadata_mask(colours, condition.wanted))
    set_part(LabelledItems(origin, condition.label, items, condition=condition))


# -- widgets ---------------------------------------------------------------------------------------


def filter_popover(pack_data: PackData, first: str = "") -> None:
    """Offers a filter by each metadata column; nothing where the data has none.

    Args:
        first: the column that is offered until another is chosen.
    """
    columns = pack_data.pack.metadata_columns
    if not columns:
        return
    count = len(_conditions())
    with st.popover(f"Filter: {count}" if count else "Filter", icon=":material/filter_alt:"):
        chosen = st.session_state.get(FILTERED_KEY)
        if chosen not in columns:
            chosen = first or columns[0]
        st.session_state[FILTERED_KEY] = chosen  # anew: the browser draws it once it is opened
        column = st.selectbox("Filter by", columns, key=FILTERED_KEY)
        colours = pack_data.metadata_colours(str(column))
        if colours.categories:
            _categories_input(pack_data, colours)
        elif colours.range[0] < colours.range[1]:
            _range_input(pack_data, colours)
        else:
            st.caption("All rows have the same value of it.")
        st.caption(
            "Whatever else is selected is narrowed down by it, on every page; rows that it leaves "
            "out are faint on the map."
        )


def _categories_input(pack_data: PackData, colours: MetadataColours) -> None:
    counts: Mapping[str, int] = colours.counts
    key = f"where {colours.column}"
    condition = _conditions().get(colours.column)
    st.session_state[key] = [] if condition is None else list(condition.wanted)
    st.pills(
        f"Rows with any of these, or all ({sum(counts.values()):,})",
        list(counts),
        selection_mode="multi",
        key=key,
        format_func=lambda name: f"{plain(name, 40)}: {counts[name]:,}",
        on_change=_on_categories,
        args=(pack_data, colours, key),
    )


def _on_categories(pack_data: PackData, colours: MetadataColours, key: str) -> None:
    set_filter(pack_data, colours, st.session_state.get(key) or ())


def _range_input(pack_data: PackData, colours: MetadataColours) -> None:
    low, high = colours.range
    condition = _conditions().get(colours.column)
    chosen = (low, high) if condition is None else condition.wanted
    key = f"where {colours.column}"
    label = "Rows from … to …; those without a value are left out"
    on_change = {"on_change": _on_range, "args": (pack_data, colours, key)}
    if colours.is_date:
        first, last = day_of(low), day_of(high)
        days = [min(max(day_of(float(bound)), first), last) for bound in chosen]
        st.session_state[key] = (days[0], days[1])
        st.slider(label, first, last, key=key, **on_change)
        return
    bounds = [min(max(float(bound), low), high) for bound in chosen]
    st.session_state[key] = (bounds[0], bounds[1])
    st.slider(label, low, high, step=(high - low) / NUMBER_STEPS, key=key, **on_change)


def _on_range(pack_data: PackData, colours: MetadataColours, key: str) -> None:
    low, high = st.session_state[key]
    if isinstance(low, date):
        epoch = EPOCH.date()
        low, high = (low - epoch).days, (high - epoch).days + 1 - 1e-9  # the whole last day
    set_filter(pack_data, colours, (low, high))
