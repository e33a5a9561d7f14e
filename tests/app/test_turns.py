"""Turns of pages: one browser's after another, a crowd's after others', all before other work."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

import pytest

from app import turns
from app.slots import Ticket, Visitor
from app.turns import PageTurns
from tests.app.pages import until

ANN, CAROL, BOB = ("home", "ann"), ("home", "carol"), ("office", "bob")
FRESH = [("home", f"browser {i}") for i in range(5)]
FOREVER = 1e6


class Crowd:
    """Pages that wait, having come in the order of their visitors; `order` has those that ran.

    Of each address two others must run while it is made. Its last two pages are no crowd.
    """

    def __init__(self, pages: PageTurns, visitors: Sequence[Visitor]) -> None:
        self.order: list[str] = []
        self._pages = pages
        self._at_work = {address: threading.Lock() for address, _ in visitors}
        self._threads = [threading.Thread(target=self._run, args=visitor) for visitor in visitors]
        before = len(pages._waiting)
        for i, thread in enumerate(self._threads):
            thread.start()
            until(lambda count=before + i + 1: len(pages._waiting) == count)

    def _run(self, address: str, browser: str) -> None:
        with self._pages.turn((address, browser)):
            is_alone = self._at_work[address].acquire(blocking=False)
            self.order.append(browser if is_alone else f"{browser} beside another")
            threading.Event().wait(0.001)
            if is_alone:
                self._at_work[address].release()

    def end(self) -> list[str]:
        """Returns the order of all of them, once they have run."""
        for thread in self._threads:
            thread.join()
        return self.order


def test_pages_of_one_visitor_take_turns_and_others_do_not_wait():
    pages, order = PageTurns(FOREVER), []

    def again() -> None:
        with pages.turn(ANN):
            order.append("again")

    with pages.turn(ANN):
        waiter = threading.Thread(target=again)
        waiter.start()
        with pages.turn(BOB):
            order.append("bob")
        order.append("first")
    waiter.join()
    assert order == ["bob", "first", "again"]


def test_two_browsers_of_one_address_wait_for_nobody():
    pages = PageTurns(FOREVER)
    with pages.turn(BOB), pages.turn(ANN), pages.turn(CAROL):
        assert len(pages._running) == 3


@pytest.mark.parametrize("visitors", [[ANN] * 5, FRESH], ids=["one browser", "many browsers"])
def test_a_crowd_of_one_address_lets_others_finish_and_goes_one_by_one(visitors: list[Visitor]):
    pages = PageTurns(FOREVER)
    with pages.turn(BOB):
        with pages.turn(ANN), pages.turn(CAROL):
            crowd = Crowd(pages, visitors)
        with pages.turn(("elsewhere", "dave")):
            assert crowd.order == []
    assert crowd.end()[:3] == [browser for _, browser in visitors[:3]]


def test_of_a_crowd_every_browser_has_its_turn():
    pages = PageTurns(FOREVER)
    with pages.turn(BOB), pages.turn(("home", "x")), pages.turn(("home", "y")):
        crowd = Crowd(pages, [ANN, ANN, ANN, ANN, CAROL, CAROL])
    assert crowd.end()[:4] == ["ann", "carol", "ann", "carol"]


def test_of_two_crowds_every_address_has_its_turn():
    pages = PageTurns(FOREVER)
    present = [(address, name) for address in ("home", "office") for name in "xy"]
    with contextlib.ExitStack() as stack:
        for visitor in present:
            stack.enter_context(pages.turn(visitor))
        crowd = Crowd(pages, [*FRESH, *[BOB] * 5])
    turns_of = [browser.split()[0] for browser in crowd.end()]
    assert turns_of[:5] == ["browser", "bob", "browser", "bob", "browser"]


def test_a_crowd_that_has_waited_for_long_goes_beside_others_one_by_one():
    pages = PageTurns(0.0, FOREVER)
    with pages.turn(BOB):
        with pages.turn(("home", "x")), pages.turn(("home", "y")):
            crowd = Crowd(pages, FRESH)
        assert crowd.end()[:3] == [browser for _, browser in FRESH[:3]]


def test_a_page_waits_for_no_other_for_ever():
    pages, order = PageTurns(0.0, 0.0), []
    with pages.turn(ANN), pages.turn(ANN), pages.turn(ANN), pages.turn(BOB), pages.turn(ANN):
        order.append("last")
    assert order == ["last"]


def test_no_turn_of_anybody_who_has_gone_is_remembered():
    pages = PageTurns(0.0, 0.0)
    for visitor in FRESH:
        with pages.turn(visitor):
            pass
    assert pages._last_turns == {}


def test_work_in_the_background_rests_while_a_page_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(turns, "MAX_REST_FOR_PAGES_SECONDS", 1e6)
    pages, order = PageTurns(), []

    def work() -> None:
        pages.let_pages_go_first()
        order.append("step")

    with pages.turn(ANN):
        worker = threading.Thread(target=work)
        worker.start()
        worker.join(0.1)
        order.append("page")
    worker.join()
    assert order == ["page", "step"]


def test_work_in_the_background_goes_on_though_pages_run_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
):
    now, rests = [0.0], []
    pages = PageTurns()

    def rest_for(condition, seconds: float) -> None:
        rests.append(now[0])
        now[0] += seconds

    monkeypatch.setattr(turns.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(pages._changed, "wait_for", rest_for)
    pages._running.append(Ticket(ANN, 0))
    for _ in range(1000):
        pages.let_pages_go_first()
        now[0] += 0.001  # a step
    worked, rested = 1.0, len(rests) * turns.MAX_REST_FOR_PAGES_SECONDS
    assert 2.0 * worked < rested <= turns.RESTS_PER_WORK * worked + turns.MAX_REST_FOR_PAGES_SECONDS
