"""How far long work is: whoever starts it says whom to tell, and what takes long tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

OnProgress = Callable[[str, float | None], None]
"""A callback of long work: what is being done, such as `normalising`, and how far, in [0, 1].

How far is None where nothing can tell. What the callback raises ends the work.
"""


def ignore(doing: str, share: float | None) -> None:
    """The callback that does nothing."""


# of the block that `progress_to` opened in this thread; every thread begins with none
_on_progress: ContextVar[OnProgress] = ContextVar("on_progress", default=ignore)


@contextmanager
def progress_to(on_progress: OnProgress) -> Iterator[None]:
    """Tells a callback how far the work inside a block is.

    >>> from heat_core.detectors.closed_form import KNN
    >>> from heat_core.features import Features
    >>> import torch
    >>> steps = []
    >>> with progress_to(lambda doing, share: steps.append(doing)):
    ...     energy = KNN(k=1).fit(Features(torch.eye(3)))
    >>> list(dict.fromkeys(steps))
    ['normalising', 'filling the bank']
    """
    token = _on_progress.set(on_progress)
    try:
        yield
    finally:
        _on_progress.reset(token)


def report_progress(doing: str, share: float | None = None) -> None:
    """Tells whoever `progress_to` named what is being done, and how far it is, as `OnProgress`."""
    _on_progress.get()(doing, share)


def progress_text(doing: str, share: float | None) -> str:
    """Returns what is being done and how far it is, in words.

    >>> progress_text("normalising", 0.4), progress_text("decomposing the covariance", None)
    ('normalising, 40%', 'decomposing the covariance')
    """
    return doing if share is None else f"{doing}, {share:.0%}"


def row_blocks(doing: str, rows: int, size: int) -> Iterator[slice]:
    """Gives blocks of `size` rows each, and reports before and after how far the work on them is.

    >>> with progress_to(lambda doing, share: print(f"{doing}: {share:.0%}")):
    ...     [block.stop for block in row_blocks("scoring", rows=5, size=3)]
    scoring: 0%
    scoring: 60%
    scoring: 100%
    [3, 5]
    """
    for start in range(0, rows, size):
        report_progress(doing, start / rows)
        yield slice(start, min(start + size, rows))
    report_progress(doing, 1.0)
