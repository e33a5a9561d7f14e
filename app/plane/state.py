"""State of the two pages of the plane: trainings of this tab, and cached readings of what they gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.jobs import Job
from app.plane import reading as landscapes
from app.plane.chains import Chains, Walk
from app.plane.reading import Reading, Spelled, Window
from app.plane.training import FINE, SIDE, Snapshot, ToyChoice, ToyResult, thinned, train_toy

if TYPE_CHECKING:
    from heat_core.plane.grid import Grid
from app.session import job_queue, tab_id

COMPARED_DETECTORS = ("MoG", "EBM", "HEAT")  # in the paper's second figure
DRAWN_POINTS = 600  # training points drawn over a landscape


# -- toys --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ToyPreview:
    """What is drawn of a toy before anything is trained: axis, true -log density (first axis y), some training points."""

    title: str
    axis: NDArray[np.float32]
    truth: NDArray[np.float32]
    points: NDArray[np.float32]
    size: int
    modes: int
    extent: float


def find_trainings(choices: Sequence[ToyChoice]) -> list[Job | None]:
    """Returns the training of each choice, watched from now on; None if there is none, or this tab has put it away.

    The link says which trainings are open, so that whoever opens it finds them where they are, or starts them.
    """
    named, found = st.query_params.get("job", ""), []
    for choice in choices:
        left = choice.key in _hidden()
        if choice.key in named.split(",") and not left and job_queue().get(choice.key) is None:
            start_training(choice)
        job = None if left else job_queue().get(choice.key)
        if job is not None:
            job.watch(tab_id())
        found.append(job)
    open_ones = ",".join(
        job.key for job in found if job is not None and job.state not in ("failed", "cancelled")
    )
    if not open_ones:
        st.query_params.pop("job", None)
    elif open_ones != named:
        st.query_params["job"] = open_ones
    return found


def find_training(choice: ToyChoice) -> Job | None:
    """Returns the training of one choice."""
    return find_trainings([choice])[0]


def start_training(choice: ToyChoice) -> None:
    """Starts a training, or joins the one there is."""
    _hidden().pop(choice.key, None)
    job_queue().submit(
        choice.key, train_toy(choice, toy_grid(choice.toy, SIDE), toy_grid(choice.toy, FINE))
    ).watch(tab_id())


def cancel_training(choice: ToyChoice) -> None:
    """Leaves a training for this tab; it stops unless another tab watches it."""
    job = job_queue().get(choice.key)
    if job is not None:
        seen = visible_snapshots(job)
        job.leave(tab_id())
        _hidden()[choice.key] = StoppedTraining(seen, job.other_watchers(tab_id()))


def reset_training(choice: ToyChoice) -> None:
    """Goes back to before the training. It is forgotten unless another tab watches it."""
    cancel_training(choice)
    left = _hidden().pop(choice.key, None)
    job = job_queue().get(choice.key)
    if job is not None and left is not None:
        if left.others:
            _hidden()[choice.key] = None
        else:
            job_queue().drop(job)
    st.query_params.pop("job", None)


@dataclass(frozen=True, eq=False)
class StoppedTraining:
    """A training that this tab has left: what it had seen of it, and how many others go on watching."""

    frames: list[Snapshot]
    others: int


def stopped_training(choice: ToyChoice) -> StoppedTraining | None:
    """Returns what this tab saw of a training that it has cancelled."""
    return _hidden().get(choice.key)


def is_hidden(choice: ToyChoice) -> bool:
    """Returns whether this tab has cancelled or reset a training."""
    return choice.key in _hidden() or job_queue().get(choice.key) is None


def _hidden() -> dict[str, StoppedTraining | None]:
    """What this tab does not show though it may go on for others: cancelled with what it saw, or reset."""
    return st.session_state.setdefault("put_away", {})


def visible_snapshots(job: Job) -> list[Snapshot]:
    """Returns what this tab sees of a training: all there is, or as much as it has allowed."""
    return job.frames[: int(min(len(job.frames), job.allowed_frames(tab_id())))]


@st.cache_data(max_entries=32, show_spinner="Walking the chains …")
def walked_chains(key: str, how: Walk, _result: ToyResult, toy: str) -> Chains | str:
    """Returns chains on a finished training's energy, or why there are none."""
    from app.plane.chains import walk

    try:
        return walk(_result.energy, toy, how)
    except ValueError as error:
        return str(error)


def toy_title(name: str) -> str:
    """Returns what people call a toy."""
    from heat_core.plane.toys import toy

    return toy(name).title


@st.cache_resource(max_entries=18, show_spinner=False)
def toy_grid(toy: str, side: int) -> Grid:
    """Returns the grid over a toy, with the truth on it, that all share who measure there."""
    from heat_core.plane import grid as quadrature
    from heat_core.plane import toys

    return quadrature.Grid(toys.toy(toy), side)


@st.cache_data(max_entries=32, show_spinner="Preparing the toy …")
def toy_preview(name: str, seed: int) -> ToyPreview:
    here = toy_grid(name, SIDE)
    truth, energy = (
        here.toy,
        np.minimum(-here.truth, 1e3).reshape(SIDE, SIDE),
    )  # infinite where the density is zero
    points = truth.features(seed=seed).z[:DRAWN_POINTS].numpy()
    return ToyPreview(
        truth.title,
        thinned(here.axis),
        thinned(energy),
        points,
        truth.size,
        truth.modes,
        truth.extent,
    )


# -- landscapes --------------------------------------------------------------------------------------------------------


@st.cache_data(max_entries=16, show_spinner="Reading the energy …")
def energy_reading(choice: ToyChoice, _result: ToyResult) -> Reading:
    """Returns what is known of a finished training's energy as a whole."""
    return landscapes.read(_result.energy, choice, toy_grid(choice.toy, FINE))


@st.cache_data(max_entries=64, show_spinner=False)
def energy_layers(
    choice: ToyChoice, window: Window, _result: ToyResult
) -> dict[str, NDArray[np.float32]]:
    """Returns the layers of a finished training's energy on a window, and `truth`."""
    return landscapes.layers(_result.energy, window) | {
        "truth": landscapes.true_energy(choice.toy, window)
    }


def spell_point(
    choice: ToyChoice, point: tuple[float, float], result: ToyResult, read: Reading
) -> Spelled:
    """Returns a point's energy spelled out."""
    return landscapes.spell(result.energy, read, choice.toy, *point)


@st.cache_data(max_entries=64, show_spinner=False)
def energy_ray(
    choice: ToyChoice,
    point: tuple[float, float],
    extents: float,
    _result: ToyResult,
    _reading: Reading,
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]], float]:
    """Returns energies along the ray through a point: distances, {name: energies}, and how far out the point is."""
    here = float(np.hypot(point[0] - _reading.centre[0], point[1] - _reading.centre[1]))
    return *landscapes.ray(_result.energy, _reading, choice.toy, *point, extents), here
