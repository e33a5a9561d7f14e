"""Feature map: real features in two dimensions, OOD sets over them; draw around points to see what they are."""

import streamlit as st

from app.feature_map import colours as colouring
from app.feature_map import map as atlas
from app.feature_map.controls import map_choice
from app.pack import header, inspector
from app.pack.controls import selection_chips
from app.pack.layout import mapped_sets
from app.pack.layout_state import current_layout
from app.pack.scores import heat_correction, ready_scores, scoring_job
from app.pack.selected import opened_item
from app.text import plain
from heat_core.detectors.presets import DETECTORS
from heat_core.projection import METHODS


@st.fragment(run_every=1.0)
def waiting(job, name: str) -> None:
    """Shows how far the fitting is, and draws the page when the detector that is asked for is ready."""
    scores, absent = ready_scores(job)
    if job.over or name in scores or name in absent:
        st.rerun()
    st.progress(
        job.progress, f"Fitting the detectors, {plain(name)} among them: {job.progress:.0%}"
    )


def scored(pack_data, choice) -> dict | None:
    """Returns {set: scores} of the detector that is asked for, or says why there are none."""
    job = scoring_job(pack_data, "modern")
    scores, absent = ready_scores(job)
    if job.state == "failed":
        st.error(plain(job.error), icon=":material/error:")
    if choice.scorer in absent:
        st.info(plain(absent[choice.scorer]), icon=":material/info:")
    lacking = {choice.scorer, *(["HEAT"] if choice.colour == "correction" else [])} - {
        *scores,
        *absent,
    }
    if lacking and not job.over:
        waiting(job, sorted(lacking)[-1])
    if choice.colour == "correction" and not lacking and not heat_correction(pack_data):
        st.info(
            "HEAT has no correction on these features, so nothing is coloured by it.",
            icon=":material/info:",
        )
    return scores.get(choice.scorer)


def show(pack_data) -> None:
    """Shows the choices, and the map as soon as there is one."""
    titles = {
        name: colouring.set_title(pack_data.pack, name) for name in mapped_sets(pack_data.pack)
    }
    own = pack_data.layout.method if pack_data.layout else METHODS[0]
    choice = map_choice(tuple(DETECTORS), titles, METHODS, own, pack_data.key)
    layout = current_layout(pack_data, choice.method)
    if layout is None:
        selection_chips()
        atlas.offer(pack_data, choice.method)
        inspector.show(pack_data, opened_item())
        return
    atlas.facts(pack_data, layout, choice.shown)
    scores = scored(pack_data, choice)
    polygons = atlas.follow(pack_data, layout, choice.shown)
    selection_chips()
    masks = atlas.chosen(pack_data, choice.shown)
    left, right = st.columns([3, 2])
    with right:
        atlas.summary(pack_data, choice, masks, scores)
    if masks is not None:
        atlas.gallery(pack_data, choice, masks, scores)
    with left:
        if not choice.shown:
            st.info("No set is shown. Pick one above.", icon=":material/info:")
        atlas.show_map(
            pack_data,
            layout,
            choice,
            atlas.colours(pack_data, layout, choice, scores),
            polygons,
            masks,
        )
    inspector.show(pack_data, opened_item())


data = header.show(
    "Feature map",
    "Where images lie in the network's feature space, in two dimensions. Draw around points; click one to look into it.",
)
if data is not None:
    show(data)
