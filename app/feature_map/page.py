"""Feature map: real features in two dimensions; draw around points to see what they are."""

import streamlit as st

from app.feature_map.controls import (
    IMAGE,
    PAIR,
    SELECTION,
    MapChoice,
    map_choice,
    panel_input,
)
from app.feature_map.keeping import show_exports, show_tags
from app.feature_map.layout_offer import offer_layout
from app.feature_map.pair_panel import show_pair
from app.feature_map.panels import gallery_rows, show_gallery, show_image, show_summary
from app.feature_map.scatter import (
    follow_region,
    map_colouring,
    share_previews,
    show_facts,
    show_map,
)
from app.pack import header
from app.pack.controls import selection_chips
from app.pack.data import PackData
from app.pack.flips import HEATS_PRIOR
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
    pending = needed_detectors(choice) - {*scores_by_detector, *missing_reasons}
    if pending and not job.over:
        name = sorted(pending)[-1]
        show_scoring(job, f"Fitting the detectors, {plain(name)} among them", [name])
    if choice.colour == "correction" and not pending and not heat_correction(pack_data):
        st.info(
            "HEAT has no correction on these features, so nothing is coloured by it.",
            icon=":material/info:",
        )
    return scores_by_detector.get(choice.detector)


def needed_detectors(choice: MapChoice) -> set[str]:
    """Returns the detectors that the page waits for."""
    needed = {choice.detector, *choice.pair} & set(DETECTORS)
    if choice.colour == "correction" or HEATS_PRIOR in choice.pair:
        needed.add("HEAT")
    return needed


def show_keeping(pack_data: PackData) -> None:
    """Shows the tags, and offers rows as files."""
    job = ensure_scoring_job(pack_data)
    scores_by_detector, _ = ready_scores(job)
    show_tags(pack_data)
    show_exports(pack_data, scores_by_detector, job.over)


def show(pack_data: PackData) -> None:
    """Shows the choices, and the map as soon as there is one."""
    toolbar, above = st.container(), st.container()
    left, right = st.columns([4, 3])
    below = st.container()
    with right:
        panel = panel_input(opened_item())
    with toolbar:
        choice = map_choice(pack_data, tuple(DETECTORS), panel)
    add_detectors(name for name in (choice.detector, *choice.pair) if name in DETECTORS)
    with right:
        scores = chosen_scores(pack_data, choice)
    layout = current_layout(pack_data, choice.method)
    if layout is None:
        with above:
            selection_chips()
        with left:
            offer_layout(pack_data, choice.method)
        if panel == IMAGE:
            with right:
                show_image(pack_data, choice, opened_item(), None, scores)
        return
    polygons = follow_region(pack_data, layout, choice.set_names)
    with above:
        selection_chips()
    selection = current_selection()
    masks = masks_of_sets(pack_data.pack, choice.set_names, selection.items) if selection else None
    selected = None
    if masks is not None:
        with below:
            selected = gallery_rows(pack_data, choice, masks, scores)
    with right:
        if panel == SELECTION:
            show_summary(pack_data, choice, masks, scores)
            show_keeping(pack_data)
        elif panel == IMAGE:
            show_image(pack_data, choice, opened_item(), selected, scores)
    if selected is not None and len(selected):
        with below:
            show_gallery(pack_data, choice, selected, scores)
    colouring = map_colouring(pack_data, layout, choice, scores)
    with left:
        if not choice.set_names:
            st.info("No set is shown. Pick one above.", icon=":material/info:")
        show_map(pack_data, layout, choice, colouring, polygons, masks)
        show_facts(pack_data, layout, choice.set_names, choice.has_contours)
    if panel == PAIR:
        with right:
            show_pair(pack_data, layout, choice.pair, choice.set_names, colouring, masks)
    with below:
        share_previews(pack_data, layout, choice.detector, scores)


pack_data = header.show(
    "Feature map",
    "Where images lie in the network's feature space, in two dimensions. Draw around points; click "
    "one to look into it.",
)
if pack_data is not None:
    show(pack_data)
