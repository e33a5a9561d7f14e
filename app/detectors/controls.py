"""Widgets of the Detectors page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app.components.refused_files import refused_file
from app.incoming import choice_input, number_input
from app.pack.controls import score_unit_input, share_to_keep_input
from app.pack.shown import (
    addable_detectors,
    added_detectors,
    set_added_detectors,
)
from app.session import warn_if_not_offered
from app.text import plain
from heat_core.detectors.presets import DETECTORS, preset_detector
from heat_core.results.score_axis import ScoreUnit

DRAWN = ("MSP", "MoG", "EBM", "HEAT")  # whose curves are drawn at first
IMAGE_TYPES = ("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif")
IMAGE_MB = 25


@dataclass(frozen=True)
class LineChoice:
    """How scores are drawn, and where the line is.

    Args:
        share_to_keep: the share of ID that thresholds keep.
        unit: of the axis that scores are drawn on.
    """

    share_to_keep: float
    unit: ScoreUnit


def line_choice() -> LineChoice:
    """Returns where the line is, and how scores are drawn."""
    return LineChoice(share_to_keep_input(), score_unit_input())


def added_detectors_input() -> None:
    """Offers the detectors beside those that everybody sees, approach by approach."""
    added = added_detectors()
    label = f"More detectors: {len(added)} added" if added else "More detectors"
    about = "They are fitted once they are added."
    with st.popover(label, icon=":material/add_chart:", help=about):
        for approach, names in addable_detectors().items():
            key = f"add {approach}"
            st.session_state[key] = [name for name in added if name in names]
            st.pills(
                approach[0].upper() + approach[1:],
                names,
                selection_mode="multi",
                key=key,
                on_change=_add_picked,
            )
        for name in added:
            st.caption(f"{name}: {preset_detector(name).description}.")


def _add_picked() -> None:
    picked = (st.session_state.get(f"add {approach}") for approach in addable_detectors())
    set_added_detectors(name for names in picked for name in names or ())


def drawn_detectors_input(offered: Sequence[str]) -> list[str]:
    """Returns up to four of the detectors that are offered, whose curves are drawn."""
    warn_if_not_offered("drawn", DETECTORS, "detector")
    if not set(st.session_state.get("drawn", ())) <= set(offered):  # one was taken away since
        del st.session_state["drawn"]
    names = st.multiselect(
        "Detectors drawn",
        offered,
        [name for name in DRAWN if name in offered],
        key="drawn",
        bind="query-params",
        max_selections=4,
        help="At most four at once.",
    )
    return list(names)


def drawn_group_input(groups: Sequence[str]) -> str:
    """Returns a group of OOD sets, or `all`."""
    return choice_input(
        "OOD",
        ("all", *groups),
        default="all",
        key="rocgroup",
        help="all: the mean of the groups. Every set in a group counts the same.",
    )


def score_range_input(names: Sequence[str]) -> tuple[str, float, float] | None:
    """Returns (detector, low, high) when a range of ID percentiles, as fractions, is to be
    selected.

    It does what a click on a bar does, by keys and exactly.
    """
    with st.popover("Select by score", icon=":material/filter_alt:"):
        name = st.selectbox("Detector", names, len(names) - 1, key="range-of")
        low = number_input(
            "From ID percentile", 0.0, 100.0, 95.0, 1.0, key="range-from", in_link=False
        )
        high = number_input(
            "To ID percentile",
            0.0,
            100.0,
            default=100.0,
            step=1.0,
            key="range-to",
            help="100 takes all beyond, too.",
            in_link=False,
        )
        is_pressed = st.button("Select")
    if not is_pressed:
        return None
    return str(name), low / 100, high / 100


def flip_sets_input(titles: Mapping[str, str], counts: Mapping[str, tuple[int, int]]) -> list[str]:
    """Returns the sets whose images are shown; all, if none is picked.

    Args:
        titles: {set: title}.
        counts: {set: (how many, of how many)}; a set with none is not offered.
    """
    options = [name for name in titles if counts[name][0]]
    if not options:
        return []
    picked = [name for name in st.session_state.get("flipped-sets", ()) if name in options]
    st.session_state["flipped-sets"] = picked

    def label(name: str) -> str:
        count, total = counts[name]
        return f"{plain(titles[name], 40)}: {count:,} of {total:,}"

    names = st.pills(
        "Sets",
        options,
        selection_mode="multi",
        key="flipped-sets",
        help="All of them, if none is picked.",
        format_func=label,
    )
    return list(names) or options


def image_upload() -> UploadedFile | None:
    """Returns an image that was uploaded, if there is one."""
    file = st.file_uploader(
        "An image",
        IMAGE_TYPES,
        key="own_image",
        max_upload_size=IMAGE_MB,
        help="It stays in this session. Its centred square is shrunk to what the network sees.",
    )
    if refused := refused_file("own_image", IMAGE_TYPES, IMAGE_MB):
        st.error(plain(refused), icon=":material/error:")
    return file
