"""Texts that a file brought change nothing around them, in a terminal or on a page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heat_core.pack import pack_from_arrays
from heat_core.texts import one_line

HOSTILE = {
    "\u202egnp.exe\u2066": "gnp.exe",
    "a\u200fb": "ab",
    "\x1b[31mred\x07": "[31mred",
    "one\r\n\n# two\u2028three": "one # two three",
    "\x00": "",
    "W" * 10_000: "W" * 199 + "…",
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.items())
def test_a_text_of_a_card_is_one_line(text: str, shown: str, arrays: dict[str, np.ndarray]) -> None:
    assert one_line(text) == shown
    card = {"title": text, "classes": [text], "sets": {"near_a": {"title": text}}}
    pack = replace(pack_from_arrays(arrays), card=card)
    assert pack.title == pack.class_name(0) == pack.title_of("near_a") == shown
