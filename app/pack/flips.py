"""Flips: the rows that one detector accepts and another rejects, and the pair that is compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.pack.data import PackData
from app.pack.items import Mask
from app.pack.scores import Array, ensure_scoring_job, heat_correction, heat_prior, ready_scores
from app.pack.shown import shown_detectors
from app.session import warn_if_not_offered
from heat_core.detectors.presets import DETECTORS

if TYPE_CHECKING:
    from heat_core.flips import Flips
    from heat_core.scores import SetScores

HEATS_PRIOR = "HEAT's prior"  # beside the detectors, as one that accepts or rejects
PRIORS = {"HEAT": HEATS_PRIOR, "HEAT-GMM": "MoG", "HEAT-EL": "Energy"}
"""{detector with a correction: what it is without that}."""
SELECT_WIDTH = 200  # pixels


def corrected_detector(accepts: str, rejects: str) -> str:
    """Returns which of two detectors is the other with a correction alone added; else nothing."""
    for name, prior in PRIORS.items():
        if {accepts, rejects} == {name, prior}:
            return name
    return ""


def flip_scores(pack_data: PackData) -> dict[str, SetScores]:
    """Returns {detector: its scores} of those that are ready, HEAT's prior among them."""
    from heat_core.scores import SetScores

    scores_by_detector, _ = ready_scores(ensure_scoring_job(pack_data, "modern"))
    prior = heat_prior(pack_data)
    return {**scores_by_detector, **({HEATS_PRIOR: SetScores(prior)} if prior else {})}


def find_flips(pack_data: PackData, accepts: str, rejects: str, share_to_keep: float) -> Flips:
    """Returns the rows that one detector accepts and another rejects.

    Each has the threshold that keeps a share of the calibration scores. Where they differ by a
    correction alone, that sorts the rows; else the change of the ID percentile does.

    Args:
        pack_data: whose rows.
        accepts, rejects: names of detectors that are ready, or `HEATS_PRIOR`.
        share_to_keep: the share of the calibration scores that thresholds keep.
    """
    from heat_core.flips import Flips
    from heat_core.metrics import threshold_keeping

    scores_by_detector = flip_scores(pack_data)
    accepting, rejecting = scores_by_detector[accepts], scores_by_detector[rejects]
    thresholds = (
        threshold_keeping(accepting.calibration, share_to_keep),
        threshold_keeping(rejecting.calibration, share_to_keep),
    )
    moves = None
    corrected = corrected_detector(accepts, rejects)
    if corrected:
        sign = 1 if rejects == corrected else -1
        corrections = heat_correction(pack_data, corrected)
        moves = {name: sign * values for name, values in corrections.items()}
    return Flips.between(_tested(accepting), _tested(rejecting), thresholds, moves)


def _tested(scores: SetScores) -> dict[str, Array]:
    """Returns {set: (n,) scores} of ID test and the OOD sets, which flips are counted in."""
    return {name: values for name, values in scores.items() if name != "val"}


def rejections(
    pack_data: PackData, pair: tuple[str, str], share_to_keep: float
) -> dict[str, tuple[Mask, Mask]]:
    """Returns {set: (which rows the first of a pair rejects (n,), which the second rejects (n,))}.

    Each has the threshold that keeps a share of the calibration scores. Nothing while one of them
    is not ready.
    """
    scores_by_detector = flip_scores(pack_data)
    if not set(pair) <= set(scores_by_detector):
        return {}
    first, second = (_rejected(scores_by_detector[name], share_to_keep) for name in pair)
    return {name: (first[name], second[name]) for name in first if name in second}


def _rejected(scores: SetScores, share_to_keep: float) -> dict[str, Mask]:
    """Returns {set: which rows lie above the threshold that keeps a share of calibration (n,)}."""
    from heat_core.metrics import threshold_keeping

    threshold = threshold_keeping(scores.calibration, share_to_keep)
    return {name: values > threshold for name, values in _tested(scores).items()}


def missing_reason(pack_data: PackData, name: str) -> str:
    """Returns why a detector of the pair has no scores, or that they are not ready yet."""
    _, missing_reasons = ready_scores(ensure_scoring_job(pack_data, "modern"))
    owner = "HEAT" if name == HEATS_PRIOR else name
    return missing_reasons.get(owner, f"{name} is not ready yet.")


# -- the pair --------------------------------------------------------------------------------------


def detector_pair_input() -> tuple[str, str]:
    """Returns two detectors, one that accepts and one that rejects; they can be swapped.

    They stand beside each other in whatever row they are drawn in. It is the same pair on every
    page.
    """
    accepts = _detector_input("Accepted by", HEATS_PRIOR, "accepts")
    st.button(
        "Turn round",
        icon=":material/swap_horiz:",
        on_click=_swap_detectors,
        help="Swaps the two detectors.",
    )
    rejects = _detector_input("Rejected by", "HEAT", "rejects")
    return accepts, rejects


def _detector_input(label: str, default: str, key: str) -> str:
    """Returns a detector, or HEAT's prior; the last is the default where `default` is none."""
    shown = shown_detectors()
    names = [*shown, *([HEATS_PRIOR] if "HEAT" in shown else [])]
    warn_if_not_offered(key, [*DETECTORS, HEATS_PRIOR], "detector")
    if st.session_state.get(key, names[0]) not in names:  # it may have been taken away since
        del st.session_state[key]
    index = names.index(default) if default in names else len(names) - 1
    return str(st.selectbox(label, names, index, key=key, bind="query-params", width=SELECT_WIDTH))


def _swap_detectors() -> None:
    state = st.session_state
    state["accepts"], state["rejects"] = state["rejects"], state["accepts"]
