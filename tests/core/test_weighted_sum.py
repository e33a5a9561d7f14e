"""The weighted sum of any detectors, and detectors of another view."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heat_core.detectors.closed_form import KNN, ODIN, EnergyLogits, MoG
from heat_core.detectors.detector import Shape
from heat_core.detectors.gaussians import ClassMoG
from heat_core.detectors.heat import EBM, GMM, HEAT
from heat_core.detectors.learned_energy import FromNoise, FromPseudoOOD, Perceptron
from heat_core.detectors.presets import preset_detector
from heat_core.detectors.rectified import SCALE
from heat_core.detectors.weighted_sum import OfView, WeightedSumOf
from heat_core.explain import ScoreTerms, term_values
from heat_core.features import Features
from heat_core.run import fit, load, save
from heat_core.training.trainer import Record, TrainConfig
from tests.samples import extra

SHORT = TrainConfig(steps=20, batch=64, log_points=2)
NOISE = FromNoise(Perceptron(16, 2), training=SHORT)
CRITIC = FromPseudoOOD(Perceptron(16, 2), training=SHORT)


def test_scores_add_up_in_standard_deviations_of_held_out_id(
    train: Features, far: Features
) -> None:
    given = extra()
    assert given.val is not None
    members = (MoG(), ODIN(), OfView("std", KNN(k=5)), EBM(learner=CRITIC))
    weights = (1.0, 0.5, 2.0, 3.0)
    run = fit(WeightedSumOf(members, weights), train, 2, extra=given)
    wanted = np.zeros(len(far))
    for detector, weight in zip(members, weights, strict=True):
        alone = fit(detector, train, 2, extra=given)
        inside = alone.score(given.val)
        wanted += weight * (alone.score(far) - inside.mean()) / inside.std()
    np.testing.assert_allclose(run.score(far), wanted, rtol=1e-3, atol=1e-3)
    terms = ScoreTerms.of(run)
    assert terms == ScoreTerms(("MoG", "ODIN", "KNN of std", "EBM"), standardised=True)
    np.testing.assert_allclose(term_values(run, far).sum(1), wanted, rtol=1e-3, atol=1e-3)


def test_with_beta_the_largest_counts(train: Features, far: Features) -> None:
    detector = WeightedSumOf((MoG(), KNN(k=5)), beta=math.inf)
    run = fit(detector, train, extra=extra())
    np.testing.assert_allclose(term_values(run, far).max(1), run.score(far), rtol=1e-5)


def test_a_detector_of_a_view_sees_that_view_as_z(train: Features, far: Features) -> None:
    run = fit(OfView("std", MoG()), train)
    alone = fit(MoG(), train.view("std"))
    np.testing.assert_array_equal(run.score(far), alone.score(far.view("std")))
    assert (run.detector.name, run.term_names) == ("MoG of std", ("MoG",))


def test_what_the_features_have_no_data_for_is_left_out_and_said(train: Features) -> None:
    members = (MoG(), OfView("std", MoG()), EnergyLogits())
    detector = WeightedSumOf(members)
    bare = Shape.of(Features(train.z, train.y))
    assert detector.term_names(bare) == ("MoG",)
    assert detector.left_out(bare) == (
        "Left out: MoG of std needs the view std, and there is none. Left out: Energy needs the "
        "classifier's head (weight and bias), and there is none."
    )
    assert detector.left_out(Shape.of(train)) == ""
    nothing = WeightedSumOf(members[1:])
    assert nothing.unsupported_reason(bare).startswith("MoG of std needs the view std")
    with pytest.raises(ValueError, match="MoG of std needs the view std"):
        fit(nothing, Features(train.z, train.y))


def test_two_of_one_name_are_told_apart() -> None:
    detector = WeightedSumOf((KNN(k=5), KNN(k=9), MoG()))
    assert detector.term_names(Shape(dim=3, classes=2, rows=90, head=0)) == ("KNN", "KNN 2", "MoG")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((1.0,), "a weight for each of 2 detectors, got 1"),
        ((0.0, 0.0), "weights must be 0 or more, and one above 0"),
        ((-1.0, 2.0), "weights must be 0 or more, and one above 0"),
    ],
)
def test_weights_that_make_no_sum_are_refused(weights: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WeightedSumOf((MoG(), KNN()), weights)


def test_several_trainings_report_as_one(train: Features) -> None:
    records: list[Record] = []
    gmm = HEAT(correction=NOISE, prior=GMM)
    detector = WeightedSumOf((gmm, MoG(), OfView("std", gmm)))
    fit(detector, train, on_record=lambda record, energy: records.append(record))
    assert [(record.step, record.steps) for record in records] == [
        (10, 40),
        (20, 40),
        (30, 40),
        (40, 40),
    ]


def test_the_official_heat_is_the_sum_of_three_corrected_priors(
    train: Features, far: Features, tmp_path: Path
) -> None:
    detector = preset_detector("HEAT", "official")
    assert isinstance(detector, WeightedSumOf)
    shape = Shape.of(train)
    assert detector.term_names(shape) == ("HEAT-GMM", "HEAT-GMM of std", "HEAT-EL")
    assert detector.weights == (1.0, 1.0, 1.0)
    assert detector.beta == 0
    assert detector.term_names(replace(shape, head=0, views={})) == ("HEAT-GMM",)
    quick = shortened(detector)
    run = fit(quick, train, extra=extra())
    save(run, tmp_path / "run")
    again = load(tmp_path / "run")
    assert again.detector == quick
    assert np.array_equal(again.score(far), run.score(far))
    assert np.isfinite(run.score(far)).all()


def shortened(detector: WeightedSumOf) -> WeightedSumOf:
    """Returns a sum of HEATs with few steps, small networks and short chains."""

    def short(heat: HEAT) -> HEAT:
        objective = replace(
            heat.objective,
            sampler=replace(heat.objective.sampler, steps=2),  # type: ignore
        )
        return replace(heat, correction=replace(NOISE, objective=objective))

    members = []
    for member in detector.detectors:
        if isinstance(member, OfView):
            assert isinstance(member.detector, HEAT)
            members.append(replace(member, detector=short(member.detector)))
        else:
            assert isinstance(member, HEAT)
            members.append(short(member))
    return replace(detector, detectors=tuple(members))


def test_what_its_detectors_say_is_said(train: Features) -> None:
    detector = WeightedSumOf((MoG(), OfView("std", ClassMoG()), SCALE()))
    run = fit(detector, train, extra=extra())
    assert set(run.chosen_settings) == {"MoG-full of std shrinkage", "SCALE percentile"}
    alone = fit(SCALE(), train, extra=extra())
    assert run.chosen_settings["SCALE percentile"] == alone.chosen_settings["percentile"]
    negative = replace(train, z=train.z - 0.25)
    assert "needs features of 0 or more" in detector.unsupported_features(negative)
    with pytest.raises(ValueError, match=r"^SCALE needs features of 0 or more"):
        detector.fit(negative)
