"""`heat score` of a Parquet file of 2 GB, in constant memory, beside what it cannot avoid.

Every row must be read, and a MoG with one covariance needs it times the whitening matrix. The peer
does that and nothing else: pyarrow's batches, each a (rows, d) x (d, d) product in float32. Nothing
is checked, normalised, compared with a threshold or written, and no process starts.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from heat_core.bundles import bundle_of, save_bundle
from heat_core.detectors.closed_form import MoG
from heat_core.features import Features
from heat_core.pack import NO_EXTRA, Pack
from heat_core.run import fit
from heat_core.set_name import SetName
from heat_core.streams.sources import BATCH_ROWS
from heat_core.thresholds import Conformal

from . import threads
from .timing import Options, Row

DIM, CLASSES, LEAST_SHARE, MOST_GB = 256, 10, 0.6, 2.0


def measure(options: Options) -> list[Row]:
    """Returns a row for the seconds, and one for the memory at the peak."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bundle(folder / "bundle")
        _write_rows(folder / "rows.parquet", options.stream_rows)
        seconds = _score(folder)
        peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
        with threads.limit(options.threads):
            least = _read_and_multiply(folder / "rows.parquet")
        size_gb = (folder / "rows.parquet").stat().st_size / 1e9
    what = f"score {options.stream_rows:,} x {DIM} float16 ({size_gb:.1f} GB of Parquet), MoG"
    ratio = seconds / least
    return [
        Row(
            what,
            seconds,
            "pyarrow + matmul",
            least,
            ratio,
            f"at most {1 / LEAST_SHARE:.2f}",
            ratio <= 1 / LEAST_SHARE,
        ),
        Row(
            f"{what}: memory at the peak",
            None,
            "",
            None,
            None,
            f"{MOST_GB} GB; {peak_gb:.2f} GB",
            peak_gb <= MOST_GB,
        ),
    ]


def write_bundle(folder: Path) -> None:
    """Writes the bundle of a MoG of `DIM` features and `CLASSES` classes."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(5000) % CLASSES
    z = torch.randn(5000, DIM, generator=generator) + torch.eye(DIM)[y]
    train, test = Features(z[:4000], y[:4000]), Features(z[4000:], y[4000:])
    pack = Pack(train, test, {SetName("far", "noise"): Features(3 * z[:500])}, NO_EXTRA, {})
    save_bundle(bundle_of(fit(MoG(), train), pack, Conformal(0.95)), folder)


def _write_rows(path: Path, rows: int) -> None:
    """Writes rows of noise, a block at a time."""
    random = np.random.default_rng(0)
    kind = pa.list_(pa.float16(), DIM)
    with pq.ParquetWriter(path, pa.schema([("z", kind)]), compression="none") as writer:
        for start in range(0, rows, BATCH_ROWS):
            count = min(BATCH_ROWS, rows - start)
            block = random.standard_normal((count, DIM), dtype=np.float32).astype(np.float16)
            column = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), DIM)
            writer.write_table(pa.table({"z": column.cast(kind)}))


def _score(folder: Path) -> float:
    """Returns the seconds of the command."""
    command = [sys.executable, "-m", "heat_core", "score", str(folder / "bundle")]
    rows, out = str(folder / "rows.parquet"), str(folder / "scores.parquet")
    start = time.perf_counter()
    subprocess.run([*command, rows, "--z", "z", "--out", out], check=True, stdout=sys.stderr)
    return time.perf_counter() - start


def _read_and_multiply(path: Path) -> float:
    """Returns the seconds of reading a file's batches, and of one product each."""
    whitener = torch.randn(DIM, DIM)
    start = time.perf_counter()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=["z"]):
            values = batch.column("z").flatten().to_numpy(zero_copy_only=False)
            rows = torch.from_numpy(values.reshape(-1, DIM).astype(np.float32))
            torch.matmul(rows, whitener)
    return time.perf_counter() - start
