"""One detector by a metadata column: how much ID is kept and OOD caught of each of its values."""

from __future__ import annotations

import streamlit as st

from app.detectors.state import counted_sets
from app.pack.data import PackData
from app.pack.scores import ScoresByDetector
from app.pack.slices_panel import column_input, show_slices, slices_expander
from heat_core.metrics import threshold_keeping

DETECTOR_KEY = "sliced"  # whose threshold it is, in the link, too


@st.fragment
def show(pack_data: PackData, scores_by_detector: ScoresByDetector, share_to_keep: float) -> None:
    """Shows the table, folded; nothing where the data has no metadata column.

    Args:
        pack_data: the data.
        scores_by_detector: of the detectors that are ready; at least one.
        share_to_keep: the share of ID that thresholds keep.
    """
    fold = slices_expander(pack_data)
    if fold is None:
        return
    with fold:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            column = column_input(pack_data)
            detector = _detector_input(list(scores_by_detector))
        scores = scores_by_detector[detector]
        threshold = threshold_keeping(scores.calibration, share_to_keep)
        show_slices(pack_data, column, scores, threshold, counted_sets(pack_data))


def _detector_input(names: list[str]) -> str:
    """Returns one of the detectors that are ready, by default HEAT or the last."""
    if st.session_state.get(DETECTOR_KEY, names[0]) not in names:
        del st.session_state[DETECTOR_KEY]
    index = names.index("HEAT") if "HEAT" in names else len(names) - 1
    return str(
        st.selectbox("Detector", names, index, key=DETECTOR_KEY, bind="query-params", width=200)
    )
