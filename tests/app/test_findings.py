"""Headlines of the Detectors page and the Toy lab: what they say is so, ties and all."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from app.detectors.tables import average_finding, roc_finding
from app.plane.training import Snapshot, result_sentence
from app.toy_lab.side_by_side import furthest_text
from heat_core.results.table import tabulate
from heat_core.training.trainer import Record

INSIDE = np.linspace(0, 1, 100)


def _table(**missed: int):
    """Returns the table of detectors that miss so many of 100 OOD rows."""
    scores = {
        name: {"test": INSIDE, "far_a": np.where(np.arange(100) < count, -1.0, 2.0)}
        for name, count in missed.items()
    }
    return tabulate(scores, [("far", "a")])


def test_detectors_that_pass_as_little_share_the_headline():
    finding = average_finding(_table(MSP=0, KNN=0, MoG=10, HEAT=0), None).replace("\u00a0", " ")
    assert finding.startswith("MSP, KNN and HEAT (0.0 % each) let the least OOD pass")
    assert "next" not in finding
    finding = average_finding(_table(MSP=5, KNN=0, MoG=10), None).replace("\u00a0", " ")
    assert finding.startswith("KNN (0.0 %) lets the least OOD pass")
    assert finding.endswith("; MSP (5.0 %) and MoG (10.0 %) come next.")


def test_curves_with_as_large_an_area_share_the_headline():
    finding = roc_finding({"MSP": 0.99996, "KNN": 0.99999, "MoG": 0.5}, "far OOD")
    assert "MSP and KNN have the largest areas, 100.0\u00a0%" in finding


@pytest.mark.parametrize(
    ("kl", "text"),
    [
        ({"MoG": 0.3, "HEAT": 0.02}, ", but MoG is 15 times further from the truth than HEAT"),
        ({"MoG": 0.03, "HEAT": 0.02}, ""),
    ],
)
def test_a_model_that_is_much_worse_is_named_though_it_keeps_every_mode(kl, text):
    distances = {name: SimpleNamespace(kl=value) for name, value in kl.items()}
    assert furthest_text(distances) == text


def _snapshot(step: int, kl: float, val_loss: float) -> Snapshot:
    record = Record(step, 30, 0.0, val_loss, 0.0, 0.0, 0.0, 0.0, 0.0)
    terms = {"total": np.full((2, 2), step, np.float32)}
    return Snapshot(terms, SimpleNamespace(kl=kl), SimpleNamespace(kl=1.0), record)


def test_a_result_that_is_not_the_last_snapshot_says_which_it_is_and_why():
    snapshots = [_snapshot(10, 0.1, 0.5), _snapshot(20, 0.03, 0.4), _snapshot(30, 0.086, 0.45)]
    result = replace(snapshots[1], record=None)
    assert result_sentence(snapshots, result) == (
        "The result is the model of step 20: its validation loss is the lowest. "
        "At the last step KL was 0.086 nats."
    )
    assert result_sentence(snapshots, replace(snapshots[2], record=None)) == ""
    other = replace(result, terms={"total": np.zeros((2, 2), np.float32)})
    assert result_sentence(snapshots, other).startswith("The result is none of the snapshots.")
