"""Flips, row by row, and in the order in which they are shown."""

from __future__ import annotations

import numpy as np

from heat_core.flips import Flips


def _two(seed: int = 0) -> tuple[dict, dict]:
    random = np.random.default_rng(seed)
    first = {
        "test": random.normal(0, 1, 200),
        "near_a": random.normal(1, 1, 50),
        "far_d": random.normal(3, 1, 30),
    }
    return first, {
        name: values + random.normal(0, 0.8, len(values)) for name, values in first.items()
    }


def test_flips_are_found_row_by_row_and_the_farthest_comes_first() -> None:
    first, second = _two()
    found = Flips.between(first, second, (1.0, 1.2))
    wanted = {
        (n, i)
        for n in first
        for i in range(len(first[n]))
        if first[n][i] <= 1.0 and second[n][i] > 1.2
    }
    assert set(zip(found.sets.tolist(), found.rows.tolist(), strict=True)) == wanted
    assert len(found) == len(wanted) > 10
    assert found.counts == {n: (sum(name == n for name, _ in wanted), len(first[n])) for n in first}
    percentiles = [
        np.mean(second["test"] <= second[n][i]) - np.mean(first["test"] <= first[n][i])
        for n, i in zip(found.sets, found.rows, strict=True)
    ]
    np.testing.assert_allclose(found.moves, percentiles)
    assert (np.diff(found.moves) <= 0).all()


def test_flips_on_one_scale_are_sorted_by_what_was_added() -> None:
    first, _ = _two()
    added = {name: np.linspace(-1, 1, len(values)) for name, values in first.items()}
    found = Flips.between(first, {n: first[n] + added[n] for n in first}, (1.0, 1.0), added)
    assert (np.diff(found.moves) <= 0).all()
    assert (found.moves > 0).all()
    np.testing.assert_allclose(
        found.moves, [added[n][i] for n, i in zip(found.sets, found.rows, strict=True)]
    )


def test_a_detector_never_parts_with_itself() -> None:
    first, _ = _two()
    found = Flips.between(first, first, (1.0, 1.0))
    assert len(found) == 0
    assert found.counts["near_a"] == (0, 50)
