"""Before and after: the ID percentiles of two detectors against each other, linked with the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st

from app.components.scatter_map import (
    WHOLE,
    Drawing,
    Legend,
    MapPicture,
    Mark,
    Window,
    parse_window,
    scatter_map,
)
from app.feature_map.before_after import (
    BOTTOM,
    LEFT,
    RIGHT,
    TICK_ROOM,
    TOP,
    PercentileLayout,
    before_after_layout,
)
from app.feature_map.colours import Colouring
from app.feature_map.previews import Lines, set_numbers, share_plot
from app.feature_map.rendering import render_points
from app.feature_map.scatter import ASPECT, open_nearest, ring_marks
from app.feature_map.tables import pair_finding
from app.pack.data import PackData
from app.pack.flips import flip_scores, missing_reason, rejections
from app.pack.items import LabelledItems, items_of
from app.pack.layout import Layout, Mask, Region, rows_in_region
from app.pack.scores import current_share_to_keep
from app.pack.selected import current_selection, set_part
from app.text import plain
from heat_core.metrics import percentile, threshold_keeping
from heat_core.polygons import Polygon

PLOT = "before-after"  # its name in the browser, and the origin of what is selected on it
WINDOW_KEY = "pair-window"


def show_pair(
    pack_data: PackData,
    layout: Layout,
    pair: tuple[str, str],
    shown_sets: Sequence[str],
    colouring: Colouring,
    masks: Mapping[str, Mask] | None,
) -> None:
    """Shows where two detectors put each row among ID; what is drawn around is selected.

    Args:
        layout: of the map, which numbers the rows.
        pair: names of the detectors.
        shown_sets: names of the sets on the map.
        colouring: of the map.
        masks: {set: which of its rows are selected (n,)}; None without a selection.
    """
    before, after = pair
    ready = flip_scores(pack_data)
    missing = [name for name in pair if name not in ready]
    if missing:
        st.info(plain(missing_reason(pack_data, missing[0])), icon=":material/info:")
        return
    if before == after:
        st.info(f"{before} stays where it is. Choose another.", icon=":material/info:")
        return
    plotted = before_after_layout(ready[before], ready[after], f"{before} / {after}")
    set_names = [name for name in shown_sets if name in plotted.coordinates]
    share_to_keep = current_share_to_keep()
    outcomes = rejections(pack_data, pair, share_to_keep)
    apart = pack_data.pack.apart
    counted = {name: outcomes[name] for name in set_names if name not in apart}
    st.markdown(f"**{plain(pair_finding(pair, counted))}**")
    thresholds = [_kept_share(ready[name]["test"], share_to_keep) for name in pair]
    _show_plot(pack_data, plotted, set_numbers(layout, set_names), set_names, colouring, masks)
    share_plot(PLOT, layout, plotted, _lines(plotted, *thresholds))
    st.caption(
        "Each point is an image that is scored: the share of ID test images that score at most as "
        f"much, by {before} to the right and by {after} upwards, both stretched towards 100 %. "
        f"The dashed lines are the thresholds, which keep {100 * share_to_keep:g} % of ID: what "
        f"lies above one and left of the other {before} accepts and {after} rejects."
    )


def _kept_share(test_scores: np.ndarray, share_to_keep: float) -> float:
    """Returns the share of ID test rows (n,) that lie at or below the threshold."""
    threshold = threshold_keeping(test_scores, share_to_keep)
    return float(percentile(test_scores, [threshold])[0])


def _show_plot(
    pack_data: PackData,
    plotted: PercentileLayout,
    numbers: Sequence[int],
    set_names: Sequence[str],
    colouring: Colouring,
    masks: Mapping[str, Mask] | None,
) -> None:
    """Shows the plot.

    Args:
        numbers: of its sets, as the browser knows them.
        set_names: of its sets.
    """
    polygons = _drawn_polygons(plotted.method)

    def on_draw(drawing: Drawing) -> None:
        if drawing.kind == "spot":
            open_nearest(pack_data, plotted, set_names, drawing)
            return
        drawn_before = polygons if drawing.adds else ()
        region = Region(plotted.method, [*drawn_before, drawing.corners], tuple(set_names))
        items = items_of(pack_data.pack, rows_in_region(plotted, region))
        set_part(LabelledItems(PLOT, "Drawn on before and after", items, region))

    def on_move(window: Window) -> None:
        st.session_state[WINDOW_KEY] = window

    window = parse_window(st.session_state.get(WINDOW_KEY)) or WHOLE
    before, after = plotted.method.split(" / ")
    count = sum(len(plotted.coordinates[name]) for name in set_names)
    picture = MapPicture(
        render_points(colouring.points(plotted, set_names, masks), colouring.palette, window),
        ASPECT,
        window,
        f"ID percentiles of {count:,} images, by {before} to the right and by {after} upwards.",
        polygons,
        [*_tick_marks(plotted, before, after), *ring_marks(pack_data, plotted)],
        Legend(""),
        PLOT,
        numbers,
        has_lines=True,
    )
    scatter_map(picture, on_draw, on_move, key="pair-plot")


def _drawn_polygons(method: str) -> Sequence[Polygon]:
    """Returns the polygons that were drawn for these two detectors."""
    part = current_selection().part(PLOT)
    if part is None or part.region is None or part.region.method != method:
        return []
    return part.region.polygons


def _tick_marks(plotted: PercentileLayout, before: str, after: str) -> list[Mark]:
    """Returns the numbers along both axes, and the detectors' names."""
    marks = [
        Mark(((LEFT + RIGHT) / 2, BOTTOM + 5 * TICK_ROOM), f"{before} (ID percentile)"),
        Mark((LEFT + 0.1, TOP - 2 * TICK_ROOM), f"{after} (ID percentile)"),
    ]
    for share in plotted.ticks:
        x, y = plotted.spot(share, share)
        text = f"{100 * share:g}"
        marks += [Mark((x, BOTTOM + 2 * TICK_ROOM), text), Mark((LEFT - 2 * TICK_ROOM, y), text)]
    return marks


def _lines(plotted: PercentileLayout, before: float, after: float) -> list[Lines]:
    """Returns the axes, the line where nothing moves, and the thresholds.

    Args:
        before, after: the share of ID test rows that each detector keeps.
    """
    x, y = plotted.spot(before, after)
    axes = np.array([[LEFT, TOP, LEFT, BOTTOM], [LEFT, BOTTOM, RIGHT, BOTTOM]])
    unmoved = np.array([[LEFT, BOTTOM, RIGHT, TOP]])
    thresholds = np.array([[x, TOP, x, BOTTOM], [LEFT, y, RIGHT, y]])
    return [Lines(axes, strength=0.5), Lines(unmoved, strength=0.25), Lines(thresholds, (5, 4))]
