"""What several commands share: checks before any work, the detectors asked for, notes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heat_core.assumptions import Note
    from heat_core.detectors.detector import Detector
    from heat_core.pack import Pack


def print_notes(notes: Iterable[Note], warnings_only: bool = False) -> None:
    """Prints what figures rest on, one line each, on standard error."""
    for note in notes:
        if note.is_warning or not warnings_only:
            print(note, file=sys.stderr)


def allowed_detectors(pack: Pack, options: argparse.Namespace) -> Mapping[str, Detector]:
    """Returns the detectors asked for, by default all; says which the pack does not allow.

    Raises ValueError if one was asked for by name and the pack does not allow it.
    """
    from heat_core.detectors.presets import supported_detectors

    names = split_names(options.detectors) if options.detectors is not None else ()
    if not names and options.detectors is not None:
        raise ValueError(f"--detectors must name at least one, got {options.detectors!r}.")
    detectors, reasons = supported_detectors(pack, options.preset, names)
    if names and reasons:
        raise ValueError(" ".join(reasons.values()))
    for name, reason in reasons.items():
        print(f"{name} is left out: {reason}", file=sys.stderr)
    return detectors


def split_names(text: str) -> tuple[str, ...]:
    """Returns the names in a list with commas.

    >>> split_names("KNN, MoG,")
    ('KNN', 'MoG')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def require(module: str) -> None:
    """Raises ModuleNotFoundError if a module of an extra is not installed, before any work."""
    if util.find_spec(module) is None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def network_file(pack: Path, weights: Path | None) -> Path:
    """Returns the file of the network that a pack was extracted with: beside it, unless given.

    Raises FileNotFoundError if there is none.
    """
    from heat_core.judge import classifier_file

    file = weights or classifier_file(pack)
    if not file.is_file():
        raise FileNotFoundError(
            f"no network at {file}; give --weights, the one that the pack was extracted with."
        )
    return file


def check_out(path: Path, overwrite: bool) -> None:
    """Raises FileExistsError if the folder of a pack or a run cannot be written."""
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; --overwrite replaces it.")
    is_pack = has_format(path / "card.json", "heat-pack")
    if path.exists() and not is_pack and not has_format(path / "run.json", "heat-run"):
        raise FileExistsError(
            f"{path} is neither a pack nor a run, so --overwrite does not replace it."
        )
    check_parent(path)


def has_format(card: Path, name: str) -> bool:
    """Returns whether a card is there that says it is of a format, such as `heat-pack`."""
    try:
        content = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("format") == name


def check_parent(path: Path) -> None:
    """Raises OSError if nothing can be written beside a path, before any work."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise NotADirectoryError(f"{path} cannot be written: {folder} is no folder.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{path} cannot be written: no permission in {folder}.")


def check_suffix(path: Path, suffixes: Sequence[str]) -> None:
    """Raises ValueError if a file's name does not say what is written into it."""
    if path.suffix not in suffixes:
        raise ValueError(f"--out must end in {' or '.join(suffixes)}, got {path.name}.")


def device_of(options: argparse.Namespace) -> str:
    from heat_core.run import resolve_device

    return resolve_device(options.device)
