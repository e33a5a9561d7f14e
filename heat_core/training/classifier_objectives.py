"""Objectives of classifiers that see auxiliary OOD inputs beside their training data."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, relu

Energies = Tensor | NDArray[np.floating]  # (N,)


def free_energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Returns -T logsumexp(logits / T), (N,), of logits (N, C). Larger is more OOD.

    Raises ValueError unless the temperature is above 0.

    Reference: Liu et al. 2020, arXiv:2010.03759.

    >>> print(f"{free_energy(torch.zeros(1, 4)).item():.4f}")  # -log 4
    -1.3863
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be a number above 0, got {temperature}.")
    return -temperature * torch.logsumexp(logits / temperature, 1)


@dataclass(frozen=True)
class ClassifierObjective(abc.ABC):
    """A loss of a classifier's logits: cross-entropy on ID, and a term for auxiliary OOD inputs.

    Args:
        weight: of that term.
    """

    weight: float = 0.1

    def loss(self, id_logits: Tensor, labels: Tensor, auxiliary_logits: Tensor) -> Tensor:
        """Returns the loss of ID logits (N, C), labels (N,), auxiliary logits (M, C), a scalar."""
        penalty = self.penalty(id_logits, auxiliary_logits)
        return cross_entropy(id_logits, labels) + self.weight * penalty

    @abc.abstractmethod
    def penalty(self, id_logits: Tensor, auxiliary_logits: Tensor) -> Tensor:
        """Returns the term of logits (N, C) of ID and (M, C) of auxiliary inputs, a scalar."""


@dataclass(frozen=True)
class EnergyBounded(ClassifierObjective):
    """Energy-bounded learning: ID energies are to stay below one margin, auxiliary above another.

    penalty = mean relu(E(ID) - id_margin)^2 + mean relu(auxiliary_margin - E(auxiliary))^2

    with E the free energy of the logits. Margins far from the energies that the classifier begins
    with cost accuracy: `default_margins` gives those.

    Reference: Liu et al. 2020, arXiv:2010.03759, equations 8 and 9.

    Args:
        id_margin: above which an ID energy costs.
        auxiliary_margin: below which an auxiliary energy costs. Raises ValueError if it is below
            `id_margin`.

    >>> objective = EnergyBounded(id_margin=-2.0, auxiliary_margin=-1.0)
    >>> id_logits = torch.tensor([[0.0, 0.0]])  # energy -log 2 = -.6931, 1.3069 above its margin
    >>> auxiliary_logits = torch.tensor([[1.0, 1.0]])  # -1.6931, .6931 below its margin
    >>> print(f"{objective.penalty(id_logits, auxiliary_logits).item():.4f}")  # 1.7079 + .4805
    2.1883
    """

    id_margin: float = 0.0
    auxiliary_margin: float = 0.0

    def __post_init__(self) -> None:
        if not self.id_margin <= self.auxiliary_margin:
            raise ValueError(
                f"id_margin must not lie above auxiliary_margin, got {self.id_margin:g} and "
                f"{self.auxiliary_margin:g}."
            )

    def penalty(self, id_logits: Tensor, auxiliary_logits: Tensor) -> Tensor:
        above = relu(free_energy(id_logits) - self.id_margin)
        below = relu(self.auxiliary_margin - free_energy(auxiliary_logits))
        return above.square().mean() + below.square().mean()


@dataclass(frozen=True)
class OutlierExposure(ClassifierObjective):
    """Outlier exposure: the softmax of auxiliary inputs is to be uniform over the classes.

    penalty = mean over auxiliary inputs and classes of -log softmax

    Reference: Hendrycks et al. 2019, arXiv:1812.04606, with its weight of 0.5.

    >>> print(f"{OutlierExposure().penalty(torch.zeros(1, 4), torch.zeros(2, 4)).item():.4f}")
    1.3863
    """

    weight: float = 0.5

    def penalty(self, id_logits: Tensor, auxiliary_logits: Tensor) -> Tensor:
        return -log_softmax(auxiliary_logits, 1).mean()


MIN_MARGIN_GAP = 1.0  # nats between the default margins
FAR = 2.0  # standard deviations between a margin and the mean energy of its set


def default_margins(id_energies: Energies, auxiliary_energies: Energies) -> tuple[float, float]:
    """Returns margins at the mean pretrained energies (N,) of ID and (M,) of auxiliary inputs.

    Where the auxiliary mean is not a nat above the ID mean, its margin is: to begin with, such
    a classifier calls OOD what is ID, and ID what is OOD.

    >>> default_margins(torch.tensor([-9.0, -7.0]), torch.tensor([-3.0]))
    (-8.0, -3.0)
    >>> default_margins(torch.tensor([-9.0, -7.0]), torch.tensor([-50.0]))
    (-8.0, -7.0)
    """
    id_margin = float(id_energies.mean())
    return id_margin, max(float(auxiliary_energies.mean()), id_margin + MIN_MARGIN_GAP)


def margin_warnings(
    id_energies: Energies, auxiliary_energies: Energies, id_margin: float, auxiliary_margin: float
) -> list[str]:
    """Returns a sentence on each margin that is far from the mean pretrained energy of its set.

    That is, by more than `FAR` standard deviations of its energies, (N,) and (M,).

    >>> id_energies, auxiliary_energies = torch.tensor([-10.0, -12.0]), torch.tensor([-4.0, -6.0])
    >>> print(*margin_warnings(id_energies, auxiliary_energies, -23, -5))
    The ID margin -23 is far below the mean ID energy (-11.00 ± 1.00): accuracy may fall.
    """
    sides = (
        ("ID", id_margin, id_energies, 1),
        ("auxiliary", auxiliary_margin, auxiliary_energies, -1),
    )
    warnings = []
    for name, margin, energies, costly_side in sides:
        mean, std = float(energies.mean()), float(np.std(np.asarray(energies)))
        excess = costly_side * (mean - margin)
        if abs(excess) <= FAR * std:
            continue
        direction = "below" if margin < mean else "above"
        effect = "accuracy may fall" if excess > 0 else f"it asks nothing of {name} inputs"
        warnings.append(
            f"The {name} margin {margin:g} is far {direction} the mean {name} energy "
            f"({mean:.2f} ± {std:.2f}): {effect}."
        )
    return warnings
