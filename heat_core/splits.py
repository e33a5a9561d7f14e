"""Rows held out or sampled: by a seeded shuffle, every class in its own share."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from .arguments import check_seed
from .features import Features

RowIndices = NDArray[np.int64]


def stratified_rows(labels: RowIndices, count: int, seed: int = 0) -> RowIndices:
    """Returns sorted rows (count,), every class in its own share, by a seeded shuffle.

    Args:
        labels: (N,) of all rows.
        count: all rows if there are fewer.

    Raises:
        ValueError: the count is below 0, or the seed is none.

    >>> stratified_rows(np.array([0, 0, 0, 0, 1, 1]), 3)
    array([0, 3, 4])
    """
    seed = check_seed(seed)
    if count < 0:
        raise ValueError(f"the number of rows must be 0 or more, got {count}.")
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    positions = np.linspace(0, len(labels) - 1, min(count, len(labels))).round().astype(int)
    return np.sort(by_class[positions])


def held_out_rows(labels: RowIndices, count: int, seed: int = 0) -> RowIndices:
    """Returns `stratified_rows`, but never all rows of a class: so there may be fewer.

    Empty where every class has a single row.

    >>> held_out_rows(np.array([0, 0, 0, 0, 1]), 2)
    array([2])
    """
    rows = stratified_rows(labels, count, seed)
    classes, totals = np.unique(labels, return_counts=True)
    held_classes, first, counts = np.unique(labels[rows], return_index=True, return_counts=True)
    emptied = counts == totals[np.searchsorted(classes, held_classes)]
    rows = np.delete(rows, first[emptied])
    if count and not len(rows):
        spare = np.delete(np.arange(len(labels)), np.unique(labels, return_index=True)[1])
        return spare[stratified_rows(labels[spare], 1, seed)]
    return rows


def sample(features: Features, count: int, seed: int = 0) -> Features:
    """Returns a stratified sample of the features, all of them if there are fewer.

    >>> features = Features(torch.arange(8.0)[:, None], torch.tensor([0, 1] * 4))
    >>> sample(features, 4).y.tolist()
    [0, 1, 0, 1]
    """
    seed = check_seed(seed)
    if count >= len(features):
        return features
    rows = stratified_rows(_labels(features), count, seed)
    return features.take(torch.from_numpy(rows))


def hold_out(features: Features, share: float, seed: int = 0) -> tuple[Features, Features]:
    """Returns (the rest, a stratified share of the features): no class is held out whole.

    Both are all of the features where every class has a single row.

    Args:
        share: of the rows, between 0 and 1; at least one row is held out.

    >>> features = Features(torch.arange(8.0)[:, None], torch.tensor([0, 1] * 4))
    >>> rest, held_out = hold_out(features, 0.25)
    >>> len(rest), held_out.y.tolist()
    (6, [0, 1])
    """
    count = max(1, round(share * len(features)))
    rows = held_out_rows(_labels(features), count, seed)
    if not len(rows):
        return features, features
    is_held_out = torch.zeros(len(features), dtype=torch.bool)
    is_held_out[torch.from_numpy(rows)] = True
    return features.take(~is_held_out), features.take(is_held_out)


def _labels(features: Features) -> RowIndices:
    return features.class_index.cpu().numpy()
