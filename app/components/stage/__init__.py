"""Slides that fill the window: a headline, one picture, notes; the last with a line to drag.

The browser draws them; the same texts make a file that needs nobody.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import streamlit as st

from app.components import mounting, with_nested
from app.incoming import number_within

NESTED = {"surfaces": (), "day_line": ("dragging", "score_steps")}
"""{component that is drawn within: what it shares with others}."""
_mount = mounting("stage", with_nested("stage", NESTED))


@dataclass(frozen=True)
class Lead:
    """A button of the last slide that leads on.

    Args:
        page: what a press sends.
        label: of the button.
        help: what is there.
    """

    page: str
    label: str
    help: str


def stage(
    slides: Sequence[Mapping[str, Any]],
    leads: Sequence[Lead],
    step: int,
    on_step: Callable[[int], None],
    on_lead: Callable[[str, float | None], None],
    key: str,
    data_key: str,
) -> None:
    """Shows slides, and calls `on_step` and `on_lead` with what is pressed.

    What a browser sends that is no step or no lead is passed over.

    Args:
        step: of the slide to show, from 1.
        on_step: takes the step that is shown now.
        on_lead: takes a lead's page, and the threshold where the line was let go.
        key: of the component.
        data_key: other data have another one, and begin anew.
    """
    pages = {lead.page for lead in leads}

    def step_changed() -> None:
        number = number_within(st.session_state[key].step, 1, len(slides))
        if number is not None and number == int(number):
            on_step(int(number))

    def lead_changed() -> None:
        message = st.session_state[key].lead
        if isinstance(message, Mapping) and message.get("page") in pages:
            threshold = number_within(message.get("threshold"), -1e300, 1e300)
            on_lead(message["page"], threshold)

    data = stage_data(slides, leads, step, data_key)
    _mount(data=data, key=key, on_step_change=step_changed, on_lead_change=lead_changed)


def stage_data(
    slides: Sequence[Mapping[str, Any]], leads: Sequence[Lead], step: int, data_key: str
) -> dict[str, Any]:
    """Returns what the browser takes."""
    return {
        "slides": list(slides),
        "leads": [asdict(lead) for lead in leads],
        "step": step,
        "key": data_key,
    }


def script_and_style() -> tuple[str, str, str]:
    """Returns the HTML, the style and the script of the component, for a page of its own.

    The script is one of a module: it defines `mount_stage`.
    """
    texts = with_nested("stage", NESTED)
    script = texts["js"].replace("export default function", "function mount_stage", 1)
    return texts["html"], texts["css"], script


def as_json_script(data: Mapping[str, Any]) -> str:
    """Returns data as JSON that cannot end the script that it stands in.

    >>> as_json_script({"a": "</script>"})
    '{"a": "\\\\u003c/script>"}'
    """
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")
