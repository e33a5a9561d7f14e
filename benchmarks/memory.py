"""What the server's memory is taken by: `python -m benchmarks.memory` prints a table.

Resident memory of a process that does, step by step, what the server does until a first visitor has
seen every detector. Linux only.
"""

from __future__ import annotations

import gc
import importlib
import resource
from collections.abc import Callable
from pathlib import Path

PACK = Path(__file__).parents[1] / "assets" / "packs" / "cifar10-resnet18"


def main() -> None:
    """Prints a row for each step."""
    steps: list[tuple[str, Callable[[], object]]] = [
        ("python", lambda: None),
        ("numpy, pandas, pyarrow", lambda: _load("numpy", "pandas", "pyarrow")),
        ("streamlit, plotly", lambda: _load("streamlit.web.bootstrap", "plotly.graph_objects")),
        ("torch", lambda: _load("torch")),
        ("what torch loads at its first training step", _warm_up),
        ("the pack", _pack),
        ("all detectors fitted to it and scored", _fit_all),
        ("freed memory given back", _give_back),
    ]
    print("| what | MiB | more than before |\n|---|---:|---:|")
    kept = []  # what a server would keep
    before = 0
    for what, step in steps:
        kept.append(step())
        held = _held()
        print(f"| {what} | {held} | {held - before:+} |", flush=True)
        before = held


def _held() -> int:
    """Returns the resident memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 2**20


def _load(*modules: str) -> None:
    for module in modules:
        importlib.import_module(module)


def _warm_up() -> None:
    from app.warm_up import warm_up

    warm_up()


def _pack() -> object:
    from heat_core.pack import read_pack

    return read_pack(PACK)


def _fit_all() -> object:
    from app.job import Job
    from app.pack.work import scoring_work
    from heat_core.detectors.presets import FIRST_DETECTORS
    from heat_core.pack import read_pack

    job = Job("any", scoring_work(read_pack(PACK), "modern", keep_runs=True, names=FIRST_DETECTORS))
    job.run()
    return job


def _give_back() -> None:
    from app.server import return_freed_memory

    gc.collect()
    return_freed_memory()


if __name__ == "__main__":
    main()
