"""Energies of the nearest training features: their distance, their guidance."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from heat_core.features import Features
from heat_core.progress import row_blocks

from .energy import Energy, working_precision
from .logits import Logits
from .views import unit

LARGE_BANK = 2**15  # rows
FIT_ROWS = 8192  # rows of a bank that are filled at a time


class Neighbors(Energy):
    """E(z) = the distance from z to its k-th nearest training feature.

    The nearest b has the largest z . b - ||b||^2 / 2: one matrix product, and a selection that
    looks only at the best blocks of the bank. Both are taken from the bank's mean, since the
    product of far-away points would lose what tells them apart. The distance is then that of z - b
    itself, which is exact where z is close to b, and has a gradient.
    Reference: Sun et al. 2022, arXiv:2204.06507, where it is `Normalized`.

    Args:
        dim: d.
        bank_rows: M, the size of the bank.
        k: which neighbour; at most `bank_rows`.

    Raises:
        ValueError: k is not in 1..bank_rows.

    >>> train = Features(torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]))
    >>> Neighbors(dim=2, bank_rows=3, k=2).fit(train)(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    tensor([3., 4.])
    """

    centre: Tensor
    bank: Tensor
    offset: Tensor

    def __init__(self, dim: int, bank_rows: int, k: int) -> None:
        super().__init__()
        _check_k(k, bank_rows)
        self.k = k
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("bank", torch.empty(bank_rows, dim))  # less the centre
        self.register_buffer("offset", torch.empty(bank_rows))  # -||b||^2 / 2

    def fit(self, train: Features) -> Self:
        self.to(train.z.device, working_precision(train.z))
        self.store(centre=train.z.mean(0, dtype=torch.float64))
        self.bank = self.centre.new_empty(train.z.shape)
        self.offset = self.centre.new_empty(len(train))
        for block in row_blocks("filling the bank", len(train), FIT_ROWS):
            rows = train.z[block].to(self.centre) - self.centre
            self.bank[block] = rows
            self.offset[block] = -0.5 * torch.linalg.vector_norm(rows, dim=1).square()
        return self

    @property
    def rows_at_a_time(self) -> int:
        return _batch_size(len(self.bank))

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        # runs of earlier versions have the bank as it was, from the origin
        state_dict.setdefault(f"{prefix}centre", torch.zeros_like(self.centre))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, z: Tensor) -> Tensor:
        return torch.linalg.vector_norm(z - self.centre - self.bank[self.kth_nearest(z)], dim=1)

    @torch.no_grad()
    def kth_nearest(self, z: Tensor, batch: int | None = None) -> Tensor:
        """Returns the row of the bank that is k-th nearest to each row of z (N, d), (N,).

        Args:
            batch: rows of z, whose products with the bank are held at a time.
        """
        z = z - self.centre
        if torch.compiler.is_exporting():  # one graph for any number of rows
            return torch.addmm(self.offset, z, self.bank.T).topk(self.k, dim=1).indices[:, -1]
        if batch is None:
            batch = self.rows_at_a_time
        nearest = torch.empty(len(z), dtype=torch.int64, device=z.device)
        for start in range(0, len(z), batch):
            products = _products(z[start : start + batch], self.bank, self.offset)
            nearest[start : start + batch] = kth_largest_column(products, self.k)
        return nearest


class GuidedLogits(Logits):
    """E(z) = -L(z) * mean of the k largest <u(z), L(z_i) u(z_i)> over the training features z_i.

    L = log sum_c exp(f_c) and u(z) = z / ||z||: a sure classifier counts as far as like training
    features made it sure, too.
    Reference: NNGuide, Park et al. 2023, arXiv:2309.14888.

    Args:
        dim: d.
        classes: C.
        bank_rows: M, the size of the bank.
        k: how many are averaged, at most `bank_rows`.

    Raises:
        ValueError: k is not in 1..bank_rows.

    >>> from heat_core.features import Head
    >>> z = torch.tensor([[3.0, 0.0], [0.0, 3.0]])
    >>> train = Features(z, head=Head(torch.eye(2), torch.zeros(2)))
    >>> energy = GuidedLogits(dim=2, classes=2, bank_rows=2, k=1).fit(train)
    >>> energy(torch.tensor([[3.0, 0.0], [-3.0, 0.0]]))  # L(z)^2, and orthogonal to the bank
    tensor([-9.2939, -0.0000])
    """

    bank: Tensor
    k: Tensor

    def __init__(self, dim: int, classes: int, bank_rows: int, k: int) -> None:
        super().__init__(dim, classes)
        _check_k(k, bank_rows)
        self.register_buffer("bank", torch.empty(bank_rows, dim))  # L(z_i) u(z_i)
        self.register_buffer("k", torch.tensor(float(k)))
        self.count = k  # the same as a number

    def _load_from_state_dict(self, *args) -> None:
        super()._load_from_state_dict(*args)
        self.count = int(self.k)

    def fit(self, train: Features) -> Self:
        super().fit(train)
        self.bank = self.weight.new_empty(train.z.shape)
        for block, logits in self.logit_batches(train.z):
            directions = unit(train.z[block].to(self.weight))
            self.bank[block] = logits.logsumexp(-1, keepdim=True) * directions
        return self

    @property
    def rows_at_a_time(self) -> int:
        return min(super().rows_at_a_time, _batch_size(len(self.bank)))

    def forward(self, z: Tensor) -> Tensor:
        return -self.logits(z).logsumexp(-1) * self.guidance(unit(z))

    def guidance(self, directions: Tensor) -> Tensor:
        """Returns the mean of the k largest products with the bank, (N,), of directions (N, d)."""
        if torch.compiler.is_exporting():  # one graph for any number of rows
            return (directions @ self.bank.T).topk(self.count, dim=1).values.mean(-1)
        no_offset = self.bank.new_zeros(len(self.bank))
        means = [
            largest(_products(rows, self.bank, no_offset), self.count).mean(-1)
            for rows in directions.split(_batch_size(len(self.bank)))
        ]
        return torch.cat(means)


# -- arithmetic ------------------------------------------------------------------------------------


def _check_k(k: int, bank_rows: int) -> None:
    """Raises ValueError unless there is a k-th among the rows of a bank."""
    if not 1 <= k <= bank_rows:
        raise ValueError(f"k must lie in 1..{bank_rows}, the number of training rows; got {k}.")


def _batch_size(bank_rows: int) -> int:
    """Returns how many rows to multiply with a bank at a time.

    Their products take 64 MiB in float32, or up to 128 for 1,024 rows. A large bank wants more
    rows, up to 256 MiB, since each product reads all of it. torch holds as much again meanwhile.
    """
    if bank_rows > LARGE_BANK:
        return max(1, 2**26 // bank_rows)
    return max(1024, 2**24 // bank_rows)


def _products(z: Tensor, bank: Tensor, offset: Tensor) -> Tensor:
    """Returns z @ bank.T + offset, (N, M), of z (N, d), bank (M, d) and offset (M,).

    In float32 on a CPU as a 1 x 1 convolution, whose kernels use wider registers than torch's
    matrix product does on AMD's processors.
    """
    on_cpu = z.device.type == "cpu" and torch.backends.mkldnn.is_available()
    if not on_cpu or z.dtype != torch.float32 or not len(z):
        return torch.addmm(offset, z, bank.T)
    # (1, d, N, 1), channels last: nothing is moved
    pixels = z.contiguous()[None, :, None].permute(0, 3, 1, 2)
    products = nn.functional.conv2d(pixels, bank[:, :, None, None], offset)
    return products.permute(0, 2, 3, 1)[0, :, 0]


def kth_largest(values: Tensor, k: int) -> Tensor:
    """Returns the k-th largest of each row of values (N, M), (N,).

    >>> kth_largest(torch.tensor([[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]]), k=2)
    tensor([2., 5.])
    """
    return values.gather(1, kth_largest_column(values, k)[:, None]).squeeze(1)


def largest(values: Tensor, k: int) -> Tensor:
    """Returns the k largest of each row of values (N, M), (N, k), the largest first.

    >>> largest(torch.tensor([[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]]), k=2)
    tensor([[3., 2.],
            [6., 5.]])
    """
    return values.gather(1, largest_columns(values, k))


def kth_largest_column(values: Tensor, k: int) -> Tensor:
    """Returns the column of the k-th largest of each row of values (N, M), (N,)."""
    return largest_columns(values, k)[:, -1]


def largest_columns(values: Tensor, k: int, block: int = 64) -> Tensor:
    """Returns the columns of the k largest of each row of values (N, M), (N, k), best first.

    A row is split into blocks; the k largest values lie within the k blocks of largest maximum, so
    only those are sorted, and the columns after the last whole block.
    """
    rows, columns = values.shape
    blocks = columns // block
    if blocks <= 2 * k:
        return values.topk(k, dim=1).indices
    blocked = values[:, : blocks * block].view(rows, blocks, block)
    remainder = values[:, blocks * block :]
    best_blocks = blocked.amax(-1).topk(k, dim=1, sorted=False).indices
    row = torch.arange(rows, device=values.device)[:, None]
    candidates = torch.cat([blocked[row, best_blocks].flatten(1), remainder], 1)
    places = candidates.topk(k, dim=1).indices
    # the remainder counts as one more block, after the whole ones
    candidate_blocks = nn.functional.pad(best_blocks, (0, 1), value=blocks)
    return candidate_blocks.gather(1, places // block) * block + places % block
