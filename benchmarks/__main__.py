"""`python -m benchmarks [NAME ...]`: prints a table in Markdown."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import fields

from .timing import Options, Row, table

PEERS = ("neighbors", "mahalanobis", "metrics", "extraction", "step", "scoring", "serving")
ALONE = ("closed_forms", "intervals")
"""Without a peer, against a bar in seconds."""
WAITS = (
    "start",
    "pages",
    "plane",
    "temperature",
    "lines",
    "threshold",
    "inspector",
    "feature_map",
)
"""In the app; `waits` stands for all of them."""
CROWD = ("burst",)
"""In the app, with others there."""
NAMES = PEERS + ALONE + WAITS + CROWD
STUDIES = ("criterion", "ideas")
"""Of presets: minutes each, so only where they are asked for."""


def main() -> int:
    """Returns 0 if every bar that was measured holds, else 1."""
    names, options = _arguments()
    studies_hold = [_study(name, options) for name in names if name in STUDIES]
    benchmarks = [name for name in names if name in NAMES]
    rows_hold = _measure(benchmarks, options) if benchmarks else True
    return int(not (all(studies_hold) and rows_hold))


def _arguments() -> tuple[list[str], Options]:
    """Returns the names and options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Speed against named peers, as a table; the paper's table is printed by "
        "`python -m heat_core benchmark`.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=(
            f"any of {', '.join(NAMES)}; waits for {', '.join(WAITS)}; "
            f"all if none is given; or {', '.join(STUDIES)}"
        ),
    )
    for option in fields(Options):
        parser.add_argument(
            f"--{option.name}", type=int, default=option.default, help="%(default)s"
        )
    arguments = vars(parser.parse_args())
    names = []
    for name in arguments.pop("names") or NAMES:
        names += WAITS if name == "waits" else (name,)
    for name in names:
        if name not in NAMES + STUDIES:
            known = ", ".join(NAMES + STUDIES)
            parser.error(f"NAME must be waits or one of {known}; got {name!r}.")
    return names, Options(**arguments)


def _rows_of(name: str, options: Options) -> list[Row]:
    """Returns the rows of a benchmark; one that fails takes no other's with it."""
    try:
        return importlib.import_module(f".{name}", __package__).measure(options)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        print(f"{name}: {reason}", file=sys.stderr)
        return [Row(name, None, "", None, None, f"failed: {reason}", False)]


def _measure(names: Sequence[str], options: Options) -> bool:
    """Prints the table of benchmarks and returns whether every bar that was measured holds."""
    load_before = os.getloadavg()[0]
    rows: list[Row] = []
    for name in names:
        rows += _rows_of(name, options)
    arguments = "waits" if tuple(names) == WAITS else " ".join(names)
    print(f"# `python -m benchmarks {arguments}`\n\n{table(rows)}")
    print(
        f"\nPython {platform.python_version()}, {platform.machine()}, "
        f"{options.threads} threads, {options.rounds} rounds;"
    )
    print(f"load of the machine: {load_before:.1f} before, {os.getloadavg()[0]:.1f} after.")
    return all(row.holds is not False for row in rows)


def _study(name: str, options: Options) -> bool:
    """Prints a study and returns whether its bar holds."""
    report, holds = importlib.import_module(f".{name}", __package__).study(options)
    print(report)
    return holds


if __name__ == "__main__":
    sys.exit(main())
