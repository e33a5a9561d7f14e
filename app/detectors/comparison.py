"""The pieces of the Detectors page that hold all detectors side by side: the table, histograms, ROC curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from app import figures
from app.detectors.controls import drawn_detectors, drawn_group, score_range
from app.detectors.tables import (
    FPR,
    ON_TEST,
    average_finding,
    averages_table,
    curve_rows,
    interval_rows,
    roc_finding,
    selection_rows,
    set_rows,
)
from app.pack.data import PackData
from app.pack.items import FEW, Mask, Part, items_of
from app.pack.scores import results_table
from app.pack.selected import add_to_selection, current_selection, selected_masks
from app.pack.tables import style_digits
from heat_core.metrics import auroc, percentile, threshold_keeping
from heat_core.results.formats import to_latex, to_markdown
from heat_core.results.table import grouped
from heat_core.thresholds import Groups, by_group, evaluate, sweep

if TYPE_CHECKING:
    from heat_core.results.bootstrap import Bootstrap

Scores = Mapping[str, Mapping[str, NDArray[np.float64]]]  # {detector: {set: (n,)}}

COLUMNS = 3
NAMES = {"Detector": st.column_config.TextColumn(width=95)}  # in pixels: the longest name fits
LEARNED = {
    True: "EBM, HEAT and Composed learn here from destroyed ID images (jigsaws, warps, noise …), never from OOD data: their "
    "correction is a bounded verdict of ID against destroyed ID, not the log of a density.",
    False: "EBM and HEAT learn here from the features alone, against broad Gaussian noise (T_G = 9, set beforehand): no image, "
    "no OOD data. Expect HEAT near its MoG, and the EBM behind it.",
}


def table(pack_data: PackData, scores: Scores, drawn: Bootstrap | None) -> None:
    """Shows the paper's table, best figures in bold, with exports; `drawn` says what is significant, once all are scored."""
    pack, found = pack_data.pack, results_table(pack_data, scores)
    st.subheader(average_finding(found, drawn))
    st.dataframe(
        averages_table(found, drawn),
        column_config={"_index": st.column_config.Column(width=110)},
        alt="FPR95 and AUROC of every detector by group of OOD sets",
    )
    tinted = (
        ", lightly tinted what does not differ significantly from it (paired bootstrap over images)"
        if drawn
        else ""
    )
    st.caption(
        f"{'All images; those of the selection alone stand below. ' * bool(current_selection())}"
        "FPR95: OOD accepted where 95 % of ID is kept. Averages: over sets in a group, then over groups. "
        f"Bold: the best{tinted}. {LEARNED[bool(pack.extra.pseudo)]}"
    )
    if drawn is not None:
        with st.expander("What is more than chance"):
            st.dataframe(
                interval_rows(drawn),
                hide_index=True,
                height="content",
                alt="Averages with 95 % intervals",
            )
            st.caption(
                f"In brackets: where 95 % of {len(drawn.draws)} resamples of the images lie, the same for all detectors. "
                "Seeds, other networks and other OOD sets are not in it."
            )
    with st.expander("Every set, with the 95 % interval of the AUROC"):
        titles = {name: pack.set_title(name) for name, _ in pack.sets()}
        st.dataframe(
            style_digits(set_rows(found, titles)),
            hide_index=True,
            alt="Every detector on every OOD set",
        )
    csv = pd.DataFrame([{"pack": pack.title, **vars(row)} for row in found.rows]).to_csv(
        index=False
    )
    files = {
        "CSV": (csv, "csv"),
        "Markdown": (to_markdown(found), "md"),
        "LaTeX": (to_latex(found), "tex"),
    }
    with st.container(horizontal=True):
        for label, (content, ending) in files.items():
            name = f"detectors.{ending}"
            st.download_button(label, content, name, icon=":material/download:", on_click="ignore")


def selected(pack_data: PackData, scores: Scores) -> None:
    """Shows how each detector tells the OOD images that are selected from all of ID test; nothing without a selection."""
    picked = current_selection()
    if not picked:
        return
    chosen = _chosen(pack_data, _sets(pack_data))
    many = _many(chosen)
    if many < FEW:
        st.info(
            f"Of the {len(picked):,} selected, {many} {'is' if many == 1 else 'are'} OOD: too few for figures and curves of "
            f"their own, which need {FEW}.",
            icon=":material/info:",
        )
        return
    found = selection_rows(scores, chosen)
    best = found.iloc[0]
    st.subheader(
        f"Of the {many:,} OOD images selected, {best['Detector']} lets the least pass, {best[FPR]:.1f}\u00a0%."
    )
    st.dataframe(
        style_digits(found),
        hide_index=True,
        height="content",
        width=560,
        column_config=NAMES,
        alt="FPR95 and AUROC on the selected OOD images",
    )
    st.caption(
        f"{many:,} of the {len(picked):,} selected are OOD; put together, against all {len(pack_data.pack.test):,} ID test images. "
        "Images picked by a detector's own scores are no fair test of that detector."
    )


def histograms(pack_data: PackData, scores: Scores, keep: float, unit: str) -> None:
    """Shows a histogram a detector, its title the finding at the threshold; a click on a bar selects what lies in it."""
    st.subheader(f"At a threshold that keeps {100 * keep:g} % of ID")
    st.caption(ON_TEST)
    chosen = selected_masks(pack_data, current_selection())
    asked = score_range(tuple(scores))
    if asked:
        _take(pack_data, scores, *asked)
    places = [
        column for _ in range(0, len(scores), COLUMNS) for column in st.columns(COLUMNS)
    ]  # row by row, on a phone too
    for place, (name, by_set) in zip(places, scores.items(), strict=False):
        with place.container(border=True):
            _histogram(pack_data, name, by_set, keep, unit, chosen)


def _histogram(
    pack_data: PackData, name: str, by_set: Mapping, keep: float, unit: str, chosen: Mapping
) -> None:
    inside = by_set["test"]
    axis = unit if unit == "ID percentile" else "score"

    def placed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return 100 * percentile(inside, values) if unit == "ID percentile" else values

    shown = {group: placed(values) for group, values in grouped(by_set, pack_data.pack.ood).items()}
    cut = threshold_keeping(shown["ID"], keep)
    selected = (
        placed(np.concatenate([by_set[n][mask] for n, mask in chosen.items()])) if chosen else None
    )
    edges = figures.bins(shown, cut)
    out = [placed(by_set[of][chosen[of]]) for of in _sets(pack_data) if of in chosen]
    counted = {**shown, "the OOD selected": np.concatenate(out)} if out else shown
    caught = [
        f"{100 * np.mean(values > cut):.0f}\u00a0% of {group}"
        for group, values in counted.items()
        if group != "ID"
    ]
    st.markdown(f"**{name}** catches {', '.join(caught)}")

    def clicked() -> None:
        if points := st.session_state[key]["selection"]["points"]:
            bar = int(points[0]["point_index"])
            low = -np.inf if bar == 0 else edges[bar]
            high = np.inf if bar == len(edges) - 2 else edges[bar + 1]
            within = {
                n: (placed(s) >= low) & (placed(s) < high) for n, s in by_set.items() if n != "val"
            }
            label = f"{name} {axis} {_between(low, high)}"
            add_to_selection(Part(f"bar-{name}", label, items_of(pack_data.pack, within)))

    key = f"histogram-{name}"
    alt = f"{name}: the {axis} of ID and of near, mid and far OOD; the threshold is {cut:.4g}"
    st.plotly_chart(
        figures.histogram(shown, edges, cut, axis, selected),
        key=key,
        alt=alt,
        config=figures.QUIET,
        on_select=clicked,
        selection_mode="points",
    )


def _between(low: float, high: float) -> str:
    """Returns what lies in a bar; the first and the last hold all that is beyond the axis as well."""
    if np.isinf(low):
        return f"below {high:.4g}"
    return f"from {low:.4g} up" if np.isinf(high) else f"{low:.4g} to {high:.4g}"


def _take(pack_data: PackData, scores: Scores, name: str, low: float, high: float) -> None:
    """Selects what one detector scores between two ID percentiles."""
    inside = scores[name]["test"]
    ranks = {n: percentile(inside, values) for n, values in scores[name].items() if n != "val"}
    within = {n: (rank >= low) & (rank <= high) for n, rank in ranks.items()}
    add_to_selection(
        Part(
            f"bar-{name}",
            f"{name} ID percentile {100 * low:g} to {100 * high:g}",
            items_of(pack_data.pack, within),
        )
    )
    st.rerun()


@st.fragment
def curves(pack_data: PackData, scores: Scores, keep: float) -> None:
    """Shows ROC curves of a few detectors, against all OOD or a group of it; of what is selected alone, if that is enough."""
    heading = st.container()
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        names = drawn_detectors()
    with right:
        group = drawn_group(tuple(dict.fromkeys(g for g, _ in pack_data.pack.ood)))
    shown = {name: scores[name] for name in names if name in scores}
    if not shown:
        lacking = (
            "None of these detectors is ready."
            if names
            else "Choose a detector above to see its curve."
        )
        st.info(lacking, icon=":material/info:")
        return
    outside, areas, kind = _of_selection(pack_data, shown, group) or _of_all(
        pack_data, scores, list(shown), group
    )
    heading.subheader(roc_finding(areas, kind))
    sweeps = {name: sweep(by_set["test"], outside[name]) for name, by_set in shown.items()}
    cuts = {name: threshold_keeping(by_set["test"], keep) for name, by_set in shown.items()}
    outcomes = {
        name: evaluate(cuts[name], by_set["test"], outside[name]) for name, by_set in shown.items()
    }
    figure = figures.roc(
        {name: (1 - s.kept, s.caught) for name, s in sweeps.items()},
        {name: (what.lost, what.outside) for name, what in outcomes.items()},
    )
    alt = f"OOD caught by ID flagged (ROC) of {', '.join(shown)}, on {kind}"
    left, right = st.columns([3, 2], vertical_alignment="center")
    left.plotly_chart(figure, key="roc", alt=alt, config=figures.QUIET)
    rows = style_digits(curve_rows(areas, outcomes))
    right.dataframe(
        rows, hide_index=True, height="content", alt="The curves in figures", column_config=NAMES
    )


Curves = tuple[
    Mapping[str, Groups], Mapping[str, float], str
]  # {detector: OOD scores}, {detector: AUROC}, on what


def _of_all(pack_data: PackData, scores: Scores, names: Sequence[str], group: str) -> Curves:
    found, outside = (
        results_table(pack_data, scores),
        {name: by_group(scores[name], _sets(pack_data, group)) for name in names},
    )
    areas = {
        name: found.average(name, "average" if group == "all" else group).auroc for name in names
    }
    return (
        outside,
        areas,
        "all OOD, every group counting the same" if group == "all" else f"{group} OOD",
    )


def _of_selection(pack_data: PackData, scores: Scores, group: str) -> Curves | None:
    """Returns what is selected of a group, put together; None where that is too little."""
    kind, chosen = (
        "OOD" if group == "all" else f"{group} OOD",
        _chosen(pack_data, _sets(pack_data, group)),
    )
    if _many(chosen) < FEW:
        return None
    picked = {
        name: np.concatenate([by_set[of][mask] for of, mask in chosen.items()])
        for name, by_set in scores.items()
    }
    areas = {name: auroc(by_set["test"], picked[name]) for name, by_set in scores.items()}
    return (
        {name: {"selected": {kind: values}} for name, values in picked.items()},
        areas,
        f"the {_many(chosen):,} {kind} images selected",
    )


def _sets(pack_data: PackData, group: str = "all") -> list[str]:
    """Returns the names of the OOD sets of a group, or of all."""
    return [f"{of}_{name}" for of, name in pack_data.pack.ood if group in ("all", of)]


def _chosen(pack_data: PackData, sets: Sequence[str]) -> dict[str, Mask]:
    """Returns {set: which of its rows are selected (N,)} of some OOD sets; nothing without a selection."""
    picked = current_selection()
    return (
        {name: mask for name, mask in selected_masks(pack_data, picked).items() if name in sets}
        if picked
        else {}
    )


def _many(chosen: Mapping[str, Mask]) -> int:
    return sum(int(mask.sum()) for mask in chosen.values())
