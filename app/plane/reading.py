"""Readings of a fitted energy in the plane: layers on a window, a point spelled out, modes, rays. No Streamlit here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from app.plane.training import ToyChoice
    from heat_core.energies import Energy
    from heat_core.plane.grid import Grid

SIDE = 101  # points a side of what is drawn: every second and every fourth reach both edges
COARSE = 75  # of the map of errors
ALONG = 240  # points of a ray
KEEP = 0.95  # of ID, by the threshold of a verdict
FAR, DIRECTIONS = (
    10.0,
    360,
)  # how many extents out "far from the data" is, and in how many directions
FRESH = 1_000_003  # added to the seed for ID points that nothing was fitted to
TEST = 4000  # of them

Array = NDArray[np.float64]
Layer = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """The square [x - half, x + half] x [y - half, y + half] that is looked at, in `side` x `side` points."""

    x: float
    y: float
    half: float
    side: int = SIDE

    @property
    def axes(self) -> tuple[Layer, Layer]:
        """(side,) coordinates in x and in y."""
        offset = np.linspace(-self.half, self.half, self.side)
        return (self.x + offset).astype(np.float32), (self.y + offset).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Reading:
    """What is known of a fitted energy as a whole.

    Args:
        inside: {term: (n,) sorted energies of fresh ID points}, with `total`.
        threshold: of the total, keeping 95 % of them.
        temperature: T_G; None without a prior.
        alpha: of the objective, where |E_theta| <= 1 / (2 alpha) at its optimum; None where there is no such bound.
        largest: the largest |E_theta| on the grid; None without a learned energy.
        log_z: the log of the integral of exp(-E) over the grid.
        owed, held: (modes,) the share of probability of each mode in truth and in the model.
        wrong: (COARSE, COARSE) model density - true density, in shares of the largest true density.
        caught: the share of directions in which a point far from the data is rejected.
        centre: the mean of the training data.
        extent: half the side of the toy's square.
    """

    inside: Mapping[str, Array]
    threshold: float
    temperature: float | None
    alpha: float | None
    largest: float | None
    log_z: float
    owed: Array
    held: Array
    wrong: Layer
    caught: float
    centre: tuple[float, float]
    extent: float

    @property
    def bound(self) -> float | None:
        """1 / (2 alpha)."""
        return None if self.alpha is None else 1 / (2 * self.alpha)


@dataclass(frozen=True)
class Spelled:
    """A point's energy spelled out.

    Args:
        terms: {term: nats}, in the order in which they add up; `total` is their sum.
        ranks: {term: share of ID that is lower}, with `total`.
        truth: the exact -log p, infinite where the density is zero.
        mode: which mode it belongs to.
        threshold: above it means out.
    """

    terms: Mapping[str, float]
    total: float
    ranks: Mapping[str, float]
    truth: float
    mode: int
    threshold: float

    @property
    def out(self) -> bool:
        return self.total > self.threshold

    @property
    def sentence(self) -> str:
        """`prior 1.31 + correction -0.04 = 1.27, verdict in: 95 % of ID lie below 3.20`.

        The parts are rounded so that the sum can be checked by eye.
        """
        spelled = " + ".join(f"{name} {value:.2f}" for name, value in self.terms.items())
        total = sum(round(value, 2) for value in self.terms.values())
        result = f" = {total:.2f}" if len(self.terms) > 1 else ""
        return f"{spelled}{result}, verdict {'out' if self.out else 'in'}: 95 % of ID lie at or below {self.threshold:.2f}"


def names(energy: Energy) -> tuple[str, ...]:
    """Returns what an energy's terms are called."""
    return ("prior", "correction") if len(energy.terms()) == 2 else ("energy",)


def layers(energy: Energy, window: Window) -> dict[str, Layer]:
    """Returns {term: (side, side)}, first axis y, and `total` where there are several."""
    terms = _terms(energy, _grid(window))
    return {
        name: value.reshape(window.side, window.side).astype(np.float32)
        for name, value in terms.items()
    }


def read(energy: Energy, choice: ToyChoice, grid: Grid) -> Reading:
    """Returns the reading of an energy that was fitted to a choice, on a grid over its toy."""
    import torch

    from heat_core.detectors.presets import preset_detector
    from heat_core.energies import Tempered
    from heat_core.metrics import threshold_keeping

    truth, fitted = grid.toy, preset_detector(choice.detector, choice.preset, "plane")
    fresh, _ = truth.sample(TEST, torch.Generator().manual_seed(choice.seed + FRESH))
    inside = {name: np.sort(value) for name, value in _terms(energy, fresh.numpy()).items()}
    total = list(inside)[-1]
    threshold = threshold_keeping(inside[total], KEEP)
    learned, prior = fitted.trains, energy.terms()[0]
    terms = [grid.energy(term) for term in energy.terms()]
    log_z, owed, held, wrong = _against(grid, np.sum(terms, axis=0))
    centre = truth.features(seed=choice.seed).z.mean(0)
    angle = np.linspace(0, 2 * np.pi, DIRECTIONS, endpoint=False)
    ring = centre.numpy() + FAR * truth.extent * np.stack([np.cos(angle), np.sin(angle)], 1)
    return Reading(
        inside,
        threshold,
        float(prior.temperature) if isinstance(prior, Tempered) else None,
        getattr(fitted.objective, "alpha", None) or None,
        float(np.abs(terms[-1]).max()) if learned else None,
        log_z,
        owed,
        held,
        wrong,
        float(np.mean(_terms(energy, ring)[total] > threshold)),
        (float(centre[0]), float(centre[1])),
        truth.extent,
    )


def spell(energy: Energy, reading: Reading, toy: str, x: float, y: float) -> Spelled:
    """Returns a point's energy spelled out."""
    import torch

    from heat_core.plane.toys import toy as named

    truth, point = named(toy), np.array([[x, y]])
    values = {name: float(value[0]) for name, value in _terms(energy, point).items()}
    ranks = {
        name: float(np.searchsorted(reading.inside[name], value) / TEST)
        for name, value in values.items()
    }
    exact = torch.from_numpy(point)
    terms = {name: value for name, value in values.items() if name in names(energy)}
    ranks["total"] = ranks[list(values)[-1]]
    return Spelled(
        terms,
        sum(values[name] for name in terms),
        ranks,
        -float(truth.log_prob(exact)),
        int(truth.mode_of(exact)),
        reading.threshold,
    )


def ray(
    energy: Energy, reading: Reading, toy: str, x: float, y: float, extents: float
) -> tuple[Layer, dict[str, Layer]]:
    """Returns energies along the ray from the data's mean through a point: distances (n,), {term or truth: (n,)}.

    `truth` is -log p - log Z, so that it lies on the total where the model is exact; nan where the density is zero.
    """
    import torch

    from heat_core.plane.toys import toy as named

    distance = np.linspace(0, extents * reading.extent, ALONG)
    points = np.array(reading.centre) + distance[:, None] * direction(reading.centre, x, y)
    exact = -named(toy).log_prob(torch.from_numpy(points)).numpy() - reading.log_z
    lines = {**_terms(energy, points), "truth": np.where(np.isfinite(exact), exact, np.nan)}
    return distance.astype(np.float32), {
        name: line.astype(np.float32) for name, line in lines.items()
    }


def direction(centre: tuple[float, float], x: float, y: float) -> Array:
    """Returns the unit vector from the centre to a point; to the right if they are one."""
    step = np.array([x - centre[0], y - centre[1]])
    length = math.hypot(*step)
    return step / length if length > 1e-9 else np.array([1.0, 0.0])


def true_energy(toy: str, window: Window) -> Layer:
    """Returns the exact -log p on a window, (side, side); at most 1000, where the density is zero."""
    import torch

    from heat_core.plane.toys import toy as named

    exact = -named(toy).log_prob(torch.from_numpy(_grid(window))).numpy()
    return np.minimum(exact, 1e3).reshape(window.side, window.side).astype(np.float32)


def _grid(window: Window) -> Array:
    x, y = np.meshgrid(*(axis.astype(np.float64) for axis in window.axes))
    return np.stack([x.ravel(), y.ravel()], 1)


def _terms(energy: Energy, points: NDArray) -> dict[str, Array]:
    """Returns {term: (n,)}, and `total` last where there are several."""
    import torch

    from heat_core.energies import score

    z = torch.from_numpy(np.asarray(points, dtype=np.float32))
    terms = {name: score(term, z) for name, term in zip(names(energy), energy.terms(), strict=True)}
    return terms | ({"total": np.sum(list(terms.values()), axis=0)} if len(terms) > 1 else {})


def _against(grid: Grid, total: Array) -> tuple[float, Array, Array, Layer]:
    """Returns log Z, each mode's mass in truth and in the model, and the difference of the densities, drawn coarsely."""
    flat = total.ravel()
    weight = np.exp(flat.min() - flat)
    log_z = grid.log_z(total)
    model, true = weight / weight.sum(), np.exp(grid.truth) * grid.area
    owed, held = (
        np.bincount(grid.mode, mass, grid.toy.modes).astype(float)
        for mass in (true / true.sum(), model)
    )
    wrong = (
        ((model - true) / true.max()).reshape(COARSE, grid.side // COARSE, COARSE, -1).mean((1, 3))
    )
    return log_z, owed, held, wrong.astype(np.float32)
