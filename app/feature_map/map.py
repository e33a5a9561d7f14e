"""The pieces of the Feature map's page: the map, what is drawn on it, how that scores, and its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import figures
from app.components.scatter_map import WHOLE, Legend, Mark, Picked, Picture, scatter_map, window_of
from app.feature_map import colours as colouring
from app.feature_map.controls import ORDERS, MapChoice
from app.feature_map.drawing import draw_points
from app.feature_map.tables import (
    sampled_sentence,
    selected_finding,
    selected_rows,
    tile_lines,
    trust_sentence,
)
from app.pack import inspector
from app.pack.controls import gallery_page
from app.pack.data import PackData
from app.pack.items import Part, find_item, item_of, items_of, mask_in
from app.pack.layout import (
    SIZE,
    Layout,
    Mask,
    Polygon,
    Region,
    mapped_sets,
    nearest_point,
    parse_region,
)
from app.pack.layout_state import layout_job, leave_layout, select_region, start_layout
from app.pack.scores import current_share_to_keep, heat_correction
from app.pack.selected import (
    add_to_selection,
    current_selection,
    map_region,
    map_window,
    open_item,
    opened_item,
    set_map_region,
    set_map_window,
)
from app.text import plain
from heat_core.metrics import percentile, threshold_keeping

PAGE = 24  # images a page
Scores = Mapping[str, NDArray[np.float64]]  # {set: (n,)}


def facts(pack_data: PackData, layout: Layout, shown: Sequence[str]) -> None:
    """Says what is on the map, whether it is a sample, and how far it can be trusted."""
    rows, everything = (
        sum(len(layout.places[name]) for name in names) for names in (shown, layout.places)
    )
    some = f"{rows:,} of {everything:,}" if rows < everything else f"all {rows:,}"
    drawn = f"{plain(pack_data.pack.title, 80)}: {some} points drawn. {sampled_sentence(pack_data.pack)}"
    st.markdown(f":small[:material/database: {drawn}]")
    st.caption(trust_sentence(layout.method, layout.trust))


@st.fragment(run_every=1.0)
def laying_out(pack_data: PackData, method: str) -> None:
    """Shows how far a map is, with a way to end it."""
    job = layout_job(pack_data, method)
    if job is None or job.over:
        st.rerun()
    late = (
        " It first looks for every point's neighbours, which shows no progress."
        if method == "umap"
        else ""
    )
    ahead = " It waits in line for other work." if job.state == "waiting" else late
    st.progress(
        job.progress, f"Laying the points out by {method.upper()}: {job.progress:.0%}.{ahead}"
    )
    st.button("Cancel", icon=":material/close:", on_click=leave_layout, args=(pack_data, method))
    st.skeleton(height=480)


def offer(pack_data: PackData, method: str) -> None:
    """Shows a map under way, or offers to make one."""
    job = layout_job(pack_data, method)
    if job is not None and not job.over:
        laying_out(pack_data, method)
        return
    if job is not None and job.state == "failed":
        st.error(plain(job.error), icon=":material/error:")
    rows = sum(
        len(features)
        for name, features in pack_data.pack.sets()
        if name in mapped_sets(pack_data.pack)
    )
    cost = "about a minute for 20,000 points" if method == "umap" else "seconds"
    st.info(
        f"There is no map of these {rows:,} points by {method.upper()} yet. It takes {cost}.",
        icon=":material/map:",
    )
    st.button(
        f"Lay them out by {method.upper()}",
        icon=":material/map:",
        type="primary",
        on_click=start_layout,
        args=(pack_data, method),
    )


def follow(pack_data: PackData, layout: Layout, shown: Sequence[str]) -> list:
    """Returns the polygons drawn on this map, and makes the selection what they hold of the sets that are shown."""
    drawn = parse_region(map_region())
    if (
        drawn is None or drawn.method != layout.method
    ):  # what was drawn on another map stays selected
        return []
    select_region(pack_data, layout, _region(layout, shown, drawn.polygons))
    map_region()
    return [*drawn.polygons]


def _region(layout: Layout, shown: Sequence[str], polygons: Sequence[Polygon]) -> Region:
    return Region(
        layout.method, polygons, None if len(shown) == len(layout.places) else tuple(shown)
    )


def chosen(pack_data: PackData, shown: Sequence[str]) -> dict[str, Mask] | None:
    """Returns {set: which of its rows are selected} of the sets that are shown; None if nothing is selected anywhere."""
    picked, sets = current_selection(), dict(pack_data.pack.sets())
    return {name: mask_in(sets[name], name, picked.items) for name in shown} if picked else None


# -- the map -----------------------------------------------------------------------------------------------------------


def show_map(
    pack_data: PackData,
    layout: Layout,
    choice: MapChoice,
    coloured: colouring.Colouring,
    polygons: list,
    masks,
) -> None:
    """Shows the map. What is drawn on it selects, a click looks at the nearest point."""
    shown = choice.shown

    def draw(picked: Picked) -> None:
        if picked.kind == "spot":
            found = nearest_point(layout, shown, picked.corners[0], picked.reach)
            if found is not None:
                open_item(item_of(dict(pack_data.pack.sets())[found[0]], *found))
            return
        set_map_region(
            _region(layout, shown, [*(polygons if picked.more else []), picked.corners]).text
        )

    def move(window: tuple) -> None:
        set_map_window("" if window == WHOLE else "_".join(f"{n:.5f}" for n in window))

    window = _window(map_window())
    at = find_item(pack_data.pack, opened_item())
    ring = (
        [Mark(tuple(layout.spots[at[0]][at[1]].tolist()))]
        if at is not None and at[0] in layout.spots
        else []
    )
    names = [Mark(spot, text) for text, spot in (coloured.names or {}).items()]
    legend = Legend(coloured.title, coloured.entries, coloured.scale, coloured.ends)
    image = draw_points(coloured.points(layout, shown, masks), coloured.palette, window)
    many = sum(len(layout.places[name]) for name in shown)
    alt = f"Map of {many:,} images by {layout.method.upper()}, coloured by {choice.colour}."
    picture = Picture(image, SIZE[0] / SIZE[1], window, alt, polygons, [*names, *ring], legend)
    scatter_map(picture, draw, move, key="scatter-map")


def _window(text: str) -> tuple[float, float, float, float]:
    try:
        return window_of([float(n) for n in text.split("_")]) or WHOLE
    except ValueError:
        return WHOLE


def colours(
    pack_data: PackData, layout: Layout, choice: MapChoice, scores: Scores | None
) -> colouring.Colouring:
    """Returns how the points are drawn; grey where a score or a correction is not ready."""
    if choice.colour == "dataset":
        return colouring.by_set(pack_data.pack, layout, choice.shown)
    if choice.colour == "class":
        return colouring.by_class(pack_data.pack, layout)
    if choice.colour == "correction":
        values = heat_correction(pack_data)
        return colouring.by_value(
            layout,
            values,
            "HEAT's correction E_θ alone: blue lowers the energy, orange raises it",
            True,
        )
    ranks = (
        {name: percentile(scores["test"], values) for name, values in scores.items()}
        if scores
        else {}
    )
    return colouring.by_value(
        layout, ranks, f"{choice.scorer}: share of ID test images that score at most as much", False
    )


# -- what is selected --------------------------------------------------------------------------------------------------


def summary(
    pack_data: PackData, choice: MapChoice, masks: dict[str, Mask] | None, scores: Scores | None
) -> None:
    """Shows how many of each set are selected, and how they score against the rest."""
    if masks is None:
        st.info(
            "Draw around points on the map to see their images, what they are, and how they score. A click on a point looks "
            "into one image.",
            icon=":material/gesture:",
        )
        st.button(
            "Select all that is shown",
            icon=":material/select_all:",
            on_click=_select_all,
            args=(pack_data, choice.shown),
        )
        return
    titles = {name: colouring.set_title(pack_data.pack, name) for name in choice.shown}
    st.subheader(selected_finding(masks, titles))
    cut = threshold_keeping(scores["test"], current_share_to_keep()) if scores else None
    table = selected_rows(masks, titles, scores or {}, cut)
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        alt="How many of each set are selected, and how many are flagged",
    )
    if scores and cut is not None:
        keep = 100 * current_share_to_keep()
        st.caption(
            f"Flagged: above the score of {choice.scorer} that keeps {keep:g} % of the ID test images themselves."
        )
        _against(choice.scorer, masks, scores, cut)


def _select_all(pack_data: PackData, shown: Sequence[str]) -> None:
    rows = {
        name: np.ones(len(features), bool)
        for name, features in pack_data.pack.sets()
        if name in shown
    }
    add_to_selection(Part("shown", "All that was shown", items_of(pack_data.pack, rows)))


def _against(scorer: str, masks: Mapping[str, Mask], scores: Scores, cut: float) -> None:
    """Shows the scores of the selection and of the rest that is shown."""
    scored = [name for name in masks if name in scores]
    inside = np.concatenate([scores[name][masks[name]] for name in scored] or [np.zeros(0)])
    rest = np.concatenate([scores[name][~masks[name]] for name in scored] or [np.zeros(0)])
    if not len(inside) or not len(rest):
        return
    higher = percentile(rest, [float(np.median(inside))])[0]
    st.markdown(
        f"**The selection's median {scorer} score is higher than {100 * higher:.0f} % of the rest**"
    )
    st.plotly_chart(
        figures.against(inside, rest, cut),
        key="against",
        config=figures.QUIET,
        alt=f"{scorer} scores of {len(inside):,} selected and {len(rest):,} other points; the threshold is {cut:.4g}",
    )


def gallery(
    pack_data: PackData, choice: MapChoice, masks: dict[str, Mask], scores: Scores | None
) -> None:
    """Shows the images that are selected, a page at a time, by their scores."""
    picked = {name: np.flatnonzero(mask) for name, mask in masks.items()}
    sets = np.concatenate(
        [np.full(len(rows), name) for name, rows in picked.items()] or [np.zeros(0, "<U1")]
    )
    rows = np.concatenate(list(picked.values()) or [np.zeros(0, np.int64)])
    if not len(rows):
        st.info(
            "None of the points that are shown is selected. Draw around some, or show more sets.",
            icon=":material/info:",
        )
        return
    scored = scores or {}
    score = np.concatenate(
        [
            scored[name][part] if name in scored else np.full(len(part), np.nan)
            for name, part in picked.items()
        ]
    )
    order = np.argsort(
        -score if choice.order == ORDERS[0] else score, kind="stable"
    )  # no score: last
    st.subheader(
        f"{len(rows):,} images{f', {choice.order} by {choice.scorer} first' * bool(scores)}"
    )
    if scores is None:
        st.caption(f"{choice.scorer} has no scores yet, so they are in the order of the sets.")
    order = order[inspector.in_order(pack_data, sets[order])]
    page = order[
        gallery_page(len(rows), PAGE, "map-page", (choice.order, choice.scorer, len(rows)))
    ]
    places = list(zip(sets[page].tolist(), rows[page].tolist(), strict=True))
    ranks = percentile(scores["test"], score[page]) if scores else score[page]
    ranks[np.isnan(score[page])] = np.nan
    captions = [
        tile_lines(pack_data.pack, place, choice.scorer, rank)
        for place, rank in zip(places, ranks.tolist(), strict=True)
    ]
    inspector.show_tiles(pack_data, places, captions, "selected", opened_item())
