"""Runs that heat_core 0.1 saved (version 3), in the words of version 5.

Version 3 held the optimiser's settings in the objective; HEAT and the EBM held everything that an
energy learned from noise needs, and beside it a `critic` for one learned from pseudo-OOD, or None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

RENAMED_KINDS = {"Critic": "FromPseudoOOD"}
"""{class then: class now}."""

_SAMPLER_FIELDS = {"fall": "final_factor", "power": "decay_power", "onto": "manifold"}

RENAMED_FIELDS = {
    "Composed": {
        "correction": "w_correction",
        "mog": "w_mog",
        "spread": "w_std_view",
        "energy": "w_energy",
        "odin": "w_odin",
        "early": "w_early_layer",
        "knn": "w_knn",
        "critic": "correction",
    },
    "Critic": {"compositions": "two_kinds_weight", "members": "network_count"},
    "MaximumLikelihood": {"both": "include_starts"},
    "EBM": {"origin": "noise_origin", "members": "network_count"},
    "HEAT": {"members": "network_count"},
    "Langevin": {**_SAMPLER_FIELDS, "noise": "noise_std"},
    "MALA": {**_SAMPLER_FIELDS, "noise": "noise_std"},
    "Record": {"held_out": "val_loss", "inside": "data_energy", "outside": "noise_energy"},
}
"""{class then: {field then: field in version 5}}."""

OPTIMISER_FIELDS = {
    "steps": "steps",
    "epochs": "epochs",
    "batch": "batch",
    "rate": "lr",
    "weight_decay": "weight_decay",
    "betas": "betas",
    "schedule": "schedule",
    "averaging": "ema_decay",
    "jitter": "jitter",
    "bfloat16": "bfloat16",
    "keep": "keep",
    "held_out": "val_fraction",
    "records": "log_points",
    "limit": "limit",
}
"""{field of an objective then: field of a `TrainConfig` now}."""

SOURCE_FIELDS = ("network", "objective", "training", "network_count")
"""What HEAT and the EBM hold in a `FromNoise` now."""


def upgrade_card(card: Mapping[str, Any]) -> Json:
    """Returns the card of a run of version 3 as one of version 5."""
    return {
        "format": card["format"],
        "version": "5",
        "detector": upgrade_detector(card["recipe"]),
        "seed": card["seed"],
        "shape": card["shape"],
        "history": [_rename(record, "Record") for record in card["history"]],
        "diagnosis": card["diagnosis"],
    }


def upgrade_detector(recipe: Json) -> Json:
    """Returns the JSON of a detector of version 3 as one of version 5."""
    detector = _rename_all(recipe)
    if detector["kind"] in ("HEAT", "EBM"):
        return _learned_detector(detector)
    return detector


def upgrade_state(detector: Mapping[str, Any], state: Mapping[str, Any]) -> Json:
    """Returns the tensors of an energy of version 3 by their names now.

    Both terms of HEAT with a correction from noise were normalised together, and are one by one
    now; the prior says which columns it reads.

    Args:
        detector: its JSON of version 5.
        state: {name: tensor}.
    """
    if detector["kind"] != "HEAT" or detector["correction"]["kind"] != "FromNoise":
        return dict(state)
    if detector["normalize"]:
        prefixes = {
            "energy.energies.0.energy.": "energies.0.energy.energy.energy.",
            "energy.energies.0.": "energies.0.",
            "energy.energies.1.": "energies.1.energy.",
        }
    else:
        prefixes = {"energies.0.energy.": "energies.0.energy.energy."}
    return {_replace_prefix(name, prefixes): tensor for name, tensor in state.items()}


def _replace_prefix(name: str, prefixes: Mapping[str, str]) -> str:
    for prefix, replacement in prefixes.items():
        if name.startswith(prefix):
            return replacement + name.removeprefix(prefix)
    return name


def _rename(fields: Mapping[str, Any], kind: str) -> Json:
    """Returns the fields of a class of version 3 by their names now."""
    names = RENAMED_FIELDS.get(kind, {})
    return {names.get(name, name): value for name, value in fields.items()}


def _rename_all(value: Any) -> Any:
    """Returns nested JSON with classes and fields as they are called now, objectives split."""
    if not isinstance(value, dict):
        return value
    kind = value["kind"]
    fields = {name: _rename_all(inner) for name, inner in _rename(value, kind).items()}
    fields["kind"] = RENAMED_KINDS.get(kind, kind)
    if "training" in fields:
        fields["objective"], fields["training"] = _split_objective(fields["training"])
    return fields


def _split_objective(old: Json) -> tuple[Json, Json]:
    """Returns an objective of version 3 as the loss and the settings of the training."""
    training = {new: old[name] for name, new in OPTIMISER_FIELDS.items() if name in old}
    objective = {name: value for name, value in old.items() if name not in OPTIMISER_FIELDS}
    return objective, {"kind": "TrainConfig", **training}


def _learned_detector(fields: Json) -> Json:
    """Returns HEAT or the EBM with what its energy learns from in one place."""
    fields = dict(fields)
    source = {name: fields.pop(name) for name in SOURCE_FIELDS}
    temperature = fields.pop("temperature")
    noise_scale = fields.pop("spread")
    critic = fields.pop("critic")
    checked = fields.pop("checked", False)
    if fields["kind"] == "EBM" and noise_scale is None:
        noise_scale = temperature**0.5
    from_noise = {"kind": "FromNoise", **source, "noise_scale": noise_scale, "checked": checked}
    learner = from_noise if critic is None else critic
    if fields["kind"] == "EBM":
        return {**fields, "learner": learner}
    return {**fields, "temperature": temperature if critic is None else None, "correction": learner}
