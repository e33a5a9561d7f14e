"""A detector of two terms of its own beside the known ones: the page's tables have its names."""

from __future__ import annotations

from types import MappingProxyType
from unittest.mock import patch

import numpy as np
import pytest

from app.job import Job
from app.pack import inspector
from app.pack.insight import Insight, inspect_row
from app.pack.tables import verdicts_table
from app.pack.work import DetectorScores, scoring_work
from heat_core.detectors import presets
from heat_core.detectors.closed_form import KNN, EnergyLogits, MoG
from heat_core.detectors.heat import GMM, HEAT
from heat_core.detectors.learned_energy import FromNoise, Perceptron
from heat_core.detectors.weighted_sum import WeightedSumOf
from heat_core.explain import class_mahalanobis
from heat_core.pack import Pack, pack_from_arrays
from heat_core.scores import SetScores
from heat_core.training.trainer import TrainConfig
from tests.samples import ResidualAndLogits

QUICK = FromNoise(Perceptron(16, 2), training=TrainConfig(steps=20, batch=64, log_points=2))
DETECTORS = MappingProxyType(
    {
        "HEAT": HEAT(temperature=4.0, correction=QUICK),
        "HEAT-GMM": HEAT(temperature=4.0, correction=QUICK, prior=GMM),
        "ResidualAndLogits": ResidualAndLogits(),
        "Sum": WeightedSumOf((MoG(), EnergyLogits(), KNN(k=5))),
    }
)


@pytest.fixture
def pack(arrays: dict[str, np.ndarray]) -> Pack:
    return pack_from_arrays(arrays, "Small")


@pytest.fixture
def all_detector_scores(pack: Pack) -> list[DetectorScores]:
    """The scores of three detectors with several terms, as the page gets them."""
    kinds = {name: type(detector) for name, detector in DETECTORS.items()}
    with (
        patch.dict(presets.DETECTORS, kinds, clear=True),
        patch.object(presets, "PRESETS", {"features": {"quick": DETECTORS}}),
    ):
        job = Job("small", scoring_work(pack, "quick", keep_runs=True))
        job.run()
    assert job.state == "done", job.error
    return list(job.frames)


@pytest.fixture
def insight(pack: Pack, all_detector_scores: list[DetectorScores]) -> Insight:
    thresholds = {detector_scores.detector: 0.0 for detector_scores in all_detector_scores}
    return inspect_row(
        pack, class_mahalanobis(pack.train), all_detector_scores, ("far_d", 3), thresholds
    )


def test_every_detector_has_its_own_terms_in_the_inspector(insight: Insight) -> None:
    names = {name: row_terms.terms.names for name, row_terms in insight.row_terms.items()}
    assert names == {
        "HEAT": ("prior", "correction"),
        "HEAT-GMM": ("prior", "correction"),
        "ResidualAndLogits": ("residual", "logits"),
        "Sum": ("MoG", "Energy", "KNN"),
    }
    row_terms = insight.row_terms["ResidualAndLogits"]
    residual, logits = row_terms.values
    assert row_terms.verdict.score == pytest.approx(residual + logits, rel=1e-5)
    assert row_terms.sentence.startswith(f"residual {row_terms.rounded[0]:.2f} + logits ")
    assert len(row_terms.percentiles) == 3


def test_the_sentence_on_its_terms_is_not_heats(insight: Insight) -> None:
    gmm = inspector._terms_sentence(insight.row_terms["HEAT-GMM"])
    assert gmm.startswith("The prior is a Gaussian a class (MoG): E_G / T_G = ")
    assert inspector._terms_sentence(insight.row_terms["ResidualAndLogits"]) == (
        "The score is the sum of these terms."
    )


def test_the_parts_of_heats_prior_are_shown_and_add_up_to_it(insight: Insight) -> None:
    row_terms = insight.row_terms["HEAT"]
    assert row_terms.terms.prior_parts == ("MoG", "Energy")
    assert row_terms.part_values.sum() == pytest.approx(row_terms.values[0], abs=1e-4)
    mog, energy = row_terms.part_values
    sentence = inspector._terms_sentence(row_terms)
    assert sentence.startswith(
        f"The prior adds up MoG {mog:.2f}, Energy {energy:.2f}, on one scale"
    )
    assert len(insight.row_terms["HEAT-GMM"].part_values) == 0


def test_a_row_that_was_not_scored_has_parts_by_the_fitted_detector(
    pack: Pack, all_detector_scores: list[DetectorScores]
) -> None:
    thresholds = {detector_scores.detector: 0.0 for detector_scores in all_detector_scores}
    insight = inspect_row(
        pack, class_mahalanobis(pack.train), all_detector_scores, ("train", 3), thresholds
    )
    row_terms = insight.row_terms["HEAT"]
    assert row_terms.part_values.sum() == pytest.approx(row_terms.values[0], abs=1e-4)


def test_the_table_of_verdicts_drops_nobody(insight: Insight) -> None:
    table = verdicts_table(insight.verdicts)
    assert list(table["Detector"]) == list(DETECTORS)


def test_the_drawer_shows_all_terms(
    pack: Pack, insight: Insight, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the third, which two columns side by side once dropped."""
    detectors = []
    monkeypatch.setattr(
        inspector, "_show_terms", lambda name, row_terms, share: detectors.append(name)
    )
    inspector._show_all_terms(
        insight, {name: SetScores({"test": np.zeros(3)}) for name in DETECTORS}
    )
    assert detectors == list(DETECTORS)
