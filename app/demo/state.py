"""The demo's story, read once."""

from __future__ import annotations

import streamlit as st

from app.demo.story import PATH, Story, read

# -- the demo ----------------------------------------------------------------------------------------------------------


@st.cache_resource(max_entries=1, show_spinner=False)
def _read_story(changed: float) -> Story:
    return read(PATH)


def cached_story() -> Story | str:
    """Returns the demo's story, or one line that says why there is none."""
    try:
        return _read_story(PATH.stat().st_mtime if PATH.is_file() else 0.0)
    except ValueError as error:
        return str(error)
