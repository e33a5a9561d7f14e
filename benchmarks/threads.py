"""The same number of threads for everyone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def limit(count: int) -> Iterator[None]:
    """Sets the threads of torch, faiss and every BLAS and OpenMP that is loaded, for a block.

    Import the peers first.
    """
    import faiss
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(count)
    faiss.omp_set_num_threads(count)
    with threadpool_limits(count):
        yield
