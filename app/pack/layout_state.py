"""Which layout of the pack is on the page, and the jobs that make one."""

from __future__ import annotations

import streamlit as st

from app.jobs import Job
from app.pack.data import PackData, find_job, start_job
from app.pack.items import Part, items_of
from app.pack.jobs import lay_out
from app.pack.layout import Layout, Region, mapped_sets, parse_region, rows_in_region
from app.pack.selected import (
    FROM_MAP,
    add_to_selection,
    current_selection,
    map_region,
    open_item,
    set_map_region,
)
from app.session import keep_in_link, tab_id

# -- maps --------------------------------------------------------------------------------------------------------------


def current_layout(pack_data: PackData, method: str) -> Layout | None:
    """Returns the data's map: its own, or the one that a job has made; None if there is none by this method."""
    if pack_data.layout is not None and pack_data.layout.method == method:
        return pack_data.layout
    job = layout_job(pack_data, method)
    return job.result if job is not None and job.state == "done" else None


def layout_job(pack_data: PackData, method: str) -> Job | None:
    """Returns the job that lays the data out, watched from now on; None if there is none, or this tab has left it."""
    key = f"map/{pack_data.key}/{method}"
    job = find_job(pack_data, key)
    if job is None or job.stopping or key in _left_layouts():
        return None
    job.watch(tab_id())
    return job


def start_layout(pack_data: PackData, method: str) -> None:
    """Starts laying the data out, or joins who does."""
    key = f"map/{pack_data.key}/{method}"
    _left_layouts().discard(key)
    start_job(pack_data, key, lay_out(pack_data.pack, method)).watch(tab_id())


def leave_layout(pack_data: PackData, method: str) -> None:
    """Stops waiting for a map; the work stops unless another tab waits for it."""
    job = layout_job(pack_data, method)
    if job is not None:
        _left_layouts().add(job.key)
        job.leave(tab_id())


def _left_layouts() -> set[str]:
    return st.session_state.setdefault("left_maps", set())


def select_region(pack_data: PackData, found: Layout, drawn: Region) -> None:
    """Selects what is drawn on a map."""
    set_map_region(drawn.text)
    add_to_selection(
        Part(FROM_MAP, "Drawn on the map", items_of(pack_data.pack, rows_in_region(found, drawn)))
    )


def select_linked_region(pack_data: PackData) -> str:
    """Selects what a link says is drawn on the map; returns by which method that is laid out, while there is no such map."""
    drawn = parse_region(map_region())
    if drawn is None or not _can_be_drawn(
        pack_data, drawn
    ):  # nothing, or cut off, or of other data
        set_map_region("")
    elif current_selection().part(FROM_MAP) is None:
        found = current_layout(pack_data, drawn.method)
        if found is None:
            return drawn.method
        select_region(pack_data, found, drawn)
    map_region()
    return ""


def is_link_of_other_data(pack_data: PackData) -> bool:
    """Returns whether the link that began this session was made of other data; what it selects is then left out.

    From now on the link says of which data it is.
    """
    mine, state = pack_data.key[:8], st.session_state
    if "of" not in state and st.query_params.get("of", mine) != mine:
        set_map_region("")
        open_item("")
        state["followed"] = True  # and what it picked is passed over
        state["of_other"] = mine  # until other data is opened
    state["of"] = keep_in_link("of", mine)
    return state.get("of_other") == mine


def _can_be_drawn(pack_data: PackData, drawn: Region) -> bool:
    """Returns whether there can be a map of this data by that method, with one of those sets."""
    from heat_core.projection import METHODS

    own = pack_data.layout.method if pack_data.layout else ""
    return drawn.method in {*METHODS, own} and (
        not drawn.sets or not {*drawn.sets}.isdisjoint(mapped_sets(pack_data.pack))
    )
