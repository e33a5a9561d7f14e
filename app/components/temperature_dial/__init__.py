"""A temperature to drag, and the energies and softmax of ID and OOD rows as it moves.

The browser computes them from the logits; one small message comes when the temperature is let go.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import ArrayLike

from app.components import declared
from app.incoming import number_within

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.1, 100.0
_mount = declared("temperature_dial", "dragging")


def temperature_dial(
    data: Mapping[str, Any], on_release: Callable[[float], None], key: str
) -> None:
    """Shows the histograms, and calls `on_release` with the temperature where it was let go.

    A value beyond the range is passed over: it comes from a browser.

    Args:
        data: as `dial_data` returns it.
        on_release: takes the temperature.
        key: of the component.
    """

    def released() -> None:
        temperature = released_temperature(st.session_state[key].released)
        if temperature is not None:
            on_release(temperature)

    _mount(data=data, key=key, on_released_change=released)


def released_temperature(message: Any) -> float | None:
    """Returns the temperature that was let go; None if the message is none in the range.

    >>> released_temperature(2), released_temperature(0), released_temperature("2")
    (2.0, None, None)
    """
    return number_within(message, MIN_TEMPERATURE, MAX_TEMPERATURE)


def dial_data(
    id_logits: ArrayLike,
    ood_logits: ArrayLike,
    temperature: float,
    colours: tuple[str, str],
    *,
    names: tuple[str, str] = ("ID", "OOD"),
    label: str = "Temperature",
) -> dict[str, Any]:
    """Returns what the browser needs: the logits as float32 in base64.

    Args:
        id_logits, ood_logits: (N, C) and (M, C).
        temperature: where the handle is.
        colours, names: of ID and of OOD.
        label: of the handle, for a screen reader.
    """
    inside, outside = (np.asarray(logits, "<f4") for logits in (id_logits, ood_logits))
    return {
        "inside": base64.b64encode(inside.tobytes()).decode(),
        "outside": base64.b64encode(outside.tobytes()).decode(),
        "classes": inside.shape[1],
        "temperature": temperature,
        "low": MIN_TEMPERATURE,
        "high": MAX_TEMPERATURE,
        "colours": list(colours),
        "names": list(names),
        "label": label,
    }
