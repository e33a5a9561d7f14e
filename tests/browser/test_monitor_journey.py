"""A journey in a real browser: drag the moment, read who noticed when, use keys, share the link."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.browser.driver import MAX_BYTES, WITH_A_PACK, Wire, browser, settle, watch_errors

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = WITH_A_PACK
LINE = "The moment: first row of the change"


def moment(page: Page) -> int:
    """Returns the row at which the line is."""
    return int(page.get_by_role("slider", name=LINE).get_attribute("aria-valuenow") or -1)


def headline(page: Page, row: int) -> str:
    """Waits until the headline is of this row, and returns it."""
    said = page.locator("h3", has_text=re.compile(rf"from row {row:,}:")).first
    said.wait_for()
    settle(page)
    return said.inner_text()


def test_drag_the_moment_read_who_noticed_and_share_the_link(url: str):
    with browser(1280, 1400) as context:
        page = context.new_page()
        errors = watch_errors(page)
        wire = Wire(page)
        page.goto(f"{url}/monitor?scorer=MSP&mix=50")
        line = page.get_by_role("slider", name=LINE)
        line.wait_for(timeout=300_000)
        settle(page)
        assert moment(page) == 800
        assert "the martingale notices after" in headline(page, 800)

        # While the line is held nothing is sent; let go, one message says where it is.
        plot, start = line.locator("..").bounding_box(), line.bounding_box()
        assert plot is not None
        assert start is not None
        y = plot["y"] + 40
        page.mouse.move(start["x"] + start["width"] / 2, y)
        page.mouse.down()
        wire.reset()
        page.mouse.move(plot["x"] + 0.2 * plot["width"], y, steps=8)
        page.wait_for_timeout(200)
        assert abs(moment(page) - 400) <= 5
        assert wire.messages == 0
        page.mouse.up()
        said = headline(page, moment(page))
        assert 0 < wire.received <= MAX_BYTES

        # Keys move it, too, by a step each; the number beside it is the same.
        row = moment(page)
        line.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert headline(page, row + 10) != said
        assert moment(page) == row + 10
        typed = page.get_by_role("spinbutton", name=LINE)
        assert float(typed.input_value()) == row + 10

        other = context.new_page()
        other.goto(page.url)
        other.get_by_role("slider", name=LINE).wait_for(timeout=60_000)
        settle(other)
        assert moment(other) == row + 10
        assert headline(other, row + 10) == headline(page, row + 10)
        assert errors == []
