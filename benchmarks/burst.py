"""One visitor opens 50 links that train, within 8 s: what another visitor feels of it."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable

from .start import serving
from .timing import Options, Row
from .visitors import Visitor, burst

LINKS = 50
SECONDS = 8.0
MOST = 2.0  # times the quiet value
BAR = f"p95 <= {MOST:g} times that of a quiet server"
PAGES = ("", "landscape", "detectors", "threshold_lab", "feature_map")
BURST_SEED = 1000  # of the first link


def measure(options: Options) -> list[Row]:
    """Returns a row for another visitor's pages while the links come, and for their trainings."""
    with serving() as url:
        ann = Visitor(url)
        seeds = itertools.count()
        _prepare(ann)
        quiet_pages = _page_waits(ann, SECONDS)
        quiet_trainings = [_training_wait(ann, next(seeds)) for _ in range(4 * options.rounds)]
        links = [
            {"toy": "blobs", "preset": "best", "seed": str(seed), "job": _key("best", seed)}
            for seed in range(BURST_SEED, BURST_SEED + LINKS)
        ]
        with burst(Visitor(url), links, SECONDS):
            pages = _page_waits(ann, SECONDS)
            trainings = [_training_wait(ann, next(seeds)) for _ in range(4 * options.rounds)]
    return [
        _row(f"another's page while {LINKS} links come", pages, quiet_pages),
        _row("another's quick training while they train", trainings, quiet_trainings),
    ]


def _key(preset: str, seed: int) -> str:
    return f"toy.blobs.HEAT.{preset}.{seed}"


def _prepare(visitor: Visitor) -> None:
    """Opens every page once, waits until all detectors are fitted, and trains once."""
    with visitor.tab() as tab:
        for page in PAGES:
            tab.open(page)
        tab.open("detectors")
        tab.wait_for("Composed** catches", pause=1.0)
    _training_wait(visitor, BURST_SEED - 1)


def _page_waits(visitor: Visitor, seconds: float) -> list[float]:
    """Returns the seconds that each page took, one after the other in new tabs."""
    deadline = time.monotonic() + seconds
    waits = []
    for page in itertools.cycle(PAGES):
        if time.monotonic() > deadline:
            return waits
        waits.append(_seconds(lambda page=page: _open(visitor, page)))
        time.sleep(0.1)
    return waits


def _open(visitor: Visitor, page: str) -> None:
    with visitor.tab() as tab:
        tab.open(page)


def _training_wait(visitor: Visitor, seed: int) -> float:
    """Returns the seconds from opening a link that trains until its result is shown."""

    def train() -> None:
        with visitor.tab() as tab:
            query = {"toy": "blobs", "preset": "quick", "seed": f"{seed}"}
            tab.open(**query, job=_key("quick", seed))
            tab.wait_for("Modes kept")

    return _seconds(train)


def _seconds(act: Callable[[], None]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def _row(what: str, waits: list[float], quiet_waits: list[float]) -> Row:
    """Returns a row that holds the 95th percentile against that of a quiet server."""
    p95, quiet = (
        statistics.quantiles(values, n=20, method="inclusive")[-1]
        for values in (waits, quiet_waits)
    )
    ratio = p95 / quiet
    medians = f"medians {statistics.median(waits):.3f} and {statistics.median(quiet_waits):.3f} s"
    return Row(what, p95, "quiet", quiet, ratio, f"{BAR} ({medians})", ratio <= MOST)
