"""Names of sets, and scores by set: what thresholds are chosen on, and which sets are OOD."""

from __future__ import annotations

import numpy as np
import pytest

from heat_core.features import Features
from heat_core.pack import ExtraID, Pack
from heat_core.scores import SetScores, score_pack
from heat_core.set_name import SetName
from tests.samples import clusters

TEST, VAL, NEAR, FAR = (np.full(3, value) for value in (0.0, 0.5, 1.0, 2.0))


@pytest.mark.parametrize(
    ("text", "group", "name"),
    [
        ("near_cifar100", "near", "cifar100"),
        ("mid_two words", "mid", "two words"),
        ("far_noise_v1.2", "far", "noise_v1.2"),
        ("pseudoval_jigsaw 2x2", "pseudoval", "jigsaw 2x2"),
    ],
)
def test_a_set_name_is_its_text_and_back(text: str, group: str, name: str) -> None:
    assert SetName.parse(text) == SetName(group, name) == (group, name)
    assert str(SetName(group, name)) == text


def test_a_text_without_an_underscore_is_a_group() -> None:
    assert SetName.parse("test") == ("test", "")


def test_thresholds_are_chosen_on_val_where_there_is_one() -> None:
    assert SetScores({"test": TEST, "val": VAL}).calibration_name == "val"
    assert SetScores({"test": TEST, "val": VAL}).calibration is VAL
    assert SetScores({"test": TEST, "near_a": NEAR}).calibration_name == "test"
    assert SetScores({"test": TEST, "near_a": NEAR}).calibration is TEST


def test_everything_but_test_and_val_is_ood() -> None:
    scores = SetScores({"test": TEST, "near_a": NEAR, "val": VAL, "far_b_c": FAR})
    assert scores.test is TEST
    assert scores.ood_names == ("near_a", "far_b_c")
    assert scores.ood() == {"near": {"a": NEAR}, "far": {"b_c": FAR}}
    assert scores.ood(["far_b_c"]) == {"far": {"b_c": FAR}}
    assert scores.ood([]) == {}
    with pytest.raises(KeyError, match="mid_x"):
        scores.ood(["mid_x"])


def test_scores_are_a_mapping() -> None:
    scores = SetScores({"test": TEST, "near_a": NEAR})
    assert list(scores) == ["test", "near_a"]
    assert len(scores) == 2
    assert scores["near_a"] is NEAR
    assert scores.get("far_b") is None
    assert repr(scores) == "SetScores(test: 3, near_a: 3)"


@pytest.mark.parametrize("scores", [{}, {"near_a": NEAR, "val": VAL}])
def test_scores_without_the_test_set_are_refused(scores: dict) -> None:
    with pytest.raises(ValueError, match=r"wanted scores of the set test, got (none|near_a, val)"):
        SetScores(scores)


@pytest.mark.parametrize("with_val", [True, False])
def test_a_pack_is_scored_set_by_set(
    with_val: bool, train: Features, test: Features, far: Features
) -> None:
    val = Features(clusters(9, 4)[0]) if with_val else None
    family = {"blur": Features(far.z)}
    extra = ExtraID(val, pseudo=family, pseudoval=family)
    known = Features(test.z)
    pack = Pack(
        Features(train.z, train.y), known, {("near", "a"): known, ("far", "b c"): known}, extra, {}
    )
    scores = score_pack(pack, lambda features: features.z.sum(1).double().numpy())
    assert list(scores) == ["test", "near_a", "far_b c", *(["val"] if with_val else [])]
    assert np.array_equal(scores["far_b c"], test.z.sum(1).double().numpy())
    assert len(scores.calibration) == (9 if with_val else 60)


def test_the_keys_of_a_pack_become_set_names(train: Features) -> None:
    plain = Features(train.z)
    pack = Pack(Features(train.z, train.y), plain, {("near", "a"): plain}, ExtraID(), {})
    assert [str(name) for name in pack.ood] == ["near_a"]
    assert pack.ood["near", "a"] is plain
