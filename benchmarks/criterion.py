"""Does the criterion, which sees ID images alone, rank recipes as OOD images do? Its rank correlation over many settings.

OOD sets are looked at here, to judge the criterion, and nowhere where a recipe is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
from scipy.stats import rankdata

from heat_core.detectors.learned_energy import Perceptron
from heat_core.detectors.detector import Detector
from heat_core.detectors.heat import EBM, HEAT
from heat_core.detectors.presets import preset_detector
from heat_core.results.formats import markdown

from .study import Found, found, pack
from .timing import Options

SEEDS = 2
HEADING = """# Does the ID-only criterion rank recipes as OOD sets do?

Printed by `python -m benchmarks criterion`. The criterion sees ID images alone; OOD sets are looked at here to judge it, and
never to choose a recipe."""
NETWORKS = ((32, 1), (64, 1), (128, 4), (256, 3), (512, 2))
VALUES = {
    "jitter": (0.0, 0.3, 0.5, 1.0, 3.0, 4.0, 5.0),
    "alpha": (0.1, 10.0),
    "steps": (30, 100, 1000),
    "rate": (3e-5, 1e-4, 3e-4, 1e-3, 1e-2),
    "weight_decay": (0.0, 1.0),
    "batch": (64, 1024),
}


def settings(kind: type[EBM] | type[HEAT]) -> dict[str, Detector]:
    """Returns {what differs from the recipe, with one network: the detector with that critic}."""
    chosen = preset_detector(kind.title, "modern", "pseudo")
    assert isinstance(chosen, EBM | HEAT)
    assert chosen.critic is not None
    ours = replace(chosen.critic, members=1)
    critics = {"the recipe": ours, "3 networks": replace(ours, members=3)}
    for width, depth in NETWORKS:
        network = Perceptron(width=width, depth=depth)
        critics[f"network {width} x {depth}"] = replace(ours, network=network)
        silent = replace(ours.training, jitter=0.0)
        critics[f"network {width} x {depth}, jitter 0"] = replace(
            ours, network=network, training=silent
        )
    for name, values in VALUES.items():
        for value in values:
            if value != getattr(ours.training, name):
                critics[f"{name} {value:g}"] = replace(
                    ours, training=replace(ours.training, **{name: value})
                )
    return {name: kind(critic=critic) for name, critic in critics.items()}


def study(options: Options) -> tuple[str, bool]:
    """Returns a table of each detector with the rank correlation below it, and whether the bar holds for HEAT."""
    data, page, kinds = pack(), [HEADING], {}
    for kind in (HEAT, EBM):
        figures = kinds[kind.title] = {
            name: found(d, data, SEEDS) for name, d in settings(kind).items()
        }
        body = [
            [name, f"{f.criterion:.2f}", f"{f.auroc:.2f}", f"{f.fpr95:.1f}"]
            for name, f in sorted(figures.items(), key=lambda item: -item[1].criterion)
        ]
        page += [
            f"## {kind.title}",
            markdown(["Setting", "Criterion", "OOD AUROC", "OOD FPR95"], body),
            _said(figures.values()),
        ]
    both = [f for figures in kinds.values() for f in figures.values()]
    page += [
        "## Both",
        f"{_said(both)} The criterion compares settings of one detector: its fits see fewer kinds of "
        "families than the final one, so it holds what was not learned from families, HEAT's Gaussians, for better than "
        "they turn out to be.",
    ]
    return "\n\n".join(page), _rank(kinds["HEAT"].values()) >= 0.8


def _rank(figures: Collection[Found], worth: Callable[[Found], float] = lambda f: f.auroc) -> float:
    """Returns how the criterion ranks settings beside what they are worth on OOD sets: Spearman's correlation."""
    first, second = rankdata([f.criterion for f in figures]), rankdata([worth(f) for f in figures])
    return float(np.corrcoef(first, second)[0, 1])


def _said(figures: Collection[Found]) -> str:
    others = _rank(figures, lambda f: -f.fpr95)
    return (
        f"Spearman's correlation of the criterion over {len(figures)} settings: {_rank(figures):.2f} with the average OOD "
        f"AUROC (bar, for HEAT: at least 0.8), {others:.2f} with its FPR95; both over {SEEDS} seeds."
    )
