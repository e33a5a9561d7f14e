"""What one waits for in the Toy lab and the Landscape, from a click to what it brings, in a browser that is open."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .start import serving
from .timing import Options, Row, within

if TYPE_CHECKING:
    from playwright.sync_api import Page

BARS = {
    "training acknowledged": 0.3,
    "training cancelled": 0.3,
    "a new frame of a training": 0.5,
    "energy layers: contour for surface (WebGL without a GPU), and back": 0.5,
    "energy layers: zoomed": 0.5,
    "click on a landscape to the sum spelled out": 0.5,
}
TRAINED = "preset=quick&job=toy.crosses9.HEAT.quick.0"


def measure(options: Options) -> list[Row]:
    """Returns a row for each wait."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return [
            Row(what, None, "", None, None, f"<= {most} s; no chromium on this machine", None) for what, most in BARS.items()
        ]
    from playwright.sync_api import sync_playwright

    seconds: dict[str, list[float]] = {what: [] for what in BARS}
    with sync_playwright() as playwright, serving() as url:
        flags = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
        for seed in range(options.rounds + 1):
            waits = _train(page, f"{url}/?seed={seed}") | _look(
                page, f"{url}/landscape?preset=quick&job=toy.crosses9.HEAT.quick.0"
            )
            if seed:  # the first round is the warm-up
                for what, wait in waits.items():
                    seconds[what].append(wait)
        browser.close()
    return [within(what, seconds[what], most) for what, most in BARS.items()]


def _timed(act: Callable[[], object], seen: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    seen()
    return time.perf_counter() - start


def _train(page: Page, url: str) -> dict[str, float]:
    page.goto(url)
    button, cancel = (page.get_by_role("button", name=name, exact=True) for name in ("Train HEAT", "Cancel"))
    button.wait_for()
    page.wait_for_timeout(2000)
    acknowledged = _timed(button.click, cancel.wait_for)
    page.get_by_text("%, KL").wait_for()
    frames = [_timed(lambda: None, lambda said=page.get_by_text("%, KL").inner_text(): _changed(page, said)) for _ in range(4)]
    cancelled = _timed(cancel.click, page.get_by_text("Training was cancelled").wait_for)
    what = list(BARS)[:3]
    return dict(zip(what, (acknowledged, cancelled, statistics.median(frames)), strict=True))


def _changed(page: Page, before: str) -> None:
    script = "before => ![...document.querySelectorAll('[data-testid=stProgress] p')].some(p => p.innerText === before)"
    page.wait_for_function(script, arg=before)


def _look(page: Page, url: str) -> dict[str, float]:
    page.goto(url)
    page.get_by_text("log Z").first.wait_for()
    page.wait_for_timeout(3000)
    raised = page.locator(".gl-container canvas").nth(2)
    there = _timed(page.get_by_text("surface", exact=True).click, lambda: raised.wait_for(state="attached"))
    page.wait_for_timeout(2000)
    back = _timed(page.get_by_text("contour", exact=True).click, lambda: _none(page))
    page.wait_for_timeout(2000)
    zoomed = _timed(page.get_by_text("2 ×", exact=True).click, lambda: page.wait_for_function(
        "() => document.querySelector('.js-plotly-plot').layout.xaxis.range[1] < 4"))  # fmt: skip
    page.wait_for_timeout(2000)
    before = page.locator("h3").first.inner_text()
    box = page.locator(".js-plotly-plot .nsewdrag").nth(2).bounding_box()
    assert box is not None
    spelled = _timed(
        lambda: page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"]),
        lambda: page.wait_for_function("before => document.querySelector('h3').innerText !== before", arg=before),
    )
    return dict(zip(list(BARS)[3:], (max(there, back), zoomed, spelled), strict=True))


def _none(page: Page) -> None:
    page.wait_for_function("() => !document.querySelector('.gl-container canvas')")
