"""The closed forms against other people's code, on synthetic features and on every pack in assets/packs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from heat_core import metrics
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
        return self.z.double() @ self.train.head.weight.double().T + self.train.head.bias.double()

    def on_sphere(self) -> tuple[Tensor, Tensor, Tensor]:
        """Returns unit training features, unit features to score, and contiguous labels, in float64."""
        return normalize(self.train.z.double()), normalize(self.z.double()), self.train.class_index


@pytest.fixture(scope="module", params=["synthetic", *PACKS], ids=lambda p: getattr(p, "name", p))
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "synthetic":
        z, y = clusters(1000, seed=1, classes=5, dim=24)
        generator = torch.Generator().manual_seed(0)
        head = Head(torch.randn(5, 24, generator=generator), torch.randn(5, generator=generator))
        outside = torch.randn(ROWS, 24, generator=generator).abs()
        return Case(
            Features(z.double(), y, head), torch.cat([clusters(300, 2, 5, 24)[0], outside]).double()
        )
    pack = read_pack(request.param)
    every = [features.z[:ROWS] for name, features in pack.sets() if name != "train"]
    return Case(
        Features(pack.train.z.double(), pack.train.y, pack.train.head), torch.cat(every).double()
    )


def close(ours: np.ndarray, theirs, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(ours, np.asarray(theirs), rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def theirs():
    """pytorch-ood's detectors; importing it warns about things that are not ours."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pytorch_ood import detector
    return detector


def test_msp_is_that_of_pytorch_ood(case: Case, theirs) -> None:
    if case.train.head is None:
        pytest.skip("a pack without a head")
    close(
        score(MSP().fit(case.train), case.z), theirs.MaxSoftmax(None).predict_logits(case.logits())
    )


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_energy_is_that_of_pytorch_ood(case: Case, theirs, temperature: float) -> None:
    if case.train.head is None:
        pytest.skip("a pack without a head")
    ours = score(EnergyLogits(temperature).fit(case.train), case.z)
    close(ours, theirs.EnergyBased(None, t=temperature).predict_logits(case.logits()))


def test_knn_is_that_of_pytorch_ood_and_scikit_learn(case: Case, theirs) -> None:
    from sklearn.neighbors import NearestNeighbors

    ours = score(KNN(k=50).fit(case.train), case.z)
    bank, z, labels = case.on_sphere()
    close(ours, theirs.KNN(None, k=50).fit_features(case.train.z, labels).predict_features(case.z))
    distances, _ = (
        NearestNeighbors(n_neighbors=50, algorithm="brute").fit(bank.numpy()).kneighbors(z.numpy())
    )
    close(ours, distances[:, -1])


def test_ssd_is_that_of_pytorch_ood(case: Case, theirs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs keeps the unnormalised scatter N Sigma and halves: ours / (2 N).

    Its ridge of 1e-6 does not count on features a thousand times as large, which have the same distances.
    """
    bank, z, labels = case.on_sphere()
    monkeypatch.setattr(
        torch, "zeros", partial(torch.zeros, dtype=torch.float64)
    )  # theirs allocates in float32
    reference = (
        theirs.Mahalanobis(None).fit_features(1000 * bank, labels).predict_features(1000 * z)
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
    rest = bank - means[labels]
    covariance = rest.T @ rest / len(bank)
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
    rest = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]]).double()
    z = torch.cat([rest.repeat(9, 1) - torch.tensor([10.0, 0]), rest + torch.tensor([10.0, 0])])
    y = torch.tensor([0] * 36 + [1] * 4)
    energy = MoG(normalize=False).fit(Features(z, y))
    left, right = score(energy, torch.tensor([[-10.0, 0], [10.0, 0]]).double())
    assert right - left == pytest.approx(np.log(9), abs=1e-9)


# -- metrics -----------------------------------------------------------------------------------------------------------


def _pair(kind: str) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    inside, outside = random.normal(0, 1, 331), random.normal(1, 1.5, 217)
    return {
        "smooth": (inside, outside),
        "ties": (inside.round(), outside.round()),
        "all tied": (inside * 0, outside * 0),
        "apart": (inside, outside + 99),
        "wrong way": (inside + 99, outside),
        "one each": (inside[:1], outside[:1]),
        "float32": (inside.astype(np.float32), outside.astype(np.float32)),
    }[kind]


pairs = pytest.mark.parametrize(
    "kind", ["smooth", "ties", "all tied", "apart", "wrong way", "one each", "float32"]
)


@pairs
def test_metrics_are_those_of_scikit_learn(kind: str) -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    inside, outside = _pair(kind)
    truth, scores = (
        np.repeat([0, 1], [len(inside), len(outside)]),
        np.concatenate([inside, outside]),
    )
    found = metrics.separation(inside, outside)
    assert found.auroc == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert found.aupr == pytest.approx(average_precision_score(truth, scores), abs=1e-12)
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found.fpr95_ood == pytest.approx(false[true >= 0.95 - 1e-12].min(), abs=1e-12)
    false, true, _ = roc_curve(1 - truth, -scores, drop_intermediate=False)
    assert found.fpr95 == pytest.approx(false[true >= 0.95 - 1e-12].min(), abs=1e-12)


@pairs
def test_each_metric_alone_is_the_one_in_the_set(kind: str) -> None:
    inside, outside = _pair(kind)
    found = metrics.separation(inside, outside)
    assert (found.auroc, found.fpr95) == (
        metrics.auroc(inside, outside),
        metrics.fpr95(inside, outside),
    )
    assert (found.fpr95_ood, found.aupr) == (
        metrics.fpr95_ood(inside, outside),
        metrics.aupr(inside, outside),
    )


@pairs
def test_auroc_of_the_negated_scores(kind: str) -> None:
    inside, outside = _pair(kind)
    assert metrics.auroc(-inside, -outside) == pytest.approx(
        1 - metrics.auroc(inside, outside), abs=1e-12
    )
    assert metrics.auroc(outside, inside) == pytest.approx(
        1 - metrics.auroc(inside, outside), abs=1e-12
    )


def test_delongs_error_is_that_of_the_bootstrap() -> None:
    inside, outside = _pair("smooth")
    random = np.random.default_rng(0)
    resampled = [
        metrics.auroc(random.choice(inside, len(inside)), random.choice(outside, len(outside)))
        for _ in range(600)
    ]
    found = metrics.separation(inside, outside)
    assert found.auroc_error == pytest.approx(np.std(resampled), rel=0.12)
    low, high = found.interval
    assert low < found.auroc < high
    assert np.mean((np.array(resampled) > low) & (np.array(resampled) < high)) == pytest.approx(
        0.95, abs=0.03
    )


def test_the_threshold_keeps_what_it_says() -> None:
    inside, outside = _pair("ties")
    cut = metrics.threshold_keeping(inside, 0.95)
    assert (inside <= cut).mean() >= 0.95
    assert (inside < cut).mean() < 0.95
    assert metrics.fpr95(inside, outside) == pytest.approx((outside <= cut).mean())
    assert metrics.threshold_keeping(inside, 1.0) == inside.max()


@pytest.mark.parametrize("wrong", [[], [np.nan], [1.0, np.inf], [-np.inf]])
def test_metrics_refuse_what_is_not_a_number(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="inside"):
        metrics.separation(wrong, [1.0])
    with pytest.raises(ValueError, match="outside"):
        metrics.separation([1.0], wrong)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.01])
def test_a_threshold_needs_a_share(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        metrics.threshold_keeping([1.0], share)
    with pytest.raises(ValueError, match="at least one"):
        metrics.threshold_keeping([])
