"""Choosing between recipes on ID images alone: no function here takes an OOD set, so none can be chosen on.

A recipe is judged on how well it tells held-out ID images from destroyed ones, by kinds of destruction (`pseudo.KINDS`) that it
was not trained on. Families of one kind are held out together: a recipe that learns a family's own textures does well on its
likes, and badly on OOD images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .detectors.composed import Composed
from .detectors.detector import Detector, Shape
from .energies import WeightedSum
from .features import Features
from .images.pseudo import TWO_KINDS, kind_of
from .metrics import auroc
from .pack import ExtraID
from .run import fit


def criterion(detector: Detector, train: Features, extra: ExtraID, seed: int = 0) -> float:
    """Returns the mean AUROC of `val` against the families of `pseudoval`, each judged by a fit that never saw its kind.

    Compositions contain every kind, so they take no part. It compares settings of one detector: each fit saw fewer kinds than
    the final one will, so detectors that lean on what is not learned from families do better here than they would.

    Args:
        detector: the recipe.
        train, extra: as a pack has them.
        seed: of the fits.

    Raises:
        ValueError: there are no held-out images, or no families of two kinds.
    """
    found: list[float] = []
    for judged, known in _folds(extra, detector.trains):
        run = fit(detector, train, seed, extra=known)
        inside = run.score(_held_out(extra))
        found += [auroc(inside, run.score(extra.pseudoval[name])) for name in judged]
    return float(np.mean(found))


def _held_out(extra: ExtraID) -> Features:
    if extra.val is None:
        raise ValueError("selecting needs the set val of held-out ID images, and there is none.")
    return extra.val


def _folds(extra: ExtraID, trains: bool, parts: int = 4) -> list[tuple[list[str], ExtraID]]:
    """Returns for each part the families that judge, and what a fit may see: those of all other parts.

    Kinds of families are dealt into the parts. What does not train sees none, so all families judge it at once.

    Raises ValueError if there are too few kinds.
    """
    names = [name for name in extra.pseudoval if name != TWO_KINDS]
    kinds = list(dict.fromkeys(map(kind_of, names)))
    if len(kinds) < 1 + trains:
        raise ValueError(
            f"selecting needs families of {1 + trains} kinds, made of held-out ID images; got {len(kinds)}."
        )
    if not trains:
        return [(names, extra)]
    folds = []
    for part in range(min(parts, len(kinds))):
        judged = [name for name in names if kinds.index(kind_of(name)) % parts == part]
        seen = {
            name: family
            for name, family in extra.pseudo.items()
            if name not in judged and name != TWO_KINDS
        }
        known = {name: family for name, family in extra.pseudoval.items() if name in seen}
        folds.append((judged, replace(extra, pseudo=seen, pseudoval=known)))
    return folds


WEIGHT_GRID = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)


def choose_weights(
    recipe: Composed,
    train: Features,
    extra: ExtraID,
    seed: int = 0,
    steps: Sequence[float] = WEIGHT_GRID,
    rounds: int = 4,
) -> tuple[Composed, float]:
    """Returns the recipe with the weights of largest `criterion`, and that criterion.

    Every part is fitted once a fold; then one weight at a time takes the best of `steps`, in the order of the parts, `rounds`
    times or until nothing changes. It begins with the first part alone.

    Args:
        recipe: whose parts with a weight above 0 take part.
        train, extra: as a pack has them.
        seed: of the fits.
    """
    names = recipe.term_names(Shape.of(train))
    even = recipe.with_weights(dict.fromkeys(names, 1.0))
    folds = [
        _said(even, train, extra, judged, known, seed)
        for judged, known in _folds(extra, even.trains)
    ]

    def worth(weights: Tensor) -> float:
        return float(
            np.mean(
                [
                    auroc(put(inside * weights), put(outside * weights))
                    for put, inside, families in folds
                    for outside in families
                ]
            )
        )

    weights = torch.zeros(len(names), dtype=torch.float64)
    weights[0] = 1.0
    best = worth(weights)
    for _ in range(rounds):
        before = weights
        for place in range(len(names)):
            for step in steps:
                tried = weights.clone()
                tried[place] = step
                if tried.any() and (found := worth(tried)) > best:
                    best, weights = found, tried
        if before is weights:
            break
    return recipe.with_weights(dict(zip(names, weights.tolist(), strict=True))), best


Put = Callable[[Tensor], NDArray[np.float64]]


def _said(
    recipe: Composed,
    train: Features,
    extra: ExtraID,
    judged: Sequence[str],
    known: ExtraID,
    seed: int,
) -> tuple[Put, Tensor, list[Tensor]]:
    """Returns how parts are put together, and each part's own word (N, parts) on held-out images and each family."""
    run = fit(recipe, train, seed, extra=known)
    composition = run.energy
    assert isinstance(composition, WeightedSum)
    read = recipe.input_views(run.shape)

    @torch.inference_mode()
    def parts(features: Features) -> Tensor:
        return composition.weighted_terms(
            features.columns(read).to(composition.weights.dtype)
        ).double()

    return (
        lambda weighted: composition.combine(weighted).numpy(),
        parts(_held_out(extra)),
        [parts(extra.pseudoval[name]) for name in judged],
    )


def best_detector(
    recipes: Mapping[str, Detector], train: Features, extra: ExtraID, seed: int = 0
) -> tuple[str, dict[str, float]]:
    """Returns the name of the recipe with the largest `criterion`, and the criterion of each."""
    found = {name: criterion(recipe, train, extra, seed) for name, recipe in recipes.items()}
    return max(found, key=found.__getitem__), found
