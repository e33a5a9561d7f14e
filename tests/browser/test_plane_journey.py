"""A journey in a real browser: train, pause, leave, return, scrub in the Toy lab; click, share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.driver import JOURNEY, browser, button, settle, watch_errors

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page

pytestmark = JOURNEY

PAUSED = """() => [...document.querySelectorAll('button')].some(
    button => button.innerText.includes('Pause') && button.disabled)"""
HEADING_CHANGED = "before => document.querySelector('h3').innerText !== before"


def _paused_snapshot(page: Page) -> int:
    """Returns after which snapshot the training is paused."""
    text = page.get_by_text("Paused after snapshot")
    text.wait_for()
    match = re.search(r"snapshot (\d+)", text.inner_text())
    assert match is not None
    return int(match[1])


def test_train_pause_leave_return_scrub_and_click(url: str):
    with browser() as context:
        page = context.new_page()
        errors = watch_errors(page)
        snapshot = _pause_and_step(page, url)
        _cancel_in_another_tab(context, page.url, snapshot)
        for title, address in (("Landscape", r"/landscape\?"), ("Toy lab", r"/(toy_lab)?\?")):
            page.get_by_role("link", name=title).click()
            page.wait_for_url(re.compile(address))
            settle(page)  # the page before says the same, and goes
            assert _paused_snapshot(page) == snapshot
        button(page, "Play").click()
        page.get_by_text("Modes kept").wait_for(timeout=240_000)
        settle(page)
        _scrub_and_share(context, page)
        _replay(page)

        page.get_by_role("link", name="Landscape").click()
        page.get_by_text("Largest |E_θ|").wait_for()
        settle(page)
        _click_map_and_share(context, page)
        _click_surface(page)
        assert page.locator(".gl-container canvas").count() == 0  # no WebGL is asked for
        assert page.locator('[data-testid="stException"]').count() == 0
        assert errors == []


def _pause_and_step(page: Page, url: str) -> int:
    """Starts a training, pauses it and goes one step on; returns the snapshot that is shown."""
    page.goto(f"{url}/?toy=crosses9")
    settle(page)
    button(page, "Train HEAT").click()
    page.get_by_text(re.compile(r"Training HEAT: \d+%, KL")).wait_for()
    button(page, "Pause").click()
    paused = _paused_snapshot(page)
    page.wait_for_timeout(2000)
    assert _paused_snapshot(page) == paused
    button(page, "Step").click()
    page.get_by_text(f"Paused after snapshot {paused + 1}").wait_for()
    return paused + 1


def _cancel_in_another_tab(context: BrowserContext, link: str, snapshot: int) -> None:
    """The same link in another tab finds the training where it is.

    That tab may leave it without a loss to the first.
    """
    other_tab = context.new_page()
    other_tab.goto(link)
    assert _paused_snapshot(other_tab) >= snapshot
    button(other_tab, "Cancel").click()
    other_tab.get_by_text("It goes on for 1 more who watches").wait_for()
    other_tab.close()


def _scrub_and_share(context: BrowserContext, page: Page) -> None:
    page.get_by_role("slider", name="Snapshot").press("ArrowLeft")
    page.wait_for_url(re.compile("snapshot=step"))
    settle(page)
    shared = context.new_page()
    shared.goto(page.url)
    shared.get_by_text("Modes kept").wait_for()
    assert shared.url == page.url
    shared.close()


def _replay(page: Page) -> None:
    """A replay goes on by itself, from the step that the link names, until it is paused."""
    page.get_by_role("slider", name="Snapshot").press("Home")
    page.wait_for_url(re.compile(r"snapshot=step"))
    settle(page)
    button(page, "Play").click()
    seen = set()
    while len(seen) < 3:
        before = page.url
        seen.add(before)
        page.wait_for_url(lambda url, before=before: url != before)
    button(page, "Pause").click()
    page.wait_for_function(PAUSED)


def _heading(page: Page) -> Locator:
    """Returns where the point's energy is spelled out."""
    return page.locator("h3").first


def _click_map_and_share(context: BrowserContext, page: Page) -> None:
    before = _heading(page).inner_text()
    box = page.locator(".panels canvas").nth(2).bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.78 * box["width"], box["y"] + 0.23 * box["height"])
    page.wait_for_url(re.compile(r"x=.*y=|y=.*x="))
    page.wait_for_function(HEADING_CHANGED, arg=before)
    assert "verdict" in _heading(page).inner_text()
    shared = context.new_page()
    shared.goto(page.url)
    shared.get_by_text(_heading(page).inner_text()).wait_for()
    shared.close()


def _click_surface(page: Page) -> None:
    page.get_by_text("surface", exact=True).click()
    surfaces = page.locator("canvas[aria-label*='Arrow keys turn it']")
    surfaces.nth(2).wait_for()
    settle(page)
    before = _heading(page).inner_text()
    surfaces.nth(2).click()
    page.wait_for_function(HEADING_CHANGED, arg=before)


@pytest.mark.parametrize(
    ("path", "text"),
    [("", "Acceptance"), ("landscape", "log Z")],
    ids=["toy_lab", "landscape"],
)
def test_a_phone_is_wide_enough(url: str, path: str, text: str):
    link = "toy=blobs&preset=quick&job=toy.blobs.HEAT.quick.0&chains=true"
    with browser(width=400) as context:
        page = context.new_page()
        page.goto(f"{url}/{path}?{link}")
        page.get_by_text(text).first.wait_for(timeout=240_000)
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
