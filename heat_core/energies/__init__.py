"""Energies: functions E: R^d -> R, large where data is rare. They add, and divide by a temperature."""

from .combined import Composition, Ensemble
from .energy import Energy, Sum, Tempered, score, working_precision
from .gaussian import GaussianMixture, Gaussians, Mahalanobis, Whitened, moments_of
from .logits import Logits, LogSumExp, MaxSoftmax
from .neighbors import Neighbors, kth_largest, kth_largest_column
from .network import Network
from .views import Columns, Given, Normalized, Polar, on_sphere, standards, unit

__all__ = [
    "Columns",
    "Composition",
    "Energy",
    "Ensemble",
    "GaussianMixture",
    "Gaussians",
    "Given",
    "LogSumExp",
    "Logits",
    "Mahalanobis",
    "MaxSoftmax",
    "Neighbors",
    "Network",
    "Normalized",
    "Polar",
    "Sum",
    "Tempered",
    "Whitened",
    "kth_largest",
    "kth_largest_column",
    "moments_of",
    "on_sphere",
    "score",
    "standards",
    "unit",
    "working_precision",
]
