"""Rows of any number scored by a run, or decided by a bundle."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heat_core.progress import progress_to

from .batch import Interrupted
from .command import Command
from .options import AddOption, add_device, add_features_column, add_overwrite
from .progress import ProgressLine
from .shared import check_parent, has_format

if TYPE_CHECKING:
    import pandas as pd

    from heat_core.run import Run
    from heat_core.streams import RowBatch, TablePart

FORMAT, MANIFEST = "heat-scores", "scores.json"  # in a folder of tables: what they were made with


def _score_options(add: AddOption) -> None:
    add("run_folder", metavar="RUN", type=Path, help="a run, or a bundle, which decides as well")
    features = (
        "safetensors from a pack, an npz with z, an npy, CSV, Parquet (a file, a folder, or a "
        "pattern with *), or - for JSON lines"
    )
    add("features", metavar="FEATURES", help=features)
    add(
        "--out",
        type=Path,
        required=True,
        help="a file; without an ending a folder, in which a killed run goes on",
    )
    add("--format", choices=("parquet", "csv", "jsonl"), help="by default as --out ends")
    add_features_column(add)
    add("--id", default="", help="the column or key that names a row; else rows are counted")
    add_device(add)
    add_overwrite(add)


def score(options: argparse.Namespace) -> None:
    """Scores rows by a run, or decides about them by a bundle, into a table or a folder of them."""
    from heat_core.bundles import load
    from heat_core.streams import format_of, parts_of

    kind = format_of(options.out, options.format)
    run = load(options.run_folder, options.device)
    parts = parts_of(options.features, options.z, options.id)
    check_parent(options.out)
    tally = _Tally(sum(part.rows or 0 for part in parts), ProgressLine(run.detector.name))
    if options.out.suffix == f".{kind}":
        if options.out.exists() and not (options.overwrite and options.out.is_file()):
            raise FileExistsError(f"{options.out} exists already; --overwrite replaces a file.")
        _score_parts(run, parts, options.out, kind, tally)
    else:
        _check_names(options.features, parts)
        _check_folder(options, run, kind)
        _score_into_folder(run, parts, options.out, kind, tally)
    print(tally.summary(options.out, run.detector.name))


def _score_into_folder(
    run: Run, parts: Sequence[TablePart], folder: Path, kind: str, tally: _Tally
) -> None:
    """Writes a table for each part that has none yet.

    Raises Interrupted on ctrl-C, saying how many there are.
    """
    for number, part in enumerate(parts):
        path = folder / f"{part.name}.{kind}"
        if path.exists():
            tally.skip(part)
            continue
        try:
            _score_parts(run, [part], path, kind, tally)
        except KeyboardInterrupt:
            raise Interrupted(
                f"{number:,} of {len(parts):,} parts are in {folder}; the same command goes on"
            ) from None
        tally.report(number + 1, len(parts))


def _score_parts(
    run: Run, parts: Sequence[TablePart], path: Path, kind: str, tally: _Tally
) -> None:
    """Writes what is said of the rows of some parts into a file."""
    from heat_core.streams import write_tables

    def tables() -> Iterator[pd.DataFrame]:
        for part in parts:
            for batch in part.batches():
                with progress_to(partial(tally.show, len(batch.features))):
                    table = table_of(run, batch)
                tally.count(table)
                yield table

    try:
        write_tables(path, kind, tables())
    finally:
        tally.line.clear()


def table_of(run: Run, batch: RowBatch) -> pd.DataFrame:
    """Returns a row for each row of a batch: a bundle's decision, or a run's score."""
    import pandas as pd

    from heat_core.bundles import Bundle

    if isinstance(run, Bundle):
        return run.decide(batch.features).table(batch.ids)
    features = batch.features
    rows = range(batch.start, batch.start + len(features))
    columns: dict[str, Any] = {"row": rows, "score": run.score(features)}
    if features.index is not None:
        columns["source"] = features.source
        columns["index"] = features.index.numpy()
    elif batch.ids != rows:
        columns["id"] = batch.ids
    return pd.DataFrame(columns)


# -- a folder of tables ----------------------------------------------------------------------------


def _check_names(source: str, parts: Sequence[TablePart]) -> None:
    """Raises ValueError if two parts would be the same table of a folder."""
    counts = Counter(part.name for part in parts)
    name, count = counts.most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"{source}: {count:,} of its parts would be one table, {name}; score them apart, or "
            "give --out an ending for one file."
        )


def _check_folder(options: argparse.Namespace, run: Run, kind: str) -> None:
    """Writes what tables in the folder are made with, or raises ValueError if others are there."""
    from heat_core.files import write_whole

    manifest = {
        "format": FORMAT,
        "source": str(options.features),
        "z": options.z,
        "id": options.id,
        "sha256": _digests(run),
    }
    path = options.out / MANIFEST
    is_ours = has_format(path, FORMAT)
    if options.out.exists() and not is_ours and any(options.out.iterdir()):
        raise FileExistsError(f"{options.out} is there, and holds something else than tables.")
    tables = list(options.out.glob(f"*.{kind}"))
    if is_ours and not options.overwrite:
        if json.loads(path.read_text()) != manifest:
            raise ValueError(
                f"{options.out} holds tables of another run, decision, source, --z or --id; take "
                "another --out, or --overwrite them."
            )
        if options.features == "-" and tables:
            raise FileExistsError(
                f"{options.out} holds a table of lines that came before; take another --out, or "
                "--overwrite it."
            )
        return
    for table in tables:
        table.unlink()
    write_whole(path, (json.dumps(manifest, indent=2) + "\n").encode())


def _digests(run: Run) -> dict[str, str]:
    """Returns the SHA-256 of what a run, or a bundle, says of rows by, {name: in hex}."""
    from heat_core.bundles import Bundle, bundle_files
    from heat_core.bundles.files import DECISION, decision_card
    from heat_core.run import run_files

    files = run_files(run)
    if isinstance(run, Bundle):
        decision = json.dumps(decision_card(run)).encode()  # the file has the date in it
        files = {**bundle_files(run), DECISION: decision}
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


# -- what was done ---------------------------------------------------------------------------------


@dataclass
class _Tally:
    """How many rows were scored, and how many of them flagged.

    Args:
        total: rows in all; 0 where the files do not say.
        line: shows how far the scoring is.
    """

    total: int
    line: ProgressLine
    rows: int = 0
    flagged: int = 0
    skipped: int = 0
    has_decisions: bool = False

    def __post_init__(self) -> None:
        self.began = time.perf_counter()

    def count(self, table: pd.DataFrame) -> None:
        self.rows += len(table)
        if "is_ood" in table:
            self.has_decisions = True
            self.flagged += int(table["is_ood"].to_numpy().sum())

    def show(self, batch_rows: int, doing: str, share: float | None) -> None:
        """Shows how far all rows are, while a share of a batch is scored."""
        done = self.skipped + self.rows + batch_rows * (share or 0.0)
        self.line.show(doing, min(done / self.total, 1.0) if self.total else None)

    def skip(self, part: TablePart) -> None:
        self.skipped += part.rows or 0

    def report(self, done: int, parts: int) -> None:
        """Prints how far the parts are, on standard error."""
        speed = self.rows / max(time.perf_counter() - self.began, 1e-9)
        said = f"part {done:,} of {parts:,}: {self.rows:,} rows, {speed:,.0f} a second"
        if self.total:
            said += f", {(self.total - self.skipped - self.rows) / speed:,.0f} s left"
        print(said, file=sys.stderr)

    def summary(self, out: Path, title: str) -> str:
        """Returns what was done, in a line; of a bundle prints how many were flagged, too."""
        if self.has_decisions:
            share = f"{100 * self.flagged / max(self.rows, 1):.1f} %"
            print(f"{self.flagged:,} of {self.rows:,} rows flagged ({share}).", file=sys.stderr)
        was_there = f" ({self.skipped:,} were there)" if self.skipped else ""
        scores = f"{self.rows:,} scores of {title}{was_there}"
        return f"{out}: {scores}; larger is more out-of-distribution."


SCORE = Command(
    name="score",
    run=score,
    add_options=_score_options,
    summary="Score rows with a kept detector, or decide about them with a bundle.",
    example="runs/heat features.npz --out scores.parquet",
)
