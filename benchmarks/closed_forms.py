"""Every closed form: fit to the pack that ships, its setting chosen, and score all of its sets."""

from __future__ import annotations

import time
from pathlib import Path

from heat_core.detectors.presets import supported_detectors
from heat_core.pack import read_pack
from heat_core.run import fit
from heat_core.scores import score_pack

from . import threads
from .timing import Options, Row, within

PACK = Path(__file__).parents[1] / "assets" / "packs" / "cifar10-resnet18"
MOST_SECONDS = 10.0  # for all of them


def measure(options: Options) -> list[Row]:
    """Returns a row for all closed forms together."""
    pack = read_pack(PACK)
    supported, _ = supported_detectors(pack)
    detectors = [detector for detector in supported.values() if not detector.trains]
    seconds: list[float] = []
    cpu_start = time.process_time()
    with threads.limit(options.threads):
        for _ in range(options.rounds):
            start = time.perf_counter()
            for detector in detectors:
                run = fit(detector, pack.train, extra=pack.extra)
                score_pack(pack, run.score)
            seconds.append(time.perf_counter() - start)
    cpu_seconds = (time.process_time() - cpu_start) / options.rounds
    what = (
        f"{len(detectors)} closed forms: fit, choose settings, score {PACK.name} "
        f"({cpu_seconds:.1f} s of CPU)"
    )
    return [within(what, seconds, MOST_SECONDS)]
