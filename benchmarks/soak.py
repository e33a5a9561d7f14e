"""Ten people at once: `python -m benchmarks.soak [--sessions 10] [--minutes 5]`.

Needs Chromium, and Linux for the memory. Every session is a browser context of its own in one
Chromium. One after the other they go to another page or press a button (train, pause, step, cancel,
next …), at random from a seed, while all of them stay connected and poll. Printed: what they did,
what went wrong, and the server's memory at the start, at its peak, and after all have gone.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .start import started

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

BUTTONS = ("Train", "Pause", "Play", "Step", "Cancel", "Reset", "Next", "Back")
ICONS = ("play_arrow", "pause", "skip_next", "stop", "restart_alt")
PRESSED = re.compile(rf"^({'|'.join(ICONS)})?\s*(Train |{'|'.join(BUTTONS[1:])})")
PAGE_LINK = '[data-testid="stTopNavLink"]'
FLAGS = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage"]
# Seconds: the server keeps a session that was closed for two minutes, in case it comes back.
AFTERWARDS = 150


@dataclass
class Record:
    """What the sessions did, and what went wrong.

    Args:
        actions: {action: how often}.
        errors: in a line each.
    """

    actions: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)


@dataclass
class Memory:
    """Memory of the server, in MiB: before the sessions, with them, and after they have gone."""

    start: float
    peak: float
    closed: float
    after: float


def main() -> int:
    """Returns 0 if nothing went wrong, 1 if something did, 2 without Chromium."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description="Many sessions at once, for minutes."
    )
    parser.add_argument("--sessions", type=int, default=10, help="%(default)s")
    parser.add_argument("--minutes", type=float, default=5.0, help="%(default)s")
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        print("no chromium on this machine")
        return 2
    from playwright.sync_api import sync_playwright

    record = Record()
    with (
        tempfile.TemporaryFile() as log,
        sync_playwright() as playwright,
        started(log) as (url, pid),
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        memory = _soak(browser, url, pid, options, record)
        browser.close()
        record.errors += _server_errors(log)
    _report(options, record, memory)
    return int(bool(record.errors))


def _soak(
    browser: Browser, url: str, pid: int, options: argparse.Namespace, record: Record
) -> Memory:
    """Lets all sessions loose on the server; returns its memory."""
    # Somebody has been here before: imports and caches are there.
    _run_sessions(browser, url, 1, 0.5, Record())
    start = _megabytes(pid)
    samples: list[float] = []
    threading.Thread(target=_sample_memory, args=(pid, samples), daemon=True).start()
    _run_sessions(browser, url, options.sessions, options.minutes, record)
    closed = _megabytes(pid)
    time.sleep(AFTERWARDS)
    # A server lets go when somebody comes or goes.
    _run_sessions(browser, url, 1, 0.1, Record())
    return Memory(start, max(samples), closed, _megabytes(pid))


def _server_errors(log: IO[bytes]) -> list[str]:
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()
    return [f"server: {line}" for line in lines if re.search(r"Traceback|Error|Exception", line)]


def _report(options: argparse.Namespace, record: Record, memory: Memory) -> None:
    actions = ", ".join(f"{action} {count}" for action, count in sorted(record.actions.items()))
    print(
        f"{options.sessions} sessions, {options.minutes:g} minutes: "
        f"{record.actions.total()} actions ({actions})"
    )
    print(
        f"server memory in MiB: {memory.start:.0f} at the start, {memory.peak:.0f} at its peak, "
        f"{memory.closed:.0f} when the last had gone, "
        f"{memory.after:.0f} after {AFTERWARDS} s more"
    )
    print(f"{len(record.errors)} errors", *record.errors[:20], sep="\n  ")


def _run_sessions(
    browser: Browser, url: str, sessions: int, minutes: float, record: Record
) -> None:
    """Opens sessions, lets each act in turn until the time is over, and closes them."""
    chance = random.Random(0)
    deadline = time.monotonic() + 60 * minutes
    pages = [_open(browser, url, session, record) for session in range(sessions)]
    for page in pages:
        page.locator(PAGE_LINK).first.wait_for(timeout=120_000)
    while time.monotonic() < deadline:
        session = chance.randrange(sessions)
        page = pages[session]
        try:
            record.actions[_act(page, chance)] += 1
            if page.locator('[data-testid="stException"]').count():
                record.errors.append(f"session {session}: an exception at {page.url}")
        except Exception as error:
            line = str(error).splitlines()[0]
            record.errors.append(f"session {session}: {type(error).__name__}: {line}")
        page.wait_for_timeout(chance.randint(100, 500))
    for page in pages:
        page.context.close()


def _open(browser: Browser, url: str, session: int, record: Record) -> Page:
    """Returns the page of a new session."""

    def on_error(error: object) -> None:
        record.errors.append(f"session {session}, in the browser: {error}")

    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.on("pageerror", on_error)
    page.goto(f"{url}/?preset=quick&seed={session % 4}")
    return page


def _act(page: Page, chance: random.Random) -> str:
    """Goes to another page, or presses one of the buttons there; returns what it did."""
    if chance.random() < 0.3:
        link = chance.choice(page.locator(PAGE_LINK).all())
        title = link.inner_text().splitlines()[-1]
        link.click(timeout=30_000)
        return f"to {title}"
    buttons = _pressable(page)
    if not buttons:
        return "looked"
    text, button = chance.choice(buttons)
    try:
        button.click(timeout=3000)
    except Exception as error:
        if type(error).__name__ != "TimeoutError":
            raise
        return "too late"  # the page has drawn itself anew meanwhile
    return next(name for name in BUTTONS if name in text)


def _pressable(page: Page) -> Sequence[tuple[str, Locator]]:
    """Returns (text, button) of the buttons that can be pressed now."""
    visible = [
        (button.inner_text(), button)
        for button in page.get_by_role("button").all()
        if button.is_visible()
    ]
    return [
        (text, button) for text, button in visible if PRESSED.match(text) and button.is_enabled()
    ]


def _megabytes(pid: int) -> float:
    """Returns the memory of a process, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kilobytes = next(line for line in lines if line.startswith("VmRSS")).split()[1]
    return int(kilobytes) / 1024


def _sample_memory(pid: int, samples: list[float]) -> None:
    while Path(f"/proc/{pid}").exists():
        samples.append(_megabytes(pid))
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
