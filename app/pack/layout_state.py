"""Which layout of the pack is on the page, the jobs that make one, and regions drawn on it."""

from __future__ import annotations

from app.job import Job
from app.pack.data import PackData, start_job, watched_job
from app.pack.items import LabelledItems, items_of
from app.pack.layout import Layout, Region, mapped_sets, rows_in_region
from app.pack.own_data import result_keeper
from app.pack.selected import (
    FROM_MAP,
    drop_waiting_region,
    keep_region_in_link,
    map_region,
    set_part,
    waiting_region,
)
from app.pack.work import layout_work
from app.session import tab_id


def current_layout(pack_data: PackData, method: str) -> Layout | None:
    """Returns the layout by a method: the pack's own, a job's, or one that is kept with own data.

    None if there is none yet.
    """
    if pack_data.layout is not None and pack_data.layout.method == method:
        return pack_data.layout
    job = layout_job(pack_data, method)
    keeper = result_keeper()
    if job is not None and job.state == "done":
        if keeper is not None:
            keeper.keep_layout(job.result)
        return job.result
    return None if keeper is None else keeper.layout(method)


def layout_job(pack_data: PackData, method: str) -> Job | None:
    """Returns the job that lays the data out, watched from now on.

    None if there is none, or if this tab has left it.
    """
    return watched_job(pack_data, _layout_key(pack_data, method))


def start_layout(pack_data: PackData, method: str) -> None:
    """Starts laying the data out, or joins whoever does."""
    key = _layout_key(pack_data, method)
    job = start_job(pack_data, key, layout_work(pack_data.pack, method))
    job.watch(tab_id())


def _layout_key(pack_data: PackData, method: str) -> str:
    return f"map/{pack_data.key}/{method}"


# -- regions drawn on a layout ---------------------------------------------------------------------


def select_region(pack_data: PackData, layout: Layout, region: Region) -> None:
    """Selects the rows that a region holds, in place of those drawn around before."""
    region = region.rounded()
    items = items_of(pack_data.pack, rows_in_region(layout, region))
    set_part(LabelledItems(FROM_MAP, "Drawn on the map", items, region))
    drop_waiting_region()


def sync_region_with_link(pack_data: PackData) -> str:
    """Selects the link's region as soon as there is its layout, and keeps the region in the link.

    Returns the method of the layout that it still waits for, or nothing.
    """
    missing_method = _follow_waiting_region(pack_data)
    keep_region_in_link()
    return missing_method


def _follow_waiting_region(pack_data: PackData) -> str:
    """Selects the region that waits, or drops it if that cannot be.

    Returns the method of the layout that it still waits for, or nothing.
    """
    region = waiting_region()
    is_drawn_over = map_region() is not None
    if region is None or is_drawn_over or not _can_hold(pack_data, region):
        drop_waiting_region()
        return ""
    layout = current_layout(pack_data, region.method)
    if layout is None:
        return region.method
    select_region(pack_data, layout, region)
    return ""


def _can_hold(pack_data: PackData, region: Region) -> bool:
    """Returns whether the data can have a layout by the region's method, with one of its sets."""
    from heat_core.projection import METHODS

    methods = {*METHODS}
    if pack_data.layout is not None:
        methods.add(pack_data.layout.method)
    if region.method not in methods:
        return False
    return not region.set_names or not set(region.set_names).isdisjoint(mapped_sets(pack_data.pack))
