"""What version 0.1 saved still loads, and scores what it scored then.

The pack, the runs and the scores in tests/fixtures/version-0.1 were written by heat_core 0.1.0, at
commit 69b6270; the README beside them holds the exact code. Values are compared and names are not,
so that names may change where files are translated.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from heat_core.__main__ import main
from heat_core.detectors.detector import Detector
from heat_core.features import Features, read_features, write_features
from heat_core.pack import Pack, pack_from_npz, read_pack, write_pack
from heat_core.run import from_json, load, save, to_json
from heat_core.training.objectives import Objective

SAVED = Path(__file__).parents[1] / "fixtures" / "version-0.1"
RUNS = sorted(path.name for path in (SAVED / "fitted").iterdir())
SCORES = json.loads((SAVED / "scores.json").read_text())

every_run = pytest.mark.parametrize("name", RUNS)


@pytest.fixture(scope="module")
def pack() -> Pack:
    return read_pack(SAVED / "pack")


@pytest.fixture(scope="module")
def given(pack: Pack) -> dict[str, Features]:
    """What was scored, by the names that `scores.json` has for it."""
    return {"test": pack.test, "points": read_features(SAVED / "points.safetensors")}


def saved(name: str) -> dict[str, Any]:
    return json.loads((SAVED / "fitted" / name / "run.json").read_text())


def same(a: np.ndarray, b: np.ndarray) -> None:
    """float32 sums of another order differ by less: float64 does, by 6e-7 of the largest score."""
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=2e-6 * np.abs(b).max())


def leaves(recipe: Any) -> Iterator[str]:
    """Gives every value in a recipe, without the fields' names and the classes'."""
    if isinstance(recipe, dict):
        for name, value in recipe.items():
            if name != "kind":
                yield from leaves(value)
    elif isinstance(recipe, list):
        for value in recipe:
            yield from leaves(value)
    else:
        yield repr(recipe)


def as_json(recipe: Any) -> Any:
    return json.loads(json.dumps(to_json(recipe)))


def test_every_run_has_its_scores() -> None:
    assert sorted([*SCORES["test"], *SCORES["points"]]) == RUNS
    assert len(RUNS) == 45


@every_run
def test_a_run_scores_what_it_scored(name: str, given: dict[str, Features]) -> None:
    run = load(SAVED / "fitted" / name)
    on = "test" if name in SCORES["test"] else "points"
    scores = run.score(given[on])
    if run.detector.title == "MSP":  # it was -p, and is log(1 - p): the same order
        scores = np.expm1(scores)
    same(scores, np.array(SCORES[on][name]))


def with_effect(recipe: Any) -> list[Any]:
    """Returns what had an effect in a recipe of version 0.1, and what says the same now.

    What was learned from a critic left aside all that was there for learning from noise. The EBM's
    temperature did nothing but set the noise's scale, and its energy was never checked. HEAT had
    one prior, the MoG, and its noise was of that.
    """
    kind = recipe["kind"]
    if kind not in ("HEAT", "EBM"):
        return [recipe]
    own = [recipe["normalize"], *([recipe["origin"]] if kind == "EBM" else ["mog", "around"])]
    if recipe["critic"] is not None:
        return [*own, recipe["critic"], *([None] if kind == "HEAT" else [])]
    learned = [recipe["network"], recipe["training"], recipe["members"]]
    if kind == "HEAT":
        return [*own, *learned, recipe["temperature"], recipe["spread"], recipe["checked"]]
    scale = recipe["temperature"] ** 0.5 if recipe["spread"] is None else recipe["spread"]
    return [*own, *learned, scale, False]


@every_run
def test_no_value_of_a_recipe_is_lost(name: str) -> None:
    run, card = load(SAVED / "fitted" / name), saved(name)
    assert sorted(leaves(as_json(run.detector))) == sorted(leaves(with_effect(card["recipe"])))
    assert from_json(Detector, as_json(run.detector)) == run.detector
    assert run.detector.objective is None or isinstance(run.detector.objective, Objective)
    assert (run.seed, run.shape.dim, run.shape.rows) == (
        card["seed"],
        card["shape"]["dim"],
        card["shape"]["rows"],
    )
    assert dict(run.shape.views) == card["shape"]["views"]


@every_run
def test_history_and_diagnosis_load(name: str) -> None:
    run, card = load(SAVED / "fitted" / name), saved(name)
    assert bool(run.history) == run.detector.trains
    np.testing.assert_array_equal(
        np.array([astuple(record) for record in run.history]),
        np.array([list(r.values()) for r in card["history"]]),
    )
    assert (run.diagnosis is None) == (card["diagnosis"] is None)
    if run.diagnosis is not None:
        told = card["diagnosis"]
        assert (run.diagnosis.light, run.diagnosis.reason) == (told["light"], told["reason"])
        table = np.array(told["switches"])
        assert sum(count for *_, count in run.diagnosis.transition_counts) == table.sum()
        assert all(table[i, j] == count for i, j, count in run.diagnosis.transition_counts)
        np.testing.assert_array_equal(run.diagnosis.drift, told["drift"])


@every_run
def test_a_run_written_again_is_read_back(
    name: str, given: dict[str, Features], tmp_path: Path
) -> None:
    run = load(SAVED / "fitted" / name)
    save(run, tmp_path / "run")
    again = load(tmp_path / "run")
    assert (again.detector, again.seed, again.shape) == (run.detector, run.seed, run.shape)
    assert repr((again.history, again.diagnosis)) == repr(
        (run.history, run.diagnosis)
    )  # nan is not nan
    on = given["test" if name in SCORES["test"] else "points"]
    assert np.array_equal(again.score(on), run.score(on))


def test_what_is_said_of_a_run_that_did_not_help_is_said_still() -> None:
    said = {
        name: bool(load(SAVED / "fitted" / name).warning)
        for name in RUNS
        if saved(name)["recipe"].get("checked")
    }
    assert said == {
        "HEAT-checked-alone": False,
        "HEAT-checked-members": False,
        "features-modern-HEAT": True,
        "features-quick-HEAT": True,
    }


# -- packs and features ----------------------------------------------------------------------------


def test_the_pack_holds_what_it_held(pack: Pack) -> None:
    assert (pack.title, pack.class_name(3), pack.title_of("far_noise.v1")) == (
        "Version 0.1",
        "cat",
        "Noise",
    )
    assert list(pack.ood) == [("near", "shifted"), ("mid", "two words"), ("far", "noise.v1")]
    assert (
        list(pack.extra.pseudo) == list(pack.extra.pseudoval) == ["blur", "jigsaw 2x2", "composed"]
    )
    assert pack.calibration is pack.extra.val
    assert list(pack.thumbnails) == ["far_noise.v1"]
    assert pack.thumbnails["far_noise.v1"] == (SAVED / "pack" / "far_noise.v1.webp").read_bytes()
    train = pack.train
    assert (len(train), train.dim, len(train.classes), train.source) == (72, 8, 4, "cifar10/train")
    assert train.head is not None
    assert {name: view.shape[1] for name, view in train.views.items()} == {
        "std": 8,
        "odin": 1,
        "early": 1,
        "map": 2,
    }
    assert set(train.moments) == {"z", "unit std", "unit layer2"}
    assert int(train.moments["z"].count.sum()) == 400
    assert pack.card["map"]["method"] == "pca"
    assert pack.card["classifier"]["early"] == "layer2"


def equal(a: Features, b: Features) -> None:
    """Every array is the same, and of the same precision."""
    optional = [
        (a.y, b.y),
        (a.index, b.index),
        *(
            (getattr(a.head, part, None), getattr(b.head, part, None))
            for part in ("weight", "bias")
        ),
    ]
    moments = [
        (getattr(a.moments[key], part), getattr(b.moments[key], part))
        for key in b.moments
        for part in ("count", "means", "covariance")
    ]
    views = [(a.views[name], view) for name, view in b.views.items()]
    assert (set(a.views), set(a.moments), a.source) == (set(b.views), set(b.moments), b.source)
    for one, other in [(a.z, b.z), *views, *moments, *optional]:
        assert (one is None) == (other is None)
        assert one is None or (one.dtype == other.dtype and torch.equal(one, other))


def test_a_pack_written_again_is_read_back(pack: Pack, tmp_path: Path) -> None:
    write_pack(pack, tmp_path / "pack")
    again = read_pack(tmp_path / "pack")
    assert [name for name, _ in again.sets()] == [name for name, _ in pack.sets()]
    for (_, a), (_, b) in zip(again.sets(), pack.sets(), strict=True):
        equal(a, b)
    assert again.thumbnails == pack.thumbnails
    changing = {"format", "version", "order"}
    assert {k: v for k, v in again.card.items() if k not in changing} == {
        k: v for k, v in pack.card.items() if k not in changing
    }


def test_a_features_file_written_again_is_read_back(pack: Pack, tmp_path: Path) -> None:
    write_features(pack.train, tmp_path / "train.safetensors")
    equal(
        read_features(tmp_path / "train.safetensors"),
        read_features(SAVED / "pack" / "train.safetensors"),
    )


def test_an_npz_of_arrays_is_the_same_pack(pack: Pack) -> None:
    few = pack_from_npz(SAVED / "arrays.npz")
    assert [name for name, _ in few.sets()] == [name for name, _ in pack.sets()]
    for (_, a), (_, b) in zip(few.sets(), pack.sets(), strict=True):
        head = b.take(torch.arange(12))
        equal(a, replace(head, views={"std": head.views["std"]}, index=None, source=""))


def test_an_npz_of_features_scores_as_its_rows_do(pack: Pack) -> None:
    few = read_features(SAVED / "features.npz")
    assert few.z.dtype == torch.float64
    for name in ("Composed-soft", "pseudo-modern-HEAT"):
        run = load(SAVED / "fitted" / name)
        same(run.score(few), run.score(pack.test)[:12])


# -- what commands print ---------------------------------------------------------------------------


def alike(now: Any, then: Any) -> None:
    """The same keys first and in order, the same words, and numbers as near as sums come."""
    assert type(now) is type(then)
    if isinstance(then, dict):
        assert list(now)[: len(then)] == list(then)
        for key in then:
            if key != "seconds":
                alike(now[key], then[key])
    elif isinstance(then, list):
        assert len(now) == len(then)
        for one, other in zip(now, then, strict=True):
            alike(one, other)
    elif isinstance(then, float):
        assert now == pytest.approx(then, rel=1e-5, abs=1e-6)
    else:
        assert now == then


@pytest.mark.parametrize(
    ("file", "command"),
    [
        (
            "benchmark.json",
            ["benchmark", str(SAVED / "pack"), "--detectors", "MSP,KNN,MoG", "--json"],
        ),
        ("toy.json", ["toy", "moons", "MoG", "--json"]),
    ],
    ids=["benchmark", "toy"],
)
def test_a_command_gives_the_json_that_it_gave(
    file: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    alike(json.loads(capsys.readouterr().out), json.loads((SAVED / file).read_text()))


def test_score_writes_the_parquet_that_it_wrote(tmp_path: Path) -> None:
    rows, out = SAVED / "pack" / "near_shifted.safetensors", tmp_path / "score.parquet"
    assert (
        main(["score", str(SAVED / "fitted" / "pseudo-modern-MoG"), str(rows), "--out", str(out)])
        == 0
    )
    now, then = pd.read_parquet(out), pd.read_parquet(SAVED / "score.parquet")
    pd.testing.assert_frame_equal(now, then, rtol=1e-5, atol=1e-5)


def test_a_run_of_a_version_that_no_release_wrote_says_what_to_do(tmp_path: Path) -> None:
    shutil.copytree(SAVED / "fitted" / "pseudo-modern-MoG", tmp_path / "run")
    card = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**card, "version": "4"}))
    with pytest.raises(ValueError, match=r"of version 4; this program reads .* fit it anew"):
        load(tmp_path / "run")
