"""Exported scorers say what the library says, for every detector; odd rows are refused or equal."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from heat_core.__main__ import main
from heat_core.bundles import Bundle, bundle_of, save_bundle
from heat_core.detectors.closed_form import KNN, ODIN, EnergyLogits, MoG
from heat_core.detectors.composed import Composed
from heat_core.detectors.detector import Detector
from heat_core.detectors.heat import EBM, GMM, HEAT
from heat_core.detectors.learned_energy import Perceptron
from heat_core.detectors.logits import MaxLogit
from heat_core.detectors.weighted_sum import OfView, WeightedSumOf
from heat_core.energies import Energy
from heat_core.export import export_numpy
from heat_core.export.program import program_of
from heat_core.export.score import Scorer
from heat_core.features import Features
from heat_core.pack import NO_EXTRA, Pack
from heat_core.thresholds import Conformal, PerClassConformal
from tests.core.recipes import CRITIC, NOISE, RECIPES, WAVES, fitted
from tests.samples import clusters, with_views


@pytest.fixture(scope="module")
def pack(train: Features, far: Features) -> Pack:
    return Pack(train, with_views(*clusters(400, 30)), {("far", "b"): far}, NO_EXTRA, {})


def made(pack: Pack, detector, rule=None) -> Bundle:
    return bundle_of(fitted(detector, pack.train), pack, rule or Conformal(0.9))


def exported(bundle: Bundle, folder: Path) -> Scorer:
    export_numpy(bundle, folder)
    return Scorer(folder)


@pytest.fixture(scope="module")
def mog_scorer(pack: Pack, tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return exported(made(pack, MoG()), tmp_path_factory.mktemp("exported") / "mog")


def inputs(bundle: Bundle, features: Features) -> list[np.ndarray]:
    views = bundle.detector.input_views(bundle.shape)
    return [features.columns([view]).double().numpy() for view in views]


def in_float64(bundle: Bundle, features: Features) -> np.ndarray:
    rows = torch.from_numpy(np.concatenate(inputs(bundle, features), 1))
    with torch.inference_mode():
        return copy.deepcopy(bundle.energy).double()(rows).numpy()


CLOSED = [recipe for recipe in RECIPES if not (recipe.trains or isinstance(recipe, Composed))]
STRUCTURES: list[Detector] = [
    *{type(recipe): recipe for recipe in reversed(CLOSED)}.values(),
    EBM(learner=CRITIC),
    HEAT(normalize=False, correction=WAVES),
    HEAT(correction=CRITIC, prior=("knn", "odin")),
    HEAT(correction=replace(NOISE, network=Perceptron(8, 1, plain=True), network_count=2)),
    WeightedSumOf((HEAT(correction=NOISE, prior=GMM), OfView("std", MoG()), EnergyLogits())),
    WeightedSumOf((ODIN(), EBM(learner=CRITIC)), (0.5, 2.0), beta=2.0),
    Composed(w_correction=2.0, w_std_view=1.0, w_knn=0.0, correction=CRITIC),
    Composed(w_energy=0.0, k=5, beta=-math.inf),
]
"""One recipe of each class of detector, and each kind of network and of sum.

What only changes numbers, as a percentile does, gives no other program.
"""


@pytest.mark.parametrize("detector", STRUCTURES, ids=lambda detector: detector.title)
def test_scores_are_those_of_the_library_of_odd_rows_too(detector, pack, tmp_path):
    bundle = made(pack, detector)
    scorer = exported(bundle, tmp_path / "scorer")
    one = pack.test.take(torch.arange(1))
    for features in (pack.test, pack.ood["far", "b"], one, odd_rows(bundle)):
        scores = scorer.score(*inputs(bundle, features))
        wanted = in_float64(bundle, features)
        np.testing.assert_allclose(scores, wanted, rtol=1e-6, atol=1e-6)


def odd_rows(bundle: Bundle) -> Features:
    """Returns zeros, denormals, huge and negative rows."""
    width = bundle.shape.dim
    odd = np.outer([0.0, 5e-324, 1e-40, 1e12, -1.0], np.ones(width))
    views = {
        name: torch.from_numpy(odd[:, :1].repeat(columns, 1))
        for name, columns in bundle.shape.views.items()
    }
    return Features(torch.from_numpy(odd), views=views)


def test_decisions_are_those_of_the_bundle(pack, tmp_path):
    for rule in (Conformal(0.9), PerClassConformal(0.7)):
        bundle = made(pack, MoG(), rule)
        bundle = replace(bundle, energy=copy.deepcopy(bundle.energy).double())
        decisions = exported(bundle, tmp_path / rule.title).decide(pack.test.z.numpy())
        wanted = bundle.decide(pack.test.z.double()).table().drop(columns="id")
        assert list(decisions) == list(wanted)
        for name in wanted:
            np.testing.assert_allclose(decisions[name], wanted[name], rtol=1e-6)


def test_a_large_bank_is_looked_through_whole(tmp_path):
    random, rows = np.random.default_rng(0), 40_000
    train = Features(torch.from_numpy(random.normal(size=(rows, 4))), torch.arange(rows) % 2)
    few = train.take(torch.arange(100))
    bundle = made(Pack(train, few, {("far", "b"): few}, NO_EXTRA, {}), KNN(k=3))
    z = random.normal(size=(9, 4))
    u, bank = (array / np.linalg.norm(array, axis=1)[:, None] for array in (z, train.z.numpy()))
    nearest = np.sort(np.linalg.norm(u[:, None] - bank[None], axis=2), 1)[:, 2]
    np.testing.assert_allclose(exported(bundle, tmp_path / "s").score(z), nearest, rtol=1e-6)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.full((2, 12), np.nan), "z must be finite"),
        (np.full((2, 12), np.inf), "z must be finite"),
        (np.ones((2, 3)), r"z must have shape \(N, 12\), got \(2, 3\)"),
        (np.ones(12), r"z must have shape"),
        (np.array([["a"] * 12]), "z must hold numbers"),
        (np.ones((2, 12), bool), "z must hold numbers"),
        (np.ones((2, 12), complex), "z must hold numbers"),
    ],
)
def test_rows_that_are_none_are_refused(mog_scorer, rows, message):
    with pytest.raises(ValueError, match=message):
        mog_scorer.score(rows)


def test_numbers_of_any_kind_score_alike(mog_scorer):
    z = np.random.default_rng(0).integers(0, 9, (6, 12))
    wanted = mog_scorer.score(z.astype(np.float64))
    for kind in (np.float16, np.float32, np.int8, np.uint64):
        assert np.array_equal(mog_scorer.score(z.astype(kind)), wanted)
    assert mog_scorer.score(np.empty((0, 12))).shape == (0,)


def test_views_are_asked_for_by_name(pack, tmp_path):
    bundle = made(pack, WeightedSumOf((MaxLogit(), OfView("std", KNN(k=5)))))
    scorer = exported(bundle, tmp_path / "s")
    assert scorer.inputs == ["z", "z__std"]
    with pytest.raises(ValueError, match="wanted the arrays z, z__std, got 1"):
        scorer.score(pack.test.z.numpy())


def test_a_detector_that_does_not_read_z_decides_without_a_class(pack, tmp_path):
    bundle = made(pack, ODIN())
    scorer = exported(bundle, tmp_path / "s")
    assert scorer.inputs == ["z__odin"]
    decisions = scorer.decide(*inputs(bundle, pack.test))
    assert list(decisions) == ["score", "p_value", "threshold", "is_ood"]
    assert np.array_equal(decisions["is_ood"], bundle.decide(pack.test).is_ood)


def test_thresholds_by_class_need_z(pack, tmp_path):
    with pytest.raises(ValueError, match="ODIN does not read z, by which a scorer tells classes"):
        exported(made(pack, ODIN(), PerClassConformal(0.7)), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_an_operation_that_is_not_known_is_named():
    class Bessel(Energy):
        def forward(self, z):
            return torch.special.bessel_j0(z[:, 0])

    with pytest.raises(ValueError, match="special_bessel_j0 is not among those"):
        program_of(Bessel(), 1)


WITHOUT_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "heat_core", "scipy", "pandas"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import runpy
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_command_scores_parquet_where_there_is_no_torch(pack, tmp_path):
    bundle = made(pack, MaxLogit())
    save_bundle(bundle, tmp_path / "bundle")
    words = ["export", str(tmp_path / "bundle"), "--out", str(tmp_path / "scorer")]
    assert main(words) == 0
    assert main(words) == 2
    assert main([*words, "--overwrite"]) == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "program.json").write_text("[]")
    others = ["export", str(tmp_path / "bundle"), "--out", str(tmp_path / "other"), "--overwrite"]
    assert main(others) == 2
    assert [file.name for file in (tmp_path / "other").iterdir()] == ["program.json"]
    z = pack.test.z.numpy()
    pq.write_table(pa.table({"z": z.tolist()}), tmp_path / "rows.parquet")
    command = [sys.executable, "-I", "-c", WITHOUT_TORCH, str(tmp_path / "scorer" / "score.py")]
    done = subprocess.run(
        [*command, str(tmp_path / "rows.parquet"), str(tmp_path / "out.csv")], capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    import pandas as pd

    table = pd.read_csv(tmp_path / "out.csv")
    wanted = bundle.decide(pack.test).table()
    assert list(table.columns) == ["row", "score", "p_value", "threshold", "is_ood", "predicted"]
    np.testing.assert_allclose(table["score"], wanted["score"], rtol=1e-3)
    assert (table["is_ood"] == wanted["is_ood"]).mean() > 0.99
    card = json.loads((tmp_path / "scorer" / "card.json").read_text())
    assert (card["detector"], card["rule"]) == ("MaxLogit", "conformal")
