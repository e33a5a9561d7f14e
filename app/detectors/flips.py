"""Flips: the images that one detector accepts and another rejects, as a gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from app.detectors.controls import flip_sets_input
from app.detectors.tables import flips_finding, move_text
from app.pack import inspector
from app.pack.controls import gallery_page
from app.pack.data import PackData
from app.pack.flips import (
    corrected_detector,
    detector_pair_input,
    find_flips,
    flip_scores,
    missing_reason,
)
from app.pack.gallery import gallery_order, rows_id, show_tiles
from app.pack.items import LabelledItems, items_of
from app.pack.selected import current_selection, opened_item, selected_masks, set_part
from app.text import plain

if TYPE_CHECKING:
    from heat_core.flips import Flips

FROM_FLIPS = "flips"
TITLE = "Where two detectors part"


@st.fragment
def show(pack_data: PackData, share_to_keep: float) -> None:
    """Shows the flips between two detectors, those that moved farthest first, and the opened image.

    Args:
        pack_data: whose images.
        share_to_keep: the share of ID that each threshold keeps.
    """
    heading = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        accepts, rejects = detector_pair_input()
    ready = flip_scores(pack_data)
    missing = [name for name in (accepts, rejects) if name not in ready]
    if accepts == rejects:
        heading.subheader(TITLE)
        st.info(
            f"{accepts} does not part from itself. Choose another beside it.",
            icon=":material/info:",
        )
    elif missing:
        heading.subheader(TITLE)
        st.info(plain(missing_reason(pack_data, missing[0])), icon=":material/info:")
    else:
        _show_pair(pack_data, accepts, rejects, share_to_keep, heading)
    inspector.show(pack_data, opened_item())


def _show_pair(
    pack_data: PackData, accepts: str, rejects: str, share_to_keep: float, heading
) -> None:
    """Shows the flips of two detectors that are ready; `heading` is the place of their finding."""
    flips = find_flips(pack_data, accepts, rejects, share_to_keep)
    selection = current_selection().without(FROM_FLIPS)  # what was selected elsewhere holds here
    if selection:
        flips = flips.within(selected_masks(pack_data, selection))
    pack = pack_data.pack
    counts = {name: count for name, count in flips.counts.items() if name not in pack.apart}
    heading.subheader(flips_finding(accepts, rejects, counts))
    if pack.apart_sentence:
        heading.caption(f"{plain(pack.apart_sentence)} Nor are they in this count.")
    titles = {name: pack.marked_title_of(name) for name in flips.counts}
    set_names = flip_sets_input(titles, flips.counts)
    flips = flips.within(_whole_sets(pack_data, set_names))

    corrected = corrected_detector(accepts, rejects)
    order = (
        f"by how far {corrected}'s correction E_θ moved them"
        if corrected
        else "by how many points their ID percentile changed"
    )
    st.caption(
        f"Each threshold keeps {100 * share_to_keep:g} % of ID. Sorted {order}. "
        "Click an image to look into it."
    )
    if not len(flips):
        st.info(
            "No image flips this way here. Turn the two round, or move the threshold.",
            icon=":material/info:",
        )
        return
    _gallery(pack_data, flips, bool(corrected))
    _select_button(pack_data, flips, f"{accepts} accepts, {rejects} rejects")


def _whole_sets(pack_data: PackData, set_names: list[str]) -> dict[str, np.ndarray]:
    """Returns {set: mask of all its rows (n,)}."""
    return {
        name: np.ones(len(features), bool)
        for name, features in pack_data.pack.sets()
        if name in set_names
    }


def _gallery(pack_data: PackData, flips: Flips, is_corrected: bool) -> None:
    """Shows a page of flips; other flips begin at their first page."""
    order = gallery_order(pack_data, flips.sets)
    rows = order[gallery_page(len(flips), "flips", rows_id(flips.sets, flips.rows))]
    pack_rows = list(zip(flips.sets[rows].tolist(), flips.rows[rows].tolist(), strict=True))
    moves = [move_text(move, is_corrected) for move in flips.moves[rows].tolist()]
    titles = [pack_data.pack.title_of(name) for name, _ in pack_rows]
    captions = list(zip(titles, moves, strict=True))
    show_tiles(pack_data, pack_rows, captions, "flipped", opened_item())


def _select_button(pack_data: PackData, flips: Flips, label: str) -> None:
    """Offers all flips as the selection."""
    is_pressed = st.button(
        f"Select these {len(flips):,}",
        icon=":material/filter_alt:",
        help="On every page, until cleared.",
    )
    if is_pressed:
        set_part(LabelledItems(FROM_FLIPS, label, items_of(pack_data.pack, flips.by_set())))
        st.rerun()
