"""The Energy page in a browser: a frame while the temperature is dragged, and letting it go.

The classifier of the first toy is trained. In each frame the scores of all points are computed from
their logits anew, with both histograms, both AUROCs and both FPR95s. A frame is the script's work
and the layout it causes.
"""

from __future__ import annotations

from .timing import Options, Row
from .waiting import IDLE, TIME_FRAMES, can_visit, drag_rows, unvisited, visiting

FRAME = "Energy: a frame while dragging the temperature"
RELEASE = "letting go of it to all that is computed at it"
BYTES = "bytes of letting go of the temperature"
TYPED = "document.querySelector('input[aria-label^=\"Temperature T\"]').value"
HAS_FOLLOWED = f"before => {TYPED} !== before && {IDLE}"


def measure(options: Options) -> list[Row]:
    """Returns a row for the frames, one for letting go, one for its bytes."""
    if not can_visit():
        return unvisited(FRAME, "<= 0.016 s")
    with visiting(1280, 1400, script=TIME_FRAMES) as (url, page):
        page.goto(f"{url}/energy")
        page.get_by_role("button", name="Train the classifier").click()
        line = page.get_by_role("slider", name="Temperature of energy and softmax")
        line.wait_for(timeout=240_000)
        page.wait_for_timeout(2000)
        bars = {FRAME: 0.016, RELEASE: 0.4}
        return drag_rows(page, line, 4 * options.rounds, TYPED, HAS_FOLLOWED, bars, BYTES)
