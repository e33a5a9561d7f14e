"""Cold starts: `import heat_core`, and the app's first page from a server that was not running."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .timing import Options, Row, take_turns, within

ROOT = Path(__file__).resolve().parent.parent
APP = ROOT / "app" / "main.py"
IMPORT = "`import heat_core`, before torch"
PAGE = "first page of a cold server"
CONTENT = (
    '[data-testid="stMain"] '
    ':is(h1, h2, h3, [data-testid="stMarkdown"], [data-testid="stButtonGroup"])'
)


def measure(options: Options) -> list[Row]:
    """Returns a row for the import and one for the page."""
    return [_import(options.rounds), _page(options.rounds)]


def _import(rounds: int) -> Row:
    """Returns a row: a fresh interpreter that imports the package, less one that does not."""
    loaded = _python("import heat_core, sys; print('torch' in sys.modules)")
    assert loaded.strip() == "False", "import heat_core brings torch with it"
    contenders = {"with": lambda: _python("import heat_core"), "bare": lambda: _python("pass")}
    seconds = take_turns(contenders, 2 * rounds)
    pairs = zip(seconds["with"], seconds["bare"], strict=True)
    return within(IMPORT, [imported - bare for imported, bare in pairs], 0.2)


def _python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _page(rounds: int) -> Row:
    """Returns a row: from the start of the server until an open browser has painted the page."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return Row(PAGE, None, "", None, None, "<= 5 s; no chromium on this machine", None)
    if not APP.exists():
        return Row(PAGE, None, "", None, None, "<= 5 s; no app/main.py", None)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        seconds = []
        for _ in range(rounds):
            page = browser.new_context().new_page()
            start = time.perf_counter()
            with serving() as url:
                page.goto(url, wait_until="commit")
                page.locator(CONTENT).first.wait_for(state="visible", timeout=120_000)
                seconds.append(time.perf_counter() - start)
                page.close()
        browser.close()
    return within(PAGE, seconds, 5.0)


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Yields the address of a server of the app in a process of its own, once it is healthy."""
    with started(subprocess.DEVNULL) as (url, _):
        yield url


@contextlib.contextmanager
def started(log: int | IO[bytes], patience: float = 120) -> Iterator[tuple[str, int]]:
    """Yields the address of a server, as `serving` does, and the id of its process.

    Args:
        log: where its output goes.
        patience: seconds until it must be healthy.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    flags = [
        f"--server.port={port}",
        "--server.address=127.0.0.1",
        "--server.headless=true",
    ]
    command = [sys.executable, "-m", "streamlit", "run", str(APP), *flags]
    process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + patience
        while not _is_healthy(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    "the server did not start; try `streamlit run app/main.py` by hand."
                )
            time.sleep(0.02)
        yield url, process.pid
    finally:
        process.kill()
        process.wait(30)


def _is_healthy(url: str) -> bool:
    try:
        return urllib.request.urlopen(f"{url}/_stcore/health", timeout=2).read() == b"ok"
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
