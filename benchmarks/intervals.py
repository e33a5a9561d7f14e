"""Bootstrap intervals of FPR95 and AUROC: 10 detectors, 8 OOD sets, 10,000 scores a set."""

from __future__ import annotations

import time

import numpy as np

from heat_core.results.bootstrap import bootstrap
from heat_core.set_name import SetName

from . import threads
from .timing import Options, Row, within

DETECTORS, SETS, SCORES, RESAMPLES, MOST_SECONDS = 10, 8, 10_000, 1_000, 2.0


def measure(options: Options) -> list[Row]:
    """Returns the row of all intervals together."""
    random = np.random.default_rng(0)
    groups = ("near", "mid", "far")
    sets = [SetName(groups[i % len(groups)], f"set{i}") for i in range(SETS)]
    scores = {
        f"detector {i}": {
            "test": random.normal(size=SCORES),
            **{str(name): random.normal(1 + 0.1 * i, 1, SCORES) for name in sets},
        }
        for i in range(DETECTORS)
    }
    seconds = []
    with threads.limit(options.threads):
        for _ in range(options.rounds):
            start = time.perf_counter()
            draws = bootstrap(scores, sets, RESAMPLES)
            seconds.append(time.perf_counter() - start)
    assert draws.resampled.shape[:2] == (RESAMPLES, DETECTORS)
    what = f"intervals of {DETECTORS} detectors, {SETS} sets of {SCORES:,}, {RESAMPLES:,} resamples"
    return [within(what, seconds, MOST_SECONDS)]
