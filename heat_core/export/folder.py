"""A bundle as a folder that scores with NumPy and safetensors."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from heat_core.bundles import Bundle
from heat_core.bundles.files import decision_card
from heat_core.files import whole_folder

from . import score
from .program import program_of

FORMAT, VERSION = "heat-scorer", "1"


def export_numpy(bundle: Bundle, path: Path, overwrite: bool = False) -> None:
    """Writes a folder that scores and decides with NumPy and safetensors, whole or not at all.

    Raises:
        FileExistsError: there is a folder, and it is not to be replaced.
        ValueError: as `scorer_files` does.
    """
    files = scorer_files(bundle)
    with whole_folder(path, overwrite) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)


def scorer_files(bundle: Bundle) -> dict[str, bytes]:
    """Returns the files of a folder that scores with NumPy and safetensors, {name: content}.

    They are `score.py`, the energy as `program.json` with `tensors.safetensors`, and `card.json`.
    Scores are computed in float64.

    Raises:
        ValueError: the detector takes an operation that the scorer does not know, or each class
            has its threshold and the detector does not read z, which tells classes.
    """
    from safetensors.torch import save

    views = bundle.detector.input_views(bundle.shape)
    if bundle.decision.by_class and "z" not in views:
        raise ValueError(
            f"{bundle.decision.rule.title} gives each class a threshold of its own, and "
            f"{bundle.detector.name} does not read z, by which a scorer tells classes."
        )
    widths = [bundle.shape.width(view) for view in views]
    program = program_of(bundle.energy, sum(widths))
    steps = {
        "inputs": ["z" if view == "z" else f"z__{view}" for view in views],
        "widths": widths,
        "steps": program.steps,
        "result": program.result,
    }
    card = {
        **decision_card(bundle),
        "format": FORMAT,
        "version": VERSION,
        "numbers_per_row": bundle.energy.numbers_per_row,
    }
    return {
        "score.py": Path(score.__file__).read_bytes(),
        "program.json": (json.dumps(steps) + "\n").encode(),
        "card.json": (json.dumps(card, indent=2) + "\n").encode(),
        "tensors.safetensors": save({**program.tensors, **_own_tensors(bundle)}),
    }


def _own_tensors(bundle: Bundle) -> dict[str, Tensor]:
    """Returns what the scorer reads beside the energy: calibration scores and the head."""
    calibration = bundle.calibration
    tensors = {"calibration": torch.from_numpy(calibration.inside.copy())}
    if calibration.predicted is not None:
        tensors["calibration_class"] = torch.from_numpy(calibration.predicted.copy())
    if bundle.head is not None:
        tensors["head_weight"] = bundle.head.weight.detach().cpu().contiguous()
        tensors["head_bias"] = bundle.head.bias.detach().cpu().contiguous()
    return tensors
