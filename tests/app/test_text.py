"""Texts that a file or a person brought are shown as they are."""

from __future__ import annotations

import pytest

from app.text import plain


@pytest.mark.parametrize("text", [":material/home:", ":smile:", ":red[x] :material/a_b:", ":+1:"])
def test_a_shortcode_is_broken_and_looks_the_same(text: str) -> None:
    shown = plain(text).replace("\\", "")
    assert text.count(":") == shown.count(":")
    assert shown.replace("\u2060", "") == text
    assert text not in shown
