"""A fair line: a few slots that go round among the visitors who wait. No Streamlit here."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

Visitor = tuple[str, ...]
"""Who asks, the widest group first, such as (network address, browser)."""

CROWD_TICKETS = 4  # tickets of one visitor: who has more leaves one slot to others
SLICE_SECONDS = 2.0  # for which work may go on while somebody who has no slot waits


@dataclass(eq=False)
class Ticket:
    """A turn in line, and the slot that it leads to.

    Args:
        visitor: who asked for it.
        number: of its arrival: those of one visitor go in this order.
        slot_since: when it last got a slot, in seconds of the monotonic clock.
    """

    visitor: Visitor
    number: int
    slot_since: float = 0.0


def groups_of(visitor: Visitor) -> list[Visitor]:
    """Returns the groups that a visitor belongs to, the widest first and the visitor last.

    >>> groups_of(("10.0.0.7", "firefox"))
    [('10.0.0.7',), ('10.0.0.7', 'firefox')]
    """
    return [visitor[:size] for size in range(1, len(visitor) + 1)]


class FairSlots:
    """Lets `count` tickets hold a slot at a time.

    A free slot goes to the group with the fewest slots, of these to the one whose last turn is
    longest ago, and within the group likewise; the tickets of one visitor go in the order in which
    they came. So it goes round among addresses, and among the browsers of one address. A visitor
    with more than `CROWD_TICKETS` tickets has all slots but one at most, so that whoever comes can
    begin at once.

    >>> slots = FairSlots(1)
    >>> running = slots.enqueue(("ann",))
    >>> slots.acquire(running, is_cancelled=lambda: False)
    True
    >>> second, third, bob = (slots.enqueue((name,)) for name in ("ann", "ann", "bob"))
    >>> [slots.ahead_of(ticket) for ticket in (bob, second, third)], slots.waiting_count
    ([0, 1, 2], 3)

    Args:
        count: how many slots there are.
        slice_seconds: for which a slot may be kept while a group without any waits.
    """

    def __init__(self, count: int, slice_seconds: float = SLICE_SECONDS) -> None:
        self.slice_seconds = slice_seconds
        self._free = count
        self._waiting: list[Ticket] = []
        self._running: list[Ticket] = []
        self._last_turns: dict[Visitor, int] = {}  # of groups that wait or run
        self._arrivals = itertools.count()
        self._turns = itertools.count(1)
        self._changed = threading.Condition()

    def enqueue(self, visitor: Visitor = ()) -> Ticket:
        """Returns a new ticket in line."""
        with self._changed:
            ticket = Ticket(visitor, next(self._arrivals))
            self._waiting.append(ticket)
            return ticket

    def acquire(self, ticket: Ticket, is_cancelled: Callable[[], bool]) -> bool:
        """Waits for a slot; a ticket that has had one stands in line again.

        Returns False if `is_cancelled()` comes first; then no slot is taken.
        """

        def may_go() -> bool:
            return is_cancelled() or self._next_ticket() is ticket

        with self._changed:
            if ticket not in self._waiting:
                self._waiting.append(ticket)
            self._changed.wait_for(may_go)
            self._waiting.remove(ticket)
            acquired = not is_cancelled()
            if acquired:
                self._take_slot(ticket)
            self._forget_groups()
            self._changed.notify_all()
            return acquired

    def _take_slot(self, ticket: Ticket) -> None:
        self._free -= 1
        self._running.append(ticket)
        ticket.slot_since = time.monotonic()
        self._last_turns.update(dict.fromkeys(groups_of(ticket.visitor), next(self._turns)))

    def release(self, ticket: Ticket) -> None:
        """Gives a slot back."""
        with self._changed:
            self._free += 1
            self._running.remove(ticket)
            self._forget_groups()
            self._changed.notify_all()

    def must_yield(self, ticket: Ticket) -> bool:
        """Returns whether a ticket must give its slot to one that waits.

        It must where its group has two slots more than a group that waits; where it has one more,
        it must after `slice_seconds`. It must in any case where its visitor has more slots than
        one with so many tickets may have.
        """
        with self._changed:
            if self._slots_of(ticket.visitor) > self._most_slots(ticket.visitor):
                return True
            if self._free or not self._waiting:
                return False
            lead = self._lead(ticket, next(self._order()))
            held_seconds = time.monotonic() - ticket.slot_since
            return lead > 1 or (lead == 1 and held_seconds >= self.slice_seconds)

    def _lead(self, ticket: Ticket, other: Ticket) -> int:
        """Returns how many slots more the group of a ticket has than that of another ticket.

        The two groups are the widest that differ; 0 where the visitor is the same.
        """
        slots = self._slots_by_group()
        groups = zip(groups_of(ticket.visitor), groups_of(other.visitor), strict=False)
        for group, other_group in groups:
            if group != other_group:
                return slots[group] - slots[other_group]
        return 0

    def hand_over(self, ticket: Ticket, visitor: Visitor) -> None:
        """Gives a ticket to another visitor who wants the same, if they have fewer tickets."""
        with self._changed:
            counts = Counter(other.visitor for other in (*self._waiting, *self._running))
            if counts[visitor] < counts[ticket.visitor]:
                ticket.visitor = visitor
                self._changed.notify_all()

    def is_in_the_way(self, ticket: Ticket) -> bool:
        """Returns whether somebody with less work in line has a slot beside this ticket."""
        with self._changed:
            counts = Counter(other.visitor for other in (*self._waiting, *self._running))
            return any(counts[other.visitor] < counts[ticket.visitor] for other in self._running)

    def wake(self) -> None:
        """Lets every ticket in line see whether it is cancelled."""
        with self._changed:
            self._changed.notify_all()

    def ahead_of(self, ticket: Ticket) -> int:
        """Returns how many tickets have their turn before this one, as the line is now."""
        with self._changed:
            if ticket not in self._waiting:
                return 0
            return next(i for i, other in enumerate(self._order()) if other is ticket)

    @property
    def waiting_count(self) -> int:
        """How many tickets wait for a slot."""
        return len(self._waiting)

    def _next_ticket(self) -> Ticket | None:
        """Returns the ticket that a slot goes to now; None while there is none for anybody."""
        if self._free == 0:
            return None
        for ticket in self._order():
            if self._slots_of(ticket.visitor) < self._most_slots(ticket.visitor):
                return ticket
        return None

    def _slots_of(self, visitor: Visitor) -> int:
        return sum(ticket.visitor == visitor for ticket in self._running)

    def _most_slots(self, visitor: Visitor) -> int:
        """Returns how many slots a visitor may have."""
        count = len(self._running) + self._free
        waiting = sum(ticket.visitor == visitor for ticket in self._waiting)
        is_crowd = waiting + self._slots_of(visitor) > CROWD_TICKETS
        return max(1, count - 1) if is_crowd else count

    def _order(self) -> Iterator[Ticket]:
        """Yields the tickets in line in the order of their turns, as if nothing ended meanwhile."""
        waiting = list(self._waiting)
        slots = self._slots_by_group()
        last_turns = dict(self._last_turns)
        turn = max(last_turns.values(), default=0)
        while waiting:
            ticket = min(waiting, key=lambda ticket: rank(ticket, slots, last_turns))
            waiting.remove(ticket)
            yield ticket
            turn += 1
            slots.update(groups_of(ticket.visitor))
            last_turns.update(dict.fromkeys(groups_of(ticket.visitor), turn))

    def _slots_by_group(self) -> Counter[Visitor]:
        return Counter(group for ticket in self._running for group in groups_of(ticket.visitor))

    def _forget_groups(self) -> None:
        """Forgets the turns of groups of which none waits or runs."""
        tickets = (*self._waiting, *self._running)
        present = {group for ticket in tickets for group in groups_of(ticket.visitor)}
        for group in self._last_turns.keys() - present:
            del self._last_turns[group]


def rank(
    ticket: Ticket, slots: Mapping[Visitor, int], last_turns: Mapping[Visitor, int]
) -> tuple[list[tuple[int, int]], int]:
    """Returns what sorts tickets by their turn: the smaller, the sooner."""
    groups = groups_of(ticket.visitor)
    standings = [(slots.get(group, 0), last_turns.get(group, 0)) for group in groups]
    return standings, ticket.number
