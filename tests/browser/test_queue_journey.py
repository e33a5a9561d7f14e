"""A journey in a real browser: a third training waits in line, but not another visitor's."""

from __future__ import annotations

import re

from tests.browser.driver import JOURNEY, browser, button, server

pytestmark = JOURNEY

UNDER_WAY = re.compile(r"(Training|Measuring|Diagnosing) HEAT: \d+%")
IN_LINE = "Waiting: number 1 in line"


def test_two_train_undisturbed_a_third_waits_and_another_visitor_begins_at_once():
    # An app of its own: what others fit would take a place.
    with server() as url, browser() as context:
        first, second, third, fourth = pages = [context.new_page() for _ in range(4)]
        states = (UNDER_WAY, UNDER_WAY, IN_LINE, "Waiting: number 2 in line")
        for seed, (page, state) in enumerate(zip(pages, states, strict=True)):
            page.goto(f"{url}/?toy=blobs&preset=best&seed={seed}")
            button(page, "Train HEAT").click()
            page.get_by_text(state).wait_for()

        button(first, "Cancel").click()
        first.get_by_text("Training was cancelled.").wait_for()
        third.get_by_text(UNDER_WAY).wait_for()
        assert second.get_by_text("Training was cancelled.").count() == 0  # nor is another touched

        assert context.browser is not None
        other_visitor = context.browser.new_context().new_page()
        other_visitor.goto(f"{url}/?toy=blobs&preset=quick")
        button(other_visitor, "Train HEAT").click()
        other_visitor.get_by_text(UNDER_WAY).wait_for()
        fourth.get_by_text(IN_LINE).wait_for()
