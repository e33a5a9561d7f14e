"""What is selected: how many of each set, how they score against the others, their images.

One image is looked at beside the map, and one goes from it to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import figures
from app.feature_map.controls import ORDERS, MapChoice
from app.feature_map.order import RowOrder, Scores, by_score
from app.feature_map.tables import (
    selected_finding,
    selected_table,
    tile_lines,
    title_on_map,
    titles_by_set,
)
from app.pack import inspector
from app.pack.controls import gallery_page
from app.pack.data import PackData
from app.pack.gallery import gallery_order, rows_id, show_tiles
from app.pack.items import LabelledItems, find_item, item_id, items_of
from app.pack.layout import Mask
from app.pack.scores import current_share_to_keep
from app.pack.selected import open_item, opened_item, set_part
from app.text import plain
from heat_core.metrics import percentile, threshold_keeping

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
    set_part(LabelledItems("shown", "All that was shown", items_of(pack, masks)))


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


# -- images ----------------------------------------------------------------------------------------


def gallery_rows(
    pack_data: PackData, choice: MapChoice, masks: Masks, scores: Scores | None
) -> RowOrder:
    """Says how many rows are selected and how they are sorted; returns them in that order.

    Args:
        masks: of the sets that are shown.
        scores: of the chosen detector; None if it has none yet.
    """
    ordered = by_score(masks, scores, descending=choice.order == ORDERS[0])
    if not len(ordered):
        st.info(
            "None of the points that are shown is selected. Draw around some, or show more sets.",
            icon=":material/info:",
        )
        return ordered
    sorting = f", {choice.order} by {choice.detector} first" if scores else ""
    st.subheader(f"{len(ordered):,} images{sorting}")
    if scores is None:
        st.caption(f"{choice.detector} has no scores yet, so they are in the order of the sets.")
    return ordered[gallery_order(pack_data, ordered.sets)]


def show_gallery(
    pack_data: PackData, choice: MapChoice, ordered: RowOrder, scores: Scores | None
) -> None:
    """Shows the images of rows, a page at a time.

    Args:
        ordered: the rows.
        scores: of the chosen detector; None if it has none yet.
    """
    list_id = rows_id(ordered.sets, ordered.rows)
    page = ordered[gallery_page(len(ordered), "map-page", list_id)]
    percentiles = _percentiles_or_nan(scores, page.scores)
    captions = [
        tile_lines(pack_data.pack, pack_row, choice.detector, row_percentile)
        for pack_row, row_percentile in zip(page.pack_rows, percentiles.tolist(), strict=True)
    ]
    show_tiles(pack_data, page.pack_rows, captions, "selected", opened_item())


def _percentiles_or_nan(scores: Scores | None, values: NDArray) -> NDArray:
    """Returns the share of ID test rows that score at most as much, (n,); nan without a score."""
    percentiles = np.full(len(values), np.nan)
    if scores:
        has_score = ~np.isnan(values)
        percentiles[has_score] = percentile(scores["test"], values[has_score])
    return percentiles


def show_image(
    pack_data: PackData,
    choice: MapChoice,
    item: str,
    selected: RowOrder | None,
    scores: Scores | None,
) -> None:
    """Shows what is known of an item, with the way to the one before it and to the next.

    They are those of the gallery; of an item that is not selected, those of its set.

    Args:
        item: its id.
        selected: the rows of the gallery; None without a selection.
        scores: of the chosen detector; None if it has none yet.
    """
    pack_row = find_item(pack_data.pack, item)
    ordered, noun = selected, "selected"
    if pack_row is not None and (selected is None or selected.place_of(pack_row) is None):
        name, _ = pack_row
        rows = len(dict(pack_data.pack.sets())[name])
        masks = {name: np.ones(rows, bool)}
        ordered = by_score(masks, scores, descending=choice.order == ORDERS[0])
        noun = f"in {title_on_map(pack_data.pack, name)}"
    place = None if pack_row is None or ordered is None else ordered.place_of(pack_row)
    with st.container(horizontal=True, vertical_alignment="center"):
        _step_button(pack_data, "Previous", "Left", ordered, place, -1)
        _step_button(pack_data, "Next", "Right", ordered, place, 1)
        if ordered is not None and place is not None:
            st.caption(f"{place + 1:,} of {len(ordered):,} {plain(noun, 60)}", width="stretch")
        st.button(
            "Close",
            icon=":material/close:",
            type="tertiary",
            shortcut="Esc",
            on_click=open_item,
            args=("",),
        )
    inspector.show_beside(pack_data, item)


def _step_button(
    pack_data: PackData,
    label: str,
    shortcut: str,
    ordered: RowOrder | None,
    place: int | None,
    step: int,
) -> None:
    """Offers the row that lies `step` places from one, if there is one."""
    item = ""
    if ordered is not None and place is not None and 0 <= place + step < len(ordered):
        name, row = ordered.pack_rows[place + step]
        item = item_id(dict(pack_data.pack.sets())[name], name, row)
    st.button(label, shortcut=shortcut, disabled=not item, on_click=open_item, args=(item,))
