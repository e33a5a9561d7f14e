"""What is known by name."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .command import Command
from .options import add_json


def list_known(options: argparse.Namespace) -> None:
    """Prints the names of detectors, presets, toys, datasets and threshold rules."""
    from heat_core.detectors.presets import DETECTORS, PRESETS, preset_detector
    from heat_core.images.datasets import DATASETS
    from heat_core.plane.toys import TOYS
    from heat_core.thresholds import RULES

    datasets = {
        name: f"{dataset.title} ({dataset.group}; {dataset.attribution})"
        for name, dataset in DATASETS.items()
    }
    names: dict[str, dict[str, Any]] = {
        "detectors": {name: preset_detector(name).description for name in DETECTORS},
        "presets": {domain: list(presets) for domain, presets in PRESETS.items()},
        "toys": {name: toy.title for name, toy in TOYS.items()},
        "datasets": datasets,
        "rules": {name: rule.title for name, rule in RULES.items()},
    }
    if options.json:
        print(json.dumps(names, indent=1))
        return
    for kind, entries in names.items():
        print(kind)
        for name, entry in entries.items():
            text = entry if isinstance(entry, str) else ", ".join(entry)
            print(f"  {name:20} {text}")


LIST = Command(
    name="list",
    run=list_known,
    add_options=add_json,
    summary="What is known by name: detectors, presets, toys, datasets, threshold rules.",
    example="--json",
)
