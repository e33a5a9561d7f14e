"""Journeys in a real browser: a third training waits in line, but not another visitor's."""

from __future__ import annotations

import re

from tests.browser.driver import JOURNEY, browser, button, server

pytestmark = JOURNEY

UNDER_WAY = re.compile(r"Training HEAT: \d+%")
IN_LINE = "Waiting: number 1 in line"


def test_two_train_undisturbed_and_a_third_waits_in_line():
    # An app of its own: what others fit would take a place.
    with server() as url, browser() as context:
        first, second, third = pages = [context.new_page() for _ in range(3)]
        for seed, page in enumerate(pages):
            page.goto(f"{url}/?toy=blobs&preset=best&seed={seed}")
            button(page, "Train HEAT").wait_for()
        for page, text in zip(pages, (UNDER_WAY, UNDER_WAY, IN_LINE), strict=True):
            button(page, "Train HEAT").click()
            page.get_by_text(text).wait_for()

        button(first, "Cancel").click()
        first.get_by_text("Training was cancelled.").wait_for()
        third.get_by_text(UNDER_WAY).wait_for()
        assert second.get_by_text(UNDER_WAY).count() == 1  # nobody else's training was touched
        assert second.get_by_text("Training was cancelled.").count() == 0


def test_another_visitor_begins_at_once_though_two_train_and_more_wait():
    with server() as url, browser() as context:
        pages = [context.new_page() for _ in range(4)]
        states = (UNDER_WAY, UNDER_WAY, IN_LINE, "Waiting: number 2 in line")
        for seed, (page, state) in enumerate(zip(pages, states, strict=True)):
            page.goto(f"{url}/?toy=blobs&preset=best&seed={seed}")
            button(page, "Train HEAT").click()
            page.get_by_text(state).wait_for()
        assert context.browser is not None
        other = context.browser.new_context().new_page()
        other.goto(f"{url}/?toy=blobs&preset=quick")
        button(other, "Train HEAT").click()
        other.get_by_text("Modes kept").wait_for(timeout=120_000)
        assert pages[2].get_by_text(IN_LINE).count() == 1
