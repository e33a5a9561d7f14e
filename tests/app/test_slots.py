"""The fair line: whose turn it is."""

from __future__ import annotations

import threading

import pytest

from app.slots import CROWD_TICKETS, FairSlots, Ticket
from tests.app.pages import until

ANN, CAROL, BOB = ("home", "ann"), ("home", "carol"), ("office", "bob")


def _go(slots: FairSlots, ticket: Ticket) -> None:
    assert slots.acquire(ticket, lambda: False)


def _order(slots: FairSlots, tickets: dict[str, Ticket]) -> list[str]:
    return sorted(tickets, key=lambda name: slots.ahead_of(tickets[name]))


def test_turns_go_round_among_addresses_and_among_the_browsers_of_one():
    slots = FairSlots(1)
    _go(slots, slots.enqueue(ANN))
    visitors = {"a1": ANN, "a2": ANN, "a3": ANN, "c1": CAROL, "c2": CAROL, "b1": BOB, "b2": BOB}
    tickets = {name: slots.enqueue(visitor) for name, visitor in visitors.items()}
    assert _order(slots, tickets) == ["b1", "c1", "b2", "a1", "c2", "a2", "a3"]


def test_the_line_goes_as_it_was_foretold():
    slots = FairSlots(1)
    held = slots.enqueue(ANN)
    _go(slots, held)
    tickets = {
        name: slots.enqueue(visitor)
        for name, visitor in {"a1": ANN, "b1": BOB, "a2": ANN, "b2": BOB}.items()
    }
    foretold = _order(slots, tickets)
    gone = []
    while tickets:
        name = _order(slots, tickets)[0]
        slots.release(held)
        held = tickets.pop(name)
        _go(slots, held)
        gone.append(name)
    assert gone == foretold == ["b1", "a1", "b2", "a2"]


def test_two_slots_of_one_are_one_too_many_where_another_has_none():
    slots = FairSlots(2, slice_seconds=1e9)
    held = [slots.enqueue(ANN) for _ in range(2)]
    for ticket in held:
        _go(slots, ticket)
    more = slots.enqueue(ANN)
    assert not slots.must_yield(held[0])  # to nobody but herself
    bobs = slots.enqueue(BOB)
    assert slots.must_yield(held[0])
    slots.release(held[0])
    _go(slots, bobs)
    assert slots.ahead_of(more) == 0
    assert not slots.must_yield(held[1])
    assert not slots.must_yield(bobs)


def test_who_has_more_in_line_is_in_the_way_of_who_has_less():
    slots = FairSlots(2)
    tickets = {name: slots.enqueue(name) for name in (ANN, BOB)}
    more = slots.enqueue(ANN)
    for ticket in tickets.values():
        _go(slots, ticket)
    assert slots.is_in_the_way(tickets[ANN])
    assert not slots.is_in_the_way(tickets[BOB])
    slots.acquire(more, lambda: True)  # which takes it out of the line
    assert not slots.is_in_the_way(tickets[ANN])


def test_a_crowd_of_one_visitor_leaves_a_slot_to_whoever_comes():
    slots = FairSlots(2)
    held = [slots.enqueue(ANN) for _ in range(2)]
    for ticket in held:
        _go(slots, ticket)
    waiting = [slots.enqueue(ANN) for _ in range(CROWD_TICKETS - 2)]
    assert not slots.must_yield(held[1])
    waiting.append(slots.enqueue(ANN))
    assert slots.must_yield(held[1])
    slots.release(held[1])
    assert not slots.must_yield(held[0])
    _go(slots, slots.enqueue(BOB))  # before Ann's, who stand in line


@pytest.mark.parametrize(("slice_seconds", "yields"), [(0.0, True), (1e9, False)])
def test_one_slot_is_shared_in_time(slice_seconds: float, yields: bool):
    slots = FairSlots(1, slice_seconds)
    held = slots.enqueue(ANN)
    _go(slots, held)
    slots.enqueue(CAROL)
    assert slots.must_yield(held) is yields


def test_work_that_gave_its_slot_away_comes_before_what_its_visitor_has_not_begun():
    slots = FairSlots(1)
    first = slots.enqueue(ANN)
    _go(slots, first)
    second, bobs = slots.enqueue(ANN), slots.enqueue(BOB)
    slots.release(first)
    _go(slots, bobs)
    waiter = threading.Thread(target=_go, args=(slots, first))
    waiter.start()
    until(lambda: slots.waiting_count == 2)
    assert (slots.ahead_of(first), slots.ahead_of(second)) == (0, 1)
    slots.release(bobs)
    waiter.join()
    assert slots.waiting_count == 1


def test_nothing_is_kept_of_those_who_have_gone():
    slots = FairSlots(1)
    for number in range(20):
        ticket = slots.enqueue((f"address {number}", ""))
        _go(slots, ticket)
        slots.release(ticket)
    assert not slots._last_turns
