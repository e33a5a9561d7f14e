"""Histograms of several detectors under one line: in all of them it keeps the same share of ID.

It moves in the browser alone; one small message comes when it is let go. A click on a bar and one
on a set of the legend are a message each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from app.components import declared
from app.incoming import number_within

_mount = declared("detector_lines", "dragging")


def detector_lines(
    data: Mapping[str, Any],
    key: str,
    on_release: Callable[[float], None],
    on_click: Callable[[str, int], None],
    on_count: Callable[[tuple[str, ...]], None],
) -> None:
    """Shows detectors under one line.

    What is not on the page is passed over: it comes from a browser.

    Args:
        data: as `app.detectors.evaluation.lines_data` returns it.
        key: of the component.
        on_release: takes the percentage of ID that the line keeps where it was let go.
        on_click: takes the detector and the number of its bar that was clicked.
        on_count: takes the names of the OOD sets that count from now on.
    """
    state = st.session_state

    def released() -> None:
        percent = released_percent(state[key].released, data["percents"])
        if percent is not None:
            on_release(percent)

    def clicked() -> None:
        bar_counts = {each["name"]: len(each["edges"]) - 1 for each in data["detectors"]}
        bar = clicked_bar(state[key].clicked, bar_counts)
        if bar is not None:
            on_click(*bar)

    def counted() -> None:
        names = counted_names(state[key].counted, [each["name"] for each in data["sets"]])
        if names:
            on_count(names)

    _mount(
        data=data,
        key=key,
        on_released_change=released,
        on_clicked_change=clicked,
        on_counted_change=counted,
    )


def released_percent(message: Any, percents: Sequence[float]) -> float | None:
    """Returns the percentage of ID that is kept; None if it is no number in the line's range.

    >>> released_percent(95, [50.0, 99.9]), released_percent(100, [50.0, 99.9])
    (95.0, None)
    """
    return number_within(message, percents[0], percents[-1])


def clicked_bar(message: Any, bar_counts: Mapping[str, int]) -> tuple[str, int] | None:
    """Returns (detector, bar) that was clicked; None if the message says none of the page.

    Args:
        bar_counts: {detector: how many bars it has}.

    >>> clicked_bar(["HEAT", 3], {"HEAT": 9}), clicked_bar(["HEAT", 9], {"HEAT": 9})
    (('HEAT', 3), None)
    """
    if not isinstance(message, list | tuple) or len(message) != 2:
        return None
    name, index = message
    if not isinstance(name, str) or name not in bar_counts:
        return None
    bar = number_within(index, 0, bar_counts[name] - 1)
    return None if bar is None else (name, int(bar))


def counted_names(message: Any, names: Sequence[str]) -> tuple[str, ...]:
    """Returns those of the names that a browser says count, in order; none if it says no list.

    >>> counted_names(["far_b", "near_a", 3], ["near_a", "far_b"]), counted_names("near_a", [])
    (('near_a', 'far_b'), ())
    """
    if not isinstance(message, list | tuple):
        return ()
    return tuple(name for name in names if name in message)
