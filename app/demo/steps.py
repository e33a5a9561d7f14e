"""The five steps of the demo: a finding, one sentence, one picture.

Every number is computed from the story's arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import streamlit as st

from app import figures, session
from app.components.surfaces import Block, Surface, surfaces
from app.demo.story import CONFIDENCE, Story
from app.plane.colours import ENERGY_COLOURS, ENERGY_REACH
from app.plane.figures import energy_heatmap
from app.plane.training import Layer
from app.text import plain

ENLARGED = 6  # pixels sent a pixel of an image's, so that a browser does not blur it
LARGE = 170  # width of an image on the screen
SMALL = 88
MARKS = {
    "familiar": (0.0, -3.0),  # on a cross
    "strange": (1.5, -1.5),  # between crosses
}


@dataclass(frozen=True)
class PageLink:
    """A page where the same can be tried by hand.

    Args:
        script: of the page.
        label: of the link.
        query: parameters of its address.
    """

    script: str
    label: str
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A step of the story.

    Args:
        title: the finding.
        sentence: gives its one sentence.
        picture: shows its picture.
        page: where the same can be tried by hand.
    """

    title: str
    sentence: Callable[[Story], str]
    picture: Callable[[Story], None]
    page: PageLink


def _per_hundred(share: float) -> str:
    return f"{100 * share:.0f} of 100"


# -- 1: the classifier is sure


def _sure_sentence(story: Story) -> str:
    first, *_, last = story.card.classes
    kinds = " and ".join(story.card.kinds.values())
    return (
        f"This classifier knows {len(story.card.classes)} things, {first} to {last}; "
        f"shown {len(story.kind_scores):,} images of {kinds}, "
        f"it is more than {100 * CONFIDENCE:.0f} % sure what {story.confident_count:,} of them are."
    )


def _sure_picture(story: Story) -> None:
    captions = [
        f"{name}, {100 * probability:.0f} %"
        for name, probability in zip(story.predicted, story.probabilities, strict=True)
    ]
    _show_images(story, captions, LARGE)
    st.caption(
        f"Not chosen by hand: {len(captions)} of the {story.confident_count:,}, "
        "evenly from the surest to the least sure."
    )


def _show_images(story: Story, captions: Sequence[str], width: int) -> None:
    with st.container(horizontal=True):
        for pixels, name, caption in zip(story.pixels, story.image_sets, captions, strict=True):
            st.image(
                pixels.repeat(ENLARGED, 0).repeat(ENLARGED, 1),
                caption,
                width=width,
                output_format="PNG",
                alt=f"An image of {story.card.kinds[name]}: {caption}",
            )


# -- 2: energies


def _energy_sentence(story: Story) -> str:
    return (
        "Imagine a landscape with valleys where the training data lies and high ground where "
        "nothing was ever seen: how high a new point lands says how strange it is, and that height "
        "is called its energy."
    )


def _energy_picture(story: Story) -> None:
    energy = story.layers["truth"]
    edge = float(story.axis[0]), float(story.axis[-1])
    lowest = float(energy.min())
    block = Block(
        x=edge,
        y=edge,
        heights=(lowest, lowest + ENERGY_REACH),
        unit="nats",
        colours=ENERGY_COLOURS,
        marks=MARKS,
        axes=False,
        steep=0.13,
        tilt=60.0,
        turn=-24.0,
        aspect=2.3,
    )
    alt = (
        "A landscape with nine cross-shaped valleys; "
        "a familiar point lies in a valley, a strange one on high ground"
    )
    surfaces([Surface(energy, "", "", alt)], block, "relief")
    _compare(story, "MSP", "Energy", "the classifier's own doubt", "its energy")


def _compare(story: Story, first: str, second: str, first_text: str, second_text: str) -> None:
    """Says what share of OOD images two detectors catch, in words for each of them."""
    first_caught = story.outcomes[first].caught
    second_caught = story.outcomes[second].caught
    with st.container(horizontal=True):
        st.metric(
            f"Strange images caught by {first_text}",
            f"{100 * first_caught:.0f} %",
            width="content",
        )
        st.metric(
            f"by {second_text}",
            f"{100 * second_caught:.0f} %",
            f"{100 * (second_caught - first_caught):+.0f} points",
            width="content",
            help="Where 95 of 100 familiar images pass; the mean of near, mid and far sets.",
        )


# -- 3 and 4: a guess, and its correction


@dataclass(frozen=True, eq=False)
class EnergyMap:
    """An energy over the plane, (SIDE, SIDE), with what is written above it."""

    title: str
    meaning: str
    energy: Layer
    signed: bool = False


def _guess_sentence(story: Story) -> str:
    misplaced = 100 * story.card.total_variation["MoG"]
    return (
        "Nobody knows the true landscape, so one starts from a guess, a round bowl for each group; "
        f"here {misplaced:.0f} % of what it believes in lies where no data is."
    )


def _guess_picture(story: Story) -> None:
    _maps(
        story,
        EnergyMap("The truth", "nine crosses", story.layers["truth"]),
        EnergyMap("The guess", "a round bowl for each", story.layers["prior"]),
    )


def _correction_sentence(story: Story) -> str:
    before = 100 * story.card.total_variation["MoG"]
    after = 100 * story.card.total_variation["HEAT"]
    return (
        "HEAT keeps the simple guess and learns only what to add where it is wrong: "
        f"what lies in the wrong place falls from {before:.0f} % to {after:.0f} %."
    )


def _correction_picture(story: Story) -> None:
    correction = story.layers["correction"]
    _maps(
        story,
        EnergyMap("The guess", "a round bowl for each", story.layers["prior"]),
        EnergyMap("+ the correction", "blue lowers, orange raises", correction, signed=True),
        EnergyMap("= the sum", "nine crosses again", story.total),
    )
    _compare(story, "MoG", "HEAT-GMM", "the guess alone", "guess and correction")


def _maps(story: Story, *maps: EnergyMap) -> None:
    """Shows energies side by side."""
    for column, energy_map in zip(st.columns(len(maps)), maps, strict=True):
        title = energy_map.title
        meaning = energy_map.meaning
        column.markdown(f"**{title}**  \n:small[{meaning}]")
        column.plotly_chart(
            energy_heatmap(story.axis, energy_map.energy, story.points, signed=energy_map.signed),
            key=f"map-{title}-of-{len(maps)}",  # a chart keeps the size of the columns it began in
            alt=f"{title}: {meaning}",
            config=figures.QUIET,
        )


# -- 5: the threshold


def _threshold_sentence(story: Story) -> str:
    outcome = story.outcomes["HEAT"]
    return (
        f"Draw a line that {_per_hundred(outcome.kept)} familiar images stay below, "
        f"and {_per_hundred(outcome.caught)} strange ones land above it, "
        f"among them {story.out('HEAT').sum()} of the {len(story.pixels)} "
        "that the classifier was so sure of."
    )


def _threshold_picture(story: Story) -> None:
    outcome = story.outcomes["HEAT"]
    by_group = figures.scores_by_group(story.scores["HEAT"])
    edges = figures.bin_edges(by_group, outcome.threshold)
    figure = figures.histogram(by_group, edges, outcome.threshold, unit="energy")
    figure.update_traces(name="familiar", selector={"name": "ID"})
    figure.update_xaxes(title_text="energy (larger is stranger)")
    shares = [
        f"{100 * share:.0f} % of {group} images" for group, share in outcome.caught_by_group.items()
    ]
    caught = ", ".join(shares)
    st.plotly_chart(
        figure,
        key="line",
        alt=f"Energies of familiar and strange images; caught: {caught}",
        config=figures.QUIET,
    )
    st.caption(
        "Strange images by how unlike the familiar they are: near, mid and far. "
        f"Caught: {caught}. HEAT corrects several simple guesses here, added up: "
        f"{plain(story.card.prior)}."
    )
    _show_images(story, ["caught" if out else "missed" for out in story.out("HEAT")], SMALL)


# -- all steps

STEPS = (
    Step(
        "Sure, and wrong",
        _sure_sentence,
        _sure_picture,
        PageLink("detectors/page.py", "Other detectors on these images"),
    ),
    Step(
        "Energy says how strange something is",
        _energy_sentence,
        _energy_picture,
        PageLink(
            "landscape/page.py",
            "Take a landscape apart",
            {"toy": "crosses9", "job": "toy.crosses9.HEAT.modern.0"},
        ),
    ),
    Step(
        "Round bowls are not enough",
        _guess_sentence,
        _guess_picture,
        PageLink(
            "toy_lab/page.py",
            "Fit the bowls",
            {"toy": "crosses9", "detector": "MoG", "job": "toy.crosses9.MoG.modern.0"},
        ),
    ),
    Step(
        "A learned correction mends the guess",
        _correction_sentence,
        _correction_picture,
        PageLink(
            "toy_lab/page.py",
            "Watch it learn",
            {"toy": "crosses9", "job": "toy.crosses9.HEAT.modern.0"},
        ),
    ),
    Step(
        "Choose the line",
        _threshold_sentence,
        _threshold_picture,
        PageLink("threshold_lab/page.py", "Drag the line yourself"),
    ),
)


def step_number(last: int) -> int:
    """Returns the selected step, 1 to `last`: by the link, by two buttons or by the arrow keys."""
    session.from_link("step", [str(number) for number in range(1, last + 1)])
    # No widget's key: a press that comes as the page is left finds it.
    number = int(st.session_state.setdefault("step", "1"))

    def move(by: int) -> None:
        target = int(st.session_state["step"]) + by
        st.session_state["step"] = str(min(max(target, 1), last))

    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Back", shortcut="Left", disabled=number == 1, on_click=move, args=(-1,))
        st.markdown(f"**{number}** of {last}", width="content")
        st.button(
            "Next",
            shortcut="Right",
            disabled=number == last,
            on_click=move,
            args=(1,),
            type="primary",
        )
    session.to_link("step", str(number))
    return number


def data_sentence(story: Story) -> str:
    """Returns which data the story is told on, and how much of it, in Markdown."""
    scores = story.scores["MSP"]
    familiar = len(scores.test)
    strange = sum(len(scores[name]) for name in scores.ood_names)
    return (
        f"Images: {plain(story.card.pack_title)}; {familiar:,} familiar and {strange:,} strange "
        "ones scored, all that the pack has. "
        f"Plane: {story.card.training_points:,} training points."
    )
