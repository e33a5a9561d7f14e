"""Energies of a part of the input, or of a transform of it: directions, norms, views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from heat_core.features import Features

from .energy import Energy, working_precision


class Normalized(Energy):
    """E(z / ||z||): an energy on the unit sphere."""

    def __init__(self, energy: Energy) -> None:
        super().__init__()
        self.energy = energy

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(unit(z))

    def fit(self, train: Features) -> Self:
        self.energy.fit(on_sphere(train))
        return self

    def terms(self) -> tuple[Energy, ...]:
        return tuple(Normalized(term) for term in self.energy.terms())


class OnView(Energy):
    """The energy of some columns of its input: of one view, where several lie side by side.

    Args:
        energy: of (N, width).
        view: which view they are, for fitting; `z` for the features themselves.
        start, width: where the view lies in the input.
    """

    def __init__(self, energy: Energy, view: str, start: int, width: int) -> None:
        super().__init__()
        self.energy, self.view, self.start, self.width = energy, view, start, width

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(z[:, self.start : self.start + self.width])

    def fit(self, train: Features) -> Self:
        self.energy.fit(train.view(self.view))
        return self

    def terms(self) -> tuple[Energy, ...]:
        return tuple(
            OnView(term, self.view, self.start, self.width) for term in self.energy.terms()
        )


class DirectionAndNorm(Energy):
    """The energy of directions and log lengths, [v / ||v||, log ||v||] for each view v of its input, standardised.

    Fitting standardises; the energy inside is left as it is.

    Args:
        energy: of (N, sum of (width + 1)).
        views: {name: width}, side by side in this order; columns after them are not read.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, energy: Energy, views: Mapping[str, int]) -> None:
        super().__init__()
        self.energy, self.views = energy, dict(views)
        self.register_buffer("shift", torch.zeros(sum(views.values()) + len(views)))
        self.register_buffer("scale", torch.ones(sum(views.values()) + len(views)))

    def map(self, z: Tensor) -> Tensor:
        """Returns what the energy inside sees of the input: every column with mean 0 and deviation 1 on training data."""
        return (self._polar(z) - self.shift) / self.scale

    def _polar(self, z: Tensor) -> Tensor:
        widths = list(self.views.values())
        blocks = z[:, : sum(widths)].split(widths, 1)
        return torch.cat(
            [
                part
                for v in blocks
                for part in (unit(v), v.norm(dim=1, keepdim=True).clamp(min=1e-12).log())
            ],
            1,
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(self.map(z))

    def fit(self, train: Features) -> Self:
        seen = train.columns(list(self.views))
        mean, std = standards(self._polar(seen.to(working_precision(seen))))
        self.store(shift=mean, scale=std)
        return self


class PrecomputedScore(Energy):
    """The input's only column: a score that was computed elsewhere."""

    def forward(self, z: Tensor) -> Tensor:
        return z[:, 0]


def unit(z: Tensor) -> Tensor:
    """Returns the rows divided by their Euclidean norms; a row of zeros stays."""
    return nn.functional.normalize(z, dim=-1)


def standards(z: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and standard deviation of each column, (d,) each; no deviation is below a thousandth of the largest."""
    wide = z.double()
    spread = wide.std(0, correction=0)
    return wide.mean(0).to(z.dtype), spread.clamp(min=1e-3 * spread.max().clamp(min=1e-6)).to(
        z.dtype
    )


def on_sphere(features: Features) -> Features:
    """Returns the features with z / ||z|| for z, at least in float32, and no head: logits need the norm."""
    z = features.z.to(working_precision(features.z))
    moments = {"z": features.moments["unit z"]} if "unit z" in features.moments else {}
    return Features(unit(z), features.y, None, {}, features.index, features.source, moments)
