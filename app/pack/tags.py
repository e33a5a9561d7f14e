"""Tags: words that this tab has given to items of its data. They stay in the link if they fit."""

from __future__ import annotations

import re

import numpy as np
import streamlit as st

from app.pack.data import PackData
from app.pack.items import Items, LabelledItems, Selection, parse_parts
from app.session import write_to_link

KEY = "tags"  # in the link
TAG = re.compile(r"\w[\w -]{0,39}")
TAG_FORM = "a letter or digit first, then letters, digits, spaces, - or _, 40 characters at most"

Tags = tuple[LabelledItems, ...]  # the origin and the label of each are its word


def current_tags(pack_data: PackData) -> Tags:
    """Returns the tags of this data in this tab."""
    return _tags_by_data().get(pack_data.key, ())


def is_tag(text: str) -> bool:
    """Returns whether a text may be a tag: it goes into tables, and to whoever opens the link.

    >>> is_tag("blurry dogs"), is_tag("=1+1"), is_tag("")
    (True, False, False)
    """
    return TAG.fullmatch(text) is not None


def add_tag(pack_data: PackData, tag: str, items: Items) -> None:
    """Tags items, beside those that have the tag."""
    tags = {part.label: part for part in current_tags(pack_data)}
    joined = dict(tags[tag].items) if tag in tags else {}
    for source, indices in items.items():
        joined[source] = np.union1d(joined.get(source, indices), indices)
    tags[tag] = LabelledItems(tag, tag, joined)
    _tags_by_data()[pack_data.key] = tuple(tags.values())


def drop_tag(pack_data: PackData, tag: str) -> None:
    """Takes a tag from all items that have it."""
    kept = tuple(part for part in current_tags(pack_data) if part.label != tag)
    _tags_by_data()[pack_data.key] = kept


def sync_tags_with_link(pack_data: PackData) -> None:
    """Reads the tags of the link once, and keeps them in it; a link of other data has none left."""
    if not st.session_state.get("has_read_tags"):
        st.session_state["has_read_tags"] = True
        tags = parse_parts(st.query_params.get(KEY, ""))
        _tags_by_data()[pack_data.key] = tuple(part for part in tags if is_tag(part.label))
    write_to_link(KEY, tags_text(current_tags(pack_data)))


def tags_text(tags: Tags) -> str:
    """Returns tags as text for a link; nothing if they are too many or of too many items."""
    return Selection(tags).text_without()


def _tags_by_data() -> dict[str, Tags]:
    return st.session_state.setdefault("tags", {})
