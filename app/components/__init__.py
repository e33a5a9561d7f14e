"""What the browser draws for itself: a folder a component, its HTML, CSS and JavaScript beside the Python that mounts it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import streamlit.components.v2 as components

KINDS = ("html", "css", "js")


def declared(name: str) -> Any:
    """Returns what mounts the component of this folder, as `streamlit.components.v2.component` does."""
    made = files(name)
    return components.component(name, html=made["html"], css=made["css"], js=made["js"])


def files(name: str) -> dict[str, str]:
    """Returns {kind: text} of what a component is made of."""
    folder = Path(__file__).parent / name
    return {kind: (folder / f"{name}.{kind}").read_text(encoding="utf-8") for kind in KINDS}


def are_numbers(said: Any, many: int | None = None) -> bool:
    """Returns whether a browser or a link says a list of finite numbers, `many` of them if that is pack_data."""
    if not isinstance(said, list | tuple) or (many is not None and len(said) != many):
        return False
    return all(isinstance(n, int | float) and math.isfinite(n) for n in said)
