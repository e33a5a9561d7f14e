"""Points of one's own as a toy: typed as text, or spread over regions. Their density is unknown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from heat_core.features import Features
from heat_core.texts import one_line

from .classifier import auxiliary_in_all
from .toys import Toy

MIN_POINTS, MAX_POINTS = 10, 4000
MAX_CLASSES = 20
LARGEST = 1e6  # coordinate
FITTING = (1.0, 5.0)  # the largest coordinate of points that stay as they are
FITTED = 3.0  # the largest coordinate of points that were moved and scaled
MARGIN = 1.5  # how many times as far as the points the square reaches


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnPoints(Toy):
    """Points whose density nobody knows, in the square [-extent, extent]^2.

    Args:
        z: (N, 2) float32.
        y: (N,) their classes, each a mode.
        centre, unit: of the points as they were given, which are centre + unit z.

    >>> points = OwnPoints.of(torch.tensor([[0.0, 100.0], [20.0, 100.0]]), torch.tensor([0, 1]))
    >>> points.z.tolist(), points.unit
    ([[-3.0, 0.0], [3.0, 0.0]], 3.3333333333333335)
    """

    has_density: ClassVar[bool] = False

    z: Tensor
    y: Tensor
    centre: tuple[float, float] = (0.0, 0.0)
    unit: float = 1.0

    @classmethod
    def of(cls, z: Tensor, y: Tensor) -> OwnPoints:
        """Returns points (N, 2) of classes (N,), moved and scaled where they do not fit the plane.

        Raises:
            ValueError: all of them lie at one place.
        """
        low, high = z.amin(0).double(), z.amax(0).double()
        half = float((high - low).amax()) / 2
        if half == 0:
            raise ValueError("the points all lie at one place; wanted some that differ.")
        reach = float(z.abs().amax())
        centre, unit = (0.0, 0.0), 1.0
        if not FITTING[0] <= reach <= FITTING[1] or half < FITTING[0] / 2:
            middle = (low + high) / 2
            centre, unit = (float(middle[0]), float(middle[1])), half / FITTED
            z = ((z.double() - middle) / unit).float()
            reach = FITTED
        return cls(
            title="Own points",
            extent=MARGIN * reach,
            modes=int(y.max()) + 1,
            size=len(z),
            z=z.float(),
            y=y,
            centre=centre,
            unit=unit,
        )

    @property
    def was_scaled(self) -> bool:
        """Whether the points were moved and scaled."""
        return self.unit != 1 or self.centre != (0.0, 0.0)

    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Returns some of the points, drawn with replacement, (count, 2), and their classes."""
        rows = torch.randint(len(self.z), (count,), generator=generator)
        return self.z[rows], self.y[rows]

    def features(self, count: int | None = None, seed: int = 0) -> Features:
        """Returns all points, with their classes as labels: the same for every seed."""
        return Features(self.z, self.y)

    def mode_log_prob(self, z: Tensor) -> Tensor:
        """Raises ValueError: the density is not known."""
        raise ValueError("points of one's own have no exact density.")

    def mode_of(self, z: Tensor) -> Tensor:
        """Returns the class of the nearest point, (N,)."""
        blocks = [torch.cdist(block.float(), self.z).argmin(1) for block in z.split(4096)]
        return self.y[torch.cat(blocks)]


def parse_points(text: str) -> OwnPoints:
    """Returns the points of a text: `x, y` or `x, y, label` a line, with commas, tabs or spaces.

    Raises ValueError, in one line, on one that is of another form, and on too few or too many.

    >>> points = parse_points("\\n".join(f"{i}, {i * i / 9}, {'ab'[i % 2]}" for i in range(10)))
    >>> points.z.shape, points.y.tolist(), points.modes
    (torch.Size([10, 2]), [0, 1, 0, 1, 0, 1, 0, 1, 0, 1], 2)
    >>> parse_points("1, 2\\n1; north")
    Traceback (most recent call last):
    ValueError: line 2: wanted two numbers, got '1; north'.
    """
    coordinates: list[tuple[float, float]] = []
    labels: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            x, y, label = _parse_line(line, number)
            coordinates.append((x, y))
            labels.append(label)
        if len(coordinates) > MAX_POINTS:
            raise ValueError(f"line {number}: wanted at most {MAX_POINTS:,} points, got more.")
    if len(coordinates) < MIN_POINTS:
        raise ValueError(f"wanted at least {MIN_POINTS} points, got {len(coordinates)}.")
    classes = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    if len(classes) > MAX_CLASSES:
        raise ValueError(f"wanted at most {MAX_CLASSES} labels, got {len(classes)}.")
    return OwnPoints.of(
        torch.tensor(coordinates, dtype=torch.float64),
        torch.tensor([classes[label] for label in labels]),
    )


def _parse_line(line: str, number: int) -> tuple[float, float, str]:
    """Returns x, y and the label of a line, an empty one if there is none. Raises ValueError."""
    parts = line.replace(",", " ").replace("\t", " ").split(maxsplit=2)
    try:
        x, y = float(parts[0]), float(parts[1])
    except (IndexError, ValueError):
        raise ValueError(
            f"line {number}: wanted two numbers, got {one_line(line, 60)!r}."
        ) from None
    if not (math.isfinite(x) and math.isfinite(y) and max(abs(x), abs(y)) <= LARGEST):
        raise ValueError(
            f"line {number}: wanted numbers from -{LARGEST:,.0f} to {LARGEST:,.0f}, "
            f"got {one_line(line, 60)!r}."
        )
    return x, y, parts[2].strip() if len(parts) > 2 else ""


def points_in_regions(
    regions: Sequence[Sequence[tuple[float, float]]], count: int = 3000
) -> OwnPoints:
    """Returns about `count` points spread evenly over regions, each a class with as many points.

    Args:
        regions: corners (x, y) in order.

    Raises ValueError where there is no region, or one has no area.

    >>> points = points_in_regions([[(0, 0), (1, 0), (1, 1)], [(2, 2), (3, 2), (3, 3)]], 40)
    >>> points.size, points.modes, bool((points.z[points.y == 1] >= 2).all())
    (40, 2, True)
    """
    z = auxiliary_in_all(regions, count)
    y = torch.arange(len(regions)).repeat_interleave(len(z) // len(regions))
    return OwnPoints.of(z, y)
