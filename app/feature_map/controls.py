"""Widgets of the Feature map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from app.pack.selected import map_region_sets, open_item
from app.session import warn_if_not_offered
from app.text import plain

# -- the map -----------------------------------------------------------------------------------------------------------

COLOURINGS = ("dataset", "class", "score", "correction")
ORDERS = ("most OOD", "least OOD")


@dataclass(frozen=True)
class MapChoice:
    """What the Feature map is set to.

    colour: what colours mean, one of `COLOURED`.
    scorer: the detector whose scores are looked at.
    method: of laying out.
    shown: names of the sets that are drawn.
    order: of the gallery, one of `ORDERS`.
    """

    colour: str
    scorer: str
    method: str
    shown: tuple[str, ...]
    order: str


def map_choice(
    names: Sequence[str], titles: Mapping[str, str], methods: Sequence[str], own: str, key: str
) -> MapChoice:
    """Returns what is drawn on the map.

    Args:
        names: of the detectors.
        titles: {name: title} of the sets.
        methods: of laying out, and `own`, the one that the data comes with.
        key: of the data; which sets are shown, and the window, do not outlive them.
    """
    if st.session_state.get("map_data", key) != key:
        for name in ("shown", "layout", "window"):
            st.session_state.pop(name, None)
            st.query_params.pop(name, None)
    st.session_state["map_data"] = key
    if (
        "shown" not in st.session_state and (sets := map_region_sets()) is not None
    ):  # they win over the link's own
        st.session_state["shown"] = [name for name in titles if name in sets]
    for name, offered, what in (("scorer", names, "detector"), ("colour", COLOURINGS, "colour")):
        warn_if_not_offered(name, offered, what)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        colour = st.selectbox(
            "Colour by",
            COLOURINGS,
            key="colour",
            bind="query-params",
            width=160,
            help="score: of the detector beside it. correction: E_θ alone, what HEAT adds to its Gaussians.",
        )
        scorer = st.selectbox(
            "Detector",
            names,
            names.index("HEAT") if "HEAT" in names else 0,
            key="scorer",
            bind="query-params",
            width=160,
            help="Whose scores are drawn, sorted and compared.",
        )
        order = st.segmented_control(
            "Gallery", ORDERS, default=ORDERS[0], required=True, key="order", bind="query-params"
        )
        method = st.segmented_control(
            "Layout",
            methods,
            default=own,
            required=True,
            key="layout",
            bind="query-params",
            format_func=str.upper,
            help="UMAP keeps neighbours together. PCA keeps the two directions in which features vary most.",
        )
        st.text_input(
            "Look at an image",
            key="typed-item",
            on_change=_typed_item,
            placeholder="cifar10/test/123",
            width=210,
            help="As the inspector writes it: its dataset, split and number; of data without, its set and row.",
        )
    shown = st.pills(
        "Sets on the map",
        list(titles),
        selection_mode="multi",
        default=list(titles),
        key="shown",
        bind="query-params",
        format_func=lambda name: plain(titles[name], 40),
        help="A set that is switched off is never selected on the map.",
    )
    return MapChoice(
        str(colour),
        str(scorer),
        str(method),
        tuple(name for name in titles if name in shown),
        str(order),
    )


def _typed_item() -> None:
    open_item(st.session_state["typed-item"].strip())
