"""The inspector in a browser: from a click on a flip until the image is spelled out, on the first pack that ships."""

from __future__ import annotations

import shutil
import statistics

from app import session

from .start import APP, serving
from .timing import Options, Row

CLICK, BYTES = "click on an image to its inspector, p95", "bytes of looking at an image"
MOST = 0.5  # seconds
SHOWN = """() => new Promise(done => {
    const look = () => {
        const shown = document.querySelector('[role="dialog"]');
        if (shown && shown.innerText.includes('The nearest training images')) done(performance.now() - window.clicked);
        else setTimeout(look, 5);
    };
    look();
})"""


def measure(options: Options) -> list[Row]:
    """Returns a row for the clicks and one for their bytes."""
    chromium = shutil.which("chromium")
    if chromium is None or not APP.exists() or not session.packs():
        return [Row(CLICK, None, "", None, None, f"<= {MOST} s; needs chromium, the app and a pack", None)]
    from playwright.sync_api import sync_playwright

    with serving() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.add_init_script("addEventListener('pointerdown', () => { window.clicked = performance.now(); }, true)")
        page.goto(f"{url}/detectors")
        page.get_by_text("What is more than chance").wait_for(timeout=600_000)
        page.get_by_text("Click an image to look into it").wait_for(timeout=120_000)
        page.wait_for_timeout(3000)
        seconds, sizes = _look(page, 4 * options.rounds + 1)
        browser.close()
    seconds, sizes = seconds[1:], sizes[1:]  # the first one decodes the thumbnails and loads what draws the dialog
    slow, most = statistics.quantiles(seconds, n=20)[-1], max(sizes)
    said = f"<= {MOST} s (median {statistics.median(seconds):.3f} s of {len(seconds)})"
    return [
        Row(CLICK, slow, "", None, None, said, slow <= MOST),
        Row(BYTES, None, "", None, None, f"<= 300 KB; {most / 1000:.0f} KB", most <= 300_000),
    ]


def _look(page, times: int) -> tuple[list[float], list[int]]:
    """Returns seconds of every click until the image is spelled out, and bytes received after each."""
    received: list[int] = []
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.on("Network.webSocketFrameReceived", lambda event: received.append(len(event["response"]["payloadData"]) * 3 // 4))
    seconds, sizes = [], []
    for turn in range(times):
        tile = page.locator(".tiles button").nth(turn % 24)
        tile.scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        received.clear()
        tile.click()
        seconds.append(page.evaluate(SHOWN) / 1000)
        page.wait_for_timeout(500)
        sizes.append(sum(received))
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="hidden")
        page.wait_for_timeout(700)
    return seconds, sizes
