"""What several commands share: checks before any work, the detectors asked for, progress."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from heat_core.detectors.detector import Detector
    from heat_core.pack import Pack


def allowed_detectors(pack: Pack, options: argparse.Namespace) -> Mapping[str, Detector]:
    """Returns the detectors asked for, by default all; says which the pack does not allow.

    Raises ValueError if one was asked for by name and the pack does not allow it.
    """
    from heat_core.detectors.presets import supported_detectors

    names: Sequence[str] = options.detectors.split(",") if options.detectors else ()
    detectors, reasons = supported_detectors(pack, options.preset, names)
    if names and reasons:
        raise ValueError(" ".join(reasons.values()))
    for name, reason in reasons.items():
        print(f"{name} is left out: {reason}", file=sys.stderr)
    return detectors


def require(module: str) -> None:
    """Raises ModuleNotFoundError if a module of an extra is not installed, before any work."""
    if util.find_spec(module) is None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def check_seeds(count: int) -> None:
    """Raises ValueError unless there is a seed."""
    if count < 1:
        raise ValueError(f"seeds must be at least 1, got {count}.")


def check_out(path: Path, overwrite: bool) -> None:
    """Raises FileExistsError if the folder of a pack or a run cannot be written."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; --overwrite replaces it.")
    if path.exists() and not any((path / card).is_file() for card in ("card.json", "run.json")):
        raise FileExistsError(
            f"{path} is neither a pack nor a run, so --overwrite does not replace it."
        )


def device_of(options: argparse.Namespace) -> str:
    from heat_core.run import resolve_device

    return resolve_device(options.device)


class ProgressBars:
    """Progress bars on standard error, one a file or set.

    Args:
        unit: of what is counted.
        is_scaled: print large counts in thousands or millions.
    """

    def __init__(self, unit: str, is_scaled: bool = False) -> None:
        self.unit, self.is_scaled = unit, is_scaled
        self._bars: dict[str, Any] = {}

    def show(self, name: str, done: int, total: int) -> None:
        """Moves the bar of a name."""
        from tqdm import tqdm

        if name not in self._bars:
            self._bars[name] = tqdm(
                total=total, unit=self.unit, unit_scale=self.is_scaled, desc=name, initial=0
            )
        self._bars[name].update(done - self._bars[name].n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for bar in self._bars.values():
            bar.close()
