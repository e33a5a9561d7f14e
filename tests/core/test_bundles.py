"""Bundles: shipped, read back, checked anew; and every way of tampering with one is refused."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from heat_core import load as front_door_load
from heat_core import save as front_door_save
from heat_core.__main__ import main
from heat_core.bundles import Bundle, bundle_of, check_bundle, load_bundle, save_bundle
from heat_core.detectors.closed_form import KNN, MSP, MoG
from heat_core.detectors.detector import Detector
from heat_core.detectors.heat import HEAT
from heat_core.features import Features, Head
from heat_core.pack import Pack, pack_from_arrays
from heat_core.run import fit, load, save
from heat_core.set_name import SetName
from heat_core.thresholds import (
    ByHand,
    Conformal,
    Deployment,
    KeepShare,
    KeepWithConfidence,
    PerClassConformal,
    PrecisionAtLeast,
    RecallAtLeast,
    ThresholdRule,
    Youden,
    p_values,
)
from tests.core.recipes import NOISE, RECIPES, fitted, name_of
from tests.samples import clusters, extra, with_views

RULES: list[ThresholdRule] = [
    KeepShare(0.9),
    Conformal(0.9),
    KeepWithConfidence(0.8, 0.9),
    Youden(),
    RecallAtLeast(0.5, 0.9),
    PrecisionAtLeast(0.5, Deployment(0.5), 0.9),
    PerClassConformal(0.7),
    ByHand(0.5),
]


@pytest.fixture(scope="module")
def pack(train: Features, far: Features) -> Pack:
    """A pack without `val`, whose test set is large enough to be halved."""
    near = with_views(*clusters(120, 31))
    sets = {("near", "a"): Features(near.z + 1, None, None, near.views), ("far", "b"): far}
    return Pack(train, with_views(*clusters(400, 30)), sets, type(extra())(), {"title": "samples"})


def made(pack: Pack, detector: Detector | None = None, rule: ThresholdRule | None = None) -> Bundle:
    return bundle_of(
        fitted(detector or MoG(), pack.train), pack, rule or Conformal(0.9), map(str, pack.ood)
    )


@pytest.fixture
def folder(pack: Pack, tmp_path: Path) -> Path:
    save_bundle(made(pack), tmp_path / "bundle")
    return tmp_path / "bundle"


# -- what comes back -------------------------------------------------------------------------------


@pytest.mark.parametrize("detector", RECIPES, ids=name_of)
def test_a_bundle_of_every_detector_comes_back_whole(detector, pack, tmp_path):
    bundle = made(pack, detector)
    save_bundle(bundle, tmp_path / "bundle")
    back = load_bundle(tmp_path / "bundle")
    assert back.decision == bundle.decision
    assert (back.pack_sha256, back.pack_title, back.seed) == (bundle.pack_sha256, "samples", 0)
    one, other = bundle.decide(pack.test), back.decide(pack.test)
    for field in ("scores", "p_values", "thresholds", "is_ood", "predicted"):
        assert np.array_equal(getattr(one, field), getattr(other, field)), field


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_a_bundle_of_every_rule_comes_back_whole(rule, pack, tmp_path):
    bundle = made(pack, rule=rule)
    save_bundle(bundle, tmp_path / "bundle")
    back = load_bundle(tmp_path / "bundle")
    assert back.decision == bundle.decision
    assert back.decision.assessment.kept.n == 200
    assert back.decide(pack.test).table().equals(bundle.decide(pack.test).table())


def test_a_bundle_is_a_run_and_a_run_is_none(pack, folder, tmp_path):
    assert isinstance(front_door_load(folder), Bundle)
    assert np.array_equal(load(folder).score(pack.test), load_bundle(folder).score(pack.test))
    save(fit(MoG(), pack.train), tmp_path / "run")
    assert not isinstance(front_door_load(tmp_path / "run"), Bundle)
    with pytest.raises(ValueError, match="is no file, which a bundle needs"):
        load_bundle(tmp_path / "run")


def test_the_front_door_saves_a_bundle_as_one_and_a_run_as_a_run(pack, tmp_path):
    bundle = made(pack)
    front_door_save(bundle, tmp_path / "either")
    assert front_door_load(tmp_path / "either").decision == bundle.decision
    front_door_save(fit(MoG(), pack.train), tmp_path / "run")
    assert not isinstance(front_door_load(tmp_path / "run"), Bundle)
    with pytest.raises(FileExistsError):
        front_door_save(bundle, tmp_path / "either", overwrite=False)


def test_a_bundle_that_is_saved_again_keeps_its_date_and_version(pack, folder, tmp_path):
    card = json.loads((folder / "decision.json").read_text())
    bundle = load_bundle(folder)
    assert (bundle.created, bundle.code_version) == (card["created"], card["code_version"])
    earlier = replace(bundle, created="2026-01-02T03:04:05+00:00", code_version="0.0.9")
    save_bundle(earlier, tmp_path / "again")
    again = json.loads((tmp_path / "again" / "decision.json").read_text())
    assert again == {**card, "created": earlier.created, "code_version": "0.0.9"}


def test_what_is_decided_is_what_score_threshold_and_calibration_say(pack):
    bundle = made(pack)
    decisions = bundle.decide(pack.test)
    scores = bundle.score(pack.test)
    assert np.array_equal(decisions.scores, scores)
    assert np.array_equal(decisions.is_ood, scores > bundle.decision.threshold)
    assert np.array_equal(decisions.p_values, p_values(bundle.calibration.inside, scores))
    # a conformal rule flags exactly where the p-value is at most what it may flag
    assert np.array_equal(decisions.is_ood, decisions.p_values <= 0.1 + 1e-12)
    predicted = pack.train.head.logits(pack.test.z).argmax(1).numpy()
    assert np.array_equal(decisions.predicted, predicted)
    table = decisions.table(ids=[f"img{i}" for i in range(len(scores))])
    assert list(table) == ["id", "score", "p_value", "threshold", "is_ood", "predicted"]


def test_every_class_is_decided_by_its_own_threshold_and_calibration_rows(pack):
    bundle = made(pack, rule=PerClassConformal(0.7))
    decisions = bundle.decide(pack.test)
    for label, threshold in bundle.decision.by_class.items():
        rows = decisions.predicted == label
        assert np.allclose(decisions.thresholds[rows], threshold)
        chosen = bundle.calibration.inside[bundle.calibration.predicted == label]
        assert np.array_equal(decisions.p_values[rows], p_values(chosen, decisions.scores[rows]))


def test_an_array_of_any_kind_is_decided_alike(pack):
    bundle = made(pack, KNN(k=5))
    wanted = bundle.decide(pack.test).scores
    for rows in (pack.test.z, pack.test.z.numpy(), pack.test.z.tolist()):
        assert np.allclose(bundle.decide(rows).scores, wanted)
    assert bundle.decide(np.ones((2, pack.train.dim), np.int64)).scores.shape == (2,)


def test_a_row_far_away_has_the_threshold_of_the_others(pack):
    bundle = made(pack, MoG(normalize=False))
    far_away = pack.test.z * torch.logspace(0, 6, len(pack.test.z))[:, None]
    assert set(bundle.decide(far_away).thresholds) == {bundle.decision.threshold}


def test_rows_that_it_does_not_read_are_refused_in_one_line(pack):
    bundle = made(pack)
    with pytest.raises(ValueError, match="must have 12 columns as in training, got 3"):
        bundle.decide(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="z must be finite"):
        bundle.decide(np.full((2, 12), np.nan))


def test_classes_of_new_inputs_need_a_head(pack):
    headless = Pack(replace(pack.train, head=None), pack.test, pack.ood, pack.extra, pack.card)
    with pytest.raises(ValueError, match="needs the classifier's head"):
        made(headless, rule=PerClassConformal(0.7))
    assert made(headless).decide(pack.test).predicted is None


def test_half_of_the_test_set_is_chosen_on_and_all_of_val_where_there_is_one(pack):
    assert len(made(pack).calibration.inside) == 200
    with_val = Pack(pack.train, pack.test, pack.ood, extra(), pack.card)
    bundle = made(with_val)
    assert len(bundle.calibration.inside) == 40
    assert bundle.decision.assessment.kept.n == 400


# -- checking --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "detector", [MoG(), HEAT(temperature=4.0, correction=NOISE)], ids=["MoG", "HEAT"]
)
def test_a_bundle_holds_where_it_is_made_anew(detector, pack):
    bundle = bundle_of(fit(detector, pack.train), pack, Youden(), ["near_a"])
    assert check_bundle(bundle, pack) == []


def test_a_check_names_what_differs(pack):
    bundle = made(pack)
    other = Pack(pack.train, with_views(*clusters(400, 33)), pack.ood, pack.extra, pack.card)
    differences = check_bundle(bundle, other)
    assert len(differences) == 3
    assert "the pack is another one: samples" in differences[0]
    assert "scores of calibration rows differ by up to" in differences[1]
    assert "the threshold is" in differences[2]


def test_a_packs_fingerprint_is_of_every_array(pack, arrays):
    from heat_core.bundles.bundle import pack_fingerprint

    known = {pack_fingerprint(pack_from_arrays(arrays))}
    for name in arrays:
        changed = {key: array.copy() for key, array in arrays.items()}
        if changed[name].dtype.kind == "f":
            changed[name].flat[-1] += 1
        else:
            changed[name].flat[-1] = changed[name].flat[0]
        if not np.array_equal(changed[name], arrays[name]):
            known.add(pack_fingerprint(pack_from_arrays(changed)))
    assert len(known) >= len(arrays)


# -- tampering -------------------------------------------------------------------------------------


def change_card(folder: Path, **changes) -> None:
    card = json.loads((folder / "decision.json").read_text())
    (folder / "decision.json").write_text(json.dumps(card | changes))


@pytest.mark.parametrize("name", ["run.json", "energy.safetensors", "calibration.safetensors"])
@pytest.mark.parametrize("harm", ["changed", "cut", "gone", "link"])
def test_a_file_that_is_not_the_bundles_own_is_refused_by_name(folder, tmp_path, name, harm):
    file = folder / name
    content = file.read_bytes()
    if harm == "changed":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif harm == "cut":
        file.write_bytes(content[: len(content) // 2])
    else:
        shutil.move(file, tmp_path / "elsewhere")
    if harm == "link":
        file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        load_bundle(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b'{"format": "heat-run"}', b"[" * 9999]
)
def test_a_decision_that_is_none_is_refused(folder, content):
    (folder / "decision.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"decision\.json"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "2"}, "a bundle of version 2; this program reads version 1"),
        ({"threshold": 123.0}, r"does not say what its rule gives: the threshold is 123, and"),
        ({"n_calibration": 7}, r"n_calibration is 7, and 200 by the scores"),
        ({"sha256": {"../../etc/passwd": "0"}}, "must name the hashes of"),
        ({"sha256": None}, "must name the hashes of"),
        ({"recipe": {}}, r"decision\.json is damaged"),
        ({"threshold": "high"}, r"decision\.json is damaged"),
        ({"pack": None}, r"decision\.json is damaged"),
        ({"kept_on_test": {"count": 5, "rows": 2}}, r"decision\.json is damaged"),
    ],
)
def test_a_decision_that_was_changed_is_refused(folder, changes, message):
    change_card(folder, **changes)
    with pytest.raises(ValueError, match=message):
        load_bundle(folder)


def test_another_rule_than_the_one_that_chose_is_noticed(folder):
    card = json.loads((folder / "decision.json").read_text())
    card["recipe"]["rule"]["share"] = 0.5
    (folder / "decision.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match="does not say what its rule gives"):
        load_bundle(folder)


# -- the command line ------------------------------------------------------------------------------


@pytest.fixture
def files(pack: Pack, tmp_path: Path) -> Path:
    from heat_core.pack import write_pack

    write_pack(pack, tmp_path / "pack")
    save(fit(KNN(k=5), pack.train), tmp_path / "run")
    return tmp_path


def test_decide_then_check_then_score(files, capsys):
    bundle = files / "bundle"
    words = ["decide", str(files / "run"), str(files / "pack"), "--share", "0.9"]
    assert main([*words, "--out", str(bundle)]) == 0
    said = capsys.readouterr()
    assert "chosen on 200 ID scores" in said.err
    assert "of 200 other ID rows are kept, within chance" in said.err
    card = json.loads((bundle / "decision.json").read_text())
    wanted = {"format", "version", "detector", "preset", "recipe", "rule", "share", "threshold"}
    wanted |= {"interval", "n_calibration", "kept_on_test", "guarantee", "larger_is_out", "pack"}
    assert wanted | {"weights_sha256", "code_version", "created"} <= set(card)
    assert (card["rule"], card["share"], card["larger_is_out"]) == ("conformal", 0.9, True)
    assert set(card["pack"]) == {"title", "sha256"}
    assert main(["check", str(bundle), str(files / "pack")]) == 0
    assert "the same threshold" in capsys.readouterr().out
    assert main([*words]) == 0  # without --out it is printed
    assert json.loads(capsys.readouterr().out)["threshold"] == card["threshold"]


def test_a_check_of_another_pack_fails_and_says_why(files, pack, capsys):
    from heat_core.pack import write_pack

    assert main(["decide", str(files / "run"), str(files / "pack"), "--out", str(files / "b")]) == 0
    other = Pack(pack.train, with_views(*clusters(400, 34)), pack.ood, pack.extra, {"title": "new"})
    write_pack(other, files / "other")
    assert main(["check", str(files / "b"), str(files / "other")]) == 2
    assert "does not hold: the pack is another one" in capsys.readouterr().err


def test_a_pack_that_a_run_was_not_fitted_to_is_warned_about(files, pack, capsys):
    from heat_core.pack import write_pack

    words = ["decide", str(files / "run")]
    assert main([*words, str(files / "pack")]) == 0
    assert "Warning" not in capsys.readouterr().err
    train = replace(pack.train, z=pack.train.z + 1)
    write_pack(replace(pack, train=train, card={"title": "new"}), files / "other")
    assert main([*words, str(files / "other")]) == 0
    warning = "Warning: Run and pack: the run was fitted to other training features than those of"
    assert f"{warning} new; " in capsys.readouterr().err
    run_file = files / "run" / "run.json"
    card = json.loads(run_file.read_text())
    del card["train_sha256"]  # as an earlier program wrote it
    run_file.write_text(json.dumps(card))
    assert main([*words, str(files / "other")]) == 0
    assert "Warning" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rule", "magic"], "--rule must be one of keep, conformal"),
        (["--rule", "youden", "--share", "0.9"], "--rule youden has no --share"),
        (["--rule", "keep", "--confidence", "0.9"], "--rule keep has no --confidence"),
        (["--rule", "keep", "--miss-cost", "3"], "--rule keep has no --miss-cost"),
        (["--rule", "f1", "--miss-cost", "3"], "--rule f1 has no --miss-cost"),
        (["--rule", "flag", "--false-alarm-cost", "3"], "--rule flag has no --false-alarm-cost"),
        (["--rule", "precision", "--prevalence", ".5", "--miss-cost", "3"], "has no --miss-cost"),
        (["--rule", "recall", "--prevalence", ".5"], "--rule recall has no --prevalence"),
        (["--rule", "youden", "--ood", "near_x"], "the pack has no OOD set near_x; it has near_a"),
        (["--share", "1"], "the share must be below 1"),
        (["--share", "0.999"], "takes 999 calibration scores, got 200"),
    ],
)
def test_what_cannot_be_decided_is_refused_in_one_line(files, capsys, words, message):
    assert main(["decide", str(files / "run"), str(files / "pack"), *words]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not (files / "bundle").exists()


def test_a_rule_takes_the_settings_that_it_has(files, capsys):
    words = ["--rule", "precision", "--share", "0.5", "--confidence", "0.9", "--prevalence", "0.5"]
    assert main(["decide", str(files / "run"), str(files / "pack"), *words]) == 0
    rule = json.loads(capsys.readouterr().out)["recipe"]["rule"]
    assert (rule["share"], rule["confidence"], rule["deployment"]["prevalence"]) == (0.5, 0.9, 0.5)


def test_the_help_says_what_the_share_is_for_every_rule_that_has_one(capsys):
    from heat_core.thresholds import RULES

    with pytest.raises(SystemExit):
        main(["decide", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    text = said.partition("--share SHARE")[2].rpartition("--confidence CONFIDENCE")[0]
    for name, rule in RULES.items():
        default = next((f.default for f in fields(rule) if f.name == "share"), None)
        named = re.search(rf"[(, ]{name}\b[a-z_, ]*: (\.\d+)", text)
        assert (named and float(named[1])) == default, name


def test_the_rule_of_least_cost_takes_costs(files, capsys):
    words = ["--rule", "cost", "--miss-cost", "3", "--false-alarm-cost", "2"]
    assert main(["decide", str(files / "run"), str(files / "pack"), *words]) == 0
    deployment = json.loads(capsys.readouterr().out)["recipe"]["rule"]["deployment"]
    assert (deployment["miss_cost"], deployment["false_alarm_cost"]) == (3, 2)


def test_names_of_sets_come_back(pack):
    bundle = made(pack, MSP(), Youden())
    names = {
        SetName(group, name) for group, sets in bundle.calibration.outside.items() for name in sets
    }
    assert names == set(pack.ood)
    assert isinstance(bundle.head, Head)
    assert torch.equal(bundle.head.weight, pack.train.head.weight)
