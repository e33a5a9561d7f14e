"""Pages through Streamlit's AppTest: open, press, wait, read; and what a job can do in a test."""

from __future__ import annotations

import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

from app.job import Job
from app.jobs import JobQueue
from app.server import SERVER, is_connected

APP = Path(__file__).parents[2] / "app"
PAGE_NAMES = sorted(path.parent.name for path in APP.glob("*/page.py"))
"""The folder of every page."""


def app(**link: str) -> AppTest:
    """Opens the app at a link with these query parameters."""
    at = AppTest.from_file("../../app/main.py", default_timeout=120)
    for key, value in link.items():
        at.query_params[key] = value
    return opened(at)


def opened(at: AppTest) -> AppTest:
    """Runs the page, which must not fail."""
    at.run()
    assert not at.exception
    return at


def wait(at: AppTest, is_done, seconds: float = 240) -> AppTest:
    """Reruns the page until `is_done(at)`, as the page itself does in a browser.

    It reruns less and less often: what is waited for needs the processor, too.
    """
    deadline = time.monotonic() + seconds
    pause = 0.05
    while not is_done(at):
        assert time.monotonic() < deadline, "the page did not get there"
        time.sleep(pause)
        pause = min(2 * pause, 1.0)
        opened(at)
    return at


def press(at: AppTest, label: str) -> AppTest:
    """Presses a button."""
    next(button for button in at.button if button.label == label).click()
    return opened(at)


def upload(at: AppTest, key: str, content: bytes, name: str) -> AppTest:
    """Gives a file to an uploader."""
    at.file_uploader(key=key).set_value((name, content, "application/octet-stream"))
    return opened(at)


def offered(at: AppTest) -> set[str]:
    """Returns the labels of the buttons that can be pressed."""
    return {button.label for button in at.button if not button.disabled}


def link(at: AppTest) -> dict[str, str]:
    """Returns the query parameters of the page's address."""
    return {
        key: value if isinstance(value, str) else value[0] for key, value in at.query_params.items()
    }


def text(at: AppTest) -> str:
    """Returns all that the page says."""
    texts = [
        str(getattr(element, "value", "")) + str(getattr(element, "label", ""))
        for element in at.main
    ]
    return " ".join(texts + [bar.proto.text for bar in at.get("progress")])


def ready_detectors(at: AppTest) -> list[str]:
    """Returns the detectors that the Detectors page has figures of, approach by approach."""
    for frame in at.dataframe:
        if frame.value.columns.nlevels == 2:  # the paper's table alone
            return list(frame.value.index)
    return []


JOB_SECONDS = 60.0  # within which a job comes to its next report


def new_queue() -> JobQueue:
    """Returns a queue as the server has one."""
    return JobQueue(is_connected=is_connected)


def restart_server() -> None:
    """Ends all jobs and forgets them, as a server does that is started anew."""
    assert SERVER.jobs.stop(JOB_SECONDS)
    SERVER.jobs = new_queue()


def endless(job: Job) -> None:
    """Work that only a cancel ends."""
    while True:
        time.sleep(0.01)
        job.report(0.5)


def framing(job: Job) -> str:
    """Work that reports a frame every few milliseconds."""
    for i in range(10_000):
        job.report(i / 10_000, i)
        time.sleep(0.002)
    return "end"


def until(condition, seconds: float = 20) -> None:
    """Waits for a condition."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)
