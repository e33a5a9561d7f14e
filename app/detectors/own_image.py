"""An image of one's own: what the classifier and the detectors make of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.detectors.controls import image_upload
from app.detectors.state import NoOpinion, image_opinion
from app.detectors.tables import opinion_finding
from app.pack.data import PackData
from app.pack.inspector import VERDICT_COLUMNS
from app.pack.tables import verdicts_table
from app.text import plain

if TYPE_CHECKING:
    from heat_core.judge import Opinion

ENLARGED = 6  # screen pixels a pixel of the network's
NO_CLASSIFIER = (
    "This data comes without its classifier, so an image of your own cannot be scored. `python -m "
    "heat_core train-classifier` writes one and `extract --weights` a pack of it; keep the "
    "classifier beside the pack as `PACK.classifier.safetensors`."
)


@st.fragment
def show(pack_data: PackData, share_to_keep: float) -> None:
    """Offers an upload, and shows what is made of it.

    Args:
        pack_data: whose classifier and detectors judge it.
        share_to_keep: the share of ID that thresholds keep.
    """
    st.subheader("An image of your own")
    if pack_data.weights is None:
        st.info(NO_CLASSIFIER, icon=":material/info:")
        return
    file = image_upload()
    if file is None:
        return
    try:
        opinion = image_opinion(pack_data, file, file.name, share_to_keep)
    except NoOpinion as error:
        st.error(plain(error, 500), icon=":material/error:")
    else:
        _show_opinion(pack_data, opinion, share_to_keep)


def _show_opinion(pack_data: PackData, opinion: Opinion, share_to_keep: float) -> None:
    left, right = st.columns([1, 4])
    side = opinion.pixels.shape[0]
    enlarged = opinion.pixels.repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    mirror = ", and its mirror image" if pack_data.pack.is_mirrored else ""
    caption = f"As the network sees it: {side} x {side} pixels{mirror}"
    left.image(enlarged, caption, output_format="PNG")
    right.markdown(f"**{plain(opinion_finding(opinion))}**")
    if opinion.verdicts:
        right.dataframe(
            verdicts_table(opinion.verdicts),
            hide_index=True,
            height="content",
            alt="What the detectors say of the image",
            column_config=VERDICT_COLUMNS,
        )
    right.caption(
        f"The thresholds keep {100 * share_to_keep:g} % of the "
        f"{len(pack_data.pack.calibration):,} ID images that they are set on, none of which "
        "anything was fitted to. A score above its threshold is out."
    )
