"""Energies in pairs: a sum can be saved, and a blank with the saved tensors scores the same."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from heat_core.detectors.closed_form import KNN, MSP, SSD, EnergyLogits, MoG
from heat_core.detectors.detector import Detector, Shape
from heat_core.energies import (
    BoundaryDistance,
    ClassGaussians,
    ClassPattern,
    ClippedFeatures,
    CollapseAngle,
    Energy,
    Ensemble,
    GaussianMixture,
    GeneralizedEntropy,
    GuidedLogits,
    LogSumExp,
    Mahalanobis,
    MaxSoftmax,
    Neighbors,
    Normalized,
    PosteriorDivergence,
    PrincipalShare,
    PrunedFeatures,
    RadiallyScaled,
    RelativeMahalanobis,
    Residual,
    SparseWeights,
    WeightedSum,
    score,
)
from heat_core.features import Features, Head
from tests.samples import CLASSES, DIM

ROWS = 240

CLOSED_FORM: dict[str, Callable[[], Energy]] = {
    "max-softmax": lambda: MaxSoftmax(DIM, CLASSES),
    "log-sum-exp": lambda: LogSumExp(DIM, CLASSES, temperature=2.0),
    "neighbors": lambda: Neighbors(DIM, ROWS, k=5),
    "generalized-entropy": lambda: GeneralizedEntropy(DIM, CLASSES, gamma=0.1, largest=3),
    "divergence": lambda: PosteriorDivergence(DIM, CLASSES),
    "clipped": lambda: ClippedFeatures(DIM, CLASSES, percentile=90),
    "pruned": lambda: PrunedFeatures(DIM, CLASSES, percentile=50),
    "sparse": lambda: SparseWeights(DIM, CLASSES, percentile=50),
    "guided": lambda: GuidedLogits(DIM, CLASSES, ROWS, k=5),
    "pattern": lambda: ClassPattern(DIM, CLASSES),
    "boundary": lambda: BoundaryDistance(DIM, CLASSES),
    "angle": lambda: CollapseAngle(DIM, CLASSES, alpha=0.1),
    "relative": lambda: RelativeMahalanobis(DIM, CLASSES),
    "radial": lambda: RadiallyScaled(Mahalanobis(DIM, CLASSES), beta=0.5),
    "class-gaussians": lambda: ClassGaussians(DIM, CLASSES, shrinkage=0.5),
    "residual": lambda: Residual(DIM, principal=4),
    "principal-share": lambda: PrincipalShare(DIM, CLASSES, variance=0.9),
    "mixture": lambda: GaussianMixture(DIM, CLASSES),
    "mahalanobis": lambda: Mahalanobis(DIM, CLASSES),
    "tempered-mixture": lambda: GaussianMixture(DIM, CLASSES) / 3.0,
    "normalized-neighbors": lambda: Normalized(Neighbors(DIM, ROWS, k=5)),
    "normalized-mixture": lambda: Normalized(GaussianMixture(DIM, CLASSES)),
    "normalized-sum": lambda: Normalized(Mahalanobis(DIM, CLASSES) + Neighbors(DIM, ROWS, k=1)),
}
DETECTORS: dict[str, Detector] = {
    detector.title: detector for detector in (MSP(), EnergyLogits(), KNN(k=5), SSD(), MoG())
}
AGGREGATES: dict[str, Callable[[Energy, Energy], Energy]] = {
    "sum": lambda a, b: a + b,
    "ensemble": lambda a, b: Ensemble([a, b]),
    "weighted-sum": lambda a, b: WeightedSum([a, b], [1.0, 2.0]),
}


def pairs(names: dict) -> pytest.MarkDecorator:
    """Returns the mark that runs a test for every pair of names, also of a name with itself."""
    return pytest.mark.parametrize(
        ("first", "second"), list(combinations_with_replacement(names, 2))
    )


def column_by_column(values: torch.Tensor) -> torch.Tensor:
    """Returns the same values in the memory layout that eigh and transposing give."""
    return values.T.contiguous().T


@pytest.fixture(scope="module")
def strided(train: Features) -> Features:
    """The training features, with no array in the layout that a file gives back."""
    assert train.head is not None
    head = Head(column_by_column(train.head.weight), train.head.bias)
    return Features(column_by_column(train.z), train.y, head)


def loads_with_the_same_scores(energy: Energy, blank: Energy, z: torch.Tensor) -> None:
    blank.load_state_dict(load(save(energy.state_dict())))
    assert np.array_equal(score(blank, z), score(energy, z))


@pairs(CLOSED_FORM)
def test_a_sum_is_saved_and_scores_the_same(
    first: str, second: str, strided: Features, far: Features
) -> None:
    def blank() -> Energy:
        return CLOSED_FORM[first]() + CLOSED_FORM[second]()

    loads_with_the_same_scores(blank().fit(strided), blank(), far.z)


@pairs(CLOSED_FORM)
def test_energies_fitted_alone_are_added_and_saved(
    first: str, second: str, strided: Features, far: Features
) -> None:
    one, two = CLOSED_FORM[first]().fit(strided), CLOSED_FORM[second]().fit(strided)
    blank = CLOSED_FORM[first]() + CLOSED_FORM[second]()
    loads_with_the_same_scores(one + two, blank, far.z)
    np.testing.assert_allclose(
        score(one + two, far.z), score(one, far.z) + score(two, far.z), rtol=1e-4
    )


@pairs(DETECTORS)
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_energies_of_two_detectors_are_saved_together(
    first: str, second: str, aggregate: str, train: Features, far: Features
) -> None:
    one, two, shape = DETECTORS[first], DETECTORS[second], Shape.of(train)
    put_together = AGGREGATES[aggregate]
    energy = put_together(one.fit(train), two.fit(train))
    if isinstance(energy, WeightedSum):
        energy.standardise(train.z)
    loads_with_the_same_scores(energy, put_together(one.build(shape), two.build(shape)), far.z)


@pytest.mark.parametrize("name", CLOSED_FORM)
def test_a_fitted_energy_has_its_own_contiguous_memory(name: str, strided: Features) -> None:
    assert strided.head is not None
    theirs = {strided.z.data_ptr(), strided.head.weight.data_ptr(), strided.head.bias.data_ptr()}
    for buffer in CLOSED_FORM[name]().fit(strided).buffers():
        assert buffer.is_contiguous()
        assert buffer.data_ptr() not in theirs


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", CLOSED_FORM)
def test_fitting_takes_the_working_precision_of_the_features(
    name: str, dtype: torch.dtype, train: Features
) -> None:
    features = Features(train.z.to(dtype), train.y, train.head)
    fitted = CLOSED_FORM[name]().fit(features).state_dict()
    fitted.pop("temperature", None)  # it is given, not fitted
    wanted = torch.float64 if dtype == torch.float64 else torch.float32
    assert {value.dtype for value in fitted.values()} == {wanted}


# -- store -----------------------------------------------------------------------------------------


def test_store_copies_casts_and_makes_contiguous() -> None:
    energy = MaxSoftmax(DIM, CLASSES)
    weight = torch.rand(DIM, CLASSES, dtype=torch.float64).T
    energy.store(weight=weight)
    assert energy.weight.dtype == torch.float32
    assert energy.weight.is_contiguous()
    assert torch.equal(energy.weight, weight.float())
    assert "weight" in dict(energy.named_buffers())
    energy.store(weight=energy.weight[:2])
    assert energy.weight.shape == (2, DIM)


def test_store_knows_only_buffers() -> None:
    energy = MaxSoftmax(DIM, CLASSES)
    with pytest.raises(AttributeError, match="wieght"):
        energy.store(wieght=torch.zeros(CLASSES, DIM))


# -- Gaussians -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_the_mixture_samples_what_it_was_fitted_to(train: Features, scale: float) -> None:
    mixture = GaussianMixture(12, 4).fit(train)
    sample = mixture.sample(60_000, torch.Generator().manual_seed(0), scale)
    assert torch.allclose(sample.mean(0), train.z.mean(0), atol=0.03)
    between = torch.cov(train.z.T, correction=0) - _within(train)
    assert torch.allclose(torch.cov(sample.T), between + scale**2 * _within(train), atol=0.03)


def _within(train: Features) -> torch.Tensor:
    assert train.y is not None
    means = torch.stack([train.z[train.y == c].mean(0) for c in range(4)])
    return torch.cov((train.z - means[train.y]).T, correction=0)
