"""A journey in a real browser: the demo by keyboard and by link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.demo import story
from tests.browser.driver import WITH_A_PACK, browser, settle, watch_errors

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = WITH_A_PACK

MAP_WIDTHS = """() => [...document.querySelectorAll('.js-plotly-plot')].map(
    plot => Math.round(plot._fullLayout.xaxis._length))"""


def _wait_for_step(page: Page, heading: str) -> None:
    page.get_by_role("heading", name=heading).wait_for()
    settle(page)


def test_the_demo_is_told_by_arrow_keys_and_a_step_is_a_link(url: str):
    with browser(width=1280) as context:
        page = context.new_page()
        errors = watch_errors(page)
        page.goto(f"{url}/demo?step=3")
        _wait_for_step(page, "3. Round bowls are not enough")
        page.keyboard.press("ArrowRight")
        _wait_for_step(page, "4. A learned correction")
        first, *others = page.evaluate(MAP_WIDTHS)
        assert others == [first, first]
        assert "step=4" in page.url
        page.locator("[data-testid=stBaseButton-primary]", has_text="Next").click()
        page.get_by_role("heading", name="5. Choose the line").wait_for()
        for _ in range(4):
            settle(page)
            page.keyboard.press("ArrowLeft")
        _wait_for_step(page, "1. Sure, and wrong")
        assert page.get_by_role("button", name="Back").is_disabled()
        page.go_back()
        _wait_for_step(page, "2. Energy says")
        page.keyboard.press("ArrowLeft")
        _wait_for_step(page, "1. Sure, and wrong")
        _check_images(page)
        page.get_by_role("button", name="Glossary").click()
        page.get_by_text("Out-of-distribution (OOD)", exact=True).wait_for()
        page.set_viewport_size({"width": 400, "height": 900})
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert errors == []


def _check_images(page: Page) -> None:
    """All images of the first step are there, with a text for screen readers."""
    images = page.locator('[data-testid="stImage"] img')
    assert images.count() == story.IMAGES
    for number in range(story.IMAGES):
        assert "An image of" in (images.nth(number).get_attribute("alt") or "")
