"""The Detectors page in a browser: a frame while one line of nine is dragged, and letting it go.

On the first pack that ships, once all detectors are fitted. All nine lines, every caught share, the
table and the headline move in each frame. Letting go is timed until what is below has followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .timing import Options, Row, within
from .waiting import (
    IDLE,
    TIME_FRAMES,
    Received,
    can_visit,
    since_touched,
    unvisited,
    visiting,
    weighs,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

FRAME = "Detectors: a frame while dragging one line of nine"
RELEASE = "letting go of it to all that keeps as much of ID"
BYTES = "bytes of letting go of it"
PERCENT = "document.querySelector('input[aria-label^=\"Keep at least\"]').value"
IS_NEW = f"before => {PERCENT} !== before && {IDLE}"


def measure(options: Options) -> list[Row]:
    """Returns a row for the frames, one for letting go, one for its bytes."""
    if not can_visit():
        return unvisited(FRAME, "<= 0.016 s")
    with visiting(1280, 1400, script=TIME_FRAMES) as (url, page):
        page.goto(f"{url}/detectors")
        page.get_by_text("HEAT catches").wait_for(timeout=600_000)
        page.get_by_text("What is more than chance").wait_for(timeout=600_000)
        page.wait_for_timeout(2000)
        releases, sizes = _drag(page, 4 * options.rounds)
        frames = [milliseconds / 1000 for milliseconds in page.evaluate("window.frames_ms")]
    return [
        within(FRAME, frames, 0.016),
        within(RELEASE, releases, 0.4),
        weighs(BYTES, sizes, 300_000),
    ]


def _drag(page: Page, times: int) -> tuple[list[float], list[int]]:
    """Returns seconds of every release until the page has followed, and bytes received after it."""
    received = Received(page)
    slider = page.get_by_role("slider", name="Line of HEAT", exact=True)
    releases = []
    sizes = []
    for turn in range(times):
        slider.scroll_into_view_if_needed()
        plot, handle = slider.locator("..").bounding_box(), slider.bounding_box()
        assert plot is not None
        assert handle is not None
        y = plot["y"] + plot["height"] / 2
        page.mouse.move(handle["x"] + handle["width"] / 2, y)
        page.mouse.down()
        share = 0.35 + 0.4 * ((turn * 0.618) % 1)
        page.mouse.move(plot["x"] + share * plot["width"], y, steps=30)
        page.wait_for_timeout(50)
        before = page.evaluate(PERCENT)
        received.reset()
        page.mouse.up()
        releases.append(since_touched(page, IS_NEW, before))
        page.wait_for_timeout(500)
        sizes.append(received.total)
    return releases, sizes
