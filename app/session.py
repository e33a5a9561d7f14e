"""The only file that caches and keeps state: jobs, packs, truths, uploads."""

from __future__ import annotations

import hashlib
import io
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.jobs import Job, Jobs
from app.tasks import SIDE, Scored, drawn, score_pack, train_toy

if TYPE_CHECKING:
    from heat_core.features import Pack

PACKS = Path(__file__).resolve().parent.parent / "assets" / "packs"
UNPACKED = 2**30  # bytes that an upload may unpack to
POINTS = 600  # training points drawn over a landscape


@st.cache_resource
def jobs() -> Jobs:
    """Returns the server's jobs, and loads torch in the background so that the first training starts at once."""
    threading.Thread(target=__import__, args=("heat_core.study",), daemon=True).start()
    return Jobs()


# -- toys --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ToyChoice:
    """What the Toy lab is set to."""

    toy: str
    detector: str
    preset: str
    seed: int

    @property
    def key(self) -> str:
        return f"toy/{self.toy}/{self.detector}/{self.preset}/{self.seed}"


@dataclass(frozen=True, eq=False)
class ToyPicture:
    """What is drawn of a toy before anything is trained: axis, true -log density (first axis y), some training points."""

    title: str
    axis: NDArray[np.float32]
    truth: NDArray[np.float32]
    points: NDArray[np.float32]
    size: int
    modes: int


def toy_job(choice: ToyChoice) -> Job | None:
    return jobs().get(choice.key)


def start_toy(choice: ToyChoice) -> None:
    jobs().submit(choice.key, train_toy(choice.toy, choice.detector, choice.preset, choice.seed))


@st.cache_data(max_entries=32, show_spinner="Preparing the toy …")
def toy_picture(name: str, seed: int) -> ToyPicture:
    from heat_core.quadrature import Grid
    from heat_core.toys import toy

    truth = toy(name)
    grid = Grid(truth, SIDE)
    energy = np.minimum(-grid.truth, 1e3).reshape(SIDE, SIDE)  # where the density is zero, the energy is not finite
    points = truth.features(seed=seed).z[:POINTS].numpy()
    return ToyPicture(truth.title, drawn(grid.axis), drawn(energy), points, truth.size, truth.modes)


# -- packs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Data:
    """A pack and a key that changes with its content."""

    key: str
    pack: Pack


def shipped() -> list[str]:
    """Returns the names of the packs that come with the app."""
    return sorted(path.parent.name for path in PACKS.glob("*/card.json"))


@st.cache_resource(max_entries=4, show_spinner="Reading the features …")
def _read(name: str, changed: float) -> Data:
    from heat_core.features import read_pack

    return Data(f"{name}@{changed}", read_pack(PACKS / name))


def data() -> Data | str | None:
    """Returns the data on the page: the uploader's own, or the first pack that ships; None if there is none.

    A pack that cannot be read gives one line that says why.
    """
    uploaded = st.session_state.get("uploaded")
    if uploaded is not None:
        return uploaded
    names = shipped()
    if not names:
        return None
    try:
        return _read(names[0], (PACKS / names[0] / "card.json").stat().st_mtime)
    except ValueError as error:
        return f"The features that ship cannot be read. {error}"


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
    st.session_state.pop("upload_error", None)
    st.session_state["uploaded"] = Data(hashlib.sha256(content).hexdigest()[:16], pack)


def forget_mistake() -> None:
    """Forgets what was wrong with an upload, once its file is taken away."""
    st.session_state.pop("upload_error", None)


def drop_upload() -> None:
    """Goes back to the pack that ships."""
    st.session_state.pop("uploaded", None)


def scoring(given: Data, preset: str) -> Job:
    """Returns the job that scores the data with every detector; the first to ask starts it, for everybody."""
    key = f"scores/{given.key}/{preset}"
    return jobs().get(key) or jobs().submit(key, score_pack(given.pack, preset))  # one that failed stays, and says why


def scored(job: Job) -> tuple[dict[str, dict[str, NDArray[np.float64]]], dict[str, str]]:
    """Returns ({detector: {set: scores}}, {detector: why it is absent}) of what is ready."""
    frames: list[Scored] = list(job.frames)
    return {f.detector: dict(f.scores) for f in frames if not f.reason}, {f.detector: f.reason for f in frames if f.reason}
