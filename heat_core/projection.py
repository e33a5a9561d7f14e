"""The map of a pack: its features in two dimensions, by UMAP or PCA, and how far to trust it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from .arguments import check_seed
from .energies import on_sphere
from .features import Features
from .pack import Pack

METHODS = ("umap", "pca")
NEIGHBOURS = 15  # that UMAP keeps together, and that trustworthiness looks at
TRUST_ROWS = 3000  # that trustworthiness is measured on; it takes memory of their square

Array = NDArray[np.float32]
OnShare = Callable[[float], None]


def ignore(progress: float) -> None:
    """Does nothing with the progress."""


def lay_out(pack: Pack, method: str = "umap", seed: int = 0, on_progress: OnShare = ignore) -> Pack:
    """Returns the pack with the view `map` (N, 2) on `train`, `test` and every OOD set.

    All are laid out together, by z / ||z||. The card gets `map`: method, seed, and the
    trustworthiness of the layout (1: what is near on the map is near in feature space; 0.5:
    chance), measured on a seeded sample of the rows.
    References: McInnes et al. 2018, arXiv:1802.03426; Venna and Kaski 2001 (trustworthiness).

    Args:
        method: `umap` or `pca`.
        on_progress: called with how far the layout is, from 0 to 1; what it raises ends it.

    Raises:
        ValueError: the method is unknown, or there are too few rows.
    """
    sets = {"train": pack.train, "test": pack.test}
    for name, features in pack.ood.items():
        sets[str(name)] = features
    rows = np.concatenate([on_sphere(features).z.float().numpy() for features in sets.values()])
    positions = lay_out_rows(rows, method, seed, on_progress)

    mapped: dict[str, Features] = {}
    start = 0
    for name, features in sets.items():
        mapped[name] = _with_map(features, positions[start : start + len(features)])
        start += len(features)
    about_map = {
        "method": method,
        "seed": seed,
        "rows": len(rows),
        "trustworthiness": round(trustworthiness_of(rows, positions, seed), 4),
    }
    return replace(
        pack,
        train=mapped["train"],
        test=mapped["test"],
        ood={name: mapped[str(name)] for name in pack.ood},
        card={**pack.card, "map": about_map},
    )


def _with_map(features: Features, positions: Array) -> Features:
    """Returns the features (N, d) with their positions (N, 2) as the view `map`."""
    view = torch.from_numpy(np.ascontiguousarray(positions))
    return replace(features, views={**features.views, "map": view})


def lay_out_rows(
    rows: Array, method: str = "umap", seed: int = 0, on_progress: OnShare = ignore
) -> Array:
    """Returns the positions on the map, (N, 2), of rows (N, d).

    Args:
        method, on_progress: as `lay_out` takes them.

    Raises:
        ValueError: the method is unknown, or N or d is too small.

    >>> rows = np.eye(20, dtype=np.float32)
    >>> lay_out_rows(rows, "pca").shape
    (20, 2)
    """
    seed = check_seed(seed)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}.")
    if len(rows) <= NEIGHBOURS:
        raise ValueError(f"a map needs more than {NEIGHBOURS} rows, got {len(rows)}.")
    if rows.shape[1] < 2:
        raise ValueError(f"a map needs at least 2 features, got {rows.shape[1]}.")
    if method == "pca":
        return _pca(rows, seed)
    return _umap(rows, seed, on_progress)


def _pca(rows: Array, seed: int) -> Array:
    """Returns positions (N, 2) of rows (N, d) by PCA."""
    from sklearn.decomposition import PCA

    return PCA(2, random_state=seed).fit_transform(rows).astype(np.float32)


def _umap(rows: Array, seed: int, on_progress: OnShare) -> Array:
    """Returns positions (N, 2) of rows (N, d) by UMAP."""
    progress_bar = {
        "disable": False,
        "file": _ProgressFile(on_progress),
        "bar_format": "{percentage:.1f}",
        "mininterval": 0.3,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that a seed costs it its threads
        from umap import UMAP

        umap = UMAP(n_neighbors=NEIGHBOURS, random_state=seed, tqdm_kwds=progress_bar)
        return np.asarray(umap.fit_transform(rows), dtype=np.float32)


class _ProgressFile:
    """A file for tqdm to write percentages to; it passes them on as fractions.

    What `on_progress` raises ends the layout.
    """

    def __init__(self, on_progress: OnShare) -> None:
        self.on_progress = on_progress

    def write(self, text: str) -> None:
        percent = text.strip()
        if not percent:
            return
        on_progress = self.on_progress
        # tqdm writes once more when it is closed, which an error of on_progress makes it do
        self.on_progress = ignore
        on_progress(float(percent) / 100)
        self.on_progress = on_progress

    def flush(self) -> None:
        """Nothing is buffered."""


def trustworthiness_of(rows: Array, positions: Array, seed: int = 0) -> float:
    """Returns the trustworthiness of positions (N, 2) of rows (N, d), on at most `TRUST_ROWS`.

    The rows that it is measured on are drawn by the seed.

    >>> rows = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    >>> trustworthiness_of(rows, rows)
    1.0
    """
    from sklearn.manifold import trustworthiness

    seed = check_seed(seed)
    sample = np.random.default_rng(seed).permutation(len(rows))[:TRUST_ROWS]
    neighbours = min(NEIGHBOURS, (len(sample) - 1) // 2)
    return float(trustworthiness(rows[sample], positions[sample], n_neighbors=neighbours))
