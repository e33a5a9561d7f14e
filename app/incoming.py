"""What comes from a link or a browser: only what is offered, or in range, is taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st

T = TypeVar("T")


def number_within(value: Any, low: float, high: float) -> float | None:
    """Returns a number from a link or a browser; None if it is none, or lies beyond the range.

    >>> number_within(3, 0, 9), number_within(10**400, 0, 9), number_within("3", 0, 9)
    (3.0, None, None)
    >>> number_within(float("nan"), 0, 9), number_within(True, 0, 9)
    (None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if low <= value <= high else None


def numbers_within(
    values: Any, low: float, high: float, count: int | None = None
) -> list[float] | None:
    """Returns a list of numbers, each as `number_within` does; None if one of them is not right.

    Args:
        count: how many are wanted; any number of them if None.

    >>> numbers_within([0, 0.5], 0, 1, 2), numbers_within([0, 2], 0, 1), numbers_within("ab", 0, 1)
    ([0.0, 0.5], None, None)
    """
    if not isinstance(values, list | tuple):
        return None
    if count is not None and len(values) != count:
        return None
    numbers = [number_within(value, low, high) for value in values]
    within = [number for number in numbers if number is not None]
    return within if len(within) == len(numbers) else None


def choice_input(
    label: str,
    options: Sequence[T],
    default: T,
    key: str,
    format_func: Callable[[Any], str] = str,
    help: str | None = None,
) -> T:
    """Returns the one of several options that a person chooses, which stays in the link.

    Streamlit keeps a browser from choosing none; one that does not listen gets the default.

    Args:
        key: of the widget, and in the link.
        help: what a question mark beside it says.
    """
    choice = st.segmented_control(
        label,
        options,
        default=default,
        required=True,
        key=key,
        bind="query-params",
        format_func=format_func,
        help=help,
    )
    return default if choice is None else choice


def number_input(
    label: str,
    low: float,
    high: float,
    default: float,
    step: float,
    key: str,
    decimals: int = 2,
    width: int | None = None,
    help: str | None = None,
    in_link: bool = True,
) -> float:
    """Returns a number that a person sets, which stays in the link; 0 is a number like any other.

    Streamlit puts the default in the place of what a link says that is beyond the range or no
    number. What a browser sends that is, or nothing, gets the default, too.

    Args:
        low, high: the range.
        step: of the two buttons beside it.
        key: of the widget, and in the link.
        decimals: digits that are shown after the point.
        width: in pixels; as wide as there is room if None.
        help: what a question mark beside it says.
        in_link: whether it stays in the link.
    """
    value = st.number_input(
        label,
        float(low),
        float(high),
        float(default),
        float(step),
        f"%.{decimals}f",
        key=key,
        bind="query-params" if in_link else None,
        width="stretch" if width is None else width,
        help=help,
    )
    number = number_within(value, low, high)
    return float(default) if number is None else number


def whole_number_input(
    label: str,
    low: int,
    high: int,
    default: int,
    step: int,
    key: str,
    width: int | None = None,
    help: str | None = None,
) -> int:
    """Returns a whole number that a person sets, as `number_input` does.

    Streamlit takes what comes for a number with digits: as a whole number it would fail on
    infinity, which 400 digits in a link are to it.
    """
    return math.floor(number_input(label, low, high, default, step, key, 0, width, help))
