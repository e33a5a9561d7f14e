"""One image under the glass: its energies spelled out, who is near, and what every detector says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import figures
from app.components.tiles import Tile, encoded, tiles
from app.pack import controls, tables
from app.pack.data import PackData, has_images, images_of
from app.pack.insight import Insight, Spelled
from app.pack.items import find_item, item_of
from app.pack.scores import current_share_to_keep, ready_scores, row_insight, scoring_job
from app.pack.selected import open_item, opened_item
from app.pack.tables import class_distance_rows, verdict_rows
from app.text import plain
from heat_core.metrics import threshold_keeping

SIDE = 160  # of the image, in screen pixels


def _closed() -> None:
    open_item("")


def show(
    pack_data: PackData, item: str, cuts: Mapping[str, float] | None = None, why: str = ""
) -> None:
    """Shows what is known of an item such as `cifar10/test/123`, in a drawer; nothing without an item.

    It may be called from a fragment, so that a click need not run the page. Only one a run.

    Args:
        cuts: {detector: threshold}; those of detectors that are not named keep the share of ID that the tab is set to.
        why: where the thresholds come from, in a sentence.
    """
    if item:
        _drawer(pack_data, item, cuts or {}, why)


@st.dialog("One image", width="large", on_dismiss=_closed)
def _drawer(pack_data: PackData, item: str, cuts: Mapping[str, float], why: str) -> None:
    item = opened_item() or item  # a neighbour may have been clicked since
    found = find_item(pack_data.pack, item)
    if found is None:
        st.error(f"This data holds no image {plain(item, 80)}.", icon=":material/error:")
        return
    keep = current_share_to_keep()
    job = scoring_job(pack_data, "modern")
    scores, _ = ready_scores(job)
    cuts = {
        name: cuts.get(name, threshold_keeping(by_set["test"], keep))
        for name, by_set in scores.items()
    }
    insight = row_insight(pack_data, found, cuts)
    _head(pack_data, item, insight)
    if not job.over:
        st.caption(
            f"Fitted so far: {plain(', '.join(scores)) or 'no detector'}. The others follow."
        )
    for place, (name, spelled) in zip(st.columns(2), insight.spelled.items(), strict=False):
        with place:
            _sum(name, spelled, float(np.mean(scores[name]["test"] <= spelled.verdict.threshold)))
    if insight.verdicts:
        st.markdown("**What every detector says**")
        st.dataframe(
            verdict_rows(insight.verdicts),
            hide_index=True,
            height="content",
            alt="Every detector's verdict",
            column_config={
                "ID test at or below %": st.column_config.NumberColumn(format="%.1f"),
                **dict.fromkeys(
                    ("Score", "Threshold"), st.column_config.NumberColumn(format="%.6g")
                ),
            },
        )
        st.caption(
            why
            or f"Each threshold keeps {100 * keep:g} % of the ID test images themselves. A score above it is out."
        )
    elif job.over:
        st.info(
            "The detectors were fitted to this image, and are not kept, so nothing scores it.",
            icon=":material/info:",
        )
    _neighbours(pack_data, insight)


def _head(pack_data: PackData, item: str, insight: Insight) -> None:
    """Shows the image, what it is and what it is taken for."""
    (image,), reasons = images_of(pack_data, [insight.place])
    left, right = st.columns([1, 5])
    if image is None:
        left.info(plain(reasons[0]), icon=":material/hide_image:")
    else:
        times = max(1, SIDE // image.shape[0])
        left.image(
            image.repeat(times, 0).repeat(times, 1), output_format="PNG", alt=f"Image {item}"
        )
    right.markdown(
        f"**{plain(tables.insight_finding(insight, pack_data.pack.set_title(insight.place[0])))}**"
    )
    right.caption(
        plain(item, 80)
        if image is None
        else f"{plain(item, 80)}, {image.shape[0]} x {image.shape[1]} pixels"
    )
    (first, here), *others = insight.near_classes
    second = f", then {plain(others[0][0])} at {others[0][1]:.1f}" if others else ""
    right.markdown(
        f"Nearest class: {plain(first)}, {here:.1f} standard deviations away (Mahalanobis){second}. "
        f"In {pack_data.pack.train.dim} dimensions {pack_data.pack.train.dim**0.5:.1f} is ordinary."
    )
    with right.expander("The distance to every class"):
        st.dataframe(
            class_distance_rows(insight),
            hide_index=True,
            alt="Mahalanobis distance to every class, nearest first",
        )
    if insight.predicted is None:
        right.caption(
            "This data comes without the classifier's head, so nothing says what class it is taken for."
        )
    if insight.place[0] == "train" and insight.verdicts:
        right.caption("The detectors were fitted to this image: expect them to find it ordinary.")


def _sum(name: str, spelled: Spelled, kept: float) -> None:
    """Shows an energy as a sum, with a verdict, and where each term stands among ID."""
    st.markdown(f"**{name}: {plain(spelled.sentence)}**")
    names, values = (
        [*spelled.how.names, "total"],
        np.array([*spelled.rounded, spelled.verdict.score]),
    )
    said = ", ".join(
        f"{term} {100 * rank:.1f} %" for term, rank in zip(names, spelled.ranks, strict=True)
    )
    st.plotly_chart(
        figures.ranks(names, values, spelled.ranks, kept),
        key=f"ranks-{name}",
        config=figures.QUIET,
        alt=f"{name}: share of ID test images with at most as much: {said}",
    )
    st.caption(_how(spelled))


def _how(spelled: Spelled) -> str:
    """Returns what the terms are, in a sentence."""
    how, ranks = spelled.how, spelled.ranks
    if how.standardised:
        joined = "added up" if how.adds else "put together"
        return f"Each term is in standard deviations of ID images, times its weight, and they are {joined}."
    raw = (
        f": E_G / T_G = {spelled.values[0] * how.temperature:,.2f} / {how.temperature:.4g}"
        if how.temperature
        else ""
    )
    before, after = 100 * ranks[0], 100 * ranks[-1]
    moved = f"{'up' if after >= before else 'down'} by {abs(after - before):.1f} points, from {before:.1f} % to {after:.1f} %"
    return f"The prior is a Gaussian a class{raw}; the correction E_θ is learned. Among ID it moves this image {moved}."


def _neighbours(pack_data: PackData, insight: Insight) -> None:
    """Shows the training images that are nearest in feature space, each to be looked at in turn."""
    train = pack_data.pack.train
    assert train.y is not None
    labels = [pack_data.pack.class_name(int(train.y[row])) for row in insight.near_rows]
    first = max(set(labels), key=labels.count)
    st.markdown(
        f"**The nearest training images in feature space: {labels.count(first)} of {len(labels)} are {plain(first)}**"
    )
    places = [("train", int(row)) for row in insight.near_rows]
    captions = [
        (label, f"{away:.3f} away")
        for label, away in zip(labels, insight.near_distances, strict=True)
    ]
    show_tiles(pack_data, places, captions, "neighbours")


def in_order(pack_data: PackData, sets: NDArray[np.str_]) -> NDArray[np.intp]:
    """Returns the places (N,) of a gallery's rows in the order to show them: with pictures first, unless that is not wanted.

    Args:
        sets: (N,) names of the rows' sets, in the order that the gallery is sorted by.
    """
    bare = [name for name in np.unique(sets).tolist() if not has_images(pack_data, name)]
    without = np.isin(sets, bare)
    titles = [pack_data.pack.set_title(name) for name in bare]
    if (
        without.all()
        or not without.any()
        or not controls.pictures_first(int(without.sum()), titles)
    ):
        return np.arange(len(sets))
    return np.argsort(without, kind="stable")


def show_tiles(
    pack_data: PackData,
    places: Sequence[tuple[str, int]],
    captions: Sequence[tuple[str, ...]],
    key: str,
    looked_at: str = "",
) -> None:
    """Shows images of a pack, each a button that looks at it, and says why some are not there.

    Args:
        places: (name of the set, row) of each.
        captions: the lines below each.
    """
    sets = dict(pack_data.pack.sets())
    images, reasons = images_of(pack_data, places)
    shown = [
        Tile(
            (item := item_of(sets[name], name, row)),
            "" if image is None else encoded(image),
            lines if image is not None else (f"{lines[0]} {item.rpartition('/')[2]}", *lines[1:]),
            f"{pack_data.pack.set_title(name)} {row}: {', '.join(lines)}",
            figures.COLOURS.get(name.partition("_")[0], figures.COLOURS["ID"]),
        )
        for (name, row), image, lines in zip(places, images, captions, strict=True)
    ]
    tiles(shown, open_item, key, looked_at)
    for reason in reasons:
        st.caption(plain(reason))
