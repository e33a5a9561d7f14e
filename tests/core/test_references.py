"""The closed forms against other people's code.

On synthetic features, and on every pack in assets/packs.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from heat_core.detectors.distances import FDBD, NCI, SHE, NNGuide
from heat_core.detectors.gaussians import RMD, ClassMoG, RadialMahalanobis, RMDPlusPlus
from heat_core.detectors.logits import GEN, KLM, MaxLogit
from heat_core.detectors.rectified import ASH, DICE, SCALE, ReAct
from heat_core.detectors.subspaces import NECO, ViM
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
    parts = [features.z[:ROWS] for features in (pack.test, *pack.ood.values())]
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


# -- of the logits ---------------------------------------------------------------------------------


@pytest.fixture
def headed(case: Case) -> Case:
    """The case, if it has a head."""
    if case.train.head is None:
        pytest.skip("a pack without a head")
    return case


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keeps pytorch-ood, which casts to float32 in many places, in float64."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def head_of(case: Case) -> Head:
    assert case.train.head is not None
    return case.train.head


def linear(case: Case) -> torch.nn.Linear:
    """Returns the head as a layer, in float64."""
    head = head_of(case)
    layer = torch.nn.Linear(case.train.dim, len(head.bias), dtype=torch.float64)
    layer.weight.data, layer.bias.data = head.weight.double(), head.bias.double()
    return layer


def logits_of_maps(case: Case):
    """Returns what takes feature maps of one pixel (n, d, 1, 1) to logits (n, C)."""
    return lambda maps: head_of(case).logits(maps.flatten(1))


def labels_of(case: Case) -> Tensor:
    assert case.train.y is not None
    return case.train.y


def test_maxlogit_is_that_of_pytorch_ood(headed: Case, pytorch_ood) -> None:
    ours = score(MaxLogit().fit(headed.train), headed.z)
    close(ours, pytorch_ood.MaxLogit(None).predict_logits(headed.logits()))


@pytest.mark.parametrize("largest", [100, 3])
def test_gen_is_that_of_pytorch_ood(headed: Case, pytorch_ood, largest: int) -> None:
    """That one averages over classes, ours adds up as the paper does.

    It raises shares to 1e-7, so the logits are made smaller, so that no share is below.
    """
    head, logits = head_of(headed), headed.logits()
    spread = float((logits.max(1).values - logits.min(1).values).max())
    factor = max(10.0, spread / 12)  # log 1e-7 is -16
    flat = Features(headed.train.z, headed.train.y, Head(head.weight / factor, head.bias / factor))
    ours = score(GEN(largest=largest).fit(flat), headed.z)
    theirs = pytorch_ood.GEN(None, M=largest).predict_logits(logits / factor)
    close(ours, min(largest, len(head.bias)) * theirs)


def test_klm_is_that_of_pytorch_ood(headed: Case, pytorch_ood) -> None:
    reference = pytorch_ood.KLMatching(None)
    reference.fit_logits(head_of(headed).logits(headed.train.z), labels_of(headed))
    close(score(KLM().fit(headed.train), headed.z), reference.predict_logits(headed.logits()), 1e-5)


# -- of changed features ---------------------------------------------------------------------------


@pytest.mark.parametrize("percentile", [90.0, 95.0])
def test_react_is_that_of_pytorch_ood(headed: Case, pytorch_ood, percentile: float) -> None:
    train_maps, maps = headed.train.z[:, :, None, None], headed.z[:, :, None, None]
    reference = pytorch_ood.ReAct(None, logits_of_maps(headed), percentile=percentile / 100)
    reference.fit_feature_maps(train_maps, labels_of(headed))
    ours = score(ReAct(percentile=percentile).fit(headed.train), headed.z)
    close(ours, reference.predict_feature_maps(maps), 1e-5)


@pytest.mark.parametrize("percentile", [65.0, 85.0])
def test_scale_and_ash_are_those_of_pytorch_ood(
    headed: Case, pytorch_ood, percentile: float
) -> None:
    """Of features that are equally large that one prunes any, ours none: such rows are left out."""
    share, dim = percentile / 100, headed.train.dim
    ordered = headed.z.sort(1, descending=True).values
    count = dim - round(dim * share)
    z = headed.z[ordered[:, count - 1] > ordered[:, count]]
    assert len(z) > 0.95 * len(headed.z)
    for ours, theirs in ((SCALE, pytorch_ood.SCALE), (ASH, pytorch_ood.ASH)):
        reference = theirs(None, logits_of_maps(headed), percentile=share)
        energy = ours(percentile=percentile).fit(headed.train)
        close(score(energy, z), reference.predict_feature_maps(z[:, :, None, None]), 1e-5)


@pytest.mark.parametrize("percentile", [50.0, 90.0])
def test_dice_is_that_of_pytorch_ood(
    headed: Case, pytorch_ood, in_float64: None, percentile: float
) -> None:
    layer = linear(headed)
    reference = pytorch_ood.DICE(None, layer.weight.data, layer.bias.data, percentile / 100)
    reference.fit_features(headed.train.z, labels_of(headed))
    ours = score(DICE(percentile=percentile).fit(headed.train), headed.z)
    close(ours, reference.predict_features(headed.z), 1e-5)


# -- of distances ----------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 10, 100])
def test_nnguide_is_that_of_pytorch_ood(
    headed: Case, pytorch_ood, in_float64: None, k: int
) -> None:
    reference = pytorch_ood.NNGuide(None, linear(headed), k=k)
    reference.fit_features(headed.train.z, labels_of(headed))
    ours = score(NNGuide(k=k).fit(headed.train), headed.z)
    close(ours, reference.predict_features(headed.z), 1e-5)


def test_she_is_that_of_pytorch_ood(case: Case, pytorch_ood, in_float64: None) -> None:
    """The head takes a row for the nearest mean, so that it recognises every class."""
    z, labels = case.train.z, case.train.class_index
    means = torch.stack([z[labels == c].mean(0) for c in range(len(case.train.classes))])
    nearest = Case(Features(z, labels, Head(means, -0.5 * means.square().sum(1))), case.z)
    reference = pytorch_ood.SHE(None, linear(nearest)).fit_features(z, labels)
    ours = score(SHE().fit(nearest.train), case.z)
    close(ours, reference.predict_features(case.z).detach(), 1e-5)


def test_fdbd_is_that_of_pytorch_ood(headed: Case, pytorch_ood, in_float64: None) -> None:
    reference = pytorch_ood.fDBD(None, linear(headed)).fit_features(headed.train.z)
    ours = score(FDBD().fit(headed.train), headed.z)
    close(ours, reference.predict_features(headed.z), 1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.01])
def test_nci_is_that_of_pytorch_ood(
    headed: Case, pytorch_ood, in_float64: None, alpha: float
) -> None:
    reference = pytorch_ood.NCI(None, linear(headed), alpha).fit_features(headed.train.z)
    ours = score(NCI(alpha=alpha).fit(headed.train), headed.z)
    close(ours, reference.predict_features(headed.z), 1e-5)


# -- of Gaussians ----------------------------------------------------------------------------------


@pytest.mark.parametrize("detector", [RMD(), RMDPlusPlus()], ids=lambda d: d.title)
def test_rmd_is_that_of_pytorch_ood(
    detector: RMD, case: Case, pytorch_ood, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SSD's, that one has the unnormalised scatter N Sigma, and a ridge that must not count."""
    bank, z, labels = case.on_sphere()
    if not detector.normalize:
        bank, z = case.train.z, case.z
    monkeypatch.setattr(torch, "zeros", partial(torch.zeros, dtype=torch.float64))
    reference = pytorch_ood.RMD(None).fit_features(1000 * bank, labels).predict_features(1000 * z)
    monkeypatch.undo()
    close(score(detector.fit(case.train), case.z), len(bank) * reference.numpy(), 1e-5)


def test_radial_mahalanobis_lies_between_plain_and_directions(case: Case) -> None:
    plain, direction = SSD(normalize=False), SSD()
    for beta, detector in ((0.0, plain), (1.0, direction)):
        ours = score(RadialMahalanobis(beta=beta).fit(case.train), case.z)
        close(ours, score(detector.fit(case.train), case.z), 1e-5)
    root = lambda z: z / z.norm(dim=1, keepdim=True).sqrt()  # noqa: E731
    halfway = plain.fit(Features(root(case.train.z), case.train.y))
    ours = score(RadialMahalanobis(beta=0.5).fit(case.train), case.z)
    close(ours, score(halfway, root(case.z)), 1e-5)


@pytest.mark.parametrize("shrinkage", [0.25, 1.0])
def test_mog_full_is_that_of_torch_distributions(case: Case, shrinkage: float) -> None:
    from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

    bank, z, labels = case.on_sphere()
    count = torch.bincount(labels).double()
    rows = [bank[labels == c] for c in range(len(count))]
    means = torch.stack([own.mean(0) for own in rows])
    own = torch.stack([torch.cov(own.T, correction=0) for own in rows])
    pooled = (count[:, None, None] * own).sum(0) / len(bank)
    mixture = MixtureSameFamily(
        Categorical(count / count.sum()),
        MultivariateNormal(means, (1 - shrinkage) * own + shrinkage * pooled),
    )
    close(score(ClassMoG(shrinkage=shrinkage).fit(case.train), case.z), -mixture.log_prob(z), 1e-5)


# -- of subspaces ----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_vim_is_that_of_pytorch_ood(
    headed: Case, pytorch_ood, in_float64: None, share: float
) -> None:
    principal, layer = int(share * headed.train.dim), linear(headed)
    reference = pytorch_ood.ViM(None, principal, layer.weight.data, layer.bias.data)
    reference.fit_features(headed.train.z, labels_of(headed))
    ours = score(ViM(principal=principal).fit(headed.train), headed.z)
    close(ours, reference.predict_features(headed.z), 1e-5)


def test_neco_is_that_of_scikit_learn(headed: Case) -> None:
    """As the authors' code does it: StandardScaler, PCA, norms, times the largest logit."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(headed.train.z.numpy())
    pca = PCA(n_components=0.9, svd_solver="full").fit(scaler.transform(headed.train.z.numpy()))
    standard = scaler.transform(headed.z.numpy())
    share = np.linalg.norm(pca.transform(standard), axis=1) / np.linalg.norm(standard, axis=1)
    ours = score(NECO().fit(headed.train), headed.z)
    close(ours, -share * headed.logits().amax(1).numpy(), 1e-5)


# -- precision, shares -----------------------------------------------------------------------------

ALL = [
    MSP(),
    EnergyLogits(),
    KNN(),
    SSD(),
    MoG(),
    MaxLogit(),
    GEN(),
    ReAct(),
    SCALE(),
    ASH(),
    DICE(),
    NNGuide(),
    SHE(),
    FDBD(),
    NCI(alpha=0.01),
    RMD(),
    RMDPlusPlus(),
    RadialMahalanobis(),
    ClassMoG(),
    ViM(),
    NECO(),
]


@pytest.mark.parametrize("detector", ALL, ids=lambda d: d.title)
def test_float32_is_as_good(detector: Detector, case: Case) -> None:
    if detector.unsupported_reason(Shape.of(case.train)):
        pytest.skip(detector.unsupported_reason(Shape.of(case.train)))
    single = Features(case.train.z.float(), case.train.y, case.train.head)
    wanted = score(detector.fit(case.train), case.z)
    # a difference of two distances rounds as these do, so it is held against the scores' spread
    tolerance = 2e-4 * max(1.0, wanted.std())
    single_scores = score(detector.fit(single), case.z.float())
    np.testing.assert_allclose(single_scores, wanted, rtol=2e-4, atol=tolerance)


def test_mog_keeps_unequal_shares(train: Features) -> None:
    """Two classes, nine to one: on the middle line the energies differ by log 9."""
    corners = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]]).double()
    shift = torch.tensor([10.0, 0])
    z = torch.cat([corners.repeat(9, 1) - shift, corners + shift])
    y = torch.tensor([0] * 36 + [1] * 4)
    energy = MoG(normalize=False).fit(Features(z, y))
    left, right = score(energy, torch.tensor([[-10.0, 0], [10.0, 0]]).double())
    assert right - left == pytest.approx(np.log(9), abs=1e-9)
