"""The inspector in a browser: from a click on a flip until the image is spelled out.

On the first pack that ships.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .timing import Options, Row, within
from .waiting import Received, can_visit, since_touched, unvisited, visiting, weighs

if TYPE_CHECKING:
    from playwright.sync_api import Page

CLICK = "Detectors: a click on an image to its inspector"
BYTES = "bytes of looking at an image"
IS_OPEN = """() => document.querySelector('[role=dialog]')
    ?.innerText.includes('The nearest training images')"""


def measure(options: Options) -> list[Row]:
    """Returns a row for the clicks and one for their bytes."""
    if not can_visit():
        return unvisited(CLICK, "<= 0.5 s")
    with visiting(1280, 1400) as (url, page):
        page.goto(f"{url}/detectors")
        page.get_by_text("What is more than chance").wait_for(timeout=600_000)
        page.get_by_text("Click an image to look into it").wait_for(timeout=120_000)
        page.wait_for_timeout(3000)
        seconds, sizes = _inspect_images(page, 4 * options.rounds + 1)
    # The first one decodes the thumbnails and loads what draws the dialog.
    return [within(CLICK, seconds[1:], 0.5), weighs(BYTES, sizes[1:], 300_000)]


def _inspect_images(page: Page, times: int) -> tuple[list[float], list[int]]:
    """Returns seconds of every click until the image is spelled out, and bytes received after."""
    received = Received(page)
    seconds = []
    sizes = []
    for turn in range(times):
        tile = page.locator(".tiles button").nth(turn % 24)
        tile.scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        received.reset()
        tile.click()
        seconds.append(since_touched(page, IS_OPEN))
        page.wait_for_timeout(500)
        sizes.append(received.total)
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="hidden")
        page.wait_for_timeout(700)
    return seconds, sizes
