"""The detectors by name, and their presets: which hyperparameters, in which domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from heat_core.pack import ExtraID, Pack
from heat_core.sampling import Langevin
from heat_core.training.objectives import MaximumLikelihood, NoiseContrastive, Objective
from heat_core.training.trainer import TrainConfig

from .closed_form import KNN, MSP, ODIN, SSD, EnergyLogits, MoG
from .detector import Detector
from .distances import FDBD, NCI, SHE, NNGuide
from .gaussians import RMD, ClassMoG, RadialMahalanobis, RMDPlusPlus
from .heat import EBM, EL, GMM, HEAT
from .learned_energy import FromNoise, FromPerturbed, FromPseudoOOD, Perceptron
from .logits import GEN, KLM, MaxLogit
from .rectified import ASH, DICE, SCALE, ReAct
from .subspaces import NECO, ViM
from .weighted_sum import OfView, WeightedSumOf

_RETIRED = {
    "Composed": "HEAT's prior has several parts; WeightedSumOf takes weights of one's own",
}
"""{detector that had a name once: what to do instead}."""

# As published: what is not about directions sees features as they are. Settings that are None are
# chosen at fit, on ID data alone.
_CLOSED: dict[str, Detector] = {
    "MSP": MSP(),
    "ODIN": ODIN(),
    "Energy": EnergyLogits(),
    "KNN": KNN(),
    "SSD": SSD(),
    "MoG": MoG(),
    "MaxLogit": MaxLogit(),
    "GEN": GEN(),
    "KLM": KLM(),
    "ReAct": ReAct(),
    "SCALE": SCALE(),
    "ASH-S": ASH(),
    "DICE": DICE(),
    "NNGuide": NNGuide(),
    "SHE": SHE(),
    "fDBD": FDBD(),
    "NCI": NCI(),
    "RMD": RMD(),
    "RMD++": RMDPlusPlus(),
    "Radial": RadialMahalanobis(),
    "MoG-full": ClassMoG(),
    "ViM": ViM(),
    "NECO": NECO(),
}

DETECTORS: dict[str, type[Detector]] = {
    **{name: type(detector) for name, detector in _CLOSED.items()},
    "EBM": EBM,
    "HEAT-GMM": HEAT,
    "HEAT-EL": HEAT,
    "HEAT": HEAT,
}
"""Detectors by name; the first ones are quick to fit."""

FIRST_DETECTORS = ("MSP", "ODIN", "Energy", "KNN", "SSD", "MoG", "EBM", "HEAT-GMM", "HEAT")
"""The detectors that are shown where nobody has asked for others."""

APPROACHES: Mapping[str, tuple[str, ...]] = {
    "of the logits": ("MSP", "ODIN", "Energy", "MaxLogit", "GEN", "KLM"),
    "of changed features": ("ReAct", "SCALE", "ASH-S", "DICE"),
    "of distances": ("KNN", "NNGuide", "SHE", "fDBD", "NCI"),
    "of Gaussians": ("SSD", "MoG", "MoG-full", "RMD", "RMD++", "Radial"),
    "of subspaces": ("ViM", "NECO"),
    "learned": ("EBM", "HEAT-GMM", "HEAT-EL", "HEAT"),
}
"""What the detectors' scores are made of, {approach: their names}."""

# -- in the plane ----------------------------------------------------------------------------------

_PLANE_NETWORK = Perceptron(width=64, depth=2, frequencies=64, bandwidth=4.0)
_PLANE_LONG = TrainConfig(steps=800, batch=512, lr=7e-3, log_points=40)
_PLANE_SHORT = TrainConfig(steps=300, batch=512, lr=1e-2, ema_decay=0.97)

# The paper's objective at the plane's scale: 20 Langevin steps at temperature 1, from q for HEAT
# and from N(0, I) for the EBM, with one budget and one regularisation for both, and the last
# weights kept.
_PLANE_CHAINS = MaximumLikelihood(alpha=0.1, sampler=Langevin(steps=20, step_size=1e-2))
_PLANE_CHAINS_TRAINING = TrainConfig(steps=500, batch=256, lr=3e-3, keep="last", log_points=40)


def _plane(
    training: TrainConfig,
    network_count: int = 1,
    objective: Objective = NoiseContrastive(),
    noise_origin: Literal["around", "normal"] = "around",
) -> dict[str, Detector]:
    """Returns the presets of a 2D plane, where the radius matters, by how their energies learn."""
    learner = FromNoise(_PLANE_NETWORK, objective, training, network_count)
    return {
        "KNN": KNN(normalize=False),
        "SSD": SSD(normalize=False),
        "MoG": MoG(normalize=False),
        "EBM": EBM(normalize=False, learner=learner, noise_origin=noise_origin),
        "HEAT": HEAT(normalize=False, temperature=1.0, correction=learner),
    }


# -- as published ----------------------------------------------------------------------------------

# Where the paper and its public code disagree. Neither standardises the input; both are Adam
# without weight decay, from torch's own kind of random weights, here with a last layer of zeros.
# The code repeats one hidden matrix; here every layer has its own. The paper says neither the batch
# nor the schedule: 256, constant. Products in bfloat16 make it bearable on a CPU.
_PAPER_NETWORK = Perceptron(width=1024, depth=5, plain=True)

_PAPER = FromNoise(
    _PAPER_NETWORK,
    MaximumLikelihood(
        alpha=10.0,
        sampler=Langevin(steps=20, step_size=1e-6, noise_std=1e-3, final_factor=0.1),
    ),
    TrainConfig(
        epochs=20,
        batch=256,
        lr=5e-6,
        weight_decay=0.0,
        schedule="constant",
        ema_decay=0.0,
        jitter=1e-3,
        bfloat16=True,
        keep="last",
        log_points=20,
    ),
    noise_scale=1.0,
)
_PAPER_EBM = FromNoise(
    replace(_PAPER_NETWORK, temperature=1e-2),
    MaximumLikelihood(
        alpha=0.1,
        sampler=Langevin(steps=200, step_size=1e-2, noise_std=1e-2, final_factor=0.1),
    ),
    replace(_PAPER.training, lr=5e-5),
)

_OFFICIAL = FromNoise(
    _PAPER_NETWORK,
    MaximumLikelihood(
        alpha=10.0,
        sampler=Langevin(
            steps=40,
            step_size=1e-4,
            noise_std=5e-3,
            final_factor=0.1,
            decay_power=2,
            manifold="positive sphere",
        ),
        include_starts=True,
    ),
    replace(_PAPER.training, batch=1024, lr=1e-5, betas=(0.0, 0.999), schedule="step", jitter=1e-4),
    noise_scale=1.0,
)
_OFFICIAL_EBM_CHAINS = Langevin(
    steps=50,
    step_size=1e-1,
    noise_std=1e-1,
    final_factor=0.1,
    decay_power=2,
    manifold="positive sphere",
)
_OFFICIAL_EBM = FromNoise(
    _PAPER_NETWORK,
    MaximumLikelihood(alpha=0.1, sampler=_OFFICIAL_EBM_CHAINS, include_starts=True),
    replace(_OFFICIAL.training, batch=256),
)
_OFFICIAL_CIFAR100 = replace(
    _OFFICIAL,
    objective=MaximumLikelihood(
        alpha=20.0,
        sampler=Langevin(
            steps=20,
            step_size=2e-4,
            noise_std=1e-3,
            final_factor=0.1,
            decay_power=2,
            manifold="positive sphere",
        ),
        include_starts=True,
    ),
)
# HEAT of 2023, as the public code has it: each prior with a correction of its own, in which the
# logits' energy sees z as it is. The paper of 2022 has no HEAT-EL.
_OFFICIAL_EL = HEAT(
    normalize=False,
    temperature=1.0,
    correction=replace(
        _OFFICIAL_EBM,
        objective=MaximumLikelihood(
            alpha=0.1,
            sampler=replace(_OFFICIAL_EBM_CHAINS, manifold="positive space"),
            include_starts=True,
        ),
    ),
    prior=EL,
    noise_origin="normal",
)


def _published(heat: FromNoise, ebm: FromNoise) -> dict[str, Detector]:
    """Returns the presets of Lafon et al. 2022, by how HEAT's and the EBM's energies learn."""
    gmm = HEAT(temperature=1e3, correction=heat, prior=GMM)
    return {
        **_CLOSED,
        "EBM": EBM(learner=ebm, noise_origin="normal"),
        "HEAT-GMM": gmm,
        "HEAT-EL": _OFFICIAL_EL,
        "HEAT": gmm,
    }


def _official(heat: FromNoise) -> dict[str, Detector]:
    """Returns the presets of the public code of 2023, by how HEAT's Gaussians are corrected."""
    published = _published(heat, _OFFICIAL_EBM)
    gmm = published["HEAT-GMM"]
    return {**published, "HEAT": WeightedSumOf((gmm, OfView("std", gmm), _OFFICIAL_EL))}


_PUBLISHED = {
    "paper": _published(_PAPER, _PAPER_EBM),
    "official": _official(_OFFICIAL),
    "official-cifar100": _official(_OFFICIAL_CIFAR100),
}

# -- from pseudo-OOD -------------------------------------------------------------------------------

# Chosen by model_selection.criterion, which sees ID images alone (docs/CRITERION.md): HEAT wants a
# correction that learned little, the EBM, which has nothing else, one that learned much.
# `_SHORT_LEARNER` follows it in half the steps.
_LEARNER = FromPseudoOOD(network_count=3)
_SHORT_LEARNER = FromPseudoOOD(
    training=TrainConfig(
        steps=150, batch=512, lr=2e-4, weight_decay=1e-2, ema_decay=0.97, jitter=2.0
    )
)
_EBM_LR = 1e-2


def _eager(learner: FromPseudoOOD) -> FromPseudoOOD:
    """Returns a learner for the EBM, which learns faster."""
    return replace(learner, training=replace(learner.training, lr=_EBM_LR))


def _pseudo(learner: FromPseudoOOD) -> dict[str, Detector]:
    """Returns the presets of features with pseudo-OOD families, by how E_theta learns."""
    return {
        **_CLOSED,
        "EBM": EBM(learner=_eager(learner)),
        "HEAT-GMM": HEAT(correction=learner, prior=GMM),
        "HEAT-EL": HEAT(correction=learner, prior=EL),
        "HEAT": HEAT(correction=learner),
    }


# -- in the features of a classifier, alone --------------------------------------------------------

_FEATURES_LONG = TrainConfig(steps=600, batch=512, lr=1e-3, weight_decay=1e-2)
_FEATURES_SHORT = TrainConfig(steps=150, batch=512, lr=2e-3, weight_decay=1e-2, ema_decay=0.97)


_T_G = 9.0  # of the Gaussians whose correction is learned from noise 3 times as wide


def _features(training: TrainConfig, ebm: FromPseudoOOD) -> dict[str, Detector]:
    """Returns the presets of features without pseudo-OOD.

    Args:
        training: of corrections, which learn from noise.
        ebm: what the EBM learns by, where there are families; here it makes its own.
    """
    correction = FromNoise(training=training, checked=True)
    learner = FromPerturbed(training=ebm.training, network_count=ebm.network_count)
    return {
        **_CLOSED,
        "EBM": EBM(learner=_eager(learner)),
        "HEAT-GMM": HEAT(temperature=_T_G, correction=correction, prior=GMM),
        "HEAT-EL": HEAT(correction=replace(correction, noise_scale=_T_G**0.5), prior=EL),
        "HEAT": HEAT(temperature=_T_G, correction=correction),
    }


# -- by name ---------------------------------------------------------------------------------------

PRESETS: Mapping[str, Mapping[str, Mapping[str, Detector]]] = {
    "plane": {
        "modern": _plane(_PLANE_LONG, network_count=2),
        "quick": _plane(_PLANE_SHORT),
        "best": _plane(_PLANE_LONG, network_count=8),
        "paper": _plane(_PLANE_CHAINS_TRAINING, objective=_PLANE_CHAINS, noise_origin="normal"),
    },
    "features": {
        "modern": _features(_FEATURES_LONG, _LEARNER),
        "quick": _features(_FEATURES_SHORT, _SHORT_LEARNER),
        **_PUBLISHED,
    },
    "pseudo": {
        "modern": _pseudo(_LEARNER),
        "quick": _pseudo(_SHORT_LEARNER),
        "features-only": _features(_FEATURES_LONG, _LEARNER),
        **_PUBLISHED,
    },
}
"""Detectors by domain, preset and name.

Domains are a 2D `plane`, classifier `features`, and features with `pseudo`-OOD families beside
them; there, `features-only` is what `modern` is without them: no image is ever seen. `paper` and
`official` are the values of Lafon et al. 2022 and of their public code, by maximum likelihood with
Langevin chains: HEAT is HEAT-GMM in `paper`, and in `official` the sum of three corrected priors of
2023, each on one scale. In the plane, `paper` is that objective at the plane's scale, and HEAT's
prior is the MoG, as no other part has data there.
"""

RENAMED_PRESETS = {"cached": "features-only"}
"""{preset in version 0.1: preset now}; both are taken."""


def domain_of(extra: ExtraID) -> str:
    """Returns the domain of a pack: `pseudo` if it has such families, else `features`."""
    return "pseudo" if extra.pseudo else "features"


def preset_detector(detector: str, preset: str = "modern", domain: str = "features") -> Detector:
    """Returns a detector by name.

    Args:
        preset: also by its name in version 0.1.

    Raises ValueError on an unknown name, and names the known ones, and on one that the domain does
    not have.

    >>> preset_detector("KNN", "quick", "plane")
    KNN(normalize=False, k=50)
    """
    if RENAMED_PRESETS.get(preset) in PRESETS.get(domain, {}):
        preset = RENAMED_PRESETS[preset]
    for label, name, known in (
        ("domain", domain, PRESETS),
        ("detector", detector, DETECTORS),
        ("preset", preset, PRESETS.get(domain, {})),
    ):
        if name not in known:
            advice = f" ({_RETIRED[name]})" if name in _RETIRED else ""
            raise ValueError(f"{label} must be one of {', '.join(known)}; got {name!r}{advice}.")
    if detector == "HEAT-GMM" and detector not in PRESETS[domain][preset]:
        raise ValueError("HEAT-GMM is HEAT in the plane, where no other part of a prior has data.")
    if detector not in PRESETS[domain][preset]:
        raise ValueError(
            f"{detector} is for the features of a classifier, which a 2D toy does not have."
        )
    return PRESETS[domain][preset][detector]


def supported_detectors(
    pack: Pack, preset: str = "modern", names: Sequence[str] = ()
) -> tuple[dict[str, Detector], dict[str, str]]:
    """Returns the detectors that a pack allows, {name: detector}, and {name: why not} of others.

    Args:
        names: of detectors; all if there is none.

    Raises ValueError on a name that is unknown.
    """
    domain = domain_of(pack.extra)
    detectors: dict[str, Detector] = {}
    reasons: dict[str, str] = {}
    for name in names or DETECTORS:
        detector = preset_detector(name, preset, domain)
        reason = detector.unsupported_features(pack.train)
        if reason:
            reasons[name] = reason
        else:
            detectors[name] = detector
    return detectors, reasons
