"""Widgets of the Detectors page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app.text import plain
from heat_core.detectors.presets import DETECTORS


def drawn_detectors() -> list[str]:
    """Returns up to four detectors whose curves are drawn."""
    drawn = [name for name in ("MSP", "MoG", "HEAT", "Composed") if name in DETECTORS]
    picked = st.multiselect(
        "Detectors drawn",
        list(DETECTORS),
        drawn,
        key="drawn",
        bind="query-params",
        max_selections=4,
        help="At most four at once.",
    )
    return list(picked)


def drawn_group(groups: Sequence[str]) -> str:
    """Returns a group of OOD sets, or `all`."""
    return str(
        st.segmented_control(
            "OOD",
            ("all", *groups),
            default="all",
            required=True,
            key="rocgroup",
            bind="query-params",
            help="all: the mean of the groups. Every set in a group counts the same.",
        )
    )


def score_range(names: Sequence[str]) -> tuple[str, float, float] | None:
    """Returns (detector, from, to in ID percentiles) when it is asked for: what a click on a bar does, by keys and exactly."""
    with st.popover("Select by score", icon=":material/filter_alt:"):
        name = st.selectbox("Detector", names, len(names) - 1, key="range-of")
        low = st.number_input("From ID percentile", 0.0, 100.0, 95.0, 1.0, key="range-from")
        high = st.number_input(
            "To ID percentile",
            0.0,
            100.0,
            100.0,
            1.0,
            key="range-to",
            help="100 takes all beyond, too.",
        )
        asked = st.button("Select")
    return (
        (str(name), float(low or 0.0) / 100, float(100.0 if high is None else high) / 100)
        if asked
        else None
    )


def detector_pair() -> tuple[str, str]:
    """Returns two detectors: whose accepting and whose rejecting is looked at. Their order can be turned round."""
    names = list(DETECTORS)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        first = st.selectbox(
            "Accepted by",
            names,
            _index_of("MoG", names),
            key="accepts",
            bind="query-params",
            width=200,
        )
        st.button(
            "Turn round",
            icon=":material/swap_horiz:",
            on_click=_swap_detectors,
            help="Swaps the two detectors.",
        )
        second = st.selectbox(
            "Rejected by",
            names,
            _index_of("HEAT", names),
            key="rejects",
            bind="query-params",
            width=200,
        )
    return str(first), str(second)


def _index_of(name: str, names: Sequence[str]) -> int:
    """Returns where a name stands, or the last place."""
    return names.index(name) if name in names else len(names) - 1


def _swap_detectors() -> None:
    st.session_state["accepts"], st.session_state["rejects"] = (
        st.session_state["rejects"],
        st.session_state["accepts"],
    )


def counted_sets(titles: Mapping[str, str], counts: Mapping[str, tuple[int, int]]) -> list[str]:
    """Returns which sets are looked at; all, if none is picked. Each says how many of how many it has."""
    options = [name for name in titles if counts[name][0]]
    if not options:
        return []
    st.session_state["flipped-sets"] = [
        name for name in st.session_state.get("flipped-sets", ()) if name in options
    ]
    picked = st.pills(
        "Sets",
        options,
        selection_mode="multi",
        key="flipped-sets",
        help="All of them, if none is picked.",
        format_func=lambda name: (
            f"{plain(titles[name], 40)}: {counts[name][0]:,} of {counts[name][1]:,}"
        ),
    )
    return list(picked) or options


def image_upload() -> UploadedFile | None:
    """Returns a picture that was brought, if there is one."""
    return st.file_uploader(
        "A picture",
        ("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif"),
        key="picture",
        max_upload_size=25,
        help="It stays in this session. Its centred square is shrunk to what the network sees.",
    )
