"""The Feature map in a browser: lassos to counts and images, a click to the inspector, previews.

On the first pack that ships, by MSP, while the other detectors are being fitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .timing import Options, Row, within
from .waiting import IS_NEW, TEXTS, Received, can_visit, since_touched, unvisited, visiting, weighs

if TYPE_CHECKING:
    from playwright.sync_api import Page

COUNTS = "Feature map: lasso to counts"
IMAGES = "lasso to the first row of images"
INSPECTOR = "click to the inspector"
PREVIEW = "pointer to the preview"
BARS = {COUNTS: 0.4, IMAGES: 0.8, INSPECTOR: 0.5, PREVIEW: 0.05}
"""{wait: seconds that its 95th percentile may take}."""
BYTES = "bytes of a lasso, received"
SELECTORS = {COUNTS: "h3", IMAGES: ".tiles button"}
"""{wait for a lasso: what is new in the page then}."""
NEIGHBOURS = "The nearest training images"  # of the image in the inspector, its last part
IS_SPELLED_OUT = f"() => document.body.innerText.includes('{NEIGHBOURS}')"
# Seconds from a pointer's move over the map until a frame was painted with another preview.
PREVIEW_TIMES = """face => {
    window.previews = [];
    const preview = face.querySelector('.preview');
    face.addEventListener('pointermove', event => {
        const before = preview.innerText;
        requestAnimationFrame(() => setTimeout(() => {
            if (preview.innerText !== before)
                window.previews.push((performance.now() - event.timeStamp) / 1000);
        }));
    }, true);
}"""
LASSO = [(0.0, 0.5), (0.2, 0.45), (0.25, 0.7), (0.05, 0.75)]  # shares of the map's sides


def measure(options: Options) -> list[Row]:
    """Returns a row for each wait, and one for bytes."""
    if not can_visit():
        return unvisited(COUNTS, "<= 0.4 s")
    with visiting(1440, 2000) as (url, page):
        page.goto(f"{url}/feature_map?scorer=MSP&colour=score")
        page.locator(".legend", has_text="MSP: share").wait_for(timeout=300_000)
        page.wait_for_timeout(3000)
        rounds = 4 * options.rounds
        seconds, sizes = _draw_lassos(page, 2 * rounds)
        seconds[INSPECTOR] = _open_inspector(page, rounds)
        seconds[PREVIEW] = _hover(page, 10 * rounds)
    rows = [within(wait, seconds[wait], most) for wait, most in BARS.items()]
    return [*rows, weighs(BYTES, sizes, 300_000)]


def _draw_lassos(page: Page, times: int) -> tuple[dict[str, list[float]], list[int]]:
    """Returns seconds of every wait, and bytes received after every lasso.

    Of two lassos, the one is timed to its counts, the other to its images.
    """
    received = Received(page)
    seconds: dict[str, list[float]] = {COUNTS: [], IMAGES: []}
    sizes = []
    for turn in range(times):
        wait = (COUNTS, IMAGES)[turn % 2]
        selector = SELECTORS[wait]
        before = page.evaluate(TEXTS, selector)
        received.reset()
        _draw_lasso(page, (0.2, 0.35, 0.5)[turn % 3])  # so far apart that images change
        seconds[wait].append(since_touched(page, IS_NEW, [selector, before]))
        page.wait_for_timeout(800)
        sizes.append(received.total)
    return seconds, sizes


def _draw_lasso(page: Page, left: float) -> None:
    box = page.locator(".face canvas").bounding_box()
    assert box is not None
    first, *others = [
        (box["x"] + (left + x) * box["width"], box["y"] + y * box["height"]) for x, y in LASSO
    ]
    page.mouse.move(*first)
    page.mouse.down()
    for spot in others:
        page.mouse.move(*spot, steps=10)
    page.mouse.up()


def _hover(page: Page, times: int) -> list[float]:
    """Returns seconds from a pointer's moves over points until each is previewed."""
    face = page.locator(".face")
    box = face.bounding_box()
    assert box is not None
    face.evaluate(PREVIEW_TIMES)
    for turn in range(times):
        x, y = 0.4 + 0.2 * (turn % 10) / 10, 0.5 + 0.2 * turn / times
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.wait_for_timeout(100)
    return page.evaluate("window.previews")


def _open_inspector(page: Page, times: int) -> list[float]:
    """Returns seconds from a click on an image until the inspector shows it."""
    seconds = []
    for _ in range(times):
        page.locator(".tiles button").nth(3).click()
        seconds.append(since_touched(page, IS_SPELLED_OUT))
        page.wait_for_timeout(800)
        page.keyboard.press("Escape")
        page.get_by_text(NEIGHBOURS).wait_for(state="detached")
        page.wait_for_timeout(500)
    return seconds
