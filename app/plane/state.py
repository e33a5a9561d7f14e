"""State of the two pages of the plane: trainings of this tab, and cached readings of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.job import Job, Work
from app.plane import reading
from app.plane.chains import Chains, ChainSettings, run_chains
from app.plane.own_points import find_toy, is_own
from app.plane.reading import MAX_TRUE_ENERGY, EnergyReading, PlaneWindow, Ray
from app.plane.training import (
    COARSE_SIDE,
    FINE_SIDE,
    Layer,
    ToyChoice,
    ToyResult,
    drawn_values,
    train_toy,
)
from app.session import find_job, job_queue, submit_job, tab_id

if TYPE_CHECKING:
    from heat_core.plane.grid import Grid

DRAWN_POINTS = 600  # training points drawn over a landscape


# -- toys


@dataclass(frozen=True, eq=False)
class ToyPreview:
    """What is drawn of a toy before anything is trained.

    Args:
        title: for people.
        axis: (n,) coordinates, the same in x and y.
        true_energy: (n, n) the exact -log p, first axis y; at most 1000 where the density is zero.
            None of points of one's own, whose density is not known.
        points: (n, 2) of the training points, DRAWN_POINTS at most.
        size: how many training points there are.
        modes: of the density.
        extent: half the side of its square.
    """

    title: str
    axis: NDArray[np.float32]
    true_energy: Layer | None
    points: NDArray[np.float32]
    size: int
    modes: int
    extent: float


def toy_title(name: str) -> str:
    """Returns what people call a toy."""
    from heat_core.plane.toys import toy

    return "Own points" if is_own(name) else toy(name).title


@st.cache_resource(max_entries=18, show_spinner=False)
def toy_grid(toy_name: str, side: int) -> Grid:
    """Returns the grid over a toy, which computes the truth once for all who measure there."""
    from heat_core.plane.grid import Grid

    return Grid(find_toy(toy_name), side)


@st.cache_data(max_entries=32, show_spinner="Preparing the toy …")
def toy_preview(toy_name: str, seed: int) -> ToyPreview:
    """Returns what is drawn of a toy, with training points of a seed."""
    grid = toy_grid(toy_name, COARSE_SIDE)
    toy = grid.toy
    return ToyPreview(
        title=toy.title,
        axis=drawn_values(grid.axis),
        true_energy=_true_energy(grid) if toy.has_density else None,
        points=_some_rows(toy.features(seed=seed).z.numpy()),
        size=toy.size,
        modes=toy.modes,
        extent=toy.extent,
    )


def _some_rows(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns at most DRAWN_POINTS rows of points (N, 2), at even intervals."""
    count = min(DRAWN_POINTS, len(points))
    return points[np.linspace(0, len(points) - 1, count).round().astype(int)]


def _true_energy(grid: Grid) -> Layer:
    """Returns the exact -log p on the drawn part of a grid, (n, n)."""
    energy = np.minimum(-grid.true_log_prob, MAX_TRUE_ENERGY)
    return drawn_values(energy.reshape(grid.side, grid.side))


# -- trainings

JOB_KEY = "job"  # in the link: the trainings that are open
TUNING_KEY = "tuned"  # in the link: the fine-tuning that is open


class Trainable(Protocol):
    """What can be trained: the key of its job says all of it."""

    @property
    def key(self) -> str: ...


class SnapshotOfTraining(Protocol):
    """A moment of a training; its record says the step, and is None at the end."""

    @property
    def record(self) -> Any: ...


AnyTrainable = TypeVar("AnyTrainable", bound=Trainable)
AnySnapshot = TypeVar("AnySnapshot", bound=SnapshotOfTraining)


@dataclass(frozen=True, eq=False)
class TrainingSeen:
    """A training that this tab has left, as it saw it last.

    Args:
        snapshots: that this tab had seen of it.
        other_watchers: how many others go on watching.
    """

    snapshots: list[Any]
    other_watchers: int


def watch_trainings(choices: Sequence[ToyChoice]) -> list[Job | None]:
    """Returns the training of each choice, watched from now on.

    It is None if there is no such training, or this tab has hidden it. The link says which
    trainings are open, so that whoever opens it finds them where they are, or starts them.
    """
    return watch_jobs_of(choices, start_training, JOB_KEY)


def watch_jobs_of(
    choices: Sequence[AnyTrainable], start: Callable[[AnyTrainable], None], word: str
) -> list[Job | None]:
    """Returns the training of each choice, as `watch_trainings` does, whatever is trained.

    Args:
        start: what starts a training that the link asks for.
        word: of the link, where it says which trainings are open.
    """
    jobs = [_watch_job_of(choice, start, word) for choice in choices]
    open_jobs = [
        job for job in jobs if job is not None and job.state not in ("failed", "cancelled")
    ]
    linked = ",".join(job.key for job in open_jobs)
    if not linked:
        st.query_params.pop(word, None)
    elif linked != st.query_params.get(word, ""):
        st.query_params[word] = linked
    return jobs


def watch_training(choice: ToyChoice) -> Job | None:
    """Returns the training of one choice, as `watch_trainings` does."""
    return watch_trainings([choice])[0]


def _watch_job_of(
    choice: AnyTrainable, start: Callable[[AnyTrainable], None], word: str
) -> Job | None:
    """Returns the training of one choice and watches it; starts it if the link asks for it."""
    if choice.key in _hidden():
        return None
    linked = st.query_params.get(word, "").split(",")
    if choice.key in linked and job_queue().get(choice.key) is None:
        start(choice)
    job = find_job(choice.key)
    if job is not None:
        job.watch(tab_id())
    return job


def start_training(choice: ToyChoice) -> None:
    """Starts a training, or joins the one there is."""
    coarse = toy_grid(choice.toy, COARSE_SIDE)
    fine = toy_grid(choice.toy, FINE_SIDE)
    start_job_of(choice, train_toy(choice, coarse, fine))


def start_job_of(choice: Trainable, work: Work) -> None:
    """Starts the work of a training, or joins the one there is, and watches it."""
    _hidden().pop(choice.key, None)
    job = submit_job(choice.key, work)
    job.watch(tab_id())


def leave_training(choice: Trainable) -> None:
    """Stops watching a training; it ends unless another tab watches it."""
    job = job_queue().get(choice.key)
    if job is not None:
        snapshots = visible_snapshots(job)
        job.leave(tab_id())
        _hidden()[choice.key] = TrainingSeen(snapshots, job.other_watchers(tab_id()))


def reset_training(choice: Trainable) -> None:
    """Goes back to before the training. It is forgotten unless another tab watches it."""
    leave_training(choice)
    seen = _hidden().pop(choice.key, None)
    job = job_queue().get(choice.key)
    if job is not None and seen is not None:
        if seen.other_watchers:
            _hidden()[choice.key] = None
        else:
            job_queue().drop(job)
    for word in (JOB_KEY, TUNING_KEY):
        if choice.key in st.query_params.get(word, "").split(","):
            st.query_params.pop(word, None)


def training_seen(choice: Trainable) -> TrainingSeen | None:
    """Returns what this tab saw of a training that it has left."""
    return _hidden().get(choice.key)


def is_gone(choice: Trainable) -> bool:
    """Returns whether this tab has left or reset a training, or the server has it no more."""
    return choice.key in _hidden() or job_queue().get(choice.key) is None


def _hidden() -> dict[str, TrainingSeen | None]:
    """Returns {key: training} that this tab hides, though it may go on for others.

    One that it left has what was seen of it, one that was reset has nothing.
    """
    return st.session_state.setdefault("hidden_trainings", {})


def visible_snapshots(job: Job) -> list[Any]:
    """Returns the snapshots that this tab shows: all there are, or as many as it has allowed."""
    count = min(len(job.frames), job.allowed_frames(tab_id()))
    return job.frames[: int(count)]


def is_shown_whole(job: Job) -> bool:
    """Returns whether a training is over and this tab shows all of its snapshots."""
    return job.over and len(visible_snapshots(job)) == len(job.frames)


# -- what is computed from a finished training


@dataclass(frozen=True, eq=False)
class ChainsResult:
    """What became of chains.

    Args:
        chains: None where they failed.
        error: why they failed, in one line.
    """

    chains: Chains | None
    error: str = ""


@st.cache_data(max_entries=32, show_spinner="Walking the chains …")
def cached_chains(
    key: str, settings: ChainSettings, _result: ToyResult, toy_name: str
) -> ChainsResult:
    """Returns what became of chains on a finished training's energy; a failure is cached, too."""
    try:
        return ChainsResult(run_chains(_result.energy, find_toy(toy_name), settings))
    except ValueError as error:
        return ChainsResult(None, str(error))


@st.cache_data(max_entries=16, show_spinner="Reading the energy …")
def energy_reading(choice: ToyChoice, _result: ToyResult) -> EnergyReading:
    """Returns the reading of a finished training's energy as a whole."""
    return reading.read(_result.terms, choice, toy_grid(choice.toy, FINE_SIDE))


@st.cache_data(max_entries=64, show_spinner=False)
def energy_layers(choice: ToyChoice, window: PlaneWindow, _result: ToyResult) -> dict[str, Layer]:
    """Returns the layers of a finished training's energy on a window, (side, side), and `truth`."""
    layers = reading.layers(_result.terms, window)
    layers["truth"] = reading.true_energy(choice.toy, window)
    return layers


@st.cache_data(max_entries=64, show_spinner=False)
def energy_ray(
    choice: ToyChoice,
    point: tuple[float, float],
    extents: float,
    _result: ToyResult,
    _reading: EnergyReading,
) -> Ray:
    """Returns energies along the ray through a point, `extents` extents of the toy far."""
    return reading.ray(_result.terms, _reading, choice.toy, *point, extents)
