"""What is selected: how many of each set, how they score against the others, their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import figures
from app.feature_map.controls import ORDERS, MapChoice
from app.feature_map.tables import selected_finding, selected_table, tile_lines, titles_by_set
from app.pack.controls import gallery_page
from app.pack.data import PackData
from app.pack.gallery import gallery_order, rows_id, show_tiles
from app.pack.items import Part, items_of
from app.pack.layout import Mask
from app.pack.scores import current_share_to_keep
from app.pack.selected import opened_item, set_part
from heat_core.metrics import percentile, threshold_keeping

Scores = Mapping[str, NDArray[np.float64]]  # {set: (n,)}
Masks = Mapping[str, Mask]  # {set: which of its rows are selected (n,)}


def show_summary(
    pack_data: PackData, choice: MapChoice, masks: Masks | None, scores: Scores | None
) -> None:
    """Shows how many of each set are selected, and how they score against the others.

    Args:
        masks: of the sets that are shown; None without a selection.
        scores: of the chosen detector; None if it has none yet.
    """
    if masks is None:
        _offer_selection(pack_data, choice.set_names)
        return
    titles = titles_by_set(pack_data.pack)
    st.subheader(selected_finding(masks, titles))
    share_to_keep = current_share_to_keep()
    threshold = _threshold(scores, share_to_keep) if scores else None
    st.dataframe(
        selected_table(masks, titles, scores or {}, threshold),
        hide_index=True,
        height="content",
        alt="How many of each set are selected, and how many are flagged",
    )
    if scores and threshold is not None:
        st.caption(
            f"Flagged: above the score of {choice.detector} that keeps "
            f"{100 * share_to_keep:g} % of ID."
        )
        _show_scores(choice.detector, masks, scores, threshold)


def _threshold(scores: Scores, share_to_keep: float) -> float:
    """Returns the threshold that keeps a share of held-out ID, or of ID test without any."""
    return threshold_keeping(scores.get("val", scores["test"]), share_to_keep)


def _offer_selection(pack_data: PackData, set_names: Sequence[str]) -> None:
    st.info(
        "Draw around points on the map to see their images, what they are, and how they score. A "
        "click on a point looks into one image.",
        icon=":material/gesture:",
    )
    st.button(
        "Select all that is shown",
        icon=":material/select_all:",
        on_click=_select_all,
        args=(pack_data, set_names),
    )


def _select_all(pack_data: PackData, set_names: Sequence[str]) -> None:
    pack = pack_data.pack
    masks = {
        name: np.ones(len(features), bool) for name, features in pack.sets() if name in set_names
    }
    set_part(Part("shown", "All that was shown", items_of(pack, masks)))


def _show_scores(detector: str, masks: Masks, scores: Scores, threshold: float) -> None:
    """Shows the scores of the selected rows and of the other rows that are shown."""
    names = [name for name in masks if name in scores]
    selected = _joined([scores[name][masks[name]] for name in names])
    unselected = _joined([scores[name][~masks[name]] for name in names])
    if not len(selected) or not len(unselected):
        return
    at_or_below = percentile(unselected, [float(np.median(selected))])[0]
    st.markdown(
        f"**The selection's median {detector} score is at or above {100 * at_or_below:.0f} % of "
        "the rest**"
    )
    st.plotly_chart(
        figures.against(selected, unselected, threshold),
        key="against",
        config=figures.QUIET,
        alt=f"{detector} scores of {len(selected):,} selected and {len(unselected):,} other "
        f"points; the threshold is {threshold:.4g}",
    )


def _joined(arrays: Sequence[NDArray]) -> NDArray:
    return np.concatenate(arrays) if arrays else np.zeros(0)


def show_gallery(
    pack_data: PackData, choice: MapChoice, masks: Masks, scores: Scores | None
) -> None:
    """Shows the images that are selected, a page at a time, by their scores.

    Args:
        masks: of the sets that are shown.
        scores: of the chosen detector; None if it has none yet.
    """
    rows_by_set = {name: np.flatnonzero(mask) for name, mask in masks.items()}
    rows = _joined([*rows_by_set.values()])
    if not len(rows):
        st.info(
            "None of the points that are shown is selected. Draw around some, or show more sets.",
            icon=":material/info:",
        )
        return
    row_sets = np.repeat([*rows_by_set], [len(set_rows) for set_rows in rows_by_set.values()])
    row_scores = _joined(
        [_scores_or_nan(scores, name, set_rows) for name, set_rows in rows_by_set.items()]
    )
    descending = choice.order == ORDERS[0]
    order = np.argsort(-row_scores if descending else row_scores, kind="stable")  # nan comes last
    sorting = f", {choice.order} by {choice.detector} first" if scores else ""
    st.subheader(f"{len(rows):,} images{sorting}")
    if scores is None:
        st.caption(f"{choice.detector} has no scores yet, so they are in the order of the sets.")
    order = order[gallery_order(pack_data, row_sets[order])]
    list_id = (choice.order, choice.detector, rows_id(row_sets, rows))
    page = order[gallery_page(len(rows), "map-page", list_id)]
    pack_rows = list(zip(row_sets[page].tolist(), rows[page].tolist(), strict=True))
    percentiles = _percentiles_or_nan(scores, row_scores[page])
    captions = [
        tile_lines(pack_data.pack, pack_row, choice.detector, row_percentile)
        for pack_row, row_percentile in zip(pack_rows, percentiles.tolist(), strict=True)
    ]
    show_tiles(pack_data, pack_rows, captions, "selected", opened_item())


def _scores_or_nan(scores: Scores | None, name: str, rows: NDArray[np.int64]) -> NDArray:
    """Returns the scores of rows of a set, (n,); nan where the set has none."""
    if scores is None or name not in scores:
        return np.full(len(rows), np.nan)
    return scores[name][rows]


def _percentiles_or_nan(scores: Scores | None, values: NDArray) -> NDArray:
    """Returns the share of ID test rows that score at most as much, (n,); nan without a score."""
    percentiles = np.full(len(values), np.nan)
    if scores:
        has_score = ~np.isnan(values)
        percentiles[has_score] = percentile(scores["test"], values[has_score])
    return percentiles
