"""A run: a fitted detector and all it said. Saved as a folder of JSON and safetensors, loaded without running code."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .detectors.detector import Detector, Shape
from .detectors.presets import DETECTORS
from .diagnostics import Diagnosis, diagnose
from .energies import Energy, score
from .features import Features
from .files import whole_folder
from .pack import NO_EXTRA, ExtraID
from .training.trainer import OnRecord, Record, ignore

VERSION = "3"


@dataclass(frozen=True, eq=False)
class Run:
    """A fitted detector.

    Args:
        detector: the recipe.
        seed: what it was fitted with.
        shape: of the training features.
        energy: the fitted energy; it is the score.
        history: what training reported; empty for a closed form.
        diagnosis: whether a learned energy can be trusted; None for a closed form.
    """

    detector: Detector
    seed: int
    shape: Shape
    energy: Energy
    history: tuple[Record, ...] = ()
    diagnosis: Diagnosis | None = None

    @property
    def note(self) -> str:
        """What must be said of the fitted energy, in words; mostly nothing."""
        return self.detector.note(self.energy)

    def score(self, features: Features) -> NDArray[np.float64]:
        """Returns the score of each row, (N,) float64: larger is more out-of-distribution.

        Raises ValueError if the features, or a view that the detector reads, are not as wide as in training.
        """
        return score(self.energy, self.sees(features))

    def sees(self, features: Features) -> Tensor:
        """Returns the energy's input, (N, d): the views that the detector reads, side by side. Raises as `score` does."""
        read = self.detector.input_views(self.shape)
        seen = features.columns(read)
        wanted = sum(self.shape.width(name) for name in read)
        if seen.shape[1] != wanted:
            raise ValueError(
                f"features must have {wanted} columns as in training, got {seen.shape[1]}."
            )
        return seen


def fit(
    detector: Detector,
    train: Features,
    seed: int = 0,
    device: str = "cpu",
    on_record: OnRecord = ignore,
    extra: ExtraID = NO_EXTRA,
) -> Run:
    """Returns the run of a detector fitted to ID features on a device (`cpu`, `cuda`, `auto`, ...).

    `extra` is what a pack holds beside them, all of it made of ID images; no OOD set ever comes here.
    """
    history: list[Record] = []

    def keep(record: Record, energy: Energy) -> None:
        history.append(record)
        on_record(record, energy)

    where = resolve_device(device)
    with torch_threads(1 if detector.trains else None):
        energy = detector.fit(train.to(where), seed, keep, extra.to(where))
        subject = (
            detector.to_diagnose(energy, train.to(where), extra.to(where), seed)
            if detector.trains
            else None
        )
        found = (
            None if subject is None else diagnose(subject, history[-1] if history else None, seed)
        )
    return Run(detector, seed, Shape.of(train), energy, tuple(history), found)


def resolve_device(device: str) -> str:
    """Returns `cuda` or `cpu` for `auto`, anything else as it is. Raises ValueError if there is no such device here."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise ValueError(
            f"device must be auto, cpu or another that this machine has; got {device!r}."
        ) from None
    return device


@contextlib.contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Sets torch's threads for a block; None leaves them. Small networks train many times faster on one."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def save(run: Run, path: Path) -> None:
    """Writes a run folder, whole or not at all."""
    from safetensors.torch import save as pack

    card = {
        "format": "heat-run",
        "version": VERSION,
        "detector": run.detector.title,
        "recipe": to_json(run.detector),
        "seed": run.seed,
        "shape": dataclasses.asdict(run.shape),
        "history": [dataclasses.asdict(record) for record in run.history],
        "diagnosis": None if run.diagnosis is None else dataclasses.asdict(run.diagnosis),
    }
    with whole_folder(path) as folder:
        (folder / "run.json").write_text(json.dumps(card, indent=2) + "\n")
        state = {name: value.contiguous().cpu() for name, value in run.energy.state_dict().items()}
        (folder / "energy.safetensors").write_bytes(pack(state))


def load(path: Path | str, device: str = "cpu") -> Run:
    """Returns the run in a folder that `save` made. Raises ValueError saying what is wrong with it."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    try:
        card = json.loads((path / "run.json").read_text())
        if not isinstance(card, dict) or card.get("format") != "heat-run":
            raise ValueError("run.json is not the card of a run")
        if card.get("version") != VERSION:
            raise ValueError(
                f"a run of version {card.get('version')}; this program reads version {VERSION}"
            )
        state = load_file(str(path / "energy.safetensors"))
        detector = from_json(DETECTORS[card["detector"]], card["recipe"])
        shape = from_json(Shape, card["shape"])
        dtype = next(
            (value.dtype for value in state.values() if value.is_floating_point()), torch.float32
        )
        energy = detector.build(shape).to(dtype)
        energy.load_state_dict(state)
        history = tuple(from_json(Record, record) for record in card["history"])
        told, seed = card["diagnosis"], int(card["seed"])
        diagnosis = (
            None
            if told is None
            else from_json(Diagnosis, told | {"switches": tuple(map(tuple, told["switches"]))})
        )
    except (
        OSError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RuntimeError,
        SafetensorError,
    ) as error:
        raise ValueError(f"{path} is not a readable run: {' '.join(str(error).split())}.") from None
    return Run(detector, seed, shape, energy.to(resolve_device(device)).eval(), history, diagnosis)


def to_json(value: Any) -> Any:
    """Returns a recipe as JSON can hold it: a dataclass becomes its fields by name, and under `kind` its own name."""
    if not dataclasses.is_dataclass(value):
        return value
    fields = {
        field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)
    }
    return {"kind": type(value).__name__, **fields}


def from_json(kind: type, values: dict[str, Any]) -> Any:
    """Returns the (nested) dataclass that `dismantle` or `dataclasses.asdict` took apart.

    `kind` is what it must be, or be derived from. Raises TypeError on a kind or a field that is not known.
    """
    values = dict(values)
    kind = _derived(kind, values.pop("kind", kind.__name__))
    hints = typing.get_type_hints(kind)
    inner = {
        name: next((k for k in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(k)), None)
        for name, hint in hints.items()
    }
    return kind(
        **{
            name: from_json(nested, value)
            if isinstance(value, dict) and (nested := inner.get(name))
            else value  # type: ignore[arg-type]
            for name, value in values.items()
        }
    )


def _derived(kind: type, name: str) -> type:
    """Returns the class of this name among `kind` and what is derived from it. Raises TypeError if there is none."""
    kinds = [kind]
    while kinds:
        found = kinds.pop()
        if found.__name__ == name:
            return found
        kinds += found.__subclasses__()
    raise TypeError(f"no {kind.__name__} is called {name!r}")
