"""What is wanted of arguments that many functions take, one check a kind."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_SEED = 2**32 - 1  # the largest that every library here takes


def finite_scores(name: str, scores: ArrayLike) -> NDArray[np.float64]:
    """Returns scores of any shape as (N,) float64.

    Args:
        name: what a message calls them.
        scores: real numbers.

    Raises:
        ValueError: there is none, or one is not a finite number.

    >>> finite_scores("inside", [1, 2.5])
    array([1. , 2.5])
    >>> finite_scores("inside", [1.0, float("nan")])
    Traceback (most recent call last):
    ValueError: inside must hold finite scores, got nan at 1 (1 in all).
    """
    array = np.asarray(scores)
    if array.size and array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got {array.dtype}.")
    values = array.astype(np.float64, copy=False).ravel()
    if not values.size:
        raise ValueError(f"{name} must hold at least one score.")
    is_finite = np.isfinite(values)
    if not is_finite.all():
        places = np.flatnonzero(~is_finite)
        raise ValueError(
            f"{name} must hold finite scores, got {values[places[0]]} at {places[0]} "
            f"({len(places)} in all)."
        )
    return values


def check_share(share: float) -> None:
    """Raises ValueError unless a share is above 0 and at most 1.

    >>> check_share(95)
    Traceback (most recent call last):
    ValueError: the share must be above 0 and at most 1, got 95.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share must be above 0 and at most 1, got {share}.")


def check_confidence(confidence: float) -> float:
    """Returns a confidence. Raises ValueError unless it lies between 0 and 1, neither of them.

    >>> check_confidence(95)
    Traceback (most recent call last):
    ValueError: the confidence must lie between 0 and 1, got 95.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence must lie between 0 and 1, got {confidence}.")
    return confidence


def check_threshold(threshold: float) -> None:
    """Raises ValueError if a threshold is nan, below and above which there is nothing.

    >>> check_threshold(float("nan"))
    Traceback (most recent call last):
    ValueError: the threshold must be a number, got nan.
    """
    if np.isnan(threshold):
        raise ValueError(f"the threshold must be a number, got {threshold}.")


def check_seed(seed: int) -> int:
    """Returns a seed. Raises ValueError unless it is a whole number that every library here takes.

    >>> check_seed(-1)
    Traceback (most recent call last):
    ValueError: the seed must be a whole number from 0 to 4,294,967,295, got -1.
    """
    number = None if isinstance(seed, bool | np.bool_) else _whole_number(seed)
    if number is None or not 0 <= number <= MAX_SEED:
        raise ValueError(
            f"the seed must be a whole number from 0 to {MAX_SEED:,}, got {_short(seed)}."
        )
    return number


def _whole_number(value: Any) -> int | None:
    try:
        return operator.index(value)
    except TypeError:
        return None


def _short(value: Any) -> str:
    """Returns a value as a message shows it: Python refuses to print numbers of many digits."""
    if isinstance(value, int) and abs(value) >= 10**40:
        return f"one of {value.bit_length():,} bits"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
