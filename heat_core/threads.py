"""How many threads torch works with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Sets torch's threads for a block.

    One thread is best where work comes in many small steps: small networks train many times faster,
    and so does what waits for all threads thousands of times, such as an eigendecomposition, once
    other programs keep the cores busy.

    >>> with torch_threads(1):
    ...     torch.get_num_threads()
    1
    """
    previous = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(previous)
