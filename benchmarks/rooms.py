"""Rooms in a browser: from a click on a room's name until it is there, what it weighs, and a control that moves a histogram.

On the first pack that ships, every room opened once before, a landscape trained and all detectors fitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .timing import Options, Row, within
from .waiting import IDLE, Received, can_visit, since_touched, unvisited, visiting, weighs

if TYPE_CHECKING:
    from playwright.sync_api import Page

SWITCH, WEIGHT, HISTOGRAM = (
    "from one room to another, warm",
    "bytes of a room",
    "Detectors: the ID kept to the histograms",
)
ROOMS = ("Demo", "Toy lab", "Landscape", "Feature map", "Detectors", "Threshold lab")
THERE = f"room => document.querySelector('h1')?.innerText === room && {IDLE}"
CUT = "() => JSON.stringify(document.querySelector('.js-plotly-plot').layout.shapes)"


def measure(options: Options) -> list[Row]:
    """Returns a row for the switches, one for the bytes of a room, and one for a histogram that follows a control."""
    if not can_visit():
        return unvisited(SWITCH, "<= 1 s")
    with visiting(1280, 1000) as (url, page):
        page.goto(f"{url}/?preset=quick")
        page.get_by_role("button", name="Train HEAT").click()
        page.get_by_text("Modes kept").wait_for(timeout=120_000)
        page.goto(f"{url}/detectors")
        page.get_by_text("Composed catches").wait_for(timeout=600_000)
        followed = _follow(page, 4 * options.rounds)
        received = Received(page)
        _walk(page, received)
        walks = [_walk(page, received) for _ in range(options.rounds)]
    switches, sizes = ([value for walk in walks for value in walk[which]] for which in (0, 1))
    return [
        within(SWITCH, switches, 1.0),
        weighs(WEIGHT, [int(size) for size in sizes], 2_000_000),
        within(HISTOGRAM, followed, 0.4),
    ]


def _walk(page: Page, received: Received) -> tuple[list[float], list[float]]:
    """Goes through all rooms; returns the seconds until each was there, and the bytes that it brought."""
    seconds, sizes = [], []
    for room in ROOMS:
        received.reset()
        page.get_by_role("link", name=room, exact=True).first.click()
        seconds.append(since_touched(page, THERE, room))
        page.wait_for_timeout(1500)
        sizes.append(received.total)
    return seconds, sizes


def _follow(page: Page, times: int) -> list[float]:
    """Returns the seconds from keeping more or less of ID until the first histogram's line stands elsewhere."""
    page.wait_for_timeout(2000)
    seconds = []
    for turn in range(times):
        before = page.evaluate(CUT)
        page.get_by_role("spinbutton", name="Keep at least").press(
            "ArrowUp" if turn % 2 else "ArrowDown"
        )
        seconds.append(since_touched(page, f"before => ({CUT})() !== before", before))
        page.wait_for_timeout(800)
    return seconds
