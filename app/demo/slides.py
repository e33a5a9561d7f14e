"""Pure: the demo's slides: a finding with its figure, one picture, and the presenter's notes.

Every sentence is computed from the story. What a pack lacks, or what is not ready, is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.colour_scale import ColourScale
from app.components.surfaces import Block, Surface, surfaces_data
from app.components.threshold_line import binned
from app.components.tiles import encoded
from app.demo.story import CONFIDENCE, Example, Story
from app.figures import GROUP_COLOURS
from app.plane.colours import ENERGY_COLOURS, ENERGY_REACH, energy_scale, signed_scale
from app.plane.training import Layer
from heat_core.detectors.parts import in_words
from heat_core.texts import one_line
from heat_core.thresholds import Deployment

MARKS = {
    "familiar": (0.0, -3.0),  # on a cross
    "strange": (1.5, -1.5),  # between crosses
}
ASSUMED = {"prevalence": 1.0, "minutes": 1.0, "hourly": 60.0, "miss": 100.0}
"""What a day is reckoned with at first: strange inputs of 100, minutes a look, cost of an hour of
looking, cost of a strange input that passes."""
NO_HEAD = "the pack has no classifier"
NO_OOD = "the pack has no strange inputs to try"
NOT_READY = "its scores are not ready yet"


@dataclass(frozen=True)
class Slide:
    """A slide of the demo.

    Args:
        title: the finding.
        text: what else one must know to see it in the picture.
        picture: as the component `stage` draws it.
        bars: {what: share}, drawn beside the picture.
        say: what the presenter says.
        source: where the figures come from.
    """

    title: str
    text: str
    picture: Mapping[str, Any]
    say: str
    source: str
    bars: Mapping[str, float]


def slides(story: Story) -> list[Slide]:
    """Returns the slides of a story."""
    return [
        _sure_slide(story),
        _energy_slide(story),
        _guess_slide(story),
        _correction_slide(story),
        _line_slide(story),
    ]


def slide_data(story: Story) -> list[dict[str, Any]]:
    """Returns the slides as the browser takes them."""
    return [dict(vars(slide)) for slide in slides(story)]


def data_sentence(story: Story) -> str:
    """Returns which data the story is told on, and how much of it."""
    title = one_line(story.card.pack_title, 120)
    plane = f"Plane: {story.card.training_points:,} training points."
    if not story.scores:
        return f"Data: {title}. {plane}"
    scores = next(iter(story.scores.values()))
    strange = sum(len(scores[name]) for name in scores.ood_names)
    return (
        f"Data: {title}; {len(scores.test):,} familiar and {strange:,} strange inputs scored, "
        f"all that the pack has. {plane}"
    )


def _missing(story: Story) -> str:
    """Returns why the classifier's scores of strange inputs cannot be shown."""
    if not story.card.classes:
        return NO_HEAD
    return NOT_READY if story.card.kinds else NO_OOD


# -- 1: the classifier is sure


def _sure_slide(story: Story) -> Slide:
    if not story.strange:
        return _nothing_sure(story)
    count, total = story.confident_count, len(story.kind_scores)
    first, last = one_line(story.card.classes[0], 40), one_line(story.card.classes[-1], 40)
    kinds = in_words([one_line(kind, 60) for kind in story.card.kinds.values()])
    sure = f"the classifier is more than {100 * CONFIDENCE:.0f} % sure of"
    surest = story.strange[0]
    chosen = (
        f"every n-th of the {count:,} that it is more than {100 * CONFIDENCE:.0f} % sure of"
        if count
        else "those that it is surest of"
    )
    return Slide(
        f"Sure, and wrong: {sure} {count:,} of {total:,} inputs that are nothing it knows"
        if count
        else f"{sure[0].upper()}{sure[1:]} none of {total:,} inputs that are nothing it knows",
        f"It knows {len(story.card.classes)} classes, {first} to {last}. Shown {kinds}, it names "
        "one of them all the same.",
        _examples_picture(story),
        f"Both of these it calls {one_line(surest.predicted, 40)}, and it is as sure of one as of "
        "the other. It cannot say that it does not know. Click another input for its own pair.",
        f"Softmax probabilities of the pack's classifier. Nobody picked the examples by hand: they "
        f"are {chosen}, the surest first. Each stands beside the test input of the same class, "
        "rightly classified, of the nearest probability.",
        {},
    )


def _nothing_sure(story: Story) -> Slide:
    reason = _missing(story)
    lines = [("Data", one_line(story.card.pack_title, 120))]
    lines += [(one_line(kind, 60), "a set of strange inputs") for kind in story.card.kinds.values()]
    return Slide(
        f"How sure a classifier is of what it never saw cannot be shown here: {reason}",
        "A classifier names one of its classes whatever it is shown, often with great certainty.",
        {"kind": "examples", "pairs": [], "rows": lines},
        f"On data with a classifier and strange inputs this slide shows both; here {reason}.",
        "The pack on the page.",
        {},
    )


def _examples_picture(story: Story) -> dict[str, Any]:
    pairs = []
    for strange, familiar in zip(story.strange, story.familiar, strict=True):
        pairs.append(
            {
                "strange": _example(story, strange, f"nothing it knows: {_kind(story, strange)}"),
                "familiar": None
                if familiar is None
                else _example(story, familiar, f"a familiar {one_line(familiar.predicted, 40)}"),
            }
        )
    return {"kind": "examples", "pairs": pairs, "rows": []}


def _example(story: Story, example: Example, truth: str) -> dict[str, Any]:
    probability = f"{100 * story.confidence_of(example):.1f} %"
    return {
        "image": _image(example),
        "says": f"{one_line(example.predicted, 40)}, {probability}",
        "truth": truth,
        "row": f"row {example.row}",
    }


def _kind(story: Story, example: Example) -> str:
    """Returns what the images of a strange example's set show."""
    return one_line(story.card.kinds[example.set_name], 60)


def _image(example: Example) -> str:
    """Returns the address of an example's image, or nothing."""
    return "" if example.pixels is None else encoded(example.pixels)


# -- 2: energies


def _maps_picture(*maps: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a picture of surfaces, with what the colours of an energy say."""
    key = {"low": "familiar", "colours": ENERGY_COLOURS, "high": "strange"}
    return {"kind": "maps", "maps": maps, "key": key}


def _energy_slide(story: Story) -> Slide:
    energy = story.layers["truth"]
    lowest = float(energy.min())
    block = Block(
        x=_edge(story),
        y=_edge(story),
        scale=ColourScale(ENERGY_COLOURS, lowest, lowest + ENERGY_REACH),
        marks=MARKS,
        axes=False,
        steep=0.13,
        tilt=60.0,
        turn=-24.0,
    )
    alt = (
        "A landscape with nine cross-shaped valleys; "
        "a familiar point lies in a valley, a strange one on high ground"
    )
    surface = Surface(energy, "", "", alt)
    missing = _missing(story)
    bars = _caught(story, {"MSP": "the classifier's own doubt", "Energy": "its energy"})
    return Slide(
        f"Height says how strange: {_bars_text(bars)}"
        if bars
        else f"Height says how strange; how much of it that catches cannot be said: {missing}",
        "Imagine a landscape with valleys where the training data lies and high ground where "
        "nothing was ever seen. That height is called energy.",
        _maps_picture(surfaces_data([surface], block, picks=False)),
        "Point at the valley, then at the high ground. Drag to turn the landscape.",
        f"The landscape is the exact one of a toy in the plane. {_caught_source(bars)}",
        bars,
    )


def _caught(story: Story, names: Mapping[str, str]) -> dict[str, float]:
    """Returns {words: share of strange inputs caught} of detectors, if all can say it."""
    is_ready = all(name in story.scores and story.scores[name].ood_names for name in names)
    if not is_ready:
        return {}
    return {words: story.outcomes[name].caught for name, words in names.items()}


def _bars_text(bars: Mapping[str, float]) -> str:
    (first, first_share), (second, second_share) = bars.items()
    return (
        f"{second} catches {100 * second_share:.0f} of 100 strange inputs, "
        f"{first} {100 * first_share:.0f}"
    )


def _caught_source(bars: Mapping[str, float]) -> str:
    if not bars:
        return ""
    return (
        "Caught: scores of the pack's OOD sets above a threshold that keeps 95 % of held-out ID, "
        "the mean of the near, mid and far groups that there are."
    )


# -- 3 and 4: a guess, and its correction


def _guess_slide(story: Story) -> Slide:
    misplaced = 100 * story.card.total_variation["MoG"]
    maps = [
        _map(story, story.layers["truth"], "The truth", "nine crosses", "The true landscape"),
        _map(
            story,
            story.layers["prior"],
            "The guess",
            "a round bowl for each",
            "The guess: round bowls where the crosses are",
        ),
    ]
    return Slide(
        f"Round bowls are not enough: {misplaced:.0f} % of what they believe in lies where no "
        "data is",
        "Nobody knows the true landscape, so one starts from a guess: a round bowl for each group.",
        _maps_picture(*maps),
        "Left is what is true, which one never sees in practice. Right is what a mixture of "
        "Gaussians believes of it: no bowl can be a cross.",
        "Total variation distance between the exact density of a toy in the plane and a mixture of "
        f"Gaussians fitted to {story.card.training_points:,} points of it.",
        {},
    )


def _correction_slide(story: Story) -> Slide:
    before = 100 * story.card.total_variation["MoG"]
    after = 100 * story.card.total_variation["HEAT"]
    guess = _map(story, story.layers["prior"], "The guess", "a round bowl for each", "The guess")
    total = _map(story, story.total, "= the sum", "nine crosses again", "Guess and correction")
    maps = [guess, _correction_map(story), total]
    names = {"MoG": "the guess alone", "HEAT-GMM": "guess and correction"}
    bars = _caught(story, names)
    return Slide(
        f"A learned correction mends the guess: what lies in the wrong place falls from "
        f"{before:.0f} % to {after:.0f} %",
        "HEAT keeps the simple guess and learns only what to add where it is wrong.",
        _maps_picture(*maps),
        "Left plus middle is right. The correction is small, smooth and bounded, and where it has "
        "nothing to say the guess holds.",
        "Total variation distance from the exact density, as on the slide before; HEAT as trained "
        f"in the Toy lab. {_caught_source(bars)}",
        bars,
    )


def _edge(story: Story) -> tuple[float, float]:
    return float(story.axis[0]), float(story.axis[-1])


def _map(story: Story, energy: Layer, title: str, meaning: str, alt: str) -> dict[str, Any]:
    """Returns an energy seen from above, as the component `surfaces` takes it."""
    surface = Surface(energy - energy.min(), title, meaning, alt)
    return surfaces_data([surface], _flat_block(story), picks=False)


def _correction_map(story: Story) -> dict[str, Any]:
    surface = Surface(
        story.layers["correction"],
        "+ the correction",
        "blue lowers, orange raises",
        "The learned correction",
        scale=signed_scale(),
    )
    return surfaces_data([surface], _flat_block(story), picks=False)


def _flat_block(story: Story) -> Block:
    edge = _edge(story)
    return Block(edge, edge, energy_scale(), axes=False, flat=True)


# -- 5: the line


def _line_slide(story: Story) -> Slide:
    name = story.line_detector
    if not name:
        return Slide(
            f"One line decides; where it lies here cannot be said: {NOT_READY}",
            "Whatever lands beyond the line goes to a person who looks.",
            {"kind": "examples", "pairs": [], "rows": [("Scores", NOT_READY)]},
            "Wait until the first detector is fitted.",
            "The pack on the page.",
            {},
        )
    scores, outcome = story.scores[name], story.outcomes[name]
    kept = f"{100 * outcome.kept:.0f} of 100 familiar inputs pass"
    if scores.ood_names:
        title = f"One line: {kept}, {100 * outcome.caught:.0f} of 100 strange ones are caught"
    else:
        title = f"One line: {kept}; what it catches is not known, {NO_OOD}"
    data = binned(scores.test, scores.ood(), outcome.threshold, Deployment(), GROUP_COLOURS)
    examples = [
        {
            "image": _image(example),
            "label": f"{one_line(example.predicted, 40)}, {_kind(story, example)}",
            "score": float(scores[example.set_name][example.row]),
        }
        for example in story.strange
    ]
    summed = f"; it corrects several simple guesses, added up: {story.card.prior}"
    return Slide(
        title,
        "Drag the line: the farther right, the stranger. Whatever lands beyond it goes to a person "
        "who looks; all else passes unread.",
        {"kind": "line", "data": {**data, "examples": examples, "assumed": ASSUMED}},
        "Ask what a miss costs, type it in, and drag the line until the day is cheapest: that is "
        "the whole decision. What is assumed stands in the boxes, and all of it can be changed.",
        f"Scores of {name}{summed if name == 'HEAT' else ''}. The line begins where 95 % of the "
        f"{len(scores.calibration):,} scores of {_calibration_words(scores.calibration_name)} stay "
        f"below it, and is judged on {len(scores.test):,} test inputs"
        + (" and every OOD set, each group counting the same." if scores.ood_names else ".")
        + " The bars at both ends hold what lies beyond the axis.",
        {},
    )


def _calibration_words(name: str) -> str:
    return "held-out ID" if name == "val" else "ID test"
