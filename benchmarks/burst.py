"""Somebody opens 50 links that train, within 8 s: what a visitor of another address feels of it.

They come from one browser, or each from a browser of its own at the same address.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from .start import serving
from .timing import Options, Row
from .visitors import Visitor, burst

LINKS = 50
SECONDS = 8.0
MOST = 2.0  # times the quiet value
BAR = f"p95 <= {MOST:g} times that of a quiet server"
PAGES = ("", "landscape", "detectors", "threshold_lab", "feature_map")
BURST_SEED = 1000  # of the first link
ANNS_ADDRESS = "192.0.2.1"
BURST_ADDRESS = "192.0.2.2"


def measure(options: Options) -> list[Row]:
    """Returns a row for another visitor's pages while the links come, and for their trainings.

    Both for a burst of one browser and for one of many.
    """
    rows = []
    for browsers in (1, LINKS):
        with serving() as url:
            crowd = [Visitor(url, BURST_ADDRESS) for _ in range(browsers)]
            visitors = list(itertools.islice(itertools.cycle(crowd), LINKS))
            rows += _measure_burst(Visitor(url, ANNS_ADDRESS), visitors, options.rounds)
    return rows


def _measure_burst(ann: Visitor, visitors: Sequence[Visitor], rounds: int) -> list[Row]:
    """Returns a row for Ann's pages and one for her trainings.

    Args:
        visitors: who opens each link.
    """
    seeds = itertools.count()
    _prepare(ann)
    quiet_pages = _page_waits(ann, SECONDS)
    quiet_trainings = _training_waits(ann, seeds, rounds)
    links = [
        {"toy": "blobs", "preset": "best", "seed": str(seed), "job": _key("best", seed)}
        for seed in range(BURST_SEED, BURST_SEED + LINKS)
    ]
    with burst(visitors, links, SECONDS):
        pages = _page_waits(ann, SECONDS)
        trainings = _training_waits(ann, seeds, rounds)
    browsers = len(set(visitors))
    of = f"{LINKS} links come from {browsers} browser{'s' * (browsers > 1)} of one address"
    return [
        _row(f"another's page while {of}", pages, quiet_pages),
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
        tab.wait_for("What is more than chance", pause=1.0)
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


def _training_waits(visitor: Visitor, seeds: Iterator[int], rounds: int) -> list[float]:
    """Returns the seconds that each of some quick trainings took."""
    return [_training_wait(visitor, next(seeds)) for _ in range(4 * rounds)]


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
