"""A browser on a running app: seconds from a touch to what it brings, and what that weighs."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from app.pack.data import offered_packs

from .start import APP, serving
from .timing import Row, within

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PLAIN = ("--no-sandbox", "--disable-gpu")
MOST_BYTES = 300_000  # of letting a line go
PATIENCE_MS = 60_000  # after which nothing is expected any more
TOUCH = """for (const kind of ['pointerup', 'keydown'])
    addEventListener(kind, () => { window.touched = performance.now(); }, true);"""
# Keeps in `frames_ms` how long each frame took while a pointer was down: script and layout.
TIME_FRAMES = """
    const ask = window.requestAnimationFrame.bind(window);
    window.frames_ms = [];
    window.requestAnimationFrame = draw => ask(now => {
        const start = performance.now();
        draw(now);
        document.body.getBoundingClientRect();
        if (window.dragging) window.frames_ms.push(performance.now() - start);
    });
    addEventListener('pointerdown', () => { window.dragging = true; }, true);
    addEventListener('pointerup', () => { window.dragging = false; }, true);"""
# The texts of a page and of the components within it where a selector fits, and of which item.
TEXTS = """selector => {
    const shadows = [...document.querySelectorAll('*')].map(e => e.shadowRoot).filter(Boolean);
    return [document, ...shadows]
        .flatMap(root => [...root.querySelectorAll(selector)])
        .map(e => (e.dataset.item ?? '') + e.innerText).join();
}"""
IS_NEW = f"""([selector, before]) => {{
    const texts = ({TEXTS})(selector);
    return texts && texts !== before;
}}"""
IDLE = "document.querySelector('[data-testid=\"stApp\"]').dataset.testScriptState === 'notRunning'"


def can_visit() -> bool:
    """Returns whether there are a Chromium, the app and a pack on this machine."""
    return bool(shutil.which("chromium") and APP.exists() and offered_packs())


def unvisited(what: str, bar: str) -> list[Row]:
    """Returns the row of a measurement that this machine cannot make."""
    return [Row(what, None, "", None, None, f"{bar}; needs chromium, the app and a pack", None)]


@contextlib.contextmanager
def visiting(
    width: int, height: int, flags: tuple[str, ...] = PLAIN, script: str = ""
) -> Iterator[tuple[str, Page]]:
    """Yields the address of a server of the app, and a page that notes when it was touched.

    Args:
        script: in JavaScript, runs in the page first.
    """
    from playwright.sync_api import sync_playwright

    with serving() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(flags)
        )
        page = browser.new_page(viewport={"width": width, "height": height})
        page.add_init_script(TOUCH + script)
        yield url, page
        browser.close()


def since_touched(page: Page, condition: str, argument: Any = None) -> float:
    """Returns the seconds from the last touch until a condition is true in the page.

    Args:
        condition: a function of the argument, in JavaScript.
    """
    wait = f"""argument => new Promise((done, fail) => {{
        const condition = {condition};
        const check = () => {{
            const waited = performance.now() - window.touched;
            if (condition(argument)) done(waited / 1000);
            else if (waited > {PATIENCE_MS})
                fail(new Error('it did not come: ' + JSON.stringify(argument)));
            else setTimeout(check, 5);
        }};
        check();
    }})"""
    return page.evaluate(wait, argument)


class Received:
    """Counts the bytes that come over a page's websocket."""

    def __init__(self, page: Page) -> None:
        self._sizes: list[int] = []
        network = page.context.new_cdp_session(page)
        network.send("Network.enable")
        network.on("Network.webSocketFrameReceived", self._add)

    def _add(self, event: dict) -> None:
        self._sizes.append(len(event["response"]["payloadData"]) * 3 // 4)

    def reset(self) -> None:
        """Begins anew."""
        self._sizes.clear()

    @property
    def total(self) -> int:
        """Since the last reset."""
        return sum(self._sizes)


def weighs(what: str, sizes: list[int], most: int) -> Row:
    """Returns a row for a bar in bytes, which the largest must meet."""
    largest = max(sizes)
    bar = f"<= {most / 1000:.0f} KB; {largest / 1000:.0f} KB"
    return Row(what, None, "", None, None, bar, largest <= most)


def drag_line(
    page: Page, line: Locator, times: int, shown: str, has_followed: str
) -> tuple[list[float], list[int]]:
    """Returns seconds of every release of a dragged line until the page has followed, and bytes.

    Args:
        line: the handle of the line, within its plot.
        times: how often it is dragged and let go.
        shown: in JavaScript, what the page shows of the line.
        has_followed: in JavaScript, whether the page has followed, of what it showed before.
    """
    received = Received(page)
    releases = []
    sizes = []
    for turn in range(times):
        line.scroll_into_view_if_needed()
        plot, handle = line.locator("..").bounding_box(), line.bounding_box()
        assert plot is not None
        assert handle is not None
        y = plot["y"] + plot["height"] / 3
        page.mouse.move(handle["x"] + handle["width"] / 2, y)
        page.mouse.down()
        share = 0.35 + 0.4 * ((turn * 0.618) % 1)
        page.mouse.move(plot["x"] + share * plot["width"], y, steps=30)
        page.wait_for_timeout(50)
        before = page.evaluate(shown)
        received.reset()
        page.mouse.up()
        releases.append(since_touched(page, has_followed, before))
        page.wait_for_timeout(500)
        sizes.append(received.total)
    return releases, sizes


def drag_rows(
    page: Page,
    line: Locator,
    times: int,
    shown: str,
    has_followed: str,
    bars: Mapping[str, float],
    what_weighs: str,
) -> list[Row]:
    """Returns rows of a line that is dragged: a frame, letting it go, the bytes of letting go.

    Args:
        page: that began with `TIME_FRAMES`.
        line, times, shown, has_followed: as `drag_line` takes them.
        bars: {what a frame is, what letting go is: seconds that its 95th percentile may take}.
        what_weighs: what the bytes are of.
    """
    releases, sizes = drag_line(page, line, times, shown, has_followed)
    frames = [milliseconds / 1000 for milliseconds in page.evaluate("window.frames_ms")]
    rows = [
        within(what, seconds, most)
        for (what, most), seconds in zip(bars.items(), (frames, releases), strict=True)
    ]
    return [*rows, weighs(what_weighs, sizes, MOST_BYTES)]
