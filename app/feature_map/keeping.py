"""Tags on what is selected, and rows to take away as files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import streamlit as st

from app.pack.data import PackData
from app.pack.export import WRITERS, export_table
from app.pack.items import Items, LabelledItems, Mask, masks_in
from app.pack.scores import ScoresByDetector
from app.pack.selected import current_selection, set_part
from app.pack.tags import TAG_FORM, Tags, add_tag, current_tags, drop_tag, is_tag, tags_text
from app.text import plain

FROM_TAG = "tag"  # the origin of what is selected by its tag
TAG_INPUT_KEY = "new-tag"
REFUSED_KEY = "refused-tag"


def show_tags(pack_data: PackData) -> None:
    """Shows the tags, each a button that selects what has it, and takes one for the selection."""
    selection = current_selection()
    tags = current_tags(pack_data)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if selection:
            st.text_input(
                f"Tag the {len(selection):,} selected",
                key=TAG_INPUT_KEY,
                placeholder="blurry dogs",
                width=200,
                on_change=_on_tag,
                args=(pack_data, selection.items),
                help="A word or a few, which export and link carry along. Enter adds it.",
            )
        for tag in tags:
            st.button(
                f"{plain(tag.label)}: {len(tag):,}",
                icon=":material/label:",
                key=f"tag-{tag.label}",
                help="Select what has this tag.",
                on_click=set_part,
                args=(LabelledItems(FROM_TAG, tag.label, tag.items),),
            )
        if tags:
            _remove_menu(pack_data, tags)
    refused = st.session_state.pop(REFUSED_KEY, None)
    if refused is not None:
        st.error(f"Wanted {TAG_FORM}; got {plain(refused, 60)}.", icon=":material/error:")
    if tags and not tags_text(tags):
        st.caption("The tags are of too many images for a link: they stay in this tab.")


def _on_tag(pack_data: PackData, items: Items) -> None:
    tag = st.session_state[TAG_INPUT_KEY].strip()
    if is_tag(tag):
        add_tag(pack_data, tag, items)
        st.session_state[TAG_INPUT_KEY] = ""
    elif tag:
        st.session_state[REFUSED_KEY] = tag


def _remove_menu(pack_data: PackData, tags: Tags) -> None:
    with st.popover("Remove", type="tertiary"):
        for tag in tags:
            st.button(
                f"Remove {plain(tag.label)}",
                icon=":material/label_off:",
                key=f"untag-{tag.label}",
                on_click=drop_tag,
                args=(pack_data, tag.label),
            )


def show_exports(pack_data: PackData, scores_by_detector: ScoresByDetector, is_over: bool) -> None:
    """Offers the selection, and all rows that are scored, as files.

    Args:
        scores_by_detector: of the detectors that are ready.
        is_over: whether no others will follow.
    """
    selection = current_selection()
    with st.popover("Export", icon=":material/download:"):
        if selection:
            masks = masks_in(pack_data.pack, selection.items)
            _download_row("The selection", "selection", pack_data, masks, scores_by_detector)
        everything = {
            name: np.ones(len(features), bool) for name, features in pack_data.scored_sets.items()
        }
        _download_row(
            "All rows that are scored", "scores", pack_data, everything, scores_by_detector
        )
        names = plain(", ".join(scores_by_detector)) or "no detector yet"
        more = "" if is_over else " The others follow once they are fitted."
        st.caption(f"Ids, sets, classes, tags, and the scores of {names}.{more}")


def _download_row(
    title: str,
    file_name: str,
    pack_data: PackData,
    masks: Mapping[str, Mask],
    scores_by_detector: ScoresByDetector,
) -> None:
    """Offers rows in every format; a file is written once it is asked for."""
    tags = current_tags(pack_data)
    make_table = partial(export_table, pack_data.pack, masks, scores_by_detector, tags)
    st.markdown(f"{title}: {sum(int(mask.sum()) for mask in masks.values()):,}")
    with st.container(horizontal=True):
        for label, write in WRITERS.items():
            st.download_button(
                label,
                lambda write=write: write(make_table()),
                f"{file_name}.{label.lower()}",
                icon=":material/download:",
                key=f"{file_name}-{label}",
                on_click="ignore",
            )
