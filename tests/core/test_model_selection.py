"""Choosing on ID images alone: what a detector is judged by, and how terms are weighted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from heat_core.detectors.closed_form import KNN, MoG
from heat_core.detectors.composed import Composed
from heat_core.detectors.heat import EBM, HEAT
from heat_core.detectors.learned_energy import FromNoise, FromPseudoOOD
from heat_core.detectors.rectified import ReAct
from heat_core.energies import Energy
from heat_core.features import Features
from heat_core.images.pseudo import FAMILIES, KINDS, TWO_FAMILIES, kind_of
from heat_core.model_selection import (
    best_detector,
    choose_weights,
    criterion,
    setting_curve,
    setting_of,
)
from heat_core.pack import NO_EXTRA, ExtraID
from heat_core.training.trainer import OnRecord, ignore

FEW = ("blur", "noise", "warp", "zoom")


def _blob(rows: int, shift: float, seed: int, head: int = 0) -> Features:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, 6, generator=generator) + torch.tensor([4.0, shift, 0, 0, 0, 0])
    return Features(
        z, torch.arange(rows) % 2, None, {"odin": torch.randn(rows, 1, generator=generator)}
    )


def _auxiliary(names: Iterable[str] = FEW) -> ExtraID:
    families = {name: _blob(40, 5.0 + i, 10 + i) for i, name in enumerate(names)}
    return ExtraID(
        val=_blob(100, 0, 1), pseudo=families, pseudoval={n: _blob(40, 5.0, 20) for n in families}
    )


def test_a_part_that_only_guesses_gets_no_weight() -> None:
    """The view odin is random here, and the distance to neighbours tells families from ID."""
    found, worth = choose_weights(
        Composed(w_mog=0, w_energy=0, w_odin=1, w_knn=1, k=5), _blob(200, 0, 0), _auxiliary()
    )
    assert worth > 0.9
    assert found.w_knn > 3 * found.w_odin
    assert worth >= criterion(KNN(k=5, normalize=True), _blob(200, 0, 0), _auxiliary()) - 0.01


def test_the_weighed_recipe_has_the_criterion_it_was_given() -> None:
    found, worth = choose_weights(
        Composed(w_mog=1, w_energy=0, w_odin=1, w_knn=1, k=5), _blob(200, 0, 0), _auxiliary()
    )
    assert criterion(found, _blob(200, 0, 0), _auxiliary()) == pytest.approx(worth, abs=1e-6)


def test_the_best_recipe_is_the_one_of_largest_criterion() -> None:
    recipes = {
        "neighbours": Composed(w_mog=0, w_energy=0, k=5),
        "guesses": Composed(w_mog=0, w_energy=0, w_knn=0, w_odin=1),
    }
    name, found = best_detector(recipes, _blob(200, 0, 0), _auxiliary())
    assert name == "neighbours"
    assert found["neighbours"] > 0.9 > 0.7 > found["guesses"] > 0.3


def test_every_family_is_of_one_kind() -> None:
    assert sorted(name for members in KINDS.values() for name in members) == sorted(FAMILIES)
    assert {kind_of(name) for name in FAMILIES} == set(KINDS)
    assert kind_of("my own") == "my own"


@dataclass(frozen=True)
class Watched(KNN):
    """KNN that says it trains, and keeps what it was shown."""

    shown: ClassVar[list[set[str]]] = []

    @property
    def trains(self) -> bool:
        return True

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        assert set(extra.pseudo) == set(extra.pseudoval)
        self.shown.append(set(extra.pseudo))
        return super().fit(train, seed, on_record, extra)


def test_no_family_is_judged_by_a_fit_that_saw_one_of_its_kind() -> None:
    extra = _auxiliary((*FAMILIES, "my own", TWO_FAMILIES))
    Watched.shown.clear()
    criterion(Watched(k=5), _blob(200, 0, 0), extra)
    everything = {*FAMILIES, "my own"}
    hidden = [everything - shown for shown in Watched.shown]
    assert sorted(name for names in hidden for name in names) == sorted(everything)
    for shown, judged in zip(Watched.shown, hidden, strict=True):
        assert not {kind_of(name) for name in shown} & {kind_of(name) for name in judged}


def test_what_trains_is_judged_by_two_kinds_at_least() -> None:
    with pytest.raises(ValueError, match="families of 2 kinds, made of held-out ID images; got 1"):
        criterion(Watched(k=5), _blob(200, 0, 0), _auxiliary(("blur", "noise")))


def test_without_held_out_images_nothing_is_selected() -> None:
    with pytest.raises(ValueError, match="selecting needs the set val of held-out ID images"):
        criterion(KNN(k=5), _blob(200, 0, 0), ExtraID(pseudoval=_auxiliary().pseudoval))
    with pytest.raises(
        ValueError, match="selecting needs families of 1 kinds, made of held-out ID images; got 0"
    ):
        choose_weights(Composed(w_energy=0, k=5), _blob(200, 0, 0), ExtraID(val=_blob(100, 0, 1)))


def test_a_curve_holds_the_criterion_of_each_value() -> None:
    train, extra = _blob(200, 0, 0), _auxiliary()
    setting = setting_of(KNN(k=5), train)
    assert setting is not None
    assert setting.values == (1, 2, 5, 10, 20, 50, 100, 200)
    shares: list[float] = []
    few = replace(setting, values=(1, 50))
    curve = setting_curve(few, train, extra, on_value=shares.append)
    assert curve == {k: criterion(KNN(k=k), train, extra) for k in (1, 50)}
    assert shares == [0.5, 1.0]


def test_settings_are_those_that_the_criterion_can_judge() -> None:
    train = _blob(200, 0, 0)
    learner = FromPseudoOOD()
    heat, ebm = setting_of(HEAT(correction=learner), train), setting_of(EBM(learner=learner), train)
    assert heat is not None
    assert ebm is not None
    assert heat.present == ebm.present == learner.training.lr
    faster = replace(learner, training=replace(learner.training, lr=0.25))
    assert heat.with_value(0.25) == HEAT(correction=faster)
    assert ebm.with_value(0.25) == EBM(learner=faster)
    chosen = setting_of(ReAct(), train)
    assert chosen is not None
    assert (chosen.name, chosen.present) == ("percentile", None)
    assert chosen.with_value(90.0) == ReAct(percentile=90.0)
    assert setting_of(MoG(), train) is None
    assert setting_of(HEAT(correction=FromNoise()), train) is None  # families are nothing to it
