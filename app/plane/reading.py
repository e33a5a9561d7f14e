"""Readings of a fitted energy in the plane: layers on a window, terms of a point, modes, rays.

No Streamlit here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.plane.training import TOTAL, Layer, ToyChoice
from app.text import common_decimals

if TYPE_CHECKING:
    from heat_core.energies import Energy
    from heat_core.plane.grid import Grid

WINDOW_SIDE = 101  # points a side of what is drawn: every second and every fourth reach both edges
ERROR_SIDE = 75  # points a side of the map of errors
RAY_POINTS = 240
ID_KEPT = 0.95  # the share of ID that the threshold keeps
FAR_EXTENTS = 10.0  # how many extents out "far from the data" is
FAR_DIRECTIONS = 360  # in how many directions it is looked at
FRESH_SEED = 1_000_003  # added to the seed for ID points that nothing was fitted to
FRESH_POINTS = 4000
MAX_TRUE_ENERGY = 1e3  # drawn where the density is zero

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PlaneWindow:
    """The square [x - half, x + half] x [y - half, y + half] in `side` x `side` points."""

    x: float
    y: float
    half: float
    side: int = WINDOW_SIDE

    @property
    def axes(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(side,) coordinates in x and in y."""
        offset = np.linspace(-self.half, self.half, self.side)
        return (self.x + offset).astype(np.float32), (self.y + offset).astype(np.float32)

    @property
    def ranges(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The first and the last coordinate, in x and in y."""
        x, y = self.axes
        return (float(x[0]), float(x[-1])), (float(y[0]), float(y[-1]))

    @property
    def points(self) -> Array:
        """(side^2, 2), row by row from the bottom left."""
        x_axis, y_axis = self.axes
        x, y = np.meshgrid(x_axis.astype(np.float64), y_axis.astype(np.float64))
        return np.stack([x.ravel(), y.ravel()], 1)


@dataclass(frozen=True, eq=False)
class EnergyReading:
    """A fitted energy as a whole, held against the truth.

    Args:
        id_energies: {term: (n,) sorted energies of fresh ID points}, with `total`.
        threshold: of the total, keeping 95 % of them.
        temperature: T_G; None without a prior.
        alpha: of the objective, where |E_theta| <= 1 / (2 alpha) at its optimum; None where there
            is no such bound.
        largest_e_theta: the largest |E_theta| on the grid; None without a learned energy.
        lowest: the lowest total energy on the grid.
        log_z: the log of the integral of exp(-E) over the grid.
        true_mass, model_mass: (modes,) the share of probability of each mode.
        density_error: (ERROR_SIDE, ERROR_SIDE) true density - model density, means over blocks of
            the square, in shares of the largest true density: below zero where the model has too
            much.
        far_out: the share of directions in which a point far from the data is out.
        centre: the mean of the training data.
        extent: half the side of the toy's square.
    """

    id_energies: Mapping[str, Array]
    threshold: float
    temperature: float | None
    alpha: float | None
    largest_e_theta: float | None
    lowest: float
    log_z: float
    true_mass: Array
    model_mass: Array
    density_error: Layer
    far_out: float
    centre: tuple[float, float]
    extent: float

    @property
    def bound(self) -> float | None:
        """1 / (2 alpha)."""
        return None if self.alpha is None else 1 / (2 * self.alpha)

    @property
    def error_window(self) -> PlaneWindow:
        """The points that `density_error` is of: the centres of the blocks that it averages."""
        side = len(self.density_error)
        return PlaneWindow(0.0, 0.0, self.extent * (1 - 1 / side), side)

    @property
    def modes_kept(self) -> int:
        """How many modes hold at least `MIN_MODE_SHARE` of their true mass in the model."""
        from heat_core.plane.grid import MIN_MODE_SHARE

        return int((self.model_mass >= MIN_MODE_SHARE * self.true_mass).sum())


@dataclass(frozen=True, eq=False)
class Ray:
    """Energies along the ray from the data's mean through a point.

    Args:
        distances: (n,) from the data's mean.
        energies: {term, `total` or `truth`: (n,)}. The truth is -log p - log Z, so that it lies on
            the total where the model is exact; nan where the density is zero.
        point_distance: of the point.
    """

    distances: NDArray[np.float32]
    energies: Mapping[str, NDArray[np.float32]]
    point_distance: float


@dataclass(frozen=True)
class PointTerms:
    """The energy of a point, term by term.

    Args:
        terms: {term: nats}, in the order in which they add up.
        total: their sum.
        percentiles: {term: share of fresh ID points that have at most as much}, with `total`.
        true_energy: the exact -log p, infinite where the density is zero.
        mode: the likeliest mode of the point.
        threshold: above it the point is out.
    """

    terms: Mapping[str, float]
    total: float
    percentiles: Mapping[str, float]
    true_energy: float
    mode: int
    threshold: float

    @property
    def out(self) -> bool:
        """The verdict: whether the point is called OOD."""
        return self.total > self.threshold

    @property
    def sentence(self) -> str:
        """`prior 1.31 + correction -0.04 = 1.27, verdict in: 95 % of ID lie at or below 3.20`.

        Each term and the total are rounded by themselves, as in a table of them. Where the rounded
        terms do not add up to the rounded total, `≈` says so.
        """
        digits = self.decimals
        named_values = [f"{name} {value:.{digits}f}" for name, value in self.terms.items()]
        equation = " + ".join(named_values)
        if len(self.terms) > 1:
            rounded_sum = sum(round(value, digits) for value in self.terms.values())
            adds_up = round(rounded_sum, digits) == round(self.total, digits)
            equation += f" {'=' if adds_up else '≈'} {self.total:.{digits}f}"
        verdict = "out" if self.out else "in"
        limit = f"{self.threshold:.{digits}f}"
        return f"{equation}, verdict {verdict}: 95 % of ID lie at or below {limit}"

    @property
    def decimals(self) -> int:
        """How many digits after the point its values have, the total and the threshold, too."""
        return common_decimals([*self.terms.values(), self.total, self.threshold])


def layers(terms: Mapping[str, Energy], window: PlaneWindow) -> dict[str, Layer]:
    """Returns {term: (side, side)}, first axis y, with `total`.

    Args:
        terms: {name: term} of an energy, as `ToyResult.terms`.
    """
    shape = window.side, window.side
    energies = _term_energies(terms, window.points)
    return {name: values.reshape(shape).astype(np.float32) for name, values in energies.items()}


def read(terms: Mapping[str, Energy], choice: ToyChoice, grid: Grid) -> EnergyReading:
    """Returns the reading of an energy that was fitted to a choice, on a grid over its toy.

    Args:
        terms: {name: term} of it, as `ToyResult.terms`.
    """
    from heat_core.energies import Tempered
    from heat_core.metrics import threshold_keeping

    detector = choice.build_detector()
    prior, *_ = terms.values()
    id_energies = _fresh_id_energies(terms, grid, choice.seed)
    threshold = threshold_keeping(id_energies[TOTAL], ID_KEPT)

    grid_energies = [grid.evaluate(term) for term in terms.values()]
    total = np.sum(grid_energies, axis=0)
    true_mass = grid.true_mass
    model_mass = grid.model_mass(total)

    centre = grid.toy.features(seed=choice.seed).z.mean(0).numpy()
    far_points = _ring(centre, FAR_EXTENTS * grid.toy.extent)
    far_energies = _term_energies(terms, far_points)[TOTAL]
    return EnergyReading(
        id_energies,
        threshold,
        temperature=float(prior.temperature) if isinstance(prior, Tempered) else None,
        alpha=getattr(detector.objective, "alpha", None) or None,
        largest_e_theta=float(np.abs(grid_energies[-1]).max()) if detector.trains else None,
        lowest=float(total.min()),
        log_z=grid.log_z(total),
        true_mass=grid.mode_mass(true_mass / true_mass.sum()),
        model_mass=grid.mode_mass(model_mass),
        density_error=_density_error(grid, model_mass, true_mass),
        far_out=float(np.mean(far_energies > threshold)),
        centre=(float(centre[0]), float(centre[1])),
        extent=grid.toy.extent,
    )


def point_terms(
    terms: Mapping[str, Energy], reading: EnergyReading, toy_name: str, x: float, y: float
) -> PointTerms:
    """Returns the energy of a point term by term.

    Args:
        terms: {name: term} of a fitted energy.
    """
    import torch

    from heat_core.metrics import percentile
    from heat_core.plane.toys import toy

    point = np.array([[x, y]])
    energies = {name: float(value[0]) for name, value in _term_energies(terms, point).items()}
    percentiles = {
        name: float(percentile(reading.id_energies[name], [value])[0])
        for name, value in energies.items()
    }

    the_toy = toy(toy_name)
    exact_point = torch.from_numpy(point)
    return PointTerms(
        {name: energies[name] for name in terms},
        total=energies[TOTAL],
        percentiles=percentiles,
        true_energy=-float(the_toy.log_prob(exact_point)),
        mode=int(the_toy.mode_of(exact_point)),
        threshold=reading.threshold,
    )


def ray(
    terms: Mapping[str, Energy],
    reading: EnergyReading,
    toy_name: str,
    x: float,
    y: float,
    extents: float,
) -> Ray:
    """Returns energies along the ray from the data's mean through a point.

    Args:
        terms: {name: term} of a fitted energy.
        extents: how far out the ray reaches, in extents of the toy.
    """
    import torch

    from heat_core.plane.toys import toy

    distances = np.linspace(0, extents * reading.extent, RAY_POINTS)
    points = np.array(reading.centre) + distances[:, None] * direction(reading.centre, x, y)
    energies = _term_energies(terms, points)
    true_energy = -toy(toy_name).log_prob(torch.from_numpy(points)).numpy() - reading.log_z
    energies["truth"] = np.where(np.isfinite(true_energy), true_energy, np.nan)
    return Ray(
        distances.astype(np.float32),
        {name: values.astype(np.float32) for name, values in energies.items()},
        point_distance=math.hypot(x - reading.centre[0], y - reading.centre[1]),
    )


def direction(centre: tuple[float, float], x: float, y: float) -> Array:
    """Returns the unit vector (2,) from the centre to a point; to the right if they are one."""
    offset = np.array([x - centre[0], y - centre[1]])
    length = math.hypot(*offset)
    return offset / length if length > 1e-9 else np.array([1.0, 0.0])


def true_energy(toy_name: str, window: PlaneWindow) -> Layer:
    """Returns the exact -log p on a window, (side, side); at most 1000 where the density is 0."""
    import torch

    from heat_core.plane.toys import toy

    exact = -toy(toy_name).log_prob(torch.from_numpy(window.points)).numpy()
    bounded = np.minimum(exact, MAX_TRUE_ENERGY)
    return bounded.reshape(window.side, window.side).astype(np.float32)


def _term_energies(terms: Mapping[str, Energy], points: NDArray) -> dict[str, Array]:
    """Returns {term: (n,)} at points (n, 2), with `total`."""
    import torch

    from heat_core.energies import score

    z = torch.from_numpy(np.asarray(points, dtype=np.float32))
    energies = {name: score(term, z) for name, term in terms.items()}
    return {**energies, TOTAL: np.sum(list(energies.values()), axis=0)}


def _fresh_id_energies(terms: Mapping[str, Energy], grid: Grid, seed: int) -> dict[str, Array]:
    """Returns {term: (n,) sorted energies} of ID points that nothing was fitted to."""
    import torch

    generator = torch.Generator().manual_seed(seed + FRESH_SEED)
    points, _ = grid.toy.sample(FRESH_POINTS, generator)
    energies = _term_energies(terms, points.numpy())
    return {name: np.sort(values) for name, values in energies.items()}


def _ring(centre: NDArray, radius: float) -> Array:
    """Returns points evenly around a centre, (FAR_DIRECTIONS, 2)."""
    angle = np.linspace(0, 2 * np.pi, FAR_DIRECTIONS, endpoint=False)
    return centre + radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def _density_error(grid: Grid, model_mass: Array, true_mass: Array) -> Layer:
    """Returns true density - model density, drawn coarsely, (ERROR_SIDE, ERROR_SIDE)."""
    error = (true_mass - model_mass) / true_mass.max()
    block = grid.side // ERROR_SIDE
    blocks = error.reshape(ERROR_SIDE, block, ERROR_SIDE, block)
    return blocks.mean((1, 3)).astype(np.float32)
