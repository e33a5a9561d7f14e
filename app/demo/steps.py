"""The five steps of the demo: a finding, one sentence, one picture. Every number is computed from the story's arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from app import figures, session
from app.components.surfaces import Block, Surface, surfaces
from app.demo.story import SURE, Story

ENLARGED = 6  # pixels sent a pixel of a picture's, so that a browser does not blur it
LARGE, SMALL = 170, 88  # widths of pictures on the screen
STOOD = {
    "familiar": (0.0, -3.0),
    "strange": (1.5, -1.5),
}  # where the second step's points are: on a cross, between crosses


@dataclass(frozen=True)
class Step:
    """A step of the story.

    title: what is to be understood.
    tell: gives its one sentence.
    draw: shows its picture.
    room: (script, label, link) of where the same can be tried by hand.
    """

    title: str
    tell: Callable[[Story], str]
    draw: Callable[[Story], None]
    room: tuple[str, str, dict[str, str]]


def _per_hundred(share: float) -> str:
    return f"{100 * share:.0f} of 100"


def _kinds(story: Story) -> str:
    return " and ".join(story.about["kinds"].values())


# -- 1: the classifier is sure -----------------------------------------------------------------------------------------


def _tell_sure(story: Story) -> str:
    sure, many = story.sure
    first, *_, last = story.about["classes"]
    return (
        f"This classifier knows {len(story.about['classes'])} things, {first} to {last}; shown {many:,} pictures of "
        f"{_kinds(story)}, it is more than {100 * SURE:.0f} % sure what {sure:,} of them are."
    )


def _draw_sure(story: Story) -> None:
    says = [
        f"{name}, {100 * p:.0f} %"
        for name, p in zip(story.taken_for, story.probabilities, strict=True)
    ]
    _pictures(story, says, LARGE)
    st.caption(
        f"Not chosen by hand: {len(says)} of the {story.sure[0]:,}, evenly from the surest to the least sure."
    )


def _pictures(story: Story, says: Sequence[str], width: int) -> None:
    kinds = story.about["kinds"]
    with st.container(horizontal=True):
        for pixels, name, said in zip(story.pixels, story.of, says, strict=True):
            large = pixels.repeat(ENLARGED, 0).repeat(ENLARGED, 1)
            st.image(
                large,
                said,
                width=width,
                output_format="PNG",
                alt=f"A picture of {kinds[name]}: {said}",
            )


# -- 2: energies -------------------------------------------------------------------------------------------------------


def _tell_energy(story: Story) -> str:
    return (
        "Imagine a landscape with valleys where the training data lies and high ground where nothing was ever seen: how high "
        "a new point lands says how strange it is, and that height is called its energy."
    )


def _draw_energy(story: Story) -> None:
    energy, edge = story.layers["truth"], (float(story.axis[0]), float(story.axis[-1]))
    low, colours = float(energy.min()), [colour for _, colour in figures.DENSE]
    block = Block(
        edge,
        edge,
        (low, low + figures.DEPTH),
        "nats",
        colours,
        marks=STOOD,
        axes=False,
        steep=0.13,
        tilt=60.0,
        turn=-24.0,
        aspect=2.3,
    )
    alt = "A landscape with nine cross-shaped valleys; a familiar point lies in a valley, a strange one on high ground"
    surfaces([Surface(energy, "", "", alt)], block, "relief")
    _compare(story, "MSP", "Energy", "the classifier's own doubt", "its energy")


def _compare(story: Story, one: str, other: str, first: str, second: str) -> None:
    """Says what share of strange pictures two detectors catch."""
    low, high = story.outcomes[one].caught, story.outcomes[other].caught
    with st.container(horizontal=True):
        st.metric(f"Strange pictures caught by {first}", f"{100 * low:.0f} %", width="content")
        st.metric(
            f"by {second}",
            f"{100 * high:.0f} %",
            f"{100 * (high - low):+.0f} points",
            width="content",
            help="Where 95 of 100 familiar pictures pass; the mean of near, mid and far sets.",
        )


# -- 3 and 4: a guess, and its correction ------------------------------------------------------------------------------


def _tell_guess(story: Story) -> str:
    return (
        "Nobody knows the true landscape, so one starts from a guess, a round bowl for each group; here "
        f"{100 * story.about['wrong']['MoG']:.0f} % of what it believes in lies where no data is."
    )


def _draw_guess(story: Story) -> None:
    truth, guess = "nine crosses", "a round bowl for each"
    _maps(
        story,
        {"The truth": (truth, story.layers["truth"]), "The guess": (guess, story.layers["prior"])},
    )


def _tell_correction(story: Story) -> str:
    wrong = story.about["wrong"]
    return (
        "HEAT keeps the simple guess and learns only what to add where it is wrong: what lies in the wrong place falls from "
        f"{100 * wrong['MoG']:.0f} % to {100 * wrong['HEAT']:.0f} %."
    )


def _draw_correction(story: Story) -> None:
    _maps(
        story,
        {
            "The guess": ("a round bowl for each", story.layers["prior"]),
            "+ the correction": ("blue lowers, orange raises", story.layers["correction"]),
            "= the sum": ("nine crosses again", story.total),
        },
    )
    _compare(story, "MoG", "HEAT", "the guess alone", "guess and correction")


def _maps(story: Story, shown: dict[str, tuple[str, np.ndarray]]) -> None:
    for column, (title, (meaning, energy)) in zip(
        st.columns(len(shown)), shown.items(), strict=True
    ):
        signed = "correction" in title
        column.markdown(f"**{title}**  \n:small[{meaning}]")
        figure = figures.landscape(story.axis, energy, story.points, signed=signed)
        column.plotly_chart(
            figure, key=f"map-{title}", alt=f"{title}: {meaning}", config=figures.QUIET
        )


# -- 5: the line -------------------------------------------------------------------------------------------------------


def _tell_line(story: Story) -> str:
    outcome = story.outcomes["HEAT"]
    caught = int(story.caught("HEAT").sum())
    return (
        f"Draw a line that {_per_hundred(outcome.kept)} familiar pictures stay below, and {_per_hundred(outcome.caught)} strange "
        f"ones land above it, among them {caught} of the {len(story.pixels)} that the classifier was so sure of."
    )


def _draw_line(story: Story) -> None:
    scores, outcome = story.scores["HEAT"], story.outcomes["HEAT"]
    by_group = {"ID": scores.test}
    for group, sets in scores.ood().items():
        by_group[group] = np.concatenate(list(sets.values()))
    edges = figures.bins(by_group, outcome.threshold)
    figure = figures.histogram(by_group, edges, outcome.threshold, unit="energy")
    figure.update_traces(name="familiar", selector={"name": "ID"})
    figure.update_traces(
        hoverinfo="skip", hovertemplate=None, selector={"type": "bar"}
    )  # nothing is clicked here
    figure.update_xaxes(title_text="energy (larger is stranger)")
    caught = ", ".join(
        f"{100 * share:.0f} % of {group} pictures"
        for group, share in outcome.caught_by_group.items()
    )
    st.plotly_chart(
        figure,
        key="line",
        alt=f"Energies of familiar and strange pictures; caught: {caught}",
        config=figures.QUIET,
    )
    st.caption(
        f"Strange pictures by how unlike the familiar they are: near, mid and far. Caught: {caught}."
    )
    _pictures(story, ["caught" if caught else "missed" for caught in story.caught("HEAT")], SMALL)


STEPS = (
    Step(
        "Sure, and wrong",
        _tell_sure,
        _draw_sure,
        ("detectors/page.py", "Every detector on these pictures", {}),
    ),
    Step(
        "Energy says how strange something is",
        _tell_energy,
        _draw_energy,
        (
            "landscape/page.py",
            "Take a landscape apart",
            {"toy": "crosses9", "job": "toy.crosses9.HEAT.modern.0"},
        ),
    ),
    Step(
        "Round bowls are not enough",
        _tell_guess,
        _draw_guess,
        (
            "toy_lab/page.py",
            "Fit the bowls",
            {"toy": "crosses9", "detector": "MoG", "job": "toy.crosses9.MoG.modern.0"},
        ),
    ),
    Step(
        "A learned correction mends the guess",
        _tell_correction,
        _draw_correction,
        (
            "toy_lab/page.py",
            "Watch it learn",
            {"toy": "crosses9", "job": "toy.crosses9.HEAT.modern.0"},
        ),
    ),
    Step(
        "Choose the line",
        _tell_line,
        _draw_line,
        ("threshold_lab/page.py", "Drag the line yourself", {}),
    ),
)


def demo_step(last: int) -> int:
    """Returns which step of the demo is shown, 1 to `last`: by its link, by two buttons or by the arrow keys."""
    session.from_link("step", [str(number) for number in range(1, last + 1)])
    at = int(
        st.session_state.setdefault("step", "1")
    )  # no widget's key: a press that comes as the room is left finds it

    def go(by: int) -> None:
        st.session_state["step"] = str(min(max(int(st.session_state["step"]) + by, 1), last))

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Back", shortcut="Left", disabled=at == 1, on_click=go, args=(-1,))
        st.markdown(f"**{at}** of {last}", width="content")
        st.button(
            "Next", shortcut="Right", disabled=at == last, on_click=go, args=(1,), type="primary"
        )
    return int(session.to_link("step", str(at)))
