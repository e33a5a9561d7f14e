"""Widgets of the Threshold lab."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from app.pack.controls import score_unit
from app.session import warn_if_not_offered
from heat_core.thresholds import (
    F1,
    RULES,
    Conformal,
    Deployment,
    FlagBudget,
    KeepShare,
    MinExpectedCost,
    PerClassConformal,
    ThresholdRule,
)

# -- the threshold -----------------------------------------------------------------------------------------------------

BY_HAND = "By hand"
RULES_BY_TITLE = {rule_input.title: rule_input for rule_input in RULES.values()}
CHOOSERS = (*RULES_BY_TITLE, PerClassConformal.title, BY_HAND)


@dataclass(frozen=True)
class ThresholdChoice:
    """What the Threshold lab is set to.

    detector, other: their names; `other` is empty if nothing is compared.
    sets: file names of the OOD sets that count.
    objective: what chooses the cut; None if a hand does.
    """

    detector: str
    other: str
    sets: tuple[str, ...]
    percentiles: bool
    traffic: Deployment
    objective: ThresholdRule | PerClassConformal | None


def threshold_choice(names: Sequence[str], titles: Mapping[str, str], key: str) -> ThresholdChoice:
    """Returns what to draw a line for, and what is to choose it.

    Args:
        names: of the detectors.
        titles: {file name: title} of the OOD sets.
        key: of the data; a line set by hand does not outlive them.
    """
    if st.session_state.get("line_data", key) != key:
        st.session_state["sets"] = list(titles)
        if st.session_state.get("objective") == BY_HAND:
            st.session_state["objective"] = KeepShare.title
    st.session_state["line_data"] = key
    for name, offered, what in (
        ("scorer", names, "detector"),
        ("against", names, "detector"),
        ("objective", CHOOSERS, "rule"),
    ):
        warn_if_not_offered(name, offered, what)
    unique = len(set(titles.values())) == len(titles)
    columns = st.columns([2, 2, 5, 2], vertical_alignment="bottom")
    detector = columns[0].selectbox(
        "Detector",
        names,
        names.index("HEAT") if "HEAT" in names else 0,
        key="scorer",
        bind="query-params",
        on_change=_back_to_a_rule,
        help="Whose scores the line cuts. A line set by hand is carried over by the ID it keeps.",
    )
    others = ("", *(name for name in names if name != detector))
    other = columns[1].selectbox(
        "Compare with",
        others,
        key="against",
        bind="query-params",
        format_func=lambda name: name or "nothing",
    )
    sets = columns[2].multiselect(
        "OOD sets that count",
        list(titles),
        list(titles),
        key="sets",
        bind="query-params",
        format_func=lambda name: titles[name] if unique else name,
        help="Every group counts the same, and every set in it.",
    )
    with columns[3]:
        percentiles = score_unit() != "raw"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        rules = st.container(horizontal=True, vertical_alignment="bottom", width="content")
        mixture = deployment_input()
        with rules:
            rule = rule_input(mixture)
    return ThresholdChoice(str(detector), str(other or ""), tuple(sets), percentiles, mixture, rule)


def deployment_input() -> Deployment:
    """Returns what arrives in use, and what mistakes cost."""
    with st.popover("Prevalence and costs", icon=":material/balance:"):
        prevalence = st.number_input(
            "OOD among inputs (%)",
            0.0,
            100.0,
            10.0,
            1.0,
            key="prevalence",
            bind="query-params",
            help="How much of what arrives in use you expect to be OOD. It decides the counts, F1, costs and flagged share.",
        )
        miss = st.number_input(
            "Cost of an OOD input missed", 0.0, 1e6, 10.0, key="miss", bind="query-params"
        )
        alarm = st.number_input(
            "Cost of an ID input flagged", 0.0, 1e6, 1.0, key="alarm", bind="query-params"
        )
    return Deployment(float(prevalence or 0) / 100, float(miss or 0), float(alarm or 0))


def rule_input(mixture: Deployment) -> ThresholdRule | PerClassConformal | None:
    """Returns what chooses the cut, with its parameter; None for a hand."""
    title = st.selectbox(
        "What chooses the line",
        CHOOSERS,
        key="objective",
        bind="query-params",
        width=320,
        help="A rule, or you: drag the line, move it with the arrow keys, or type where it is.",
    )
    kind = {**RULES_BY_TITLE, PerClassConformal.title: PerClassConformal}.get(str(title))
    if kind in (KeepShare, Conformal, PerClassConformal):
        keep = st.number_input(
            "ID to keep (%)",
            50.0,
            99.9,
            95.0,
            0.5,
            "%.1f",
            key="keep",
            bind="query-params",
            width=200,
        )
        return kind(float(keep or 95.0) / 100)
    if kind is FlagBudget:
        flag = st.number_input(
            "Flagged at most (%)",
            0.1,
            99.9,
            10.0,
            1.0,
            "%.1f",
            key="flag",
            bind="query-params",
            width=200,
        )
        return FlagBudget(float(flag or 10.0) / 100, mixture)
    if kind in (F1, MinExpectedCost):
        return kind(mixture)
    return None if kind is None else kind()


def images_near_threshold() -> int:
    """Returns how many images around the line are looked at."""
    count = st.number_input(
        "Images nearest the line", 6, 5000, 24, 6, key="around", bind="query-params", width=200
    )
    return int(count or 24)


def threshold_input(proposed: float | None, otherwise: float) -> float:
    """Returns where the line is: where a rule puts it (`proposed`), or else where a hand did.

    Args:
        proposed: the rule's cut, if a rule chooses.
        otherwise: the cut if nothing was set by hand yet.
    """
    held = st.session_state.get("cut")
    if proposed is not None:
        st.session_state["cut"] = proposed
    step = 10.0 ** (math.floor(math.log10(abs(proposed or held or 1.0))) - 2)
    cut = st.number_input(
        "The line is at",
        value=None,
        step=step,
        format="%.6g",
        key="cut",
        bind="query-params",
        placeholder="a score",
        width=320,
        on_change=_choose_by_hand,
        help="Type a score to set the line exactly. Above it means out-of-distribution.",
    )
    return otherwise if cut is None else float(cut)


def on_drag(cut: float) -> None:
    """Sets the line where it was let go."""
    st.session_state["cut"] = cut
    _choose_by_hand()


def _choose_by_hand() -> None:
    st.session_state["objective"] = BY_HAND


def _back_to_a_rule() -> None:
    """A line set by hand becomes the rule that keeps as much ID as it did."""
    if st.session_state.get("objective") == BY_HAND:
        st.session_state["objective"] = KeepShare.title
        st.session_state["keep"] = min(
            max(round(100 * st.session_state.get("line_kept", 0.95), 1), 50.0), 99.9
        )
