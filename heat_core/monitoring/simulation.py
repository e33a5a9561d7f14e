"""Streams made of a pack's sets: ID rows, with others mixed in from a moment on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heat_core.arguments import check_seed, check_share


def mix_in(
    rows: int, share: float, start: int, id_rows: int, ood_rows: int, seed: int = 0
) -> tuple[NDArray[np.bool], NDArray[np.int64]]:
    """Returns which rows of a stream come from an OOD set, (rows,), and each row's index, (rows,).

    Indices are into the ID set or the OOD set, each in random order: no row comes twice before all
    of its set have come. So p-values of a stream that is no longer than its ID set are those of
    fresh rows.

    Args:
        rows: of the stream.
        share: of OOD from `start` on, at most 1.
        start: the first row, from 0, that may be OOD.
        id_rows, ood_rows: how many rows the ID set and the OOD set have.
        seed: of the draws.

    Raises ValueError if the share is none, or a number of rows is below 1.

    >>> is_ood, index = mix_in(6, 1.0, start=4, id_rows=100, ood_rows=10)
    >>> is_ood.tolist(), bool((index[is_ood] < 10).all())
    ([False, False, False, False, True, True], True)
    """
    check_share(share)
    if min(rows, id_rows, ood_rows) < 1:
        raise ValueError(f"wanted rows to draw from, got {rows}, {id_rows} and {ood_rows}.")
    random = np.random.default_rng(check_seed(seed))
    is_ood = (np.arange(rows) >= start) & (random.random(rows) < share)
    index = np.empty(rows, np.int64)
    for places, count in ((~is_ood, id_rows), (is_ood, ood_rows)):
        order = random.permutation(count)
        index[places] = order[np.arange(np.count_nonzero(places)) % count]
    return is_ood, index
