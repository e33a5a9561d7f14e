"""Feature map: real features in two dimensions; draw around points to see what they are."""

import streamlit as st

from app.feature_map.controls import MapChoice, map_choice
from app.feature_map.layout_offer import offer_layout
from app.feature_map.panels import show_gallery, show_summary
from app.feature_map.scatter import follow_region, map_colouring, show_facts, show_map
from app.pack import header, inspector
from app.pack.controls import selection_chips
from app.pack.data import PackData
from app.pack.items import masks_of_sets
from app.pack.layout_state import current_layout
from app.pack.scores import ensure_scoring_job, heat_correction, ready_scores
from app.pack.scoring_progress import show_early_end, show_scoring
from app.pack.selected import current_selection, opened_item
from app.pack.shown import add_detectors
from app.text import plain
from heat_core.detectors.presets import DETECTORS
from heat_core.scores import SetScores


def chosen_scores(pack_data: PackData, choice: MapChoice) -> SetScores | None:
    """Returns the scores of the detector that is chosen; None, having said why, without."""
    job = ensure_scoring_job(pack_data)
    scores_by_detector, missing_reasons = ready_scores(job)
    show_early_end(pack_data, job)
    if choice.detector in missing_reasons:
        st.info(plain(missing_reasons[choice.detector]), icon=":material/info:")
    needed = {choice.detector}
    if choice.colour == "correction":
        needed.add("HEAT")
    pending = needed - {*scores_by_detector, *missing_reasons}
    if pending and not job.over:
        name = sorted(pending)[-1]
        show_scoring(job, f"Fitting the detectors, {plain(name)} among them", [name])
    if choice.colour == "correction" and not pending and not heat_correction(pack_data):
        st.info(
            "HEAT has no correction on these features, so nothing is coloured by it.",
            icon=":material/info:",
        )
    return scores_by_detector.get(choice.detector)


def show(pack_data: PackData) -> None:
    """Shows the choices, and the map as soon as there is one."""
    choice = map_choice(pack_data, tuple(DETECTORS))
    add_detectors([choice.detector])
    layout = current_layout(pack_data, choice.method)
    if layout is None:
        selection_chips()
        offer_layout(pack_data, choice.method)
        inspector.show(pack_data, opened_item())
        return
    show_facts(pack_data, layout, choice.set_names)
    scores = chosen_scores(pack_data, choice)
    polygons = follow_region(pack_data, layout, choice.set_names)
    selection_chips()
    selection = current_selection()
    masks = masks_of_sets(pack_data.pack, choice.set_names, selection.items) if selection else None
    left, right = st.columns([3, 2])
    with right:
        show_summary(pack_data, choice, masks, scores)
    if masks is not None:
        show_gallery(pack_data, choice, masks, scores)
    with left:
        if not choice.set_names:
            st.info("No set is shown. Pick one above.", icon=":material/info:")
        colouring = map_colouring(pack_data, layout, choice, scores)
        show_map(pack_data, layout, choice, colouring, polygons, masks)
    inspector.show(pack_data, opened_item())


pack_data = header.show(
    "Feature map",
    "Where images lie in the network's feature space, in two dimensions. Draw around points; click "
    "one to look into it.",
)
if pack_data is not None:
    show(pack_data)
