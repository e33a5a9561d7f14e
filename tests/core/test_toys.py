"""Every toy's density is exact, its samples agree with it, and detectors learn it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from heat_core.detectors.presets import preset_detector
from heat_core.energies import Energy
from heat_core.plane.grid import Grid
from heat_core.plane.toys import TOYS, Gaussians2D, Squares, Strokes, Toy, toy

SIDE = 180  # points of a grid: a few to a standard deviation of the thinnest stroke
every_toy = pytest.mark.parametrize("name", list(TOYS))
GRIDS = {name: Grid(known, SIDE) for name, known in TOYS.items()}


def masses(grid: Grid) -> np.ndarray:
    return np.exp(grid.true_log_prob) * grid.cell_area


@every_toy
def test_the_density_integrates_to_one(name: str) -> None:
    """The grid holds all but a millionth of the mass, and reports what it misses."""
    assert masses(GRIDS[name]).sum() == pytest.approx(1, abs=1e-6)


@every_toy
def test_modes_share_the_mass_and_have_samples(name: str) -> None:
    known = TOYS[name]
    z, y = known.sample(20_000, torch.Generator().manual_seed(0))
    assert z.shape == (20_000, 2)
    assert (z.dtype, y.dtype) == (torch.float32, torch.int64)
    densities = np.exp(known.mode_log_prob(GRIDS[name].points).double().numpy())
    share = densities.sum(0) * GRIDS[name].cell_area
    counted = torch.bincount(y, minlength=known.modes).numpy()
    assert len(counted) == known.modes == len(share)
    if known.modes > 1:
        assert stats.chisquare(counted, share / share.sum() * 20_000).pvalue > 1e-3


@every_toy
def test_samples_have_the_entropy_of_the_density(name: str) -> None:
    """The mean of -log p over samples against its integral, within four standard errors."""
    z, _ = TOYS[name].sample(20_000, torch.Generator().manual_seed(1))
    surprise = -TOYS[name].log_prob(z.double())
    p = masses(GRIDS[name])
    entropy = -(p * np.where(p > 0, GRIDS[name].true_log_prob, 0)).sum()
    error = max(float(surprise.std()) / math.sqrt(len(z)), 1e-6)
    assert float(surprise.mean()) == pytest.approx(entropy, abs=4 * error + 1e-3)


@every_toy
def test_samples_fill_the_cells_of_the_density(name: str) -> None:
    """A chi-square test on 30 x 30 cells of six grid points a side.

    Cells that expect under 5 are put together.
    """
    count, half = 20_000, TOYS[name].extent
    z, _ = TOYS[name].sample(count, torch.Generator().manual_seed(2))
    observed, _, _ = np.histogram2d(*z.numpy().T[::-1], bins=30, range=[(-half, half)] * 2)
    expected = masses(GRIDS[name]).astype(np.float64)
    expected = expected.reshape(30, 6, 30, 6).sum((1, 3)) * count
    is_full = expected >= 5
    observed = np.append(observed[is_full], count - observed[is_full].sum())
    expected = np.append(expected[is_full], count - expected[is_full].sum())
    can_be = expected > 1e-9
    assert observed[~can_be].sum() == 0
    expected = expected[can_be] / expected[can_be].sum() * count
    assert stats.chisquare(observed[can_be], expected).pvalue > 1e-3


@every_toy
def test_the_same_seed_draws_the_same_points(name: str) -> None:
    first = TOYS[name].features(50, seed=1)
    same_seed = TOYS[name].features(50, seed=1)
    other_seed = TOYS[name].features(50, seed=2)
    assert torch.equal(first.z, same_seed.z)
    assert not torch.equal(first.z, other_seed.z)
    assert len(TOYS[name].features()) == TOYS[name].size


@every_toy
def test_points_far_away_are_finite_or_minus_infinity(name: str) -> None:
    far = [0.0, 1e-30, 50.0, -1e3, 1e6, -1e10, 1e20, -3e38]
    z = torch.tensor([(x, y) for x in far for y in far])
    for values in (TOYS[name].log_prob(z), TOYS[name].log_prob(z.double())):
        assert not values.isnan().any()
        assert (values < 10).all()
    log_prob, mode = TOYS[name].log_prob_and_mode(z)
    assert torch.equal(log_prob, TOYS[name].log_prob(z))
    assert torch.equal(mode, TOYS[name].mode_of(z))
    assert ((mode >= 0) & (mode < TOYS[name].modes)).all()
    assert TOYS[name].log_prob(z[:0]).shape == (0,)


@every_toy
def test_a_point_far_in_the_tail_still_has_a_log_density(name: str) -> None:
    """Where float64 has no density left the logarithm goes on, except where it is really zero."""
    values = TOYS[name].log_prob(torch.tensor([[20.0, 1.0], [-30.0, 25.0]]))
    assert torch.isfinite(values).all() != isinstance(TOYS[name], Squares)


def test_the_toys_are_those_asked_for() -> None:
    assert {
        "cross",
        "crosses9",
        "moons",
        "circles",
        "spirals",
        "pinwheel",
        "checkerboard",
        "rings",
        "blobs",
    } <= set(TOYS)
    with pytest.raises(ValueError, match=r"one of cross, crosses9, .*; got 'star'"):
        toy("star")


def test_a_cross_is_two_arms_of_half_length_one() -> None:
    cross = toy("cross")
    assert isinstance(cross, Strokes)
    assert sorted(map(tuple, torch.cat([cross.starts, cross.ends]).tolist())) == [
        (-1, 0),
        (0, -1),
        (0, 1),
        (1, 0),
    ]
    assert cross.sigma == 0.09
    assert cross.modes == 1
    peak = 1 / (0.09 * math.sqrt(2 * math.pi)) / 4  # of the arm along x, far from the other
    assert float(cross.log_prob(torch.tensor([[0.6, 0.0]])).exp()) == pytest.approx(peak, rel=1e-4)
    on_the_tip = cross.log_prob(torch.tensor([[1.0, 0.0]])).exp()
    assert float(on_the_tip) == pytest.approx(peak / 2, rel=1e-4)


def test_crosses9_are_nine_crosses_three_apart() -> None:
    crosses, cross = toy("crosses9"), toy("cross")
    data = crosses.features()
    assert len(data) == 9000
    assert len(data.classes) == crosses.modes == 9
    assert data.y is not None
    centres = torch.stack([data.z[data.y == c].mean(0) for c in range(9)])
    expected = torch.tensor([(x, y) for y in (-3.0, 0.0, 3.0) for x in (-3.0, 0.0, 3.0)])
    assert torch.allclose(centres, expected, atol=0.1)
    z = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for centre in expected:
        assert torch.allclose(
            crosses.log_prob(z + centre), cross.log_prob(z) - math.log(9), atol=1e-5
        )


def test_a_stroke_is_a_blurred_segment() -> None:
    """Against the segment's integral done numerically."""
    known = toy("cross")
    assert isinstance(known, Strokes)
    z = torch.tensor([[0.3, 0.2], [1.1, -0.1], [0.0, 0.0]], dtype=torch.float64)
    t = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 10_000 - 1
    arms = torch.cat([torch.stack([t, 0 * t], 1), torch.stack([0 * t, t], 1)])
    square = (z[:, None] - arms).square().sum(-1)
    density = (torch.exp(-0.5 * square / 0.09**2) / (2 * math.pi * 0.09**2)).mean(1)
    assert torch.allclose(known.log_prob(z).exp(), density, rtol=1e-6)


def test_blobs_are_scipys_gaussians() -> None:
    known = toy("blobs")
    assert isinstance(known, Gaussians2D)
    z = torch.randn(100, 2, generator=torch.Generator().manual_seed(0)).double() * 2
    parts = zip(known.centres, known.cholesky @ known.cholesky.mT, strict=True)
    density = np.mean(
        [stats.multivariate_normal(c.numpy(), s.numpy()).pdf(z.numpy()) for c, s in parts], axis=0
    )
    np.testing.assert_allclose(known.log_prob(z).numpy(), np.log(density), rtol=1e-9)


# -- distances on the grid


@every_toy
def test_the_truth_is_at_no_distance_from_itself(name: str) -> None:
    energy = np.where(np.isfinite(GRIDS[name].true_log_prob), -GRIDS[name].true_log_prob, 800.0)
    distance = GRIDS[name].distance(energy + 12.3)  # a constant does not matter
    assert (distance.kl, distance.tv, distance.jsd) == pytest.approx((0, 0, 0), abs=1e-6)
    assert distance.modes_kept == distance.modes_total == TOYS[name].modes
    assert abs(distance.mass_beyond_grid) < 1e-6


def gaussian(title: str = "one") -> Toy:
    """A unit Gaussian at the origin."""
    return Gaussians2D(
        title=title,
        extent=9.0,
        modes=1,
        centres=torch.zeros(1, 2).double(),
        cholesky=torch.eye(2).double()[None],
    )


@pytest.mark.parametrize(("shift", "std"), [(0.5, 1.0), (0.0, 1.5), (1.0, 0.8)])
def test_distances_between_two_gaussians(shift: float, std: float) -> None:
    """KL(N(0, I) || N(m, s^2 I)) in two dimensions is 2 log s + (2 + m^2) / (2 s^2) - 1."""
    grid = Grid(gaussian())
    square = (grid.points[:, 0].numpy() - shift) ** 2 + grid.points[:, 1].numpy() ** 2
    distance = grid.distance(square / (2 * std**2))
    assert distance.kl == pytest.approx(
        2 * math.log(std) + (2 + shift**2) / (2 * std**2) - 1, abs=1e-5
    )
    assert 0 < distance.jsd < min(distance.kl, math.log(2))
    if std == 1:
        assert distance.tv == pytest.approx(2 * stats.norm.cdf(shift / 2) - 1, abs=1e-4)


def test_a_model_that_drops_modes_is_found_out() -> None:
    grid = GRIDS["crosses9"]
    energy = np.where(grid.mode < 7, -grid.true_log_prob, 50.0 - grid.true_log_prob)
    distance = grid.distance(energy)
    assert (distance.modes_kept, distance.modes_total) == (7, 9)
    assert distance.kl > 5
    assert distance.tv == pytest.approx(2 / 9, abs=1e-3)


def test_distance_refuses_what_is_not_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        GRIDS["cross"].distance(np.full((SIDE, SIDE), np.nan))


class Height(Energy):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z[:, 1]


def test_the_first_axis_is_y() -> None:
    heights = GRIDS["cross"].evaluate(Height())
    assert heights.shape == (SIDE, SIDE)
    np.testing.assert_allclose(heights[:, 7], GRIDS["cross"].axis, atol=1e-6)


# -- learning


@pytest.fixture(scope="module")
def learned() -> dict:
    """The distance from the truth of the quick presets on crosses9."""
    data, grid = toy("crosses9").features(seed=0), GRIDS["crosses9"]
    fitted = {
        name: preset_detector(name, "quick", "plane").fit(data, 0)
        for name in ("MoG", "EBM", "HEAT")
    }
    return {name: grid.distance(grid.evaluate(energy)) for name, energy in fitted.items()}


def test_the_mog_is_as_far_as_its_moments_say(learned: dict) -> None:
    """Crosses hardly overlap, so -E log q = log 9 + log(2 pi s^2) + 1.

    Along each axis, s^2 = 1/6 + sigma^2.
    """
    p = masses(GRIDS["crosses9"])
    entropy = -(p * GRIDS["crosses9"].true_log_prob).sum()
    kl = math.log(9) + math.log(2 * math.pi * (1 / 6 + 0.09**2)) + 1 - entropy
    assert learned["MoG"].kl == pytest.approx(kl, abs=0.01)
    assert learned["MoG"].modes_kept == 9


def test_heat_corrects_the_mog(learned: dict) -> None:
    assert learned["HEAT"].kl <= 0.12
    assert learned["HEAT"].modes_kept == 9
    assert learned["HEAT"].kl < learned["MoG"].kl
    assert learned["HEAT"].tv < learned["MoG"].tv


def test_the_ebm_beats_the_mog(learned: dict) -> None:
    assert learned["EBM"].kl < learned["MoG"].kl
    assert learned["EBM"].modes_kept == 9


def test_the_ebm_leaves_no_mass_where_flat_data_is_not() -> None:
    """Moons are wider than high.

    Noise on their bounding box would leave a tenth of the mass far above and below them.
    """
    grid = Grid(TOYS["moons"], 100)
    weight = np.exp(
        -grid.evaluate(preset_detector("EBM", "quick", "plane").fit(TOYS["moons"].features(), 0))
    )
    assert weight[np.abs(grid.axis) > 2.6].sum() < 0.02 * weight.sum()
