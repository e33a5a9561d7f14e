"""Energies in the feature space of a classifier: train them, take them apart, score with them.

The front door: `import heat_core as heat` hands out the names in `__all__`. Each comes from its
module when it is first asked for (PEP 562), so importing the package itself is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from heat_core.version import __version__ as __version__

if TYPE_CHECKING:
    from .bundles import Bundle, bundle_of, load, save, save_bundle
    from .detectors.closed_form import KNN, MSP, ODIN, SSD, EnergyLogits, MoG
    from .detectors.composed import Composed
    from .detectors.distances import FDBD, NCI, SHE, NNGuide
    from .detectors.gaussians import RMD, ClassMoG, RadialMahalanobis, RMDPlusPlus
    from .detectors.heat import EBM, HEAT
    from .detectors.learned_energy import FromNoise, FromPerturbed, FromPseudoOOD, Perceptron
    from .detectors.logits import GEN, KLM, MaxLogit
    from .detectors.presets import DETECTORS, preset_detector, supported_detectors
    from .detectors.rectified import ASH, DICE, SCALE, ReAct
    from .detectors.subspaces import NECO, ViM
    from .detectors.weighted_sum import OfView, WeightedSumOf
    from .energies import score
    from .explain import ScoreTerms, term_values
    from .features import Features, Head, read_features, write_features
    from .metrics import auroc, fpr95, separation, threshold_keeping
    from .pack import ExtraID, Pack, pack_from_arrays, pack_from_npz, read_pack, write_pack
    from .pack_files import pack_from_files
    from .plane.toys import toy
    from .progress import progress_to
    from .run import Run, fit
    from .scores import SetScores, score_pack
    from .thresholds import KeepShare, choose_threshold
    from .training.objectives import (
        LeastSquares,
        MaximumLikelihood,
        NoiseContrastive,
        SelfNormalized,
    )
    from .training.trainer import TrainConfig

__all__ = [
    "ASH",
    "DETECTORS",
    "DICE",
    "EBM",
    "FDBD",
    "GEN",
    "HEAT",
    "KLM",
    "KNN",
    "MSP",
    "NCI",
    "NECO",
    "ODIN",
    "RMD",
    "SCALE",
    "SHE",
    "SSD",
    "Bundle",
    "ClassMoG",
    "Composed",
    "EnergyLogits",
    "ExtraID",
    "Features",
    "FromNoise",
    "FromPerturbed",
    "FromPseudoOOD",
    "Head",
    "KeepShare",
    "LeastSquares",
    "MaxLogit",
    "MaximumLikelihood",
    "MoG",
    "NNGuide",
    "NoiseContrastive",
    "OfView",
    "Pack",
    "Perceptron",
    "RMDPlusPlus",
    "RadialMahalanobis",
    "ReAct",
    "Run",
    "ScoreTerms",
    "SelfNormalized",
    "SetScores",
    "TrainConfig",
    "ViM",
    "WeightedSumOf",
    "auroc",
    "bundle_of",
    "choose_threshold",
    "fit",
    "fpr95",
    "load",
    "pack_from_arrays",
    "pack_from_files",
    "pack_from_npz",
    "preset_detector",
    "progress_to",
    "read_features",
    "read_pack",
    "save",
    "save_bundle",
    "score",
    "score_pack",
    "separation",
    "supported_detectors",
    "term_values",
    "threshold_keeping",
    "toy",
    "write_features",
    "write_pack",
]

_MODULES = {
    "detectors.closed_form": ("EnergyLogits", "KNN", "MSP", "MoG", "ODIN", "SSD"),
    "detectors.composed": ("Composed",),
    "detectors.heat": ("EBM", "HEAT"),
    "detectors.learned_energy": ("FromNoise", "FromPerturbed", "FromPseudoOOD", "Perceptron"),
    "detectors.distances": ("FDBD", "NCI", "NNGuide", "SHE"),
    "detectors.gaussians": ("ClassMoG", "RMD", "RMDPlusPlus", "RadialMahalanobis"),
    "detectors.logits": ("GEN", "KLM", "MaxLogit"),
    "detectors.rectified": ("ASH", "DICE", "SCALE", "ReAct"),
    "detectors.subspaces": ("NECO", "ViM"),
    "detectors.presets": ("DETECTORS", "preset_detector", "supported_detectors"),
    "detectors.weighted_sum": ("OfView", "WeightedSumOf"),
    "energies": ("score",),
    "explain": ("ScoreTerms", "term_values"),
    "features": ("Features", "Head", "read_features", "write_features"),
    "metrics": ("auroc", "fpr95", "separation", "threshold_keeping"),
    "pack": ("ExtraID", "Pack", "pack_from_arrays", "pack_from_npz", "read_pack", "write_pack"),
    "pack_files": ("pack_from_files",),
    "plane.toys": ("toy",),
    "progress": ("progress_to",),
    "bundles": ("Bundle", "bundle_of", "load", "save", "save_bundle"),
    "run": ("Run", "fit"),
    "scores": ("SetScores", "score_pack"),
    "thresholds": ("KeepShare", "choose_threshold"),
    "training.objectives": (
        "LeastSquares",
        "MaximumLikelihood",
        "NoiseContrastive",
        "SelfNormalized",
    ),
    "training.trainer": ("TrainConfig",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value  # the next time, it is there
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
