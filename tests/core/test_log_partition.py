"""Log Z against integrals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from heat_core.detectors.presets import preset_detector
from heat_core.energies import Energy, GaussianMixture
from heat_core.features import Features
from heat_core.log_partition import by_annealing, by_importance, log_z_of_weights
from heat_core.plane.grid import Grid
from heat_core.plane.toys import toy
from heat_core.run import fit


class Narrow(Energy):
    """E(z) = ||z - 1||^2 / (2 s^2): log Z = d log(s sqrt(2 pi))."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, z: Tensor) -> Tensor:
        return 0.5 * ((z - 1) / self.scale).square().sum(-1)


@pytest.mark.parametrize("dim", [2, 16])
def test_annealing_finds_a_gaussians_log_z(dim: int) -> None:
    z = torch.randn(3000, dim, generator=torch.Generator().manual_seed(0))
    mixture = GaussianMixture(dim, 1).fit(Features(z))
    wanted = dim * math.log(0.5 * math.sqrt(2 * math.pi))
    estimate = by_annealing(Narrow(0.5), mixture, seed=1)
    assert estimate.value == pytest.approx(wanted, abs=4 * estimate.error + 0.05)
    assert estimate.error < 0.25
    if dim == 16:  # where importance sampling alone has lost its weight
        assert by_importance(Narrow(0.5), mixture).effective < 0.01 < estimate.effective


def test_log_z_is_the_integral_on_a_toy() -> None:
    data, grid = toy("crosses9").features(), Grid(toy("crosses9"))
    energy = fit(preset_detector("HEAT", "quick", "plane"), data).energy
    values = grid.evaluate(energy)
    integral = float(np.log(np.exp(values.min() - values).sum() * grid.cell_area) - values.min())
    assert grid.log_z(values) == pytest.approx(integral)
    mixture = GaussianMixture(2, 9).fit(data)
    for estimate in (by_importance(energy, mixture), by_annealing(energy, mixture, seed=2)):
        assert estimate.value == pytest.approx(integral, abs=4 * estimate.error + 0.02)


def test_even_weights_have_no_error() -> None:
    even = log_z_of_weights(torch.full((50,), 2.0))
    assert even.value == pytest.approx(2.0)
    assert even.error == pytest.approx(0.0, abs=1e-6)
    assert even.effective == pytest.approx(1.0)
    half = log_z_of_weights(torch.tensor([0.0, 0.0, -math.inf, -math.inf]))
    assert (half.value, half.effective) == (pytest.approx(math.log(0.5)), pytest.approx(0.5))
    widened = GaussianMixture(2, 1).fit(Features(torch.randn(200, 2))).widened(3.0)
    assert by_importance(widened, widened, draws=100).value == pytest.approx(0.0, abs=1e-4)
