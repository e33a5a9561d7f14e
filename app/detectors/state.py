"""State of the Detectors page: flips between two detectors, and an image of one's own."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from heat_core.flips import Flips
    from heat_core.judge import Judge, Opinion
from app.pack.data import PackData
from app.pack.scores import ready_scores, scoring_job


def differ_by_correction(accepts: str, rejects: str) -> bool:
    """Returns whether two detectors differ by HEAT's correction alone: its prior is the MoG, over T_G."""
    return {accepts, rejects} == {"MoG", "HEAT"}


def find_flips(pack_data: PackData, accepts: str, rejects: str, keep: float) -> Flips:
    """Returns the rows that one detector accepts and another rejects, each at the threshold that keeps a share of ID test.

    Where they differ by HEAT's correction, that sorts them; else the change of rank among ID.
    """
    from heat_core.flips import Flips
    from heat_core.metrics import threshold_keeping

    frames = {frame.detector: frame for frame in scoring_job(pack_data, "modern").frames}
    one, other = (
        {name: s for name, s in frames[who].scores.items() if name != "val"}
        for who in (accepts, rejects)
    )
    cuts = threshold_keeping(one["test"], keep), threshold_keeping(other["test"], keep)
    if not differ_by_correction(accepts, rejects):
        return Flips.between(one, other, cuts)
    sign = 1 if rejects == "HEAT" else -1
    heat = frames["HEAT"]
    assert heat.terms is not None
    column = heat.terms.names.index("correction")
    moves = {name: sign * values[:, column] for name, values in heat.term_values.items()}
    return Flips.between(one, other, cuts, moves)


# -- a picture of one's own --------------------------------------------------------------------------------------------


@st.cache_resource(max_entries=2, show_spinner="Reading the classifier …")
def _judge(key: str, _given: PackData) -> Judge:
    from heat_core.judge import Judge

    assert _given.weights is not None
    return Judge(_given.pack, _given.weights)


def _opinion(
    pack_data: PackData, content: bytes, name: str, keep: float, names: Sequence[str]
) -> Opinion | str:
    from heat_core.images.decoding import read_image
    from heat_core.judge import FittedDetector

    known = {
        frame.detector: FittedDetector(
            frame.run, frame.scores["test"], frame.scores.get("val", frame.scores["test"])
        )
        for frame in scoring_job(pack_data, "modern").frames
        if frame.detector in names and frame.run is not None
    }
    try:
        return _judge(pack_data.key, pack_data)(read_image(content, name=name), known, keep)
    except ValueError as error:
        return str(error)


def image_opinion(pack_data: PackData, file: io.BytesIO, name: str, keep: float) -> Opinion | str:
    """Returns what the classifier and the detectors that are ready make of a picture, or one line that says why nothing.

    The last one is kept, in the visitor's session: a picture is theirs alone.

    Args:
        pack_data: data whose classifier is at hand.
        keep: the share of ID that thresholds keep.
    """
    content, names = file.getvalue(), tuple(ready_scores(scoring_job(pack_data, "modern"))[0])
    asked = (pack_data.key, hashlib.sha256(content).hexdigest(), name, keep, names)
    held = st.session_state.get("opinion")
    if held is None or held[0] != asked:
        with st.spinner("Looking at the picture …"):
            held = st.session_state["opinion"] = (
                asked,
                _opinion(pack_data, content, name, keep, names),
            )
    return held[1]
