"""What the browser draws itself: a folder per component, its HTML, CSS and JavaScript in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamlit.components import v2

KINDS = ("html", "css", "js")


def declared(name: str) -> Any:
    """Returns the function that mounts the component of a folder, as Streamlit declares it."""
    texts = files(name)
    return v2.component(name, html=texts["html"], css=texts["css"], js=texts["js"])


def files(name: str) -> dict[str, str]:
    """Returns {kind: text} of the files that a component is made of."""
    folder = Path(__file__).parent / name
    return {kind: (folder / f"{name}.{kind}").read_text(encoding="utf-8") for kind in KINDS}
