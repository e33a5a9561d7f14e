"""Session state of the Threshold lab: a threshold set by hand, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import streamlit as st

from app.session import RULE_KEY, SHARE_TO_KEEP_KEY, THRESHOLD_KEY
from heat_core.thresholds import ByHand, KeepShare

if TYPE_CHECKING:
    from heat_core.scores import SetScores

BY_HAND = ByHand.title


def set_by_hand(threshold: float) -> None:
    """Sets the threshold where the line was let go."""
    st.session_state[THRESHOLD_KEY] = threshold
    choose_by_hand()


def choose_by_hand() -> None:
    """Takes the threshold from the rule that chose it."""
    st.session_state[RULE_KEY] = BY_HAND


def has_threshold() -> bool:
    """Returns whether a threshold is set; a link may leave it to a hand that has not come yet."""
    return st.session_state.get(THRESHOLD_KEY) is not None


def remember_share_kept(scores: SetScores, threshold: float) -> None:
    """Notes the share of ID that a threshold keeps, of the scores that `KeepShare` counts."""
    st.session_state["share_kept"] = float((scores.calibration <= threshold).mean())


def keep_same_share() -> None:
    """Replaces a threshold set by hand by the rule that keeps as much ID as it did."""
    if st.session_state.get(RULE_KEY) != BY_HAND:
        return
    percent = round(100 * st.session_state.get("share_kept", 0.95), 1)
    st.session_state[RULE_KEY] = KeepShare.title
    st.session_state[SHARE_TO_KEEP_KEY] = min(max(percent, 50.0), 99.9)


def reset_for_new_data(key: str, set_names: Iterable[str]) -> None:
    """Counts all OOD sets of new data, and drops a threshold that a hand has set on other data.

    Args:
        key: of the data on the page.
        set_names: of its OOD sets.
    """
    if st.session_state.get("line_data", key) != key:
        st.session_state["sets"] = list(set_names)
        if st.session_state.get(RULE_KEY) == BY_HAND:
            st.session_state[RULE_KEY] = KeepShare.title
    st.session_state["line_data"] = key
