"""What the browser draws itself: a folder per component, its HTML, CSS and JavaScript in it.

Beside them lies what several share: `dragging`, of those whose lines one drags.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamlit.components import v2

KINDS = ("html", "css", "js")
FOLDER = Path(__file__).parent


def declared(name: str, shared: str = "") -> Any:
    """Returns the function that mounts the component of a folder, as Streamlit declares it.

    Args:
        name: of the folder.
        shared: of the CSS and JavaScript in this folder that come before the component's own.
    """
    texts = files(name)
    if shared:
        for kind in ("css", "js"):
            texts[kind] = (FOLDER / f"{shared}.{kind}").read_text(encoding="utf-8") + texts[kind]
    return v2.component(name, html=texts["html"], css=texts["css"], js=texts["js"])


def files(name: str) -> dict[str, str]:
    """Returns {kind: text} of the files that a component is made of."""
    return {kind: (FOLDER / name / f"{name}.{kind}").read_text(encoding="utf-8") for kind in KINDS}
