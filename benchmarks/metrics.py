"""AUROC and FPR95 of two sets of scores.

The peers draw one ROC curve and read both figures off it, in the way that is fastest for them;
inside is their class to find, for it is inside that FPR95 keeps 95 % of, and -score is large where
inside is likely.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import auc, roc_curve
from torch import Tensor
from torchmetrics.functional.classification import binary_roc

from heat_core.metrics import separation

from . import threads
from .timing import OURS, Options, Row, against_peers, take_turns

Scores = NDArray[np.float64]


def measure(options: Options) -> list[Row]:
    """Returns a row for each peer. Raises AssertionError if a peer's figures differ from ours."""
    generator = np.random.default_rng(0)
    half = options.scores // 2
    inside, outside = generator.normal(0, 1, half), generator.normal(2, 1.5, options.scores - half)
    normal, likely = np.repeat([1, 0], [half, len(outside)]), -np.concatenate([inside, outside])
    target, preds = torch.from_numpy(normal), torch.from_numpy(likely)
    contenders = {
        OURS: lambda: _ours(inside, outside),
        "scikit-learn": lambda: _sklearn(normal, likely),
        "torchmetrics": lambda: _torchmetrics(preds, target),
    }
    with threads.limit(options.threads):
        ours = contenders[OURS]()
        for name, contender in contenders.items():
            np.testing.assert_allclose(contender(), ours, atol=1e-6, rtol=0, err_msg=name)
        seconds = take_turns(contenders, options.rounds)
    return against_peers(
        f"AUROC + FPR95 of {options.scores:,} scores", seconds, "faster", math.nextafter(1, 0)
    )


def _ours(inside: Scores, outside: Scores) -> tuple[float, float]:
    """All of `separation`: these two figures, a standard error, the other FPR95 and the AUPR."""
    figures = separation(inside, outside)
    return figures.auroc, figures.fpr95


def _sklearn(normal: NDArray[np.int64], likely: Scores) -> tuple[float, float]:
    fpr, tpr, _ = roc_curve(normal, likely, drop_intermediate=False)
    return float(auc(fpr, tpr)), float(fpr[np.searchsorted(tpr, 0.95)])


def _torchmetrics(preds: Tensor, target: Tensor) -> tuple[float, float]:
    fpr, tpr, _ = binary_roc(preds, target, validate_args=False)
    return float(torch.trapezoid(tpr, fpr)), float(fpr[torch.searchsorted(tpr, 0.95)])
