"""A stream of rows watched by a bundle."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .command import Command
from .options import (
    AddOption,
    add_device,
    add_features_column,
    add_overwrite,
    add_seed,
    whole_number,
)
from .progress import progress_line
from .shared import check_parent, check_suffix

if TYPE_CHECKING:
    from heat_core.bundles import Bundle
    from heat_core.monitoring import Watch


def _watch_options(add: AddOption) -> None:
    add("bundle", metavar="BUNDLE", type=Path)
    stream = "rows as `score` reads them: Parquet, CSV, npy, or - for JSON lines"
    add("stream", metavar="STREAM", help=stream)
    add("--time", default="", help="the column or key that says when a row came; else as they come")
    add_features_column(add)
    add("--window", type=whole_number(1, 10**9), default=500, help="rows of a window")
    add("--out", type=Path, help="a .parquet or a .csv file with a row for each window")
    add_seed(add, "of the chance by which equal scores are ranked")
    add_device(add)
    add_overwrite(add)


def watch(options: argparse.Namespace) -> None:
    """Says when a stream's alarms and scores left what is expected, and writes its windows."""
    import io

    from heat_core.bundles import load_bundle
    from heat_core.files import write_whole
    from heat_core.monitoring import watch

    if options.out is not None:
        check_suffix(options.out, [".parquet", ".csv"])
        if options.out.exists() and not options.overwrite:
            raise FileExistsError(f"{options.out} exists already; --overwrite replaces it.")
        check_parent(options.out)
    bundle = load_bundle(options.bundle, options.device)
    scores, times = _scored_stream(bundle, options)
    found = watch(
        bundle.decision,
        bundle.calibration.inside,
        scores,
        times,
        options.window,
        seed=options.seed,
    )
    table = found.table()
    if options.out is not None:
        buffer = io.BytesIO()
        write = table.to_csv if options.out.suffix == ".csv" else table.to_parquet
        write(buffer, index=False)
        write_whole(options.out, buffer.getvalue())
    print(_summary(found))
    if options.out is not None:
        print(f"{options.out}: {len(table):,} windows.", file=sys.stderr)


def _scored_stream(
    bundle: Bundle, options: argparse.Namespace
) -> tuple[np.ndarray, list[Any] | None]:
    """Returns the scores of a stream's rows, (N,), and when they came, if a column says so."""
    from heat_core.streams import parts_of

    scores, times = [], []
    with progress_line(bundle.detector.name):
        for part in parts_of(options.stream, options.z, options.time, id_option="--time"):
            for batch in part.batches():
                scores.append(bundle.score(batch.features))
                times += list(batch.ids)
    return np.concatenate(scores), times if options.time else None


def _summary(found: Watch) -> str:
    """Returns in plain words what became of a stream."""
    rates = found.rates
    outside = np.flatnonzero(rates.is_outside)
    count = f"{len(outside):,} of {len(rates.rows):,} windows"
    lines = [
        f"{rates.rows.sum():,} rows from {found.times[0]} to {found.times[-1]}: "
        f"{100 * rates.counts.sum() / rates.rows.sum():.1f} % flagged; "
        f"{count} outside their band (1 in 20 is by chance)."
    ]
    if len(outside):
        first = int(outside[0])
        lines.append(
            f"First outside: from {found.times[int(rates.starts[first])]}, "
            f"{100 * rates.rates[first]:.1f} % flagged, expected "
            f"{100 * rates.low[first]:.1f} to {100 * rates.high[first]:.1f} %."
        )
    for name, test, meaning in (
        ("Drift", found.martingale, "a false alarm in at most 1 stream of 20"),
        ("Change", found.cusum, "a false alarm in 10,000 rows at most, on average"),
    ):
        said = "no alarm" if test.alarm_at is None else f"alarm at {found.times[test.alarm_at]}"
        where = "" if test.alarm_at is None else f" (row {test.alarm_at + 1:,})"
        lines.append(f"{name}: {said}{where}; {meaning}.")
    return "\n".join(lines)


WATCH = Command(
    name="watch",
    run=watch,
    add_options=_watch_options,
    summary="Say when a stream's alarms and scores leave what a bundle expects.",
    example="bundles/heat stream.parquet --time seen_at --out alarms.parquet",
)
