"""Thousands of classes: the same figures, class by class or all at once, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from heat_core.energies import (
    Energy,
    GaussianMixture,
    LogSumExp,
    Mahalanobis,
    MaxSoftmax,
    Neighbors,
    rows_per_batch,
    score,
)
from heat_core.energies.energy import BATCH_NUMBERS
from heat_core.energies.gaussian import CLASS_BLOCK
from heat_core.explain import assigned_classes, class_distances, class_mahalanobis
from heat_core.features import Features, Head

MANY = 2 * CLASS_BLOCK + 500
DIM = 4


@pytest.fixture(scope="module")
def train() -> Features:
    """Two rows of each of many classes, with a head."""
    generator = torch.Generator().manual_seed(0)
    centres = 5 * torch.randn(MANY, DIM, generator=generator, dtype=torch.float64)
    noise = torch.randn(2 * MANY, DIM, generator=generator, dtype=torch.float64)
    weight = torch.randn(MANY, DIM, generator=generator, dtype=torch.float64)
    head = Head(weight, torch.zeros(MANY, dtype=torch.float64))
    return Features(centres.repeat(2, 1) + 0.1 * noise, torch.arange(MANY).repeat(2), head)


class _Largest(TorchDispatchMode):
    """Keeps the size of the largest tensor that an operation gives."""

    numel = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        if isinstance(result, torch.Tensor):
            self.numel = max(self.numel, result.numel())
        return result


def _squared_distances(train: Features) -> torch.Tensor:
    """Returns the squared distances of all rows to all classes in a plain way, (N, C)."""
    means = torch.stack([train.z[label::MANY].mean(0) for label in range(MANY)])
    residual = train.z - means.repeat(2, 1)
    precision = torch.linalg.inv(residual.T @ residual / len(train))
    difference = train.z[:, None] - means
    return torch.einsum("ncd,de,nce->nc", difference, precision, difference)


def test_gaussians_of_many_classes_are_those_of_all_at_once(train: Features) -> None:
    squared = _squared_distances(train)
    distance = Mahalanobis(DIM, MANY).fit(train)
    mixture = GaussianMixture(DIM, MANY).fit(train)
    torch.testing.assert_close(distance.squared_distances(train.z), squared, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(distance(train.z), squared.amin(1), rtol=1e-6, atol=1e-6)
    expected = mixture.log_volume + np.log(MANY) - (-0.5 * squared).logsumexp(1)
    torch.testing.assert_close(mixture(train.z), expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(mixture.most_probable_class(train.z), squared.argmin(1))


def test_a_mixture_of_many_classes_has_the_gradient_of_its_energy(train: Features) -> None:
    mixture = GaussianMixture(DIM, MANY).fit(train)
    z = train.z[:3].clone().requires_grad_()
    assert torch.autograd.gradcheck(mixture, z)


@pytest.mark.parametrize(
    "energy",
    [
        lambda: GaussianMixture(DIM, MANY),
        lambda: Mahalanobis(DIM, MANY),
        lambda: MaxSoftmax(DIM, MANY),
        lambda: LogSumExp(DIM, MANY) / 2 + GaussianMixture(DIM, MANY),
    ],
)
def test_scores_hold_a_bounded_batch_and_are_those_of_one_batch(
    train: Features, energy: Callable[[], Energy]
) -> None:
    fitted = energy().fit(train).double()
    whole = score(fitted, train.z, batch=len(train))
    with _Largest() as largest:
        scores = score(fitted, train.z)
    np.testing.assert_allclose(scores, whole, rtol=1e-9)
    assert largest.numel <= BATCH_NUMBERS < len(train) * MANY


def test_neighbours_hold_a_bounded_number_of_products() -> None:
    generator = torch.Generator().manual_seed(0)
    bank = torch.randn(3000, 1, generator=generator)
    z = torch.randn(8000, 1, generator=generator)
    neighbors = Neighbors(1, len(bank), k=2).fit(Features(bank))
    with torch.no_grad(), _Largest() as largest:
        neighbors(z)
    assert largest.numel <= 2**24 < len(z) * len(bank)
    assert torch.equal(neighbors.nearest(z, batch=700), neighbors.nearest(z))


@pytest.mark.parametrize("has_head", [True, False])
def test_the_class_of_a_row_is_found_in_bounded_memory(train: Features, has_head: bool) -> None:
    features = train if has_head else Features(train.z, train.y)
    if features.head is None:
        expected = class_distances(class_mahalanobis(features), features).argmin(1)
    else:
        expected = features.head.logits(train.z.float()).argmax(1).numpy()
    mahalanobis = class_mahalanobis(features)
    with _Largest() as largest:
        assigned = assigned_classes(features, features, mahalanobis)
    assert np.array_equal(assigned, expected)
    assert largest.numel <= BATCH_NUMBERS


def test_a_batch_has_a_row_at_least() -> None:
    assert rows_per_batch(10 * BATCH_NUMBERS) == 1
