"""Turns of pages: one browser's after another, a crowd's after others', all before other work."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator

from app.slots import Ticket, Visitor, groups_of, rank

CROWD_PAGES = 2  # pages of one address: where more wait and run, they are a crowd
TURN_SECONDS = 3.0  # that a page waits at most for those of other addresses, and of its browser
CROWD_SECONDS = 20.0  # that a page of a crowd waits at most for the others of its address, too
MAX_REST_FOR_PAGES_SECONDS = 0.5  # that work in the background rests at most at a time
RESTS_PER_WORK = 3.0  # seconds that it rests at most for each second of work


class PageTurns:
    """Who runs a page now, and who waits to.

    All threads share one interpreter: a page beside a training takes more than twice as long.
    """

    def __init__(
        self, turn_seconds: float = TURN_SECONDS, crowd_seconds: float = CROWD_SECONDS
    ) -> None:
        self.turn_seconds = turn_seconds
        self.crowd_seconds = crowd_seconds
        self._waiting: list[Ticket] = []
        self._running: list[Ticket] = []
        self._last_turns: dict[Visitor, int] = {}  # of groups whose pages wait or run
        self._arrivals = itertools.count()
        self._turns = itertools.count(1)
        self._changed = threading.Condition()
        self._rests = threading.local()

    @contextlib.contextmanager
    def turn(self, visitor: Visitor) -> Iterator[None]:
        """Waits until a page of the visitor may run, for `turn_seconds` at most.

        A browser's pages run one after another. Where an address has more than `CROWD_PAGES` pages,
        they run only while nobody's does, so that others feel little of somebody who opens many
        links, in one browser or in many. What has waited for `turn_seconds` waits for nobody else,
        and for the pages of its own address, one at a time, for `crowd_seconds` more. The turns of
        crowds go round among addresses, and among the browsers of one address.
        """
        with self._changed:
            page = Ticket(visitor, next(self._arrivals))
            self._waiting.append(page)
            self._changed.wait_for(lambda: self._may_go(page), self.turn_seconds)
            self._changed.wait_for(lambda: self._may_go_beside_others(page), self.crowd_seconds)
            self._waiting.remove(page)
            self._running.append(page)
            self._last_turns.update(dict.fromkeys(groups_of(visitor), next(self._turns)))
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._running.remove(page)
                self._forget_groups()
                self._changed.notify_all()

    def _may_go(self, page: Ticket) -> bool:
        if any(other.visitor == page.visitor for other in self._running):
            return False
        crowds = self._crowds()
        if page.visitor[:1] not in crowds:
            return True
        return not self._running and page is self._first_of(crowds)

    def _may_go_beside_others(self, page: Ticket) -> bool:
        """Returns whether a page that has waited for long may run while other addresses' do."""
        address = page.visitor[:1]
        if address not in self._crowds():
            return True
        is_alone = not any(other.visitor[:1] == address for other in self._running)
        return is_alone and page is self._first_of({address})

    def _first_of(self, addresses: set[Visitor]) -> Ticket:
        """Returns the waiting page of some addresses that has its turn first."""
        waiting = [page for page in self._waiting if page.visitor[:1] in addresses]
        return min(waiting, key=lambda page: rank(page, {}, self._last_turns))

    def _crowds(self) -> set[Visitor]:
        """Returns the addresses that have many pages, waiting and running."""
        pages = (*self._waiting, *self._running)
        counts = Counter(page.visitor[:1] for page in pages)
        return {address for address, count in counts.items() if count > CROWD_PAGES}

    def _forget_groups(self) -> None:
        """Forgets the turns of groups of which no page waits or runs."""
        pages = (*self._waiting, *self._running)
        present = {group for page in pages for group in groups_of(page.visitor)}
        for group in self._last_turns.keys() - present:
            del self._last_turns[group]

    def let_pages_go_first(self) -> None:
        """Waits while a page runs, but goes on with a quarter of its speed.

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
