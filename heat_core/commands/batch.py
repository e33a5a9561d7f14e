"""How the work of a command ends: finished, in part failed, or interrupted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Incomplete(Exception):
    """Some of what was asked for failed, and the rest is printed; the message says what and why."""


class Interrupted(Exception):
    """ctrl-C, and what was finished is printed or kept; the message says what was not."""


def refusal_text(error: Exception) -> str | None:
    """Returns in one line what a user can put right; None of an error of ours.

    >>> refusal_text(FileNotFoundError(2, "No such file or directory", "cat.png"))
    'cat.png: No such file or directory'
    """
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError | RuntimeError):  # so torch calls it
        wanted = re.search(r"allocate ([\d.]+ \w+)", text)
        if wanted:
            return f"not enough memory: there are no {wanted[1]} to be had."
        return "not enough memory." if isinstance(error, MemoryError) else None
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    # ArithmeticError: training diverged
    return text if text and isinstance(error, ValueError | OSError | ArithmeticError) else None


def failure_text(error: Exception) -> str:
    """Returns why a detector failed, in one line.

    >>> failure_text(KeyError("std")), failure_text(ValueError("k must be at least 1."))
    ("KeyError: 'std'", 'k must be at least 1.')
    """
    text = " ".join(str(error).split())
    return refusal_text(error) or f"{type(error).__name__}: {text}".removesuffix(": ")


def failures_text(failures: Mapping[str, str]) -> str:
    """Returns {what failed: why} in one line.

    >>> failures_text({"KNN": "KNN needs at least k = 50 training rows, got 40."})
    'failed: KNN (KNN needs at least k = 50 training rows, got 40)'
    """
    parts = (f"{name} ({reason.rstrip('.')})" for name, reason in failures.items())
    return f"failed: {', '.join(parts)}"


@dataclass(frozen=True)
class BatchResult(Generic[Result]):
    """What became of a list of work.

    Args:
        results: {name: result} of what is finished.
        failures: {name: why it failed}.
        unfinished: names of what ctrl-C left undone.
    """

    results: dict[str, Result] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)

    def check_any(self) -> None:
        """Raises Interrupted or ValueError if there was work, and none of it is finished."""
        if self.results:
            return
        if self.unfinished:
            self.check_all()
        if self.failures:
            raise ValueError(failures_text(self.failures))

    def check_all(self) -> None:
        """Raises Interrupted if some of it is not finished, and Incomplete if some of it failed."""
        if self.unfinished:
            parts = [f"not finished: {', '.join(self.unfinished)}"]
            if self.failures:
                parts.append(failures_text(self.failures))
            raise Interrupted("; ".join(parts))
        if self.failures:
            raise Incomplete(failures_text(self.failures))


def work_through(
    items: Mapping[str, Item],
    work: Callable[[str, Item], Result],
    on_failure: Callable[[str, str], None] = lambda name, reason: None,
) -> BatchResult[Result]:
    """Returns what became of each of {name: item}, in order.

    Whatever ends the work on one, the others stand; ctrl-C ends it for all that come after.

    Args:
        work: on a name and its item.
        on_failure: called with the name of what failed, and why.

    >>> batch = work_through({"a": 2, "b": 0}, lambda name, number: 6 // number)
    >>> batch.results, batch.failures
    ({'a': 3}, {'b': 'integer division or modulo by zero'})
    """
    result: BatchResult[Result] = BatchResult()
    for name, item in items.items():
        try:
            result.results[name] = work(name, item)
        except KeyboardInterrupt:
            names = list(items)
            result.unfinished.extend(names[names.index(name) :])
            break
        except Exception as error:
            result.failures[name] = failure_text(error)
            on_failure(name, result.failures[name])
    return result
