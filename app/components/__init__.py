"""What the browser draws itself: a folder per component, its HTML, CSS and JavaScript in it.

Beside them lies what several share: `dragging`, of those whose lines one drags, and `score_steps`,
of those whose line lies on an axis of scores.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streamlit.components import v2

KINDS = ("html", "css", "js")
FOLDER = Path(__file__).parent


def declared(name: str, *shared: str) -> Any:
    """Returns the function that mounts the component of a folder, as Streamlit declares it.

    Args:
        name: of the folder.
        shared: of the CSS and JavaScript in this folder that come before the component's own.
    """
    return mounting(name, with_shared(name, *shared))


def mounting(name: str, texts: Mapping[str, str]) -> Any:
    """Returns the function that mounts a component of these texts, as Streamlit declares it."""
    return v2.component(name, html=texts["html"], css=texts["css"], js=texts["js"])


def with_shared(name: str, *shared: str) -> dict[str, str]:
    """Returns {kind: text} of a component, what it shares with others before its own."""
    texts = files(name)
    for kind in ("css", "js"):
        before = [(FOLDER / f"{part}.{kind}").read_text(encoding="utf-8") for part in shared]
        texts[kind] = "".join([*before, texts[kind]])
    return texts


def with_nested(name: str, nested: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Returns {kind: text} of a component that mounts others within itself, by their names.

    In its script each of them is a function of its name, and `NESTED` holds their HTML; the style
    of each holds within `.nested-NAME`.

    Args:
        nested: {name: what it shares with others}.
    """
    texts = files(name)
    parts = {inner: with_shared(inner, *shared) for inner, shared in nested.items()}
    scripts = [
        f"const {inner} = (() => {{\n{part['js'].replace('export default', 'return', 1)}}})();\n"
        for inner, part in parts.items()
    ]
    html = {inner: part["html"] for inner, part in parts.items()}
    styles = [f".nested-{inner} {{\n{part['css']}}}\n" for inner, part in parts.items()]
    texts["js"] = "".join([*scripts, f"const NESTED = {json.dumps(html)};\n", texts["js"]])
    texts["css"] = "".join([*styles, texts["css"]])
    return texts


def files(name: str) -> dict[str, str]:
    """Returns {kind: text} of the files that a component is made of."""
    return {kind: (FOLDER / name / f"{name}.{kind}").read_text(encoding="utf-8") for kind in KINDS}
