"""Tables of what was said of rows: CSV, JSON lines or Parquet, a file whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from heat_core.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

FORMATS = ("parquet", "csv", "jsonl")


def format_of(path: Path, asked: str | None) -> str:
    """Returns the format of a table, by its file's ending or as it was asked for.

    Raises ValueError if these disagree, or none is known: of a file no other ending will do, and
    without one it is a folder.

    >>> format_of(Path("scores.csv"), None), format_of(Path("scores"), "jsonl")
    ('csv', 'jsonl')
    >>> format_of(Path("scores.csv"), "parquet")
    Traceback (most recent call last):
    ValueError: --format parquet and the ending of scores.csv disagree.
    """
    ending = path.suffix.removeprefix(".")
    if asked is not None and ending in FORMATS and asked != ending:
        raise ValueError(f"--format {asked} and the ending of {path.name} disagree.")
    endings = ", ".join(f".{name}" for name in FORMATS)
    if ending and ending not in FORMATS:
        raise ValueError(f"--out must end in {endings}, or be a folder's name; got {path.name}.")
    if asked is None and not ending:
        raise ValueError(
            f"--out must end in {endings}, or --format say what it holds; got {path.name}."
        )
    return asked or ending


def write_tables(path: Path, kind: str, tables: Iterable[pd.DataFrame]) -> int:
    """Writes tables one below the other into a file, and returns how many rows there were.

    Args:
        path: of the file; it is there when all is written.
        kind: one of `FORMATS`.
        tables: of the same columns.
    """
    rows = 0
    with whole_file(path) as file, _WRITERS[kind](file) as writer:
        for table in tables:
            writer.write(table)
            rows += len(table)
    return rows


class _Writer(Protocol):
    def write(self, table: pd.DataFrame) -> None: ...


class _Lines:
    """Writes tables as text.

    Args:
        file: binary.
        kind: `csv` or `jsonl`.
    """

    def __init__(self, file: IO[bytes], kind: str) -> None:
        self.file, self.kind = file, kind
        self.has_header = False

    def write(self, table: pd.DataFrame) -> None:
        if self.kind == "csv":
            table.to_csv(self.file, index=False, header=not self.has_header)
        else:
            table.to_json(self.file, orient="records", lines=True, double_precision=15)
        self.has_header = True


class _Parquet:
    """Writes tables as Parquet, a row group each."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.writer: Any = None

    def write(self, table: pd.DataFrame) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = pa.Table.from_pandas(table, preserve_index=False)
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.file, rows.schema)
        self.writer.write_table(rows.cast(self.writer.schema))

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


@contextmanager
def _parquet(file: IO[bytes]) -> Iterator[_Writer]:
    writer = _Parquet(file)
    yield writer
    writer.close()


@contextmanager
def _csv(file: IO[bytes]) -> Iterator[_Writer]:
    yield _Lines(file, "csv")


@contextmanager
def _jsonl(file: IO[bytes]) -> Iterator[_Writer]:
    yield _Lines(file, "jsonl")


_WRITERS = {"parquet": _parquet, "csv": _csv, "jsonl": _jsonl}
