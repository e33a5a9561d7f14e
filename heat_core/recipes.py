"""The detectors by name, and their presets: which hyperparameters, in which space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .detectors import KNN, MSP, ODIN, SSD, Detector, EnergyLogits, MoG, Shape
from .features import Auxiliary, Pack
from .learned import EBM, HEAT, Composed, Critic, Perceptron
from .training import LeastSquares, NoiseContrastive

DETECTORS: dict[str, type[Detector]] = {d.title: d for d in (MSP, ODIN, EnergyLogits, KNN, SSD, MoG, EBM, HEAT, Composed)}

_FINE = Perceptron(width=64, depth=2, frequencies=64, bandwidth=4.0)
_LONG = NoiseContrastive(steps=800, batch=512, rate=7e-3)
_SHORT = NoiseContrastive(steps=300, batch=512, rate=1e-2, averaging=0.97)
_SCREEN = NoiseContrastive(steps=600, batch=512, rate=1e-3, weight_decay=1e-2)
_GLANCE = NoiseContrastive(steps=150, batch=512, rate=2e-3, weight_decay=1e-2, averaging=0.97)


def _plane(training: NoiseContrastive) -> dict[str, Detector]:
    return {
        "KNN": KNN(normalize=False),
        "SSD": SSD(normalize=False),
        "MoG": MoG(normalize=False),
        "EBM": EBM(normalize=False, network=_FINE, training=training),
        "HEAT": HEAT(normalize=False, network=_FINE, training=training),
    }


_CLOSED: dict[str, Detector] = {d.title: d() for d in (MSP, ODIN, EnergyLogits, KNN, SSD, MoG)}


def _features(training: NoiseContrastive) -> dict[str, Detector]:
    learned = (EBM(training=training), HEAT(temperature=9.0, training=training), Composed())
    return _CLOSED | {detector.title: detector for detector in learned}


def _pseudo(critic: Critic) -> dict[str, Detector]:
    composed = Composed(correction=1.5, mog=0.75, spread=1.5, energy=2.0, knn=0.0, critic=critic)  # by selection.weigh
    return _CLOSED | {"EBM": EBM(critic=critic), "HEAT": HEAT(critic=critic), "Composed": composed}


PRESETS: Mapping[str, Mapping[str, Mapping[str, Detector]]] = {
    "plane": {"modern": _plane(_LONG), "quick": _plane(_SHORT)},
    "features": {"modern": _features(_SCREEN), "quick": _features(_GLANCE)},
    "pseudo": {
        "modern": _pseudo(Critic()),
        "quick": _pseudo(Critic(training=LeastSquares(steps=150, batch=512, rate=2e-3, weight_decay=1e-2, averaging=0.97))),
        "cached": _features(_SCREEN),
    },
}
"""Recipes by space, preset and detector.

Spaces are a 2D `plane`, classifier `features`, and features with `pseudo`-OOD families beside them; there, `cached` is what
`modern` is without them: no image is ever seen.
"""


def space_of(auxiliary: Auxiliary) -> str:
    """Returns the space of a pack's features: `pseudo` if it has such families, else `features`."""
    return "pseudo" if auxiliary.pseudo else "features"


def recipe(detector: str, preset: str = "modern", space: str = "features") -> Detector:
    """Returns a recipe by name, such as `recipe("HEAT", "quick", "plane")`.

    Raises ValueError naming the known ones.
    """
    for kind, name, known in (
        ("space", space, PRESETS),
        ("detector", detector, DETECTORS),
        ("preset", preset, PRESETS.get(space, {})),
    ):
        if name not in known:
            raise ValueError(f"{kind} must be one of {', '.join(known)}; got {name!r}.")
    if detector not in PRESETS[space][preset]:
        raise ValueError(f"{detector} reads a classifier's logits, which a 2D toy does not have.")
    return PRESETS[space][preset][detector]


def allowed(pack: Pack, preset: str = "modern", names: Sequence[str] = ()) -> tuple[dict[str, Detector], dict[str, str]]:
    """Returns the recipes that a pack allows, and why it does not allow the others: {name: recipe}, {name: reason}.

    Args:
        names: of detectors; all if none is given.

    Raises ValueError on a name that is unknown.
    """
    shape, space = Shape.of(pack.train), space_of(pack.auxiliary)
    recipes = {name: recipe(name, preset, space) for name in names or DETECTORS}
    reasons = {name: reason for name, detector in recipes.items() if (reason := detector.lacks(shape))}
    return {name: detector for name, detector in recipes.items() if name not in reasons}, reasons
