"""The pieces of the Threshold lab below the line: every number at the line, other lines, and the images that sit at it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import figures
from app.pack import gallery, inspector
from app.pack.controls import gallery_page
from app.pack.data import PackData
from app.pack.items import FEW, Part, find_item, items_of
from app.pack.selected import add_to_selection, current_selection, opened_item, selected_masks
from app.pack.tables import format_score, style_digits
from app.text import plain
from app.threshold_lab.controls import ThresholdChoice, images_near_threshold
from app.threshold_lab.tables import (
    class_threshold_rows,
    closest_places,
    margins,
    nearest_rows,
    outcome_columns,
    row_outcome,
    set_rows_at_threshold,
)
from heat_core.metrics import threshold_keeping
from heat_core.results.table import tabulate
from heat_core.thresholds import (
    Outcome,
    PerClassConformal,
    ThresholdRule,
    by_group,
    choose_threshold,
    margin_over_class,
    sweep,
)

if TYPE_CHECKING:
    from heat_core.pack import Pack

Floats = NDArray[np.float64]
Scores = Mapping[str, Mapping[str, Floats]]  # {detector: {set: (n,)}}
Outcomes = Mapping[str, Outcome]
Lines = Mapping[
    str, Mapping[int, float]
]  # {detector: {class: its threshold}}; empty where one line does for all classes
Rule = ThresholdRule | PerClassConformal | None  # None: a hand

PAGE = 24  # images a page
ORIGIN = "line"


def by_class(pack_data: PackData, rule: PerClassConformal, scores: Scores) -> tuple[Scores, Lines]:
    """Returns the scores less the threshold of the class that each row is taken for, and these thresholds.

    Raises ValueError, in one line, if the data do not allow them.
    """
    taken, moved, lines = pack_data.predicted_classes, {}, {}
    for name, by_set in scores.items():
        chosen = "val" if "val" in by_set else "test"
        lines[name] = rule.cuts(by_set[chosen], taken[chosen])
        moved[name] = {
            of: margin_over_class(values, taken[of], lines[name]) for of, values in by_set.items()
        }
    return moved, lines


def like(rule: Rule, kept: float, by_set: Mapping[str, Floats], sets: Collection[str]) -> float:
    """Returns another detector's cut: by the same rule, or where it keeps as much of ID test as a hand did (`kept`)."""
    if rule is None:
        return threshold_keeping(by_set["test"], min(max(kept, 1e-6), 1 - 1e-6))
    return 0.0 if isinstance(rule, PerClassConformal) else choose_threshold(rule, by_set, sets)


def picked(
    pack_data: PackData, choice: ThresholdChoice, by_set: Mapping[str, Floats]
) -> dict[str, Floats]:
    """Returns {set: scores (n,) of its rows that are selected} of the sets that are drawn; none without a selection."""
    masks = selected_masks(pack_data, current_selection()) if current_selection() else {}
    return {name: by_set[name][masks[name]] for name in ("test", *choice.sets) if name in masks}


def selected(found: Mapping[str, Floats], cut: float) -> dict[str, Floats]:
    """Says how much of what is `picked` is above the line; returns {row of the histograms: (n,) its scores}."""
    if not current_selection():
        return {}
    over = [scores > cut for scores in found.values()]
    many, out = sum(map(len, over)), sum(int(rows.sum()) for rows in over)
    every = len(current_selection())
    said = f"Of the {every:,} selected, {out:,} lie above the line."
    if many < every:
        drawn = (
            f"{many:,} are drawn here (the rest are training images, or of sets that do not count)"
        )
        said = f"Of the {every:,} selected, {drawn}, and {out:,} of these lie above the line."
    st.caption(
        f"{said if many else 'Nothing of the selection is drawn here.'} The line itself is judged by all images."
    )
    rows = {name: "ID" if name == "test" else name.partition("_")[0] for name in found}
    return {
        row: np.concatenate([found[name] for name in found if rows[name] == row])
        for row in rows.values()
    }


def class_lines(pack_data: PackData, choice: ThresholdChoice, scores: Scores, lines: Lines) -> None:
    """Shows every class's threshold; `scores` as `by_class` returns them."""
    looked = {
        name: values
        for name, values in scores[choice.detector].items()
        if name in ("val", "test", *choice.sets)
    }
    table = class_threshold_rows(
        pack_data.pack, lines[choice.detector], pack_data.predicted_classes, looked
    )
    st.markdown(
        f"**{len(table)} thresholds of {choice.detector}, one for each class that an image is taken for**"
    )
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        alt="The threshold of every class, and what it does",
    )
    st.caption(
        "The promise is of new inputs, on average over calibration sets: what is counted here may be a little lower."
    )


def numbers(
    pack: Pack,
    choice: ThresholdChoice,
    scores: Scores,
    outcomes: Outcomes,
    titles: Mapping[str, str],
    found: Mapping[str, Floats],
) -> None:
    """Shows every other number at the line; of what is selected, `found` as `picked` returns it, beside that of all."""
    with st.container() if len(outcomes) > 1 else st.expander("The same as a table"):
        st.dataframe(
            outcome_columns(outcomes, choice.traffic),
            height="content",
            alt="What the line does, by detector",
        )
    if choice.sets:
        curves(choice, {name: scores[name] for name in outcomes}, outcomes, found)
        sets = [(group, name) for group, name in pack.ood if f"{group}_{name}" in choice.sets]
        table = tabulate({choice.detector: scores[choice.detector]}, sets)
        what = outcomes[choice.detector]
        st.markdown("**Every set at the line**")
        rows = style_digits(set_rows_at_threshold(table, what, titles, found))
        st.dataframe(rows, hide_index=True, alt="What the line does to every OOD set")
        if isinstance(choice.objective, PerClassConformal):
            st.caption(
                "FPR95 and AUROC are of scores less their class's threshold here, and so are not those of the Detectors page."
            )


def curves(
    choice: ThresholdChoice, scores: Scores, outcomes: Outcomes, found: Mapping[str, Floats]
) -> None:
    """Shows what other lines would do: by group and to the OOD images selected, or of two detectors on all groups."""
    what, *others = outcomes.values()
    sweeps = {
        name: sweep(by_set["test"], by_group(by_set, choice.sets))
        for name, by_set in scores.items()
    }
    every, points = (
        sweeps[choice.detector],
        {name: (entry.lost, entry.outside) for name, entry in outcomes.items()},
    )
    if not others:
        inside, groups = (
            scores[choice.detector]["test"],
            by_group(scores[choice.detector], choice.sets),
        )
        sweeps = {group: sweep(inside, {group: members}) for group, members in groups.items()}
        points = {group: (what.lost, share) for group, share in what.groups.items()}
    outside = np.concatenate(
        [np.empty(0), *(values for name, values in found.items() if name != "test")]
    )
    if len(outside) >= FEW and not others:
        sweeps["selected"] = sweep(
            scores[choice.detector]["test"], {"selected": {"selected": outside}}
        )
        points["selected"] = what.lost, float((outside > what.cut).mean())
    left, right = st.columns(2)
    left.markdown("**What other lines would catch**")
    figure = figures.roc({name: (1 - s.kept, s.caught) for name, s in sweeps.items()}, points)
    left.plotly_chart(
        figure, key="roc", alt="OOD caught by ID flagged (ROC), and the line", config=figures.QUIET
    )
    costs, here = every.cost(choice.traffic), what.cost(choice.traffic)
    right.markdown(
        f"**1000 inputs cost {here:,.1f} here, {costs.min():,.1f} at the cheapest line**"
    )
    figure = figures.cost(every.kept, costs, (what.kept, here))
    right.plotly_chart(
        figure,
        key="cost",
        alt="Expected cost of 1000 inputs by the ID kept, and the line",
        config=figures.QUIET,
    )


@st.fragment
def at_the_line(
    pack_data: PackData,
    choice: ThresholdChoice,
    scores: Scores,
    outcomes: Outcomes,
    rule: Rule,
    lines: Lines,
) -> None:
    """Shows the images whose scores are nearest the line, or their class's, and the one that is looked at."""
    by_set, what = scores[choice.detector], outcomes[choice.detector]
    looked = {name: by_set[name] for name in ("test", *choice.sets)}
    others = current_selection().without(ORIGIN)  # what was picked elsewhere holds here
    places_for = selected_masks(pack_data, others) if others else None
    st.subheader("Which images sit at the line")
    count = images_near_threshold()
    found = closest_places(looked, what.cut, count, places_for)
    if found:
        _gallery(pack_data, choice, looked, found, what.cut)
        compared = outcomes.get(choice.other)
        other = compared and {name: scores[choice.other][name] > compared.cut for name in looked}
        with st.expander("The same as a table"):
            rows = nearest_rows(pack_data.pack, looked, found, what.cut, other)
            digits = {"Score": "%.6g", "Above the line": "%+.3g"}
            config = {
                name: st.column_config.NumberColumn(format=form) for name, form in digits.items()
            }
            st.dataframe(
                rows,
                hide_index=True,
                column_config=config,
                alt="The rows whose scores are nearest the line",
            )
    else:
        st.info("Nothing of the selection is in these sets.", icon=":material/info:")
    if not opened_item():
        return
    if isinstance(rule, PerClassConformal):
        _inspect_by_class(pack_data, lines)
    else:
        _inspect(pack_data, choice, scores, outcomes, rule)


def _gallery(
    pack_data: PackData, choice: ThresholdChoice, scores: Mapping, found: list, cut: float
) -> None:
    """Shows a page of images around the line, and offers them all as the selection."""
    middle = int(np.searchsorted([scores[name][row] for name, row in found], cut, "right"))
    st.caption(
        f"{middle} at or below the line, {len(found) - middle} above it, from the lowest score up. Click one to look into it."
    )
    shown = found[gallery_page(len(found), PAGE, "line-page", (choice.detector, cut))]
    values = [scores[name][row] for name, row in shown]
    captions = [
        (pack_data.pack.set_title(name), f"{away} {row_outcome(value > cut, name)}")
        for (name, _), value, away in zip(shown, values, margins(values, cut), strict=True)
    ]
    gallery.show_tiles(pack_data, shown, captions, "line-images", opened_item())
    if st.button(
        f"Select these {len(found):,}",
        icon=":material/filter_alt:",
        help="On every page, until cleared.",
    ):
        rows: dict[str, list[int]] = {}
        for name, row in found:
            rows.setdefault(name, []).append(row)
        picked = items_of(pack_data.pack, {name: np.array(which) for name, which in rows.items()})
        add_to_selection(
            Part(ORIGIN, f"Nearest {choice.detector}'s line at {format_score(cut)}", picked)
        )
        st.rerun()


def _inspect(
    pack_data: PackData,
    choice: ThresholdChoice,
    scores: Scores,
    outcomes: Outcomes,
    rule: ThresholdRule | None,
) -> None:
    """Shows the image that is looked at: the line is this detector's threshold, and others have theirs by the same rule."""
    kept = outcomes[choice.detector].kept
    cuts = {name: like(rule, kept, by_set, choice.sets) for name, by_set in scores.items()}
    cuts |= {name: what.cut for name, what in outcomes.items()}
    by = (
        f"by the same rule ({rule.title})"
        if rule
        else f"where they keep as much of ID, {100 * kept:.1f} %"
    )
    inspector.show(
        pack_data,
        opened_item(),
        cuts,
        f"{choice.detector}'s threshold is the line; others have theirs {by}.",
    )


def _inspect_by_class(pack_data: PackData, lines: Lines) -> None:
    """Shows the image that is looked at: every detector has the threshold of the class that the image is taken for."""
    found = find_item(pack_data.pack, opened_item())
    if found is None or found[0] not in pack_data.predicted_classes:
        inspector.show(pack_data, opened_item())
        return
    label = int(pack_data.predicted_classes[found[0]][found[1]])
    cuts = {name: by_class[label] for name, by_class in lines.items()}
    taken = plain(pack_data.pack.class_name(label))
    inspector.show(
        pack_data,
        opened_item(),
        cuts,
        f"Each threshold is the detector's for images that are taken for {taken}.",
    )
