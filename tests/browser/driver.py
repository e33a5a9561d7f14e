"""A running app and a real browser, for journeys and pictures.

The browser is the system's Chromium.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page, WebSocket

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("chromium", "chromium-browser", "google-chrome")
INSTALLED = [path for path in map(shutil.which, COMMANDS) if path]
CHROMIUM = os.environ.get("CHROMIUM") or next(iter(INSTALLED), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
]
# The marks of a file of journeys, and of one that needs a pack.
JOURNEY = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on this machine (.ci/run installs one)"
    ),
    pytest.mark.filterwarnings("ignore"),  # playwright's own
]
WITH_A_PACK = [
    *JOURNEY,
    pytest.mark.skipif(
        not [*ROOT.glob("assets/packs/*/card.json")], reason="no pack in assets/packs"
    ),
]
MAX_BYTES = 300_000  # of an interaction
QUICK_APP = ("-m", "tests.browser.quick_app")  # what starts an app with short trainings
STILL = """addEventListener('DOMContentLoaded', () => {
    const style = document.createElement('style');
    style.textContent = `[data-testid="stStatusWidget"] { display: none }
        [data-testid="stSpinner"] *, [data-testid="stSkeleton"] { animation: none !important }`;
    document.head.append(style);
})"""
"""What turns while one waits stands still: drawing it takes a processor of its own."""
IDLE = """() => {
    const app = document.querySelector('[data-testid="stApp"]');
    if (!app || app.getAttribute('data-test-connection-state') === 'INITIAL') return false;
    const script = app.getAttribute('data-test-script-state') || 'notRunning';
    if (script !== 'notRunning') return false;
    const waiting = '[data-testid="stSpinner"],[data-testid="stSkeleton"]';
    if (document.querySelector(waiting)) return false;
    return [...document.querySelectorAll('[data-testid="stPlotlyChart"]')].every(chart => {
        const plot = chart.querySelector('.js-plotly-plot');
        return plot && plot._fullLayout && plot.querySelector('.main-svg');
    });
}"""


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Runs `streamlit run app/main.py` on a free port and gives its address."""
    with server_process() as (url, _):
        yield url


@contextlib.contextmanager
def server_process(*start: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """Gives the address of a server and its process, as `server` does.

    Args:
        start: arguments of Python that start Streamlit, where they are not `-m streamlit`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = [
        f"--server.port={port}",
        "--server.address=127.0.0.1",
        "--server.headless=true",
    ]
    with tempfile.TemporaryFile() as log:
        streamlit = start or ("-m", "streamlit")
        command = [sys.executable, *streamlit, "run", "app/main.py", *flags]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
        try:
            _wait_healthy(f"http://127.0.0.1:{port}", process, log)
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:  # a script is still at work; the server waits for it
                process.kill()
                process.wait()


def _wait_healthy(url: str, process: subprocess.Popen, log) -> None:
    for _ in range(600):
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer,
        ):
            if answer.read() == b"ok":
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    log.seek(0)
    raise RuntimeError(f"the server did not start: {log.read()[-2000:].decode(errors='replace')}")


@contextlib.contextmanager
def browser(
    width: int = 1440, height: int = 1000, dark: bool = False, phone: bool = False
) -> Iterator[BrowserContext]:
    """Gives a fresh headless browser; that of a phone knows fingers alone."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            is_mobile=phone,
            has_touch=phone,
        )
        context.set_default_timeout(120_000)
        context.add_init_script(STILL)
        yield context
        chromium.close()


class Wire:
    """Counts what goes over a page's websocket, in bytes, and how often the page speaks."""

    def __init__(self, page: Page) -> None:
        self.reset()
        page.on("websocket", self._listen)

    def reset(self) -> None:
        """Begins anew."""
        self.received = 0
        self.sent = 0
        self.messages = 0

    def _listen(self, websocket: WebSocket) -> None:
        websocket.on("framereceived", self._count_received)
        websocket.on("framesent", self._count_sent)

    def _count_received(self, data: str | bytes) -> None:
        self.received += len(data)

    def _count_sent(self, data: str | bytes) -> None:
        self.sent += len(data)
        self.messages += 1


def page_names() -> list[str]:
    """Returns the names of all pages: every folder of app with a `page.py`."""
    return sorted(path.parent.name for path in (ROOT / "app").glob("*/page.py"))


def button(page: Page, name: str) -> Locator:
    """Returns the button of exactly this name."""
    return page.get_by_role("button", name=name, exact=True)


def watch_errors(page: Page) -> list[str]:
    """Returns a list that gets every error of the page's scripts."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    return errors


def settle(page: Page, milliseconds: int = 500) -> None:
    """Waits until the script has run, nothing spins and every chart is drawn."""
    page.wait_for_selector('[data-testid="stApp"]')
    page.wait_for_function(IDLE, timeout=240_000)
    page.wait_for_timeout(milliseconds)


def all_scored(page: Page) -> None:
    """Waits until the Detectors page shows the last detector."""
    page.get_by_text("HEAT catches").wait_for(timeout=600_000)
    page.get_by_text("Fitting the other detectors").wait_for(state="hidden", timeout=60_000)
    settle(page)
