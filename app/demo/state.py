"""The demo's story, read once or told anew, and where its leads go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.components.stage import Lead
from app.demo.story import PATH, Story, is_story_of, read, story_of
from app.pack.data import is_own_data
from app.pack.tables import unique_titles
from app.pack.threshold_state import BY_HAND, reset_for_new_data, set_by_hand
from app.session import RULE_KEY, SCORES_OF_KEY, THRESHOLD_KEY

if TYPE_CHECKING:
    from app.pack.data import PackData
    from app.pack.scores import ScoresByDetector


OWN_DATA = "own_data"  # what a lead sends that opens the choice of data
LEADS = (
    Lead("threshold_lab", "Threshold lab, at this line", "Rules that choose it, and shipping"),
    Lead("feature_map", "Feature map", "Draw around inputs to see what they are"),
    Lead("energy", "Energy", "Softmax against energy, trained live"),
    Lead(OWN_DATA, "Your own data", "The demo, and every page, of your own features"),
)


def shipped_story() -> Story:
    """Returns the story that was computed beforehand.

    Raises:
        ValueError: there is none, or it is damaged; in one line.
    """
    return _read_story(PATH.stat().st_mtime if PATH.is_file() else 0.0)


@st.cache_resource(max_entries=1, show_spinner=False)
def _read_story(modified: float) -> Story:
    """Returns the story in the file as it was at a time."""
    return read(PATH)


def is_of_shipped_story(shipped: Story, pack_data: PackData | None) -> bool:
    """Returns whether the shipped story is of the data on the page, or there is no data."""
    return pack_data is None or (not is_own_data() and is_story_of(shipped, pack_data.pack))


def told_story(shipped: Story, pack_data: PackData, scores: ScoresByDetector) -> tuple[Story, str]:
    """Returns the story of the data on the page with the scores that are ready, and its key.

    It is told anew as soon as more scores are ready.
    """
    key = "/".join([pack_data.key, *scores])
    kept = st.session_state.get("told_story")
    if kept is None or kept[0] != key:
        story = story_of(pack_data.pack, pack_data.gallery, scores, shipped)
        kept = st.session_state["told_story"] = (key, story)
    return kept[1], key


def choose_line(pack_data: PackData, detector: str, threshold: float) -> dict[str, str]:
    """Puts a threshold of a detector into the Threshold lab, set by hand; returns its link."""
    reset_for_new_data(pack_data.key, unique_titles(pack_data.pack))
    st.session_state[SCORES_OF_KEY] = detector
    set_by_hand(threshold)
    return {SCORES_OF_KEY: detector, RULE_KEY: BY_HAND, THRESHOLD_KEY: repr(threshold)}
