"""Knobs: what is changed of a preset of the plane, in a link's words and as a detector.

No Streamlit here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.incoming import number_within

if TYPE_CHECKING:
    from heat_core.detectors.detector import Detector
    from heat_core.detectors.learned_energy import FromNoise
    from heat_core.training.objectives import Objective

Value = float | str
Values = Mapping[str, Value]
"""{knob: its value}."""

OBJECTIVES = {
    "nce": "noise-contrastive",
    "is": "likelihood by noise",
    "ls": "bounded",
    "ml": "likelihood by chains",
}
"""{objective in a link: what people call it}."""
OBJECTIVE = "objective"
CHAIN_STEPS = "chain_steps"
ALPHA = 0.1  # how much large energies cost where an objective has that term and the preset has not
CHAIN_STEP_SIZE = 1e-2


@dataclass(frozen=True)
class Knob:
    """A number of a training that can be changed.

    Args:
        name: what it is called in code.
        title: for people.
        word: before its value in a link.
        low, high, step: the range, and the step of the buttons beside it.
        decimals: that are shown; none for a whole number.
        help: what it does.
    """

    name: str
    title: str
    word: str
    low: float
    high: float
    step: float
    decimals: int = 0
    help: str = ""


KNOBS = (
    Knob("width", "Width", "w", 4, 256, 16, help="Units of each hidden layer."),
    Knob("depth", "Depth", "d", 1, 5, 1, help="Hidden layers."),
    Knob("lr", "Learning rate", "lr", 1e-5, 1.0, 1e-3, 5, "Of AdamW, at the first step."),
    Knob("steps", "Optimiser steps", "s", 10, 3000, 100),
    Knob(
        "noise",
        "Noise scale",
        "n",
        0.1,
        10.0,
        0.5,
        2,
        "How many times as wide the negatives' noise is as the detector has it: HEAT's Gaussians, "
        "the EBM's square, or N(0, I). At 1 HEAT's sum is -log p; elsewhere noise and prior are "
        "two densities, and KL shows it, but for chains, which only begin there.",
    ),
    Knob(
        CHAIN_STEPS,
        "Langevin steps",
        "k",
        1,
        200,
        10,
        help="From the noise to the negatives, before each step of the optimiser.",
    ),
)
_BY_NAME = {knob.name: knob for knob in KNOBS}
_BY_WORD = {knob.word: knob for knob in KNOBS}
_NUMBER = re.compile(r"([a-z]+)([0-9.e+-]+)")


@dataclass(frozen=True)
class Knobs:
    """The knobs that are changed of a preset, as a link writes them.

    Args:
        text: such as `lr0.01_w128`, without what is as in the preset; empty if nothing is changed.

    >>> Knobs("lr0.01_w128").values
    {'lr': 0.01, 'width': 128.0}
    >>> Knobs.of({"width": 32, "objective": "ml"}).text
    'w32_ml'
    """

    text: str = ""

    @classmethod
    def of(cls, values: Values) -> Knobs:
        """Returns the knobs of these values."""
        words = [
            str(value) if name == OBJECTIVE else f"{_BY_NAME[name].word}{value:g}"
            for name, value in values.items()
        ]
        return cls("_".join(words))

    @property
    def values(self) -> dict[str, Value]:
        """{knob: value} of what is changed.

        Raises ValueError on a text that no knobs write.
        """
        return dict(_value(word) for word in self.text.split("_") if word)

    @property
    def description(self) -> str:
        """What is changed, in words.

        >>> Knobs("lr0.01_ml").description
        'lr 0.01, likelihood by chains'
        """
        return ", ".join(value_text(name, value) for name, value in self.values.items())


def value_text(name: str, value: Value) -> str:
    """Returns what is said of a knob's value in a short title.

    >>> value_text("chain_steps", 40), value_text("objective", "nce")
    ('langevin steps 40', 'noise-contrastive')
    """
    if name == OBJECTIVE:
        return OBJECTIVES[str(value)]
    title = name if name == "lr" else _BY_NAME[name].title.lower()
    return f"{title} {value:g}"


def _value(word: str) -> tuple[str, Value]:
    """Returns the knob and the value of one word. Raises ValueError."""
    if word in OBJECTIVES:
        return OBJECTIVE, word
    match = _NUMBER.fullmatch(word)
    knob = _BY_WORD.get(match[1]) if match else None
    if match is None or knob is None:
        known = ", ".join([*_BY_WORD, *OBJECTIVES])
        raise ValueError(f"no knob is called {word!r}; wanted {known}, with a number but the last")
    try:
        value = number_within(float(match[2]), knob.low, knob.high)
    except ValueError:
        value = None
    if value is None or (not knob.decimals and value != math.floor(value)):
        number = "a number" if knob.decimals else "a whole number"
        raise ValueError(
            f"{knob.title.lower()} must be {number} from {knob.low:g} to {knob.high:g}; "
            f"got {match[2]}"
        )
    return knob.name, value


# -- of a detector ---------------------------------------------------------------------------------


def knob_values(detector: Detector) -> dict[str, Value]:
    """Returns the value of every knob that applies to a detector; none if it does not learn."""
    learner = _learner(detector)
    if learner is None:
        return {}
    values: dict[str, Value] = {
        OBJECTIVE: _objective_name(learner.objective),
        "width": learner.network.width,
        "depth": learner.network.depth,
        "lr": learner.training.lr,
        "steps": learner.training.steps,
        "noise": 1.0 if learner.noise_scale is None else learner.noise_scale,
    }
    sampler = getattr(learner.objective, "sampler", None)
    if sampler is not None:
        values[CHAIN_STEPS] = sampler.steps
    return values


def with_knobs(detector: Detector, knobs: Knobs) -> Detector:
    """Returns a detector with knobs changed.

    Chains sample one network at a time, so an objective with chains trains one.

    Raises ValueError, in one line, where one does not apply to it, or what they write is no knob.
    """
    values = knobs.values
    if not values:
        return detector
    learner = _learner(detector)
    if learner is None:
        raise ValueError(f"{detector.name} has no network, so it has no knobs")
    objective = _objective(str(values.get(OBJECTIVE, "")), learner.objective)
    if CHAIN_STEPS in values:
        objective = _with_chain_steps(objective, int(values[CHAIN_STEPS]))
    network = replace(learner.network, **_whole(values, "width", "depth"))
    training = replace(learner.training, **_whole(values, "steps"))
    if "lr" in values:
        training = replace(training, lr=float(values["lr"]))
    changed = replace(
        learner,
        network=network,
        objective=objective,
        training=training,
        network_count=1 if objective.samples_model else learner.network_count,
        noise_scale=float(values["noise"]) if "noise" in values else learner.noise_scale,
    )
    return replace(detector, **{_learner_field(detector): changed})


def changed_knobs(detector: Detector, values: Values) -> Knobs:
    """Returns what values change of a detector as a preset has it.

    What does not apply to it, with the objective among the values, is left out.
    """
    own = knob_values(detector)
    objective = values.get(OBJECTIVE, own.get(OBJECTIVE))
    if own and objective != own[OBJECTIVE]:
        of_objective = knob_values(with_knobs(detector, Knobs(str(objective))))
        own = {name: own.get(name, value) for name, value in of_objective.items()}
    changed = [name for name in own if values.get(name, own[name]) != own[name]]
    return Knobs.of({name: values[name] for name in changed})


def _whole(values: Values, *names: str) -> dict[str, int]:
    return {name: int(values[name]) for name in names if name in values}


def _learner_field(detector: Detector) -> str:
    """Returns the field of a detector that holds its learner; nothing if it has none."""
    return next((name for name in ("correction", "learner") if hasattr(detector, name)), "")


def _learner(detector: Detector) -> FromNoise | None:
    return getattr(detector, _learner_field(detector), None) if detector.trains else None


def _objective_name(objective: Objective) -> str:
    from heat_core.training.objectives import LeastSquares, NoiseContrastive, SelfNormalized

    if objective.samples_model:
        return "ml"
    kinds = {NoiseContrastive: "nce", SelfNormalized: "is", LeastSquares: "ls"}
    return kinds[type(objective)]


def _objective(name: str, own: Objective) -> Objective:
    """Returns the objective of a name; the preset's own, if it is of that kind or none is named."""
    from heat_core.sampling import Langevin
    from heat_core.training.objectives import (
        LeastSquares,
        MaximumLikelihood,
        NoiseContrastive,
        SelfNormalized,
    )

    if name in ("", _objective_name(own)):
        return own
    alpha = getattr(own, "alpha", ALPHA)
    return {
        "nce": NoiseContrastive(),
        "is": SelfNormalized(),
        "ls": LeastSquares(alpha),
        "ml": MaximumLikelihood(alpha, Langevin(steps=20, step_size=CHAIN_STEP_SIZE)),
    }[name]


def _with_chain_steps(objective: Objective, steps: int) -> Objective:
    """Returns an objective whose chains take so many steps. Raises ValueError without chains."""
    sampler = getattr(objective, "sampler", None)
    if sampler is None:
        title = OBJECTIVES[_objective_name(objective)]
        raise ValueError(f"the objective {title} walks no chains, so it has no Langevin steps")
    return replace(objective, sampler=replace(sampler, steps=steps))  # type: ignore[call-arg]
