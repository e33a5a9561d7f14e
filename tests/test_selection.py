"""Choosing on ID images alone: what a recipe is judged by, and how the parts of a composition are weighed."""

from __future__ import annotations

import pytest
import torch

from heat_core.detectors import KNN
from heat_core.features import Auxiliary, Features
from heat_core.learned import Composed
from heat_core.selection import best, criterion, weigh

FAMILIES = ("blur", "noise", "warp", "zoom")


def _blob(rows: int, shift: float, seed: int, head: int = 0) -> Features:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, 6, generator=generator) + torch.tensor([4.0, shift, 0, 0, 0, 0])
    return Features(z, torch.arange(rows) % 2, None, {"odin": torch.randn(rows, 1, generator=generator)})


def _auxiliary() -> Auxiliary:
    families = {name: _blob(40, 5.0 + i, 10 + i) for i, name in enumerate(FAMILIES)}
    return Auxiliary(val=_blob(100, 0, 1), pseudo=families, pseudoval={n: _blob(40, 5.0, 20) for n in FAMILIES})


def test_a_part_that_only_guesses_gets_no_weight() -> None:
    """The views named odin are random here, and the distance to neighbours tells the families from held-out data."""
    found, worth = weigh(Composed(mog=0, energy=0, odin=1, knn=1, k=5), _blob(200, 0, 0), _auxiliary())
    assert worth > 0.9
    assert found.knn > 3 * found.odin
    assert worth >= criterion(KNN(k=5, normalize=True), _blob(200, 0, 0), _auxiliary()) - 0.01


def test_the_weighed_recipe_has_the_criterion_it_was_given() -> None:
    found, worth = weigh(Composed(mog=1, energy=0, odin=1, knn=1, k=5), _blob(200, 0, 0), _auxiliary())
    assert criterion(found, _blob(200, 0, 0), _auxiliary()) == pytest.approx(worth, abs=1e-6)


def test_the_best_recipe_is_the_one_of_largest_criterion() -> None:
    recipes = {"neighbours": Composed(mog=0, energy=0, k=5), "guesses": Composed(mog=0, energy=0, knn=0, odin=1)}
    name, found = best(recipes, _blob(200, 0, 0), _auxiliary())
    assert name == "neighbours"
    assert found["neighbours"] > 0.9 > 0.7 > found["guesses"] > 0.3


def test_without_held_out_images_nothing_is_selected() -> None:
    with pytest.raises(ValueError, match="selecting needs the set val of held-out ID images"):
        criterion(KNN(k=5), _blob(200, 0, 0), Auxiliary(pseudoval=_auxiliary().pseudoval))
    with pytest.raises(ValueError, match="selecting needs at least 1 families"):
        weigh(Composed(energy=0, k=5), _blob(200, 0, 0), Auxiliary(val=_blob(100, 0, 1)))
