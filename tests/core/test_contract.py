"""One contract for every detector."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import heat_core.run
from heat_core.detectors.closed_form import KNN, SSD, EnergyLogits, MoG
from heat_core.detectors.composed import Composed
from heat_core.detectors.detector import Detector, NeedsHead, Shape
from heat_core.detectors.distances import FDBD, NCI, NNGuide
from heat_core.detectors.gaussians import RMD, ClassMoG, RadialMahalanobis
from heat_core.detectors.heat import EBM, HEAT
from heat_core.detectors.logits import GEN, KLM
from heat_core.detectors.presets import (
    APPROACHES,
    DETECTORS,
    FIRST_DETECTORS,
    PRESETS,
    preset_detector,
)
from heat_core.detectors.rectified import ASH, DICE, SCALE, ReAct
from heat_core.detectors.subspaces import NECO, ViM
from heat_core.detectors.weighted_sum import OfView, WeightedSumOf
from heat_core.energies import score
from heat_core.explain import ScoreTerms, term_values
from heat_core.features import Features, Head
from heat_core.run import VERSION
from heat_core.training.trainer import Diverged, TrainConfig
from tests.core.recipes import RECIPES, fit, fitted, name_of

TRAINED = [r for r in RECIPES if r.trains]
CLOSED = [r for r in RECIPES if not r.trains]
every = pytest.mark.parametrize("detector", RECIPES, ids=name_of)
every_trained = pytest.mark.parametrize("detector", TRAINED, ids=name_of)
every_closed = pytest.mark.parametrize("detector", CLOSED, ids=name_of)


def to(dtype: torch.dtype, features: Features) -> Features:
    views = {
        name: view if name == "odin" else view.to(dtype) for name, view in features.views.items()
    }
    return replace(features, z=features.z.to(dtype), views=views)


def close(a: np.ndarray, b: np.ndarray, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_no_detector_is_forgotten() -> None:
    assert {type(r) for r in RECIPES} >= set(DETECTORS.values())


def test_every_detector_is_of_one_approach_and_todays_are_shown() -> None:
    names = [name for members in APPROACHES.values() for name in members]
    assert sorted(names) == sorted(DETECTORS)
    assert set(FIRST_DETECTORS) <= set(DETECTORS)
    closed = PRESETS["features"]["modern"].items()
    assert all(detector.title == name for name, detector in closed if not detector.trains)


@every
def test_scores_are_finite_float64(detector: Detector, train: Features, far: Features) -> None:
    run = fitted(detector, train)
    scores = run.score(far)
    assert scores.shape == (len(far),)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    assert score(run.energy, far.columns(detector.input_views(run.shape))[:0]).shape == (0,)


@every
def test_the_same_seed_gives_the_same_scores_and_leaves_the_features_alone(
    detector: Detector, train: Features, test: Features
) -> None:
    before = train.z.clone()
    assert np.array_equal(fit(detector, train).score(test), fitted(detector, train).score(test))
    assert torch.equal(train.z, before)


@every_trained
def test_another_seed_gives_others(detector: Detector, train: Features, test: Features) -> None:
    assert not np.array_equal(
        fit(detector, train, 4).score(test), fitted(detector, train).score(test)
    )


@every
def test_batches_and_order_do_not_matter(
    detector: Detector, train: Features, test: Features
) -> None:
    run = fitted(detector, train)
    z = test.columns(detector.input_views(run.shape))
    whole, turned = score(run.energy, z), torch.arange(len(test) - 1, -1, -1)
    close(score(run.energy, z, batch=7), whole)
    close(score(run.energy, z[turned])[::-1], whole)


@every
def test_every_term_has_a_name(detector: Detector, train: Features, far: Features) -> None:
    run = fitted(detector, train)
    terms = ScoreTerms.of(run)
    assert terms.names == detector.term_names(Shape.of(train)) == run.term_names
    assert term_values(run, far).shape == (len(far), len(terms.names))
    assert len(set(terms.names)) == len(terms.names)


@every
def test_recipes_are_values(detector: Detector) -> None:
    twin = replace(detector)
    assert twin == detector
    assert hash(twin) == hash(detector)
    assert {detector: 1}[twin] == 1
    for field in fields(detector):
        with pytest.raises(AttributeError):
            setattr(detector, field.name, None)


@every
def test_a_blank_with_the_saved_state_scores_the_same(
    detector: Detector, train: Features, far: Features
) -> None:
    run = fitted(detector, train)
    blank, z = detector.build(run.shape), far.columns(detector.input_views(run.shape))
    blank.load_state_dict(run.energy.state_dict())
    assert np.array_equal(score(blank, z), score(run.energy, z))


@every
def test_a_saved_run_scores_exactly_the_same(
    detector: Detector, train: Features, far: Features, tmp_path: Path
) -> None:
    run = fitted(detector, train)
    heat_core.run.save(run, tmp_path / "run")
    again = heat_core.run.load(tmp_path / "run")
    assert (again.detector, again.seed, again.shape, again.history) == (
        run.detector,
        run.seed,
        run.shape,
        run.history,
    )
    assert np.array_equal(again.score(far), run.score(far))
    assert bool(run.history) == detector.trains


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_precisions_are_accepted_and_float64_agrees(
    detector: Detector, dtype: torch.dtype, train: Features, far: Features, tmp_path: Path
):
    run = fit(detector, to(dtype, train))
    scores = run.score(to(dtype, far))
    assert np.isfinite(scores).all()
    if dtype == torch.float64 and not detector.trains:
        close(scores, fitted(detector, train).score(far), 1e-3)
    heat_core.run.save(run, tmp_path / "run")
    assert np.array_equal(heat_core.run.load(tmp_path / "run").score(to(dtype, far)), scores)


@every_closed
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_agrees(detector: Detector, train: Features, far: Features) -> None:
    close(
        heat_core.run.fit(detector, train, device="cuda").score(far),
        heat_core.run.fit(detector, train).score(far),
        1e-3,
    )


@every_trained
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_the_gpu_repeats_itself(
    detector: Detector, train: Features, far: Features
) -> None:
    close(
        heat_core.run.fit(detector, train, device="cuda").score(far),
        heat_core.run.fit(detector, train, device="cuda").score(far),
    )


# -- edge cases ------------------------------------------------------------------------------------


def _rank_deficient(train: Features) -> Features:
    return Features(torch.cat([train.z[:, :6], train.z[:, :6]], 1), train.y, train.head)


def _fewer_rows_than_columns(train: Features) -> Features:
    return train.take(torch.arange(9))


def _lonely_class(train: Features) -> Features:
    assert train.y is not None
    return train.take(torch.nonzero((train.y != 3) | (torch.arange(len(train)) == 3)).squeeze(1))


def _constant_columns(train: Features) -> Features:
    z = train.z.clone()
    z[:, 2], z[:, 5] = 0.0, 1.5
    return Features(z, train.y, train.head)


def _constant(train: Features) -> Features:
    return Features(torch.ones_like(train.z), train.y, train.head)


def _tied(train: Features) -> Features:
    return Features(train.z[torch.arange(len(train)) // 30], train.y, train.head)


def _zero_rows(train: Features) -> Features:
    z = train.z.clone()
    z[:5] = 0
    return Features(z, train.y, train.head)


def _gaps_in_labels(train: Features) -> Features:
    return Features(train.z, torch.tensor([3, 7, 40, 41])[train.y], None)


def _head_wider_than_labels(train: Features) -> Features:
    assert train.head is not None
    wide = Head(train.head.weight.repeat(12, 1), train.head.bias.repeat(12))
    return Features(train.z, torch.tensor([3, 7, 40, 41])[train.y], wide)


EDGES = [
    _rank_deficient,
    _fewer_rows_than_columns,
    _lonely_class,
    _constant_columns,
    _constant,
    _tied,
    _zero_rows,
    _gaps_in_labels,
    _head_wider_than_labels,
]


GIVEN = {EnergyLogits, GEN, ReAct, SCALE, ASH, DICE, NNGuide, NCI, RadialMahalanobis, ViM}
"""Detectors of which one recipe gives values that another leaves open, on the same path."""


@pytest.mark.parametrize(
    "detector", [r for r in RECIPES if type(r) not in GIVEN or r == type(r)()], ids=name_of
)
def test_edge_cases_give_finite_scores_that_survive_a_file(
    detector: Detector, train: Features, far: Features, tmp_path: Path
):
    for edge in EDGES:
        given, name = edge(train), edge.__name__
        if detector.unsupported_features(given):
            continue
        run = fit(detector, given)
        scores = run.score(far)
        assert np.isfinite(scores).all(), name
        heat_core.run.save(run, tmp_path / name)
        assert np.array_equal(heat_core.run.load(tmp_path / name).score(far), scores), name


@pytest.mark.parametrize(
    "detector", [MoG(normalize=False), SSD(normalize=False)], ids=["MoG", "SSD"]
)
def test_what_leaves_the_plane_of_rank_deficient_features_is_out(
    detector: Detector, train: Features
) -> None:
    given = _rank_deficient(train)
    energy = detector.fit(given)
    off = given.z.clone()
    off[:, 0] += 0.5
    assert score(energy, off).min() > score(energy, given.z).max()


def test_tied_rows_are_at_distance_zero_of_each_other(train: Features) -> None:
    assert fit(KNN(k=30), _tied(train)).score(_tied(train)).max() < 1e-3


@pytest.mark.parametrize("normalize", [True, False])
def test_too_large_a_k_is_refused_in_one_line(normalize: bool, train: Features) -> None:
    with pytest.raises(ValueError, match=r"^KNN needs at least k = 241 training rows, got 240\.$"):
        KNN(k=241, normalize=normalize).fit(train)
    assert np.isfinite(fit(KNN(k=240, normalize=normalize), train).score(train)).all()
    with pytest.raises(ValueError, match="k must lie in"):
        KNN(k=0).fit(train)


@pytest.mark.parametrize("k", [0, 241])
def test_nnguide_needs_as_many_rows_as_it_averages(k: int, train: Features) -> None:
    with pytest.raises(ValueError, match=r"k must be at least 1, got 0|at least k = 241 training"):
        NNGuide(k=k).fit(train)
    few = train.take(torch.arange(4))
    assert np.isfinite(fit(NNGuide(), few).score(train)).all()


@pytest.mark.parametrize("detector", [SCALE(), ASH()], ids=["SCALE", "ASH-S"])
def test_negative_features_are_refused_with_what_came(detector: Detector, train: Features) -> None:
    negative = replace(train, z=train.z - 0.25)
    assert detector.unsupported_features(train) == ""
    with pytest.raises(ValueError) as caught:
        detector.fit(negative)
    assert str(caught.value) == (
        f"{detector.title} needs features of 0 or more, as a ReLU leaves them; "
        "the smallest is -0.25."
    )


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: ReAct(percentile=0), "percentile must be above 0 and at most 100, got 0"),
        (lambda: SCALE(percentile=100), "percentile must be 0 or more and below 100, got 100"),
        (lambda: DICE(percentile=-1), "percentile must be 0 or more and below 100, got -1"),
        (lambda: GEN(gamma=0), "gamma must be above 0 and largest at least 1, got 0 and 100"),
        (lambda: NCI(alpha=-1.0), "alpha must be 0 or more, got -1"),
        (lambda: RadialMahalanobis(beta=-1.0), "beta must be 0 or more, got -1"),
        (lambda: ClassMoG(shrinkage=2.0), "shrinkage must lie in 0..1, got 2"),
        (lambda: ViM(principal=0), "principal must be at least 1, got 0"),
        (lambda: NECO(variance=0.0), "variance must be above 0 and at most 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(make, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make()


@pytest.mark.parametrize(
    ("detector", "shape", "reason"),
    [
        (KLM(), Shape(8, 2, 90, 20_000), "KLM keeps C x C numbers, so at most 11,585 classes"),
        (ClassMoG(), Shape(2048, 1000, 90, 0), "4,194,304,000 of 1,000 classes and 2,048"),
        (ViM(principal=8), Shape(8, 2, 90, 2), "8 principal directions needs more features, got 8"),
        (FDBD(), Shape(1, 2, 90, 2), "a single feature leaves only the sign"),
        (RadialMahalanobis(), Shape(1, 2, 90, 2), "needs at least 2 features; got 1"),
        (RMD(), Shape(8, 1, 90, 0), "holds classes against all rows, so it needs at least 2"),
    ],
    ids=lambda value: value.title if isinstance(value, Detector) else "",
)
def test_what_is_too_large_or_too_small_says_so(
    detector: Detector, shape: Shape, reason: str
) -> None:
    assert reason in detector.unsupported_reason(shape)


@pytest.mark.parametrize("detector", [d for d in RECIPES if isinstance(d, NeedsHead)], ids=name_of)
def test_without_a_head_the_logit_detectors_say_why(detector: Detector, train: Features) -> None:
    headless = Features(train.z, train.y)
    reason = detector.unsupported_reason(Shape.of(headless))
    assert "head (weight and bias)" in reason
    assert "\n" not in reason
    with pytest.raises(ValueError, match="head"):
        detector.fit(headless)
    assert detector.unsupported_reason(Shape.of(train)) == ""


@pytest.mark.parametrize(
    ("name", "change"),
    [("steps", 0), ("batch", 0), ("log_points", 0), ("val_fraction", 1.0), ("val_fraction", 0.0)],
)
def test_a_recipe_refuses_what_cannot_train(name: str, change: float) -> None:
    with pytest.raises(ValueError, match=name):
        replace(TrainConfig(), **{name: change})
    with pytest.raises(ValueError, match="temperature"):
        HEAT(temperature=0.0)


@every_trained
def test_training_that_diverges_says_so(detector: Detector, train: Features) -> None:
    fast = TrainConfig(steps=40, batch=32, lr=1e20, log_points=4)
    with pytest.raises(Diverged, match="Try a learning rate below"):
        fit(trained_by(fast, detector), train)


def trained_by(training: TrainConfig, detector: Detector) -> Detector:
    """Returns a detector whose learned energies are trained by other settings."""
    if isinstance(detector, OfView):
        return replace(detector, detector=trained_by(training, detector.detector))
    if isinstance(detector, WeightedSumOf):
        others = tuple(trained_by(training, member) for member in detector.detectors)
        return replace(detector, detectors=others)
    if isinstance(detector, EBM):
        return replace(detector, learner=replace(detector.learner, training=training))
    if isinstance(detector, HEAT | Composed):
        correction = replace(detector.correction, training=training)
        return replace(detector, correction=correction)
    return detector


def test_presets_are_complete_and_unknown_names_list_the_known() -> None:
    for domain, presets in PRESETS.items():
        for preset, detectors in presets.items():
            assert set(detectors) == (
                {"KNN", "SSD", "MoG", "EBM", "HEAT"} if domain == "plane" else set(DETECTORS)
            )
            assert all(
                preset_detector(name, preset, domain) is detector
                for name, detector in detectors.items()
            )
    with pytest.raises(
        ValueError,
        match=r"one of MSP, ODIN, Energy, KNN, .*, NECO, EBM, HEAT-GMM, HEAT-EL, HEAT; got 'Heat'",
    ):
        preset_detector("Heat")
    with pytest.raises(ValueError, match=r"got 'Composed' \(HEAT's prior has several parts; "):
        preset_detector("Composed")
    with pytest.raises(
        ValueError, match="one of modern, quick, paper, official, official-cifar100; got 'slow'"
    ):
        preset_detector("HEAT", "slow")
    with pytest.raises(ValueError, match="2D toy does not have"):
        preset_detector("MSP", domain="plane")
    with pytest.raises(ValueError, match=r"^HEAT-EL is for the features of a classifier"):
        preset_detector("HEAT-EL", domain="plane")
    with pytest.raises(ValueError, match=r"^HEAT-GMM is HEAT in the plane"):
        preset_detector("HEAT-GMM", domain="plane")


def test_a_preset_is_taken_by_its_name_in_version_0_1_where_there_is_such_a_one() -> None:
    features_only = preset_detector("HEAT", "features-only", "pseudo")
    assert preset_detector("HEAT", "cached", "pseudo") is features_only
    with pytest.raises(ValueError, match="got 'cached'"):
        preset_detector("HEAT", "cached", "features")


SHORT = {"format": "heat-run", "version": VERSION, "detector": []}


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: (run / "run.json").unlink(),
        lambda run: (run / "energy.safetensors").unlink(),
        lambda run: (run / "run.json").write_text("{"),
        lambda run: (run / "run.json").write_text("[]"),
        lambda run: (run / "run.json").write_text(
            (run / "run.json").read_text().replace(f'"{VERSION}"', '"9"')
        ),
        lambda run: (run / "run.json").write_text(
            (run / "run.json").read_text().replace('"MoG"', '"Mog"')
        ),
        lambda run: (run / "run.json").write_text(
            (run / "run.json").read_text().replace('"normalize"', '"normalise"')
        ),
        lambda run: (run / "run.json").write_text(
            (run / "run.json").read_text().replace('"dim": 12', '"dim": 13')
        ),
        lambda run: (run / "run.json").write_text(json.dumps(SHORT)),
        lambda run: (run / "energy.safetensors").write_bytes(
            (run / "energy.safetensors").read_bytes()[:-9]
        ),
    ],
    ids=[
        "no card",
        "no state",
        "cut",
        "list",
        "version",
        "detector",
        "field",
        "width",
        "recipe",
        "truncated",
    ],
)
def test_a_damaged_run_is_refused_in_one_line(damage, train: Features, tmp_path: Path) -> None:
    heat_core.run.save(heat_core.run.fit(MoG(), train), tmp_path / "run")
    damage(tmp_path / "run")
    with pytest.raises(ValueError, match="is not a readable run") as caught:
        heat_core.run.load(tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_features_of_another_width_are_refused(train: Features) -> None:
    run = heat_core.run.fit(MoG(), train)
    with pytest.raises(ValueError, match="must have 12 columns as in training, got 3"):
        run.score(Features(torch.ones(2, 3)))


@pytest.mark.parametrize("name", ["KNN", "SSD", "MoG", "EBM", "HEAT"])
def test_one_feature_has_no_direction(name: str) -> None:
    """On the unit sphere of one dimension all scores are one of two: an AUROC of .5 in silence."""
    train = Features(torch.linspace(1, 2, 60)[:, None], torch.arange(60) % 2)
    with pytest.raises(ValueError, match="a single feature has only two; it needs at least 2"):
        fit(preset_detector(name, "quick"), train)
