"""What a detector is: a frozen dataclass of hyperparameters that builds an energy and fits it."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from heat_core.diagnostics import ToDiagnose
from heat_core.energies import (
    Energy,
    Normalized,
    on_sphere,
    working_precision,
)
from heat_core.features import Features
from heat_core.pack import NO_EXTRA, ExtraID
from heat_core.training.trainer import OnRecord, ignore


@dataclass(frozen=True)
class Shape:
    """What an energy must know of its training features before it sees them.

    dim: their width d.
    classes: how many distinct labels they have; a head may know more.
    rows: N.
    head: how many logits the classifier's head gives, 0 without one.
    views: {name: width} of their other views.
    """

    dim: int
    classes: int
    rows: int
    head: int
    views: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, train: Features) -> Shape:
        views = {name: view.shape[1] for name, view in train.views.items()}
        return cls(
            train.dim,
            len(train.classes),
            len(train),
            0 if train.head is None else len(train.head.bias),
            views,
        )

    def width(self, view: str) -> int:
        """Returns how many columns a view has; `z` is the features themselves."""
        return self.dim if view == "z" else self.views[view]


class Detector(abc.ABC):
    """A recipe for a score. Two equal recipes with the same seed and features give the same scores."""

    title: ClassVar[str]
    summary: ClassVar[str]

    @property
    def trains(self) -> bool:
        """Whether fitting takes steps, and a seed."""
        return False

    @abc.abstractmethod
    def build(self, shape: Shape) -> Energy:
        """Returns a blank energy, ready for `load_state_dict`."""

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        """Returns the views that lie side by side in the energy's input; `z` is the features themselves."""
        return ("z",)

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        """Returns the energy fitted to the training features, on their device.

        Args:
            train: ID features; their labels and head are read where the detector needs them.
            seed: for whatever is random.
            on_record: called now and then by a detector that trains.
            extra: what else was made of ID images; a detector without use for it does not look.

        Raises:
            ValueError: the features lack what the detector needs.
        """
        reason = self.unsupported_reason(Shape.of(train))
        if reason:
            raise ValueError(reason)
        return self.blank(train).fit(train)

    def note(self, energy: Energy) -> str:
        """Returns what must be said of an energy that this recipe fitted, in words, or nothing."""
        return ""

    def to_diagnose(
        self, energy: Energy, train: Features, extra: ExtraID, seed: int
    ) -> ToDiagnose | None:
        """Returns what there is to diagnose of a fitted energy; None where nothing was learned."""
        return None

    def blank(self, train: Features) -> Energy:
        """Returns `build` of the features' shape, on their device and in their working precision."""
        return self.build(Shape.of(train)).to(train.z.device, working_precision(train.z))

    def unsupported_reason(self, shape: Shape) -> str:
        """Returns why this detector cannot be fitted to features of this shape, or nothing."""
        return ""


def check_temperature(temperature: float) -> None:
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}.")


@dataclass(frozen=True)
class Normalizing(Detector):
    """A detector on z / ||z||, or on z as it is (in 2D, where the radius matters)."""

    normalize: bool = True

    def placed(self, energy: Energy) -> Energy:
        return Normalized(energy) if self.normalize else energy

    def seen(self, train: Features) -> Tensor:
        """Returns what the energy inside sees of the features, (N, d)."""
        return on_sphere(train).z if self.normalize else train.z.to(working_precision(train.z))
