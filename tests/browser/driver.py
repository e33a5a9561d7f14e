"""A running app and a real browser, for journeys and pictures. The browser is the system's Chromium."""

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
    from playwright.sync_api import BrowserContext, Page

ROOT = Path(__file__).resolve().parents[2]
_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
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
JOURNEY = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on this machine (.ci/run installs one)"
    ),
    pytest.mark.filterwarnings("ignore"),  # playwright's own
]  # the marks of a file of journeys
WITH_A_PACK = [
    *JOURNEY,
    pytest.mark.skipif(
        not [*ROOT.glob("assets/packs/*/card.json")], reason="no pack in assets/packs"
    ),
]
MOST = 300_000  # bytes an interaction
IDLE = """() => {
    const app = document.querySelector('[data-testid="stApp"]');
    if (!app || app.getAttribute('data-test-connection-state') === 'INITIAL') return false;
    if ((app.getAttribute('data-test-script-state') || 'notRunning') !== 'notRunning') return false;
    if (document.querySelector('[data-testid="stSpinner"],[data-testid="stSkeleton"]')) return false;
    return [...document.querySelectorAll('[data-testid="stPlotlyChart"]')].every(chart => {
        const plot = chart.querySelector('.js-plotly-plot');
        return plot && plot._fullLayout && plot.querySelector('.main-svg');
    });
}"""


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Runs `streamlit run app/main.py` on a free port and gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = [
        "--server.port",
        str(port),
        "--server.address",
        "127.0.0.1",
        "--server.headless",
        "true",
    ]
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", "streamlit", "run", "app/main.py", *flags]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
        try:
            _wait_healthy(f"http://127.0.0.1:{port}", process, log)
            yield f"http://127.0.0.1:{port}"
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
def browser(width: int = 1440, height: int = 1000, dark: bool = False) -> Iterator[BrowserContext]:
    """Gives a fresh headless browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(120_000)
        yield context
        chromium.close()


class Wire:
    """Counts what goes over a page's websocket, in bytes, and how often the page speaks."""

    def __init__(self, page: Page) -> None:
        self.received, self.sent, self.messages = 0, 0, 0
        page.on("websocket", self._listen)

    def _listen(self, socket) -> None:
        socket.on("framereceived", lambda data: self._add(len(data)))
        socket.on("framesent", lambda data: self._sent(len(data)))

    def _add(self, size: int) -> None:
        self.received += size

    def _sent(self, size: int) -> None:
        self.sent += size
        self.messages += 1

    def reset(self) -> None:
        self.received = self.sent = self.messages = 0


def settle(page: Page, milliseconds: int = 500) -> None:
    """Waits until the script has run, nothing spins and every chart is drawn."""
    page.wait_for_selector('[data-testid="stApp"]')
    page.wait_for_function(IDLE, timeout=240_000)
    page.wait_for_timeout(milliseconds)


def all_scored(page: Page) -> None:
    """Waits until the Detectors page shows the last detector."""
    page.get_by_text("Composed catches").wait_for(timeout=600_000)
    page.get_by_text("Fitting the other detectors").wait_for(state="hidden", timeout=60_000)
    settle(page)
