"""Two-dimensional densities whose logarithm is known exactly, so that every model of them can be held against the truth.

A curve is a chain of segments; a segment convolved with a Gaussian has a closed form, so a blurred curve is a mixture of
them, and both `sample` and `log_prob` use that same mixture. Every toy has as many modes as classes.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from heat_core.features import Features


@dataclass(frozen=True, eq=False, kw_only=True)
class Toy(abc.ABC):
    """A density in the square [-extent, extent]^2 (and hardly beyond).

    Args:
        title: for people.
        extent: half the side of the square that is looked at.
        modes: how many modes it has, each a class of its own.
        size: training points drawn by default.
    """

    title: str
    extent: float
    modes: int
    size: int = 4000

    @abc.abstractmethod
    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Returns points (count, 2) float32 and their modes (count,) int64."""

    @abc.abstractmethod
    def mode_log_prob(self, z: Tensor) -> Tensor:
        """Returns (N, modes): log of share times density of each mode, -inf where there is none."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Returns the exact log density, (N,); -inf where the density is zero."""
        return self.mode_log_prob(z).logsumexp(-1)

    def mode_of(self, z: Tensor) -> Tensor:
        """Returns the mode that each point most likely belongs to, (N,); the nearest one where the density is zero."""
        return self.mode_log_prob(z).argmax(-1)

    def features(self, count: int | None = None, seed: int = 0) -> Features:
        """Returns a training set: `count` (by default `size`) points with their modes as labels."""
        z, y = self.sample(count or self.size, torch.Generator().manual_seed(seed))
        return Features(z, y)


@dataclass(frozen=True, eq=False, kw_only=True)
class Strokes(Toy):
    """Segments convolved with a Gaussian.

    For a segment from a to b of length L, with u and v the coordinates of z - a along and across it,
    p(z) = N(v; 0, sigma^2) (Phi(u / sigma) - Phi((u - L) / sigma)) / L.

    Args:
        starts, ends: (S, 2).
        mode: (S,) the mode of each segment.
        sigma: of the Gaussian.
    """

    starts: Tensor
    ends: Tensor
    mode: Tensor
    sigma: float

    def _lengths(self) -> Tensor:
        return (self.ends - self.starts).norm(dim=1)

    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        segment = torch.multinomial(self._lengths(), count, replacement=True, generator=generator)
        along = torch.rand(count, 1, generator=generator, dtype=torch.float64)
        noise = torch.randn(count, 2, generator=generator, dtype=torch.float64)
        z = self.starts[segment] * (1 - along) + self.ends[segment] * along + self.sigma * noise
        return z.float(), self.mode[segment]

    def mode_log_prob(self, z: Tensor) -> Tensor:
        return torch.cat([self._mode_log_prob(block) for block in z.double().split(4096)])

    def _mode_log_prob(self, z: Tensor) -> Tensor:
        length = self._lengths()
        direction = (self.ends - self.starts) / length[:, None]
        u = z @ direction.T - (self.starts * direction).sum(1)
        across = torch.stack([-direction[:, 1], direction[:, 0]], 1)
        v = z @ across.T - (self.starts * across).sum(1)
        log_along = _log_normal_between(u / self.sigma - length / self.sigma, u / self.sigma)
        log_across = -0.5 * (v / self.sigma).square() - math.log(
            self.sigma * math.sqrt(2 * math.pi)
        )
        log_segment = log_along + log_across - length.sum().log()
        by_mode = [log_segment[:, self.mode == mode].logsumexp(1) for mode in range(self.modes)]
        return torch.stack(by_mode, 1)


def _log_normal_between(low: Tensor, high: Tensor) -> Tensor:
    """Returns log(Phi(high) - Phi(low)) for low < high, also far out in a tail."""
    flip = (
        low > 0
    )  # Phi(high) - Phi(low) = Phi(-low) - Phi(-high): stay in the tail that float64 resolves
    low, high = torch.where(flip, -high, low), torch.where(flip, -low, high)
    top, bottom = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
    return top + torch.log(-torch.expm1(bottom - top))


@dataclass(frozen=True, eq=False, kw_only=True)
class Squares(Toy):
    """Uniform squares.

    Args:
        centres: (modes, 2).
        half: half the side of each.
    """

    centres: Tensor
    half: float

    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        mode = torch.randint(self.modes, (count,), generator=generator)
        within = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 2 - 1
        return (self.centres[mode] + self.half * within).float(), mode

    def mode_log_prob(self, z: Tensor) -> Tensor:
        inside = self._steps(z) <= self.half
        return torch.where(inside, -math.log(self.modes * (2 * self.half) ** 2), -torch.inf)

    def mode_of(self, z: Tensor) -> Tensor:
        return self._steps(z).argmin(1)

    def _steps(self, z: Tensor) -> Tensor:
        return (z.double()[:, None] - self.centres).abs().amax(-1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Gaussians2D(Toy):
    """Gaussians of equal shares, turned about the origin by an angle that grows with the radius.

    A rotation that depends only on the radius keeps areas, so log p(z) = log p0(turned back z) with no Jacobian.

    Args:
        centres: (modes, 2) before turning.
        roots: (modes, 2, 2) lower Cholesky factors of the covariances.
        twist: radians a unit of radius.
    """

    centres: Tensor
    roots: Tensor
    twist: float = 0.0

    def sample(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        mode = torch.randint(self.modes, (count,), generator=generator)
        noise = torch.randn(count, 2, 1, generator=generator, dtype=torch.float64)
        z = self.centres[mode] + (self.roots[mode] @ noise)[..., 0]
        return _turn(z, self.twist * z.norm(dim=1)).float(), mode

    def mode_log_prob(self, z: Tensor) -> Tensor:
        z = z.double()
        straight = _turn(z, -self.twist * z.norm(dim=1))
        parts = []
        for centre, root in zip(self.centres, self.roots, strict=True):
            white = torch.linalg.solve_triangular(root, (straight - centre).T, upper=False)
            parts.append(
                -0.5 * white.square().sum(0)
                - root.diagonal().log().sum()
                - math.log(2 * math.pi * self.modes)
            )
        return torch.stack(parts, 1)


def _turn(z: Tensor, angle: Tensor) -> Tensor:
    x, y = z.unbind(1)
    return torch.stack([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()], 1)


def _chain(points: Tensor) -> tuple[Tensor, Tensor]:
    return points[:-1], points[1:]


def _strokes(
    title: str,
    curves: list[list[tuple[Tensor, Tensor]]],
    sigma: float,
    extent: float,
    size: int = 4000,
) -> Strokes:
    """Returns the toy whose mode i is made of the chains of segments curves[i]."""
    starts = torch.cat([start for curve in curves for start, _ in curve])
    ends = torch.cat([end for curve in curves for _, end in curve])
    mode = torch.cat(
        [torch.full((len(start),), i) for i, curve in enumerate(curves) for start, _ in curve]
    )
    return Strokes(
        title=title,
        extent=extent,
        modes=len(curves),
        size=size,
        starts=starts,
        ends=ends,
        mode=mode,
        sigma=sigma,
    )


def _arc(
    radius: float, centre: tuple[float, float], start: float, stop: float, pieces: int = 64
) -> tuple[Tensor, Tensor]:
    angle = torch.linspace(start, stop, pieces + 1, dtype=torch.float64)
    return _chain(
        radius * torch.stack([angle.cos(), angle.sin()], 1)
        + torch.tensor(centre, dtype=torch.float64)
    )


def _cross(x: float, y: float) -> list[tuple[Tensor, Tensor]]:
    ends = torch.tensor([[[x - 1, y], [x + 1, y]], [[x, y - 1], [x, y + 1]]], dtype=torch.float64)
    return [_chain(arm) for arm in ends]


def _spiral(arm: int, arms: int, pieces: int = 96) -> tuple[Tensor, Tensor]:
    angle = torch.linspace(0.25, 1.0, pieces + 1, dtype=torch.float64).sqrt() * 3 * math.pi
    turned = angle + 2 * math.pi * arm / arms
    return _chain((angle * 0.3)[:, None] * torch.stack([turned.cos(), turned.sin()], 1))


def _pinwheel(blades: int = 5) -> Gaussians2D:
    angle = 2 * math.pi * torch.arange(blades, dtype=torch.float64) / blades
    spokes = torch.stack([angle.cos(), angle.sin()], 1)
    across = torch.stack([-angle.sin(), angle.cos()], 1)
    frame = torch.stack([spokes, across], 2)
    covariance = frame @ torch.diag(torch.tensor([0.6**2, 0.12**2], dtype=torch.float64)) @ frame.mT
    return Gaussians2D(
        title="Pinwheel",
        extent=4.5,
        modes=blades,
        centres=1.8 * spokes,
        roots=torch.linalg.cholesky(covariance),
        twist=0.7,
    )


def _blobs() -> Gaussians2D:
    centres = torch.tensor(
        [[-2.0, -1.5], [2.0, -1.8], [0.2, 2.0], [-2.2, 2.2]], dtype=torch.float64
    )
    axes = torch.tensor([[0.9, 0.2], [0.25, 0.7], [0.8, 0.35], [0.3, 0.3]], dtype=torch.float64)
    angle = torch.tensor([0.6, 0.2, -0.5, 0.0], dtype=torch.float64)
    frame = torch.stack(
        [torch.stack([angle.cos(), -angle.sin()], 1), torch.stack([angle.sin(), angle.cos()], 1)], 1
    )
    covariance = frame @ torch.diag_embed(axes.square()) @ frame.mT
    return Gaussians2D(
        title="Blobs", extent=5.5, modes=4, centres=centres, roots=torch.linalg.cholesky(covariance)
    )


def _checkerboard() -> Squares:
    cells = [(column, row) for row in range(4) for column in range(4) if (column + row) % 2 == 0]
    centres = torch.tensor(cells, dtype=torch.float64) * 1.5 - 2.25
    return Squares(title="Checkerboard", extent=4.5, modes=8, centres=centres, half=0.75)


_TURN = 2 * math.pi
_GRID9 = [(3.0 * column, 3.0 * row) for row in (-1, 0, 1) for column in (-1, 0, 1)]
TOYS: dict[str, Toy] = {
    "cross": _strokes("Cross", [_cross(0, 0)], 0.09, 3.0),
    "crosses9": _strokes("3 x 3 crosses", [_cross(x, y) for x, y in _GRID9], 0.09, 5.5, 9000),
    "moons": _strokes(
        "Moons",
        [[_arc(1.5, (-0.75, -0.35), 0, math.pi)], [_arc(1.5, (0.75, 0.35), math.pi, _TURN)]],
        0.12,
        4.0,
    ),
    "circles": _strokes(
        "Circles", [[_arc(1.0, (0, 0), 0, _TURN)], [_arc(2.0, (0, 0), 0, _TURN)]], 0.1, 4.0
    ),
    "spirals": _strokes("Spirals", [[_spiral(arm, 2)] for arm in range(2)], 0.12, 5.0),
    "pinwheel": _pinwheel(),
    "checkerboard": _checkerboard(),
    "rings": _strokes(
        "Rings", [[_arc(r, (0, 0), 0, _TURN)] for r in (0.8, 1.6, 2.4, 3.2)], 0.08, 5.0
    ),
    "blobs": _blobs(),
}
"""Toys by name. `cross` and `crosses9` are those of Lafon et al. 2022: arms of half-length 1, sigma 0.09, 3 apart."""


def toy(name: str) -> Toy:
    """Returns the toy of this name. Raises ValueError naming the known ones."""
    if name not in TOYS:
        raise ValueError(f"toy must be one of {', '.join(TOYS)}; got {name!r}.")
    return TOYS[name]
