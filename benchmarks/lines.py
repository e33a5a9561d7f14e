"""The Detectors page in a browser: a frame while one line of nine is dragged, and letting it go.

On the first pack that ships, once all detectors are fitted. All nine lines, every caught share, the
table and the headline move in each frame. Letting go is timed until what is below has followed.
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

FRAME = "Detectors: a frame while dragging one line of nine"
RELEASE = "letting go of it to all that keeps as much of ID"
BYTES = "bytes of letting go of it"
PERCENT = "document.querySelector('input[aria-label^=\"Keep at least\"]').value"
HAS_FOLLOWED = f"before => {PERCENT} !== before && {IDLE}"


def measure(options: Options) -> list[Row]:
    """Returns a row for the frames, one for letting go, one for its bytes."""
    if not can_visit():
        return unvisited(FRAME, "<= 0.016 s")
    with visiting(1280, 1400, script=TIME_FRAMES) as (url, page):
        page.goto(f"{url}/detectors")
        page.get_by_text("HEAT catches").wait_for(timeout=600_000)
        page.get_by_text("What is more than chance").wait_for(timeout=600_000)
        page.wait_for_timeout(2000)
        line = page.get_by_role("slider", name="Line of HEAT", exact=True)
        bars = {FRAME: 0.016, RELEASE: 0.4}
        return drag_rows(page, line, 4 * options.rounds, PERCENT, HAS_FOLLOWED, bars, BYTES)
