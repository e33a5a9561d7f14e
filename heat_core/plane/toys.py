"""Two-dimensional densities whose logarithm is known exactly: the truth to hold a model against.

A curve is a chain of segments; a segment convolved with a Gaussian has a closed form, so a blurred
curve is a mixture of them, and both `sample` and `log_prob` use that same mixture. Every toy has as
many modes as classes.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from heat_core.arguments import check_seed
from heat_core.features import Features


@dataclass(frozen=True, eq=False, kw_only=True)
class Toy(abc.ABC):
    """A density in the square [-extent, extent]^2 (and hardly beyond).

    Args:
        title: for people.
        extent: half the side of the square that is drawn and integrated over.
        modes: how many modes it has, each a class of its own.
        size: training points drawn by default.

    Attributes:
        has_density: whether the density is known; `own_points` are those where it is not.
    """

    has_density: ClassVar[bool] = True

    title: str
    extent: float
    modes: int
    size: int = 4000

    @abc.abstractmethod
    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Returns points (count, 2) float32 and their modes (count,) int64."""

    @abc.abstractmethod
    def mode_log_prob(self, z: Tensor) -> Tensor:
        """Returns log(share x density) of each mode at z (N, 2), (N, modes); -inf where it is 0."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Returns the exact log density at z (N, 2), (N,); -inf where the density is zero."""
        return self.mode_log_prob(z).logsumexp(-1)

    def mode_of(self, z: Tensor) -> Tensor:
        """Returns the likeliest mode of each point of z (N, 2), (N,).

        Where the density is zero, it is the nearest mode.
        """
        return self.mode_log_prob(z).argmax(-1)

    def log_prob_and_mode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Returns `log_prob` and `mode_of` of z (N, 2), (N,) each, in one pass."""
        by_mode = self.mode_log_prob(z)
        return by_mode.logsumexp(-1), by_mode.argmax(-1)

    def features(self, count: int | None = None, seed: int = 0) -> Features:
        """Returns a training set with its modes as labels: z (count, 2), y (count,).

        Args:
            count: of points; by default `size`.
            seed: of the draw.
        """
        z, y = self.sample(count or self.size, torch.Generator().manual_seed(check_seed(seed)))
        return Features(z, y)


@dataclass(frozen=True, eq=False, kw_only=True)
class Strokes(Toy):
    """Segments convolved with a Gaussian.

    For a segment from a to b of length L, with u and v the coordinates of z - a along and across
    it, p(z) = N(v; 0, sigma^2) (Phi(u / sigma) - Phi((u - L) / sigma)) / L.

    Args:
        starts, ends: (S, 2) of the segments.
        mode: (S,) the mode of each segment.
        sigma: standard deviation of the Gaussian.

    >>> cross = toy("cross")
    >>> density = cross.log_prob(torch.tensor([[0.6, 0.0], [1.0, 0.0]])).exp()
    >>> [round(value, 2) for value in density.tolist()]
    [1.11, 0.55]
    """

    starts: Tensor
    ends: Tensor
    mode: Tensor
    sigma: float

    def _lengths(self) -> Tensor:
        return (self.ends - self.starts).norm(dim=1)

    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Returns points (count, 2) float32 and their modes (count,) int64."""
        segment = torch.multinomial(self._lengths(), count, replacement=True, generator=generator)
        along = torch.rand(count, 1, generator=generator, dtype=torch.float64)
        noise = torch.randn(count, 2, generator=generator, dtype=torch.float64)
        z = self.starts[segment] * (1 - along) + self.ends[segment] * along + self.sigma * noise
        return z.float(), self.mode[segment]

    def mode_log_prob(self, z: Tensor) -> Tensor:
        """Returns log(share x density) of each mode at z (N, 2), (N, modes)."""
        return torch.cat([self._block_log_prob(block) for block in z.double().split(4096)])

    def _block_log_prob(self, z: Tensor) -> Tensor:
        lengths = self._lengths()
        directions = (self.ends - self.starts) / lengths[:, None]
        normals = torch.stack([-directions[:, 1], directions[:, 0]], 1)
        along = z @ directions.T - (self.starts * directions).sum(1)
        across = z @ normals.T - (self.starts * normals).sum(1)

        log_along = _log_normal_between(
            along / self.sigma - lengths / self.sigma, along / self.sigma
        )
        log_normalizer = math.log(self.sigma * math.sqrt(2 * math.pi))
        log_across = -0.5 * (across / self.sigma).square() - log_normalizer
        log_segments = log_along + log_across - lengths.sum().log()
        by_mode = [log_segments[:, self.mode == mode].logsumexp(1) for mode in range(self.modes)]
        return torch.stack(by_mode, 1)


def _log_normal_between(low: Tensor, high: Tensor) -> Tensor:
    """Returns log(Phi(high) - Phi(low)) for low < high, of any shape, also far out in a tail."""
    # Phi(high) - Phi(low) = Phi(-low) - Phi(-high): stay in the tail that float64 resolves.
    is_upper_tail = low > 0
    lower = torch.where(is_upper_tail, -high, low)
    upper = torch.where(is_upper_tail, -low, high)
    log_lower = torch.special.log_ndtr(lower)
    log_upper = torch.special.log_ndtr(upper)
    return log_upper + torch.log(-torch.expm1(log_lower - log_upper))


@dataclass(frozen=True, eq=False, kw_only=True)
class Squares(Toy):
    """Uniform squares of equal shares.

    Args:
        centres: (modes, 2).
        half_side: of each square.

    >>> board = toy("checkerboard")
    >>> density = board.log_prob(torch.tensor([[-2.25, -2.25], [-0.75, -2.25]])).exp()
    >>> [round(value, 4) for value in density.tolist()]
    [0.0556, 0.0]
    """

    centres: Tensor
    half_side: float

    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Returns points (count, 2) float32 and their modes (count,) int64."""
        mode = torch.randint(self.modes, (count,), generator=generator)
        offset = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 2 - 1
        return (self.centres[mode] + self.half_side * offset).float(), mode

    def mode_log_prob(self, z: Tensor) -> Tensor:
        """Returns log(share x density) of each mode at z (N, 2), (N, modes); -inf outside of it."""
        is_inside = self._distances(z) <= self.half_side
        log_density = -math.log(self.modes * (2 * self.half_side) ** 2)
        return torch.where(is_inside, log_density, -torch.inf)

    def mode_of(self, z: Tensor) -> Tensor:
        """Returns the mode of the nearest square, (N,)."""
        return self._distances(z).argmin(1)

    def log_prob_and_mode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Returns `log_prob` and `mode_of` of z (N, 2), (N,) each."""
        return self.log_prob(z), self.mode_of(z)

    def _distances(self, z: Tensor) -> Tensor:
        """Returns Chebyshev distances to the centres, (N, modes): squares are their spheres."""
        return (z.double()[:, None] - self.centres).abs().amax(-1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Gaussians2D(Toy):
    """Gaussians of equal shares, turned about the origin by an angle that grows with the radius.

    A rotation that depends only on the radius keeps areas, so log p(z) = log p0(turned back z) with
    no Jacobian.

    Args:
        centres: (modes, 2) before turning.
        cholesky: (modes, 2, 2) lower Cholesky factors of the covariances.
        twist: radians a unit of radius.

    >>> blobs = toy("blobs")
    >>> blobs.mode_of(blobs.centres).tolist()
    [0, 1, 2, 3]
    """

    centres: Tensor
    cholesky: Tensor
    twist: float = 0.0

    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Returns points (count, 2) float32 and their modes (count,) int64."""
        mode = torch.randint(self.modes, (count,), generator=generator)
        noise = torch.randn(count, 2, 1, generator=generator, dtype=torch.float64)
        z = self.centres[mode] + (self.cholesky[mode] @ noise)[..., 0]
        return _rotate(z, self.twist * z.norm(dim=1)).float(), mode

    def mode_log_prob(self, z: Tensor) -> Tensor:
        """Returns log(share x density) of each mode at z (N, 2), (N, modes)."""
        z = z.double()
        untwisted = _rotate(z, -self.twist * z.norm(dim=1))
        log_scale = math.log(2 * math.pi * self.modes)
        by_mode = []
        for centre, cholesky in zip(self.centres, self.cholesky, strict=True):
            offset = (untwisted - centre).T
            whitened = torch.linalg.solve_triangular(cholesky, offset, upper=False)
            log_volume = cholesky.diagonal().log().sum()
            by_mode.append(-0.5 * whitened.square().sum(0) - log_volume - log_scale)
        return torch.stack(by_mode, 1)


def _rotate(z: Tensor, angle: Tensor) -> Tensor:
    """Returns points (N, 2) turned about the origin by angles (N,)."""
    x, y = z.unbind(1)
    return torch.stack([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()], 1)


# -- curves: chains of segments, each (starts, ends) of (S, 2)

Chain = tuple[Tensor, Tensor]


def _chain(points: Tensor) -> Chain:
    """Returns the segments between neighbours of points (S + 1, 2)."""
    return points[:-1], points[1:]


def _arc(
    radius: float, centre: tuple[float, float], start: float, stop: float, pieces: int = 64
) -> Chain:
    """Returns a part of a circle, from one angle to another."""
    angle = torch.linspace(start, stop, pieces + 1, dtype=torch.float64)
    directions = torch.stack([angle.cos(), angle.sin()], 1)
    return _chain(radius * directions + torch.tensor(centre, dtype=torch.float64))


def _circle(radius: float) -> Chain:
    return _arc(radius, (0, 0), 0, 2 * math.pi)


def _spiral(arm: int, arms: int, pieces: int = 96) -> Chain:
    """Returns one of several arms of a spiral; its segments are of about equal length."""
    angle = torch.linspace(0.25, 1.0, pieces + 1, dtype=torch.float64).sqrt() * 3 * math.pi
    turned = angle + 2 * math.pi * arm / arms
    return _chain((angle * 0.3)[:, None] * torch.stack([turned.cos(), turned.sin()], 1))


def _cross(x: float, y: float) -> list[Chain]:
    """Returns the two arms of a cross about (x, y)."""
    arms = torch.tensor(
        [
            [[x - 1, y], [x + 1, y]],
            [[x, y - 1], [x, y + 1]],
        ],
        dtype=torch.float64,
    )
    return [_chain(arm) for arm in arms]


def _strokes(
    title: str, curves: list[list[Chain]], sigma: float, extent: float, size: int = 4000
) -> Strokes:
    """Returns the toy whose mode i is made of the chains of curves[i]."""
    starts, ends, modes = [], [], []
    for mode, chains in enumerate(curves):
        for chain_starts, chain_ends in chains:
            starts.append(chain_starts)
            ends.append(chain_ends)
            modes.append(torch.full((len(chain_starts),), mode))
    return Strokes(
        title=title,
        extent=extent,
        modes=len(curves),
        size=size,
        starts=torch.cat(starts),
        ends=torch.cat(ends),
        mode=torch.cat(modes),
        sigma=sigma,
    )


# -- the toys


def _cross_toy() -> Strokes:
    return _strokes("Cross", [_cross(0, 0)], sigma=0.09, extent=3.0)


def _crosses9() -> Strokes:
    centres = [(3.0 * column, 3.0 * row) for row in (-1, 0, 1) for column in (-1, 0, 1)]
    crosses = [_cross(x, y) for x, y in centres]
    return _strokes("3 x 3 crosses", crosses, sigma=0.09, extent=5.5, size=9000)


def _moons() -> Strokes:
    upper = _arc(1.5, (-0.75, -0.35), 0, math.pi)
    lower = _arc(1.5, (0.75, 0.35), math.pi, 2 * math.pi)
    return _strokes("Moons", [[upper], [lower]], sigma=0.12, extent=4.0)


def _circles() -> Strokes:
    return _strokes("Circles", [[_circle(1.0)], [_circle(2.0)]], sigma=0.1, extent=4.0)


def _spirals() -> Strokes:
    return _strokes("Spirals", [[_spiral(0, 2)], [_spiral(1, 2)]], sigma=0.12, extent=5.0)


def _rings() -> Strokes:
    rings = [[_circle(radius)] for radius in (0.8, 1.6, 2.4, 3.2)]
    return _strokes("Rings", rings, sigma=0.08, extent=5.0)


def _pinwheel(blades: int = 5) -> Gaussians2D:
    angle = 2 * math.pi * torch.arange(blades, dtype=torch.float64) / blades
    spokes = torch.stack([angle.cos(), angle.sin()], 1)
    across = torch.stack([-angle.sin(), angle.cos()], 1)
    axes = torch.stack([spokes, across], 2)
    variances = torch.diag(torch.tensor([0.6**2, 0.12**2], dtype=torch.float64))
    return Gaussians2D(
        title="Pinwheel",
        extent=4.5,
        modes=blades,
        centres=1.8 * spokes,
        cholesky=torch.linalg.cholesky(axes @ variances @ axes.mT),
        twist=0.7,
    )


def _blobs() -> Gaussians2D:
    centres = torch.tensor(
        [
            [-2.0, -1.5],
            [2.0, -1.8],
            [0.2, 2.0],
            [-2.2, 2.2],
        ],
        dtype=torch.float64,
    )
    deviations = torch.tensor(
        [
            [0.9, 0.2],
            [0.25, 0.7],
            [0.8, 0.35],
            [0.3, 0.3],
        ],
        dtype=torch.float64,
    )
    angle = torch.tensor([0.6, 0.2, -0.5, 0.0], dtype=torch.float64)
    rows = [
        torch.stack([angle.cos(), -angle.sin()], 1),
        torch.stack([angle.sin(), angle.cos()], 1),
    ]
    axes = torch.stack(rows, 1)
    covariance = axes @ torch.diag_embed(deviations.square()) @ axes.mT
    return Gaussians2D(
        title="Blobs",
        extent=5.5,
        modes=4,
        centres=centres,
        cholesky=torch.linalg.cholesky(covariance),
    )


def _checkerboard() -> Squares:
    cells = [(column, row) for row in range(4) for column in range(4) if (column + row) % 2 == 0]
    centres = torch.tensor(cells, dtype=torch.float64) * 1.5 - 2.25
    return Squares(title="Checkerboard", extent=4.5, modes=8, centres=centres, half_side=0.75)


TOYS: dict[str, Toy] = {
    "cross": _cross_toy(),
    "crosses9": _crosses9(),
    "moons": _moons(),
    "circles": _circles(),
    "spirals": _spirals(),
    "pinwheel": _pinwheel(),
    "checkerboard": _checkerboard(),
    "rings": _rings(),
    "blobs": _blobs(),
}
"""Toys by name. `cross` and `crosses9` are those of Lafon et al. 2022: arms of
half-length 1, sigma 0.09, 3 apart."""


def toy(name: str) -> Toy:
    """Returns the toy of this name.

    Raises:
        ValueError: there is no such toy; the known ones are named.
    """
    if name not in TOYS:
        raise ValueError(f"toy must be one of {', '.join(TOYS)}; got {name!r}.")
    return TOYS[name]
