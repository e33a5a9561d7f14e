"""Energies: functions E: R^d -> R, large where data is rare.

They add, and divide by a temperature.
"""

from .combined import Ensemble, WeightedSum
from .covariances import ClassGaussians, RelativeMahalanobis
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
from .geometry import BoundaryDistance, CollapseAngle
from .logits import GeneralizedEntropy, LargestLogit, Logits, LogSumExp, MaxSoftmax
from .neighbors import GuidedLogits, Neighbors, kth_largest, kth_largest_column
from .network import Network
from .prototypes import ClassPattern, PosteriorDivergence
from .rectified import ClippedFeatures, PrunedFeatures, ScaledFeatures, SparseWeights
from .subspace import PrincipalShare, Residual
from .views import (
    DirectionAndNorm,
    Normalized,
    OnColumns,
    OnView,
    PrecomputedScore,
    RadiallyScaled,
    mean_and_std,
    on_sphere,
    unit,
)

__all__ = [
    "Aggregate",
    "BoundaryDistance",
    "ClassGaussians",
    "ClassPattern",
    "ClippedFeatures",
    "CollapseAngle",
    "DirectionAndNorm",
    "Energy",
    "Ensemble",
    "GaussianMixture",
    "Gaussians",
    "GeneralizedEntropy",
    "GuidedLogits",
    "LogSumExp",
    "Logits",
    "Mahalanobis",
    "LargestLogit",
    "MaxSoftmax",
    "Neighbors",
    "Network",
    "Normalized",
    "OnColumns",
    "OnView",
    "PosteriorDivergence",
    "PrecomputedScore",
    "PrincipalShare",
    "PrunedFeatures",
    "RadiallyScaled",
    "RelativeMahalanobis",
    "Residual",
    "ScaledFeatures",
    "SparseWeights",
    "Sum",
    "Tempered",
    "WeightedSum",
    "Whitened",
    "kth_largest",
    "kth_largest_column",
    "mean_and_std",
    "moments_of",
    "on_sphere",
    "precise_enough",
    "rows_per_batch",
    "score",
    "unit",
    "working_precision",
]
