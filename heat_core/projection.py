"""A pack on a map: its features in two dimensions, by UMAP or PCA, and how far the map can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from .energies import on_sphere
from .features import Features
from .pack import Pack

METHODS = ("umap", "pca")
NEIGHBOURS = 15  # that UMAP keeps together, and that trustworthiness looks at
JUDGED = 3000  # rows that trustworthiness is measured on; it takes memory of their square

Array = NDArray[np.float32]
OnProgress = Callable[[float], None]


def _ignore(progress: float) -> None:
    """Nobody asked."""


class _Epochs:
    """A file for tqdm to write percentages to: passes them on as fractions. What `on_progress` raises ends the layout."""

    def __init__(self, on_progress: OnProgress) -> None:
        self.on_progress = on_progress

    def write(self, text: str) -> None:
        percent = text.strip()
        if percent:
            on_progress, self.on_progress = (
                self.on_progress,
                _ignore,
            )  # tqdm writes once more when it is closed
            on_progress(float(percent) / 100)
            self.on_progress = on_progress

    def flush(self) -> None:
        """Nothing is held back."""


def project_pack(
    pack: Pack, method: str = "umap", seed: int = 0, on_progress: OnProgress = _ignore
) -> Pack:
    """Returns the pack with the view `map` (N, 2) on `train`, `test` and every OOD set, laid out together.

    What is laid out is z / ||z||. The card gets `map`: method, seed, and the trustworthiness of the layout (1: whoever is
    near on the map is near in feature space; 0.5: chance), measured on a seeded sample of the rows. `on_progress` hears
    how far the layout is, from 0 to 1; what it raises ends it.

    Raises ValueError if the method is unknown, or if there are too few rows.
    References: McInnes et al. 2018, arXiv:1802.03426; Venna and Kaski 2001 (trustworthiness).
    """
    names = ["train", "test", *(f"{group}_{name}" for group, name in pack.ood)]
    sets = dict(pack.sets())
    rows = np.concatenate([on_sphere(sets[name]).z.float().numpy() for name in names])
    places = project_rows(rows, method, seed, on_progress)
    parts = dict(
        zip(
            names,
            np.split(places, np.cumsum([len(sets[name]) for name in names])[:-1]),
            strict=True,
        )
    )
    placed = {name: _with_map(sets[name], part) for name, part in parts.items()}
    outside = {(group, name): placed[f"{group}_{name}"] for group, name in pack.ood}
    about = {
        "method": method,
        "seed": seed,
        "rows": len(rows),
        "trustworthiness": round(trustworthiness_of(rows, places, seed), 4),
    }
    return replace(
        pack,
        train=placed["train"],
        test=placed["test"],
        ood=outside,
        card={**pack.card, "map": about},
    )


def project_rows(
    rows: Array, method: str = "umap", seed: int = 0, on_progress: OnProgress = _ignore
) -> Array:
    """Returns where (N, d) rows lie on the map, (N, 2). Raises ValueError if the method is unknown or N is too small."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}.")
    if len(rows) <= NEIGHBOURS:
        raise ValueError(f"a map needs more than {NEIGHBOURS} rows, got {len(rows)}.")
    if rows.shape[1] < 2:
        raise ValueError(f"a map needs at least 2 features, got {rows.shape[1]}.")
    if method == "pca":
        from sklearn.decomposition import PCA

        return PCA(2, random_state=seed).fit_transform(rows).astype(np.float32)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that a seed costs it its threads
        from umap import UMAP

        told = {
            "disable": False,
            "file": _Epochs(on_progress),
            "bar_format": "{percentage:.1f}",
            "mininterval": 0.3,
        }
        umap = UMAP(n_neighbors=NEIGHBOURS, random_state=seed, tqdm_kwds=told)
        return np.asarray(umap.fit_transform(rows), dtype=np.float32)


def trustworthiness_of(rows: Array, places: Array, seed: int = 0) -> float:
    """Returns the trustworthiness of a layout, on at most `JUDGED` rows drawn by a seed."""
    from sklearn.manifold import trustworthiness

    drawn = np.random.default_rng(seed).permutation(len(rows))[:JUDGED]
    return float(
        trustworthiness(
            rows[drawn], places[drawn], n_neighbors=min(NEIGHBOURS, (len(drawn) - 1) // 2)
        )
    )


def _with_map(features: Features, places: Array) -> Features:
    return replace(
        features, views={**features.views, "map": torch.from_numpy(np.ascontiguousarray(places))}
    )
