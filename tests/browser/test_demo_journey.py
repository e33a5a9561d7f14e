"""Journeys in a real browser: the demo by keyboard, by link and as a file without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from app.demo import story
from app.demo.export import html_file
from tests.browser.driver import WITH_A_PACK, browser, settle, watch_errors

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = WITH_A_PACK

OVERFLOW = """() => {
    const main = document.querySelector('[data-testid="stMain"]');
    return [main.scrollHeight - main.clientHeight, main.scrollWidth - main.clientWidth];
}"""


def _wait_for_step(page: Page, heading: str) -> None:
    """Waits until a slide is shown, which is at once, and until the link says so."""
    page.get_by_role("heading", name=heading).wait_for()
    page.wait_for_url(f"**/demo?*step={heading[0]}*")
    settle(page)


def test_the_demo_fills_the_window_and_is_told_by_arrow_keys(url: str):
    with browser(width=1440, height=900) as context:
        page = context.new_page()
        errors = watch_errors(page)
        page.goto(f"{url}/demo?step=4")
        _wait_for_step(page, "4. A learned correction")
        assert page.evaluate(OVERFLOW) == [0, 0]
        page.keyboard.press("ArrowRight")
        _wait_for_step(page, "5. One line")
        assert page.evaluate(OVERFLOW) == [0, 0]
        page.keyboard.press("ArrowLeft")
        _wait_for_step(page, "4. A learned correction")
        page.keyboard.press("ArrowLeft")
        _wait_for_step(page, "3. Round bowls")
        page.go_back()
        _wait_for_step(page, "4. A learned correction")
        page.get_by_role("button", name="Step 5 of 5").click()
        _wait_for_step(page, "5. One line")
        _own_data_are_a_press_away(page)
        _drag_leads_on(page)
        assert errors == []


def _own_data_are_a_press_away(page: Page) -> None:
    page.get_by_role("button", name="Your own data").click()
    page.get_by_text("Arrays or tables of your own").wait_for()
    page.keyboard.press("Escape")
    page.get_by_text("Arrays or tables of your own").wait_for(state="hidden")
    settle(page)


def _drag_leads_on(page: Page) -> None:
    """A line that is dragged is the one that the Threshold lab opens with."""
    line = page.get_by_role("slider", name="Threshold")
    line.press("End")
    page.wait_for_timeout(400)
    threshold = float(line.get_attribute("aria-valuenow") or "nan")
    assert threshold > story.read().outcomes["HEAT"].threshold
    page.get_by_role("button", name="Threshold lab, at this line").click()
    page.wait_for_url("**/threshold_lab**")
    settle(page)
    assert f"cut={threshold}" in page.url


def test_the_file_opens_without_a_network_and_its_line_can_be_dragged(tmp_path: Path):
    path = tmp_path / "demo.html"
    path.write_text(html_file(story.read()), encoding="utf-8")
    with browser(width=1440, height=900) as context:
        context.set_offline(True)
        page = context.new_page()
        errors = watch_errors(page)
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.get_by_role("heading", name="1. Sure, and wrong").wait_for()
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        page.get_by_role("heading", name="5. One line").wait_for()
        before = page.locator(".result").inner_text()
        box = page.locator(".plot").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"], steps=4)
        page.mouse.up()
        page.wait_for_timeout(2500)  # a line that nobody answers would go back by now
        assert page.locator(".result").inner_text() != before
        assert page.evaluate("document.documentElement.scrollHeight") <= 900
        fetched = [address for address in requests if not address.startswith(("file:", "data:"))]
        assert (errors, fetched) == ([], [])
