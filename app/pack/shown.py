"""The detectors that this tab shows: those that everybody sees, and those that were added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import streamlit as st

from app.session import write_to_link
from heat_core.detectors import presets

KEY = "more"  # of the added detectors, in the tab and in the link


def first_detectors() -> tuple[str, ...]:
    """Returns the detectors that everybody sees."""
    return tuple(name for name in presets.FIRST_DETECTORS if name in presets.DETECTORS)


def addable_detectors() -> dict[str, tuple[str, ...]]:
    """Returns {approach: the detectors that can be added}, of approaches that have any."""
    addable = {
        approach: tuple(
            name
            for name in names
            if name in presets.DETECTORS and name not in presets.FIRST_DETECTORS
        )
        for approach, names in presets.APPROACHES.items()
    }
    return {approach: names for approach, names in addable.items() if names}


def added_detectors() -> tuple[str, ...]:
    """Returns the detectors that were added in this tab, or that its link asks for, in order."""
    if KEY not in st.session_state:
        st.session_state[KEY] = _in_order(st.query_params.get(KEY, "").split(","))
    names: tuple[str, ...] = st.session_state[KEY]
    write_to_link(KEY, ",".join(names))
    return names


def add_detectors(names: Iterable[str]) -> None:
    """Adds detectors to those of this tab; what everybody sees need not be."""
    set_added_detectors((*added_detectors(), *names))


def set_added_detectors(names: Iterable[str]) -> None:
    """Sets which detectors this tab shows beside those that everybody sees."""
    st.session_state[KEY] = _in_order(names)
    write_to_link(KEY, ",".join(st.session_state[KEY]))


def shown_detectors() -> tuple[str, ...]:
    """Returns the detectors that this tab shows, approach by approach."""
    return tuple(sorted((*first_detectors(), *added_detectors()), key=place_of))


def place_of(name: str) -> int:
    """Returns where a detector stands among all, approach by approach; the last if it has none."""
    names = [name for members in presets.APPROACHES.values() for name in members]
    return names.index(name) if name in names else len(names)


def approach_of(name: str) -> str:
    """Returns what a detector's score is made of, such as `of the logits`; nothing if unknown."""
    approaches: Mapping[str, tuple[str, ...]] = presets.APPROACHES
    return next((approach for approach, names in approaches.items() if name in names), "")


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Returns those of the names that can be added, each once."""
    wanted = set(names)
    addable = addable_detectors().values()
    return tuple(name for members in addable for name in members if name in wanted)
