"""Texts that a file brought, made fit to show anywhere: in a terminal, a table, a page."""

from __future__ import annotations

import re

# Control characters, which a terminal obeys, and those that turn the direction of what follows.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def one_line(text: object, longest: int = 200) -> str:
    """Returns a text in one line that changes nothing around it, shortened where it is longer.

    >>> one_line("a\\n b\\x1b[31m"), one_line("abcdef", longest=4)
    ('a b[31m', 'abc…')
    """
    line = without_controls(" ".join(str(text).split()))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def without_controls(text: str) -> str:
    """Returns a text without control characters, and without what turns its direction.

    >>> without_controls("a \x1b[31m b")
    'a [31m b'
    """
    return _CONTROLS.sub("", text)
