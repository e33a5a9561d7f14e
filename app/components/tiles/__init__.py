"""Small images side by side, each a button, and a row of text for what has no image.

A click sends its id; nothing else travels.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.components import declared

_mount = declared("tiles")


@dataclass(frozen=True)
class Tile:
    """An item to show.

    Args:
        item: its id, which a click sends.
        image: as `encoded` gives it; nothing where there is none, and it is a row of text.
        lines: of the caption, what it is first and its figure last.
        label: what it is, for a screen reader.
        colour: of the edge; nothing for a plain one.
    """

    item: str
    image: str
    lines: tuple[str, ...]
    label: str
    colour: str = ""


def encoded(pixels: NDArray[np.uint8]) -> str:
    """Returns (height, width, 3) pixels as the address of an image, about 1.3 KB for 32 x 32."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "WEBP", quality=90, method=2)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"


def tiles(
    shown: Sequence[Tile], on_click: Callable[[str], None], key: str, opened: str = ""
) -> None:
    """Shows images, then rows of what has none, and calls `on_click` with the id of one clicked.

    A click on one that is not shown is passed over: it comes from a browser.

    Args:
        opened: id of the item that is open; it is marked.
    """
    items = {tile.item for tile in shown}

    def on_clicked_change() -> None:
        item = st.session_state[key].clicked
        if isinstance(item, str) and item in items:
            on_click(item)

    _mount(
        data={"tiles": [asdict(tile) for tile in shown], "at": opened},
        key=key,
        on_clicked_change=on_clicked_change,
    )
