"""The map: its points, what is drawn around them, and where one looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

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
from app.feature_map.colours import Colouring, by_class, by_flip, by_metadata, by_set, by_value
from app.feature_map.contours import SHARES, density_contours
from app.feature_map.controls import MapChoice
from app.feature_map.previews import (
    Lines,
    every_nth,
    serve_thumbnails,
    set_numbers,
    share_plot,
    share_rows,
    share_values,
)
from app.feature_map.rendering import render_points
from app.feature_map.tables import sampled_sentence, trust_sentence
from app.pack.data import PackData
from app.pack.flips import rejections
from app.pack.items import find_item, item_id
from app.pack.layout import MAP_SIZE, Layout, Mask, Region, nearest_point
from app.pack.layout_state import select_region
from app.pack.scores import current_share_to_keep, heat_correction
from app.pack.selected import (
    keep_region_in_link,
    map_region,
    open_item,
    opened_item,
    set_window_text,
    window_text,
)
from app.pack.tables import Array
from app.text import plain
from heat_core.metrics import percentile
from heat_core.polygons import Polygon

ASPECT = MAP_SIZE[0] / MAP_SIZE[1]
PLOT = "map"  # the name of the map in the browser


def show_facts(
    pack_data: PackData, layout: Layout, set_names: Sequence[str], has_contours: bool
) -> None:
    """Says what is on the map, whether it is a sample, and how far it can be trusted."""
    rows = _row_count(layout, set_names)
    all_rows = _row_count(layout, tuple(layout.coordinates))
    count = f"{rows:,} of {all_rows:,}" if rows < all_rows else f"all {rows:,}"
    title = plain(pack_data.pack.title, 80)
    facts = f"{title}: {count} points drawn. {sampled_sentence(pack_data.pack)}"
    st.markdown(f":small[:material/database: {facts}]")
    st.caption(trust_sentence(layout.method, layout.trust))
    if has_contours:
        shares = ", ".join(f"{100 * share:g}" for share in SHARES)
        st.caption(f"The contours enclose {shares} % of the ID images, where they lie densest.")
    every = every_nth(layout)
    if every > 1:
        st.caption(f"A pointer previews one of {every} points.")


def _row_count(layout: Layout, set_names: Sequence[str]) -> int:
    return sum(len(layout.coordinates[name]) for name in set_names)


# -- regions ---------------------------------------------------------------------------------------


def follow_region(pack_data: PackData, layout: Layout, set_names: Sequence[str]) -> list[Polygon]:
    """Returns the polygons drawn on this map, and selects what they hold of the sets shown.

    What was drawn on a map of another method stays selected.
    """
    region = map_region()
    if region is None or region.method != layout.method:
        return []
    select_region(pack_data, layout, _region(layout, set_names, region.polygons))
    keep_region_in_link()
    return [*region.polygons]


def _region(layout: Layout, set_names: Sequence[str], polygons: Sequence[Polygon]) -> Region:
    all_shown = len(set_names) == len(layout.coordinates)
    return Region(layout.method, polygons, None if all_shown else tuple(set_names))


# -- the map ---------------------------------------------------------------------------------------


def show_map(
    pack_data: PackData,
    layout: Layout,
    choice: MapChoice,
    colouring: Colouring,
    polygons: Sequence[Polygon],
    masks: Mapping[str, Mask] | None,
) -> None:
    """Shows the map. What is drawn on it is selected, a click opens the nearest point.

    Args:
        polygons: drawn so far.
        masks: {set: which of its rows are selected (n,)}; None without a selection.
    """

    def on_draw(drawing: Drawing) -> None:
        if drawing.kind == "spot":
            open_nearest(pack_data, layout, choice.set_names, drawing)
            return
        drawn_before = polygons if drawing.adds else ()
        region = _region(layout, choice.set_names, [*drawn_before, drawing.corners])
        select_region(pack_data, layout, region)

    def on_move(window: Window) -> None:
        set_window_text("" if window == WHOLE else "_".join(f"{edge:.5f}" for edge in window))

    window = _window(window_text())
    image = render_points(
        colouring.points(layout, choice.set_names, masks), colouring.palette, window
    )
    count = _row_count(layout, choice.set_names)
    picture = MapPicture(
        image,
        ASPECT,
        window,
        f"Map of {count:,} images by {layout.method.upper()}, coloured by {choice.colour}.",
        polygons,
        _marks(pack_data, layout, colouring),
        Legend(colouring.title, colouring.entries, colouring.scale, colouring.ends),
        PLOT,
        set_numbers(layout, choice.set_names),
        choice.has_contours,
        opened_item(),
    )
    scatter_map(picture, on_draw, on_move, key="scatter-map")


def open_nearest(
    pack_data: PackData, layout: Layout, set_names: Sequence[str], drawing: Drawing
) -> None:
    """Opens the row that lies nearest to a spot, if one is within its reach."""
    pack_row = nearest_point(layout, set_names, drawing.corners[0], drawing.reach)
    if pack_row is not None:
        name, row = pack_row
        open_item(item_id(dict(pack_data.pack.sets())[name], name, row))


def _window(text: str) -> Window:
    """Returns the window of a link's text; the whole map if the text is none."""
    try:
        edges = [float(edge) for edge in text.split("_")]
    except ValueError:
        return WHOLE
    return parse_window(edges) or WHOLE


def _marks(pack_data: PackData, layout: Layout, colouring: Colouring) -> list[Mark]:
    """Returns the names on the map, and a ring around the item that is open."""
    names = [Mark(position, text) for text, position in colouring.names.items()]
    return [*names, *ring_marks(pack_data, layout)]


def ring_marks(pack_data: PackData, layout: Layout) -> list[Mark]:
    """Returns a ring around the item that is open, where the layout has it."""
    pack_row = find_item(pack_data.pack, opened_item())
    if pack_row is None or pack_row[0] not in layout.positions:
        return []
    name, row = pack_row
    x, y = layout.positions[name][row].tolist()
    return [Mark((x, y))]


def map_colouring(
    pack_data: PackData, layout: Layout, choice: MapChoice, scores: Mapping[str, Array] | None
) -> Colouring:
    """Returns how the points are drawn; grey where a score or a correction is not ready.

    Args:
        scores: {set: (n,)} of the chosen detector; None if it has none yet.
    """
    if choice.colour == "dataset":
        return by_set(pack_data.pack, layout, choice.set_names)
    if choice.colour == "class":
        return by_class(pack_data.pack, layout)
    if choice.column:
        return by_metadata(layout, pack_data.metadata_colours(choice.column), choice.set_names)
    if choice.colour == "flip":
        outcomes = rejections(pack_data, choice.pair, current_share_to_keep())
        return by_flip(layout, outcomes, choice.pair, choice.set_names)
    if choice.colour == "correction":
        title = "HEAT's correction E_θ alone: blue lowers the energy, orange raises it"
        return by_value(layout, heat_correction(pack_data), title, signed=True)
    percentiles: dict[str, NDArray] = {}
    if scores:
        percentiles = {name: percentile(scores["test"], values) for name, values in scores.items()}
    title = f"{choice.detector}: share of ID test images that score at most as much"
    return by_value(layout, percentiles, title, signed=False)


def share_previews(
    pack_data: PackData, layout: Layout, detector: str, scores: Mapping[str, Array] | None
) -> None:
    """Gives the browser what it previews points from.

    Args:
        detector: whose scores are shown.
        scores: {set: (n,)} of it; None if it has none yet.
    """
    share_rows(pack_data, layout)
    share_values(layout, detector, scores)
    share_plot(PLOT, layout, layout, _contour_lines(layout))
    serve_thumbnails(pack_data, layout)


def _contour_lines(layout: Layout) -> list[Lines]:
    """Returns the contours of the ID images, the innermost the strongest."""
    positions = np.concatenate([layout.positions[name] for name in ("train", "test")])
    contours = density_contours(positions)
    strengths = np.linspace(0.9, 0.45, len(contours)).tolist()
    return [
        Lines(pieces, strength=strength)
        for pieces, strength in zip(contours, strengths, strict=True)
    ]
