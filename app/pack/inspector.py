"""One image, in a drawer or beside a map: its terms, its neighbours, what detectors say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import streamlit as st

from app import figures
from app.pack import tables
from app.pack.data import PackData, images_of
from app.pack.gallery import show_tiles
from app.pack.insight import Insight, RowTerms
from app.pack.items import find_item, given_id
from app.pack.scores import (
    ScoresByDetector,
    current_share_to_keep,
    ensure_scoring_job,
    ready_scores,
    row_insight,
)
from app.pack.selected import open_item, opened_item
from app.text import number_text, plain
from heat_core.metrics import threshold_keeping

NOTHING: Mapping[str, Any] = MappingProxyType({})
IMAGE_SIDE = 160  # in screen pixels
SCORE_COLUMN = st.column_config.NumberColumn(format="%.4g")
PERCENT_COLUMN = st.column_config.NumberColumn(format="%.1f")
VERDICT_COLUMNS = {
    "ID test at or below %": PERCENT_COLUMN,
    "Score": SCORE_COLUMN,
    "Threshold": SCORE_COLUMN,
}
"""{column of `verdicts_table`: how it is written}."""


@dataclass(frozen=True)
class Room:
    """How much room there is.

    Args:
        image_columns: widths of the image and of what is said beside it.
        term_columns: how many scores are spelled out side by side.
    """

    image_columns: tuple[int, int]
    term_columns: int


SIDE_BY_SIDE = Room((1, 5), 2)
BELOW_EACH_OTHER = Room((1, 3), 1)


def show(
    pack_data: PackData,
    item: str,
    thresholds: Mapping[str, float] = NOTHING,
    why: str = "",
    refusals: Mapping[str, str] = NOTHING,
) -> None:
    """Shows what is known of an item such as `cifar10/test/123`, in a drawer; nothing without one.

    It may be called from a fragment, so that a click need not run the page. Only one a run.

    Args:
        thresholds: {detector: threshold}; those of other detectors keep the share of ID that the
            tab is set to.
        why: where the thresholds come from, in a sentence.
        refusals: {detector: why it has no threshold, in a sentence}; these are left out.
    """
    if item:
        _drawer(pack_data, item, thresholds, why, refusals)


def _on_dismiss() -> None:
    open_item("")


@st.dialog("One image", width="large", on_dismiss=_on_dismiss)
def _drawer(
    pack_data: PackData,
    item: str,
    thresholds: Mapping[str, float],
    why: str,
    refusals: Mapping[str, str],
) -> None:
    item = opened_item() or item  # a neighbour may have been clicked since
    _show_image(pack_data, item, thresholds, why, refusals, SIDE_BY_SIDE)


def show_beside(pack_data: PackData, item: str) -> None:
    """Shows what is known of an item where the page has room for it, as `show` does in a drawer."""
    _show_image(pack_data, item, NOTHING, "", NOTHING, BELOW_EACH_OTHER)


def _show_image(
    pack_data: PackData,
    item: str,
    thresholds: Mapping[str, float],
    why: str,
    refusals: Mapping[str, str],
    room: Room,
) -> None:
    """Shows what is known of an item, in the room that there is."""
    pack_row = find_item(pack_data.pack, item)
    if pack_row is None:
        st.error(f"This data holds no image {plain(item, 80)}.", icon=":material/error:")
        return
    job = ensure_scoring_job(pack_data)
    scores_by_detector, _ = ready_scores(job)
    share_to_keep = current_share_to_keep()
    thresholds = {
        name: thresholds.get(name, threshold_keeping(set_scores.calibration, share_to_keep))
        for name, set_scores in scores_by_detector.items()
        if name not in refusals
    }
    insight = row_insight(pack_data, pack_row, thresholds)
    _show_head(pack_data, item, insight, room.image_columns)
    if not job.over:
        ready = plain(", ".join(scores_by_detector)) or "no detector"
        st.caption(f"Fitted so far: {ready}. The others follow.")
    _show_all_terms(insight, scores_by_detector, room.term_columns)
    if insight.verdicts:
        keeps = f"Each threshold keeps {100 * share_to_keep:g} % of ID."
        _show_verdicts(insight, why or f"{keeps} A score above it is out.")
    elif job.over:
        st.info(
            "The detectors were fitted to this image, and are not kept, so nothing scores it.",
            icon=":material/info:",
        )
    for name, reason in refusals.items():
        st.caption(f"{plain(name)} is left out: {plain(reason)}")
    _show_neighbours(pack_data, insight)


def _show_head(pack_data: PackData, item: str, insight: Insight, columns: tuple[int, int]) -> None:
    """Shows the image, what it is and what it is taken for.

    Args:
        columns: widths of the image and of what is said beside it.
    """
    left, right = st.columns(columns)
    name, row = insight.pack_row
    features = dict(pack_data.pack.sets())[name]
    caption = plain(" · ".join(filter(None, [given_id(features, row), item])), 120)
    (image,), reasons = images_of(pack_data, [insight.pack_row])
    if image is None:
        left.info(plain(reasons[0]), icon=":material/hide_image:")
    else:
        height, width = image.shape[:2]
        times = max(1, IMAGE_SIDE // height)
        enlarged = image.repeat(times, 0).repeat(times, 1)
        left.image(enlarged, output_format="PNG", alt=f"Image {item}")
        caption += f", {height} x {width} pixels"
    finding = tables.insight_finding(insight, pack_data.pack.title_of(name))
    right.markdown(f"**{plain(finding)}**")
    right.caption(caption)
    if known := tables.metadata_sentence(features.metadata, row):
        right.caption(plain(known, 600))
    right.markdown(_nearest_classes_sentence(pack_data, insight))
    with right.expander("The distance to every class"):
        st.dataframe(
            tables.class_distances_table(insight),
            hide_index=True,
            alt="Mahalanobis distance to every class, nearest first",
            column_config={"Distance": SCORE_COLUMN},
        )
    if insight.predicted is None:
        right.caption(
            "This data comes without the classifier's head, so no class is predicted: the nearest "
            "one stands in for it."
        )
    if name == "train" and insight.verdicts:
        right.caption("The detectors were fitted to this image: expect them to find it ordinary.")


def _nearest_classes_sentence(pack_data: PackData, insight: Insight) -> str:
    """Returns the nearest class or two, and how far they are, in a sentence."""
    (nearest, distance), *further = insight.nearest_classes
    second = ""
    if further:
        second_class, second_distance = further[0]
        second = f", then {plain(second_class)} at {number_text(second_distance, 1)}"
    dim = pack_data.pack.train.dim
    return (
        f"Nearest class: {plain(nearest)}, {number_text(distance, 1)} standard deviations away "
        f"(Mahalanobis){second}. In {dim} dimensions {dim**0.5:.1f} is ordinary."
    )


def _show_all_terms(
    insight: Insight, scores_by_detector: ScoresByDetector, count: int = SIDE_BY_SIDE.term_columns
) -> None:
    """Shows the terms of every score that has several, in `count` columns side by side."""
    columns = st.columns(count)
    for i, (name, row_terms) in enumerate(insight.row_terms.items()):
        share_kept = float(np.mean(scores_by_detector[name].test <= row_terms.verdict.threshold))
        with columns[i % count]:
            _show_terms(name, row_terms, share_kept)


def _show_terms(detector: str, row_terms: RowTerms, share_kept: float) -> None:
    """Shows the terms of a score with the verdict, and where each stands among ID.

    Args:
        share_kept: of ID test rows at or below the threshold.
    """
    st.markdown(f"**{detector}: {plain(row_terms.sentence)}**")
    names = [*row_terms.terms.names, "total"]
    shares = [
        f"{name} {100 * percentile:.1f} %"
        for name, percentile in zip(names, row_terms.percentiles, strict=True)
    ]
    st.plotly_chart(
        figures.percentile_bars(names, row_terms.percentiles, share_kept),
        key=f"percentiles-{detector}",
        config=figures.QUIET,
        alt=f"{detector}: share of ID test images with at most as much: {', '.join(shares)}",
    )
    st.caption(_terms_sentence(row_terms))


def _terms_sentence(row_terms: RowTerms) -> str:
    """Returns what the terms are, in a sentence."""
    terms = row_terms.terms
    if terms.standardised:
        joined = "added up" if terms.adds else "put together"
        return (
            "Each term is in standard deviations of ID images, times its weight, and they are "
            f"{joined}."
        )
    if not terms.prior_parts:
        return "The score is the sum of these terms."
    prior, total = 100 * row_terms.percentiles[0], 100 * row_terms.percentiles[-1]
    direction = "up" if total >= prior else "down"
    return (
        f"{_prior_clause(row_terms)}; the correction E_θ is learned. Among ID it moves this image "
        f"{direction} by {abs(total - prior):.1f} points, from {prior:.1f} % to {total:.1f} %."
    )


def _prior_clause(row_terms: RowTerms) -> str:
    """Returns what HEAT's prior is made of, and what its parts add to the score of a row."""
    terms = row_terms.terms
    if len(row_terms.part_values):
        parts = zip(terms.prior_parts, row_terms.part_values, strict=True)
        added = ", ".join(f"{title} {number_text(value, 2)}" for title, value in parts)
        return f"The prior adds up {added}, on one scale over T_G = {terms.temperature:.4g}"
    (title,) = terms.prior_parts
    meaning, symbol = ("a Gaussian a class (MoG)", "E_G") if title == "MoG" else (title, "E")
    temperature = terms.temperature or 1.0
    energy = row_terms.values[0] * temperature
    return f"The prior is {meaning}: {symbol} / T_G = {number_text(energy, 2)} / {temperature:.4g}"


def _show_verdicts(insight: Insight, why: str) -> None:
    st.markdown("**What the detectors say**")
    st.dataframe(
        tables.verdicts_table(insight.verdicts),
        hide_index=True,
        height="content",
        alt="The detectors' verdicts",
        column_config=VERDICT_COLUMNS,
    )
    st.caption(why)


def _show_neighbours(pack_data: PackData, insight: Insight) -> None:
    """Shows the training images that are nearest in feature space, each to be opened in turn."""
    train = pack_data.pack.train
    assert train.y is not None
    labels = [pack_data.pack.class_name(int(train.y[row])) for row in insight.nearest_rows]
    commonest = max(labels, key=labels.count)
    st.markdown(
        "**The nearest training images in feature space: "
        f"{labels.count(commonest)} of {len(labels)} are {plain(commonest)}**"
    )
    captions = [
        (label, f"{distance:.3f} away")
        for label, distance in zip(labels, insight.nearest_distances, strict=True)
    ]
    pack_rows = [("train", int(row)) for row in insight.nearest_rows]
    show_tiles(pack_data, pack_rows, captions, "neighbours")
