"""Threshold lab: choose where to cut, by hand or by what matters."""

import streamlit as st

from app import controls, figures, header, session, tables
from app.components.threshold_line import binned, threshold_line
from app.text import plain
from heat_core.benchmark import tabulate
from heat_core.recipes import DETECTORS
from heat_core.thresholds import Keep, by_group, outcome, place, sweep

HEIGHT = 560  # of the line and its numbers, in pixels, while they are on their way
NO_OOD = "No OOD set counts, so the page says only what becomes of ID. Choose some above to see what is caught."


@st.fragment(run_every=1.0)
def waiting(job, wanted: list) -> None:
    """Shows how far the fitting is, and draws the page when a detector that is wanted is ready."""
    scores, absent = session.scored(job)
    if job.over or {*scores, *absent} & {*wanted}:
        st.rerun()
    st.progress(job.progress, f"Fitting the detectors, {plain(' and '.join(wanted))} among them: {job.progress:.0%}")


def lab(pack, choice, scores: dict, titles: dict) -> None:
    """Shows the line, and what it does."""
    by_set, rule, sets = scores[choice.detector], choice.objective, choice.sets
    try:
        proposed = rule and place(rule, by_set, sets)
    except ValueError as error:
        st.warning(f"{plain(error)} The line keeps 95 % of ID instead.", icon=":material/warning:")
        rule = Keep()
        proposed = place(rule, by_set, sets)
    cut = controls.typed_line(proposed, otherwise=place(Keep(), by_set, sets))
    outside = by_group(by_set, sets)
    outcomes = {choice.detector: (what := outcome(cut, by_set["test"], outside))}
    st.session_state["line_kept"] = what.kept
    if other := scores.get(choice.other):  # by the same rule, or where it keeps as much of ID as the hand did
        its = place(rule or Keep(min(max(what.kept, 1e-6), 1 - 1e-6)), other, sets)
        outcomes[choice.other] = outcome(its, other["test"], by_group(other, sets))
    st.subheader(tables.line_finding(outcomes))
    st.caption(tables.how_chosen(rule, by_set))
    titled = {group: {titles[f"{group}_{name}"]: s for name, s in members.items()} for group, members in outside.items()}
    data = binned(by_set["test"], titled, cut, vars(choice.traffic), figures.COLOURS, percentiles=choice.percentiles)
    threshold_line(data, controls.drag_line, key="line")
    evidence(pack, choice, scores, outcomes, titles)


def evidence(pack, choice, scores: dict, outcomes: dict, titles: dict) -> None:
    """Shows every other number at the line."""
    by_set, what = scores[choice.detector], outcomes[choice.detector]
    st.dataframe(tables.decisions(outcomes, choice.traffic), height="content", alt="What the line does, by detector")
    if choice.sets:
        curves(choice, {name: scores[name] for name in outcomes}, outcomes)
        table = tabulate({choice.detector: by_set}, [tuple(name.split("_", 1)) for name in choice.sets])
        st.markdown("**Every set at the line**")
        st.dataframe(tables.sets_at_the_line(table, what, titles), hide_index=True, alt="What the line does to every OOD set")
    st.markdown("**Which images sit at the line**")
    looked = ("test", *choice.sets)
    other = outcomes.get(choice.other) and {name: scores[choice.other][name] > outcomes[choice.other].cut for name in looked}
    rows = tables.nearest(pack, {name: by_set[name] for name in looked}, what.cut, other)
    st.dataframe(rows, hide_index=True, height="content", alt="The rows whose scores are nearest the line")


def curves(choice, scores: dict, outcomes: dict) -> None:
    """Shows what other lines would do: by group, or of two detectors on all groups."""
    what, *others = outcomes.values()
    sweeps = {name: sweep(by_set["test"], by_group(by_set, choice.sets)) for name, by_set in scores.items()}
    every, points = sweeps[choice.detector], {name: (entry.lost, entry.outside) for name, entry in outcomes.items()}
    if not others:
        inside, groups = scores[choice.detector]["test"], by_group(scores[choice.detector], choice.sets)
        sweeps = {group: sweep(inside, {group: members}) for group, members in groups.items()}
        points = {group: (what.lost, share) for group, share in what.groups.items()}
    left, right = st.columns(2)
    left.markdown("**What other lines would catch**")
    figure = figures.roc({name: (1 - s.kept, s.caught) for name, s in sweeps.items()}, points)
    left.plotly_chart(figure, key="roc", alt="OOD caught by ID flagged (ROC), and the line", config=figures.QUIET)
    costs, here = every.cost(choice.traffic), what.cost(choice.traffic)
    right.markdown(f"**1000 inputs cost {here:,.0f} here, {costs.min():,.0f} at the cheapest line**")
    figure = figures.cost(every.kept, costs, (what.kept, here))
    right.plotly_chart(
        figure, key="cost", alt="Expected cost of 1000 inputs by the ID kept, and the line", config=figures.QUIET
    )


def show(given) -> None:
    """Shows the choices, and the line as soon as its detector is ready."""
    titles = {f"{group}_{name}": given.pack.set_title(f"{group}_{name}") for group, name in given.pack.outside}
    choice = controls.line_choice(tuple(DETECTORS), titles, given.key)
    job = session.scoring(given, "modern")
    scores, absent = session.scored(job)
    wanted = [name for name in (choice.detector, choice.other) if name]
    if job.state == "failed":
        st.error(plain(job.error), icon=":material/error:")
    for name in wanted:
        if name in absent:
            st.info(plain(absent[name]), icon=":material/info:")
    lacking = [name for name in wanted if name not in scores and name not in absent]
    if lacking and not job.over:
        waiting(job, lacking)
    if not choice.sets:
        st.info(NO_OOD, icon=":material/info:")
    if choice.detector in scores:
        lab(given.pack, choice, scores, titles)
    elif choice.detector in lacking and not job.over:
        st.skeleton(height=HEIGHT)


header.show(
    "Threshold lab",
    "A score above the line is called out-of-distribution (OOD). Drag the line, or say what matters and let a rule place it.",
)
data = session.data()
if isinstance(data, str):
    st.error(plain(data), icon=":material/error:")
elif data is None:
    st.info("There are no features yet. Put a pack into assets/packs (python -m heat_core extract), or use your own.")
else:
    show(data)
