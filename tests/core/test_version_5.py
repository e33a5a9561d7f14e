"""What version 5 of a run's file holds still loads, and scores what it scored then.

HEAT had one prior then, the MoG. The README beside the runs says how they were made.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from heat_core.detectors.heat import HEAT
from heat_core.features import read_features
from heat_core.pack import read_pack
from heat_core.run import load, save

SAVED = Path(__file__).parents[1] / "fixtures" / "version-5"
OLD = SAVED.with_name("version-0.1")
RUNS = sorted(path.name for path in (SAVED / "fitted").iterdir())
SCORES = json.loads((SAVED / "scores.json").read_text())


def test_every_run_has_its_scores() -> None:
    assert sorted(SCORES) == RUNS
    assert len(RUNS) == 8


@pytest.mark.parametrize("name", RUNS)
def test_a_run_scores_what_it_scored_also_when_it_is_written_again(
    name: str, tmp_path: Path
) -> None:
    run = load(SAVED / "fitted" / name)
    features = read_pack(OLD / "pack").test
    if name == "HEAT-plane":
        features = read_features(OLD / "points.safetensors")
    scores = run.score(features)
    largest = np.abs(SCORES[name]).max()
    np.testing.assert_allclose(scores, SCORES[name], rtol=1e-6, atol=2e-6 * largest)
    save(run, tmp_path / "run")
    again = load(tmp_path / "run")
    assert again.detector == run.detector
    assert np.array_equal(again.score(features), scores)
    if isinstance(run.detector, HEAT):
        assert run.detector.prior == ("mog",)
