"""Small synthetic features."""

from __future__ import annotations

import torch
from torch import Tensor

DIM, CLASSES = 12, 4


def clusters(rows: int, seed: int, classes: int = CLASSES, dim: int = DIM) -> tuple[Tensor, Tensor]:
    """Returns features as a ReLU leaves them, around one centre a class, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % classes
    centres = 2 * torch.rand(classes, dim, generator=torch.Generator().manual_seed(99))
    return (centres[y] + 0.4 * torch.randn(rows, dim, generator=generator)).relu(), y
