"""The pack on the page, the server's or the visitor's own, and the jobs that work on it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.job import Job, Work
from app.pack.items import PackRow
from app.pack.layout import Layout, layout_of
from app.pack.metadata import MetadataColours, metadata_colours
from app.pack.progress import show_waiting
from app.session import (
    from_link,
    job_queue,
    keep_refusal,
    refused_job,
    submit_job,
    tab_id,
    to_link,
    visitor,
)
from heat_core.set_name import SetName

if TYPE_CHECKING:
    from app.pack.work import DetectorScores, RunChoice
    from heat_core.assumptions import Note
    from heat_core.energies import Normalized
    from heat_core.features import Features
    from heat_core.images.gallery import Gallery
    from heat_core.pack import Pack
    from heat_core.results.table import Table

Image = NDArray[np.uint8]  # (height, width, 3)

PACKS = Path(__file__).resolve().parents[2] / "assets" / "packs"
IMAGES = Path("data").resolve()  # where `fetch --root data` puts images
PACKS_VARIABLE = "HEAT_PACKS"  # the environment variable that names further folders of packs


# -- packs -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PackData:
    """A pack, and what is computed from it for the pages.

    All of it lives as long as this object: of uploaded data, no longer than the session.

    Args:
        key: changes with the pack's content.
        pack: the features of ID and OOD sets.
        weights: the file of its classifier, if that is at hand.
        tables: {names of the detectors that were ready: their table of results}.
        added_scores: {detector: its scores} of those that somebody has added.
        run_scores: {run: its scores} of other seeds and presets that somebody has asked for.
    """

    key: str
    pack: Pack
    weights: Path | None = None
    tables: dict[tuple[str, ...], Table] = field(default_factory=dict)
    added_scores: dict[str, DetectorScores] = field(default_factory=dict)
    run_scores: dict[RunChoice, DetectorScores] = field(default_factory=dict)
    _metadata_colours: dict[str, MetadataColours] = field(default_factory=dict)

    @cached_property
    def gallery(self) -> Gallery:
        """The images of its rows."""
        from heat_core.images.gallery import Gallery

        return Gallery(self.pack, [IMAGES])

    @cached_property
    def layout(self) -> Layout | None:
        """The layout that the pack brings with it, if it does."""
        return layout_of(self.pack)

    @cached_property
    def scored_sets(self) -> dict[str, Features]:
        """{set: features} of the sets that detectors score: ID test, OOD and held-out ID."""
        return {
            name: features
            for name, features in self.pack.sets()
            if name != "train" and not SetName.parse(name).is_pseudo
        }

    def metadata_colours(self, column: str) -> MetadataColours:
        """Returns what the rows of all sets are coloured and filtered by of a metadata column."""
        if column not in self._metadata_colours:
            names = [name for name, _ in self.pack.sets()]
            self._metadata_colours[column] = metadata_colours(self.pack, column, names)
        return self._metadata_colours[column]

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """What its figures rest on without saying it."""
        from heat_core.assumptions import notes_on

        is_wanted = self.pack.train.head is None and self.pack.extra.val is not None
        return notes_on(self.pack, self.class_mahalanobis if is_wanted else None)

    @cached_property
    def class_mahalanobis(self) -> Normalized:
        """The Mahalanobis energy of its classes, fitted to the training features."""
        from heat_core.explain import class_mahalanobis

        with show_waiting():
            return class_mahalanobis(self.pack.train)

    @cached_property
    def assigned_classes(self) -> dict[str, NDArray[np.int64]]:
        """{set: the class that each row is assigned to (n,)} of the sets that detectors score.

        It is the class that the classifier's head predicts, or the nearest one without a head.
        """
        from heat_core.explain import assigned_classes

        train = self.pack.train
        mahalanobis = None if train.head else self.class_mahalanobis
        with show_waiting():
            return {
                name: assigned_classes(train, features, mahalanobis)
                for name, features in self.scored_sets.items()
            }


def offered_packs() -> dict[str, Path]:
    """Returns {name: folder} of the packs that the server's operator offers, shipped ones first.

    A visitor chooses one of these names and never a path.
    """
    further = os.environ.get(PACKS_VARIABLE, "").split(os.pathsep)
    roots = [PACKS, *(Path(root) for root in further if root)]
    folders: dict[str, Path] = {}
    for root in roots:
        for card in sorted(root.glob("*/card.json")):
            if not card.parent.name.startswith("."):  # which is being written
                folders.setdefault(card.parent.name, card.parent)
    return folders


@st.cache_resource(max_entries=4, show_spinner="Reading the features …")
def _read_pack_data(folder: Path, modified: tuple[float, float]) -> PackData:
    """Returns the pack of a folder; `modified`, as `_modified` returns it, is part of its key."""
    from heat_core.judge import classifier_file
    from heat_core.pack import read_pack

    weights = classifier_file(folder) if modified[1] else None
    return PackData(_server_key(folder, modified), read_pack(folder), weights)


def _server_key(folder: Path, modified: tuple[float, float]) -> str:
    return f"{folder.name}@{modified}"


def _modified(folder: Path) -> tuple[float, float]:
    """Returns when a pack and its classifier were written; 0 where there is none."""
    from heat_core.judge import classifier_file

    card = folder / "card.json"
    weights = classifier_file(folder)
    return card.stat().st_mtime, weights.stat().st_mtime if weights.is_file() else 0.0


class UnreadablePack(Exception):
    """A pack of the server's cannot be read; says which and why, in one line."""


def current_pack_data() -> PackData | None:
    """Returns the data on the page: the visitor's own, the pack that was chosen, or the first one.

    None if there is none.

    Raises:
        UnreadablePack: it cannot be read.
    """
    own_data = st.session_state.get("uploaded")
    if own_data is not None:
        return own_data
    folders = offered_packs()
    if not folders:
        return None
    name = st.session_state.get("pack", st.query_params.get("pack", ""))
    folder = folders.get(name, next(iter(folders.values())))
    try:
        return _read_pack_data(folder, _modified(folder))
    except (ValueError, OSError) as error:
        reason = str(error).replace(f"{folder.parent}{os.sep}", "")
        raise UnreadablePack(f"The pack {folder.name} cannot be read. {reason}") from error


def sync_pack_with_link() -> None:
    """Selects the pack that a new link asks for, and keeps the one that is selected in the link.

    It comes before the widget, on pages without it, too: Streamlit forgets a widget's value there.
    The first pack is left out of the link.
    """
    names = list(offered_packs())
    from_link("pack", names)
    name = st.session_state.get("pack", st.session_state.get("selected_pack", ""))
    if name in names:
        st.session_state["pack"] = st.session_state["selected_pack"] = name
    to_link("pack", name if name in names[1:] else "")


def is_pack_of_name(pack_data: PackData, name: str) -> bool:
    """Returns whether data is the server's pack of a name; no name is that of the first pack."""
    folders = offered_packs()
    folder = folders.get(name or next(iter(folders), ""))
    return folder is not None and pack_data.key == _server_key(folder, _modified(folder))


def unknown_pack_name() -> str:
    """Returns the pack that a link asked for and the server does not offer.

    It is remembered until other data is chosen.
    """
    name = st.query_params.get("pack", "")
    if name and name not in offered_packs():
        st.session_state["unknown_pack"] = name
    return st.session_state.get("unknown_pack", "")


def unsupported_reasons(pack_data: PackData, names: Sequence[str]) -> dict[str, str]:
    """Returns {detector: why this data does not allow it} of the detectors that are named."""
    from heat_core.detectors.presets import supported_detectors

    _, reasons = supported_detectors(pack_data.pack, names=names)
    return reasons


# -- the visitor's own data ------------------------------------------------------------------------


def is_own_data() -> bool:
    """Returns whether the data on the page is the visitor's own."""
    return "uploaded" in st.session_state


def set_own_data(pack_data: PackData) -> None:
    """Puts the visitor's own data on every page of this tab."""
    st.session_state["uploaded"] = pack_data


def forget_own_data() -> None:
    """Forgets the visitor's own data and ends the jobs on it, and which unknown pack was wanted."""
    for job in st.session_state.pop("own_jobs", {}).values():
        job.cancel()
    st.session_state.pop("refused_jobs", None)
    st.session_state.pop("stopped_scoring", None)
    st.session_state.pop("uploaded", None)
    st.session_state.pop("unknown_pack", None)


# -- jobs on the data ------------------------------------------------------------------------------


def find_job(pack_data: PackData, key: str) -> Job | None:
    """Returns the job of this key on the data, or the one that this tab was refused.

    On the visitor's own data it is theirs alone, and goes with their session. One that was
    cancelled because its owner was gone for a moment does not count.
    """
    if not _belongs_to_tab(pack_data):
        return job_queue().get(key) or refused_job(key)
    job = st.session_state.get("own_jobs", {}).get(key)
    return refused_job(key) if job is None or job.state == "cancelled" else job


def start_job(pack_data: PackData, key: str, work: Work, for_everybody: bool = True) -> Job:
    """Returns the job of this key on the data; a new one if there is none or it came to nothing.

    Args:
        for_everybody: whether work on a pack that the server offers is everybody's, rather than
            the visitor's.
    """
    _left_jobs().discard(key)
    if not _belongs_to_tab(pack_data):
        return submit_job(key, work, for_everybody)
    own_jobs: dict[str, Job] = st.session_state.setdefault("own_jobs", {})
    job = own_jobs.get(key)
    if job is None or job.was_cancelled or job.state in ("failed", "cancelled"):
        job = job_queue().submit_owned(key, work, tab_id(), visitor())
        keep_refusal(job)
        if not job.was_refused:
            own_jobs[key] = job
    return job


def watched_job(pack_data: PackData, key: str) -> Job | None:
    """Returns the job of this key on the data, which this tab waits for from now on.

    None if there is none, it was cancelled, or this tab has left it.
    """
    job = find_job(pack_data, key)
    if job is None or job.was_cancelled or key in _left_jobs():
        return None
    job.watch(tab_id())
    return job


def leave_job(job: Job) -> None:
    """Stops waiting for a job; its work stops unless another tab waits for it."""
    _left_jobs().add(job.key)
    job.leave(tab_id())


def _left_jobs() -> set[str]:
    """Returns the keys of the jobs that this tab has left."""
    return st.session_state.setdefault("left_jobs", set())


def _belongs_to_tab(pack_data: PackData) -> bool:
    return pack_data is st.session_state.get("uploaded")


# -- images ----------------------------------------------------------------------------------------


def images_of(
    pack_data: PackData, pack_rows: Sequence[PackRow]
) -> tuple[list[Image | None], list[str]]:
    """Returns the image of each row, None where there is none, and the reasons why, one per set."""
    rows_by_set: dict[str, list[int]] = {}
    for name, row in pack_rows:
        rows_by_set.setdefault(name, []).append(row)
    images: dict[PackRow, Image] = {}
    reasons: dict[str, None] = {}  # in order, each once
    for name, rows in rows_by_set.items():
        try:
            pixels = pack_data.gallery.pixels(name, rows)
        except (LookupError, ValueError) as error:
            reasons[str(error)] = None
            continue
        for row, image in zip(rows, pixels, strict=True):
            images[name, row] = image
    return [images.get(pack_row) for pack_row in pack_rows], list(reasons)


def has_images(pack_data: PackData, name: str) -> bool:
    """Returns whether the images of a set are at hand."""
    return pack_data.gallery.has(name)
