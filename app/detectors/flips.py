"""Where two detectors part: the images that one accepts and the other rejects, as a gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from app.detectors.controls import counted_sets, detector_pair
from app.detectors.state import differ_by_correction, find_flips
from app.detectors.tables import flips_finding, move_text
from app.pack import gallery, inspector
from app.pack.controls import gallery_page
from app.pack.data import PackData
from app.pack.items import Part, items_of
from app.pack.scores import ready_scores, scoring_job
from app.pack.selected import add_to_selection, current_selection, opened_item, selected_masks
from app.text import plain

if TYPE_CHECKING:
    from heat_core.flips import Flips

PAGE = 24  # images a page
ORIGIN = "flips"


@st.fragment
def flips(pack_data: PackData, keep: float) -> None:
    """Shows the images that flip between two detectors, those that moved farthest first, and the one that is looked at.

    Args:
        keep: the share of ID that each one's threshold keeps.
    """
    heading = st.container()
    accepts, rejects = detector_pair()
    scores, absent = ready_scores(scoring_job(pack_data, "modern"))
    lacking = [name for name in (accepts, rejects) if name not in scores]
    if accepts == rejects:
        heading.subheader("Where two detectors part")
        st.info(
            f"{accepts} does not part from itself. Choose another beside it.",
            icon=":material/info:",
        )
    elif lacking:
        heading.subheader("Where two detectors part")
        st.info(
            plain(absent.get(lacking[0], f"{lacking[0]} is not ready yet.")), icon=":material/info:"
        )
    else:
        _parted(pack_data, accepts, rejects, keep, heading)
    inspector.show(pack_data, opened_item())


def _parted(pack_data: PackData, accepts: str, rejects: str, keep: float, heading) -> None:
    found = find_flips(pack_data, accepts, rejects, keep)
    if others := current_selection().without(ORIGIN):  # what was picked elsewhere holds here
        found = found.within(selected_masks(pack_data, others))
    heading.subheader(flips_finding(accepts, rejects, found.counts))
    titles = {name: pack_data.pack.set_title(name) for name in found.counts}
    wanted = counted_sets(titles, found.counts)
    found = found.within(
        {
            name: np.ones(len(features), bool)
            for name, features in pack_data.pack.sets()
            if name in wanted
        }
    )
    corrected = differ_by_correction(accepts, rejects)
    by = (
        "by how far HEAT's correction E_θ moved them"
        if corrected
        else "by how many points their rank among ID changed"
    )
    st.caption(
        f"Each threshold keeps {100 * keep:g} % of the ID test images. Sorted {by}. Click an image to look into it."
    )
    if not len(found):
        st.info(
            "No image flips this way here. Turn the two round, or move the threshold.",
            icon=":material/info:",
        )
        return
    _gallery(pack_data, found, corrected, (accepts, rejects, keep, tuple(wanted)))
    if st.button(
        f"Select these {len(found):,}",
        icon=":material/filter_alt:",
        help="On every page, until cleared.",
    ):
        label = f"{accepts} accepts, {rejects} rejects"
        add_to_selection(Part(ORIGIN, label, items_of(pack_data.pack, found.by_set())))
        st.rerun()


def _gallery(pack_data: PackData, found: Flips, corrected: bool, of: object) -> None:
    """Shows a page of flips; `of` says which."""
    order = gallery.gallery_order(pack_data, found.sets)
    shown = order[gallery_page(len(found), PAGE, "flips", of)]
    places = list(zip(found.sets[shown].tolist(), found.rows[shown].tolist(), strict=True))
    captions = [
        (pack_data.pack.set_title(name), move_text(move, corrected))
        for (name, _), move in zip(places, found.moves[shown].tolist(), strict=True)
    ]
    gallery.show_tiles(pack_data, places, captions, "flipped", opened_item())
