"""How far a command is, on standard error: a line for what is fitted and scored, bars for files."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from heat_core.progress import progress_text, progress_to

if TYPE_CHECKING:
    from heat_core.images.training_loop import Progress

TERMINAL_SECONDS = 0.1  # between two looks of a line that is rewritten in place
LOG_SECONDS = 30.0  # between two lines where nothing can be rewritten, such as in a file


@contextmanager
def progress_line(name: str) -> Iterator[ProgressLine]:
    """Says on standard error what the work in a block does, and how far it is.

    Args:
        name: of the work, such as the detector that is fitted.

    >>> with progress_line("KNN") as line:  # what else is printed comes after `line.clear()`
    ...     line.clear()
    """
    line = ProgressLine(name)
    try:
        with progress_to(line.show):
            yield line
    finally:
        line.clear()


class ProgressLine:
    """A line on standard error that says what long work does, and how far it is.

    A terminal has it rewritten in place; elsewhere a line is printed every half a minute.

    Args:
        name: of the work.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_rewritten = sys.stderr.isatty()
        self._doing = ""
        self._shown_at = -math.inf if self.is_rewritten else time.monotonic()
        self._width = 0

    def show(self, doing: str, share: float | None) -> None:
        """Shows what is being done and how far it is, unless it has just shown it."""
        now = time.monotonic()
        is_new = self.is_rewritten and doing != self._doing
        if not is_new and now - self._shown_at < self._seconds_between:
            return
        self._doing, self._shown_at = doing, now
        text = f"{self.name}: {progress_text(doing, share)}"
        if not self.is_rewritten:
            print(text, file=sys.stderr, flush=True)
            return
        print(f"\r{text.ljust(self._width)}", end="", file=sys.stderr, flush=True)
        self._width = len(text)

    def clear(self) -> None:
        """Takes the line away from a terminal."""
        if self._width:
            print(f"\r{' ' * self._width}\r", end="", file=sys.stderr, flush=True)
            self._width = 0

    @property
    def _seconds_between(self) -> float:
        return TERMINAL_SECONDS if self.is_rewritten else LOG_SECONDS


def report_training(progress: Progress, epochs: int, batch: int) -> None:
    """Prints one line on how far the training of a classifier is.

    Args:
        epochs: in all.
        batch: ID images a step.
    """
    seconds_a_step = progress.seconds / max(1, progress.steps_taken)
    minutes_left = seconds_a_step * (progress.steps - progress.step) / 60
    rate = progress.steps_taken * batch / progress.seconds
    parts = [
        f"epoch {progress.epoch}/{epochs}, step {progress.step}/{progress.steps}: "
        f"loss {progress.loss:.3f}"
    ]
    if progress.accuracy is not None:
        parts.append(f"held-out accuracy {progress.accuracy:.2%}")
    parts += [f"{rate:.0f} images/s", f"{minutes_left:.0f} min to go"]
    print(", ".join(parts), file=sys.stderr, flush=True)


class ProgressBars:
    """Progress bars on standard error, one a file or set.

    Args:
        unit: of what is counted.
        is_scaled: print large counts in thousands or millions.
    """

    def __init__(self, unit: str, is_scaled: bool = False) -> None:
        self.unit, self.is_scaled = unit, is_scaled
        self._bars: dict[str, Any] = {}

    def show(self, name: str, done: int, total: int) -> None:
        """Moves the bar of a name."""
        from tqdm import tqdm

        if name not in self._bars:
            self._bars[name] = tqdm(
                total=total, unit=self.unit, unit_scale=self.is_scaled, desc=name, initial=0
            )
        self._bars[name].update(done - self._bars[name].n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for bar in self._bars.values():
            bar.close()
