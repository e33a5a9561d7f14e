"""Widgets of the Threshold lab."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from app.incoming import number_input, whole_number_input
from app.pack.controls import detector_input, score_unit_input, share_to_keep_input
from app.pack.threshold_state import choose_by_hand, keep_same_share, reset_for_new_data
from app.session import (
    RULE_KEY,
    SCORES_OF_KEY,
    THRESHOLD_KEY,
    warn_if_not_offered,
)
from heat_core.results.score_axis import ScoreUnit
from heat_core.thresholds import RULES, ByHand, Deployment, ThresholdRule, Widget

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

RULES_BY_TITLE = {rule.title: rule for rule in RULES.values()}
RULE_TITLES = tuple(RULES_BY_TITLE)
NARROW, MEDIUM, WIDE = 135, 180, 320  # pixels


@dataclass(frozen=True)
class ThresholdChoice:
    """The settings of the Threshold lab.

    Args:
        detector: whose threshold is chosen.
        compared: the detector that it is compared with; empty without one.
        set_names: of the OOD sets that count, such as `near_cifar100`.
        unit: of the axis that scores are drawn on.
        deployment: what arrives in use, and what mistakes cost.
        rule: what chooses the threshold; None if a hand does.
    """

    detector: str
    compared: str
    set_names: tuple[str, ...]
    unit: ScoreUnit
    deployment: Deployment
    rule: ThresholdRule | None

    @property
    def detectors(self) -> list[str]:
        """The detectors on the page, one or two."""
        return [name for name in (self.detector, self.compared) if name]


def threshold_choice(
    toolbar: DeltaGenerator,
    place: DeltaGenerator,
    detectors: Sequence[str],
    titles: Mapping[str, str],
    key: str,
) -> ThresholdChoice:
    """Returns the settings of the page; those seldom used are folded behind one button.

    Args:
        toolbar: the row of all of them.
        place: of those that are always seen, in it.
        detectors: names to choose from.
        titles: {set name: title} of the OOD sets.
        key: of the data; a threshold set by hand does not outlive them.
    """
    reset_for_new_data(key, titles)
    warn_if_not_offered(SCORES_OF_KEY, detectors, "detector")
    warn_if_not_offered("against", detectors, "detector")
    warn_if_not_offered(RULE_KEY, RULE_TITLES, "rule")
    with toolbar.container(horizontal=True, vertical_alignment="bottom", width="content"):
        set_names = sets_input(titles)
        with st.popover("More", icon=":material/tune:"):
            unit = score_unit_input()
            deployment = deployment_input()
    with place:
        detector = detector_input(
            detectors,
            "Whose scores the line parts. A line set by hand is carried over by the ID it keeps.",
            NARROW,
            on_change=keep_same_share,
        )
        compared = compared_input([name for name in detectors if name != detector])
        rule = rule_input(deployment)
    return ThresholdChoice(detector, compared, set_names, unit, deployment, rule)


def compared_input(others: Sequence[str]) -> str:
    """Returns the detector to compare with; nothing if none is wanted."""
    compared = st.selectbox(
        "Compare with",
        ("", *others),
        key="against",
        bind="query-params",
        width=NARROW,
        format_func=lambda name: name or "nothing",
    )
    return str(compared or "")


def sets_input(titles: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the names of the OOD sets that count."""
    linked = [name for name in st.query_params.get_all("sets") if name in titles]
    counted = st.session_state.get("sets", linked or titles)
    with st.popover(f"OOD sets: {len(counted)} of {len(titles)}", icon=":material/layers:"):
        set_names = st.multiselect(
            "OOD sets that count",
            list(titles),
            list(titles),
            key="sets",
            bind="query-params",
            format_func=lambda name: titles[name],
            help="Every group counts the same, and every set in it.",
        )
    return tuple(set_names)


def deployment_input() -> Deployment:
    """Returns what arrives in use, and what mistakes cost."""
    prevalence = number_input(
        "OOD among inputs (%)",
        0.0,
        100.0,
        default=10.0,
        step=1.0,
        key="prevalence",
        help="How much of what arrives in use you expect to be OOD. It decides the counts, F1, "
        "costs and flagged share.",
    )
    miss_cost = number_input("Cost of an OOD input missed", 0.0, 1e6, 10.0, 0.01, "miss")
    false_alarm_cost = number_input("Cost of an ID input flagged", 0.0, 1e6, 1.0, 0.01, "alarm")
    return Deployment(prevalence / 100, miss_cost, false_alarm_cost)


def rule_input(deployment: Deployment) -> ThresholdRule | None:
    """Returns the rule that chooses the threshold, with its settings; None for a hand."""
    title = st.selectbox(
        "What chooses the line",
        RULE_TITLES,
        key=RULE_KEY,
        bind="query-params",
        width=WIDE,
        help="A rule, or you: drag the line, move it with the arrow keys, or type where it is.",
    )
    rule = RULES_BY_TITLE.get(str(title), ByHand)
    if rule is ByHand:
        return None
    settings = RULE_SETTINGS[rule.widget](deployment)
    return rule(*settings)


def rule_share_to_keep_input() -> float:
    """Returns the share of ID to keep."""
    return share_to_keep_input("ID to keep (%)", NARROW, help=None)


def flag_input() -> float:
    """Returns the share of inputs that may be flagged."""
    percent = number_input(
        "Flagged at most (%)",
        0.1,
        99.9,
        default=10.0,
        step=1.0,
        key="flag",
        decimals=1,
        width=NARROW,
    )
    return percent / 100


def least_input() -> float:
    """Returns the share that is caught, or of flagged inputs that are OOD, at least."""
    percent = st.number_input(
        "At least (%)", 1.0, 99.9, 80.0, 1.0, "%.1f", key="least", bind="query-params", width=NARROW
    )
    return float(percent or 80.0) / 100


def confidence_input() -> float:
    """Returns the confidence of a promise."""
    percent = st.number_input(
        "Confidence (%)",
        50.0,
        99.9,
        95.0,
        1.0,
        "%.1f",
        key="confidence",
        bind="query-params",
        width=NARROW,
        help="How often the promise holds, over draws of the scores that the line is chosen on.",
    )
    return float(percent or 95.0) / 100


RULE_SETTINGS: Mapping[Widget, Callable[[Deployment], tuple]] = {
    "none": lambda deployment: (),
    "keep": lambda deployment: (rule_share_to_keep_input(),),
    "keep_with_confidence": lambda deployment: (rule_share_to_keep_input(), confidence_input()),
    "flag": lambda deployment: (flag_input(), deployment),
    "deployment": lambda deployment: (deployment,),
    "least": lambda deployment: (least_input(), confidence_input()),
    "precision": lambda deployment: (least_input(), deployment, confidence_input()),
}
"""{widget of a rule: its settings, in the order of its fields}; some show a widget of their own."""


def nearest_count_input() -> int:
    """Returns how many images around the threshold are shown."""
    return whole_number_input("Images nearest the line", 6, 5000, 24, 6, "around", width=MEDIUM)


def threshold_input(proposed: float, by_hand: bool) -> float:
    """Returns the threshold: the one proposed by a rule, or else the one that a hand has set.

    Args:
        proposed: by the rule; the threshold, too, where a hand has set none yet.
        by_hand: whether a hand chooses.
    """
    current = st.session_state.get(THRESHOLD_KEY)
    if not by_hand:
        current = proposed
        st.session_state[THRESHOLD_KEY] = proposed
    step = 10.0 ** (math.floor(math.log10(abs(current or 1.0))) - 2)
    threshold = st.number_input(
        "The line is at",
        value=None,
        step=step,
        format="%.6g",
        key=THRESHOLD_KEY,
        bind="query-params",
        placeholder="a score",
        width=MEDIUM,
        on_change=choose_by_hand,
        help="Type a score to set the line exactly. Above it means out-of-distribution.",
    )
    return proposed if threshold is None else float(threshold)
