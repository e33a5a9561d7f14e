"""Pages through Streamlit's AppTest: open, press, wait, read; and what a job can do in a test."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pandas as pd
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Dataframe

from app.job import Job
from app.jobs import JobQueue
from app.server import SERVER, is_connected
from app.text import SIGNIFICANT_DIGITS

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
    """Runs the page, which must not fail, nor write numbers with more digits than one reads."""
    at.run()
    assert not at.exception
    assert long_numbers(at) == [], "app.text.number_text writes a number with few digits"
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


FRACTION = re.compile(r"(?<![\w.,/-])\d[\d,]*\.\d+(?![\w.])")
READ_ALONE = {"code", "number_input", "text_input", "json"}  # what is copied or typed is exact


def long_numbers(at: AppTest) -> list[str]:
    """Returns the fractions on a page that have more than four significant digits.

    Whole numbers are counts, and may have all of theirs.
    """
    said = [
        str(getattr(element, "value", "")) + " " + str(getattr(element, "label", ""))
        for element in at.main
        if element.type not in {*READ_ALONE, "dataframe", "table"}
    ]
    said += [cell for frame in at.dataframe for cell in _shown_cells(frame)]
    numbers = [number for words in said for number in FRACTION.findall(words)]
    return [number for number in numbers if significant_digits(number) > SIGNIFICANT_DIGITS]


def significant_digits(number: str) -> int:
    """Returns how many digits of a decimal number say something.

    >>> significant_digits("0.0120"), significant_digits("1,234.5")
    (3, 5)
    """
    return len(re.sub(r"\D", "", number).lstrip("0"))


def _shown_cells(frame: Dataframe) -> list[str]:
    """Returns the cells of a table as Streamlit shows them, but for those that a format writes."""
    formats = json.loads(frame.proto.columns or "{}")
    is_styled = bool(frame.proto.arrow_data.styler.display_values)
    cells = []
    for name, column in frame.value.items():
        if not pd.api.types.is_float_dtype(column):
            cells += [str(cell) for cell in column]
        elif not is_styled and not formats.get(str(name), {}).get("type_config", {}).get("format"):
            cells += [f"{cell:.4f}".rstrip("0") for cell in column]
    return cells


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
