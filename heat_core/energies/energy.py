"""An energy is a function E: R^d -> R, large where data is rare: p(z) is proportional to exp(-E(z)).

Energies add and divide by a temperature. Every detector ends as an energy, and the energy is the score: larger is more
out-of-distribution. Constants that do not depend on z may be left out, except where a `log_prob` is promised.
"""

from __future__ import annotations

import abc
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heat_core.features import Features


class Energy(nn.Module, abc.ABC):
    """A scalar field: `forward` maps (N, d) to (N,)."""

    @abc.abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """Returns the energy of each row, (N,), in the precision of z."""

    def fit(self, train: Features) -> Self:
        """Returns self with whatever has a closed form set from the training features; goes into the children."""
        for child in self.children():
            if isinstance(child, Energy):
                child.fit(train)
        return self

    def store(self, **buffers: Tensor) -> None:
        """Sets registered buffers to the values: copied, contiguous, on the energy's device and in its precision.

        Copied, since tensors that two energies share cannot be saved. Contiguous, since a file gives
        tensors back that way, and sums over another layout round differently.

        Raises AttributeError if no buffer is called so.
        """
        for name, value in buffers.items():
            buffer = self.get_buffer(name)
            own = value.to(
                buffer.device, buffer.dtype, copy=True, memory_format=torch.contiguous_format
            )
            setattr(self, name, own)

    def terms(self) -> tuple[Energy, ...]:
        """Returns the energies that add up to this one, in order."""
        return (self,)

    def __add__(self, other: Energy) -> Sum:
        return Sum(*self.terms(), *other.terms())

    def __truediv__(self, temperature: float) -> Tempered:
        return Tempered(self, temperature)


class Sum(Energy):
    """E(z) = sum_i E_i(z): the product of the densities."""

    def __init__(self, *energies: Energy) -> None:
        super().__init__()
        self.energies = nn.ModuleList(energies)

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([energy(z) for energy in self.energies]).sum(0)

    def fit(self, train: Features) -> Self:
        for energy in self.terms():
            energy.fit(train)
        return self

    def terms(self) -> tuple[Energy, ...]:
        return tuple(self.energies)  # type: ignore[arg-type]


class Tempered(Energy):
    """E(z) / T: a temperature above 1 flattens the density."""

    temperature: Tensor

    def __init__(self, energy: Energy, temperature: float) -> None:
        super().__init__()
        self.energy = energy
        self.register_buffer("temperature", torch.tensor(float(temperature)))

    def forward(self, z: Tensor) -> Tensor:
        return self.energy(z) / self.temperature


def working_precision(z: Tensor) -> torch.dtype:
    """Returns float64 for float64 and float32 for anything less."""
    return torch.float64 if z.dtype == torch.float64 else torch.float32


# -- scoring -----------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def score(energy: Energy, z: Tensor, batch: int = 16384) -> NDArray[np.float64]:
    """Returns the energy of each row as float64 on the CPU, (N,): larger is more out-of-distribution.

    Rows go through in batches, on the device and in the precision of the energy, so z may be larger than the device's
    memory.
    """
    like = next((value for value in energy.state_dict().values() if value.is_floating_point()), z)
    parts = [energy(block.to(like.device, like.dtype)) for block in z.split(batch)]
    return torch.cat(parts).double().cpu().numpy() if parts else np.empty(0)
