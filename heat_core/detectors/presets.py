"""The detectors by name, and their presets: which hyperparameters, in which space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from heat_core.pack import ExtraID, Pack
from heat_core.sampling import Langevin
from heat_core.training.objectives import LeastSquares, MaximumLikelihood, NoiseContrastive
from heat_core.training.trainer import Objective

from .closed_form import KNN, MSP, ODIN, SSD, EnergyLogits, MoG
from .composed import Composed
from .critic import Critic, Perceptron
from .detector import Detector, Shape
from .learned import EBM, HEAT

DETECTORS: dict[str, type[Detector]] = {
    d.title: d for d in (MSP, ODIN, EnergyLogits, KNN, SSD, MoG, EBM, HEAT, Composed)
}

_FINE = Perceptron(width=64, depth=2, frequencies=64, bandwidth=4.0)
_LONG = NoiseContrastive(steps=800, batch=512, rate=7e-3, records=40)
_SHORT = NoiseContrastive(steps=300, batch=512, rate=1e-2, averaging=0.97)
_SCREEN = NoiseContrastive(steps=600, batch=512, rate=1e-3, weight_decay=1e-2)
_GLANCE = NoiseContrastive(steps=150, batch=512, rate=2e-3, weight_decay=1e-2, averaging=0.97)


def _plane(
    training: Objective, members: int = 1, origin: Literal["around", "normal"] = "around"
) -> dict[str, Detector]:
    learned = {"normalize": False, "network": _FINE, "training": training, "members": members}
    return {
        "KNN": KNN(normalize=False),
        "SSD": SSD(normalize=False),
        "MoG": MoG(normalize=False),
        "EBM": EBM(origin=origin, **learned),
        "HEAT": HEAT(**learned),
    }


# The paper's objective at the plane's scale: 20 Langevin steps at temperature 1, from q for HEAT and from N(0, I) for the
# EBM, with one budget and one regularisation for both, and the last weights kept.
_CHAINS = MaximumLikelihood(
    steps=500,
    batch=256,
    rate=3e-3,
    alpha=0.1,
    sampler=Langevin(steps=20, step_size=1e-2),
    keep="last",
    records=40,
)

_CLOSED: dict[str, Detector] = {d.title: d() for d in (MSP, ODIN, EnergyLogits, KNN, SSD, MoG)}


def _features(training: NoiseContrastive) -> dict[str, Detector]:
    learned = (
        EBM(training=training),
        HEAT(temperature=9.0, training=training, checked=True),
        Composed(),
    )
    return _CLOSED | {detector.title: detector for detector in learned}


# Where the paper and its public code disagree. Neither standardises the input; both are Adam without weight decay, from
# torch's own kind of random weights, here with a last layer of zeros. The code repeats one hidden matrix; here every layer
# has its own. The paper says neither the batch nor the schedule: 256, constant. Products in bfloat16 make it bearable on a CPU.
_DEEP = Perceptron(width=1024, depth=5, plain=True)
_PAPER = MaximumLikelihood(
    epochs=20,
    batch=256,
    rate=5e-6,
    weight_decay=0.0,
    schedule="constant",
    averaging=0.0,
    jitter=1e-3,
    bfloat16=True,
    keep="last",
    records=20,
    alpha=10.0,
    sampler=Langevin(steps=20, step_size=1e-6, noise=1e-3, fall=0.1),
)
_PAPER_EBM = replace(
    _PAPER,
    rate=5e-5,
    alpha=0.1,
    sampler=Langevin(steps=200, step_size=1e-2, noise=1e-2, fall=0.1),
)
_OFFICIAL = replace(
    _PAPER,
    batch=1024,
    rate=1e-5,
    betas=(0.0, 0.999),
    schedule="step",
    jitter=1e-4,
    both=True,
    sampler=Langevin(
        steps=40, step_size=1e-4, noise=5e-3, fall=0.1, power=2, onto="positive sphere"
    ),
)
_OFFICIAL_EBM = replace(
    _OFFICIAL,
    batch=256,
    alpha=0.1,
    sampler=Langevin(
        steps=50, step_size=1e-1, noise=1e-1, fall=0.1, power=2, onto="positive sphere"
    ),
)
_OFFICIAL_100 = replace(
    _OFFICIAL,
    alpha=20.0,
    sampler=Langevin(
        steps=20, step_size=2e-4, noise=1e-3, fall=0.1, power=2, onto="positive sphere"
    ),
)


def _published(
    heat: MaximumLikelihood, ebm: MaximumLikelihood, temperature: float
) -> dict[str, Detector]:
    return _CLOSED | {
        "EBM": EBM(origin="normal", network=replace(_DEEP, temperature=temperature), training=ebm),
        "HEAT": HEAT(temperature=1e3, spread=1.0, network=_DEEP, training=heat),
        "Composed": Composed(),
    }


_PUBLISHED = {
    "paper": _published(_PAPER, _PAPER_EBM, 1e-2),
    "official": _published(_OFFICIAL, _OFFICIAL_EBM, 1.0),
    "official-cifar100": _published(_OFFICIAL_100, _OFFICIAL_EBM, 1.0),
}


# Chosen by selection.criterion, which sees ID images alone (docs/CRITERION.md): HEAT wants a correction that learned little,
# the EBM, which has nothing else, one that learned much. `_HASTY` follows it in half the steps.
_CRITIC = Critic(members=3)
_HASTY = Critic(
    training=LeastSquares(
        steps=150, batch=512, rate=2e-4, weight_decay=1e-2, averaging=0.97, jitter=2.0
    )
)


def _pseudo(critic: Critic) -> dict[str, Detector]:
    composed = (
        Composed(  # by selection.weigh from all parts but ODIN, as two of three seeds have it
            correction=0.5, mog=0.0, spread=1.0, energy=2.0, early=0.75, knn=0.25, critic=critic
        )
    )
    eager = replace(critic, training=replace(critic.training, rate=1e-2))
    return _CLOSED | {"EBM": EBM(critic=eager), "HEAT": HEAT(critic=critic), "Composed": composed}


PRESETS: Mapping[str, Mapping[str, Mapping[str, Detector]]] = {
    "plane": {
        "modern": _plane(_LONG, members=2),
        "quick": _plane(_SHORT),
        "best": _plane(_LONG, members=8),
        "paper": _plane(_CHAINS, origin="normal"),
    },
    "features": {"modern": _features(_SCREEN), "quick": _features(_GLANCE), **_PUBLISHED},
    "pseudo": {
        "modern": _pseudo(_CRITIC),
        "quick": _pseudo(_HASTY),
        "cached": _features(_SCREEN),
        **_PUBLISHED,
    },
}
"""Recipes by space, preset and detector.

Spaces are a 2D `plane`, classifier `features`, and features with `pseudo`-OOD families beside them; there, `cached` is what
`modern` is without them: no image is ever seen. `paper` and `official` are the values of Lafon et al. 2022 and of their public
code, by maximum likelihood with Langevin chains; in the plane, `paper` is that objective at the plane's scale.
"""


def space_of(extra: ExtraID) -> str:
    """Returns the space of a pack's features: `pseudo` if it has such families, else `features`."""
    return "pseudo" if extra.pseudo else "features"


def preset_detector(detector: str, preset: str = "modern", space: str = "features") -> Detector:
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


def supported_detectors(
    pack: Pack, preset: str = "modern", names: Sequence[str] = ()
) -> tuple[dict[str, Detector], dict[str, str]]:
    """Returns the recipes that a pack allows, and why it does not allow the others: {name: recipe}, {name: reason}.

    Args:
        names: of detectors; all if none is given.

    Raises ValueError on a name that is unknown.
    """
    shape, space = Shape.of(pack.train), space_of(pack.extra)
    recipes = {name: preset_detector(name, preset, space) for name in names or DETECTORS}
    reasons = {
        name: reason
        for name, detector in recipes.items()
        if (reason := detector.unsupported_reason(shape))
    }
    return {name: detector for name, detector in recipes.items() if name not in reasons}, reasons
