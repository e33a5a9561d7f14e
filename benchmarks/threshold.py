"""The Threshold lab in a browser: a frame while the line is dragged, and from letting it go until every number is new.

Two detectors are compared meanwhile, on the first pack that ships. A frame is the script's work and the layout it causes.
"""

from __future__ import annotations

import shutil
import statistics

from app import session

from .start import APP, serving
from .timing import Options, Row

FRAME, RELEASE, BYTES = "Threshold lab: a frame while dragging, p95", "letting go to every number, p95", "bytes of letting go"
WATCH = """() => {
    const ask = window.requestAnimationFrame.bind(window);
    window.frames_ms = [];
    window.requestAnimationFrame = draw => ask(now => {
        const start = performance.now();
        draw(now);
        document.body.getBoundingClientRect();
        if (window.dragging) window.frames_ms.push(performance.now() - start);
    });
    addEventListener('pointerdown', () => { window.dragging = true; }, true);
    addEventListener('pointerup', () => { window.dragging = false; window.let_go = performance.now(); }, true);
}"""
NEW = """before => new Promise(done => {
    const look = () => {
        const app = document.querySelector('[data-testid="stApp"]');
        const said = document.querySelector('h3').innerText;
        if (said !== before && app.dataset.testScriptState === 'notRunning') done(performance.now() - window.let_go);
        else setTimeout(look, 5);
    };
    look();
})"""


def measure(options: Options) -> list[Row]:
    """Returns a row for the frames, one for letting go, one for its bytes."""
    chromium = shutil.which("chromium")
    if chromium is None or not APP.exists() or not session.packs():
        return [Row(FRAME, None, "", None, None, "<= 0.016 s; needs chromium, the app and a pack", None)]
    from playwright.sync_api import sync_playwright

    with serving() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 2600})
        page.add_init_script(f"({WATCH})()")
        page.goto(f"{url}/threshold_lab?scorer=HEAT&against=MoG")
        page.locator("h3", has_text="MoG keeps").wait_for(timeout=600_000)
        page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 2", timeout=120_000)
        page.wait_for_timeout(2000)
        frames, releases, sizes = _drag(page, 4 * options.rounds)
        browser.close()
    least = f"<= 300 KB; {max(sizes) / 1000:.0f} KB"
    return [
        _within(FRAME, frames, 0.016), _within(RELEASE, releases, 0.3),
        Row(BYTES, None, "", None, None, least, max(sizes) <= 300_000),
    ]  # fmt: skip


def _drag(page, times: int) -> tuple[list[float], list[float], list[int]]:
    """Returns seconds of every frame, seconds of every release, and bytes received after each."""
    received: list[int] = []
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.on("Network.webSocketFrameReceived", lambda event: received.append(len(event["response"]["payloadData"]) * 3 // 4))
    slider = page.get_by_role("slider", name="Threshold")
    plot = slider.locator("..").bounding_box()
    releases, sizes, y = [], [], plot["y"] + 40
    for turn in range(times):
        at = slider.bounding_box()
        page.mouse.move(at["x"] + at["width"] / 2, y)
        page.mouse.down()
        share = 0.35 + 0.4 * ((turn * 0.618) % 1)
        page.mouse.move(plot["x"] + share * plot["width"], y, steps=30)
        page.wait_for_timeout(50)
        before = page.locator("h3").first.inner_text()
        received.clear()
        page.mouse.up()
        releases.append(page.evaluate(NEW, before) / 1000)
        page.wait_for_timeout(300)
        sizes.append(sum(received))
    return [ms / 1000 for ms in page.evaluate("window.frames_ms")], releases, sizes


def _within(what: str, seconds: list[float], most: float) -> Row:
    slow = statistics.quantiles(seconds, n=20)[-1]
    return Row(
        what, slow, "", None, None, f"<= {most} s (median {statistics.median(seconds):.4f} s of {len(seconds)})", slow <= most
    )
