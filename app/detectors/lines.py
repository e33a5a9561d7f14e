"""Every detector under one line, which keeps the same share of ID in all, and bars to click."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.components.detector_lines import detector_lines
from app.detectors.controls import score_range_input
from app.detectors.evaluation import LineSettings, ScoreHistogram, lines_data, ranked
from app.detectors.state import counted_sets, set_counted_sets, set_percent_to_keep
from app.pack.data import PackData
from app.pack.items import LabelledItems, items_of
from app.pack.scores import ScoresByDetector
from app.pack.selected import current_selection, selected_masks, set_part
from app.pack.shown import approach_of
from app.pack.tables import unique_titles
from app.text import plain
from heat_core.metrics import percentile
from heat_core.results.score_axis import SYMLOG_NOTE, ScoreUnit, is_even


def show(
    pack_data: PackData,
    scores_by_detector: ScoresByDetector,
    share_to_keep: float,
    unit: ScoreUnit,
) -> None:
    """Shows a histogram per detector under one line, those first that catch most.

    A click on a bar selects what lies in it.

    Args:
        pack_data: the data.
        scores_by_detector: of the detectors that are ready; at least one.
        share_to_keep: the share of ID that thresholds keep.
        unit: of the axes.
    """
    counted = counted_sets(pack_data)
    names = ranked(scores_by_detector, share_to_keep, counted)
    histograms = {name: ScoreHistogram(scores_by_detector[name], unit) for name in names}
    settings = LineSettings(
        percent_kept=round(100 * share_to_keep, 6),
        titles=unique_titles(pack_data.pack),
        counted=counted,
        selected=selected_masks(pack_data, current_selection()),
        notes={name: approach_of(name) for name in names},
    )

    def select_bar(name: str, bar: int) -> None:
        histogram = histograms[name]
        items = items_of(pack_data.pack, histogram.rows_in(bar))
        set_part(LabelledItems(f"bar-{name}", f"{name} {histogram.bar_text(bar)}", items))

    detector_lines(
        lines_data(histograms, settings),
        "lines",
        on_release=set_percent_to_keep,
        on_click=select_bar,
        on_count=set_counted_sets,
    )
    heights = " Heights are square roots of shares here." if unit == "ID percentile" else ""
    apart = pack_data.pack.apart_sentence
    st.caption(
        f"{_how_chosen(scores_by_detector)}{heights}{_uneven_note(histograms)}"
        f"{f' {plain(apart)}' if apart else ''}"
    )


def select_by_score(pack_data: PackData, scores_by_detector: ScoresByDetector) -> None:
    """Offers to select the rows that a detector scores within a range."""
    requested = score_range_input(tuple(scores_by_detector))
    if requested:
        _select_range(pack_data, scores_by_detector, *requested)


def _how_chosen(scores_by_detector: ScoresByDetector) -> str:
    """Returns what can be done with the line, and which rows thresholds are chosen on."""
    scores = next(iter(scores_by_detector.values()))
    count = len(scores.calibration)
    if scores.calibration_name == "val":
        chosen = (
            f"It is chosen on {count:,} held-out ID images; what it keeps and catches is counted "
            "on the test sets. FPR95 is of ID test by definition, and may differ a little."
        )
    else:
        chosen = (
            f"It is chosen on the same {count:,} ID test images that it is counted on: there are "
            "no held-out ones."
        )
    return (
        "Drag the line in any of them, or move it with the arrow keys: each detector's threshold "
        f"keeps the same share of ID. {chosen} All: the mean over groups, and over sets in a "
        "group. A click on a bar selects what lies in it; one on a set above leaves that out."
    )


def _uneven_note(histograms: Mapping[str, ScoreHistogram]) -> str:
    """Returns whose axis is a symlog one though nobody asked for that, and why; or nothing."""
    uneven = [
        name
        for name, histogram in histograms.items()
        if histogram.unit == "raw" and not is_even(histogram.edges)
    ]
    return f" {', '.join(uneven)}: {SYMLOG_NOTE}" if uneven else ""


def _select_range(
    pack_data: PackData, scores_by_detector: ScoresByDetector, name: str, low: float, high: float
) -> None:
    """Selects the rows that one detector scores between two ID percentiles, both as fractions."""
    inside = scores_by_detector[name].test
    masks = {}
    for set_name, values in scores_by_detector[name].items():
        if set_name != "val":
            percentiles = percentile(inside, values)
            masks[set_name] = (percentiles >= low) & (percentiles <= high)
    label = f"{name} ID percentile {100 * low:g} to {100 * high:g}"
    set_part(LabelledItems(f"bar-{name}", label, items_of(pack_data.pack, masks)))
    st.rerun()
