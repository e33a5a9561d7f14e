"""The demo's story, read once."""

from __future__ import annotations

import streamlit as st

from app.demo.story import PATH, Story, read


def cached_story() -> Story:
    """Returns the demo's story.

    Raises:
        ValueError: there is none, or it is damaged; in one line.
    """
    return _read_story(PATH.stat().st_mtime if PATH.is_file() else 0.0)


@st.cache_resource(max_entries=1, show_spinner=False)
def _read_story(modified: float) -> Story:
    """Returns the story in the file as it was at a time."""
    return read(PATH)
