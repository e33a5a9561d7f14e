"""The demo's story, read once."""

from __future__ import annotations

import streamlit as st

from app.demo.story import PATH, Story, read


def cached_story() -> Story | str:
    """Returns the demo's story, or one line that says why there is none."""
    modified = PATH.stat().st_mtime if PATH.is_file() else 0.0
    try:
        return _read_story(modified)
    except ValueError as error:
        return str(error)


@st.cache_resource(max_entries=1, show_spinner=False)
def _read_story(modified: float) -> Story:
    """Returns the story in the file as it was at a time."""
    return read(PATH)
