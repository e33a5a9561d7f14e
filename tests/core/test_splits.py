"""Rows that are held out or sampled: every class in its share, whatever the rows' order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from heat_core.detectors.heat import HEAT
from heat_core.detectors.learned_energy import FromNoise, Perceptron
from heat_core.diagnostics import ToDiagnose
from heat_core.energies import score
from heat_core.features import Features
from heat_core.metrics import auroc
from heat_core.pack import NO_EXTRA
from heat_core.splits import held_out_rows, hold_out, sample, stratified_rows
from heat_core.training.trainer import TrainConfig
from tests.samples import clusters

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60)
QUICK = FromNoise(
    Perceptron(width=16, depth=1), training=TrainConfig(steps=60, batch=128, lr=1e-2), checked=True
)


@given(
    labels=LABELS,
    count=st.integers(0, 60),
    seed=st.integers(0, 3),
)
def test_a_stratified_choice_keeps_the_shares(labels: list[int], count: int, seed: int) -> None:
    y = np.array(labels)
    rows = stratified_rows(y, count, seed)
    assert np.array_equal(rows, stratified_rows(y, count, seed))
    assert len(rows) == len(set(rows.tolist())) == min(count, len(y))
    assert (np.diff(rows) > 0).all()
    share = min(count, len(y)) / len(y)
    for c in set(labels):
        assert abs((y[rows] == c).sum() - share * (y == c).sum()) < 2


@given(labels=LABELS, count=st.integers(0, 60), seed=st.integers(0, 3))
def test_no_class_is_held_out_whole(labels: list[int], count: int, seed: int) -> None:
    y = np.array(labels)
    rows = held_out_rows(y, count, seed)
    assert set(np.delete(y, rows)) == set(labels)
    assert set(rows) <= set(stratified_rows(y, count, seed))


@given(labels=LABELS, share=st.floats(0.01, 0.99))
def test_a_split_loses_no_row(labels: list[int], share: float) -> None:
    features = Features(torch.arange(len(labels), dtype=torch.float32)[:, None], _tensor(labels))
    rest, held_out = hold_out(features, share)
    assert rest.classes.tolist() == features.classes.tolist()
    rows = sorted(rest.z[:, 0].tolist() + held_out.z[:, 0].tolist())
    if max(np.bincount(labels)) > 1:
        assert rows == list(range(len(labels)))
    else:
        assert rest is held_out is features


def test_a_sample_has_every_class_where_rows_are_sorted() -> None:
    features = Features(torch.zeros(300, 1), torch.arange(300) // 30)
    assert sample(features, 20).y.bincount().tolist() == [2] * 10  # type: ignore[union-attr]
    assert sample(features, 300) is features


@pytest.mark.parametrize("order", ["in turns", "one after the other"])
def test_the_order_of_the_rows_does_not_matter_to_what_is_checked(order: str) -> None:
    """Ten classes in turns: every tenth row was all of class 0, which then nothing knew."""
    z, y = clusters(1000, seed=1, classes=10)
    rows = torch.arange(1000) if order == "in turns" else y.argsort(stable=True)
    train = Features(z[rows], y[rows])
    energy = HEAT(temperature=9.0, correction=QUICK).fit(train)
    test_z, test_y = clusters(600, seed=2, classes=10)
    outside = torch.randn(300, z.shape[1], generator=torch.Generator().manual_seed(3)).abs() * 2
    areas = [auroc(score(energy, test_z[test_y == c]), score(energy, outside)) for c in range(10)]
    assert min(areas) > np.mean(areas) - 0.05


@pytest.mark.parametrize("order", ["in turns", "one after the other"])
def test_a_diagnosis_looks_at_rows_of_every_class(
    order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heat_core.detectors.learned_energy.DIAGNOSED_ROWS", 40)
    z, y = clusters(400, seed=1)
    z = z + 100 * y[:, None]  # a row tells its class
    rows = torch.arange(400) if order == "in turns" else y.argsort(stable=True)
    train = Features(z[rows], y[rows])
    detector = HEAT(normalize=False, correction=QUICK)
    to_diagnose = detector.to_diagnose(detector.fit(train), train, NO_EXTRA, 0)
    assert isinstance(to_diagnose, ToDiagnose)
    assert (to_diagnose.z.mean(1) / 100).round().long().bincount().tolist() == [10] * 4


def _tensor(labels: list[int]) -> torch.Tensor:
    return torch.tensor(labels, dtype=torch.int64)
