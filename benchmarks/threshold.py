"""The Threshold lab in a browser: a frame while the line is dragged, and letting it go.

Letting go is timed until every number is new. Two detectors are compared meanwhile, on the first
pack that ships, once all are fitted (while fits go on in the same process, the slowest of 40
releases take a third longer). A frame is the script's work and the layout it causes.
"""

from __future__ import annotations

from .timing import Options, Row
from .waiting import (
    IDLE,
    TIME_FRAMES,
    can_visit,
    drag_rows,
    unvisited,
    visiting,
)

FRAME = "Threshold lab: a frame while dragging"
RELEASE = "letting go to every number"
BYTES = "bytes of letting go"
HEADLINE = "document.querySelector('h3').innerText"
ALL_NEW = f"before => {HEADLINE} !== before && {IDLE}"
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
        line = page.get_by_role("slider", name="Threshold")
        bars = {FRAME: 0.016, RELEASE: 0.3}
        return drag_rows(page, line, 8 * options.rounds, HEADLINE, ALL_NEW, bars, BYTES)
