"""Does the criterion, which sees ID images alone, rank recipes as OOD images do? Its rank correlation over many settings.

OOD sets are looked at here, to judge the criterion, and nowhere where a recipe is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from heat_core.benchmark import markdown
from heat_core.detectors import Detector
from heat_core.learned import EBM, HEAT, Critic, Perceptron

from .study import found, pack, spearman
from .timing import Options


def settings() -> Iterator[tuple[str, Detector]]:
    """Gives (what differs from the recipe, detector): critics alone (EBM), and with their prior (HEAT)."""
    recipe = Critic()
    training = recipe.training
    critics = {"the recipe": recipe}
    for jitter in (0.0, 0.3, 1.0, 3.0, 5.0):
        critics[f"noise {jitter:g}"] = replace(recipe, training=replace(training, jitter=jitter))
    for width, depth in ((256, 3), (64, 1), (512, 2)):
        network = Perceptron(width=width, depth=depth)
        critics[f"network {width} x {depth}"] = replace(recipe, network=network)
        critics[f"network {width} x {depth}, no noise"] = replace(
            recipe, network=network, training=replace(training, jitter=0.0)
        )
    for name, values in {"alpha": (0.1, 10.0), "steps": (30, 100), "rate": (1e-4, 1e-2)}.items():
        for value in values:
            critics[f"{name} {value:g}"] = replace(recipe, training=replace(training, **{name: value}))
    critics["compositions 0.1"] = replace(recipe, compositions=0.1)
    for kind in (EBM, HEAT):
        for name, critic in critics.items():
            yield f"{kind.title}, {name}", kind(critic=critic)


def study(options: Options) -> tuple[str, bool]:
    """Returns the table with the rank correlations below it, and whether the bar holds."""
    data = pack()
    figures = {name: found(detector, data) for name, detector in settings()}
    body = [
        [name, f"{f.criterion:.2f}", f"{f.auroc:.2f}", f"{f.fpr95:.1f}"]
        for name, f in sorted(figures.items(), key=lambda item: -item[1].criterion)
    ]
    worth = [f.criterion for f in figures.values()]
    rank = spearman(worth, [f.auroc for f in figures.values()])
    others = spearman(worth, [-f.fpr95 for f in figures.values()])
    said = [f"Spearman's correlation of the criterion over {len(figures)} settings: {rank:.2f} with the average OOD AUROC "
            f"(bar: at least 0.8), {others:.2f} with its FPR95."]  # fmt: skip
    for kind in ("EBM", "HEAT"):
        chosen = [f for name, f in figures.items() if name.startswith(kind)]
        own = spearman([f.criterion for f in chosen], [f.auroc for f in chosen])
        said.append(f"Among the {len(chosen)} of {kind}: {own:.2f} with AUROC.")
    return "\n\n".join([markdown(["Setting", "Criterion", "OOD AUROC", "OOD FPR95"], body), " ".join(said)]), rank >= 0.8
