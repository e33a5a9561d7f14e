"""Choosing between recipes on ID images alone: no function here takes an OOD set, so none can be chosen on.

A recipe is judged on how well it tells held-out ID images from destroyed ones, by kinds of destruction that it was not
trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .detectors import Detector
from .features import Auxiliary, Features
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
    names = [name for name in auxiliary.pseudoval if name != COMPOSED]
    if auxiliary.val is None or len(names) < parts:
        raise ValueError(f"selecting needs the set val and at least {parts} families made of it, got {len(names)} families.")
    found: list[float] = []
    for part in range(parts if detector.trains else 1):
        judged = names[part::parts] if detector.trains else names
        seen = {name: family for name, family in auxiliary.pseudo.items() if name not in judged and name != COMPOSED}
        known = {name: family for name, family in auxiliary.pseudoval.items() if name in seen}
        run = fit(detector, train, seed, auxiliary=replace(auxiliary, pseudo=seen, pseudoval=known))
        inside = run.score(auxiliary.val)
        found += [auroc(inside, run.score(auxiliary.pseudoval[name])) for name in judged]
    return float(np.mean(found))


def best(recipes: Mapping[str, Detector], train: Features, auxiliary: Auxiliary, seed: int = 0) -> tuple[str, dict[str, float]]:
    """Returns the name of the recipe with the largest `criterion`, and the criterion of each."""
    found = {name: criterion(recipe, train, auxiliary, seed) for name, recipe in recipes.items()}
    return max(found, key=found.__getitem__), found
