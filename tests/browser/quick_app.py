"""The app with short trainings, for journeys: they look at pages, and wait for what is trained.

It looks less often at work under way, too.

What trainings find is asserted elsewhere.

Run: python -m tests.browser.quick_app run app/main.py
"""

from __future__ import annotations

import time
from typing import Any

import streamlit as st
from streamlit.web.cli import main

from app.plane import training
from app.plane.training import Snapshot, SnapshotTaker
from heat_core import diagnostics
from heat_core.detectors import presets
from tests.samples import shortened

PLANE_STEPS = 200  # of a `modern` training in the plane
FEATURES_STEPS = 40  # of a `modern` training on a pack, but for HEAT, of which journeys read
SNAPSHOT_SECONDS = 0.1  # which a snapshot takes at least, so that a training can be paused
RARER = 2.5  # times as long between two looks at work under way, each of which draws all charts


def shorten_trainings() -> None:
    """Makes the presets, the grids and the diagnoses of this process quick."""
    plane: Any = presets.PRESETS["plane"]["modern"]
    for name in ("EBM", "HEAT"):
        plane[name] = shortened(plane[name], PLANE_STEPS, network_count=1)
    for domain in ("features", "pseudo"):
        all_presets: Any = presets.PRESETS[domain]
        modern, quick = all_presets["modern"], all_presets["quick"]
        modern.update(quick)
        for name in ("EBM", "HEAT-GMM"):
            modern[name] = shortened(quick[name], FEATURES_STEPS)
    diagnostics.STEPS, diagnostics.TUNING_STEPS = 20, 6
    training.COARSE_SIDE, training.FINE_SIDE, training.DRAW_EVERY = 100, 150, 1
    take = SnapshotTaker.take

    def take_slowly(taker: SnapshotTaker, *arguments: Any) -> Snapshot:
        time.sleep(SNAPSHOT_SECONDS)
        return take(taker, *arguments)

    SnapshotTaker.take = take_slowly


def poll_rarely() -> None:
    """Lets pages look less often at work under way."""
    fragment = st.fragment

    def rarer_fragment(*arguments: Any, run_every: float | None = None) -> Any:
        seconds = None if run_every is None else RARER * run_every
        return fragment(*arguments, run_every=seconds)

    st.fragment = rarer_fragment


if __name__ == "__main__":
    shorten_trainings()
    poll_rarely()
    main()
