"""A setting that is chosen at fit on ID images: the best by the criterion, and to be seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from heat_core.detectors.choosing import Choosing
from heat_core.detectors.detector import Shape
from heat_core.detectors.distances import NCI, NNGuide
from heat_core.detectors.gaussians import ClassMoG, RadialMahalanobis
from heat_core.detectors.rectified import ASH, SCALE, ReAct
from heat_core.detectors.subspaces import ViM
from heat_core.features import Features
from heat_core.model_selection import criterion
from heat_core.pack import NO_EXTRA, ExtraID
from heat_core.run import fit, load, save
from tests.samples import extra

DETECTORS = [ReAct(), SCALE(), ASH(), NNGuide(), NCI(), RadialMahalanobis(), ClassMoG(), ViM()]
every = pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.title)


def chosen(detector: Choosing, train: Features, more: ExtraID) -> float:
    run = fit(detector, train, extra=more)
    (value,) = run.chosen_settings.values()
    return value


@every
def test_the_value_is_the_one_of_largest_criterion(detector: Choosing, train: Features) -> None:
    more = extra()
    by_value = {
        value: criterion(replace(detector, **{detector.setting: value}), train, more)
        for value in detector.candidates(train)
    }
    best = chosen(detector, train, more)
    nearest = min(by_value, key=lambda value: abs(value - best))
    assert nearest == pytest.approx(best, rel=1e-6)
    assert by_value[nearest] == pytest.approx(max(by_value.values()), abs=1e-9)


@every
@pytest.mark.parametrize("missing", ["val", "families", "both"])
def test_without_held_out_images_or_families_it_falls_back(
    detector: Choosing, missing: str, train: Features, far: Features
) -> None:
    more = extra() if missing != "both" else NO_EXTRA
    more = replace(more, val=None) if missing == "val" else replace(more, pseudoval={})
    fallback = detector.fallback_on(Shape.of(train))
    assert chosen(detector, train, more) == pytest.approx(fallback)
    given = fit(replace(detector, **{detector.setting: fallback}), train)
    np.testing.assert_array_equal(fit(detector, train, extra=more).score(far), given.score(far))
    assert detector.chosen_settings(given.energy, given.shape)
    assert given.chosen_settings == {}


@every
def test_what_was_chosen_is_kept_with_the_run(
    detector: Choosing, train: Features, tmp_path: Path
) -> None:
    run = fit(detector, train, extra=extra())
    save(run, tmp_path / "run")
    again = load(tmp_path / "run")
    assert again.detector == detector
    assert again.chosen_settings == run.chosen_settings != {}


def test_families_of_two_kinds_do_not_judge(train: Features) -> None:
    more = extra()
    alone = {name: family for name, family in more.pseudoval.items() if name != "composed"}
    assert set(alone) < set(more.pseudoval)
    one, other = (
        chosen(ViM(), train, replace(more, pseudoval=families))
        for families in (more.pseudoval, alone)
    )
    assert one == other
    assert chosen(ViM(), train, replace(more, pseudoval={"composed": alone["halved"]})) == 6


def test_it_finds_what_tells_id_from_families() -> None:
    """Families are ID images of half the length, which a direction alone cannot tell."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(300) % 3
    z = 4 * torch.eye(6)[y] + 0.2 * torch.randn(300, 6, generator=generator)
    train, val = Features(z[:200], y[:200]), Features(z[200:])
    more = ExtraID(val, {}, {"halved": Features(0.5 * val.z)})
    assert chosen(RadialMahalanobis(), train, more) != 1.0
