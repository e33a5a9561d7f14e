"""A journey in a real browser: two train undisturbed, and a third waits in line."""

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
