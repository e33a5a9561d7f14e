"""Thousands of classes: the same figures, class by class or all at once, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from heat_core.energies import (
    BoundaryDistance,
    ClassGaussians,
    ClassPattern,
    ClippedFeatures,
    CollapseAngle,
    Energy,
    GaussianMixture,
    GeneralizedEntropy,
    GuidedLogits,
    LargestLogit,
    LogSumExp,
    Mahalanobis,
    MaxSoftmax,
    Neighbors,
    PosteriorDivergence,
    PrincipalShare,
    PrunedFeatures,
    RelativeMahalanobis,
    Residual,
    ScaledFeatures,
    SparseWeights,
    rows_per_batch,
    score,
)
from heat_core.energies.energy import BATCH_NUMBERS
from heat_core.energies.gaussian import CLASS_BLOCK
from heat_core.explain import assigned_classes, class_distances, class_mahalanobis
from heat_core.features import Features, Head

MANY = CLASS_BLOCK + 100
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
        lambda: LargestLogit(DIM, MANY),
        lambda: GeneralizedEntropy(DIM, MANY, gamma=0.1, largest=100),
        lambda: ClippedFeatures(DIM, MANY, percentile=90),
        lambda: ScaledFeatures(DIM, MANY, percentile=50),
        lambda: PrunedFeatures(DIM, MANY, percentile=50),
        lambda: SparseWeights(DIM, MANY, percentile=50),
        lambda: ClassPattern(DIM, MANY),
        lambda: BoundaryDistance(DIM, MANY),
        lambda: CollapseAngle(DIM, MANY, alpha=0.1),
        lambda: RelativeMahalanobis(DIM, MANY),
        lambda: ClassGaussians(DIM, MANY, shrinkage=0.5),
        lambda: Residual(DIM, principal=2) + LogSumExp(DIM, MANY),
        lambda: PrincipalShare(DIM, MANY, variance=0.9),
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


@pytest.mark.parametrize(
    "energy",
    [
        lambda rows: BoundaryDistance(DIM, MANY),
        lambda rows: ClassPattern(DIM, MANY),
        lambda rows: Residual(DIM, principal=2),
        lambda rows: GuidedLogits(DIM, MANY, rows, k=1),
    ],
)
def test_fitting_holds_a_bounded_batch(train: Features, energy: Callable[[int], Energy]) -> None:
    with torch.no_grad(), _Largest() as largest:
        energy(len(train)).fit(train)
    assert largest.numel <= BATCH_NUMBERS < len(train) * MANY


def test_kl_matching_holds_a_row_of_numbers_a_class() -> None:
    """C x C of them are its own; it holds no more while it is fitted to many rows."""
    classes = 500
    generator = torch.Generator().manual_seed(0)
    head = Head(torch.randn(classes, DIM, generator=generator), torch.zeros(classes))
    train = Features(torch.randn(20_000, DIM, generator=generator), head=head)
    with torch.no_grad(), _Largest() as largest:
        energy = PosteriorDivergence(DIM, classes).fit(train)
    assert largest.numel <= BATCH_NUMBERS < len(train) * classes
    with _Largest() as largest:
        scores = score(energy, train.z)
    assert np.isfinite(scores).all()
    assert largest.numel <= BATCH_NUMBERS


def test_boundaries_of_many_classes_are_those_of_all_pairs(train: Features) -> None:
    assert train.head is not None
    z, weight = train.z[:50], train.head.weight
    logits = train.head.logits(z)
    largest, predicted = logits.max(1, keepdim=True)
    pairs = torch.cdist(weight, weight, compute_mode="donot_use_mm_for_euclid_dist")
    pairs.fill_diagonal_(torch.inf)
    ratios = (largest - logits) / pairs[predicted[:, 0]]
    wanted = -ratios.sum(1) / (MANY - 1) / (z - train.z.mean(0)).norm(dim=1)
    energy = BoundaryDistance(DIM, MANY).fit(train)
    torch.testing.assert_close(energy(z), wanted, rtol=1e-9, atol=1e-9)


def test_neighbours_hold_a_bounded_number_of_products() -> None:
    generator = torch.Generator().manual_seed(0)
    bank = torch.randn(3000, 1, generator=generator)
    z = torch.randn(8000, 1, generator=generator)
    neighbors = Neighbors(1, len(bank), k=2).fit(Features(bank))
    with torch.no_grad(), _Largest() as largest:
        neighbors(z)
    assert largest.numel <= 2**24 < len(z) * len(bank)
    assert torch.equal(neighbors.kth_nearest(z, batch=700), neighbors.kth_nearest(z))


def test_guides_hold_a_bounded_number_of_products() -> None:
    generator = torch.Generator().manual_seed(0)
    head = Head(torch.randn(3, 2, generator=generator), torch.zeros(3))
    bank = Features(torch.randn(3000, 2, generator=generator), head=head)
    z = torch.randn(8000, 2, generator=generator)
    energy = GuidedLogits(2, 3, len(bank), k=5).fit(bank)
    with torch.no_grad(), _Largest() as largest:
        scores = energy(z)
    assert largest.numel <= 2**24 < len(z) * len(bank)
    with torch.no_grad():
        torch.testing.assert_close(scores[-7:], energy(z[-7:]))


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
