"""`python -m benchmarks [NAME ...]`: prints a table in Markdown."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from dataclasses import fields

from .timing import Options, table

PEERS = ("neighbors", "mahalanobis", "metrics", "extraction", "step")
WAITS = (
    "start",
    "rooms",
    "lab",
    "threshold",
    "inspector",
    "feature_map",
)  # in the app; `waits` stands for all of them
NAMES = PEERS + WAITS
STUDIES = ("criterion", "ideas")  # of recipes: minutes each, so only where they are asked for


def main() -> int:
    """Returns 0 if every bar that was measured holds, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Speed against named peers, as a table."
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"any of {', '.join(NAMES)}; waits for the last {len(WAITS)}; all if none is given; or {', '.join(STUDIES)}",
    )
    for option in fields(Options):
        parser.add_argument(
            f"--{option.name}", type=int, default=option.default, help="%(default)s"
        )
    given = vars(parser.parse_args())
    asked = given.pop("names") or NAMES
    names = [name for ask in asked for name in (WAITS if ask == "waits" else (ask,))]
    for name in names:
        if name not in NAMES + STUDIES:
            parser.error(
                f"NAME must be waits or one of {', '.join(NAMES + STUDIES)}; got {name!r}."
            )
    options = Options(**given)
    held = [_study(name, options) for name in names if name in STUDIES]
    names = [name for name in names if name in NAMES]
    if not names:
        return int(not all(held))
    load = os.getloadavg()[0]
    rows = [
        row
        for name in names
        for row in importlib.import_module(f".{name}", __package__).measure(options)
    ]
    print(f"# `python -m benchmarks {' '.join(asked)}`\n\n{table(rows)}")
    print(
        f"\nPython {platform.python_version()}, {platform.machine()}, {options.threads} threads, {options.rounds} rounds;"
    )
    print(f"load of the machine: {load:.1f} before, {os.getloadavg()[0]:.1f} after.")
    return int(any(row.holds is False for row in rows) or not all(held))


def _study(name: str, options: Options) -> bool:
    """Prints a study and returns whether its bar holds."""
    page, holds = importlib.import_module(f".{name}", __package__).study(options)
    print(page)
    return holds


if __name__ == "__main__":
    sys.exit(main())
