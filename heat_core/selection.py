"""Choosing between recipes on ID images alone: no function here takes an OOD set, so none can be chosen on.

A recipe is judged on how well it tells held-out ID images from destroyed ones, by kinds of destruction that it was not
trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .detectors import Detector, Shape
from .energies import Composition
from .features import Auxiliary, Features
from .learned import Composed
from .metrics import auroc
from .pseudo import COMPOSED
from .study import fit


def criterion(detector: Detector, train: Features, auxiliary: Auxiliary, seed: int = 0, parts: int = 2) -> float:
    """Returns the mean AUROC of `val` against the families of `pseudoval`, each judged by a fit that never saw its kind.

    The families are dealt into `parts`; each part is judged by a detector fitted to all the others. Compositions contain
    kinds of every part, so they take no part.

    Args:
        detector: the recipe.
        train, auxiliary: as a pack has them.
        seed: of the fits.

    Raises:
        ValueError: there are no held-out images, or no two families.
    """
    found: list[float] = []
    for judged, known in _folds(auxiliary, parts if detector.trains else 1):
        run = fit(detector, train, seed, auxiliary=known)
        inside = run.score(_held_out(auxiliary))
        found += [auroc(inside, run.score(auxiliary.pseudoval[name])) for name in judged]
    return float(np.mean(found))


def _held_out(auxiliary: Auxiliary) -> Features:
    if auxiliary.val is None:
        raise ValueError("selecting needs the set val of held-out ID images, and there is none.")
    return auxiliary.val


def _folds(auxiliary: Auxiliary, parts: int) -> list[tuple[list[str], Auxiliary]]:
    """Returns for each part the families that judge, and what a fit may see: the others. One part: all judge, all are seen.

    Raises ValueError if there are fewer families than parts.
    """
    names = [name for name in auxiliary.pseudoval if name != COMPOSED]
    if len(names) < max(parts, 1):
        raise ValueError(f"selecting needs at least {parts} families made of held-out ID images, got {len(names)}.")
    if parts == 1:
        return [(names, auxiliary)]
    folds = []
    for part in range(parts):
        judged = names[part::parts]
        seen = {name: family for name, family in auxiliary.pseudo.items() if name not in judged and name != COMPOSED}
        known = {name: family for name, family in auxiliary.pseudoval.items() if name in seen}
        folds.append((judged, replace(auxiliary, pseudo=seen, pseudoval=known)))
    return folds


STEPS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)


def weigh(
    recipe: Composed, train: Features, auxiliary: Auxiliary, seed: int = 0, steps: Sequence[float] = STEPS, rounds: int = 4
) -> tuple[Composed, float]:
    """Returns the recipe with the weights of largest `criterion`, and that criterion.

    Every part is fitted once a fold; then one weight at a time takes the best of `steps`, in the order of the parts, `rounds`
    times or until nothing changes. It begins with the first part alone.

    Args:
        recipe: whose parts with a weight above 0 take part.
        train, auxiliary: as a pack has them.
        seed: of the fits.
    """
    names = recipe.parts(Shape.of(train))
    even = replace(recipe, **dict.fromkeys(names, 1.0))
    folds = [_said(even, train, auxiliary, judged, known, seed) for judged, known in _folds(auxiliary, 2 if even.trains else 1)]

    def worth(weights: Tensor) -> float:
        return float(np.mean([auroc(put(inside * weights), put(outside * weights))
                              for put, inside, families in folds for outside in families]))  # fmt: skip

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
    return replace(recipe, **dict(zip(names, weights.tolist(), strict=True))), best


Put = Callable[[Tensor], NDArray[np.float64]]


def _said(
    recipe: Composed, train: Features, auxiliary: Auxiliary, judged: Sequence[str], known: Auxiliary, seed: int
) -> tuple[Put, Tensor, list[Tensor]]:
    """Returns how parts are put together, and each part's own word (N, parts) on held-out images and each family."""
    run = fit(recipe, train, seed, auxiliary=known)
    composition = run.energy
    assert isinstance(composition, Composition)
    read = recipe.reads(run.shape)

    @torch.inference_mode()
    def parts(features: Features) -> Tensor:
        return composition.parts(features.columns(read).to(composition.weights.dtype)).double()

    return (
        lambda weighted: composition.together(weighted).numpy(),
        parts(_held_out(auxiliary)),
        [parts(auxiliary.pseudoval[name]) for name in judged],
    )


def best(recipes: Mapping[str, Detector], train: Features, auxiliary: Auxiliary, seed: int = 0) -> tuple[str, dict[str, float]]:
    """Returns the name of the recipe with the largest `criterion`, and the criterion of each."""
    found = {name: criterion(recipe, train, auxiliary, seed) for name, recipe in recipes.items()}
    return max(found, key=found.__getitem__), found
