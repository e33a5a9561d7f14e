"""Waits in the Toy lab and the Landscape, from a click to what it brings.

In a browser without a GPU.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .timing import Options, Row, within
from .waiting import can_visit, since_touched, unvisited, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Page

ACKNOWLEDGED = "Toy lab: training acknowledged"
CANCELLED = "training cancelled"
SNAPSHOT = "a new snapshot of a training"
REDRAWN = "Landscape: contour for surface, and back"
ZOOMED = "zoomed"
POINT = "click on a layer to the sum spelled out"
BARS = {
    ACKNOWLEDGED: 0.3,
    CANCELLED: 0.3,
    SNAPSHOT: 0.5,
    REDRAWN: 0.5,
    ZOOMED: 0.5,
    POINT: 0.5,
}
"""{wait: seconds that its 95th percentile may take}."""
Waits = Mapping[str, list[float]]
"""{wait: seconds}, names of `BARS`."""

TRAINED = "preset=quick&job=toy.crosses9.HEAT.quick.0"
# Begins a function of the first layer's canvas.
WITH_CANVAS = """() => {
    const within = e => [...(e.shadowRoot?.querySelectorAll('.panels canvas') ?? [])];
    const [canvas] = [...document.querySelectorAll('*')].flatMap(within);
"""
PICTURE = WITH_CANVAS + "return canvas.toDataURL(); }"
# A map reaches this corner, a block does not.
IS_MAP = f"""{WITH_CANVAS}
    const at = [0.15 * canvas.width, 0.06 * canvas.height].map(Math.round);
    return canvas.getContext('2d').getImageData(...at, 1, 1).data[3] > 0;
}}"""
CAN_CANCEL = """() => [...document.querySelectorAll('button')]
    .some(button => button.innerText.endsWith('Cancel'))"""
WAS_CANCELLED = """() =>
    document.querySelector('[data-testid=stMain]').innerText.includes('was cancelled')"""
PROGRESS_MOVED = """before =>
    ![...document.querySelectorAll('[data-testid=stProgress] p')]
        .some(text => text.innerText === before)"""
HEADING_CHANGED = "before => document.querySelector('h3').innerText !== before"


def measure(options: Options) -> list[Row]:
    """Returns a row for each wait."""
    if not can_visit():
        return unvisited(ACKNOWLEDGED, "<= 0.3 s")
    rounds = 4 * options.rounds
    seconds: dict[str, list[float]] = {wait: [] for wait in BARS}
    with visiting(1280, 1000) as (url, page):
        _train(page, f"{url}/?seed=0")  # the warm-up
        for seed in range(1, rounds + 1):
            _add(seconds, _train(page, f"{url}/?seed={seed}"))
        page.goto(f"{url}/landscape?{TRAINED}")
        page.get_by_text("log Z").first.wait_for()
        _inspect(page, 0.3)  # the warm-up
        for turn in range(1, rounds + 1):
            _add(seconds, _inspect(page, (0.3, 0.6)[turn % 2]))
    return [within(wait, seconds[wait], most) for wait, most in BARS.items()]


def _add(seconds: dict[str, list[float]], waits: Waits) -> None:
    for wait, values in waits.items():
        seconds[wait] += values


def _train(page: Page, url: str) -> Waits:
    """Returns the waits of one training that is cancelled after a few snapshots."""
    page.goto(url)
    train = page.get_by_role("button", name="Train HEAT", exact=True)
    train.wait_for()
    page.wait_for_timeout(2000)
    train.click()
    acknowledged = since_touched(page, CAN_CANCEL)
    page.get_by_text("%, KL").wait_for()
    snapshots = [_next_snapshot(page) for _ in range(4)]
    page.get_by_role("button", name="Cancel", exact=True).click()
    cancelled = since_touched(page, WAS_CANCELLED)
    return {ACKNOWLEDGED: [acknowledged], CANCELLED: [cancelled], SNAPSHOT: snapshots}


def _next_snapshot(page: Page) -> float:
    """Returns the seconds until the next snapshot."""
    before = page.get_by_text("%, KL").inner_text()
    start = time.perf_counter()
    page.wait_for_function(PROGRESS_MOVED, arg=before)
    return time.perf_counter() - start


def _inspect(page: Page, share: float) -> Waits:
    """Returns the waits of inspecting a landscape, which is left as it was.

    Args:
        share: of the third layer's width at which it is clicked.
    """
    page.wait_for_timeout(1500)
    page.get_by_text("surface", exact=True).click()
    to_surface = since_touched(page, f"() => !({IS_MAP})()")
    page.wait_for_timeout(1000)
    page.get_by_text("contour", exact=True).click()
    to_contour = since_touched(page, IS_MAP)
    page.wait_for_timeout(1000)

    zoomed = []
    for factor in ("2 ×", "1 ×"):
        picture = page.evaluate(PICTURE)
        page.get_by_text(factor, exact=True).click()
        zoomed.append(since_touched(page, f"before => ({PICTURE})() !== before", picture))
        page.wait_for_timeout(1000)

    box = page.locator(".panels canvas").nth(2).bounding_box()
    assert box is not None
    heading = page.locator("h3").first.inner_text()
    page.mouse.click(box["x"] + share * box["width"], box["y"] + 0.4 * box["height"])
    point = since_touched(page, HEADING_CHANGED, heading)
    return {REDRAWN: [to_surface, to_contour], ZOOMED: zoomed, POINT: [point]}
