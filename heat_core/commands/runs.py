"""Fitted detectors: kept in a folder, and what they score."""

from __future__ import annotations

import argparse
import io
import sys
from typing import TYPE_CHECKING, Any

from .shared import check_out, check_parent, check_suffix, print_notes

if TYPE_CHECKING:
    from heat_core.energies import Energy
    from heat_core.training.trainer import Record


def fit(options: argparse.Namespace) -> None:
    """Fits a detector to a pack and writes the run."""
    from heat_core.assumptions import notes_on
    from heat_core.detectors.presets import preset_detector, space_of
    from heat_core.pack import read_pack
    from heat_core.run import fit, save

    check_out(options.out, options.overwrite)
    pack = read_pack(options.pack)
    detector = preset_detector(options.detector, options.preset, space_of(pack.extra))
    run = fit(detector, pack.train, options.seed, options.device, _report_record, pack.extra)
    save(run, options.out, options.overwrite)
    print(
        f"{options.out}: {options.detector} ({options.preset}) fitted to "
        f"{len(pack.train):,} x {pack.train.dim} features."
    )
    if run.diagnosis is not None:
        print(f"Light: {run.diagnosis.light}. {run.diagnosis.reason}")
    print_notes(notes_on(pack), warnings_only=True)


def _report_record(record: Record, energy: Energy) -> None:
    """Prints one line of a training's history."""
    print(
        f"step {record.step}/{record.steps}: loss {record.loss:.4f}, "
        f"held out {record.val_loss:.4f}",
        file=sys.stderr,
    )


def score(options: argparse.Namespace) -> None:
    """Scores a features file by a run, into a table."""
    import pandas as pd

    from heat_core.features import read_features
    from heat_core.files import write_whole
    from heat_core.run import load

    check_suffix(options.out, [".parquet", ".csv"])
    if options.out.exists() and not (options.overwrite and options.out.is_file()):
        raise FileExistsError(f"{options.out} exists already; --overwrite replaces a file.")
    check_parent(options.out)
    run = load(options.run_folder, options.device)
    features = read_features(options.features, with_labels=False)
    scores = run.score(features)
    columns: dict[str, Any] = {"row": range(len(features)), "score": scores}
    if features.index is not None:
        columns["source"] = features.source
        columns["index"] = features.index.numpy()
    table = pd.DataFrame(columns)
    buffer = io.BytesIO()
    if options.out.suffix == ".csv":
        table.to_csv(buffer, index=False)
    else:
        table.to_parquet(buffer, index=False)
    write_whole(options.out, buffer.getvalue())
    print(
        f"{options.out}: {len(scores):,} scores of {run.detector.title}; "
        "larger is more out-of-distribution."
    )
