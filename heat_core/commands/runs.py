"""Detectors fitted, and kept in a folder."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .command import Command
from .options import AddOption, add_device, add_overwrite, add_preset, add_seed
from .progress import ProgressLine, progress_line
from .shared import check_out, print_notes

if TYPE_CHECKING:
    from heat_core.energies import Energy
    from heat_core.training.trainer import Record


def _fit_options(add: AddOption) -> None:
    add("pack", metavar="PACK", type=Path)
    add("detector", metavar="DETECTOR")
    add("--out", type=Path, required=True, help="the run's folder")
    add_preset(add)
    add_seed(add)
    add_device(add)
    add_overwrite(add)


def fit(options: argparse.Namespace) -> None:
    """Fits a detector to a pack and writes the run."""
    from heat_core.assumptions import notes_on
    from heat_core.detectors.choosing import choice_sentence
    from heat_core.detectors.presets import domain_of, preset_detector
    from heat_core.pack import read_pack
    from heat_core.run import fit, save

    check_out(options.out, options.overwrite)
    pack = read_pack(options.pack)
    detector = preset_detector(options.detector, options.preset, domain_of(pack.extra))
    with progress_line(options.detector) as line:
        on_record = partial(_report_record, line)
        run = fit(detector, pack.train, options.seed, options.device, on_record, pack.extra)
    save(run, options.out, options.overwrite)
    print(
        f"{options.out}: {options.detector} ({options.preset}) fitted to "
        f"{len(pack.train):,} x {pack.train.dim} features."
    )
    if run.left_out:
        print(run.left_out)
    settings = (f"{setting} {value:.6g}" for setting, value in run.chosen_settings.items())
    if chosen := choice_sentence(settings, pack.extra):
        print(chosen)
    if run.diagnosis is not None:
        print(f"Light: {run.diagnosis.light}. {run.diagnosis.reason}")
    print_notes(notes_on(pack), warnings_only=True)


def _report_record(line: ProgressLine, record: Record, energy: Energy) -> None:
    """Prints one line of a training's history, in the place of the progress."""
    line.clear()
    print(
        f"step {record.step}/{record.steps}: loss {record.loss:.4f}, "
        f"validation loss {record.val_loss:.4f}",
        file=sys.stderr,
    )


FIT = Command(
    name="fit",
    run=fit,
    add_options=_fit_options,
    summary="Fit a detector to a pack and keep it.",
    example="assets/packs/cifar10-resnet18 HEAT --out runs/heat",
)
