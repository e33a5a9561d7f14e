"""A run: a fitted detector, saved as a folder of JSON and safetensors, loaded without pickle."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import run_version_3, run_version_5
from .arguments import check_seed
from .detectors import composed as _composed  # noqa: F401  a file names the detectors that
from .detectors import presets as _presets  # noqa: F401  these two define
from .detectors.detector import Detector, Shape
from .diagnostics import Diagnosis, diagnose
from .energies import Energy, precise_enough, score
from .features import Features, features_sha256
from .files import whole_folder
from .messages import error_text
from .pack import NO_EXTRA, ExtraID
from .progress import report_progress
from .threads import torch_threads
from .training.trainer import OnRecord, Record, ignore

VERSION = "6"

IN_RUNS = {
    "Record": {"negative_energy": "noise_energy", "log_z_to_noise": "log_z"},
    "Diagnosis": {"log_z_to_noise": "log_z", "transition_counts": "switch_counts"},
    "FromPseudoOOD": {"two_families_weight": "two_kinds_weight"},
}
"""{class: {field: its key in a run}}, where a field of version 5 has got another name since."""


@dataclass(frozen=True, eq=False)
class Run:
    """A fitted detector: its settings, its energy, and how it was fitted.

    Args:
        detector: its hyperparameters.
        seed: what it was fitted with.
        shape: of the training features.
        energy: the fitted energy; it is the score.
        history: what training reported; empty for a closed form.
        diagnosis: whether a learned energy can be trusted; None for a closed form.
        train_sha256: the digest of the features that it was fitted to; empty of an earlier run.

    >>> from heat_core.detectors.closed_form import MoG
    >>> run = fit(MoG(normalize=False), Features(torch.tensor([[-1.0], [1.0]])))
    >>> run.score(Features(torch.tensor([[0.0], [2.0]]))).round(4)
    array([0.9189, 2.9189])
    """

    detector: Detector
    seed: int
    shape: Shape
    energy: Energy
    history: tuple[Record, ...] = ()
    diagnosis: Diagnosis | None = None
    train_sha256: str = ""

    @property
    def term_names(self) -> tuple[str, ...]:
        """The names of the score's terms, as `explain.term_values` has them, in order."""
        return self.detector.term_names(self.shape)

    @property
    def left_out(self) -> str:
        """What the detector goes without, since its features lack it, in words; mostly nothing."""
        return self.detector.left_out(self.shape)

    @property
    def warning(self) -> str:
        """What a reader of the fitted energy must know, in words; mostly nothing."""
        return self.detector.warning(self.energy, self.shape)

    @property
    def chosen_settings(self) -> dict[str, float]:
        """What was left open, and found at fit on ID data alone, {setting: value}; mostly none."""
        return self.detector.chosen_settings(self.energy, self.shape)

    def score(self, features: Features) -> NDArray[np.float64]:
        """Returns the score of each row, (N,) float64: larger is more out-of-distribution.

        Raises ValueError if the features, or a view that the detector reads, are not as wide as in
        training.
        """
        return score(self.energy, self.inputs(features))

    def inputs(self, features: Features) -> Tensor:
        """Returns the energy's input, (N, d): the views that the detector reads, side by side.

        Raises ValueError as `score` does.
        """
        views = self.detector.input_views(self.shape)
        inputs = features.columns(views)
        width = sum(self.shape.width(name) for name in views)
        if inputs.shape[1] != width:
            raise ValueError(
                f"features must have {width} columns as in training, got {inputs.shape[1]}."
            )
        return inputs


def fit(
    detector: Detector,
    train: Features,
    seed: int = 0,
    device: str = "cpu",
    on_record: OnRecord = ignore,
    extra: ExtraID = NO_EXTRA,
) -> Run:
    """Returns the run of a detector fitted to ID features.

    `progress_to` hears how far it is, whatever the detector does.

    Args:
        detector: its hyperparameters.
        train: ID features.
        seed: for whatever is random.
        device: `cpu`, `cuda`, `auto`, ...
        on_record: called now and then by a detector that trains.
        extra: what a pack holds beside the features, all of it made of ID images; no OOD set ever
            comes here.

    Raises:
        ValueError: the features lack what the detector needs, the seed is no whole number that
            libraries take, or there is no such device.
        Diverged: training left what numbers can hold.
    """
    history: list[Record] = []

    def append_record(record: Record, energy: Energy) -> None:
        history.append(record)
        on_record(record, energy)

    seed = check_seed(seed)
    device = resolve_device(device)
    digest = features_sha256(train)
    train = precise_enough(train.to(device))
    extra = extra.to(device)
    energy = detector.fit(train, seed, append_record, extra)
    diagnosis = None
    to_diagnose = detector.to_diagnose(energy, train, extra, seed) if detector.trains else None
    if to_diagnose is not None:
        report_progress("diagnosing")
        last_record = history[-1] if history else None
        with torch_threads(1):
            diagnosis = diagnose(to_diagnose, last_record, seed)
    return Run(detector, seed, Shape.of(train), energy, tuple(history), diagnosis, digest)


def resolve_device(device: str) -> str:
    """Returns `cuda` or `cpu` for `auto`, anything else as it is.

    Raises ValueError if this machine has no such device.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise ValueError(
            f"device must be auto, cpu or another that this machine has; got {device!r}."
        ) from None
    return device


def save(run: Run, path: Path, overwrite: bool = True) -> None:
    """Writes a run folder, whole or not at all.

    Args:
        overwrite: whether to replace a folder that is there by then.

    Raises:
        FileExistsError: there is one, and it is not to be replaced.
    """
    with whole_folder(path, overwrite) as folder:
        for name, content in run_files(run).items():
            (folder / name).write_bytes(content)


def run_files(run: Run) -> dict[str, bytes]:
    """Returns the files of a run, {name: content}."""
    from safetensors.torch import save as to_bytes

    diagnosis = run.diagnosis
    card = {
        "format": "heat-run",
        "version": VERSION,
        "detector": to_json(run.detector),
        "seed": run.seed,
        "shape": dataclasses.asdict(run.shape),
        "history": [_fields_by_key(record) for record in run.history],
        "diagnosis": None if diagnosis is None else _fields_by_key(diagnosis),
        "train_sha256": run.train_sha256,
    }
    state = {name: value.contiguous().cpu() for name, value in run.energy.state_dict().items()}
    return {
        "run.json": (json.dumps(card, indent=2) + "\n").encode(),
        "energy.safetensors": to_bytes(state),
    }


def load(path: Path | str, device: str = "cpu") -> Run:
    """Returns the run in a folder that `save` made.

    Raises ValueError saying what is wrong with the folder, or that there is no such device.
    """
    from safetensors import SafetensorError

    if not Path(path, "run.json").is_file():
        raise ValueError(f"{path} is not a readable run: wanted a folder with run.json.")
    try:
        run = _read(Path(path))
    except (
        OSError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RuntimeError,
        SafetensorError,
    ) as error:
        raise ValueError(f"{path} is not a readable run: {error_text(error)}.") from None
    energy = run.energy.to(resolve_device(device)).eval()
    return dataclasses.replace(run, energy=energy)


def _read(path: Path) -> Run:
    """Returns the run in a folder, on the CPU. Raises many kinds of errors on a damaged one."""
    from safetensors.torch import load_file

    card = json.loads((path / "run.json").read_text())
    if not isinstance(card, dict) or card.get("format") != "heat-run":
        raise ValueError("run.json is not the card of a run")
    version = card.get("version")
    if version not in ("3", "5", VERSION):
        raise ValueError(
            f"a run of version {version}; this program reads version {VERSION}, 5 and 3; "
            "fit it anew"
        )
    state = load_file(str(path / "energy.safetensors"))
    if version == "3":
        card = run_version_3.upgrade_card(card)
        state = run_version_3.upgrade_state(card["detector"], state)
    if version != VERSION:
        card = run_version_5.upgrade_card(card)
    detector = from_json(Detector, card["detector"])
    shape = from_json(Shape, card["shape"])
    energy = detector.build(shape).to(_dtype_of(state))
    energy.load_state_dict(state)
    history = tuple(from_json(Record, record) for record in card["history"])
    diagnosis = _diagnosis_from_json(card["diagnosis"])
    digest = str(card.get("train_sha256", ""))
    return Run(detector, int(card["seed"]), shape, energy, history, diagnosis, digest)


def _dtype_of(state: dict[str, Tensor]) -> torch.dtype:
    """Returns the precision of an energy's tensors, {name: tensor}."""
    for tensor in state.values():
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.float32


def _diagnosis_from_json(values: dict[str, Any] | None) -> Diagnosis | None:
    if values is None:
        return None
    values = dict(values)
    if "switches" in values:  # a table of all classes, as earlier runs have it
        values["switch_counts"] = _pair_counts(values.pop("switches"))
    counts = tuple(tuple(triple) for triple in values["switch_counts"])  # a file gives lists
    return from_json(Diagnosis, {**values, "switch_counts": counts})


def _pair_counts(table: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Returns (row, column, count) of what is not 0 in a table of counts, (C, C)."""
    return [
        (before, after, count)
        for before, row in enumerate(table)
        for after, count in enumerate(row)
        if count
    ]


# -- dataclasses as JSON ---------------------------------------------------------------------------


def to_json(value: Any) -> Any:
    """Returns a nested dataclass as JSON can hold it: its class as `kind`, and its fields by name.

    A tuple is a list there.

    >>> from heat_core.detectors.closed_form import KNN
    >>> to_json(KNN(k=5))
    {'kind': 'KNN', 'normalize': True, 'k': 5}
    """
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    fields = {key: to_json(inner) for key, inner in _fields_by_key(value).items()}
    return {"kind": type(value).__name__, **fields}


def _fields_by_key(value: Any) -> dict[str, Any]:
    """Returns the fields of a dataclass by their keys in a run."""
    keys = IN_RUNS.get(type(value).__name__, {})
    names = [field.name for field in dataclasses.fields(value)]
    return {keys.get(name, name): getattr(value, name) for name in names}


def from_json(base: type, values: dict[str, Any]) -> Any:
    """Returns the nested dataclass that `to_json` took apart, or any by its fields.

    Args:
        base: the class that it is of, or derived from; of it where `values` name no `kind`.
        values: its fields by their keys in a run.

    Raises TypeError on a kind or a field that is not known.

    >>> from_json(Detector, {"kind": "KNN", "normalize": True, "k": 5})
    KNN(normalize=True, k=5)
    """
    cls = _class_named(base, values.get("kind", base.__name__))
    hints = typing.get_type_hints(cls)
    names = {key: name for name, key in IN_RUNS.get(cls.__name__, {}).items()}
    fields: dict[str, Any] = {}
    for key, value in values.items():
        if key == "kind":
            continue
        name = names.get(key, key)
        inner = _dataclass_in(hints.get(name))
        if inner is not None and isinstance(value, dict):
            fields[name] = from_json(inner, value)
        elif inner is not None and isinstance(value, list):
            fields[name] = tuple(from_json(inner, item) for item in value)
        elif isinstance(value, dict) and "kind" in value:
            raise TypeError(f"{cls.__name__} holds no dataclass as {name!r}")
        else:
            fields[name] = value
    return cls(**fields)


def _dataclass_in(hint: Any) -> type | None:
    """Returns the dataclass that a type hint is, or is a union with or a tuple of; else None."""
    for candidate in (hint, *typing.get_args(hint)):
        if isinstance(candidate, type) and dataclasses.is_dataclass(candidate):
            return candidate
    return None


def _class_named(base: type, name: str) -> type:
    """Returns the class of a name among `base` and what is derived from it. Raises TypeError."""
    candidates = [base]
    while candidates:
        candidate = candidates.pop()
        if candidate.__name__ == name:
            return candidate
        candidates += candidate.__subclasses__()
    raise TypeError(f"no {base.__name__} is called {name!r}")
