"""The paper's table of the detectors shown, what in it is more than chance, and its exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from app.detectors.tables import average_finding, averages_table, intervals_table, sets_table
from app.pack.data import PackData
from app.pack.scores import (
    ScoresByDetector,
    ensure_scoring_job,
    left_out_sentences,
    results_table,
)
from app.pack.selected import current_selection
from app.pack.tables import style_digits
from app.text import plain
from heat_core.results.formats import to_latex, to_markdown
from heat_core.results.table import Table

if TYPE_CHECKING:
    from heat_core.pack import Pack
    from heat_core.results.bootstrap import Bootstrap

LEARNED_FROM_IMAGES = (
    "EBM and HEAT learn here from destroyed ID images (jigsaws, warps, noise …), never from OOD "
    "data: their learned part is a bounded verdict of ID against destroyed ID, not the log of a "
    "density."
)
LEARNED_FROM_FEATURES = (
    "EBM and HEAT learn here from the features alone, against noise of broader Gaussians: no "
    "image, no OOD data. Expect HEAT near its prior, and the EBM behind it."
)


def show(
    pack_data: PackData, scores_by_detector: ScoresByDetector, bootstrap: Bootstrap | None
) -> None:
    """Shows the paper's table, best figures in bold, with exports.

    Args:
        pack_data: the data.
        scores_by_detector: of the detectors that are ready.
        bootstrap: that says what is significant, once all that are shown are scored.
    """
    pack, results = pack_data.pack, results_table(pack_data, scores_by_detector)
    st.subheader(average_finding(results, bootstrap))
    st.dataframe(
        averages_table(results, bootstrap),
        height="content",
        column_config={"_index": st.column_config.Column(width=110)},
        alt="FPR95 and AUROC of the detectors by group of OOD sets",
    )
    left_out = map(plain, left_out_sentences(ensure_scoring_job(pack_data)))
    st.caption(" ".join([_table_caption(pack, bootstrap is not None), *left_out]))
    if bootstrap is not None:
        with st.expander("What is more than chance"):
            _show_intervals(bootstrap)
    with st.expander("Every set, with the 95 % interval of the AUROC"):
        titles = {name: pack.marked_title_of(name) for name, _ in pack.sets()}
        st.dataframe(
            style_digits(sets_table(results, titles)),
            hide_index=True,
            alt="The detectors on every OOD set",
        )
    _export_buttons(pack, results)


def _table_caption(pack: Pack, has_bootstrap: bool) -> str:
    """Returns what the table's figures are of, and what the detectors learned from."""
    parts = []
    if current_selection():
        parts.append("All images; those of the selection alone stand below.")
    parts.append(
        "FPR95: OOD accepted where 95 % of ID is kept. Averages: over sets in a group, then over "
        "groups."
    )
    if has_bootstrap:
        parts.append(
            "Bold: the best, lightly tinted what does not differ significantly from it (paired "
            "bootstrap over images)."
        )
    else:
        parts.append("Bold: the best.")
    if pack.apart_sentence:
        parts.append(plain(pack.apart_sentence))
    parts.append(LEARNED_FROM_IMAGES if pack.extra.pseudo else LEARNED_FROM_FEATURES)
    return " ".join(parts)


def _show_intervals(bootstrap: Bootstrap) -> None:
    st.dataframe(
        intervals_table(bootstrap),
        hide_index=True,
        height="content",
        alt="Averages with 95 % intervals",
    )
    st.caption(
        f"In brackets: where 95 % of {len(bootstrap.resampled)} resamples of the images lie, the "
        "same for all detectors. Seeds, other networks and other OOD sets are not in it."
    )


def _export_buttons(pack: Pack, results: Table) -> None:
    """Offers the table as files."""
    table = pd.DataFrame([{"pack": pack.title, **vars(row)} for row in results.rows])
    note = " ".join(filter(None, [pack.passes_sentence, pack.apart_sentence]))
    exports = {
        "CSV": (table.to_csv(index=False), "csv"),
        "Markdown": (to_markdown(results, note=note), "md"),
        "LaTeX": (to_latex(results, note=note), "tex"),
    }
    with st.container(horizontal=True):
        for label, (content, ending) in exports.items():
            st.download_button(
                label,
                content,
                f"detectors.{ending}",
                icon=":material/download:",
                on_click="ignore",
            )
