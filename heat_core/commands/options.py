"""Options that several commands have, and what reads an option's text."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

AddOption = Callable[..., Any]  # argparse's add_argument


def add_preset(add: AddOption) -> None:
    presets = "modern, quick, features-only (no image seen), paper, official; see `list`"
    add("--preset", default="modern", help=presets)


def add_seed(add: AddOption, summary: str = "the same seed gives the same scores") -> None:
    add("--seed", type=_seed, default=0, help=summary)


def _seed(text: str) -> int:
    from heat_core.arguments import MAX_SEED

    return whole_number(0, MAX_SEED)(text)


def add_device(add: AddOption) -> None:
    add("--device", default="cpu", help="cpu, cuda or auto")


def add_overwrite(add: AddOption) -> None:
    add("--overwrite", action="store_true", help="replace what is there")


def add_features_column(add: AddOption) -> None:
    column = (
        "the column of a table, or key of JSON, that holds the features, a list a row; a table "
        "without z has them in the columns that are numbered alike, f0, f1 ..."
    )
    add("--z", default="z", help=column)


def add_roots(add: AddOption) -> None:
    roots = "a folder with datasets; repeatable"
    add("--root", type=Path, action="append", required=True, help=roots)


def add_json(add: AddOption) -> None:
    add("--json", action="store_true")


def add_detectors(add: AddOption) -> None:
    add("--detectors", help="by commas; all that the pack allows if not given")


def add_switch(add: AddOption, flag: str, summary: str) -> None:
    add(flag, action=argparse.BooleanOptionalAction, default=True, help=summary)


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Returns what reads a whole number in a range, or raises argparse.ArgumentTypeError."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:  # no number, or one of thousands of digits
            number = None
        if number is None or not low <= number <= high:
            raise argparse.ArgumentTypeError(
                f"wanted a whole number from {low:,} to {high:,}, got {_short(text)}"
            )
        return number

    return read


read_count = whole_number(1, 10**9)  # of rows or epochs


def read_percent(text: str) -> float:
    """Returns percent, more than 1 and at most 100. Raises argparse.ArgumentTypeError."""
    try:
        percent = float(text)
    except ValueError:
        percent = math.nan
    if not 1 < percent <= 100:
        hint = ": it is in percent, such as 95" if 0 < percent <= 1 else ""
        raise argparse.ArgumentTypeError(
            f"wanted percent, more than 1 and at most 100, got {_short(text)}{hint}"
        )
    return percent


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def read_number(text: str) -> float:
    """Returns a finite number. Raises argparse.ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"wanted a number, got {_short(text)}")
    return number


def read_positive(text: str) -> float:
    """Returns a finite number above 0. Raises argparse.ArgumentTypeError."""
    number = read_number(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"wanted a number above 0, got {_short(text)}")
    return number


def read_numbers(text: str) -> tuple[int, ...]:
    """Returns whole numbers with commas between. Raises argparse.ArgumentTypeError."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"wanted whole numbers with commas between, got {_short(text)}"
        ) from None
