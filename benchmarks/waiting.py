"""A browser that is open on a running app: how long after the last touch the page shows something, and what that weighs."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from app.pack.data import offered_packs

from .start import APP, serving
from .timing import Row

if TYPE_CHECKING:
    from playwright.sync_api import Page

PLAIN = ("--no-sandbox", "--disable-gpu")
LIMIT = 60_000  # milliseconds after which nothing is expected any more
TOUCH = """for (const kind of ['pointerup', 'keydown'])
    addEventListener(kind, () => { window.touched = performance.now(); }, true);"""
# What a page and the components within it say where a selector fits, and of which item.
SAID = """seen => [document, ...[...document.querySelectorAll('*')].map(e => e.shadowRoot).filter(Boolean)]
    .flatMap(root => [...root.querySelectorAll(seen)]).map(e => (e.dataset.item ?? '') + e.innerText).join()"""
NEW = f"([seen, before]) => {{ const now = ({SAID})(seen); return now && now !== before; }}"
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
    """Yields the address of a server of the app, and a page that notes when it was touched; `script` runs in it first."""
    from playwright.sync_api import sync_playwright

    with serving() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(flags)
        )
        page = browser.new_page(viewport={"width": width, "height": height})
        page.add_init_script(TOUCH + script)
        yield url, page
        browser.close()


def since_touched(page: Page, holds: str, given: Any = None) -> float:
    """Returns the seconds from the last touch until `holds(given)`, a function in JavaScript, is true in the page."""
    wait = f"""given => new Promise((done, fail) => {{
        const holds = {holds};
        const look = () => {{
            const now = performance.now() - window.touched;
            if (holds(given)) done(now / 1000);
            else if (now > {LIMIT}) fail(new Error('it did not come: ' + JSON.stringify(given)));
            else setTimeout(look, 5);
        }};
        look();
    }})"""
    return page.evaluate(wait, given)


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
    return Row(
        what,
        None,
        "",
        None,
        None,
        f"<= {most / 1000:.0f} KB; {max(sizes) / 1000:.0f} KB",
        max(sizes) <= most,
    )
