"""Timing: contenders take turns, so that what else the machine does falls on all of them alike."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

OURS = "heat_core"


@dataclass(frozen=True)
class Options:
    """What the command line says; the defaults are the sizes that the bars are about."""

    rows: int = 50_000
    queries: int = 10_000
    scores: int = 1_000_000
    images: int = 2_000
    stream_rows: int = 4_000_000
    requests: int = 1_000
    rounds: int = 5
    threads: int = os.cpu_count() or 1


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        what: was measured.
        ours: seconds, the median of the rounds; without a peer, the 95th percentile.
        peer: who else did it, or `quiet`: ourselves without the burden; empty where the bar is in
            seconds.
        theirs: seconds, as `ours`: the median of the rounds, of `quiet` the 95th percentile.
        ratio: ours / theirs; of rounds the median of the ratios of each.
        bar: what is asked for.
        holds: whether it is met; None where nothing was measured, and `bar` says why.
    """

    what: str
    ours: float | None
    peer: str
    theirs: float | None
    ratio: float | None
    bar: str
    holds: bool | None


def take_turns(
    contenders: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, list[float]]:
    """Returns {name: seconds of each round}.

    In every round each contender runs once, in an order that rotates. The caller has run every
    contender before, to see that they agree: that was the warm-up.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            contenders[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def against_peers(
    what: str, seconds: Mapping[str, list[float]], bar: str, most: float = 1.0
) -> list[Row]:
    """Returns a row for each peer, the fastest first.

    Args:
        what: was measured.
        seconds: {name: seconds of each round}, `OURS` among the names.
        bar: in words.
        most: the largest ratio that meets the bar.
    """
    ours = seconds[OURS]
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    rows = []
    for peer in sorted(seconds.keys() - {OURS}, key=medians.__getitem__):
        ratio = statistics.median(a / b for a, b in zip(ours, seconds[peer], strict=True))
        rows.append(Row(what, medians[OURS], peer, medians[peer], ratio, bar, ratio <= most))
    return rows


def within(what: str, seconds: Iterable[float], most: float) -> Row:
    """Returns a row for a bar in seconds: the 95th percentile must meet it."""
    values = list(seconds)
    p95 = statistics.quantiles(values, n=20, method="inclusive")[-1]
    bar = f"p95 <= {most} s (median {statistics.median(values):.3f} s of {len(values)})"
    return Row(what, p95, "", None, None, bar, p95 <= most)


def table(rows: Iterable[Row]) -> str:
    """Returns the rows in Markdown."""
    lines = [
        "| what | ours (s) | peer | peer (s) | ratio | bar | holds |",
        "|---|---:|---|---:|---:|---|---|",
    ]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    holds = {True: "yes", False: "**no**", None: "not measured"}[row.holds]
    return (
        row.what,
        number(row.ours),
        row.peer,
        number(row.theirs),
        number(row.ratio),
        row.bar,
        holds,
    )
