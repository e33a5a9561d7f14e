"""The only file that caches and keeps state: jobs, packs, truths, uploads."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import landscapes
from app.chains import Chains, Walk
from app.insights import Insight, look
from app.jobs import Job, Jobs, Work
from app.landscapes import Reading, Spelled, Window
from app.maps import Layout, Region, held, layout_of, mapped, region_in
from app.selection import Part, Selection, items_of, mask_in, parts_in
from app.story import PATH, Story, read
from app.tasks import Scored, lay_out, score_pack
from app.toys import FINE, SIDE, Frame, ToyChoice, ToyResult, drawn, train_toy, warm

if TYPE_CHECKING:
    from heat_core.benchmark import Table
    from heat_core.energies import Normalized
    from heat_core.explain import Flips
    from heat_core.features import Pack
    from heat_core.gallery import Gallery
    from heat_core.quadrature import Grid
    from heat_core.verdicts import Judge, Opinion

PACKS = Path(__file__).resolve().parent.parent / "assets" / "packs"
IMAGES = Path("data").resolve()  # where `fetch --root data` puts images
ROOTS = "HEAT_PACKS"  # the environment variable that names further folders of packs; nobody else can name one
UNPACKED = 2**30  # bytes that an upload may unpack to
COMPARED = ("MoG", "EBM", "HEAT")  # in the paper's second figure
MAP = "map"  # the origin of what is selected by drawing on the map
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
    jobs().submit(choice.key, train_toy(choice, grid(choice.toy, SIDE), grid(choice.toy, FINE))).watch(me())


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


def toy_title(name: str) -> str:
    """Returns what people call a toy."""
    from heat_core.toys import toy

    return toy(name).title


@st.cache_resource(max_entries=18, show_spinner=False)
def grid(toy: str, side: int) -> Grid:
    """Returns the grid over a toy, with the truth on it, that all share who measure there."""
    from heat_core import quadrature, toys

    return quadrature.Grid(toys.toy(toy), side)


@st.cache_data(max_entries=32, show_spinner="Preparing the toy …")
def toy_picture(name: str, seed: int) -> ToyPicture:
    here = grid(name, SIDE)
    truth, energy = here.toy, np.minimum(-here.truth, 1e3).reshape(SIDE, SIDE)  # infinite where the density is zero
    points = truth.features(seed=seed).z[:POINTS].numpy()
    return ToyPicture(truth.title, drawn(here.axis), drawn(energy), points, truth.size, truth.modes, truth.extent)


# -- landscapes --------------------------------------------------------------------------------------------------------


@st.cache_data(max_entries=16, show_spinner="Reading the energy …")
def reading(choice: ToyChoice, _result: ToyResult) -> Reading:
    """Returns what is known of a finished training's energy as a whole."""
    return landscapes.read(_result.energy, choice, grid(choice.toy, FINE))


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
    """A pack, a key that changes with its content, and the file of its classifier, if that is at hand.

    What is made of it lives as long as it does: of uploaded data, no longer than the session. `tables` holds {names of the
    detectors that were ready: their table}.
    """

    key: str
    pack: Pack
    weights: Path | None = None
    tables: dict[tuple[str, ...], Table] = field(default_factory=dict)

    @cached_property
    def gallery(self) -> Gallery:
        """The images of its rows."""
        from heat_core.gallery import Gallery

        return Gallery(self.pack, [IMAGES])

    @cached_property
    def layout(self) -> Layout | None:
        """The map that the pack brings with it, if it does."""
        return layout_of(self.pack)

    @cached_property
    def classes(self) -> Normalized:
        """The Gaussians of its classes."""
        from heat_core.explain import classes

        return classes(self.pack.train)

    @cached_property
    def taken_for(self) -> dict[str, NDArray[np.int64]]:
        """{set: the class that each row is taken for (n,)} of the sets that are scored."""
        from heat_core.explain import taken_for

        sets = {name: rows for name, rows in self.pack.sets() if name != "train" and not name.startswith("pseudo")}
        fitted = None if self.pack.train.head else self.classes
        return {name: taken_for(self.pack.train, rows, fitted) for name, rows in sets.items()}


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


def unknown_pack() -> str:
    """Returns the pack that a link asked for and the server does not offer, until other data is chosen."""
    asked = st.query_params.get("pack", "")
    if asked and asked not in packs():
        st.session_state["unknown_pack"] = asked
    return st.session_state.get("unknown_pack", "")


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
    st.session_state["uploaded"] = Data(hashlib.sha256(content).hexdigest()[:16], pack)


def take_back() -> None:
    """Forgets what was wrong with the file that is taken away; where nothing was, the data that it brought."""
    if st.session_state.pop("upload_error", None) is None:
        drop_upload()


def drop_upload() -> None:
    """Goes back to a pack of the server's; forgets the visitor's own, all that was made of it, and what was wrong before."""
    clear_selection()
    look_at("")
    for job in st.session_state.pop("own_jobs", {}).values():
        job.cancel()
    for name in ("uploaded", "upload_error", "unknown_pack"):
        st.session_state.pop(name, None)


def job_on(given: Data, key: str) -> Job | None:
    """Returns the job of this key on the data; on somebody's own data it is theirs alone, and goes with their session."""
    job = st.session_state.get("own_jobs", {}).get(key) if _is_mine(given) else jobs().get(key)
    return None if job is not None and job.owner and job.state == "cancelled" else job  # its owner was gone for a moment


def begin_on(given: Data, key: str, work: Work) -> Job:
    """Returns a job on the data: the one there is, unless it failed or was cancelled, or one begun now."""
    if not _is_mine(given):
        return jobs().submit(key, work)
    own = st.session_state.setdefault("own_jobs", {})
    if key not in own or own[key].stopping or own[key].state in ("failed", "cancelled"):
        own[key] = jobs().lend(key, work, me())
    return own[key]


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


def notes(job: Job) -> list[str]:
    """Returns what must be said of the detectors that are ready."""
    return [f"{frame.detector}: {frame.note}" for frame in job.frames if frame.note]


def correction(given: Data) -> dict[str, NDArray[np.float64]]:
    """Returns {set: what HEAT's correction adds to each row (n,)}; nothing while HEAT is not ready, or where it has none."""
    found = [frame for frame in scoring(given, "modern").frames if frame.detector == "HEAT" and frame.terms]
    if not found:
        return {}
    column = found[0].how.names.index("correction")
    return {name: values[:, column] for name, values in found[0].terms.items()}


def table(given: Data, scores: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> Table:
    """Returns the paper's table of the detectors that are ready."""
    from heat_core.benchmark import tabulate

    names = tuple(scores)
    if names not in given.tables:
        given.tables[names] = tabulate(scores, given.pack.outside)
    return given.tables[names]


# -- maps --------------------------------------------------------------------------------------------------------------


def layout(given: Data, method: str) -> Layout | None:
    """Returns the data's map: its own, or the one that a job has made; None if there is none by this method."""
    if given.layout is not None and given.layout.method == method:
        return given.layout
    job = map_job(given, method)
    return job.result if job is not None and job.state == "done" else None


def map_job(given: Data, method: str) -> Job | None:
    """Returns the job that lays the data out, watched from now on; None if there is none, or this tab has left it."""
    key = f"map/{given.key}/{method}"
    job = job_on(given, key)
    if job is None or job.stopping or key in _left_maps():
        return None
    job.watch(me())
    return job


def start_map(given: Data, method: str) -> None:
    """Starts laying the data out, or joins who does."""
    key = f"map/{given.key}/{method}"
    _left_maps().discard(key)
    begin_on(given, key, lay_out(given.pack, method)).watch(me())


def leave_map(given: Data, method: str) -> None:
    """Stops waiting for a map; the work stops unless another tab waits for it."""
    job = map_job(given, method)
    if job is not None:
        _left_maps().add(job.key)
        job.leave(me())


def _left_maps() -> set[str]:
    return st.session_state.setdefault("left_maps", set())


# -- what is selected, and what is looked at ---------------------------------------------------------------------------


def selection() -> Selection:
    """Returns what is selected in this tab, whatever page it was picked on."""
    return st.session_state.get("selection", Selection())


def select(part: Part) -> None:
    """Adds a part to the selection, in place of the one of the same origin."""
    st.session_state["selection"] = selection().with_part(part)


def deselect(origin: str) -> None:
    """Takes the part of an origin out of the selection."""
    if origin == MAP:
        draw_region("")
    st.session_state["selection"] = selection().without(origin)


def clear_selection() -> None:
    """Selects nothing."""
    draw_region("")
    st.session_state["selection"] = Selection()


def follow_picked() -> None:
    """Selects what the link that began this session says was picked, and lets the link say what is picked from now on.

    What is drawn on the map is left to its region; a selection that is too large for a link is not in it.
    """
    if not st.session_state.setdefault("followed", False):
        st.session_state["followed"] = True
        for part in parts_in(st.query_params.get("picked", "")):
            if part.origin != MAP and selection().part(part.origin) is None:
                select(part)
    _linked("picked", selection().text_without(MAP))


def item() -> str:
    """Returns the id of the item that is looked at, such as `cifar10/test/123`, or nothing; it stays in the link."""
    return _linked("item", st.session_state.setdefault("item", st.query_params.get("item", "")))


def from_link(name: str, options: Sequence[str]) -> None:
    """Sets a widget to what a link asks for, where it asks for something new.

    For choices whose titles are not their names: a widget that is bound to the link puts its titles there.
    """
    asked = st.query_params.get(name, "")
    if asked in options and asked != st.session_state.get(f"linked-{name}"):
        st.session_state[name] = asked


def to_link(name: str, value: str) -> str:
    """Returns a choice, which the link says from now on."""
    st.session_state[f"linked-{name}"] = value
    return _linked(name, value)


def _linked(name: str, value: str) -> str:
    """Returns a value, which the link says from now on; nothing is left out of the link."""
    if not value:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != value:
        st.query_params[name] = value
    return value


def look_at(item: str) -> None:
    """Looks at an item, or at none."""
    st.session_state["item"] = item


def region() -> str:
    """Returns what is drawn on the map, as `maps.Region.text` writes it; it stays in the link of every room."""
    return _linked("region", st.session_state.setdefault("region", st.query_params.get("region", "")))


def region_sets() -> tuple[str, ...] | None:
    """Returns the sets that were shown when the map was drawn on; None if all were, or nothing is drawn."""
    drawn = region_in(region())
    return None if drawn is None else drawn.sets


def draw_region(text: str) -> None:
    """Draws on the map, or takes away what is drawn."""
    st.session_state["region"] = text


def select_region(given: Data, found: Layout, drawn: Region) -> None:
    """Selects what is drawn on a map."""
    draw_region(drawn.text)
    select(Part(MAP, "Drawn on the map", items_of(given.pack, held(found, drawn))))


def follow_link(given: Data) -> str:
    """Selects what a link says is drawn on the map; returns by which method that is laid out, while there is no such map."""
    drawn = region_in(region())
    if drawn is None or not _can_be_drawn(given, drawn):  # nothing, or cut off, or of other data
        draw_region("")
    elif selection().part(MAP) is None:
        found = layout(given, drawn.method)
        if found is None:
            return drawn.method
        select_region(given, found, drawn)
    region()
    return ""


def is_of_other_data(given: Data) -> bool:
    """Returns whether the link that began this session was made of other data; what it selects is then left out.

    From now on the link says of which data it is.
    """
    mine, state = given.key[:8], st.session_state
    if "of" not in state and st.query_params.get("of", mine) != mine:
        draw_region("")
        look_at("")
        state["followed"] = True  # and what it picked is passed over
        state["of_other"] = mine  # until other data is opened
    state["of"] = _linked("of", mine)
    return state.get("of_other") == mine


def _can_be_drawn(given: Data, drawn: Region) -> bool:
    """Returns whether there can be a map of this data by that method, with one of those sets."""
    from heat_core.projection import METHODS

    own = given.layout.method if given.layout else ""
    return drawn.method in {*METHODS, own} and (not drawn.sets or not {*drawn.sets}.isdisjoint(mapped(given.pack)))


def window() -> str:
    """Returns which part of the map is looked at, four numbers as text; nothing is the whole. It stays in the link."""
    return _linked("window", st.session_state.setdefault("window", st.query_params.get("window", "")))


def look_through(window: str) -> None:
    """Looks at a part of the map."""
    st.session_state["window"] = window


def masks(given: Data, chosen: Selection) -> dict[str, NDArray[np.bool]]:
    """Returns {set: which of its rows are selected (N,)}, of the sets that are scored and have any."""
    sets = {name: features for name, features in given.pack.sets() if name != "train" and not name.startswith("pseudo")}
    found = {name: mask_in(features, name, chosen.items) for name, features in sets.items()}
    return {name: mask for name, mask in found.items() if mask.any()}


def corrects(accepts: str, rejects: str) -> bool:
    """Returns whether two detectors differ by HEAT's correction alone: its prior is the MoG, over T_G."""
    return {accepts, rejects} == {"MoG", "HEAT"}


def flips(given: Data, accepts: str, rejects: str, keep: float) -> Flips:
    """Returns the rows that one detector accepts and another rejects, each at the threshold that keeps a share of ID test.

    Where they differ by HEAT's correction, that sorts them; else the change of rank among ID.
    """
    from heat_core.explain import flips
    from heat_core.metrics import threshold_keeping

    frames = {frame.detector: frame for frame in scoring(given, "modern").frames}
    one, other = ({name: s for name, s in frames[who].scores.items() if name != "val"} for who in (accepts, rejects))
    cuts = threshold_keeping(one["test"], keep), threshold_keeping(other["test"], keep)
    if not corrects(accepts, rejects):
        return flips(one, other, cuts)
    sign = 1 if rejects == "HEAT" else -1
    return flips(one, other, cuts, {name: sign * values[:, 1] for name, values in frames["HEAT"].terms.items()})


def insight(given: Data, place: tuple[str, int], cuts: Mapping[str, float]) -> Insight:
    """Returns what is known so far of a row: (name of its set, row).

    Args:
        cuts: {detector: threshold}, of every detector that is ready.
    """
    frames = [frame for frame in scoring(given, "modern").frames if frame.reason or frame.detector in cuts]
    return look(given.pack, given.classes, frames, place, cuts)


def pictures(given: Data, places: Sequence[tuple[str, int]]) -> tuple[list[NDArray[np.uint8] | None], list[str]]:
    """Returns the image of each (set, row), None where there is none, and one line for each set without, that says why."""
    by_set: dict[str, list[int]] = {}
    for name, row in places:
        by_set.setdefault(name, []).append(row)
    found, reasons = {}, []
    for name, rows in by_set.items():
        try:
            found |= {(name, row): image for row, image in zip(rows, given.gallery.pixels(name, rows), strict=True)}
        except (LookupError, ValueError) as error:
            reasons.append(str(error))
    return [found.get(place) for place in places], list(dict.fromkeys(reasons))


def pictured(given: Data, name: str) -> bool:
    """Returns whether the images of a set are at hand."""
    return given.gallery.has(name)


def kept_share() -> float:
    """Returns the share of ID that thresholds keep in this tab, where no page says otherwise."""
    return float(st.session_state.get("keep") or 95.0) / 100


# -- a picture of one's own --------------------------------------------------------------------------------------------


@st.cache_resource(max_entries=2, show_spinner="Reading the classifier …")
def _judge(key: str, _given: Data) -> Judge:
    from heat_core.verdicts import Judge

    assert _given.weights is not None
    return Judge(_given.pack, _given.weights)


def _opinion(given: Data, content: bytes, name: str, keep: float, names: Sequence[str]) -> Opinion | str:
    from heat_core.pictures import read
    from heat_core.verdicts import Known

    known = {
        frame.detector: Known(frame.run, frame.scores["test"], frame.scores.get("val", frame.scores["test"]))
        for frame in scoring(given, "modern").frames if frame.detector in names and frame.run is not None
    }  # fmt: skip
    try:
        return _judge(given.key, given)(read(content, name=name), known, keep)
    except ValueError as error:
        return str(error)


def opinion(given: Data, file: io.BytesIO, name: str, keep: float) -> Opinion | str:
    """Returns what the classifier and the detectors that are ready make of a picture, or one line that says why nothing.

    The last one is kept, in the visitor's session: a picture is theirs alone.

    Args:
        given: data whose classifier is at hand.
        keep: the share of ID that thresholds keep.
    """
    content, names = file.getvalue(), tuple(scored(scoring(given, "modern"))[0])
    asked = (given.key, hashlib.sha256(content).hexdigest(), name, keep, names)
    held = st.session_state.get("opinion")
    if held is None or held[0] != asked:
        with st.spinner("Looking at the picture …"):
            held = st.session_state["opinion"] = asked, _opinion(given, content, name, keep, names)
    return held[1]
