"""The only file that caches and keeps state: jobs, packs, truths, uploads."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import landscapes
from app.chains import Chains, Walk
from app.jobs import Job, Jobs, Work
from app.landscapes import Reading, Spelled, Window
from app.story import PATH, Story, read
from app.tasks import Scored, score_pack
from app.toys import SIDE, Frame, ToyChoice, ToyResult, drawn, train_toy, warm

if TYPE_CHECKING:
    from heat_core.features import Pack
    from heat_core.verdicts import Judge, Opinion

PACKS = Path(__file__).resolve().parent.parent / "assets" / "packs"
ROOTS = "HEAT_PACKS"  # the environment variable that names further folders of packs; nobody else can name one
UNPACKED = 2**30  # bytes that an upload may unpack to
COMPARED = ("MoG", "EBM", "HEAT")  # in the paper's second figure
POINTS = 600  # training points drawn over a landscape


@st.cache_resource
def jobs() -> Jobs:
    """Returns the server's jobs, and warms torch up in the background so that the first training starts at once."""
    threading.Thread(target=warm, daemon=True).start()
    return Jobs(present=_present)


def me() -> str:
    """Returns the id of the browser tab that this run is for."""
    context = get_script_run_ctx()
    return context.session_id if context else ""


def _present(who: str) -> bool:
    """Returns whether a tab is still connected. A tab that was closed or loaded anew is not."""
    return not runtime.exists() or bool(runtime.get_instance().is_active_session(who))


# -- toys --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ToyPicture:
    """What is drawn of a toy before anything is trained: axis, true -log density (first axis y), some training points."""

    title: str
    axis: NDArray[np.float32]
    truth: NDArray[np.float32]
    points: NDArray[np.float32]
    size: int
    modes: int
    extent: float


def toy_jobs(choices: Sequence[ToyChoice]) -> list[Job | None]:
    """Returns the training of each choice, watched from now on; None if there is none, or this tab has put it away.

    The link says which trainings are open, so that whoever opens it finds them where they are, or starts them.
    """
    named, found = st.query_params.get("job", ""), []
    for choice in choices:
        left = choice.key in _put_away()
        if choice.key in named.split(",") and not left and jobs().get(choice.key) is None:
            start_toy(choice)
        job = None if left else jobs().get(choice.key)
        if job is not None:
            job.watch(me())
        found.append(job)
    open_ones = ",".join(job.key for job in found if job is not None and job.state not in ("failed", "cancelled"))
    if not open_ones:
        st.query_params.pop("job", None)
    elif open_ones != named:
        st.query_params["job"] = open_ones
    return found


def toy_job(choice: ToyChoice) -> Job | None:
    """Returns the training of one choice."""
    return toy_jobs([choice])[0]


def start_toy(choice: ToyChoice) -> None:
    """Starts a training, or joins the one there is."""
    _put_away().pop(choice.key, None)
    jobs().submit(choice.key, train_toy(choice)).watch(me())


def cancel_toy(choice: ToyChoice) -> None:
    """Leaves a training for this tab; it stops unless another tab watches it."""
    job = jobs().get(choice.key)
    if job is not None:
        seen = frames(job)
        job.leave(me())
        _put_away()[choice.key] = Left(seen, job.others(me()))


def reset_toy(choice: ToyChoice) -> None:
    """Goes back to before the training. It is forgotten unless another tab watches it."""
    cancel_toy(choice)
    left = _put_away().pop(choice.key, None)
    job = jobs().get(choice.key)
    if job is not None and left is not None:
        if left.others:
            _put_away()[choice.key] = None
        else:
            jobs().drop(job)
    st.query_params.pop("job", None)


@dataclass(frozen=True, eq=False)
class Left:
    """A training that this tab has left: what it had seen of it, and how many others go on watching."""

    frames: list[Frame]
    others: int


def left_toy(choice: ToyChoice) -> Left | None:
    """Returns what this tab saw of a training that it has cancelled."""
    return _put_away().get(choice.key)


def is_put_away(choice: ToyChoice) -> bool:
    """Returns whether this tab has cancelled or reset a training."""
    return choice.key in _put_away() or jobs().get(choice.key) is None


def _put_away() -> dict[str, Left | None]:
    """What this tab does not show though it may go on for others: cancelled with what it saw, or reset."""
    return st.session_state.setdefault("put_away", {})


def frames(job: Job) -> list[Frame]:
    """Returns what this tab sees of a training: all there is, or as much as it has allowed."""
    return job.frames[: int(min(len(job.frames), job.allowed(me())))]


@st.cache_data(max_entries=32, show_spinner="Walking the chains …")
def chains(key: str, how: Walk, _result: ToyResult, toy: str) -> Chains | str:
    """Returns chains on a finished training's energy, or why there are none."""
    from app.chains import walk

    try:
        return walk(_result.energy, toy, how)
    except ValueError as error:
        return str(error)


@st.cache_data(max_entries=32, show_spinner="Preparing the toy …")
def toy_picture(name: str, seed: int) -> ToyPicture:
    from heat_core.quadrature import Grid
    from heat_core.toys import toy

    truth = toy(name)
    grid = Grid(truth, SIDE)
    energy = np.minimum(-grid.truth, 1e3).reshape(SIDE, SIDE)  # where the density is zero, the energy is not finite
    points = truth.features(seed=seed).z[:POINTS].numpy()
    return ToyPicture(truth.title, drawn(grid.axis), drawn(energy), points, truth.size, truth.modes, truth.extent)


# -- landscapes --------------------------------------------------------------------------------------------------------


@st.cache_data(max_entries=16, show_spinner="Reading the energy …")
def reading(choice: ToyChoice, _result: ToyResult) -> Reading:
    """Returns what is known of a finished training's energy as a whole."""
    return landscapes.read(_result.energy, choice)


@st.cache_data(max_entries=64, show_spinner=False)
def layers(choice: ToyChoice, window: Window, _result: ToyResult) -> dict[str, NDArray[np.float32]]:
    """Returns the layers of a finished training's energy on a window, and `truth`."""
    return landscapes.layers(_result.energy, window) | {"truth": landscapes.true_energy(choice.toy, window)}


def spelled(choice: ToyChoice, point: tuple[float, float], result: ToyResult, read: Reading) -> Spelled:
    """Returns a point's energy spelled out."""
    return landscapes.spell(result.energy, read, choice.toy, *point)


@st.cache_data(max_entries=64, show_spinner=False)
def ray(
    choice: ToyChoice, point: tuple[float, float], extents: float, _result: ToyResult, _reading: Reading
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]], float]:
    """Returns energies along the ray through a point: distances, {name: energies}, and how far out the point is."""
    here = float(np.hypot(point[0] - _reading.centre[0], point[1] - _reading.centre[1]))
    return *landscapes.ray(_result.energy, _reading, choice.toy, *point, extents), here


# -- the demo ----------------------------------------------------------------------------------------------------------


@st.cache_resource(max_entries=1, show_spinner=False)
def _story(changed: float) -> Story:
    return read(PATH)


def story() -> Story | str:
    """Returns the demo's story, or one line that says why there is none."""
    try:
        return _story(PATH.stat().st_mtime if PATH.is_file() else 0.0)
    except ValueError as error:
        return str(error)


# -- packs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Data:
    """A pack, a key that changes with its content, and the file of its classifier, if that is at hand."""

    key: str
    pack: Pack
    weights: Path | None = None


def packs() -> dict[str, Path]:
    """Returns {name: folder} of the packs that the server's operator offers, those that ship first.

    A visitor chooses one of these names and never a path.
    """
    found: dict[str, Path] = {}
    for root in (PACKS, *(Path(root) for root in os.environ.get(ROOTS, "").split(os.pathsep) if root)):
        for card in sorted(root.glob("*/card.json")):
            found.setdefault(card.parent.name, card.parent)
    return found


@st.cache_resource(max_entries=4, show_spinner="Reading the features …")
def _read(folder: Path, changed: tuple[float, float]) -> Data:
    from heat_core.features import read_pack
    from heat_core.verdicts import weights_of

    return Data(f"{folder.name}@{changed}", read_pack(folder), weights_of(folder) if changed[1] else None)


def _changed(folder: Path) -> tuple[float, float]:
    """Returns when a pack was written, and its classifier; 0 where there is none."""
    from heat_core.verdicts import weights_of

    weights = weights_of(folder)
    return (folder / "card.json").stat().st_mtime, weights.stat().st_mtime if weights.is_file() else 0.0


def is_own() -> bool:
    """Returns whether the data on the page is the visitor's own."""
    return "uploaded" in st.session_state


def data() -> Data | str | None:
    """Returns the data on the page: the uploader's own, or else the pack that was chosen, or else the first; None if there
    is none.

    A pack that cannot be read gives one line that says why.
    """
    if is_own():
        return st.session_state["uploaded"]
    offered = packs()
    if not offered:
        return None
    asked = st.session_state.get("pack", st.query_params.get("pack", ""))
    folder = offered.get(asked, next(iter(offered.values())))
    try:
        return _read(folder, _changed(folder))
    except ValueError as error:
        return f"The pack {folder.name} cannot be read. {str(error).replace(f'{folder.parent}{os.sep}', '')}"


def absent(given: Data) -> dict[str, str]:
    """Returns {detector: why this data does not allow it}."""
    from heat_core.recipes import allowed

    return allowed(given.pack)[1]


def upload(file: io.BytesIO, name: str) -> None:
    """Takes an npz of arrays as this session's own data; a mistake is kept in `upload_error` and changes nothing."""
    import tempfile

    from heat_core.features import pack_npz

    content = file.getvalue()
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "upload.npz"
            path.write_bytes(content)
            pack = replace(pack_npz(path, UNPACKED), card={"title": Path(name).stem})
    except ValueError as error:
        st.session_state["upload_error"] = f"{name}: {str(error).removeprefix(f'{path}: ')}"
        return
    drop_upload()
    st.session_state.pop("upload_error", None)
    st.session_state["uploaded"] = Data(hashlib.sha256(content).hexdigest()[:16], pack)


def forget_mistake() -> None:
    """Forgets what was wrong with an upload, once its file is taken away."""
    st.session_state.pop("upload_error", None)


def drop_upload() -> None:
    """Goes back to a pack of the server's, and forgets the visitor's own and all that was made of it."""
    for job in st.session_state.pop("own_jobs", {}).values():
        job.cancel()
    st.session_state.pop("uploaded", None)


def job_on(given: Data, key: str) -> Job | None:
    """Returns the job of this key on the data; on somebody's own data it is theirs alone, and goes with their session."""
    job = st.session_state.get("own_jobs", {}).get(key) if _is_mine(given) else jobs().get(key)
    return None if job is not None and job.owner and job.state == "cancelled" else job  # its owner was gone for a moment


def begin_on(given: Data, key: str, work: Work) -> Job:
    """Returns a job on the data, begun now unless it is there already."""
    if not _is_mine(given):
        return jobs().submit(key, work)
    job = st.session_state.setdefault("own_jobs", {})[key] = jobs().lend(key, work, me())
    return job


def _is_mine(given: Data) -> bool:
    return given is st.session_state.get("uploaded")


def scoring(given: Data, preset: str) -> Job:
    """Returns the job that scores the data with every detector; the first to ask starts it, for everybody.

    One that failed stays, and says why.
    """
    key = f"scores/{given.key}/{preset}"
    return job_on(given, key) or begin_on(given, key, score_pack(given.pack, preset, given.weights is not None))


def scored(job: Job) -> tuple[dict[str, dict[str, NDArray[np.float64]]], dict[str, str]]:
    """Returns ({detector: {set: scores}}, {detector: why it is absent}) of what is ready."""
    frames: list[Scored] = list(job.frames)
    return {f.detector: dict(f.scores) for f in frames if not f.reason}, {f.detector: f.reason for f in frames if f.reason}


# -- a picture of one's own --------------------------------------------------------------------------------------------


@st.cache_resource(max_entries=2, show_spinner="Reading the classifier …")
def _judge(key: str, _given: Data) -> Judge:
    from heat_core.verdicts import Judge

    assert _given.weights is not None
    return Judge(_given.pack, _given.weights)


@st.cache_data(max_entries=64, show_spinner="Looking at the picture …")
def _opinion(key: str, digest: str, name: str, keep: float, names: tuple[str, ...], _given: Data, _content: bytes) -> Opinion:
    from heat_core.pictures import read
    from heat_core.verdicts import Known

    pixels = read(_content, name=name)
    known = {
        frame.detector: Known(frame.run, frame.scores["test"], frame.scores.get("val", frame.scores["test"]))
        for frame in scoring(_given, "modern").frames if frame.detector in names and frame.run is not None
    }  # fmt: skip
    return _judge(_given.key, _given)(pixels, known, keep)


def opinion(given: Data, file: io.BytesIO, name: str, keep: float) -> Opinion | str:
    """Returns what the classifier and the detectors that are ready make of a picture, or one line that says why nothing.

    Args:
        given: data whose classifier is at hand.
        keep: the share of ID that thresholds keep.
    """
    content = file.getvalue()
    names = tuple(scored(scoring(given, "modern"))[0])
    try:
        return _opinion(given.key, hashlib.sha256(content).hexdigest(), name, keep, names, given, content)
    except ValueError as error:
        return str(error)
