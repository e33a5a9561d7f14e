"""Turns of pages: one visitor's after another, and before the work in the background."""

from __future__ import annotations

import threading

import pytest

from app import turns
from app.turns import PageTurns
from tests.app.pages import until

ANN, BOB = ("home", "ann"), ("office", "bob")


def test_pages_of_one_visitor_take_turns_and_others_do_not_wait():
    pages, order = PageTurns(turn_seconds=1e6), []

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


def test_where_many_pages_of_a_visitor_wait_they_let_others_finish():
    pages, order = PageTurns(turn_seconds=1e6), []

    def one_of_many() -> None:
        with pages.turn(ANN):
            order.append("ann")

    threads = [threading.Thread(target=one_of_many) for _ in range(3)]
    with pages.turn(BOB):
        with pages.turn(ANN):
            for thread in threads:
                thread.start()
            until(lambda: pages._waiting[ANN] == 3)
        order.append("bob")
    for thread in threads:
        thread.join()
    assert order == ["bob", "ann", "ann", "ann"]


def test_a_page_waits_for_no_other_for_ever():
    pages, order = PageTurns(turn_seconds=0.0), []
    with pages.turn(ANN), pages.turn(ANN):
        order.append("second")
    assert order == ["second"]


def test_work_in_the_background_rests_while_a_page_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(turns, "MAX_REST_FOR_PAGES_SECONDS", 1e6)
    pages, order = PageTurns(), []

    def work() -> None:
        pages.rest()
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
    pages._running[ANN] = 1
    for _ in range(1000):
        pages.rest()
        now[0] += 0.001  # a step
    worked, rested = 1.0, len(rests) * turns.MAX_REST_FOR_PAGES_SECONDS
    assert 2.0 * worked < rested <= turns.RESTS_PER_WORK * worked + turns.MAX_REST_FOR_PAGES_SECONDS
