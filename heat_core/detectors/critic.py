"""A critic: a learned energy that tells ID features from those of destroyed ID images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from heat_core.diagnostics import ToDiagnose
from heat_core.energies import (
    DirectionAndNorm,
    Energy,
    Ensemble,
    GaussianMixture,
    Network,
    on_sphere,
    working_precision,
)
from heat_core.features import Features
from heat_core.images.pseudo import COMPOSED
from heat_core.pack import ExtraID
from heat_core.training.objectives import LeastSquares
from heat_core.training.trainer import OnRecord, TrainingTask

from .detector import Shape

DIAGNOSED_ROWS = 4000  # rows of data that a diagnosis looks at


def networks_of(energy: Energy) -> list[Network]:
    """Returns the networks that an energy is made of, in order."""
    return [part for part in energy.modules() if isinstance(part, Network)]


def check_members(members: int) -> None:
    if members < 1:
        raise ValueError(f"members must be at least 1, got {members}.")


@dataclass(frozen=True)
class Perceptron:
    """The size of a learned energy; the fields are those of `energies.Network`."""

    width: int = 256
    depth: int = 3
    frequencies: int = 0
    bandwidth: float = 1.0
    plain: bool = False
    temperature: float = 1.0

    def build(self, dim: int, members: int = 1) -> Network | Ensemble:
        """Returns a blank network of (N, dim), or so many of them."""
        settings = (
            self.width,
            self.depth,
            self.frequencies,
            self.bandwidth,
            self.plain,
            self.temperature,
        )
        networks = [Network(dim, *settings) for _ in range(members)]
        return networks[0] if members == 1 else Ensemble(networks)


@dataclass(frozen=True)
class Critic:
    """How E_theta learns from pseudo-OOD families: destroyed ID images show it where ID ends.

    E_theta sees [z / ||z||, log ||z||] and, where there is one, the same of the std-pooled view. It is a bounded verdict of
    ID against destroyed ID, not the log of a density ratio. No OOD image is seen. Which average of the weights is kept is
    decided on held-out ID images and their destroyed versions, where the pack has them.

    Its inputs are standardised, and both sides get noise of `training.jitter` deviations: without it E_theta learns the
    families' own textures, and judges families that it was not shown worse than Gaussians do.

    Args:
        training: `jitter` is in standard deviations of the training features.
        compositions: the weight of compositions of two families; every single family has weight 1.
        members: how many networks; E_theta is their mean.
    """

    network: Perceptron = Perceptron(width=128, depth=2)
    training: LeastSquares = LeastSquares(
        steps=300, batch=256, rate=1e-4, weight_decay=1e-2, jitter=2.0
    )
    compositions: float = 4.0
    members: int = 1

    def __post_init__(self) -> None:
        check_members(self.members)

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        return ("z", "std") if "std" in shape.views else ("z",)

    def build(self, shape: Shape) -> DirectionAndNorm:
        views = {name: shape.width(name) for name in self.input_views(shape)}
        return DirectionAndNorm(
            self.network.build(sum(views.values()) + len(views), self.members), views
        )

    def learn(
        self,
        correction: DirectionAndNorm,
        train: Features,
        extra: ExtraID,
        seed: int,
        energy: Energy,
        on_record: OnRecord,
    ) -> None:
        """Trains a correction that is fitted, and a part of `energy`, in place."""

        def seen(features: Features) -> Tensor:
            return correction.map(
                features.columns(list(correction.views)).to(working_precision(train.z))
            )

        families = extra.pseudo
        negatives = torch.cat([seen(family) for family in families.values()])
        shares = self._shares(families).to(negatives)

        def noise(count: int, generator: torch.Generator) -> Tensor:
            return negatives[
                torch.multinomial(shares, count, replacement=True, generator=generator)
            ]

        held_out = None
        if extra.val is not None and extra.pseudoval:
            held_out = (
                seen(extra.val),
                torch.cat([seen(family) for family in extra.pseudoval.values()]),
            )
        z = seen(train)
        tasks = [
            TrainingTask(network, z, noise, energy, judges=held_out)
            for network in networks_of(correction)
        ]
        self.training.fit(tasks, seed, on_record)

    def to_diagnose(
        self, energy: Energy, correction: DirectionAndNorm, train: Features, extra: ExtraID
    ) -> ToDiagnose:
        """Returns what there is to diagnose of a critic that is part of a fitted energy: its size and its gap."""
        z, noise = (
            correction.map(features.columns(list(correction.views)).to(working_precision(train.z)))
            for features in (
                train.take(torch.arange(min(len(train), DIAGNOSED_ROWS))),
                next(iter(extra.pseudo.values())),
            )
        )
        mixture = GaussianMixture(train.dim, len(train.classes)).to(z).fit(on_sphere(train))
        return ToDiagnose(
            energy, correction.energy, mixture, z, noise, self.training.bound, density=False
        )

    def weigh(self, families: Mapping[str, Features]) -> dict[str, float]:
        """Returns the weight of each family."""
        return {name: self.compositions if name == COMPOSED else 1.0 for name in families}

    def _shares(self, families: Mapping[str, Features]) -> Tensor:
        """Returns the weight of each row of the families, one after the other."""
        weights = self.weigh(families)
        return torch.cat(
            [
                torch.full((len(family),), weights[name] / len(family))
                for name, family in families.items()
            ]
        )
