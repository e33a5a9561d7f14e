"""The pack on the page: the server's, or the visitor's own."""

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

from app.jobs import Job, Work
from app.pack.layout import Layout, layout_of

if TYPE_CHECKING:
    from heat_core.energies import Normalized
    from heat_core.images.gallery import Gallery
    from heat_core.pack import Pack
    from heat_core.results.table import Table
from app.session import job_queue, tab_id

PACKS = Path(__file__).resolve().parents[2] / "assets" / "packs"
IMAGES = Path("data").resolve()  # where `fetch --root data` puts images
PACKS_VARIABLE = "HEAT_PACKS"  # the environment variable that names further folders of packs; nobody else can name one


# -- packs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PackData:
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
        from heat_core.images.gallery import Gallery

        return Gallery(self.pack, [IMAGES])

    @cached_property
    def layout(self) -> Layout | None:
        """The map that the pack brings with it, if it does."""
        return layout_of(self.pack)

    @cached_property
    def classes(self) -> Normalized:
        """The Gaussians of its classes."""
        from heat_core.explain import class_gaussians

        return class_gaussians(self.pack.train)

    @cached_property
    def taken_for(self) -> dict[str, NDArray[np.int64]]:
        """{set: the class that each row is taken for (n,)} of the sets that are scored."""
        from heat_core.explain import predicted_classes

        sets = {
            name: rows
            for name, rows in self.pack.sets()
            if name != "train" and not name.startswith("pseudo")
        }
        fitted = None if self.pack.train.head else self.classes
        return {
            name: predicted_classes(self.pack.train, rows, fitted) for name, rows in sets.items()
        }


def offered_packs() -> dict[str, Path]:
    """Returns {name: folder} of the packs that the server's operator offers, those that ship first.

    A visitor chooses one of these names and never a path.
    """
    found: dict[str, Path] = {}
    for root in (
        PACKS,
        *(Path(root) for root in os.environ.get(PACKS_VARIABLE, "").split(os.pathsep) if root),
    ):
        for card in sorted(root.glob("*/card.json")):
            found.setdefault(card.parent.name, card.parent)
    return found


@st.cache_resource(max_entries=4, show_spinner="Reading the features …")
def _read(folder: Path, changed: tuple[float, float]) -> PackData:
    from heat_core.judge import weights_of
    from heat_core.pack import read_pack

    return PackData(
        f"{folder.name}@{changed}", read_pack(folder), weights_of(folder) if changed[1] else None
    )


def _changed(folder: Path) -> tuple[float, float]:
    """Returns when a pack was written, and its classifier; 0 where there is none."""
    from heat_core.judge import weights_of

    weights = weights_of(folder)
    return (
        folder / "card.json"
    ).stat().st_mtime, weights.stat().st_mtime if weights.is_file() else 0.0


def is_own_data() -> bool:
    """Returns whether the data on the page is the visitor's own."""
    return "uploaded" in st.session_state


def current_pack_data() -> PackData | str | None:
    """Returns the data on the page: the uploader's own, or else the pack that was chosen, or else the first; None if there
    is none.

    A pack that cannot be read gives one line that says why.
    """
    if is_own_data():
        return st.session_state["uploaded"]
    offered = offered_packs()
    if not offered:
        return None
    asked = st.session_state.get("pack", st.query_params.get("pack", ""))
    folder = offered.get(asked, next(iter(offered.values())))
    try:
        return _read(folder, _changed(folder))
    except ValueError as error:
        return f"The pack {folder.name} cannot be read. {str(error).replace(f'{folder.parent}{os.sep}', '')}"


def unknown_pack_name() -> str:
    """Returns the pack that a link asked for and the server does not offer, until other data is chosen."""
    asked = st.query_params.get("pack", "")
    if asked and asked not in offered_packs():
        st.session_state["unknown_pack"] = asked
    return st.session_state.get("unknown_pack", "")


def unsupported_reasons(pack_data: PackData) -> dict[str, str]:
    """Returns {detector: why this data does not allow it}."""
    from heat_core.detectors.presets import supported_detectors

    return supported_detectors(pack_data.pack)[1]


def find_job(pack_data: PackData, key: str) -> Job | None:
    """Returns the job of this key on the data; on somebody's own data it is theirs alone, and goes with their session."""
    job = (
        st.session_state.get("own_jobs", {}).get(key)
        if _is_own(pack_data)
        else job_queue().get(key)
    )
    return (
        None if job is not None and job.owner and job.state == "cancelled" else job
    )  # its owner was gone for a moment


def start_job(pack_data: PackData, key: str, work: Work) -> Job:
    """Returns a job on the data: the one there is, unless it failed or was cancelled, or one begun now."""
    if not _is_own(pack_data):
        return job_queue().submit(key, work)
    own = st.session_state.setdefault("own_jobs", {})
    if key not in own or own[key].stopping or own[key].state in ("failed", "cancelled"):
        own[key] = job_queue().submit_owned(key, work, tab_id())
    return own[key]


def _is_own(pack_data: PackData) -> bool:
    return pack_data is st.session_state.get("uploaded")


def images_of(
    pack_data: PackData, places: Sequence[tuple[str, int]]
) -> tuple[list[NDArray[np.uint8] | None], list[str]]:
    """Returns the image of each (set, row), None where there is none, and one line for each set without, that says why."""
    by_set: dict[str, list[int]] = {}
    for name, row in places:
        by_set.setdefault(name, []).append(row)
    found, reasons = {}, []
    for name, rows in by_set.items():
        try:
            found |= {
                (name, row): image
                for row, image in zip(rows, pack_data.gallery.pixels(name, rows), strict=True)
            }
        except (LookupError, ValueError) as error:
            reasons.append(str(error))
    return [found.get(place) for place in places], list(dict.fromkeys(reasons))


def has_images(pack_data: PackData, name: str) -> bool:
    """Returns whether the images of a set are at hand."""
    return pack_data.gallery.has(name)
