"""The Feature map in a browser: from the end of a lasso to its counts and to its first images, a click to the image, bytes.

On the first pack that ships, by MSP, while the other detectors are being fitted.
"""

from __future__ import annotations

import shutil

from app import session

from .start import APP, serving
from .timing import Options, Row, within

COUNTS, IMAGES, LOOK = "Feature map: lasso to counts", "lasso to the first row of images", "click to the inspector"
BARS = {COUNTS: 0.4, IMAGES: 0.8, LOOK: 0.5}
BYTES = "bytes of a lasso, received"
FLAGS = ["--no-sandbox", "--disable-gpu"]
# What a page and the components within it say where a selector fits, and of which item.
SAID = """seen => [document, ...[...document.querySelectorAll('*')].map(e => e.shadowRoot).filter(Boolean)]
    .flatMap(root => [...root.querySelectorAll(seen)]).map(e => (e.dataset.item ?? '') + e.innerText).join()"""
# The seconds from letting go until that has changed, which takes less than a minute.
WAIT = f"""([seen, before]) => new Promise((done, fail) => {{
    const said = {SAID};
    const look = () => {{
        const now = said(seen);
        if (now && now !== before) done((performance.now() - window.let_go) / 1000);
        else if (performance.now() - window.let_go > 60_000) fail(new Error(`${{seen}} still says ${{now}}`));
        else setTimeout(look, 5);
    }};
    look();
}})"""


def measure(options: Options) -> list[Row]:
    """Returns a row for each wait, and one for bytes."""
    chromium = shutil.which("chromium")
    if chromium is None or not APP.exists() or not session.packs():
        return [Row(COUNTS, None, "", None, None, "<= 0.4 s; needs chromium, the app and a pack", None)]
    from playwright.sync_api import sync_playwright

    with serving() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 2000})
        page.add_init_script("addEventListener('pointerup', () => { window.let_go = performance.now(); }, true)")
        page.goto(f"{url}/feature_map?scorer=MSP&colour=score")
        page.locator(".legend", has_text="MSP: share").wait_for(timeout=300_000)
        page.wait_for_timeout(3000)
        seconds, sizes = _lassos(page, 4 * options.rounds)
        browser.close()
    most = max(sizes)
    bytes_row = Row(BYTES, None, "", None, None, f"<= 300 KB; {most / 1000:.0f} KB", most <= 300_000)
    return [*(within(what, seconds[what], bar) for what, bar in BARS.items()), bytes_row]


def _lassos(page, times: int) -> tuple[dict[str, list[float]], list[int]]:
    """Returns seconds of every wait, and bytes received after every lasso."""
    received: list[int] = []
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.on("Network.webSocketFrameReceived", lambda event: received.append(len(event["response"]["payloadData"]) * 3 // 4))
    seconds: dict[str, list[float]] = {what: [] for what in BARS}
    sizes = []
    for turn in range(2 * times):  # of two lassos, the one is timed to its counts, the other to its images
        what, seen = ((COUNTS, "h3"), (IMAGES, ".tiles button"))[turn % 2]
        before = page.evaluate(SAID, seen)
        received.clear()
        _draw(page, (0.2, 0.35, 0.5)[turn % 3])  # far enough apart that other images come first
        seconds[what].append(page.evaluate(WAIT, [seen, before]))
        page.wait_for_timeout(800)
        sizes.append(sum(received))
    for _ in range(times):
        page.locator(".tiles button").nth(3).click()
        seconds[LOOK].append(page.evaluate(WAIT, ["[role=dialog] h2, [role=dialog] p", ""]))
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
