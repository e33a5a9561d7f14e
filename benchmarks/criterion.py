"""Does the criterion, which sees ID images alone, rank detectors as OOD images do?

Its rank correlation over many settings. OOD sets are looked at here, to judge the criterion, and
nowhere where a detector is chosen.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from scipy.stats import rankdata

from heat_core.detectors.detector import Detector
from heat_core.detectors.heat import EBM, GMM, HEAT
from heat_core.detectors.learned_energy import FromPseudoOOD, Perceptron
from heat_core.detectors.presets import preset_detector
from heat_core.results.formats import markdown
from heat_core.training.objectives import LeastSquares

from .study import Figures, figures_of, shipped_pack
from .timing import Options

SEEDS = 2
BAR = 0.8  # the rank correlation that is asked for, for HEAT-GMM
HEADING = (
    "# Does the ID-only criterion rank settings as OOD sets do?\n\n"
    "Printed by `python -m benchmarks criterion`. The criterion sees ID images alone; OOD sets are "
    "looked at here to judge it, and\nnever to choose a setting."
)
BOTH = (
    "The criterion compares settings of one detector: its fits see fewer kinds of families than "
    "the final one, so it holds what was not learned from families, the Gaussians of HEAT-GMM, for "
    "better than they turn out to be."
)
NETWORKS = ((32, 1), (64, 1), (128, 4), (256, 3), (512, 2))  # width, depth
ALPHAS = (0.1, 10.0)
TRAINING_VALUES = {
    "jitter": (0.0, 0.3, 0.5, 1.0, 3.0, 4.0, 5.0),
    "steps": (30, 100, 1000),
    "lr": (3e-5, 1e-4, 3e-4, 1e-3, 1e-2),
    "weight_decay": (0.0, 1.0),
    "batch": (64, 1024),
}


def preset_learner(name: str) -> FromPseudoOOD:
    """Returns how the preset's energy learns from pseudo-OOD, with one network."""
    detector = preset_detector(name, "modern", "pseudo")
    assert isinstance(detector, EBM | HEAT)
    learner = detector.learner if isinstance(detector, EBM) else detector.correction
    assert isinstance(learner, FromPseudoOOD)
    return replace(learner, network_count=1)


def variants(preset: FromPseudoOOD) -> dict[str, FromPseudoOOD]:
    """Returns {what differs from the preset: how an energy learns}."""
    settings = {"the preset": preset, "3 networks": replace(preset, network_count=3)}
    silent = replace(preset.training, jitter=0.0)
    for width, depth in NETWORKS:
        network = Perceptron(width=width, depth=depth)
        label = f"network {width} x {depth}"
        settings[label] = replace(preset, network=network)
        settings[f"{label}, jitter 0"] = replace(preset, network=network, training=silent)
    for alpha in ALPHAS:
        settings[f"alpha {alpha:g}"] = replace(preset, objective=LeastSquares(alpha))
    for name, values in TRAINING_VALUES.items():
        for value in values:
            if value != getattr(preset.training, name):
                training = replace(preset.training, **{name: value})
                settings[f"{name} {value:g}"] = replace(preset, training=training)
    return settings


def settings(title: str) -> dict[str, Detector]:
    """Returns {what differs from the preset: HEAT-GMM or the EBM with it}."""
    settings = variants(preset_learner(title))
    if title == "EBM":
        return {name: EBM(learner=learner) for name, learner in settings.items()}
    return {name: HEAT(correction=learner, prior=GMM) for name, learner in settings.items()}


def study(options: Options) -> tuple[str, bool]:
    """Returns each detector's table and rank correlation, and whether HEAT-GMM's is high enough."""
    pack = shipped_pack()
    page = [HEADING]
    figures: dict[str, dict[str, Figures]] = {}
    for title in ("HEAT-GMM", "EBM"):
        figures[title] = {
            name: figures_of(detector, pack, SEEDS) for name, detector in settings(title).items()
        }
        page += [f"## {title}", _table(figures[title]), _sentence(figures[title].values())]
    both = [values for of_title in figures.values() for values in of_title.values()]
    page += ["## Both", f"{_sentence(both)} {BOTH}"]
    return "\n\n".join(page), _auroc_correlation(figures["HEAT-GMM"].values()) >= BAR


def _table(figures: dict[str, Figures]) -> str:
    """Returns the figures of settings as Markdown, the largest criterion first."""
    ranked = sorted(figures.items(), key=lambda item: -item[1].criterion)
    rows = [[name, f"{f.criterion:.2f}", f"{f.auroc:.2f}", f"{f.fpr95:.1f}"] for name, f in ranked]
    return markdown(["Setting", "Criterion", "OOD AUROC", "OOD FPR95"], rows)


def _sentence(figures: Collection[Figures]) -> str:
    return (
        f"Spearman's correlation of the criterion over {len(figures)} settings: "
        f"{_auroc_correlation(figures):.2f} with the average OOD "
        f"AUROC (bar, for HEAT-GMM: at least {BAR}), {_fpr95_correlation(figures):.2f} with its "
        f"FPR95; both over {SEEDS} seeds."
    )


def _auroc_correlation(figures: Collection[Figures]) -> float:
    """Returns Spearman's correlation of the criterion with the AUROC on OOD sets."""
    return _rank_correlation([f.criterion for f in figures], [f.auroc for f in figures])


def _fpr95_correlation(figures: Collection[Figures]) -> float:
    """Returns Spearman's correlation of the criterion with a small FPR95 on OOD sets."""
    return _rank_correlation([f.criterion for f in figures], [-f.fpr95 for f in figures])


def _rank_correlation(first: list[float], second: list[float]) -> float:
    """Returns Spearman's correlation of two lists of (n,) values."""
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])
