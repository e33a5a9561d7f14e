"""What is learned from pseudo-OOD families, what does not help, and that no OOD set is seen."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from heat_core.detectors.closed_form import MoG
from heat_core.detectors.composed import Composed
from heat_core.detectors.heat import GMM, HEAT
from heat_core.detectors.learned_energy import FromNoise, FromPseudoOOD, Perceptron
from heat_core.detectors.presets import preset_detector
from heat_core.energies import DirectionAndNorm, Ensemble, score
from heat_core.features import Features
from heat_core.metrics import auroc
from heat_core.model_selection import best_detector, choose_weights, criterion
from heat_core.pack import ExtraID, Pack
from heat_core.run import fit
from heat_core.training.objectives import NoiseContrastive
from heat_core.training.trainer import TrainConfig

SMALL = FromPseudoOOD(
    Perceptron(16, 2), training=TrainConfig(steps=40, batch=32, lr=1e-2, jitter=0.5)
)
FAMILIES = ("blur", "noise", "warp", "zoom")


def _blob(rows: int, shift: float, seed: int) -> Features:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, 6, generator=generator) + torch.tensor([4.0, shift, 0, 0, 0, 0])
    return Features(z, torch.arange(rows) % 2, None, {"early": z[:, 1:2].clone()})


def _auxiliary() -> ExtraID:
    families = {name: _blob(40, 3.0 + i, 10 + i) for i, name in enumerate(FAMILIES)}
    return ExtraID(_blob(100, 0, 1), families, {name: _blob(40, 3.0, 20) for name in FAMILIES})


def _ramp(rows: int, seed: int) -> Features:
    """Features along a line: a row with columns of two others lies off it, and a MoG knows."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.randn(rows, 1, generator=generator)
    return Features(place * torch.arange(1.0, 7) + torch.randn(rows, 6, generator=generator))


@dataclass(frozen=True)
class _Backwards(NoiseContrastive):
    """Takes data for negatives, and negatives for data."""

    def loss(self, data_energy: Tensor, negative_energy: Tensor) -> Tensor:
        return super().loss(negative_energy, data_energy)


def test_digits_that_were_left_out_are_told_from_features_alone(no_diagnosis: None) -> None:
    """Against noise alone, an EBM says that these are more of ID than ID is: .33."""
    digits = load_digits()
    z, y = torch.from_numpy(digits.data / 16).float(), torch.from_numpy(digits.target)
    rows, labels = z[y < 8], y[y < 8]
    run = fit(preset_detector("EBM", "quick"), Features(rows[::2], labels[::2]))
    inside, outside = run.score(Features(rows[1::2])), run.score(Features(z[y >= 8]))
    assert auroc(inside, outside) > 0.8


def test_an_ensemble_is_the_mean_of_its_members() -> None:
    detector = HEAT(correction=replace(SMALL, network_count=3), prior=GMM)
    run = fit(detector, _blob(200, 0, 0), extra=_auxiliary())
    prior, correction = run.energy.addends()
    assert isinstance(correction, DirectionAndNorm)
    assert isinstance(correction.energy, Ensemble)
    z, members = _blob(50, 1, 7).z, []
    for member in correction.energy.members:
        one = copy.deepcopy(correction)
        one.energy = member  # type: ignore[assignment]
        members.append(score(one, z))
    assert np.allclose(score(correction, z), np.mean(members, 0), atol=1e-6)
    assert np.allclose(run.score(Features(z)), score(prior, z) + np.mean(members, 0), atol=1e-5)
    assert np.std(members, 0).mean() > 1e-3  # they are not one


def test_members_must_be_one_or_more() -> None:
    with pytest.raises(ValueError, match="network_count must be at least 1, got 0"):
        FromPseudoOOD(network_count=0)


def test_what_does_not_help_on_held_out_features_is_taken_back_and_said() -> None:
    train, judged = _ramp(300, 0), _ramp(100, 3)
    training = TrainConfig(steps=100, batch=64, lr=1e-2)
    unchecked, checked = (
        FromNoise(objective=_Backwards(), training=training, checked=checked)
        for checked in (False, True)
    )
    detector = HEAT(normalize=False, temperature=9.0, correction=checked, prior=GMM)
    order = np.argsort(fit(MoG(normalize=False), train).score(judged))
    run = fit(detector, train)
    kept = fit(replace(detector, correction=unchecked), train)
    assert "so this is the MoG" in run.warning
    assert np.array_equal(np.argsort(run.score(judged)), order)
    assert kept.warning == ""
    assert not np.array_equal(np.argsort(kept.score(judged)), order)


def test_what_helps_stays_and_needs_no_note() -> None:
    """Two crossing strokes, which no Gaussian sees: midpoints of ends are where nothing is."""
    generator = torch.Generator().manual_seed(0)
    end = (torch.randint(2, (600, 1), generator=generator) * 2 - 1).float()
    z = torch.cat(
        [
            3 + 0.1 * torch.randn(600, 1, generator=generator),
            end + 0.1 * torch.randn(600, 1, generator=generator),
        ],
        1,
    )
    training = TrainConfig(steps=300, batch=128, lr=1e-2)
    correction = FromNoise(training=training, checked=True)
    run = fit(HEAT(normalize=False, correction=correction), Features(z))
    assert run.warning == ""


def test_composed_hears_the_earlier_layer_alone() -> None:
    train, judged = _blob(200, 0, 0), _blob(50, 2, 5)
    run = fit(Composed(w_mog=0, w_energy=0, w_knn=0, w_early_layer=1), train)
    found, given = run.score(judged), judged.views["early"][:, 0].double().numpy()
    assert np.allclose(np.argsort(found), np.argsort(given))
    assert run.term_names == ("early_layer",)
    assert "early" in run.detector.input_views(run.shape)


class _Sealed(Mapping):
    """OOD sets that nobody may look at."""

    def __getitem__(self, key: object) -> Features:
        raise AssertionError("an OOD set was touched")

    def __iter__(self) -> Iterator[tuple[str, str]]:
        raise AssertionError("an OOD set was touched")

    def __len__(self) -> int:
        return 1


def test_fitting_and_selecting_look_at_no_ood_set() -> None:
    """The pack's OOD sets raise when they are touched, and it has no test set."""
    train = _blob(200, 0, 0)
    pack = Pack.__new__(Pack)
    for name, value in {
        "train": train,
        "ood": _Sealed(),
        "extra": _auxiliary(),
        "card": {},
        "thumbnails": {},
    }.items():
        object.__setattr__(pack, name, value)
    detector = HEAT(correction=SMALL)
    fit(detector, pack.train, extra=pack.extra)
    assert 0 < criterion(detector, pack.train, pack.extra) <= 1
    choose_weights(
        Composed(w_correction=1, w_mog=1, w_energy=0, w_knn=0, correction=SMALL),
        pack.train,
        pack.extra,
    )
    best_detector({"one": detector}, pack.train, pack.extra)
    with pytest.raises(AssertionError, match="touched"):
        list(pack.ood)


def test_selection_takes_no_pack_and_no_mapping_of_sets() -> None:
    import inspect

    from heat_core import model_selection

    wanted = {
        "Detector",
        "Mapping[str, Detector]",
        "Composed",
        "Features",
        "ExtraID",
        "int",
        "Sequence[float]",
    }
    for function in (
        model_selection.criterion,
        model_selection.choose_weights,
        model_selection.best_detector,
    ):
        given = {
            str(parameter.annotation)
            for parameter in inspect.signature(function).parameters.values()
        }
        assert given <= wanted, f"{function.__name__} takes {given - wanted}"
    assert "Pack" not in vars(model_selection)
