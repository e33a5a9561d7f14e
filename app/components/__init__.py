"""What the browser draws itself: a folder per component, its HTML, CSS and JavaScript in it."""

from __future__ import annotations

import math
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


def are_numbers(values: Any, count: int | None = None) -> bool:
    """Returns whether values from a browser or a link are a list of finite numbers.

    Args:
        count: how many are wanted; any number of them if None.

    >>> are_numbers([0, 0.5], 2), are_numbers([0, float("nan")]), are_numbers("ab")
    (True, False, False)
    """
    if not isinstance(values, list | tuple):
        return False
    if count is not None and len(values) != count:
        return False
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)
