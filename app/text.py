"""Pure: text that a file or a person brought, made safe to show."""

from __future__ import annotations

import re

from heat_core.texts import one_line

PATIENCE_SECONDS = 1.0  # after which a page that waits says what it waits for
_MARKS = re.compile(r"([\\`*_{}\[\]()<>#~|$:!])")
_SHORTCODE = re.compile(r":(?=[\w/+-]+:)")  # such as :material/home: or :smile:
_JOINER = "\u2060"  # is not seen; Streamlit draws a shortcode also where its marks are escaped


def plain(text: object, longest: int = 300) -> str:
    """Returns text in one line with Markdown's marks escaped, so that it is shown as it is.

    >>> print(plain("a*b [c](d)"))
    a\\*b \\[c\\]\\(d\\)
    """
    line = _SHORTCODE.sub(f":{_JOINER}", one_line(text, longest))
    return _MARKS.sub(r"\\\1", line)


def duration(seconds: float) -> str:
    """Returns a duration in words, as exactly as one says it.

    >>> duration(0.4), duration(41.7), duration(100), duration(3700)
    ('1 s', '42 s', '2 min', '62 min')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


def time_text(seconds_left: float | None, seconds_so_far: float) -> str:
    """Returns how long work takes still, or else how long it has taken; nothing at once.

    >>> time_text(42, 8), time_text(None, 12), time_text(None, 0.5)
    (', about 42 s left', ', 12 s so far', '')
    """
    if seconds_left is not None:
        return f", about {duration(seconds_left)} left"
    return f", {duration(seconds_so_far)} so far" if seconds_so_far > PATIENCE_SECONDS else ""
