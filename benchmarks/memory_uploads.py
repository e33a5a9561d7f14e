"""What the largest uploads take: `python -m benchmarks.memory_uploads` prints a table, in minutes.

Of each, in a process of its own: its file is read as the app reads it, then what a first page does
with it, then every detector with a formula is fitted and scored, one at a time. Resident memory
beyond that of a server at rest, and its peak meanwhile. Linux only.
"""

from __future__ import annotations

import gc
import io
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

MIB = 2**20
DETECTORS = ("MSP", "Energy", "KNN", "SSD", "MoG")
CONTENTS = {
    "25,000 classes of 512 columns": (25_000, 512, 50_000, np.float32),
    "4,096 columns, float16": (10, 4096, 19_600, np.float16),
}
"""{what it is: classes, columns, training rows, precision}; each unpacks to nearly 256 MiB."""


def main() -> None:
    """Prints the table of every upload."""
    print("| upload | step | MiB held | at the peak |\n|---|---|---:|---:|", flush=True)
    for title in CONTENTS:
        subprocess.run([sys.executable, "-m", __spec__.name, title], check=True)


def _measure(title: str) -> None:
    """Prints the rows of one upload."""
    from app.job import Job
    from app.pack.data import PackData
    from app.pack.work import scoring_work
    from app.server import return_freed_memory
    from app.uploads import UploadBudget, UploadFile, UploadReader
    from app.warm_up import warm_up
    from heat_core.detectors import presets

    def clear() -> None:
        gc.collect()
        return_freed_memory()

    def fit(name: str) -> Callable[[], None]:
        known = {name: every_detector[name]}

        def work() -> None:
            presets.DETECTORS = known
            job = Job("any", scoring_work(kept["data"].pack, "modern"))
            job.run()
            assert job.state == "done", job.error

        return work

    def read() -> None:
        reader = UploadReader(UploadBudget(2**30))
        job = reader.start_reading([UploadFile("mine.npz", content)])
        while not job.wait(1.0):
            pass
        kept["data"] = PackData(*job.result)

    every_detector = dict(presets.DETECTORS)
    kept: dict[str, PackData] = {}
    warm_up()
    content = _npz(*CONTENTS[title])
    clear()
    at_rest = _status("VmRSS") - len(content) // MIB
    steps: Mapping[str, Callable[[], object]] = {
        "reading it": read,
        "notes on it": lambda: kept["data"].notes,
        "the class of every row": lambda: kept["data"].assigned_classes,
        **{f"fitting {name}, and scores": fit(name) for name in DETECTORS},
        "it is gone": kept.clear,
    }
    for what, step in steps.items():
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        step()
        clear()
        if not kept:
            content = b""
            clear()
        held, peak = (_status(key) - at_rest for key in ("VmRSS", "VmHWM"))
        print(f"| {title} | {what} | {held} | {peak} |", flush=True)


def _npz(classes: int, columns: int, rows: int, dtype: type) -> bytes:
    """Returns an npz file of noise: so many training rows, half as many others, and a head."""
    random = np.random.default_rng(0)

    def noise(count: int) -> np.ndarray:
        return random.standard_normal((count, columns), dtype=np.float32).astype(dtype)

    content = io.BytesIO()
    np.savez(
        content,
        train_z=noise(rows),
        train_y=np.arange(rows) % classes,
        test_z=noise(rows // 5),
        near_a=noise(rows // 5),
        far_b=noise(rows // 10),
        weight=noise(classes),
        bias=np.zeros(classes, dtype),
    )
    return content.getvalue()


def _status(key: str) -> int:
    """Returns what the system says of this process, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(key))


if __name__ == "__main__":
    if sys.argv[1:]:
        _measure(sys.argv[1])
    else:
        main()
