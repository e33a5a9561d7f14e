"""What is selected: how each detector tells its OOD images from ID test."""

from __future__ import annotations

import streamlit as st

from app.detectors.state import row_count, selected_ood_masks
from app.detectors.tables import FPR, NAME_WIDTH, joined_names, selection_table
from app.pack.data import PackData
from app.pack.items import MIN_OOD_SELECTED
from app.pack.scores import ScoresByDetector
from app.pack.selected import current_selection
from app.pack.tables import style_digits


def show(pack_data: PackData, scores_by_detector: ScoresByDetector) -> None:
    """Shows how each detector tells the selected OOD images from ID test; nothing without any."""
    total = len(current_selection())
    if not current_selection():
        return
    masks = selected_ood_masks(pack_data)
    count = row_count(masks)
    if count < MIN_OOD_SELECTED:
        st.info(
            f"Of the {total:,} selected, {count} {'is' if count == 1 else 'are'} OOD: too few for "
            f"figures and curves of their own, which need {MIN_OOD_SELECTED}.",
            icon=":material/info:",
        )
        return
    table = selection_table(scores_by_detector, masks)
    passes = table[FPR].round(1)
    best = table["Detector"][passes == passes.iloc[0]].tolist()
    st.subheader(
        f"Of the {count:,} OOD images selected, {joined_names(best)} "
        f"{'lets' if len(best) == 1 else 'let'} the least pass, {passes.iloc[0]:.1f}\u00a0%."
    )
    st.dataframe(
        style_digits(table),
        hide_index=True,
        height="content",
        width=560,
        column_config={"Detector": st.column_config.TextColumn(width=NAME_WIDTH)},
        alt="FPR95 and AUROC on the selected OOD images",
    )
    st.caption(
        f"{count:,} of the {total:,} selected are OOD; put together, against all "
        f"{len(pack_data.pack.test):,} ID test images. Images picked by a detector's own scores "
        "are no fair test of that detector."
    )
