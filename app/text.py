"""Pure: text that a file or a person brought, made safe to show."""

from __future__ import annotations

import re

_MARKS = re.compile(r"([\\`*_{}\[\]()<>#~|$:!])")


def plain(text: object, longest: int = 300) -> str:
    """Returns text in one line with Markdown's marks escaped, so that it is shown as it is.

    >>> print(plain("a*b [c](d)"))
    a\\*b \\[c\\]\\(d\\)
    """
    line = " ".join(str(text).split())
    return _MARKS.sub(r"\\\1", line if len(line) <= longest else line[: longest - 1] + "…")
