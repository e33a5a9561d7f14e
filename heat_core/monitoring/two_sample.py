"""Whether two windows come from one distribution: of scores, and of features."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from heat_core.arguments import check_seed, finite_scores

MAX_ROWS = 1000  # of each window whose features are compared


class Difference(NamedTuple):
    """How far two windows differ.

    Args:
        statistic: the distance; 0 where they are alike.
        p_value: how rarely windows from one distribution differ as much.
    """

    statistic: float
    p_value: float


def kolmogorov_smirnov(one: ArrayLike, other: ArrayLike) -> Difference:
    """Returns how far two windows of scores, (N,) and (M,), differ.

    The statistic is the largest distance of their distribution functions.

    >>> import numpy as np
    >>> same, moved = np.arange(100.0), np.arange(100.0) + 40
    >>> kolmogorov_smirnov(same, same).p_value, round(kolmogorov_smirnov(same, moved).statistic, 3)
    (1.0, 0.4)
    """
    from scipy.stats import ks_2samp

    result: Any = ks_2samp(finite_scores("one", one), finite_scores("other", other))
    return Difference(float(result.statistic), float(result.pvalue))


def kernel_two_sample(
    one: Tensor | ArrayLike, other: Tensor | ArrayLike, permutations: int = 500, seed: int = 0
) -> Difference:
    """Returns how far two windows of features differ.

    By the maximum mean discrepancy with a Gaussian kernel as wide as the median distance, squared,
    against random exchanges of the rows: its p-value is exact for any number of them. Of more rows
    than `MAX_ROWS`, so many are drawn. Gretton et al. 2012.

    Args:
        one, other: (N, d), (M, d).
        permutations: how many exchanges.
        seed: of the exchanges.

    Raises ValueError if a window has fewer than 2 rows, or they differ in width.

    >>> draw = torch.Generator().manual_seed(0)
    >>> one, other = torch.randn(50, 3, generator=draw), torch.randn(60, 3, generator=draw) + 1
    >>> kernel_two_sample(one, other, permutations=99).p_value
    0.01
    """
    one, other = torch.as_tensor(one), torch.as_tensor(other)
    if min(len(one), len(other)) < 2 or one.shape[1:] != other.shape[1:]:
        raise ValueError(
            "wanted two windows of at least 2 rows and the same width, got "
            f"{tuple(one.shape)} and {tuple(other.shape)}."
        )
    random = torch.Generator().manual_seed(check_seed(seed))
    windows = [_sample(window, random) for window in (one, other)]
    n, total = len(windows[0]), sum(map(len, windows))
    kernel = _gaussian_kernel(torch.cat(windows).double())
    is_one = torch.zeros(1 + permutations, total, dtype=torch.float64)
    is_one[0, :n] = 1
    for row in range(1, 1 + permutations):
        is_one[row, torch.randperm(total, generator=random)[:n]] = 1
    discrepancies = _discrepancies(kernel, is_one, n, total - n)
    as_large = int((discrepancies[1:] >= discrepancies[0]).sum())
    return Difference(float(discrepancies[0]), (1 + as_large) / (1 + permutations))


def _sample(rows: Tensor, random: torch.Generator) -> Tensor:
    if len(rows) <= MAX_ROWS:
        return rows.cpu()
    return rows.cpu()[torch.randperm(len(rows), generator=random)[:MAX_ROWS]]


def _gaussian_kernel(rows: Tensor) -> Tensor:
    """Returns exp(-|x - y|^2 / (2 h^2)) of all pairs of rows (N, d), (N, N), h their median."""
    squared = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").square()
    above = squared[torch.triu(torch.ones_like(squared, dtype=torch.bool), 1)]
    width = above.median().clamp(min=torch.finfo(rows.dtype).tiny)
    return (-squared / (2 * width)).exp()


def _discrepancies(kernel: Tensor, is_one: Tensor, n: int, m: int) -> Tensor:
    """Returns the squared discrepancy of each way to part the rows in two, (K,).

    Args:
        kernel: (N, N).
        is_one: (K, N) ones where a row is in the first window, zeros elsewhere.
        n, m: rows of the two windows.
    """
    weights = is_one / n - (1 - is_one) / m
    return ((weights @ kernel) * weights).sum(1)
