"""Thumbnails that drawings on the page ask for while a pointer rests on them.

Nothing is seen of it: the drawing that asked shows them. What was sent once the browser keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from app.components import declared

_mount = declared("thumbnails")

MAX_WANTED = 48  # thumbnails of a message


def thumbnails(
    data_key: str, images: Mapping[int, str], on_wanted: Callable[[list[int]], None], key: str
) -> None:
    """Gives the browser thumbnails, and calls `on_wanted` with the numbers of others.

    What a browser sends that is no list of numbers is passed over.

    Args:
        data_key: other data have another one, and other thumbnails.
        images: {number of a row: address of its image, or nothing where it has none}.
    """

    def on_wanted_change() -> None:
        rows = parse_wanted(st.session_state[key].wanted)
        if rows:
            on_wanted(rows)

    _mount(
        data={"of": data_key, "rows": list(images), "images": list(images.values())},
        key=key,
        on_wanted_change=on_wanted_change,
    )


def parse_wanted(message: Any) -> list[int]:
    """Returns the numbers of rows that a browser asks for; none if the message is of no such form.

    >>> parse_wanted([3, 4]), parse_wanted([3, "4"]), parse_wanted([True]), parse_wanted([-1])
    ([3, 4], [], [], [])
    """
    if not isinstance(message, list) or len(message) > MAX_WANTED:
        return []
    are_rows = all(type(row) is int and 0 <= row < 2**31 for row in message)
    return message if are_rows else []
