"""Integrals on a grid: in two dimensions the distance of a model from the truth is computed."""

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

MIN_MODE_SHARE = 0.5  # of its true mass, for a mode to count as kept


@dataclass(frozen=True)
class Distance:
    """How far a model is from the truth.

    Args:
        kl: KL(true || model) in nats.
        tv: total variation, in [0, 1].
        jsd: Jensen-Shannon divergence in nats.
        modes_kept: how many of `modes_total` hold at least half of their true mass in the model.
        modes_total: modes of the truth.
        mass_beyond_grid: the share of the true mass that lies there.
    """

    kl: float
    tv: float
    jsd: float
    modes_kept: int
    modes_total: int
    mass_beyond_grid: float


@dataclass(frozen=True)
class Grid:
    """A square grid over a toy, with the truth on it.

    Points are cell centres, row by row from the bottom left.

    Args:
        toy: the density.
        side: points a side.

    >>> from heat_core.plane.toys import toy
    >>> grid = Grid(toy("blobs"), side=100)
    >>> grid.points.shape
    torch.Size([10000, 2])
    >>> true_energy = 1.5 - grid.true_log_prob  # a constant does not matter
    >>> distance = grid.distance(true_energy)
    >>> round(distance.kl, 6), distance.modes_kept
    (0.0, 4)
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
    def cell_area(self) -> float:
        """The area of a cell."""
        return (2 * self.toy.extent / self.side) ** 2

    @cached_property
    def _log_prob_and_mode(self) -> tuple[Tensor, Tensor]:
        return self.toy.log_prob_and_mode(self.points.double())

    @property
    def true_log_prob(self) -> Array:
        """(side^2,) the toy's exact log density; -inf where it is zero."""
        return self._log_prob_and_mode[0].numpy()

    @property
    def mode(self) -> NDArray[np.int64]:
        """(side^2,) the mode that each point belongs to."""
        return self._log_prob_and_mode[1].numpy()

    @property
    def true_mass(self) -> Array:
        """(side^2,) the true probability of each cell; their sum is the mass on the grid."""
        return np.exp(self.true_log_prob) * self.cell_area

    def model_mass(self, energy: Array) -> Array:
        """Returns the probability of each cell under exp(-energy), normalised, (side^2,).

        Args:
            energy: (side, side) or (side^2,), up to a constant.
        """
        flat = np.asarray(energy, dtype=np.float64).ravel()
        weight = np.exp(flat.min() - flat)
        return weight / weight.sum()

    def log_z(self, energy: Array) -> float:
        """Returns the log of the integral of exp(-energy) over the grid.

        Args:
            energy: (side, side) or (side^2,).
        """
        flat = np.asarray(energy, dtype=np.float64).ravel()
        weight = np.exp(flat.min() - flat)
        return float(np.log(weight.sum() * self.cell_area) - flat.min())

    def mode_mass(self, mass: Array) -> Array:
        """Returns the sum over the cells of each mode, (modes,), of a mass (side^2,)."""
        by_mode = np.bincount(self.mode, weights=mass, minlength=self.toy.modes)
        return by_mode.astype(np.float64)

    def evaluate(self, energy: Energy) -> Array:
        """Returns the energies of all points, (side, side), the first axis y."""
        return score(energy, self.points).reshape(self.side, self.side)

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
        model = self.model_mass(flat)
        log_normaliser = np.log(np.exp(flat.min() - flat).sum())
        log_model = flat.min() - flat - log_normaliser

        mass = self.true_mass
        true = mass / mass.sum()
        log_cell = self.true_log_prob + np.log(self.cell_area) - np.log(mass.sum())
        log_true = np.where(true > 0, log_cell, 0.0)

        log_mean = np.log((true + model) / 2, where=true + model > 0, out=np.zeros_like(true))
        kl_true_to_mean = np.sum(true * (log_true - log_mean))
        kl_model_to_mean = np.sum(model * (log_model - log_mean))
        is_kept = self.mode_mass(model) >= MIN_MODE_SHARE * self.mode_mass(true)
        return Distance(
            kl=float(np.sum(true * (log_true - log_model))),
            tv=float(np.abs(true - model).sum()) / 2,
            jsd=float(kl_true_to_mean + kl_model_to_mean) / 2,
            modes_kept=int(np.sum(is_kept)),
            modes_total=self.toy.modes,
            mass_beyond_grid=float(1 - mass.sum()),
        )
