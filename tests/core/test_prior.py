"""HEAT's prior: closed forms on one scale, and how loud they speak beside the correction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from heat_core.detectors.closed_form import EnergyLogits, MoG
from heat_core.detectors.detector import Shape
from heat_core.detectors.heat import EL, GMM, HEAT, PRIOR
from heat_core.detectors.learned_energy import FromNoise, FromPseudoOOD, Perceptron
from heat_core.detectors.presets import preset_detector
from heat_core.energies import Energy, Tempered, score
from heat_core.features import Features, Head
from heat_core.pack import ExtraID
from heat_core.run import fit
from heat_core.sampling import Langevin, project
from heat_core.training.objectives import MaximumLikelihood
from heat_core.training.trainer import TrainConfig
from tests.samples import clusters, extra, with_views

SHORT = TrainConfig(steps=20, batch=64, log_points=2)
CRITIC = FromPseudoOOD(Perceptron(16, 2), training=SHORT)
NOISE = FromNoise(Perceptron(16, 2), training=SHORT)
Arrays = dict[str, np.ndarray]


def t_g_of(prior: Energy) -> float:
    """Returns what a prior was divided by."""
    assert isinstance(prior, Tempered)
    return float(prior.temperature)


def with_early(features: Features) -> Features:
    """Returns features that have the score of an earlier layer, too."""
    views = {**features.views, "early": (features.z.sum(1, keepdim=True) - 8).abs()}
    return replace(features, views=views)


def extra_with_early() -> ExtraID:
    return extra().of_each(with_early)


@pytest.fixture
def full(train: Features) -> Features:
    """Training features that every part of the prior can read."""
    return with_early(train)


def closed_forms(train: Features, features: Features) -> Arrays:
    """Returns what each part of the prior says by itself, {name: (n,)}."""
    return {
        "mog": fit(MoG(), train).score(features),
        "std_view": fit(MoG(), train.view("std")).score(features.view("std")),
        "energy": fit(EnergyLogits(), train).score(features),
        "early_layer": features.views["early"][:, 0].double().numpy(),
    }


def test_the_prior_adds_up_closed_forms_in_standard_deviations_of_held_out_id(
    full: Features, far: Features
) -> None:
    given, judged = extra_with_early(), with_early(far)
    assert given.val is not None
    run = fit(HEAT(correction=CRITIC), full, extra=given)
    assert HEAT().readable_parts(run.shape) == PRIOR == ("mog", "std_view", "energy", "early_layer")
    prior, correction = run.energy.addends()
    held_out, outside = closed_forms(full, given.val), closed_forms(full, judged)
    summed = sum((outside[name] - e.mean()) / e.std() for name, e in held_out.items())
    training = closed_forms(full, full)
    on_train = sum((training[name] - e.mean()) / e.std() for name, e in held_out.items())
    t_g = np.std(on_train) / score(correction, run.inputs(full)).std()
    assert t_g_of(prior) == pytest.approx(t_g, rel=1e-4)
    np.testing.assert_allclose(score(prior, run.inputs(judged)), summed / t_g, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(
        run.score(judged),
        summed / t_g + score(correction, run.inputs(judged)),
        rtol=1e-3,
        atol=1e-3,
    )


def test_prior_and_correction_speak_as_loud(full: Features) -> None:
    for prior in (PRIOR, GMM, EL, ("energy", "knn")):
        run = fit(HEAT(correction=CRITIC, prior=prior), full, extra=extra_with_early())
        loudness = [score(term, run.inputs(full)).std() for term in run.energy.addends()]
        assert loudness[0] == pytest.approx(loudness[1], rel=1e-4)


def test_a_given_temperature_is_kept(full: Features) -> None:
    for detector in (
        HEAT(temperature=3.0, correction=CRITIC),
        HEAT(temperature=3.0, correction=NOISE, prior=GMM),
        HEAT(temperature=3.0, correction=NOISE, prior=EL),
    ):
        prior, _ = fit(detector, full, extra=extra_with_early()).energy.addends()
        assert t_g_of(prior) == 3.0


def test_what_noise_taught_takes_the_mogs_place_and_counts_as_one_part(
    full: Features, far: Features
) -> None:
    given, judged = extra_with_early(), with_early(far)
    assert given.val is not None
    whole = HEAT(temperature=4.0, correction=NOISE)
    alone = fit(replace(whole, prior=GMM), full, extra=given)
    run = fit(whole, full, extra=given)
    corrected, inside = alone.score(judged), alone.score(given.val)
    held_out, outside = closed_forms(full, given.val), closed_forms(full, judged)
    others = [name for name in PRIOR if name != "mog"]
    wanted = (corrected - inside.mean()) / inside.std() + sum(
        (outside[name] - held_out[name].mean()) / held_out[name].std() for name in others
    )
    scores = run.score(judged)
    slope, offset = np.polyfit(wanted, scores, 1)
    np.testing.assert_allclose(scores, slope * wanted + offset, rtol=1e-3, atol=1e-3)
    assert slope == pytest.approx(inside.std(), rel=1e-3)
    np.testing.assert_array_equal(  # what was learned is the same
        score(run.energy.addends()[1], run.inputs(judged)),
        score(alone.energy.addends()[1], alone.inputs(judged)),
    )


@pytest.mark.parametrize("correction", [CRITIC, replace(NOISE, checked=True), NOISE])
def test_where_one_part_has_data_it_is_heat_of_that_part_to_the_bit(
    correction: FromPseudoOOD | FromNoise, train: Features, far: Features
) -> None:
    bare = extra().of_each(lambda features: Features(features.z, features.y))
    headless = Features(train.z, train.y)
    default, gmm = (
        fit(HEAT(temperature=4.0, correction=correction, prior=prior), headless, 3, extra=bare)
        for prior in (PRIOR, GMM)
    )
    assert default.energy.state_dict().keys() == gmm.energy.state_dict().keys()
    np.testing.assert_array_equal(default.score(Features(far.z)), gmm.score(Features(far.z)))
    mog = fit(MoG(), headless).score(Features(far.z))
    prior, _ = default.energy.addends()
    np.testing.assert_array_equal(score(prior, far.z), mog.astype(np.float32) / np.float32(4.0))


def test_in_the_plane_heat_has_the_mog_alone() -> None:
    shape = Shape(dim=2, classes=9, rows=900, head=0)
    for preset in ("modern", "quick", "best", "paper"):
        detector = preset_detector("HEAT", preset, "plane")
        assert isinstance(detector, HEAT)
        assert detector.readable_parts(shape) == GMM
        assert detector.prior_temperature == 1.0
        assert detector.input_views(shape) == ("z",)


def test_parts_without_data_are_left_out_and_said(train: Features, far: Features) -> None:
    detector = HEAT(correction=CRITIC)
    shape = Shape.of(train)
    assert detector.readable_parts(shape) == ("mog", "std_view", "energy")
    assert detector.left_out(shape) == (
        "HEAT's prior is MoG, MoG of the std view and Energy: there is no score of an earlier "
        "layer."
    )
    assert detector.left_out(replace(shape, head=0, views={})) == (
        "HEAT's prior is MoG: there is no std-pooled view, no classifier's head (weight and bias) "
        "and no score of an earlier layer."
    )
    assert detector.left_out(Shape.of(with_early(train))) == ""
    smaller = fit(replace(detector, prior=("mog", "std_view", "energy")), train, extra=extra())
    np.testing.assert_array_equal(
        fit(detector, train, extra=extra()).score(far), smaller.score(far)
    )


def test_a_prior_that_nothing_can_be_read_for_says_what_it_needs(train: Features) -> None:
    headless = Shape.of(Features(train.z, train.y))
    assert HEAT(prior=EL).unsupported_reason(headless) == (
        "HEAT-EL needs the classifier's head (weight and bias), and there is none."
    )
    assert HEAT(prior=("odin", "early_layer")).unsupported_reason(headless) == (
        "HEAT needs the score of ODIN or the score of an earlier layer, and there is none."
    )
    with pytest.raises(ValueError, match="HEAT-EL needs the classifier's head"):
        fit(HEAT(prior=EL), Features(train.z, train.y))
    assert HEAT(prior=("knn",)).unsupported_reason(replace(headless, rows=9)) == (
        "KNN needs at least k = 50 training rows, got 9."
    )


@pytest.mark.parametrize("prior", [(), "mog", ("mog", "mog"), ("mog", "GMM")])
def test_unknown_parts_are_refused_and_the_known_ones_named(prior) -> None:
    with pytest.raises(ValueError, match="tuple of some of mog, std_view, energy, odin, early_"):
        HEAT(prior=prior)


@pytest.mark.parametrize("correction", [CRITIC, NOISE])
def test_units_of_a_part_do_not_matter(
    correction: FromPseudoOOD | FromNoise, full: Features, far: Features
) -> None:
    def scaled(features: Features) -> Features:
        views = {**features.views, "std": 1000 * features.views["std"]}
        views["early"] = 0.001 * features.views["early"]
        return replace(features, views=views)

    detector = HEAT(correction=correction)
    scores = fit(detector, full, extra=extra_with_early()).score(with_early(far))
    of_scaled = fit(detector, scaled(full), extra=extra_with_early().of_each(scaled))
    np.testing.assert_allclose(of_scaled.score(scaled(with_early(far))), scores, atol=2e-3)


def test_names_are_the_authors() -> None:
    assert (HEAT().name, HEAT(prior=GMM).name, HEAT(prior=EL).name) == (
        "HEAT",
        "HEAT-GMM",
        "HEAT-EL",
    )
    for name in ("HEAT", "HEAT-GMM", "HEAT-EL"):
        for domain, preset in (
            ("pseudo", "modern"),
            ("features", "modern"),
            ("pseudo", "features-only"),
        ):
            assert preset_detector(name, preset, domain).name == name


def test_a_correction_that_does_not_help_leaves_the_prior_on_its_scale(
    full: Features, far: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FromNoise, "helps", lambda *settings: False)
    given, judged = extra_with_early(), with_early(far)
    assert given.val is not None
    run = fit(HEAT(temperature=4.0, correction=replace(NOISE, checked=True)), full, extra=given)
    held_out, outside = closed_forms(full, given.val), closed_forms(full, judged)
    summed = np.sum([(outside[name] - e.mean()) / e.std() for name, e in held_out.items()], 0)
    scores = run.score(judged)
    np.testing.assert_allclose(scores / scores.std(), summed / summed.std(), rtol=1e-3, atol=1e-3)
    assert run.warning.endswith("so this is the prior alone.")


def test_the_check_hears_no_part_of_another_view(full: Features) -> None:
    """Perturbed features keep their other views, which would drown what z says."""
    energies = []

    def helps(learner, energy, views, context, seed) -> bool:
        energies.append(energy)
        return True

    given = extra_with_early()
    assert given.val is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FromNoise, "helps", helps)
        run = fit(HEAT(temperature=4.0, correction=NOISE), full, extra=given)
    (checked,) = energies
    views = {name: torch.ones_like(view) for name, view in full.views.items()}
    elsewhere = replace(full, views=views)
    np.testing.assert_allclose(
        score(checked, run.inputs(full)), score(checked, run.inputs(elsewhere)), atol=1e-4
    )
    assert not np.allclose(run.score(full), run.score(elsewhere), atol=0.1)


CHAINS = MaximumLikelihood(alpha=0.1, sampler=Langevin(steps=2, step_size=1e-3))


def test_chains_walk_on_a_prior_that_e_theta_sees(full: Features, far: Features) -> None:
    chains = replace(NOISE, objective=CHAINS)
    with pytest.raises(ValueError, match=r"must know the prior .*; got Energy and normalize=True"):
        fit(HEAT(temperature=1.0, correction=chains, prior=EL), full)
    run = fit(
        HEAT(normalize=False, temperature=1.0, correction=chains, prior=EL, noise_origin="normal"),
        full,
    )
    assert np.isfinite(run.score(far)).all()
    assert run.diagnosis is not None


def test_the_positive_space_has_no_negative_coordinates() -> None:
    z = torch.tensor([[-1.0, 2.0]])
    assert project(z, "positive space").tolist() == [[0.0, 2.0]]
    assert project(z, "space").tolist() == [[-1.0, 2.0]]


def test_e_theta_from_noise_sees_z_alone(head: Head) -> None:
    """Also where other views stand beside z in the input."""
    features = with_early(with_views(*clusters(240, seed=1), head))
    run = fit(HEAT(temperature=4.0, correction=NOISE), features)
    _, e_theta = run.energy.addends()
    inputs = run.inputs(features)
    other = inputs.clone()
    other[:, features.dim :] = 7.0
    np.testing.assert_array_equal(score(e_theta, inputs), score(e_theta, other))
