"""p-values of single inputs, and which inputs of a batch to flag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heat_core.arguments import check_seed, check_share, finite_scores

from .outcome import Array


def p_values(calibration: ArrayLike, scores: ArrayLike, seed: int | None = None) -> Array:
    """Returns the conformal p-value of each score, (M,): how rarely ID scores as high.

    Of an ID input it is at most a with a probability of at most a, for every a, if the input comes
    from where the calibration scores come from and nothing was fitted to them. Vovk et al. 2005;
    Bates et al. 2023 (arXiv 2104.08279).

    Args:
        calibration: ID scores, (N,).
        scores: (M,).
        seed: smooths: ties count by chance, and ID inputs have p-values uniform in (0, 1). Without
            one the p-value is (1 + how many are as high) / (N + 1), never smoothed, never 0.

    Raises:
        ValueError: there are no calibration scores, or a score is not finite.

    >>> p_values([1.0, 2.0, 3.0, 4.0], [0.0, 3.0, 9.0]).tolist()
    [1.0, 0.6, 0.2]
    """
    ordered = np.sort(finite_scores("calibration", calibration))
    values = finite_scores("scores", scores) if np.size(scores) else np.empty(0)
    n = len(ordered)
    as_high = n - np.searchsorted(ordered, values, "left")
    if seed is None:
        return (1 + as_high) / (n + 1)
    higher = n - np.searchsorted(ordered, values, "right")
    chance = np.random.default_rng(check_seed(seed)).random(len(values))
    return (higher + chance * (1 + as_high - higher)) / (n + 1)


@dataclass(frozen=True, eq=False)
class Discoveries:
    """The inputs of a batch that are flagged together.

    Args:
        flagged: (M,) which.
        false_discovery_rate: the promise: of those flagged, the share that is ID is at most so
            large, on average over batches.
        largest_p: the largest p-value that was flagged; 0 where none was.
    """

    flagged: NDArray[np.bool]
    false_discovery_rate: float
    largest_p: float


def discoveries(p: ArrayLike, false_discovery_rate: float = 0.1) -> Discoveries:
    """Returns which inputs of a batch to flag, by Benjamini and Hochberg 1995.

    The promise holds for conformal p-values that share their calibration scores (Bates et al. 2023,
    arXiv 2104.08279), where the batch's inputs are independent.

    Args:
        p: (M,) p-values in [0, 1].
        false_discovery_rate: the share of ID among those flagged, at most, on average.

    Raises:
        ValueError: a p-value is none, or the rate is no share.

    >>> discoveries([0.01, 0.04, 0.03, 0.5], 0.1).flagged.tolist()
    [True, True, True, False]
    """
    check_share(false_discovery_rate)
    values = finite_scores("p", p) if np.size(p) else np.empty(0)
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"p must hold p-values between 0 and 1, got {values.min():g} to {values.max():g}."
        )
    ordered = np.sort(values)
    bounds = false_discovery_rate * np.arange(1, len(ordered) + 1) / max(1, len(ordered))
    passed = ordered[ordered <= bounds]
    largest = float(passed[-1]) if len(passed) else 0.0
    flagged = values <= largest if len(passed) else np.zeros(len(values), np.bool)
    return Discoveries(flagged, false_discovery_rate, largest)
