"""Files that the browser refuses before they are sent: which, and why, in words.

Streamlit marks such a file with a red icon alone, and no script hears of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.components import declared
from app.incoming import number_within

_mount = declared("refused_files")


def refused_file(uploader: str, types: Sequence[str], megabytes: int, way_out: str = "") -> str:
    """Returns what is wrong with the file that the browser refused last; nothing if it took one.

    Args:
        uploader: key of the uploader, on the same page.
        types: of files that it takes, such as `npz`.
        megabytes: that a file may have.
        way_out: what to do with a larger one, in a sentence.
    """
    key = f"refused-{uploader}"

    def on_refused_change() -> None:
        text = refusal(st.session_state[key].refused, types, megabytes, way_out)
        st.session_state[_refusal_key(uploader)] = text, _file_ids(uploader)

    _mount(
        data={"uploader": uploader, "types": list(types), "bytes": megabytes * 2**20},
        key=key,
        on_refused_change=on_refused_change,
    )
    return last_refusal(uploader)


def last_refusal(uploader: str) -> str:
    """Returns what `refused_file` returns for an uploader: nothing once it took another file."""
    text, file_ids = st.session_state.get(_refusal_key(uploader), ("", ()))
    return text if file_ids == _file_ids(uploader) else ""


def _refusal_key(uploader: str) -> str:
    return f"refused-{uploader}-text"


def _file_ids(uploader: str) -> tuple[str, ...]:
    """Returns the ids of the files that an uploader holds."""
    held = st.session_state.get(uploader) or ()
    files = held if isinstance(held, list) else (held,) if held else ()
    return tuple(file.file_id for file in files)


def refusal(message: Any, types: Sequence[str], megabytes: int, way_out: str) -> str:
    """Returns why a file was refused, in a line; nothing if none was.

    Args:
        message: of a browser: {name, size}, without a name if it took all.

    >>> refusal({"name": "a.npz", "size": 3.2e8}, ("npz",), 200, "Larger ones become a pack.")
    'a.npz has 305 MB; at most 200 MB are taken. Larger ones become a pack.'
    >>> refusal({"name": "a.csv", "size": 9}, ("npz", "npy"), 200, "")
    'a.csv is of no type that is taken: npz, npy.'
    >>> refusal({"name": ""}, ("npz",), 200, ""), refusal(None, ("npz",), 200, "")
    ('', '')
    """
    if not isinstance(message, Mapping) or not isinstance(message.get("name"), str):
        return ""
    name = message["name"][:200]
    size = number_within(message.get("size"), 0, 2**53)
    if not name or size is None:
        return ""
    if not has_type(name, types):
        return f"{name} is of no type that is taken: {', '.join(types)}."
    if size > megabytes * 2**20:
        text = f"{name} has {size / 2**20:,.0f} MB; at most {megabytes} MB are taken."
        return f"{text} {way_out}".strip()
    return ""


def has_type(name: str, types: Sequence[str]) -> bool:
    """Returns whether a file's name ends like one of the types."""
    return name.lower().endswith(tuple(f".{each}" for each in types))
