"""What the background jobs do: heat_core at work, reporting frames. No Streamlit here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.jobs import Work

if TYPE_CHECKING:
    from heat_core.energies import Energy
    from heat_core.features import Pack
    from heat_core.quadrature import Distance, Grid
    from heat_core.training import Record

SIDE = 200  # points a side of the grid that a training is measured on
DRAWN = 2  # every second one is drawn


def drawn(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns the part that is drawn of values on the grid's axis, (n,), or on the grid, (n, n)."""
    return np.ascontiguousarray(values[(slice(None, None, DRAWN),) * values.ndim], dtype=np.float32)


@dataclass(frozen=True)
class Frame:
    """A moment of a training: the energy's layers on the drawn grid (float32, first axis y), and how far it is."""

    layers: Mapping[str, NDArray[np.float32]]
    distance: Distance
    record: Record | None = None


@dataclass(frozen=True)
class ToyResult:
    """A finished training: the last frame, its distance on the fine grid, the MoG's, and the seconds of fitting alone."""

    frame: Frame
    distance: Distance
    mog: Distance
    seconds: float


def train_toy(toy: str, detector: str, preset: str, seed: int) -> Work:
    """Returns the work of fitting a detector to a toy: a frame at every record, a `ToyResult` at the end."""

    def work(job) -> ToyResult:
        from heat_core.detectors import recipe
        from heat_core.quadrature import Grid
        from heat_core.study import fit
        from heat_core.toys import toy as named

        truth = named(toy)
        coarse, fine = Grid(truth, SIDE), Grid(truth)
        train, chosen = truth.features(seed=seed), recipe(detector, preset, "plane")
        job.report(0.0)
        run = fit(
            chosen, train, seed,
            on_record=lambda record, energy: job.report(record.step / record.steps, frame(energy, coarse, record)),
        )  # fmt: skip
        job.report(1.0)
        mog = fit(recipe("MoG", space="plane"), train)
        ours, theirs = (fine.distance(fine.energy(fitted.energy)) for fitted in (run, mog))
        seconds = run.history[-1].seconds if run.history else 0.0
        return ToyResult(frame(run.energy, coarse), ours, theirs, seconds)

    return work


def frame(energy: Energy, grid: Grid, record: Record | None = None) -> Frame:
    """Returns the layers of an energy: `prior` and `correction` where it is a sum of two, and always `total`."""
    terms = [grid.energy(term) for term in energy.terms()]
    total = np.sum(terms, axis=0)
    named = {"prior": terms[0], "correction": terms[1]} if len(terms) == 2 else {}
    layers = {name: drawn(layer) for name, layer in {**named, "total": total}.items()}
    return Frame(layers, grid.distance(total), record)


@dataclass(frozen=True)
class Scored:
    """A detector's scores on a pack, or the reason why there are none."""

    detector: str
    scores: Mapping[str, NDArray[np.float64]]
    reason: str = ""


def score_pack(pack: Pack, preset: str, seed: int = 0) -> Work:
    """Returns the work of scoring a pack with every detector, quick ones first: a `Scored` frame each.

    A detector that the pack does not allow, or that fails on it, says why and leaves the others alone.
    """

    def work(job) -> None:
        from heat_core.benchmark import score_pack as score
        from heat_core.detectors import DETECTORS, Shape, recipe
        from heat_core.study import fit

        shape, many = Shape.of(pack.train), len(DETECTORS)

        def scored(name: str, done: float) -> Scored:
            detector = recipe(name, preset)
            if reason := detector.lacks(shape):
                return Scored(name, {}, reason)
            try:
                run = fit(
                    detector, pack.train, seed,
                    on_record=lambda record, energy: job.report(done + record.step / record.steps / many),
                )  # fmt: skip
                scores = score(pack, run.score)
            except (ValueError, ArithmeticError) as error:
                return Scored(name, {}, f"{name} failed on these features: {error}")
            if not all(np.isfinite(values).all() for values in scores.values()):
                return Scored(name, {}, f"{name} gives scores that are not finite on these features.")
            return Scored(name, scores)

        for i, name in enumerate(DETECTORS):
            job.report(i / many)
            job.report((i + 1) / many, scored(name, i / many))

    return work
