"""Pure: text that a file or a person brought, made safe to show; numbers as a page writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from heat_core.texts import one_line

PATIENCE_SECONDS = 1.0  # after which a page that waits says what it waits for
_MARKS = re.compile(r"([\\`*_{}\[\]()<>#~|$:!])")
_SHORTCODE = re.compile(r":(?=[\w/+-]+:)")  # such as :material/home: or :smile:
SIGNIFICANT_DIGITS = 4  # of a number on a page, at most
LARGEST_MAGNITUDE = 8  # a larger number than such a power of ten is written with one
_JOINER = "\u2060"  # is not seen; Streamlit draws a shortcode also where its marks are escaped


def plain(text: object, longest: int = 300) -> str:
    """Returns text in one line with Markdown's marks escaped, so that it is shown as it is.

    >>> print(plain("a*b [c](d)"))
    a\\*b \\[c\\]\\(d\\)
    """
    line = _SHORTCODE.sub(f":{_JOINER}", one_line(text, longest))
    return _MARKS.sub(r"\\\1", line)


def number_text(value: float, decimals: int | None = None, sign: str = "") -> str:
    """Returns a number with at most four significant digits, its thousands grouped.

    Args:
        value: the number; one that is not finite is a dash.
        decimals: digits after the point, fewer where four significant ones end before; as many as
            say something if None.
        sign: `+` where a positive number has one, too.

    >>> number_text(0.12345, 3), number_text(12.3456, 3), number_text(12345.6, 3)
    ('0.123', '12.35', '12,350')
    >>> number_text(49.0), number_text(-3.4601749), number_text(1e-7), number_text(2.0, 1, "+")
    ('49', '-3.46', '1e-07', '+2.0')
    """
    if not math.isfinite(value):
        return "–"
    magnitude = int(f"{value:.{SIGNIFICANT_DIGITS - 1}e}".partition("e")[2])
    if magnitude > LARGEST_MAGNITUDE or (decimals is None and magnitude < -SIGNIFICANT_DIGITS):
        return f"{value:{sign}.{SIGNIFICANT_DIGITS}g}"
    room = SIGNIFICANT_DIGITS - 1 - magnitude  # for digits after the point; less than 0 before it
    shown = room if decimals is None else min(decimals, room)
    text = f"{round(value, shown):{sign},.{max(0, shown)}f}"
    return text.rstrip("0").rstrip(".") if decimals is None and shown > 0 else text


def common_decimals(values: Iterable[float], most: int = 2) -> int:
    """Returns how many digits after the point numbers of one equation have, `most` at most.

    The largest of them has four significant ones then.

    >>> common_decimals([1.31, -0.04]), common_decimals([123.456, 0.5]), common_decimals([98765.4])
    (2, 1, 0)
    """
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    magnitude = math.floor(math.log10(largest)) if largest else 0
    return min(most, max(0, SIGNIFICANT_DIGITS - 1 - magnitude))


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
