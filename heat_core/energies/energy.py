"""An energy is a function E: R^d -> R, large where data is rare: p(z) ~ exp(-E(z)) up to a factor.

Energies add and divide by a temperature. Every detector ends as an energy, and the energy is the
score: larger is more out-of-distribution. Constants that do not depend on z may be left out, except
where a `log_prob` is promised.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heat_core.features import Features
from heat_core.progress import row_blocks

MIN_VARIATION = 1e-3  # of rows, below which they are told apart in float64
VARIATION_ROWS = 2000  # rows that their variation is taken of
MAX_BATCH = 16_384  # rows that are scored at a time, at most
BATCH_NUMBERS = 2**21  # that they may hold in one tensor beside themselves: 8 MiB in float32
BATCH_INPUTS = 2**23  # that they may have themselves: 32 MiB, of which several are held at a time


class Energy(nn.Module, abc.ABC):
    """A scalar field: `forward` maps (N, d) to (N,).

    >>> from heat_core.energies import GaussianMixture
    >>> train = Features(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]]))
    >>> energy = GaussianMixture(dim=2, classes=1).fit(train)
    >>> z = torch.tensor([[1.0, 1.0], [4.0, 5.0]])
    >>> energy(z)
    tensor([ 1.8379, 14.3379])
    >>> (energy / 2 + energy)(z)
    tensor([ 2.7568, 21.5068])
    """

    @abc.abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """Returns the energy of each row of z (N, d), as (N,), in the precision of z."""

    def fit(self, train: Features) -> Self:
        """Returns self with everything that has a closed form set from the training features.

        What has nothing of its own to fit passes them on to its children.
        """
        for child in self.children():
            if isinstance(child, Energy):
                child.fit(train)
        return self

    def store(self, **buffers: Tensor) -> None:
        """Sets registered buffers to copies of the values, contiguous, as precise as the energy is.

        They stay on the energy's device. Copies, since tensors that two energies share cannot be
        saved. Contiguous, since a file gives tensors back that way, and sums over another layout
        round differently.

        Raises:
            AttributeError: no buffer is called so.
        """
        for name, value in buffers.items():
            buffer = self.get_buffer(name)
            own = value.to(
                buffer.device, buffer.dtype, copy=True, memory_format=torch.contiguous_format
            )
            setattr(self, name, own)

    @property
    def numbers_per_row(self) -> int:
        """How many numbers `forward` holds for a row in one tensor, beside the row itself.

        What holds nothing of its own, such as a value a class, holds what its children hold.
        """
        children = (child for child in self.modules() if child is not self)
        energies = (child for child in children if isinstance(child, Energy))
        return max((energy.numbers_per_row for energy in energies), default=1)

    @property
    def rows_at_a_time(self) -> int:
        """How many rows to score in one go: as many as its own numbers and its children's allow."""
        children = (child for child in self.modules() if child is not self)
        energies = (child for child in children if isinstance(child, Energy))
        own = rows_per_batch(self.numbers_per_row)
        return min((own, *(energy.rows_at_a_time for energy in energies)))

    def addends(self) -> tuple[Energy, ...]:
        """Returns the energies that add up to this one, in order; itself if it is no plain sum.

        They are the terms of a score, but where `WeightedSum` weighs terms of its own.
        """
        return (self,)

    def __add__(self, other: Energy) -> Sum:
        return Sum(*self.addends(), *other.addends())

    def __truediv__(self, temperature: float) -> Tempered:
        return Tempered(self, temperature)


class Aggregate(Energy):
    """An energy put together from others of the same input, its members; fitting fits each.

    Args:
        members: in order.
    """

    def __init__(self, members: Iterable[Energy]) -> None:
        super().__init__()
        self.energies = nn.ModuleList(members)  # its name is part of the tensors' on disk

    @property
    def members(self) -> tuple[Energy, ...]:
        """The energies that this one is put together from."""
        return cast(tuple[Energy, ...], tuple(self.energies))

    def fit(self, train: Features) -> Self:
        for member in self.members:
            member.fit(train)
        return self


class Sum(Aggregate):
    """E(z) = sum_i E_i(z): the product of the densities.

    Args:
        members: E_i, all of the same input; they are its addends.

    >>> from heat_core.energies import PrecomputedScore
    >>> total = PrecomputedScore() + PrecomputedScore() / 2
    >>> len(total.addends()), total(torch.tensor([[2.0], [6.0]]))
    (2, tensor([3., 9.]))
    """

    def __init__(self, *members: Energy) -> None:
        super().__init__(members)

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([member(z) for member in self.members]).sum(0)

    def addends(self) -> tuple[Energy, ...]:
        return self.members


class Tempered(Energy):
    """E(z) / T: a temperature above 1 flattens the density.

    Args:
        energy: E.
        temperature: T.

    >>> from heat_core.energies import PrecomputedScore
    >>> Tempered(PrecomputedScore(), 4.0)(torch.tensor([[2.0], [6.0]]))
    tensor([0.5000, 1.5000])
    """

    temperature: Tensor

    def __init__(self, energy: Energy, temperature: float) -> None:
        super().__init__()
        self.energy = energy
        self.register_buffer("temperature", torch.tensor(float(temperature)))

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(z) / self.temperature


def working_precision(z: Tensor) -> torch.dtype:
    """Returns float64 for z (N, d) in float64, and float32 for anything less."""
    return torch.float64 if z.dtype == torch.float64 else torch.float32


def precise_enough(train: Features) -> Features:
    """Returns the features in float64 where float32 would lose what tells their rows apart.

    That is where rows lie within a thousandth of a common offset: rounding is then as large as
    their differences, of which products and norms are made.

    >>> z = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> precise_enough(Features(z + 1e6)).z.dtype, precise_enough(Features(z)).z.dtype
    (torch.float64, torch.float32)
    """
    if not any(_is_offset(array) for array in (train.z, *train.views.values())):
        return train
    views = {name: view.double() for name, view in train.views.items()}
    return replace(train, z=train.z.double(), views=views)


def _is_offset(array: Tensor) -> bool:
    """Returns whether the coefficient of variation of rows (N, d) is below `MIN_VARIATION`.

    It is the root of their mean squared distance from their mean, over the length of that mean.
    """
    if array.dtype == torch.float64 or array.shape[1] < 2:
        return False
    some = array[:: math.ceil(len(array) / VARIATION_ROWS)].double()
    mean = some.mean(0)
    variance = (some - mean).square().sum(1).mean()
    return bool(variance < MIN_VARIATION**2 * mean.square().sum())


# -- scoring ---------------------------------------------------------------------------------------


def rows_per_batch(numbers_per_row: int) -> int:
    """Returns how many rows to work on at a time, of which each holds so many numbers.

    >>> rows_per_batch(10), rows_per_batch(10_000)
    (16384, 209)
    """
    return max(1, min(MAX_BATCH, BATCH_NUMBERS // numbers_per_row))


@torch.inference_mode()
def score(energy: Energy, z: Tensor, batch: int | None = None) -> NDArray[np.float64]:
    """Returns the energy of each row of z (N, d), (N,) on the CPU: larger is more out.

    Rows go through in batches, on the device and in the precision of the energy, so z may be larger
    than the device's memory. By default a batch has fewer rows where each holds more numbers, such
    as one a class. After each batch `progress_to` hears how many are scored.

    >>> from heat_core.energies import PrecomputedScore
    >>> score(PrecomputedScore(), torch.tensor([[2.0], [6.0]]))
    array([2., 6.])
    """
    floats = (value for value in energy.state_dict().values() if value.is_floating_point())
    like = next(floats, z)
    if batch is None:
        batch = min(energy.rows_at_a_time, max(1, BATCH_INPUTS // z.shape[1]))
    scores = np.empty(len(z))
    for block in row_blocks("scoring", len(z), batch):
        rows = z[block].to(like.device, like.dtype)
        scores[block] = energy(rows).double().cpu().numpy()
    return scores
