"""KNN: fit to a bank of features and score queries by the distance to the 50th nearest."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray
from pytorch_ood.detector import KNN as PeerKNN
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from heat_core.detectors.closed_form import KNN
from heat_core.features import Features
from heat_core.run import fit

from . import samples, threads
from .timing import OURS, Options, Row, against_peers, take_turns

K = 50
Scores = NDArray[np.floating]


def measure(options: Options) -> list[Row]:
    """Returns a row for each peer. Raises AssertionError if a peer's distances differ from ours."""
    train, z = samples.clusters(options.rows, seed=1), samples.queries(options.queries, seed=2)
    contenders = {
        OURS: lambda: _ours(train, z),
        "faiss IndexFlatL2": lambda: _faiss_l2(train, z),
        "faiss IndexFlatIP": lambda: _faiss_ip(train, z),
        "scikit-learn": lambda: _sklearn(train, z),
        "pytorch-ood": lambda: _pytorch_ood(train, z),
    }
    with threads.limit(options.threads):
        ours = contenders[OURS]()
        for name, contender in contenders.items():
            np.testing.assert_allclose(contender(), ours, atol=1e-5, rtol=0, err_msg=name)
        seconds = take_turns(contenders, options.rounds)
    what = f"KNN k={K}: fit {options.rows:,} x 512, score {options.queries:,}"
    return against_peers(what, seconds, "no slower than the fastest")


def _ours(train: Features, z: Tensor) -> Scores:
    return fit(KNN(k=K), train).score(Features(z))


def _faiss_l2(train: Features, z: Tensor) -> Scores:
    index = faiss.IndexFlatL2(train.dim)
    index.add(train.z.numpy())
    squared, _ = index.search(z.numpy(), K)
    return np.sqrt(squared[:, -1])


def _faiss_ip(train: Features, z: Tensor) -> Scores:
    index = faiss.IndexFlatIP(train.dim)
    index.add(train.z.numpy())
    cosine, _ = index.search(z.numpy(), K)
    return np.sqrt(np.maximum(2 - 2 * cosine[:, -1], 0))


def _sklearn(train: Features, z: Tensor) -> Scores:
    search = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(train.z.numpy())
    return search.kneighbors(z.numpy())[0][:, -1]


def _pytorch_ood(train: Features, z: Tensor) -> Scores:
    assert train.y is not None
    return PeerKNN(None, k=K).fit_features(train.z, train.y).predict_features(z).numpy()
