"""Langevin chains on a fitted energy in the plane, and how well they mix. No Streamlit here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from heat_core.energies import Energy
    from heat_core.plane.toys import Toy

STARTS = ("noise", "data")
CHAINS = 24
MAX_DRAWN = 200  # points drawn of a chain


@dataclass(frozen=True)
class ChainSettings:
    """How chains are run.

    Args:
        steps: of each chain.
        step_size: a in z - a ∇E(z) + √(2a) ε.
        start: one of `STARTS`: N(0, I), or points of the data's density.
        seed: of the starts and of the noise.

    Raises:
        ValueError: `start` is not known.
    """

    steps: int = 300
    step_size: float = 1e-3
    start: str = "data"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise ValueError(f"start must be one of {', '.join(STARTS)}; got {self.start!r}.")


@dataclass(frozen=True, eq=False)
class Chains:
    """Paths of chains, and what they say about sampling from the energy.

    Args:
        paths: (points, chains, 2) float32, thinned for drawing, the start first.
        transitions: (modes, modes) how many steps of the chains went from the mode of the row to
            that of the column; those that stayed are on the diagonal.
        acceptance: the share of steps that a Metropolis test would have accepted, on average; near
            1 the step size is no cause of bias.
        temperature: at which the noise samples.
        modes_at_end: in how many modes a chain ended.
        steps: of each chain.
    """

    paths: NDArray[np.float32]
    transitions: NDArray[np.int64]
    acceptance: float
    temperature: float
    modes_at_end: int
    steps: int

    @property
    def switch_count(self) -> int:
        """How often a chain went from one mode to another."""
        return int(self.transitions.sum() - np.trace(self.transitions))


def run_chains(energy: Energy, toy: Toy, settings: ChainSettings) -> Chains:
    """Returns chains that were run on an energy that was fitted to a toy.

    Raises:
        ValueError: a chain left the finite numbers: the step is too long.
    """
    import torch

    from heat_core.sampling import Langevin
    from heat_core.threads import torch_threads

    generator = torch.Generator().manual_seed(settings.seed)
    if settings.start == "noise":
        start = torch.randn(CHAINS, 2, generator=generator)
    else:
        start = toy.sample(CHAINS, generator)[0]

    langevin = Langevin(steps=settings.steps, step_size=settings.step_size)
    with torch_threads(1):
        path = langevin.path(energy, start, generator)
        if not bool(torch.isfinite(path).all()):
            raise ValueError(
                "the chains left the finite numbers: "
                f"a step size of {settings.step_size:g} is too long."
            )
        acceptance = langevin.acceptance(energy, path)

    mode = toy.mode_of(path.reshape(-1, 2).double()).reshape(path.shape[:2]).numpy()
    return Chains(
        _drawn_points(path),
        _transitions(mode, toy.modes),
        acceptance,
        langevin.temperature,
        len(np.unique(mode[-1])),
        settings.steps,
    )


def _drawn_points(path: Tensor) -> NDArray[np.float32]:
    """Returns points at even intervals of a path (steps + 1, chains, 2), the ends among them."""
    count = min(MAX_DRAWN, len(path))
    rows = np.unique(np.linspace(0, len(path) - 1, count).round().astype(int))
    return path[rows].numpy()


def _transitions(mode: NDArray[np.int64], modes: int) -> NDArray[np.int64]:
    """Returns counts of steps from each mode to each, (modes, modes), of modes (points, chains)."""
    transitions = np.zeros((modes, modes), dtype=np.int64)
    np.add.at(transitions, (mode[:-1], mode[1:]), 1)
    return transitions
