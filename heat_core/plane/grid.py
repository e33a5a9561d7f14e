"""A 2D model held against the truth: integrals on a grid, since in two dimensions nothing needs to be estimated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heat_core.energies import Energy, score

from .toys import Toy

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Distance:
    """How far a model is from the truth.

    kl, tv, jsd: KL(true || model) in nats, total variation, Jensen-Shannon divergence in nats.
    modes: how many of `modes_total` hold at least half of their true mass in the model.
    missed: the share of the true mass that lies beyond the grid.
    """

    kl: float
    tv: float
    jsd: float
    modes: int
    modes_total: int
    missed: float


@dataclass(frozen=True)
class Grid:
    """A square grid over a toy, with the truth on it. Points are cell centres, row by row from the bottom left.

    Args:
        toy: the density.
        side: points a side.
    """

    toy: Toy
    side: int = 300

    @cached_property
    def axis(self) -> Array:
        """(side,) coordinates of the cell centres, the same in x and y."""
        half = self.toy.extent
        return (np.arange(self.side) + 0.5) / self.side * 2 * half - half

    @cached_property
    def points(self) -> Tensor:
        """(side^2, 2) float32."""
        y, x = np.meshgrid(self.axis, self.axis, indexing="ij")
        return torch.from_numpy(np.stack([x.ravel(), y.ravel()], 1)).float()

    @property
    def area(self) -> float:
        """The area of a cell."""
        return (2 * self.toy.extent / self.side) ** 2

    @cached_property
    def truth(self) -> Array:
        """(side^2,) the true log density."""
        return self.toy.log_prob(self.points.double()).numpy()

    @cached_property
    def mode(self) -> NDArray[np.int64]:
        """(side^2,) the mode that each point belongs to."""
        return self.toy.mode_of(self.points.double()).numpy()

    def energy(self, energy: Energy) -> Array:
        """Returns (side, side) energies, the first axis y."""
        return score(energy, self.points, batch=16384).reshape(self.side, self.side)

    def distance(self, energy: Array) -> Distance:
        """Returns how far exp(-energy), normalised on the grid, is from the truth.

        Args:
            energy: (side, side) or (side^2,), up to a constant.

        Raises:
            ValueError: an energy is not finite.
        """
        flat = np.asarray(energy, dtype=np.float64).ravel()
        if not np.isfinite(flat).all():
            raise ValueError("the energy must be finite on the grid.")
        weight = np.exp(flat.min() - flat)
        model = weight / weight.sum()
        log_model = flat.min() - flat - np.log(weight.sum())
        mass = np.exp(self.truth) * self.area
        true = mass / mass.sum()
        log_true = np.where(true > 0, self.truth + np.log(self.area) - np.log(mass.sum()), 0.0)
        middle = np.log((true + model) / 2, where=true + model > 0, out=np.zeros_like(true))
        kl = float(np.sum(true * (log_true - log_model)))
        jsd = float(np.sum(true * (log_true - middle)) + np.sum(model * (log_model - middle))) / 2
        held, owed = (
            np.bincount(self.mode, weights=p, minlength=self.toy.modes) for p in (model, true)
        )
        modes = int(np.sum(held >= 0.5 * owed))
        return Distance(
            kl,
            float(np.abs(true - model).sum()) / 2,
            jsd,
            modes,
            self.toy.modes,
            float(1 - mass.sum()),
        )
