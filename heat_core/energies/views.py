"""Energies of a part of the input, or of a transform of it: directions, norms, views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from heat_core.features import Features
from heat_core.progress import report_progress, row_blocks

from .energy import Energy, working_precision

FIT_ROWS = 8192  # rows that are normalised at a time
PRECISE_NUMBERS = 2**24  # that are held in float64 at a time: 128 MiB


class Normalized(Energy):
    """E(z / ||z||): an energy on the unit sphere.

    Args:
        energy: E, of (N, d).

    >>> from heat_core.energies import Neighbors
    >>> train = Features(torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
    >>> energy = Normalized(Neighbors(dim=2, bank_rows=2, k=1)).fit(train)
    >>> energy(torch.tensor([[5.0, 0.0], [-1.0, 0.0]]))
    tensor([0.0000, 1.4142])
    """

    def __init__(self, energy: Energy) -> None:
        super().__init__()
        self.energy = energy

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(unit(z))

    def fit(self, train: Features) -> Self:
        self.energy.fit(on_sphere(train))
        return self

    def addends(self) -> tuple[Energy, ...]:
        return tuple(Normalized(addend) for addend in self.energy.addends())


class RadiallyScaled(Energy):
    """E(z / ||z||^beta): between an energy of z itself (beta 0) and one of its direction (1).

    Reference: arXiv:2510.15202.

    Args:
        energy: E, of (N, d).
        beta: 0 or more.

    >>> from heat_core.energies import Neighbors
    >>> train = Features(torch.tensor([[4.0, 0.0], [0.0, 9.0]]))
    >>> energy = RadiallyScaled(Neighbors(dim=2, bank_rows=2, k=1), beta=0.5).fit(train)
    >>> energy(torch.tensor([[16.0, 0.0], [0.0, 9.0]]))  # 4 from 2, and 3 itself
    tensor([2., 0.])
    """

    beta: Tensor

    def __init__(self, energy: Energy, beta: float) -> None:
        super().__init__()
        self.energy = energy
        self.register_buffer("beta", torch.tensor(float(beta)))

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(self.scaled(z))

    def scaled(self, z: Tensor) -> Tensor:
        """Returns z / ||z||^beta of each row of z (N, d), (N, d); a row of zeros stays."""
        norm = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
        return z / torch.where(norm > 0, norm, 1.0) ** self.beta

    def fit(self, train: Features) -> Self:
        """Returns self fitted to the rows alone: moments of a larger set are of other lengths."""
        self.to(train.z.device, working_precision(train.z))
        z = torch.empty_like(train.z, dtype=self.beta.dtype)
        for block in row_blocks("scaling", len(train), FIT_ROWS):
            z[block] = self.scaled(train.z[block].to(z.dtype))
        self.energy.fit(Features(z, train.y))
        return self


class OnView(Energy):
    """The energy of some columns of its input: of one view, where several lie side by side.

    Args:
        energy: of (N, width).
        view: which view they are, for fitting; `z` for the features themselves.
        start, width: where the view lies in the input.

    >>> energy = OnView(PrecomputedScore(), view="odin", start=1, width=1)
    >>> energy(torch.tensor([[1.0, 10.0], [2.0, 20.0]]))
    tensor([10., 20.])
    """

    def __init__(self, energy: Energy, view: str, start: int, width: int) -> None:
        super().__init__()
        self.energy = energy
        self.view = view
        self.start = start
        self.width = width

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(z[:, self.start : self.start + self.width])

    def fit(self, train: Features) -> Self:
        self.energy.fit(train.view(self.view))
        return self

    def addends(self) -> tuple[Energy, ...]:
        return tuple(
            OnView(addend, self.view, self.start, self.width) for addend in self.energy.addends()
        )


class OnColumns(Energy):
    """The energy of some spans of columns of its input, side by side, in an order of its own.

    Args:
        energy: of (N, sum of the widths); already fitted, or fitted by itself.
        spans: (start, width) of each.

    >>> energy = OnColumns(PrecomputedScore(), [(2, 1), (0, 1)])
    >>> energy(torch.tensor([[1.0, 10.0, 7.0]]))
    tensor([7.])
    """

    def __init__(self, energy: Energy, spans: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.energy = energy
        self.spans = tuple(spans)

    def forward(self, z: Tensor) -> Tensor:
        columns = [z[:, start : start + width] for start, width in self.spans]
        return self.energy(columns[0] if len(columns) == 1 else torch.cat(columns, 1))


class DirectionAndNorm(Energy):
    """The energy of directions and log norms: [v / ||v||, log ||v||] of each view v, standardised.

    Fitting standardises; the energy inside is left as it is.

    Args:
        energy: of (N, D), D the sum of (width + 1).
        views: {name: width}, side by side in this order; columns after them are not read.

    >>> features = Features(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    >>> energy = DirectionAndNorm(PrecomputedScore(), {"z": 2}).fit(features)
    >>> energy.map(features.z)  # mean 0 and standard deviation 1, column by column
    tensor([[ 1.0000, -1.0000,  1.0000],
            [-1.0000,  1.0000, -1.0000]])
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, energy: Energy, views: Mapping[str, int]) -> None:
        super().__init__()
        self.energy = energy
        self.views = dict(views)
        self.register_buffer("shift", torch.zeros(sum(views.values()) + len(views)))
        self.register_buffer("scale", torch.ones(sum(views.values()) + len(views)))

    def map(self, z: Tensor) -> Tensor:
        """Returns the input (N, D) of the energy inside, of z (N, d).

        Every column has mean 0 and standard deviation 1 on training data.
        """
        return (self._directions_and_norms(z) - self.shift) / self.scale

    def _directions_and_norms(self, z: Tensor) -> Tensor:
        widths = list(self.views.values())
        columns: list[Tensor] = []
        for view in z[:, : sum(widths)].split(widths, 1):
            direction = unit(view)
            norm = view.norm(dim=1, keepdim=True)
            columns += [direction, norm.clamp(min=torch.finfo(norm.dtype).tiny).log()]
        return torch.cat(columns, 1)

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(self.map(z))

    def fit(self, train: Features) -> Self:
        z = train.columns(list(self.views))
        report_progress("standardising")
        mean, std = mean_and_std(self._directions_and_norms(z.to(working_precision(z))))
        self.store(shift=mean, scale=std)
        return self


class PrecomputedScore(Energy):
    """The first column of the input: a score that was computed elsewhere.

    >>> PrecomputedScore()(torch.tensor([[1.0], [2.0]]))
    tensor([1., 2.])
    """

    def forward(self, z: Tensor) -> Tensor:
        return z[:, 0]


# -- transforms ------------------------------------------------------------------------------------


def unit(z: Tensor) -> Tensor:
    """Returns the rows of z (N, d) divided by their Euclidean norms, (N, d); a row of zeros stays.

    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    norm = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    return z / torch.where(norm > 0, norm, 1.0)


def mean_and_std(z: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the mean and the standard deviation of each column of z (N, d), (d,) each.

    No standard deviation is below a thousandth of the largest; they are 1 where nothing varies.
    """
    columns = max(1, PRECISE_NUMBERS // len(z))
    blocks = [_precise_mean_and_std(block) for block in z.split(columns, 1)]
    mean, std = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    largest = std.max()
    std = std.clamp(min=1e-3 * largest) if largest > 0 else torch.ones_like(std)
    return mean.to(z.dtype), std.to(z.dtype)


def _precise_mean_and_std(z: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and standard deviation of each column of z (N, d), (d,) float64 each."""
    precise = z.double()
    return precise.mean(0), precise.std(0, correction=0)


def on_sphere(features: Features) -> Features:
    """Returns the features with z / ||z|| for z (N, d), at least in float32.

    They have no head, since logits need the norm, and no views.
    """
    z = torch.empty_like(features.z, dtype=working_precision(features.z))
    for block in row_blocks("normalising", len(features), FIT_ROWS):
        z[block] = unit(features.z[block].to(z.dtype))
    moments = {"z": features.moments["unit z"]} if "unit z" in features.moments else {}
    return Features(z, features.y, None, {}, features.index, features.source, moments)
