"""p-values of a stream, each of a row among all rows before it."""

from __future__ import annotations

import bisect

import numpy as np
from numpy.typing import ArrayLike

from heat_core.arguments import check_seed, finite_scores
from heat_core.thresholds.outcome import Array


def online_p_values(calibration: ArrayLike, stream: ArrayLike, seed: int = 0) -> Array:
    """Returns the p-value of each row of a stream, (N,): how rarely a row before it scores as high.

    Each row is ranked among the calibration scores and all rows of the stream before it. As long as
    all of them are exchangeable, these p-values are independent and uniform in (0, 1), exactly and
    for streams of any length, which ranks among the calibration scores alone are not.
    Vovk et al. 2005, section 7.1.

    Args:
        calibration: (n,) ID scores.
        stream: (N,) scores in the order of their arrival.
        seed: of the chance by which ties are broken.

    Raises:
        ValueError: there are no calibration scores, or a score is not finite.

    >>> online_p_values(np.arange(99.0), [50.0, 1000.0, 1000.0]).round(2).tolist()
    [0.49, 0.0, 0.0]
    """
    before = np.sort(finite_scores("calibration", calibration)).tolist()
    scores = finite_scores("stream", stream) if np.size(stream) else np.empty(0)
    chance = np.random.default_rng(check_seed(seed)).random(len(scores))
    p = np.empty(len(scores))
    for row, score in enumerate(scores.tolist()):
        upto = bisect.bisect_right(before, score)
        ties = upto - bisect.bisect_left(before, score)
        p[row] = (len(before) - upto + chance[row] * (1 + ties)) / (len(before) + 1)
        before.insert(upto, score)
    return p
