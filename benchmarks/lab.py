"""What one waits for in the Toy lab and the Landscape, from a click to what it brings, in a browser without a GPU."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .timing import Options, Row, within
from .waiting import can_visit, since_touched, unvisited, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Page

BARS = {
    "Toy lab: training acknowledged": 0.3,
    "training cancelled": 0.3,
    "a new frame of a training": 0.5,
    "Landscape: contour for surface, and back": 0.5,
    "zoomed": 0.5,
    "click on a layer to the sum spelled out": 0.5,
}
TRAINING, LOOKING = list(BARS)[:3], list(BARS)[3:]
TRAINED = "preset=quick&job=toy.crosses9.HEAT.quick.0"
FIRST = """() => {
    const within = e => [...(e.shadowRoot?.querySelectorAll('.panels canvas') ?? [])];
    const [canvas] = [...document.querySelectorAll('*')].flatMap(within);
"""  # begins a function of the first layer's canvas
CORNER = f"""{FIRST}
    const at = [0.15 * canvas.width, 0.06 * canvas.height].map(Math.round);
    return canvas.getContext('2d').getImageData(...at, 1, 1).data[3] > 0;
}}"""  # a map reaches it, a block does not
PICTURE = FIRST + "return canvas.toDataURL(); }"


def measure(options: Options) -> list[Row]:
    """Returns a row for each wait."""
    if not can_visit():
        return unvisited(TRAINING[0], "<= 0.3 s")
    seconds: dict[str, list[float]] = {what: [] for what in BARS}
    with visiting(1280, 1000) as (url, page):
        for seed in range(4 * options.rounds + 1):
            waits = _train(page, f"{url}/?seed={seed}")
            if seed:  # the first round is the warm-up
                for what, wait in zip(TRAINING, waits, strict=True):
                    seconds[what] += wait
        page.goto(f"{url}/landscape?{TRAINED}")
        page.get_by_text("log Z").first.wait_for()
        for turn in range(4 * options.rounds + 1):
            waits = _look(page, (0.3, 0.6)[turn % 2])
            if turn:
                for what, wait in zip(LOOKING, waits, strict=True):
                    seconds[what] += wait
    return [within(what, seconds[what], most) for what, most in BARS.items()]


def _train(page: Page, url: str) -> tuple[list[float], list[float], list[float]]:
    """Returns seconds of the waits of one training."""
    page.goto(url)
    button, cancel = (
        page.get_by_role("button", name=name, exact=True) for name in ("Train HEAT", "Cancel")
    )
    button.wait_for()
    page.wait_for_timeout(2000)
    button.click()
    there = since_touched(
        page,
        "() => [...document.querySelectorAll('button')].some(b => b.innerText.endsWith('Cancel'))",
    )
    page.get_by_text("%, KL").wait_for()
    frames = [_next(page) for _ in range(4)]
    cancel.click()
    gone = since_touched(
        page,
        "() => document.querySelector('[data-testid=stMain]').innerText.includes('was cancelled')",
    )
    return [there], [gone], frames


def _next(page: Page) -> float:
    """Returns the seconds until the next frame."""
    before, start = page.get_by_text("%, KL").inner_text(), time.perf_counter()
    script = "before => ![...document.querySelectorAll('[data-testid=stProgress] p')].some(p => p.innerText === before)"
    page.wait_for_function(script, arg=before)
    return time.perf_counter() - start


def _look(page: Page, share: float) -> tuple[list[float], list[float], list[float]]:
    """Returns seconds of the waits of looking at a landscape, which is left as it was found."""
    page.wait_for_timeout(1500)
    page.get_by_text("surface", exact=True).click()
    there = since_touched(page, f"() => !({CORNER})()")
    page.wait_for_timeout(1000)
    page.get_by_text("contour", exact=True).click()
    back = since_touched(page, CORNER)
    page.wait_for_timeout(1000)
    zoomed = []
    for factor in ("2 ×", "1 ×"):
        before = page.evaluate(PICTURE)
        page.get_by_text(factor, exact=True).click()
        zoomed.append(since_touched(page, f"before => ({PICTURE})() !== before", before))
        page.wait_for_timeout(1000)
    box = page.locator(".panels canvas").nth(2).bounding_box()
    assert box is not None
    before = page.locator("h3").first.inner_text()
    page.mouse.click(box["x"] + share * box["width"], box["y"] + 0.4 * box["height"])
    spelled = since_touched(
        page, "before => document.querySelector('h3').innerText !== before", before
    )
    return [there, back], zoomed, [spelled]
