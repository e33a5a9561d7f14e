"""A ranking does not depend on a common offset or scale of the features, or on their precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from heat_core.detectors.closed_form import KNN, MSP, SSD, EnergyLogits, MoG
from heat_core.detectors.composed import Composed
from heat_core.detectors.detector import Detector
from heat_core.detectors.distances import FDBD, NCI, SHE, NNGuide
from heat_core.detectors.gaussians import RMD, ClassMoG, RadialMahalanobis, RMDPlusPlus
from heat_core.detectors.heat import EBM, HEAT
from heat_core.detectors.learned_energy import FromNoise, FromPseudoOOD, Perceptron
from heat_core.detectors.logits import GEN, KLM, MaxLogit
from heat_core.detectors.rectified import ASH, DICE, SCALE, ReAct
from heat_core.detectors.subspaces import NECO, ViM
from heat_core.energies import GaussianMixture, Mahalanobis, score
from heat_core.explain import nearest_training_rows
from heat_core.features import Features, Head
from heat_core.metrics import auroc
from heat_core.run import fit
from heat_core.training.trainer import TrainConfig
from tests.samples import extra

SHORT = TrainConfig(steps=20, batch=64, log_points=2)
NOISE = FromNoise(Perceptron(width=8, depth=1), training=SHORT)
CRITIC = FromPseudoOOD(Perceptron(width=8, depth=1), training=SHORT)

PLAIN = [
    KNN(normalize=False, k=5),
    SSD(normalize=False),
    MoG(normalize=False),
    RMD(),
    ClassMoG(normalize=False),
]
ON_SPHERE = [KNN(k=5), SSD(), MoG(), RMDPlusPlus(), ClassMoG(), RadialMahalanobis()]
LOGITS = [MSP(), EnergyLogits(), MaxLogit(), GEN(), KLM(), ReAct(), FDBD(), NCI(alpha=0.0), NECO()]
FROM_ZERO = [SCALE(), ASH(), DICE(), NNGuide(), SHE(), NCI(), ViM()]
"""Of features whose 0 means something: a common scale does not matter, an offset does."""
LEARNED = [
    EBM(learner=NOISE),
    EBM(learner=CRITIC),
    HEAT(temperature=9.0, correction=NOISE),
    HEAT(normalize=False, correction=NOISE),
    HEAT(correction=CRITIC),
    Composed(w_knn=1.0, k=5, correction=CRITIC),
]


def name_of(detector: Detector) -> str:
    kind = "" if getattr(detector, "normalize", True) else "-plain"
    return f"{detector.title}{kind}"


def ranks_of(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return scores.argsort().argsort().astype(float)


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Returns Spearman's rank correlation of scores (n,) and (n,)."""
    return float(np.corrcoef(ranks_of(a), ranks_of(b))[0, 1])


def changed(features: Features, scale: float, shift: float, dtype: torch.dtype) -> Features:
    """Returns features stretched and moved together, with a head that gives the same logits."""
    head = features.head
    if head is not None:
        weight = head.weight.double() / scale
        head = Head(weight, head.bias.double() - weight.sum(1) * shift)
    views = {
        name: (view.double() * scale + shift).to(dtype) if name != "odin" else view
        for name, view in features.views.items()
    }
    z = (features.z.double() * scale + shift).to(dtype)
    return replace(features, z=z, head=head, views=views)


def scores_of(
    detector: Detector,
    train: Features,
    far: Features,
    scale: float = 1.0,
    shift: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> NDArray[np.float64]:
    """Returns the scores of `far` after a change of everything."""
    more = extra()
    families = {name: changed(family, scale, shift, dtype) for name, family in more.pseudo.items()}
    held_out = {
        name: changed(family, scale, shift, dtype) for name, family in more.pseudoval.items()
    }
    assert more.val is not None
    more = replace(
        more, val=changed(more.val, scale, shift, dtype), pseudo=families, pseudoval=held_out
    )
    run = fit(detector, changed(train, scale, shift, dtype), extra=more)
    return run.score(changed(far, scale, shift, dtype))


@pytest.mark.parametrize("shift", [10.0, 1e4])
@pytest.mark.parametrize("detector", [*PLAIN, *LOGITS], ids=name_of)
def test_a_common_offset_does_not_matter(
    detector: Detector, shift: float, train: Features, far: Features
) -> None:
    still = scores_of(detector, train, far)
    moved = scores_of(detector, train, far, shift=shift)
    assert rank_correlation(still, moved) > 0.999


@pytest.mark.parametrize(
    "detector", [*PLAIN, *ON_SPHERE, *LOGITS, *FROM_ZERO, *LEARNED], ids=name_of
)
def test_a_common_scale_does_not_matter(detector: Detector, train: Features, far: Features) -> None:
    still = scores_of(detector, train, far)
    for exponent in (-12, -7, -3, -1, 1, 3, 7, 12):
        stretched = scores_of(detector, train, far, scale=10.0**exponent)
        assert rank_correlation(still, stretched) > 0.999, f"1e{exponent}"


@pytest.mark.parametrize("shift", [0.0, 30.0, 1e4])
@pytest.mark.parametrize("detector", [*PLAIN, *ON_SPHERE, *LOGITS, *FROM_ZERO], ids=name_of)
def test_float32_ranks_as_float64(
    detector: Detector, shift: float, train: Features, far: Features
) -> None:
    """Features that float32 holds exactly, so that only the arithmetic differs.

    What trains draws other random numbers in another precision, so it is left out.
    """
    train, far = (changed(f, 1.0, shift, torch.float32) for f in (train, far))
    single = scores_of(detector, train, far)
    double = scores_of(detector, train, far, dtype=torch.float64)
    assert rank_correlation(single, double) > 0.999


@pytest.mark.parametrize("detector", [KNN(k=5), *PLAIN[:3]], ids=name_of)
@pytest.mark.parametrize("case", ["an offset", "a huge constant column"])
def test_what_is_small_beside_its_values_is_told_apart(detector: Detector, case: str) -> None:
    """Spread 3 on an offset of 1e4: KNN's AUROC was .68 in float32, and is 1 in float64."""
    generator = torch.Generator().manual_seed(0)
    inside, outside = (3 * torch.randn(400, 64, generator=generator) for _ in range(2))
    outside[:, :32] += 12.0  # not along the offset, which no direction shows
    if case == "an offset":
        inside, outside = inside + 1e4, outside + 1e4
    else:
        inside[:, 0] = outside[:, 0] = 1e7
    run = fit(detector, Features(inside[:300]))
    area = auroc(run.score(Features(inside[300:])), run.score(Features(outside)))
    assert area > 0.999


def test_a_confident_head_has_no_ties() -> None:
    """Softmax rounds to 1 where logits lie 40 apart; log(1 - p) does not."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(300, 4, generator=generator)
    head = Head(100 * torch.eye(4), torch.zeros(4))
    scores = fit(MSP(), Features(z, torch.arange(300) % 4, head)).score(Features(z))
    assert len(np.unique(scores)) == 300
    top = (100 * z).double().topk(2).values
    assert rank_correlation(scores, (top[:, 1] - top[:, 0]).numpy()) > 0.999


def test_classes_far_apart_keep_their_distances() -> None:
    """Means 1e5 standard deviations apart: lengths of 1e10 hid distances of 10 in float32."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 4
    z = torch.randn(400, 6, generator=generator, dtype=torch.float64)
    z[:, :4] += 1e5 * torch.eye(4, dtype=torch.float64)[y]
    for energy in (Mahalanobis(6, 4), GaussianMixture(6, 4)):
        single = score(energy.fit(Features(z.float(), y)), z[:100])
        double = score(type(energy)(6, 4).double().fit(Features(z, y)), z[:100])
        assert rank_correlation(single, double) > 0.99


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_the_neighbours_are_those_of_float64(shift: float, train: Features, far: Features) -> None:
    bank, queries = (changed(f, 1.0, shift, torch.float32) for f in (train, far))
    rows, distances = nearest_training_rows(bank, queries, 5)
    unit_queries, unit_bank = (torch.nn.functional.normalize(f.z.double()) for f in (queries, bank))
    wanted = torch.cdist(unit_queries, unit_bank)
    nearest = wanted.sort(1)
    np.testing.assert_allclose(distances, nearest.values[:, :5], rtol=1e-3)
    assert (rows == nearest.indices[:, :5].numpy()).mean() > 0.99
