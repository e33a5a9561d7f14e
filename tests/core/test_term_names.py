"""A detector of two terms of its own: they go by the names that it gives them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from heat_core.detectors.detector import Detector, Shape
from heat_core.explain import ScoreTerms, term_values
from heat_core.features import Features
from heat_core.run import fit, from_json, load, save, to_json
from tests.samples import ResidualAndLogits


def test_its_terms_are_named_and_add_up(train: Features, far: Features) -> None:
    run = fit(ResidualAndLogits(), train)
    assert ScoreTerms.of(run) == ScoreTerms(("residual", "logits"))
    values = term_values(run, far)
    np.testing.assert_allclose(values.sum(1), run.score(far), rtol=1e-5, atol=1e-5)
    residual, logits = run.energy.addends()
    with torch.no_grad():
        np.testing.assert_allclose(values[:, 0], residual(far.z).numpy(), rtol=1e-5)
        np.testing.assert_allclose(values[:, 1], logits(far.z).numpy(), rtol=1e-5)


def test_it_is_saved_and_loaded_as_the_others_are(
    train: Features, far: Features, tmp_path: Path
) -> None:
    run = fit(ResidualAndLogits(rank=3), train)
    save(run, tmp_path / "run")
    again = load(tmp_path / "run")
    assert again.detector == run.detector == from_json(Detector, to_json(ResidualAndLogits(rank=3)))
    assert ScoreTerms.of(again) == ScoreTerms.of(run)
    np.testing.assert_array_equal(again.score(far), run.score(far))


def test_terms_without_a_name_are_refused(train: Features) -> None:
    @dataclass(frozen=True)
    class Nameless(ResidualAndLogits):
        def term_names(self, shape: Shape) -> tuple[str, ...]:
            return ("residual",)

    with pytest.raises(ValueError, match="Residual and logits must name its 2 terms, got residual"):
        ScoreTerms.of(fit(Nameless(), train))
