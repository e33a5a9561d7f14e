"""Why a row scores as it does: terms that add up, what is near, and verdicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from heat_core import explain
from heat_core.detectors.composed import Composed
from heat_core.detectors.heat import EBM, GMM, HEAT
from heat_core.detectors.learned_energy import FromNoise, FromPseudoOOD
from heat_core.detectors.presets import preset_detector
from heat_core.features import Features
from heat_core.run import Run, fit
from heat_core.training.trainer import TrainConfig
from tests.samples import extra, shortened

QUICK = FromPseudoOOD(training=TrainConfig(steps=40, batch=64))
HEAT_QUICK = shortened(preset_detector("HEAT", "quick"), steps=40)
assert isinstance(HEAT_QUICK, HEAT)
assert isinstance(HEAT_QUICK.correction, FromNoise)  # unchecked, it stays on this little data
RECIPES = {
    "noise": replace(
        HEAT_QUICK, correction=replace(HEAT_QUICK.correction, checked=False), prior=GMM
    ),
    "critic": HEAT(correction=QUICK, prior=GMM),
    "composed noise": replace(HEAT_QUICK, correction=replace(HEAT_QUICK.correction, checked=False)),
    "composed critic": HEAT(correction=QUICK),
    "EBM": EBM(learner=QUICK),
    "Composed": Composed(
        w_correction=1.5,
        w_mog=0.75,
        w_std_view=1.5,
        w_energy=2.0,
        w_odin=0.5,
        w_knn=0.5,
        k=5,
        correction=QUICK,
    ),
    "largest": Composed(w_mog=1.0, w_energy=1.0, w_knn=1.0, k=5, beta=float("inf")),
    "KNN": preset_detector("KNN"),
    "MSP": preset_detector("MSP"),
}


@pytest.fixture(scope="module")
def runs(train: Features) -> dict[str, Run]:
    return {name: fit(detector, train, extra=extra()) for name, detector in RECIPES.items()}


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "largest"])
def test_the_terms_add_up_to_the_score(name: str, runs: dict[str, Run], far: Features) -> None:
    run = runs[name]
    how, values = explain.ScoreTerms.of(run), explain.term_values(run, far)
    assert values.shape == (len(far), len(how.names))
    assert how.adds
    np.testing.assert_allclose(values.sum(1), run.score(far), rtol=1e-5, atol=1e-5)


def test_the_terms_of_heat_are_prior_and_correction(
    runs: dict[str, Run], train: Features, far: Features
) -> None:
    mog = fit(preset_detector("MoG"), train).score(far)
    for name in ("noise", "critic"):
        how, values = explain.ScoreTerms.of(runs[name]), explain.term_values(runs[name], far)
        assert how.names == ("prior", "correction")
        assert how.temperature
        np.testing.assert_allclose(values[:, 0], mog / how.temperature, rtol=1e-4)
        assert values[:, 1].std() > 0
    assert explain.ScoreTerms.of(runs["noise"]).temperature == 9.0


def test_the_parts_of_the_prior_add_up_to_it(runs: dict[str, Run], far: Features) -> None:
    for name in ("composed noise", "composed critic"):
        how, parts = explain.ScoreTerms.of(runs[name]), explain.prior_part_values(runs[name], far)
        assert how.prior_parts == ("MoG", "MoG of the std view", "Energy")
        assert parts.shape == (len(far), 3)
        prior = explain.term_values(runs[name], far)[:, 0]
        np.testing.assert_allclose(parts.sum(1), prior, rtol=1e-4, atol=1e-4)
    assert explain.ScoreTerms.of(runs["critic"]).prior_parts == ("MoG",)
    for name in ("critic", "KNN", "Composed"):
        assert explain.prior_part_values(runs[name], far).shape == (len(far), 0)
    assert explain.ScoreTerms.of(runs["KNN"]).prior_parts == ()


def test_the_terms_of_composed_are_its_parts_in_standard_deviations(runs: dict[str, Run]) -> None:
    run, judges = runs["Composed"], extra().val
    assert judges is not None
    how, values = explain.ScoreTerms.of(run), explain.term_values(run, judges)
    assert how == explain.ScoreTerms(
        ("correction", "mog", "std_view", "energy", "odin", "knn"), standardised=True
    )
    np.testing.assert_allclose(values.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(values.std(0), [1.5, 0.75, 1.5, 2.0, 0.5, 0.5], rtol=1e-4)


def test_a_composition_that_takes_the_largest_part_does_not_say_that_parts_add_up(
    runs: dict[str, Run], far: Features
) -> None:
    assert not explain.ScoreTerms.of(runs["largest"]).adds
    np.testing.assert_allclose(
        explain.term_values(runs["largest"], far).max(1),
        runs["largest"].score(far),
        rtol=1e-5,
        atol=1e-5,
    )


def test_others_have_one_term_of_their_own_name(runs: dict[str, Run], far: Features) -> None:
    assert explain.ScoreTerms.of(runs["KNN"]) == explain.ScoreTerms(("KNN",))
    np.testing.assert_array_equal(
        explain.term_values(runs["MSP"], far)[:, 0], runs["MSP"].score(far)
    )


def test_one_row_is_explained_as_it_is_among_many(
    runs: dict[str, Run], train: Features, far: Features
) -> None:
    one = far.take(torch.tensor([7]))
    for run in runs.values():
        np.testing.assert_allclose(
            explain.term_values(run, one)[0], explain.term_values(run, far)[7], rtol=1e-4, atol=1e-4
        )
    fitted = explain.class_mahalanobis(train)
    np.testing.assert_allclose(
        explain.class_distances(fitted, one)[0], explain.class_distances(fitted, far)[7], rtol=1e-4
    )
    assert (
        explain.nearest_training_rows(train, one, 5)[0][0]
        == explain.nearest_training_rows(train, far, 5)[0][7]
    ).all()


def test_features_of_another_width_are_refused(runs: dict[str, Run]) -> None:
    with pytest.raises(ValueError, match="must have 12 columns as in training, got 3"):
        explain.term_values(runs["KNN"], Features(torch.ones(2, 3)))


def test_class_distances_are_those_of_scipy(train: Features, far: Features) -> None:
    from scipy.spatial.distance import mahalanobis

    z, outside = (f.z.double() / f.z.double().norm(dim=1, keepdim=True) for f in (train, far))
    means = torch.stack([z[train.class_index == c].mean(0) for c in range(len(train.classes))])
    rest = z - means[train.class_index]
    inverse = np.linalg.inv((rest.T @ rest / len(z)).numpy())
    wanted = [
        [mahalanobis(row, mean, inverse) for mean in means.numpy()] for row in outside.numpy()
    ]
    np.testing.assert_allclose(
        explain.class_distances(explain.class_mahalanobis(train), far), wanted, rtol=1e-3
    )


@pytest.mark.parametrize("block", [7, 64, 8192])
def test_the_nearest_rows_are_those_of_brute_force(
    block: int, train: Features, far: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain._nearest, "__defaults__", (block,))
    rows, distances = explain.nearest_training_rows(train, far, 9)
    z, outside = (f.z.double() / f.z.double().norm(dim=1, keepdim=True) for f in (train, far))
    every = torch.cdist(outside, z, compute_mode="donot_use_mm_for_euclid_dist").numpy()
    np.testing.assert_allclose(distances, np.sort(every, 1)[:, :9], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(every, rows, 1), distances, atol=1e-6)
    assert all(len(set(row)) == 9 for row in rows)


def test_a_row_is_assigned_to_what_the_head_says_or_to_the_nearest_class(
    train: Features, far: Features
) -> None:
    assert train.head is not None
    logits = far.z.numpy() @ train.head.weight.numpy().T + train.head.bias.numpy()
    assert explain.assigned_classes(train, far).tolist() == logits.argmax(1).tolist()
    bare = replace(train, head=None)
    nearest = explain.class_distances(explain.class_mahalanobis(bare), far).argmin(1)
    assert explain.assigned_classes(bare, far).tolist() == bare.classes.numpy()[nearest].tolist()
    assert train.y is not None
    assert np.mean(explain.assigned_classes(bare, train) == train.y.numpy()) > 0.9


def test_margins_are_what_lies_between_the_first_class_and_the_second(
    train: Features, far: Features
) -> None:
    assert train.head is not None
    logits = np.sort(train.head.logits(far.z).numpy(), 1)
    margins = explain.assign(train, far).margins
    np.testing.assert_allclose(margins, logits[:, -1] - logits[:, -2], rtol=1e-5)
    bare = replace(train, head=None)
    mahalanobis = explain.class_mahalanobis(bare)
    squared = np.sort(explain.class_distances(mahalanobis, far) ** 2, 1)
    margins = explain.assign(bare, far, mahalanobis).margins
    np.testing.assert_allclose(margins, squared[:, 1] - squared[:, 0], rtol=1e-3, atol=1e-3)
    one_class = replace(bare, y=None)
    assert not explain.assign(one_class, far).margins.any()


def test_classes_of_features_with_a_common_offset_are_fitted_precisely(train: Features) -> None:
    offset = replace(train, head=None, z=train.z + 1e4)
    in_double = replace(offset, z=offset.z.double())
    assigned = explain.assigned_classes(offset, offset)
    assert np.array_equal(assigned, explain.assigned_classes(in_double, in_double))
    assert train.y is not None
    assert np.mean(assigned == train.y.numpy()) > 0.9


def test_a_training_row_is_nearest_to_itself_and_counts_end_at_the_bank(train: Features) -> None:
    half = replace(train.take(torch.arange(6)), z=train.z[:6].half())
    rows, distances = explain.nearest_training_rows(half, half, 50)
    assert rows.shape == distances.shape == (6, 6)
    assert (rows[:, 0] == np.arange(6)).all()
    np.testing.assert_allclose(distances[:, 0], 0, atol=1e-6)


def test_a_verdict_is_out_above_its_threshold_alone() -> None:
    inside = np.arange(10.0)
    at, above = (explain.Verdict.of("KNN", value, inside, 8.0) for value in (8.0, 8.5))
    assert (at.out, at.percentile) == (False, 0.9)
    assert (above.out, above.percentile) == (True, 0.9)
