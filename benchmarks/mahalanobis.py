"""SSD: fit class means and one covariance, score by the smallest squared Mahalanobis distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pytorch_ood.detector import Mahalanobis as PeerMahalanobis
from sklearn.covariance import EmpiricalCovariance
from torch import Tensor

from heat_core.detectors.closed_form import SSD
from heat_core.features import Features
from heat_core.run import fit

from . import samples, threads
from .timing import OURS, Options, Row, against_peers, take_turns

Scores = NDArray[np.floating]


def measure(options: Options) -> list[Row]:
    """Returns a row for each peer. Raises AssertionError if a peer's distances differ from ours."""
    train, z = samples.clusters(options.rows, seed=1), samples.queries(options.queries, seed=2)
    contenders = {
        OURS: lambda: _ours(train, z),
        "pytorch-ood": lambda: _pytorch_ood(train, z),
        "scikit-learn": lambda: _sklearn(train, z),
    }
    with threads.limit(options.threads):
        ours = contenders[OURS]()
        for name, contender in contenders.items():
            np.testing.assert_allclose(contender(), ours, rtol=1e-3, err_msg=name)
        seconds = take_turns(contenders, options.rounds)
    what = f"SSD: fit {options.rows:,} x 512, score {options.queries:,}"
    return against_peers(what, seconds, "no slower than the fastest")


def _ours(train: Features, z: Tensor) -> Scores:
    return fit(SSD(), train).score(Features(z))


def _pytorch_ood(train: Features, z: Tensor) -> Scores:
    """Half the distance under the summed, not the mean, covariance."""
    assert train.y is not None
    halves = PeerMahalanobis(None).fit_features(train.z, train.y).predict_features(z)
    return 2 * len(train) * halves.numpy()


def _sklearn(train: Features, z: Tensor) -> Scores:
    assert train.y is not None
    rows, label, queries = train.z.numpy(), train.y.numpy(), z.numpy()
    means = np.stack([rows[label == c].mean(0) for c in range(samples.CLASSES)])
    covariance = EmpiricalCovariance(assume_centered=True).fit(rows - means[label])
    return np.min([covariance.mahalanobis(queries - mean) for mean in means], axis=0)
