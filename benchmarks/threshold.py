"""The Threshold lab in a browser: a frame while the line is dragged, and letting it go.

Letting go is timed until every number is new. Two detectors are compared meanwhile, on the first
pack that ships, once all are fitted (while fits go on in the same process, the slowest of 40
releases take a third longer). A frame is the script's work and the layout it causes.
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

FRAME = "Threshold lab: a frame while dragging"
RELEASE = "letting go to every number"
BYTES = "bytes of letting go"
ALL_NEW = f"before => document.querySelector('h3').innerText !== before && {IDLE}"
CHARTS_DRAWN = "document.querySelectorAll('.js-plotly-plot .main-svg').length >= 2"


def measure(options: Options) -> list[Row]:
    """Returns a row for the frames, one for letting go, one for its bytes."""
    if not can_visit():
        return unvisited(FRAME, "<= 0.016 s")
    with visiting(1280, 2600, script=TIME_FRAMES) as (url, page):
        page.goto(f"{url}/detectors")
        page.get_by_text("HEAT catches").wait_for(timeout=600_000)
        page.goto(f"{url}/threshold_lab?scorer=HEAT&against=MoG")
        page.locator("h3", has_text="MoG keeps").wait_for(timeout=600_000)
        page.wait_for_function(CHARTS_DRAWN, timeout=120_000)
        page.wait_for_timeout(2000)
        releases, sizes = _drag_threshold(page, 8 * options.rounds)
        frames = [milliseconds / 1000 for milliseconds in page.evaluate("window.frames_ms")]
    return [
        within(FRAME, frames, 0.016),
        within(RELEASE, releases, 0.3),
        weighs(BYTES, sizes, 300_000),
    ]


def _drag_threshold(page: Page, times: int) -> tuple[list[float], list[int]]:
    """Returns seconds of every release until all numbers are new, and bytes received after it."""
    received = Received(page)
    slider = page.get_by_role("slider", name="Threshold")
    plot = slider.locator("..").bounding_box()
    assert plot is not None
    y = plot["y"] + 40
    releases = []
    sizes = []
    for turn in range(times):
        handle = slider.bounding_box()
        assert handle is not None
        page.mouse.move(handle["x"] + handle["width"] / 2, y)
        page.mouse.down()
        share = 0.35 + 0.4 * ((turn * 0.618) % 1)
        page.mouse.move(plot["x"] + share * plot["width"], y, steps=30)
        page.wait_for_timeout(50)
        before = page.locator("h3").first.inner_text()
        received.reset()
        page.mouse.up()
        releases.append(since_touched(page, ALL_NEW, before))
        page.wait_for_timeout(300)
        sizes.append(received.total)
    return releases, sizes
