"""Pages in a browser: from a click on its name until a page is there, its bytes, and a control.

On the first pack that ships, every page opened once before, a landscape trained and all detectors
fitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .timing import Options, Row, within
from .waiting import IDLE, Received, can_visit, since_touched, unvisited, visiting, weighs

if TYPE_CHECKING:
    from playwright.sync_api import Page

SWITCH = "from one page to another, warm"
WEIGHT = "bytes of a page"
HISTOGRAM = "Detectors: the ID kept to the histograms"
PAGE_TITLES = ("Demo", "Toy lab", "Landscape", "Feature map", "Detectors", "Threshold lab")
IS_OPEN = f"title => document.querySelector('h1')?.innerText === title && {IDLE}"
THRESHOLD = """() => [...document.querySelectorAll('*')]
    .map(e => e.shadowRoot?.querySelector('[aria-label="Line of HEAT"]'))
    .find(Boolean)?.style.transform"""


def measure(options: Options) -> list[Row]:
    """Returns a row for the switches, one for their bytes, and one for a histogram's control."""
    if not can_visit():
        return unvisited(SWITCH, "<= 1 s")
    with visiting(1280, 1000) as (url, page):
        page.goto(f"{url}/?preset=quick")
        page.get_by_role("button", name="Train HEAT").click()
        page.get_by_text("Modes kept").wait_for(timeout=120_000)
        page.goto(f"{url}/detectors")
        page.get_by_text("HEAT catches").wait_for(timeout=600_000)
        threshold_waits = _move_threshold(page, 4 * options.rounds)

        received = Received(page)
        _open_all(page, received)  # the warm-up
        switch_waits: list[float] = []
        sizes: list[int] = []
        for _ in range(options.rounds):
            round_waits, round_sizes = _open_all(page, received)
            switch_waits += round_waits
            sizes += round_sizes
    return [
        within(SWITCH, switch_waits, 1.0),
        weighs(WEIGHT, sizes, 2_000_000),
        within(HISTOGRAM, threshold_waits, 0.4),
    ]


def _open_all(page: Page, received: Received) -> tuple[list[float], list[int]]:
    """Opens all pages; returns the seconds until each was there, and the bytes that it brought."""
    seconds = []
    sizes = []
    for title in PAGE_TITLES:
        received.reset()
        page.get_by_role("link", name=title, exact=True).first.click()
        seconds.append(since_touched(page, IS_OPEN, title))
        page.wait_for_timeout(1500)
        sizes.append(received.total)
    return seconds, sizes


def _move_threshold(page: Page, times: int) -> list[float]:
    """Returns seconds from keeping more or less of ID until the line of HEAT moves."""
    page.wait_for_timeout(2000)
    seconds = []
    for turn in range(times):
        before = page.evaluate(THRESHOLD)
        key = "ArrowUp" if turn % 2 else "ArrowDown"
        page.get_by_role("spinbutton", name="Keep at least").press(key)
        seconds.append(since_touched(page, f"before => ({THRESHOLD})() !== before", before))
        page.wait_for_timeout(800)
    return seconds
