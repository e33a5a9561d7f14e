"""Langevin chains on a fitted energy in the plane, and what they say about sampling from it. No Streamlit here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from heat_core.energies import Energy

STARTS = ("noise", "data")
KEPT = 200  # points kept of a chain at most, for drawing
COUNT = 24  # chains


@dataclass(frozen=True)
class Walk:
    """How chains walk: `start` is one of `STARTS`: N(0, I), or points of the data's density."""

    steps: int = 300
    step_size: float = 1e-3
    start: str = "data"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise ValueError(f"start must be one of {', '.join(STARTS)}; got {self.start!r}.")


@dataclass(frozen=True, eq=False)
class Chains:
    """Where chains went.

    Args:
        paths: (points, chains, 2) float32, thinned for drawing, the start first.
        switches: (modes, modes) how often a chain stepped from the mode of its row to that of its column.
        acceptance: the share of steps that a Metropolis test would have accepted, on average; near 1 the step size is no
            cause of bias.
        temperature: at which the noise samples.
        visited: in how many modes a chain ended.
        steps: of each chain.
    """

    paths: NDArray[np.float32]
    switches: NDArray[np.int64]
    acceptance: float
    temperature: float
    visited: int
    steps: int

    @property
    def switched(self) -> int:
        """How often a chain went from one mode to another."""
        return int(self.switches.sum() - np.trace(self.switches))


def walk(energy: Energy, toy: str, how: Walk) -> Chains:
    """Returns chains that walk on an energy.

    Raises:
        ValueError: a chain left the finite numbers: the step is too long.
    """
    import torch

    from heat_core.plane.toys import toy as named
    from heat_core.run import torch_threads
    from heat_core.sampling import Langevin

    truth, generator = named(toy), torch.Generator().manual_seed(how.seed)
    start = (
        torch.randn(COUNT, 2, generator=generator)
        if how.start == "noise"
        else truth.sample(COUNT, generator)[0]
    )
    langevin = Langevin(steps=how.steps, step_size=how.step_size)
    with torch_threads(1):
        path = langevin.path(energy, start, generator)
        if not bool(torch.isfinite(path).all()):
            raise ValueError(
                f"the chains left the finite numbers: a step size of {how.step_size:g} is too long."
            )
        acceptance = langevin.acceptance(energy, path)
    mode = truth.mode_of(path.reshape(-1, 2).double()).reshape(path.shape[:2]).numpy()
    switches = np.zeros((truth.modes, truth.modes), dtype=np.int64)
    np.add.at(switches, (mode[:-1], mode[1:]), 1)
    shown = np.unique(np.linspace(0, how.steps, min(KEPT, how.steps + 1)).round().astype(int))
    visited = len(np.unique(mode[-1]))
    return Chains(
        path[shown].numpy(), switches, acceptance, langevin.temperature, visited, how.steps
    )
