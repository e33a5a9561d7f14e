"""State of the Detectors page: what is selected, and an image of one's own."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from app.pack.data import PackData
from app.pack.items import Mask
from app.pack.scores import ensure_scoring_job, ready_scores
from app.pack.selected import current_selection, selected_masks
from app.pack.work import DetectorScores
from app.session import SHARE_TO_KEEP_KEY

if TYPE_CHECKING:
    from heat_core.judge import Judge, Opinion, ScoredRun


# -- what is selected ------------------------------------------------------------------------------


def ood_names(pack_data: PackData, group: str = "all") -> list[str]:
    """Returns the names of the OOD sets of a group, or of all."""
    return [str(name) for name in pack_data.pack.ood if group in ("all", name.group)]


def selected_ood_masks(pack_data: PackData, group: str = "all") -> dict[str, Mask]:
    """Returns {set: mask of its selected rows (n,)} of the OOD sets of a group, or of all."""
    if not current_selection():
        return {}
    masks = selected_masks(pack_data, current_selection())
    return {name: masks[name] for name in ood_names(pack_data, group) if name in masks}


def row_count(masks: Mapping[str, Mask]) -> int:
    """Returns how many rows there are in {set: mask of its rows (n,)}."""
    return sum(int(mask.sum()) for mask in masks.values())


# -- the line ------------------------------------------------------------------------------------


COUNTED_KEY = "counted"  # of the OOD sets that count, in the tab and in the link


def counted_sets(pack_data: PackData) -> tuple[str, ...]:
    """Returns the names of the OOD sets that count; where none was left out, all of which averages
    may count.
    """
    if COUNTED_KEY not in st.session_state:
        st.session_state[COUNTED_KEY] = tuple(st.query_params.get_all(COUNTED_KEY))
    names = [str(name) for name in pack_data.pack.averaged]
    counted = tuple(name for name in names if name in st.session_state[COUNTED_KEY])
    if not counted or len(counted) == len(names):
        st.query_params.pop(COUNTED_KEY, None)
        return tuple(names)
    if st.query_params.get_all(COUNTED_KEY) != list(counted):
        st.query_params[COUNTED_KEY] = counted
    return counted


def set_counted_sets(names: Sequence[str]) -> None:
    """Sets which OOD sets count from now on."""
    st.session_state[COUNTED_KEY] = tuple(names)


def set_percent_to_keep(percent: float) -> None:
    """Sets the percentage of ID that thresholds keep, where the line was let go."""
    st.session_state[SHARE_TO_KEEP_KEY] = percent


# -- an image of one's own -------------------------------------------------------------------------


class NoOpinion(Exception):
    """Nothing can be made of an image; says why, in one line."""


def image_opinion(
    pack_data: PackData, file: io.BytesIO, name: str, share_to_keep: float
) -> Opinion:
    """Returns what the classifier and the detectors that are ready make of an image.

    The last opinion is kept in the visitor's session: an image is theirs alone.

    Args:
        pack_data: data whose classifier is at hand.
        file: the image.
        name: of the file.
        share_to_keep: the share of ID that thresholds keep.

    Raises:
        NoOpinion: they make nothing of it.
    """
    content = file.getvalue()
    ready, _ = ready_scores(ensure_scoring_job(pack_data, "modern"))
    detectors = tuple(ready)
    question = (pack_data.key, hashlib.sha256(content).hexdigest(), name, share_to_keep, detectors)
    if st.session_state.get("opinion", (None,))[0] != question:
        with st.spinner("Looking at the image …"):
            opinion = _judge_image(pack_data, content, name, share_to_keep, detectors)
        st.session_state["opinion"] = (question, opinion)
    return st.session_state["opinion"][1]


def _judge_image(
    pack_data: PackData, content: bytes, name: str, share_to_keep: float, detectors: Sequence[str]
) -> Opinion:
    from heat_core.images.decoding import read_image

    try:
        pixels = read_image(content, name=name)
        judge = _judge(pack_data.key, pack_data)
        return judge(pixels, _fitted_detectors(pack_data, detectors), share_to_keep)
    except ValueError as error:
        raise NoOpinion(str(error)) from error


def _fitted_detectors(pack_data: PackData, names: Sequence[str]) -> dict[str, ScoredRun]:
    from heat_core.judge import ScoredRun

    fitted = {}
    scores_by_detector, _ = ready_scores(ensure_scoring_job(pack_data, "modern"))
    for name, detector_scores in _by_detector(pack_data).items():
        if name in names and detector_scores.run is not None:
            set_scores = scores_by_detector[name]
            fitted[name] = ScoredRun(detector_scores.run, set_scores.test, set_scores.calibration)
    return fitted


def _by_detector(pack_data: PackData) -> dict[str, DetectorScores]:
    return {
        detector_scores.detector: detector_scores
        for detector_scores in ensure_scoring_job(pack_data, "modern").frames
    }


@st.cache_resource(max_entries=2, show_spinner="Reading the classifier …")
def _judge(key: str, _pack_data: PackData) -> Judge:
    from heat_core.judge import Judge

    assert _pack_data.weights is not None
    return Judge(_pack_data.pack, _pack_data.weights)
