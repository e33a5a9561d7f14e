"""The Feature map in a browser: from the end of a lasso to its counts and to its first images, a click to the image, bytes.

On the first pack that ships, by MSP, while the other detectors are being fitted.
"""

from __future__ import annotations

from .timing import Options, Row, within
from .waiting import NEW, SAID, Received, can_visit, since_touched, unvisited, visiting, weighs

COUNTS, IMAGES, LOOK = (
    "Feature map: lasso to counts",
    "lasso to the first row of images",
    "click to the inspector",
)
BARS = {COUNTS: 0.4, IMAGES: 0.8, LOOK: 0.5}
BYTES = "bytes of a lasso, received"


def measure(options: Options) -> list[Row]:
    """Returns a row for each wait, and one for bytes."""
    if not can_visit():
        return unvisited(COUNTS, "<= 0.4 s")
    with visiting(1440, 2000) as (url, page):
        page.goto(f"{url}/feature_map?scorer=MSP&colour=score")
        page.locator(".legend", has_text="MSP: share").wait_for(timeout=300_000)
        page.wait_for_timeout(3000)
        seconds, sizes = _lassos(page, 4 * options.rounds)
    return [
        *(within(what, seconds[what], bar) for what, bar in BARS.items()),
        weighs(BYTES, sizes, 300_000),
    ]


def _lassos(page, times: int) -> tuple[dict[str, list[float]], list[int]]:
    """Returns seconds of every wait, and bytes received after every lasso."""
    received = Received(page)
    seconds: dict[str, list[float]] = {what: [] for what in BARS}
    sizes = []
    for turn in range(
        2 * times
    ):  # of two lassos, the one is timed to its counts, the other to its images
        what, seen = ((COUNTS, "h3"), (IMAGES, ".tiles button"))[turn % 2]
        before = page.evaluate(SAID, seen)
        received.reset()
        _draw(page, (0.2, 0.35, 0.5)[turn % 3])  # far enough apart that other images come first
        seconds[what].append(since_touched(page, NEW, [seen, before]))
        page.wait_for_timeout(800)
        sizes.append(received.total)
    for _ in range(times):
        page.locator(".tiles button").nth(3).click()
        seconds[LOOK].append(since_touched(page, NEW, ["[role=dialog] h2, [role=dialog] p", ""]))
        page.wait_for_timeout(800)
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="detached")
        page.wait_for_timeout(500)
    return seconds, sizes


def _draw(page, left: float) -> None:
    box = page.locator(".face canvas").bounding_box()
    places = [(left, 0.5), (left + 0.2, 0.45), (left + 0.25, 0.7), (left + 0.05, 0.75)]
    spots = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.mouse.move(*spots[0])
    page.mouse.down()
    for spot in spots[1:]:
        page.mouse.move(*spot, steps=10)
    page.mouse.up()
