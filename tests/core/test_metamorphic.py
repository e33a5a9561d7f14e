"""Scores must not change when something that should not matter does; HEAT is its two terms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heat_core.detectors.closed_form import KNN, MSP, SSD, EnergyLogits, MoG
from heat_core.detectors.detector import Detector, Shape
from heat_core.detectors.distances import FDBD, NCI, SHE
from heat_core.detectors.gaussians import RMD, ClassMoG, RadialMahalanobis
from heat_core.detectors.heat import EBM, GMM, HEAT
from heat_core.detectors.learned_energy import FromNoise, Perceptron, energies_within
from heat_core.detectors.logits import GEN, KLM
from heat_core.detectors.rectified import DICE, SCALE
from heat_core.detectors.subspaces import NECO, ViM
from heat_core.energies import Network, kth_largest, score
from heat_core.features import Features, Head
from heat_core.training.trainer import TrainConfig

SHORT = FromNoise(Perceptron(16, 2), training=TrainConfig(steps=20, batch=64, log_points=2))


def double(features: Features) -> Features:
    return Features(features.z.double(), features.y, features.head)


def close(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "detector",
    [
        MSP(),
        EnergyLogits(),
        KNN(k=5),
        SSD(),
        MoG(),
        GEN(),
        KLM(),
        DICE(),
        SHE(),
        FDBD(),
        NCI(alpha=0.1),
        RMD(),
        ClassMoG(),
        ViM(),
        NECO(),
    ],
    ids=lambda d: d.title,
)
def test_the_names_of_classes_do_not_matter(
    detector: Detector, train: Features, far: Features
) -> None:
    assert train.head is not None
    assert train.y is not None
    new = torch.tensor([2, 0, 3, 1])  # class c is now called new[c]
    old = new.argsort()
    renamed = Features(
        train.z.double(), new[train.y], Head(train.head.weight[old], train.head.bias[old])
    )
    z = far.z.double()
    close(score(detector.fit(renamed), z), score(detector.fit(double(train)), z))


@pytest.mark.parametrize(
    "detector",
    [KNN(k=5), SSD(), MoG(), MoG(normalize=False), RMD(), RadialMahalanobis(beta=0.5), ClassMoG()],
    ids=["KNN", "SSD", "MoG", "MoG-plain", "RMD", "Radial", "MoG-full"],
)
def test_turning_the_features_does_not_matter(
    detector: Detector, train: Features, far: Features
) -> None:
    turn = torch.linalg.qr(
        torch.randn(12, 12, generator=torch.Generator().manual_seed(0)).double()
    ).Q
    turned = Features(train.z.double() @ turn, train.y)
    close(
        score(detector.fit(turned), far.z.double() @ turn),
        score(detector.fit(double(train)), far.z.double()),
    )


@pytest.mark.parametrize(
    "detector",
    [MoG(normalize=False), SSD(normalize=False), RMD(), ClassMoG(normalize=False)],
    ids=["MoG", "SSD", "RMD", "MoG-full"],
)
def test_moving_and_stretching_moves_the_score_by_a_constant(
    detector: Detector, train: Features, far: Features
) -> None:
    stretch, shift = torch.linspace(0.5, 3, 12).double(), torch.arange(12).double()
    moved = Features(train.z.double() * stretch + shift, train.y)
    difference = score(detector.fit(moved), far.z.double() * stretch + shift) - score(
        detector.fit(double(train)), far.z.double()
    )
    wanted = stretch.log().sum() if detector.title.startswith("MoG") else 0.0
    close(difference, np.full(len(far), float(wanted)))


def test_with_one_shape_for_all_mog_full_is_the_mog(train: Features, far: Features) -> None:
    for normalize in (True, False):
        ours = ClassMoG(normalize=normalize, shrinkage=1.0).fit(double(train))
        close(score(ours, far.z.double()), score(MoG(normalize).fit(double(train)), far.z.double()))


def test_scale_with_every_feature_among_the_largest_is_the_energy(
    train: Features, far: Features
) -> None:
    """Then r is e for every row, and the free energy is that of e z."""
    assert train.head is not None
    head = Head(torch.e * train.head.weight.double(), train.head.bias.double())
    enlarged = Features(train.z.double(), train.y, head)
    ours = SCALE(percentile=0.0).fit(double(train))
    close(score(ours, far.z.double()), score(EnergyLogits().fit(enlarged), far.z.double()))


def test_knn_does_not_know_the_order_of_its_bank(train: Features, far: Features) -> None:
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    close(
        score(KNN(k=7).fit(double(train.take(order))), far.z.double()),
        score(KNN(k=7).fit(double(train)), far.z.double()),
    )


@pytest.mark.parametrize("k", [1, 3, 40])
@pytest.mark.parametrize("columns", [64, 640, 1000])
def test_kth_largest_is_that_of_a_full_sort(k: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(columns + k)
    for values in (
        torch.randn(9, columns, generator=generator),
        torch.randint(5, (9, columns), generator=generator).float(),
    ):
        assert torch.equal(kth_largest(values, k), values.sort(1, descending=True).values[:, k - 1])


# -- HEAT is its prior and its correction ----------------------------------------------------------


@pytest.mark.parametrize("normalize", [True, False])
def test_total_less_prior_is_the_correction(
    normalize: bool, train: Features, far: Features
) -> None:
    detector = HEAT(normalize=normalize, temperature=3.0, correction=SHORT, prior=GMM)
    energy, z = detector.fit(train), far.z
    prior, correction = energy.addends()
    with torch.no_grad():
        assert torch.equal(energy(z), prior(z) + correction(z))
    mog = MoG(normalize=normalize).fit(train)
    np.testing.assert_allclose(score(prior, z), score(mog, z) / 3, rtol=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
def test_heat_begins_as_its_prior(normalize: bool, train: Features, far: Features) -> None:
    correction = FromNoise(Perceptron(16, 2, frequencies=4))
    detector = HEAT(normalize=normalize, temperature=5.0, correction=correction, prior=GMM)
    energy = detector.build(Shape.of(train)).fit(train)
    (network,) = energies_within(energy, Network)
    network.randomise(torch.Generator().manual_seed(0))
    mog = MoG(normalize=normalize).fit(train)
    np.testing.assert_allclose(score(energy, far.z), score(mog, far.z) / 5, rtol=1e-5)


def test_a_correction_that_learned_nothing_leaves_the_mog(train: Features, far: Features) -> None:
    """With a rate of zero the correction stays 0, as an endless penalty on it would have it."""
    training = TrainConfig(steps=10, batch=32, lr=0.0)
    correction = FromNoise(Perceptron(16, 2), training=training)
    detector = HEAT(temperature=2.0, correction=correction, prior=GMM)
    np.testing.assert_allclose(
        2 * score(detector.fit(train), far.z), score(MoG().fit(train), far.z), rtol=1e-5
    )


def test_energies_add_and_divide(train: Features, far: Features) -> None:
    mog, ssd = MoG(normalize=False).fit(train), SSD(normalize=False).fit(train)
    total = mog / 2.0 + ssd + mog
    assert len(total.addends()) == 3
    with torch.no_grad():
        wanted = mog(far.z) / 2 + ssd(far.z) + mog(far.z)
    np.testing.assert_allclose(score(total, far.z), wanted.double().numpy(), rtol=1e-6)


def test_the_logistic_critic_finds_the_log_ratio() -> None:
    """E_theta -> log n - log p.

    For data of N(0, I) and noise of density 1 / V that is |z|^2 / 2 + log(2 pi) - log V.
    """
    z = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
    training = TrainConfig(steps=800, batch=512, lr=1e-2, ema_decay=0.97)
    source = FromNoise(Perceptron(32, 2), training=training)
    energy = EBM(normalize=False, learner=source).fit(Features(z))
    probe = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, -1.5], [1.0, 1.0]])
    learned = score(energy, probe)
    volume = float(1.8 * (z.amax(0) - z.amin(0)).amax()) ** 2  # the cube that the noise fills
    assert learned == pytest.approx(
        np.log(2 * np.pi / volume) + np.array([0.0, 0.5, 1.125, 1.0]), abs=0.25
    )
