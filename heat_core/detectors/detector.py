"""Detectors: frozen dataclasses of hyperparameters that build an energy and fit it."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from heat_core.arguments import check_seed
from heat_core.diagnostics import ToDiagnose
from heat_core.energies import (
    Energy,
    Normalized,
    on_sphere,
    working_precision,
)
from heat_core.features import Features
from heat_core.pack import NO_EXTRA, ExtraID
from heat_core.training.objectives import Objective
from heat_core.training.trainer import OnRecord, ignore


@dataclass(frozen=True)
class Shape:
    """The sizes of training features, which a blank energy is built from.

    Args:
        dim: their width d.
        classes: how many distinct labels they have; a head may know more.
        rows: N.
        head: how many logits the classifier's head gives, 0 without one.
        views: {name: width} of their other views.

    >>> import torch
    >>> Shape.of(Features(torch.zeros(5, 3), torch.tensor([0, 0, 1, 1, 7])))
    Shape(dim=3, classes=3, rows=5, head=0, views={})
    """

    dim: int
    classes: int
    rows: int
    head: int
    views: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, train: Features) -> Shape:
        """Returns the shape of training features."""
        head = 0 if train.head is None else len(train.head.bias)
        views = {name: view.shape[1] for name, view in train.views.items()}
        return cls(train.dim, len(train.classes), len(train), head, views)

    def width(self, view: str) -> int:
        """Returns how many columns a view has; `z` is the features themselves."""
        return self.dim if view == "z" else self.views[view]


@dataclass(frozen=True)
class Detector(abc.ABC):
    """A detector with its values: what it takes to build an energy and to fit it.

    Detectors are frozen dataclasses. Equal ones with the same seed and features give equal scores.

    Attributes:
        title: its name.
        summary: what its score says, in a few words.
    """

    title: ClassVar[str]
    summary: ClassVar[str]

    @property
    def name(self) -> str:
        """What it is called with its settings; mostly its title."""
        return self.title

    @property
    def description(self) -> str:
        """What its score says with its settings, in a few words; mostly its summary."""
        return self.summary

    @property
    def objective(self) -> Objective | None:
        """The loss by which it learns; None for a closed form."""
        return None

    @property
    def trains(self) -> bool:
        """Whether fitting takes steps, and a seed."""
        return self.objective is not None

    @abc.abstractmethod
    def build(self, shape: Shape) -> Energy:
        """Returns a blank energy, ready for `load_state_dict`."""

    def term_names(self, shape: Shape) -> tuple[str, ...]:
        """Returns the names of the score's terms, as `explain.term_values` has them, in order.

        The title where there is a single one.
        """
        return (self.title,)

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        """Returns the views side by side in the energy's input; `z` is the features themselves."""
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
            ValueError: the features lack what the detector needs, or the seed is none.
        """
        seed = check_seed(seed)
        return self.blank(train).fit(train)

    def prior_part_titles(self, shape: Shape) -> tuple[str, ...]:
        """Returns what its first term adds up, in words, where that is a prior; else nothing."""
        return ()

    def left_out(self, shape: Shape) -> str:
        """Returns what it goes without on features of this shape, in a sentence; mostly nothing."""
        return ""

    def warning(self, energy: Energy, shape: Shape) -> str:
        """Returns what a reader of this detector's fitted energy must know, mostly nothing."""
        return ""

    def chosen_settings(self, energy: Energy, shape: Shape) -> dict[str, float]:
        """Returns {setting: value} of what was left open, and found at fit on ID data alone."""
        return {}

    def to_diagnose(
        self, energy: Energy, train: Features, extra: ExtraID, seed: int
    ) -> ToDiagnose | None:
        """Returns what there is to diagnose of a fitted energy; None where nothing was learned."""
        return None

    def blank(self, train: Features) -> Energy:
        """Returns `build` of the features' shape, on their device, in their working precision.

        Raises ValueError if the features lack what the detector needs.
        """
        reason = self.unsupported_features(train)
        if reason:
            raise ValueError(reason)
        return self.build(Shape.of(train)).to(train.z.device, working_precision(train.z))

    def unsupported_reason(self, shape: Shape) -> str:
        """Returns why this detector cannot be fitted to features of this shape, or nothing."""
        return ""

    def unsupported_features(self, train: Features) -> str:
        """Returns why this detector cannot be fitted to these features, or nothing.

        That may be their shape, or their values.
        """
        return self.unsupported_reason(Shape.of(train))


@dataclass(frozen=True)
class NeedsHead(Detector):
    """A detector that needs the classifier's last layer."""

    def unsupported_reason(self, shape: Shape) -> str:
        if shape.head:
            return ""
        return f"{self.title} needs the classifier's head (weight and bias), and there is none."


def check_temperature(temperature: float) -> None:
    """Raises ValueError unless a temperature is above 0."""
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}.")


@dataclass(frozen=True)
class Normalizing(Detector):
    """A detector on z / ||z||, or on z as it is (in 2D, where the radius matters).

    Args:
        normalize: whether the energy sees z / ||z||.
    """

    normalize: bool = True

    def unsupported_reason(self, shape: Shape) -> str:
        if shape.dim > 1 or not self.normalize:
            return ""
        return (
            f"{self.title} sees the direction z / ||z|| alone, and a single feature has only two; "
            "it needs at least 2 features."
        )

    def normalized(self, energy: Energy) -> Energy:
        """Returns an energy of z / ||z|| as one of z, or the energy itself."""
        return Normalized(energy) if self.normalize else energy

    def inner_features(self, train: Features) -> Features:
        """Returns the features as the energy inside `normalized` sees them."""
        return on_sphere(train) if self.normalize else train

    def inner_z(self, train: Features) -> Tensor:
        """Returns z as the energy inside `normalized` sees it, (N, d), at least in float32."""
        return self.inner_features(train).z.to(working_precision(train.z))
