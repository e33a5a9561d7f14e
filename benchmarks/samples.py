"""Synthetic features: ten clusters on the unit sphere, about as wide as they are apart.

The time hardly depends on them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from heat_core.features import Features

CLASSES = 10


def clusters(rows: int, seed: int, dim: int = 512) -> Features:
    """Returns unit-normalised float32 features with labels, (rows, dim) and (rows,)."""
    centres = torch.randn(CLASSES, dim, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(rows) % CLASSES
    noise = torch.randn(rows, dim, generator=generator)
    return Features(torch.nn.functional.normalize(centres[label] + noise), label)


def queries(rows: int, seed: int) -> Tensor:
    """Returns (rows, 512): half from the clusters, half from anywhere on the sphere."""
    anywhere = torch.randn(rows - rows // 2, 512, generator=torch.Generator().manual_seed(seed))
    return torch.cat([clusters(rows // 2, seed + 1).z, torch.nn.functional.normalize(anywhere)])
