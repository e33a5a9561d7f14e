"""The distance to the k-th nearest training feature."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor, nn

from heat_core.features import Features

from .energy import Energy, working_precision

# -- arithmetic --------------------------------------------------------------------------------------------------------


def _products(z: Tensor, bank: Tensor, offset: Tensor) -> Tensor:
    """Returns z @ bank.T + offset, (N, M).

    In float32 on a CPU as a 1 x 1 convolution, whose kernels use wider registers than torch's matrix product does on AMD's
    processors.
    """
    if (
        z.device.type != "cpu"
        or z.dtype != torch.float32
        or not len(z)
        or not torch.backends.mkldnn.is_available()
    ):
        return torch.addmm(offset, z, bank.T)
    pixels = z.contiguous()[None, :, None].permute(
        0, 3, 1, 2
    )  # (1, d, N, 1), channels last: nothing is moved
    return nn.functional.conv2d(pixels, bank[:, :, None, None], offset).permute(0, 2, 3, 1)[0, :, 0]


# -- neighbours --------------------------------------------------------------------------------------------------------


class Neighbors(Energy):
    """E(z) = the distance from z to its k-th nearest training feature.

    Reference: Sun et al. 2022, arXiv:2204.06507, where it is `Normalized`. The nearest b has the largest
    z . b - ||b||^2 / 2: one matrix product, and a selection that looks only at the best blocks of the bank. The
    distance is then that of z - b itself, which is exact where z is close to b, and has a gradient.

    Args:
        dim: d.
        rows: N, the size of the bank.
        k: which neighbour; at most `rows`.
    """

    bank: Tensor
    offset: Tensor

    def __init__(self, dim: int, rows: int, k: int) -> None:
        super().__init__()
        if not 1 <= k <= rows:
            raise ValueError(f"k must lie in 1..{rows}, the number of training rows; got {k}.")
        self.k = k
        self.register_buffer("bank", torch.empty(rows, dim))
        self.register_buffer("offset", torch.empty(rows))  # -||b||^2 / 2

    def fit(self, train: Features) -> Self:
        self.to(train.z.device, working_precision(train.z))
        self.store(bank=train.z)
        self.store(offset=-0.5 * torch.linalg.vector_norm(self.bank, dim=1).square())
        return self

    def forward(self, z: Tensor) -> Tensor:
        return torch.linalg.vector_norm(z - self.bank[self.nearest(z)], dim=1)

    @torch.no_grad()
    def nearest(self, z: Tensor, products: int = 2**27) -> Tensor:
        """Returns the row of the bank that is k-th nearest, (N,), with room for about `products` products at a time."""
        parts = z.chunk(max(1, math.ceil(len(z) * len(self.bank) / products)))
        return torch.cat(
            [kth_largest_column(_products(part, self.bank, self.offset), self.k) for part in parts]
        )


def kth_largest(values: Tensor, k: int) -> Tensor:
    """Returns the k-th largest of each row, (N,) from (N, M)."""
    return values.gather(1, kth_largest_column(values, k)[:, None]).squeeze(1)


def kth_largest_column(values: Tensor, k: int, block: int = 64) -> Tensor:
    """Returns where the k-th largest of each row is, (N,) from (N, M).

    A row is cut into blocks; the k largest values lie within the k blocks of largest maximum, so only those are sorted.
    """
    rows, columns = values.shape
    blocks = columns // block
    if blocks <= 2 * k:
        return values.topk(k, dim=1).indices[:, -1]
    body, rest = values[:, : blocks * block].view(rows, blocks, block), values[:, blocks * block :]
    best = body.amax(-1).topk(k, dim=1, sorted=False).indices
    candidates = body[torch.arange(rows, device=best.device)[:, None], best].flatten(1)
    place = torch.cat([candidates, rest], 1).topk(k, dim=1).indices[:, -1:]
    owner = nn.functional.pad(best, (0, 1), value=blocks)  # the rest counts as the last block
    return (owner.gather(1, place // block) * block + place % block).squeeze(1)
