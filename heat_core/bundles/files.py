"""Bundles as folders: written whole, read with every file checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from heat_core.features import Head
from heat_core.files import whole_folder
from heat_core.messages import error_text
from heat_core.run import Run, from_json, run_files, to_json
from heat_core.run import load as load_run
from heat_core.run import save as save_run
from heat_core.set_name import SetName
from heat_core.thresholds import (
    RULES,
    Assessment,
    CalibrationScores,
    Decision,
    Proportion,
    ThresholdRule,
)
from heat_core.version import __version__

from .bundle import Bundle
from .checking import decision_differences, fit_rule
from .decisions import Array

FORMAT, VERSION = "heat-bundle", "1"
DECISION, CALIBRATION = "decision.json", "calibration.safetensors"
HASHED = (CALIBRATION, "run.json", "energy.safetensors")


def save_bundle(bundle: Bundle, path: Path, overwrite: bool = False) -> None:
    """Writes a bundle folder, whole or not at all.

    Raises:
        FileExistsError: there is one, and it is not to be replaced.
    """
    with whole_folder(path, overwrite) as folder:
        for name, content in bundle_files(bundle).items():
            (folder / name).write_bytes(content)


def bundle_files(bundle: Bundle) -> dict[str, bytes]:
    """Returns the files of a bundle, {name: content}."""
    from safetensors.torch import save

    files = {**run_files(bundle), CALIBRATION: save(_calibration_arrays(bundle))}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    card = {
        **decision_card(bundle),
        "weights_sha256": hashes["energy.safetensors"],
        "sha256": hashes,
        "code_version": bundle.code_version or __version__,
        "created": bundle.created or datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return {**files, DECISION: (json.dumps(card, indent=2) + "\n").encode()}


def decision_card(bundle: Bundle) -> dict[str, Any]:
    """Returns what `decision.json` says, but for hashes of files, the version and the date."""
    decision, rule = bundle.decision, bundle.decision.rule
    return {
        "format": FORMAT,
        "version": VERSION,
        "detector": bundle.detector.name,
        "preset": bundle.preset,
        "recipe": {  # the settings that make it anew
            "detector": to_json(bundle.detector),
            "seed": bundle.seed,
            "rule": to_json(rule),
            "split_seed": bundle.split_seed,
        },
        "rule": rule_name(rule),
        "share": getattr(rule, "share", None),
        "threshold": None if decision.by_class else decision.threshold,
        "thresholds_by_class": {str(label): t for label, t in decision.by_class.items()},
        "interval": decision.interval,
        "n_calibration": decision.n_calibration,
        **_assessment_card(decision.assessment),
        "guarantee": rule.guarantee,
        "assumption": rule.assumption,
        "larger_is_out": True,
        "pack": {"title": bundle.pack_title, "sha256": bundle.pack_sha256},
    }


def _assessment_card(assessment: Assessment | None) -> dict[str, Any]:
    if assessment is None:
        return {"kept_on_test": None, "caught_on_test": {}, "chance": None}
    caught = {
        str(SetName(group, name)): _proportion_card(proportion)
        for group, sets in assessment.caught_by_set.items()
        for name, proportion in sets.items()
    }
    kept = _proportion_card(assessment.kept)
    return {"kept_on_test": kept, "caught_on_test": caught, "chance": assessment.chance}


def _proportion_card(proportion: Proportion) -> dict[str, Any]:
    return {
        "count": proportion.count,
        "rows": proportion.n,
        "share": proportion.share,
        "interval": proportion.interval(),
    }


def _assessment_of(card: Mapping[str, Any]) -> Assessment | None:
    kept = card["kept_on_test"]
    if kept is None:
        return None
    caught: dict[str, dict[str, Proportion]] = {}
    for text, proportion in card["caught_on_test"].items():
        group, name = SetName.parse(text)
        caught.setdefault(group, {})[name] = Proportion(proportion["count"], proportion["rows"])
    chance = card["chance"]
    return Assessment(Proportion(kept["count"], kept["rows"]), caught, chance and tuple(chance))


def rule_name(rule: ThresholdRule) -> str:
    """Returns the name of a rule in `RULES`, as the command line calls it.

    >>> from heat_core.thresholds import KeepShare
    >>> rule_name(KeepShare(0.9))
    'keep'
    """
    return next(name for name, cls in RULES.items() if type(rule) is cls)


def _calibration_arrays(bundle: Bundle) -> dict[str, Tensor]:
    calibration = bundle.calibration
    arrays = {"inside": torch.from_numpy(calibration.inside.copy())}
    if calibration.predicted is not None:
        arrays["predicted"] = torch.from_numpy(calibration.predicted.copy())
    for group, sets in calibration.outside.items():
        for name, scores in sets.items():
            arrays[f"{group}/{name}"] = torch.from_numpy(scores.copy())
    if bundle.head is not None:
        arrays["weight"] = bundle.head.weight.contiguous().cpu()
        arrays["bias"] = bundle.head.bias.contiguous().cpu()
    return arrays


def save(run: Run, path: Path, overwrite: bool = True) -> None:
    """Writes the folder of a run, or of a bundle with its decision, whole or not at all.

    Raises FileExistsError if there is one, and it is not to be replaced.
    """
    if isinstance(run, Bundle):
        save_bundle(run, path, overwrite)
    else:
        save_run(run, path, overwrite)


def load(path: Path | str, device: str = "cpu") -> Run:
    """Returns the run in a folder, which is a `Bundle` where a decision lies beside it.

    Raises ValueError saying what is wrong with the folder, or that there is no such device.
    """
    if Path(path, DECISION).exists() or Path(path, DECISION).is_symlink():
        return load_bundle(path, device)
    return load_run(path, device)


def load_bundle(path: Path | str, device: str = "cpu") -> Bundle:
    """Returns the bundle in a folder that `save_bundle` made.

    Its files are those that were written, and its threshold is the one that its rule takes on the
    scores beside it.

    Raises ValueError saying what is wrong with the folder, naming the file.
    """
    folder = Path(path)
    card = _read_card(folder)
    for name, digest in card["sha256"].items():
        if hashlib.sha256(_content(folder, name)).hexdigest() != digest:
            raise ValueError(f"{folder / name} is not the file that the bundle was made with.")
    run = load_run(folder, device)
    try:
        bundle = _bundle_from(run, card, _content(folder, CALIBRATION))
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{folder / DECISION} is damaged: {error_text(error)}.") from None
    refitted = fit_rule(bundle.decision.rule, bundle.calibration)
    differences = decision_differences(bundle.decision, refitted)
    if differences:
        raise ValueError(f"{folder / DECISION} does not say what its rule gives: {differences[0]}.")
    return bundle


def _content(folder: Path, name: str) -> bytes:
    """Returns a file's content. Raises ValueError if there is none, or it leads elsewhere."""
    file = folder / name
    if file.is_symlink() or not file.is_file():
        raise ValueError(f"{file} is no file, which a bundle needs.")
    return file.read_bytes()


def _read_card(folder: Path) -> dict[str, Any]:
    try:
        card = json.loads(_content(folder, DECISION))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{folder / DECISION} is not JSON: {error}.") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise ValueError(f"{folder / DECISION} is not the card of a bundle.")
    if card.get("version") != VERSION:
        raise ValueError(
            f"{folder} is a bundle of version {card.get('version')}; this program reads version "
            f"{VERSION}: make it anew with `decide`."
        )
    hashes = card.get("sha256")
    if not isinstance(hashes, dict) or set(hashes) != set(HASHED):
        raise ValueError(f"{folder / DECISION} must name the hashes of {', '.join(HASHED)}.")
    return card


def _bundle_from(run: Run, card: Mapping[str, Any], calibration: bytes) -> Bundle:
    from safetensors.torch import load as from_bytes

    arrays = from_bytes(calibration)
    rule = from_json(ThresholdRule, card["recipe"]["rule"])
    by_class = {int(label): float(t) for label, t in card["thresholds_by_class"].items()}
    thresholds = by_class or float(card["threshold"])
    interval = None if card["interval"] is None else tuple(card["interval"])
    head = Head(arrays["weight"], arrays["bias"]) if "weight" in arrays else None
    outside: dict[str, dict[str, Array]] = {}
    for key, scores in arrays.items():
        group, _, name = key.partition("/")
        if name:
            outside.setdefault(group, {})[name] = scores.numpy()
    predicted = arrays["predicted"].numpy() if "predicted" in arrays else None
    return Bundle(
        run.detector,
        run.seed,
        run.shape,
        run.energy,
        run.history,
        run.diagnosis,
        decision=Decision(
            rule, thresholds, int(card["n_calibration"]), interval, _assessment_of(card)
        ),
        calibration=CalibrationScores(arrays["inside"].numpy(), outside, predicted),
        head=head,
        pack_title=str(card["pack"]["title"]),
        pack_sha256=str(card["pack"]["sha256"]),
        preset=str(card["preset"]),
        split_seed=int(card["recipe"]["split_seed"]),
        created=str(card.get("created", "")),
        code_version=str(card.get("code_version", "")),
    )
