"""A detector that nobody knows, of two terms of its own: they go by the names that it gives them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pytest
import torch
from torch import Tensor

from app.pack.insight import inspect_row
from app.pack.jobs import DetectorScores, score_pack
from app.pack.tables import verdict_rows
from heat_core.detectors import presets
from heat_core.detectors.closed_form import MoG
from heat_core.detectors.detector import Detector, Shape
from heat_core.energies import Energy, LogSumExp
from heat_core.explain import ScoreTerms, class_gaussians, score_terms
from heat_core.features import Features, Head
from heat_core.pack import Pack, pack_from_arrays
from heat_core.run import fit, from_json, load, save, to_json


class Residual(Energy):
    """How far z - mean lies from the first principal directions of the training features."""

    mean: Tensor
    basis: Tensor

    def __init__(self, dim: int, rank: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("basis", torch.zeros(dim, rank))

    def fit(self, train: Features) -> Self:
        mean = train.z.mean(0)
        _, _, directions = torch.linalg.svd(train.z - mean, full_matrices=False)
        self.store(mean=mean, basis=directions[: self.basis.shape[1]].T)
        return self

    def forward(self, z: Tensor) -> Tensor:
        centred = z - self.mean
        return (centred - centred @ self.basis @ self.basis.T).norm(dim=1)


@dataclass(frozen=True)
class ViM(Detector):
    """The residual, and the free energy of the logits, as in Wang et al. 2022, arXiv:2203.10807."""

    rank: int = 4
    title: ClassVar[str] = "ViM"
    summary: ClassVar[str] = "what no principal direction explains, and how small the logits are"

    def build(self, shape: Shape) -> Energy:
        return Residual(shape.dim, self.rank) + LogSumExp(shape.dim, shape.head)

    def term_names(self, shape: Shape) -> tuple[str, ...]:
        return "residual", "logits"


@pytest.fixture
def pack(arrays: dict[str, np.ndarray]) -> Pack:
    return pack_from_arrays(arrays)


def test_its_terms_are_named_and_add_up(train: Features, far: Features) -> None:
    run = fit(ViM(), train)
    assert ScoreTerms.of(run) == ScoreTerms(("residual", "logits"))
    values = score_terms(run, far)
    np.testing.assert_allclose(values.sum(1), run.score(far), rtol=1e-5, atol=1e-5)
    residual, logits = run.energy.terms()
    with torch.no_grad():
        np.testing.assert_allclose(values[:, 0], residual(far.z).numpy(), rtol=1e-5)
        np.testing.assert_allclose(values[:, 1], logits(far.z).numpy(), rtol=1e-5)


def test_it_is_saved_and_loaded_as_the_others_are(
    train: Features, far: Features, tmp_path: Path
) -> None:
    run = fit(ViM(rank=3), train)
    save(run, tmp_path / "run")
    again = load(tmp_path / "run")
    assert again.detector == run.detector == from_json(Detector, to_json(ViM(rank=3)))
    assert ScoreTerms.of(again) == ScoreTerms.of(run)
    np.testing.assert_array_equal(again.score(far), run.score(far))


def test_terms_without_a_name_are_refused(train: Features) -> None:
    @dataclass(frozen=True)
    class Nameless(ViM):
        def term_names(self, shape: Shape) -> tuple[str, ...]:
            return ("ViM",)

    with pytest.raises(ValueError, match="ViM must name its 2 terms, got ViM"):
        ScoreTerms.of(fit(Nameless(), train))
