"""Energies: functions E: R^d -> R, large where data is rare.

They add, and divide by a temperature.
"""

from .combined import Ensemble, WeightedSum
from .energy import (
    Aggregate,
    Energy,
    Sum,
    Tempered,
    precise_enough,
    rows_per_batch,
    score,
    working_precision,
)
from .gaussian import GaussianMixture, Gaussians, Mahalanobis, Whitened, moments_of
from .logits import Logits, LogSumExp, MaxSoftmax
from .neighbors import Neighbors, kth_largest, kth_largest_column
from .network import Network
from .views import (
    DirectionAndNorm,
    Normalized,
    OnColumns,
    OnView,
    PrecomputedScore,
    mean_and_std,
    on_sphere,
    unit,
)

__all__ = [
    "Aggregate",
    "DirectionAndNorm",
    "Energy",
    "Ensemble",
    "GaussianMixture",
    "Gaussians",
    "LogSumExp",
    "Logits",
    "Mahalanobis",
    "MaxSoftmax",
    "Neighbors",
    "Network",
    "Normalized",
    "OnColumns",
    "OnView",
    "PrecomputedScore",
    "Sum",
    "Tempered",
    "WeightedSum",
    "Whitened",
    "kth_largest",
    "kth_largest_column",
    "moments_of",
    "on_sphere",
    "precise_enough",
    "rows_per_batch",
    "score",
    "mean_and_std",
    "unit",
    "working_precision",
]
