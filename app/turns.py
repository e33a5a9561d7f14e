"""Turns of pages: one visitor's after another, and before the work in the background."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator

from app.slots import Visitor

TURN_SECONDS = 3.0  # that a page waits at most for others
MAX_REST_FOR_PAGES_SECONDS = 0.5  # that work in the background rests at most at a time
RESTS_PER_WORK = 3.0  # seconds that it rests at most for each second of work


class PageTurns:
    """Who runs a page now, and who waits to.

    All threads share one interpreter: a page beside a training takes more than twice as long.
    """

    def __init__(self, turn_seconds: float = TURN_SECONDS) -> None:
        self.turn_seconds = turn_seconds
        self._waiting: Counter[Visitor] = Counter()  # how many pages of each wait for their turn
        self._running: Counter[Visitor] = Counter()  # and run
        self._changed = threading.Condition()
        self._rests = threading.local()

    @contextlib.contextmanager
    def turn(self, visitor: Visitor) -> Iterator[None]:
        """Waits until a page of the visitor may run, for `turn_seconds` at most.

        A visitor's pages run one after another. Where several of them wait, they run only while
        nobody else's does, so that others feel little of somebody who opens many links.
        """

        def may_go() -> bool:
            is_crowd = self._waiting[visitor] > 1
            return not self._running if is_crowd else visitor not in self._running

        with self._changed:
            self._waiting[visitor] += 1
            self._changed.wait_for(may_go, self.turn_seconds)
            self._waiting -= Counter([visitor])
            self._running[visitor] += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= Counter([visitor])
                self._changed.notify_all()

    def rest(self) -> None:
        """Lets pages go first: waits while one runs, but goes on with a quarter of its speed.

        For a thread that works in the background, at every step.
        """
        if not self._running:
            return
        now = time.monotonic()
        if now < getattr(self._rests, "next", 0.0):
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._running, MAX_REST_FOR_PAGES_SECONDS)
        rested = time.monotonic() - now
        self._rests.next = time.monotonic() + rested / RESTS_PER_WORK
