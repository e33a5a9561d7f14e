"""The closed forms against other people's code.

On synthetic features, and on every pack in assets/packs.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from heat_core.detectors.closed_form import KNN, MSP, SSD, EnergyLogits, MoG
from heat_core.detectors.detector import Detector, Shape
from heat_core.energies import score
from heat_core.features import Features, Head
from heat_core.pack import read_pack
from tests.samples import clusters

PACKS = sorted(
    path.parent for path in (Path(__file__).parents[2] / "assets" / "packs").glob("*/card.json")
)
ROWS = 400  # of each set


class Case(NamedTuple):
    train: Features
    z: Tensor

    def logits(self) -> Tensor:
        assert self.train.head is not None
        return self.train.head.logits(self.z.double())

    def on_sphere(self) -> tuple[Tensor, Tensor, Tensor]:
        """Returns unit training features, unit features to score, and labels from 0; float64."""
        return normalize(self.train.z.double()), normalize(self.z.double()), self.train.class_index


@pytest.fixture(scope="module", params=["synthetic", *PACKS], ids=lambda p: getattr(p, "name", p))
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "synthetic":
        z, y = clusters(1000, seed=1, classes=5, dim=24)
        generator = torch.Generator().manual_seed(0)
        head = Head(torch.randn(5, 24, generator=generator), torch.randn(5, generator=generator))
        inside, _ = clusters(300, 2, 5, 24)
        outside = torch.randn(ROWS, 24, generator=generator).abs()
        return Case(Features(z.double(), y, head), torch.cat([inside, outside]).double())
    pack = read_pack(request.param)
    parts = [features.z[:ROWS] for name, features in pack.sets() if name != "train"]
    train = Features(pack.train.z.double(), pack.train.y, pack.train.head)
    return Case(train, torch.cat(parts).double())


def close(ours: np.ndarray, reference, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(ours, np.asarray(reference), rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def pytorch_ood():
    """pytorch-ood's detectors; importing it warns about things that are not ours."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pytorch_ood import detector
    return detector


def test_msp_is_that_of_pytorch_ood(case: Case, pytorch_ood) -> None:
    if case.train.head is None:
        pytest.skip("a pack without a head")
    ours = np.expm1(score(MSP().fit(case.train), case.z))  # from log(1 - p) to -p
    close(ours, pytorch_ood.MaxSoftmax(None).predict_logits(case.logits()))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_energy_is_that_of_pytorch_ood(case: Case, pytorch_ood, temperature: float) -> None:
    if case.train.head is None:
        pytest.skip("a pack without a head")
    ours = score(EnergyLogits(temperature).fit(case.train), case.z)
    close(ours, pytorch_ood.EnergyBased(None, t=temperature).predict_logits(case.logits()))


def test_knn_is_that_of_pytorch_ood_and_scikit_learn(case: Case, pytorch_ood) -> None:
    from sklearn.neighbors import NearestNeighbors

    ours = score(KNN(k=50).fit(case.train), case.z)
    bank, z, labels = case.on_sphere()
    close(
        ours,
        pytorch_ood.KNN(None, k=50).fit_features(case.train.z, labels).predict_features(case.z),
    )
    distances, _ = (
        NearestNeighbors(n_neighbors=50, algorithm="brute").fit(bank.numpy()).kneighbors(z.numpy())
    )
    close(ours, distances[:, -1])


def test_ssd_is_that_of_pytorch_ood(
    case: Case, pytorch_ood, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That one keeps the unnormalised scatter N Sigma and halves: ours / (2 N).

    Its ridge of 1e-6 does not count on features a thousand times as large, whose distances are the
    same.
    """
    bank, z, labels = case.on_sphere()
    monkeypatch.setattr(
        torch, "zeros", partial(torch.zeros, dtype=torch.float64)
    )  # pytorch_ood allocates in float32
    reference = (
        pytorch_ood.Mahalanobis(None).fit_features(1000 * bank, labels).predict_features(1000 * z)
    )
    monkeypatch.undo()
    close(score(SSD().fit(case.train), case.z), 2 * len(bank) * reference.numpy(), 1e-5)


def test_ssd_is_scikit_learns_mahalanobis_distance(case: Case) -> None:
    from sklearn.covariance import EmpiricalCovariance

    bank, z, labels = case.on_sphere()
    means = torch.stack([bank[labels == c].mean(0) for c in range(int(labels.max()) + 1)])
    model = EmpiricalCovariance(assume_centered=True).fit((bank - means[labels]).numpy())
    nearest = np.min([model.mahalanobis((z - mean).numpy()) for mean in means], axis=0)
    close(score(SSD().fit(case.train), case.z), nearest, 1e-5)


def test_mog_is_that_of_torch_distributions(case: Case) -> None:
    from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

    bank, z, labels = case.on_sphere()
    count = torch.bincount(labels).double()
    means = torch.stack([bank[labels == c].mean(0) for c in range(len(count))])
    residual = bank - means[labels]
    covariance = residual.T @ residual / len(bank)
    mixture = MixtureSameFamily(
        Categorical(count / count.sum()), MultivariateNormal(means, covariance)
    )
    close(score(MoG().fit(case.train), case.z), -mixture.log_prob(z), 1e-5)


@pytest.mark.parametrize(
    "detector", [MSP(), EnergyLogits(), KNN(), SSD(), MoG()], ids=lambda d: d.title
)
def test_float32_is_as_good(detector: Detector, case: Case) -> None:
    if detector.unsupported_reason(Shape.of(case.train)):
        pytest.skip(detector.unsupported_reason(Shape.of(case.train)))
    single = Features(case.train.z.float(), case.train.y, case.train.head)
    close(
        score(detector.fit(single), case.z.float()), score(detector.fit(case.train), case.z), 2e-4
    )


def test_mog_keeps_unequal_shares(train: Features) -> None:
    """Two classes, nine to one: on the middle line the energies differ by log 9."""
    corners = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]]).double()
    shift = torch.tensor([10.0, 0])
    z = torch.cat([corners.repeat(9, 1) - shift, corners + shift])
    y = torch.tensor([0] * 36 + [1] * 4)
    energy = MoG(normalize=False).fit(Features(z, y))
    left, right = score(energy, torch.tensor([[-10.0, 0], [10.0, 0]]).double())
    assert right - left == pytest.approx(np.log(9), abs=1e-9)
