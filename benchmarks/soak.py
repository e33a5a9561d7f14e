"""Ten people at once: `python -m benchmarks.soak [--sessions 10] [--minutes 5]`. Needs Chromium, and Linux for the memory.

Every session is a browser context of its own in one Chromium. One after the other they go to another room or press a button
(train, pause, step, cancel, next …), at random from a seed, while all of them stay connected and poll. Printed: what they
did, what went wrong, and the server's memory at the start, at its peak, and after all have gone.
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
from pathlib import Path
from typing import TYPE_CHECKING

from .start import started

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PRESSED = re.compile(
    r"^(play_arrow|pause|skip_next|stop|restart_alt)?\s*(Train |Pause|Play|Step|Cancel|Reset|Next|Back)"
)
ROOM = '[data-testid="stTopNavLink"]'
AFTERWARDS = 150  # seconds: the server keeps a session that was closed for two minutes, in case it comes back


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

    did, wrong, memory = Counter(), [], []
    with (
        tempfile.TemporaryFile() as log,
        sync_playwright() as playwright,
        started(log) as (url, pid),
    ):
        flags = [
            "--no-sandbox",
            "--disable-gpu",
            "--enable-unsafe-swiftshader",
            "--disable-dev-shm-usage",
        ]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        _soak(
            browser, url, 1, 0.5, Counter(), []
        )  # somebody has been here before: imports and caches are there
        start = _megabytes(pid)
        threading.Thread(target=_watch, args=(pid, memory), daemon=True).start()
        _soak(browser, url, options.sessions, options.minutes, did, wrong)
        closed = _megabytes(pid)
        time.sleep(AFTERWARDS)
        _soak(browser, url, 1, 0.1, Counter(), [])  # a server lets go when somebody comes or goes
        after, peak = _megabytes(pid), max(memory)
        browser.close()
        log.seek(0)
        lines = log.read().decode(errors="replace").splitlines()
        wrong += [
            f"server: {line}" for line in lines if re.search(r"Traceback|Error|Exception", line)
        ]
    print(
        f"{options.sessions} sessions, {options.minutes:g} minutes: {sum(did.values())} actions ({_list(did)})"
    )
    print(
        f"server memory in MiB: {start:.0f} at the start, {peak:.0f} at its peak, {closed:.0f} when the last had gone,",
        end=" ",
    )
    print(f"{after:.0f} after {AFTERWARDS} s more")
    print(f"{len(wrong)} errors", *wrong[:20], sep="\n  ")
    return int(bool(wrong))


def _soak(
    browser: Browser, url: str, sessions: int, minutes: float, did: Counter[str], wrong: list[str]
) -> None:
    """Opens sessions, lets each do something in turn until the time is over, and closes them."""
    chance, until, pages = random.Random(0), time.monotonic() + 60 * minutes, []
    for session in range(sessions):
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.on(
            "pageerror",
            lambda error, session=session: wrong.append(
                f"session {session}, in the browser: {error}"
            ),
        )
        page.goto(f"{url}/?preset=quick&seed={session % 4}")
        pages.append(page)
    for page in pages:
        page.locator(ROOM).first.wait_for(timeout=120_000)
    while time.monotonic() < until:
        session = chance.randrange(sessions)
        try:
            did[_act(pages[session], chance)] += 1
            if pages[session].locator('[data-testid="stException"]').count():
                wrong.append(f"session {session}: an exception at {pages[session].url}")
        except Exception as error:
            wrong.append(f"session {session}: {type(error).__name__}: {str(error).splitlines()[0]}")
        pages[session].wait_for_timeout(chance.randint(100, 500))
    for page in pages:
        page.context.close()


def _act(page: Page, chance: random.Random) -> str:
    """Goes to another room, or presses one of the buttons that are there. Returns what it did."""
    if chance.random() < 0.3:
        room = chance.choice(page.locator(ROOM).all())
        name = room.inner_text().splitlines()[-1]
        room.click(timeout=30_000)
        return f"to {name}"
    there = [
        (button.inner_text(), button)
        for button in page.get_by_role("button").all()
        if button.is_visible()
    ]
    fit = [(text, button) for text, button in there if PRESSED.match(text) and button.is_enabled()]
    if not fit:
        return "looked"
    text, button = chance.choice(fit)
    try:
        button.click(timeout=3000)
    except Exception as error:
        if type(error).__name__ != "TimeoutError":
            raise
        return "too late"  # the page has drawn itself anew meanwhile
    return next(
        word
        for word in ("Train", "Pause", "Play", "Step", "Cancel", "Reset", "Next", "Back")
        if word in text
    )


def _list(did: Counter[str]) -> str:
    return ", ".join(f"{what} {many}" for what, many in sorted(did.items()))


def _megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def _watch(pid: int, memory: list[float]) -> None:
    while Path(f"/proc/{pid}").exists():
        memory.append(_megabytes(pid))
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
