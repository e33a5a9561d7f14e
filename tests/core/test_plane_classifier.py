"""Classifiers in the plane: energies, auxiliary points, margins, and fine-tuning to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from heat_core.plane.classifier import (
    UNITS,
    ClassifierRecord,
    ClassifierTraining,
    PlaneClassifier,
    accuracy,
    auxiliary_around,
    auxiliary_in,
    auxiliary_of,
    auxiliary_ring,
    check_auxiliary,
    fine_tune,
    fresh_points,
    margin_shares,
    rank_correlations,
    read_logits,
    train_classifier,
)
from heat_core.plane.grid import Grid
from heat_core.plane.toys import toy
from heat_core.training.classifier_objectives import EnergyBounded

BLOBS = toy("blobs")
SHORT = ClassifierTraining(steps=150, batch=128, lr=1e-2, log_points=3)


@pytest.fixture(scope="module")
def records() -> list[ClassifierRecord]:
    return []


@pytest.fixture(scope="module")
def classifier(records: list[ClassifierRecord]) -> PlaneClassifier:
    def on_record(record: ClassifierRecord, classifier: PlaneClassifier) -> None:
        records.append(record)

    return train_classifier(BLOBS, training=SHORT, on_record=on_record)


def test_it_learns_the_classes_and_says_how_far_it_is(classifier, records) -> None:
    assert accuracy(classifier, fresh_points(BLOBS)) > 0.98
    assert [record.step for record in records] == [50, 100, 150]
    assert records[0].loss > records[-1].loss


@pytest.mark.parametrize("units", UNITS)
def test_the_same_seed_gives_the_same_classifier(units: str) -> None:
    short = ClassifierTraining(steps=3, batch=16)
    one, same, other = (train_classifier(BLOBS, seed, units, short) for seed in (0, 0, 1))
    points = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one.logits(points), same.logits(points))
    assert not torch.equal(one.logits(points), other.logits(points))


def test_log_max_softmax_is_energy_plus_max_logit(classifier) -> None:
    logits = classifier.logits(Grid(BLOBS, 20).points)
    reading = read_logits(logits)
    exact = logits.numpy().max(1) - logsumexp(logits.numpy(), axis=1)
    assert reading.log_softmax == pytest.approx(exact, abs=1e-12)
    assert np.array_equal(reading.log_softmax, reading.energy + reading.max_logit)
    warm = read_logits(logits, 10.0)
    softmax = torch.softmax(logits / 10, 1).amax(1).numpy()
    assert np.exp(warm.log_softmax) == pytest.approx(softmax, abs=1e-12)
    with pytest.raises(ValueError, match="temperature must be a number above 0, got 0"):
        read_logits(logits, 0)


def test_of_two_classes_centred_logits_make_energy_and_softmax_one_order() -> None:
    """Cross-entropy teaches differences of logits alone; of two they are all there is."""
    gap = torch.linspace(-3, 3, 41)[:, None]
    reading = read_logits(torch.cat([gap, -gap], 1))
    assert np.array_equal(
        np.argsort(np.round(-reading.energy, 9), kind="stable"),
        np.argsort(np.round(reading.log_softmax, 9), kind="stable"),
    )


def test_fine_tuning_keeps_its_margins_and_follows_the_density(classifier) -> None:
    auxiliary = auxiliary_around(BLOBS, 1500)
    objective = EnergyBounded(1.0, id_margin=-8.0, auxiliary_margin=-7.0)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    longer = ClassifierTraining(steps=400, batch=128, lr=1e-2)
    tuned = fine_tune(classifier, BLOBS, auxiliary, objective, training=longer)
    after = classifier.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)

    inside = fresh_points(BLOBS)
    outside = auxiliary_around(BLOBS, 1500, seed=1)
    energies = [read_logits(tuned.logits(z)).energy for z in (inside.z, outside)]
    shares = margin_shares(energies[0], energies[1], -8.0, -7.0)
    assert min(shares.inside, shares.auxiliary) > 0.95
    assert accuracy(tuned, inside) >= accuracy(classifier, inside) - 0.005
    grid = Grid(BLOBS, 60)
    ranks = rank_correlations(read_logits(tuned.logits(grid.points)), grid)
    assert ranks.energy > max(ranks.softmax, 0.7)


def test_the_gradient_of_the_loss_is_its_slope() -> None:
    generator = torch.Generator().manual_seed(0)
    inside, auxiliary = (
        torch.randn(6, 3, generator=generator, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    )
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    objective = EnergyBounded(0.7, id_margin=-2.0, auxiliary_margin=-1.0)

    def loss(id_logits: torch.Tensor, auxiliary_logits: torch.Tensor) -> torch.Tensor:
        return objective.loss(id_logits, labels, auxiliary_logits)

    assert objective.penalty(inside, auxiliary) > 0
    assert torch.autograd.gradcheck(loss, (inside, auxiliary))


def test_auxiliary_points_lie_outside_of_id() -> None:
    for points in (
        auxiliary_around(BLOBS, 300),
        auxiliary_ring(BLOBS, 300),
        auxiliary_of(toy("checkerboard"), BLOBS, 300),
        auxiliary_in(np.array([[-5.0, -5.0], [-4.0, -5.0], [-4.0, -4.5]]), 300),
    ):
        assert points.shape == (300, 2)
        check_auxiliary(points, BLOBS)
    assert auxiliary_around(BLOBS, 300).abs().max() > BLOBS.extent


def test_a_polygon_is_filled_where_it_is() -> None:
    bow = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [1.0, 1.0], [1.0, 2.0], [0.0, 2.0]])
    points = auxiliary_in(bow, 400).numpy()
    assert (points.min(0) > -1e-6).all()
    assert not ((points > 1.01).all(1)).any()
    assert points.max() > 1.9


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (torch.zeros(0, 2), "there is no auxiliary point"),
        (torch.zeros(3), r"must have shape \(M, 2\), got \(3,\)"),
        (torch.full((2, 2), torch.nan), "must be finite"),
        (BLOBS.features(50).z, "50 of 50 auxiliary points lie where ID points do"),
        (torch.zeros(20_001, 2), "at most 20,000"),
    ],
)
def test_auxiliary_points_that_teach_nothing_are_refused(points, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_auxiliary(points, BLOBS)


def test_bad_input_gets_one_line() -> None:
    with pytest.raises(ValueError, match="Cross has 1 class"):
        train_classifier(toy("cross"))
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        PlaneClassifier(1, 1.0)
    with pytest.raises(ValueError, match="units must be one of relu, tanh, bump; got 'sigmoid'"):
        PlaneClassifier(2, 1.0, "sigmoid")
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        ClassifierTraining(steps=0)
    with pytest.raises(ValueError, match="the drawing is empty"):
        auxiliary_in(np.zeros((0, 2)))
    with pytest.raises(ValueError, match="the drawing has no area"):
        auxiliary_in(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]))
    with pytest.raises(ValueError, match="hardly any of these auxiliary points"):
        auxiliary_of(BLOBS, BLOBS)
    with pytest.raises(ValueError, match="id_margin must not lie above auxiliary_margin"):
        EnergyBounded(1.0, id_margin=0.0, auxiliary_margin=-1.0)
