"""The results on a pack as one Markdown page: the table over seeds, the paper's beside it, and where HEAT helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from heat_core.pack import Pack
from heat_core.plane.suite import Trial, trial_rows

from .bootstrap import Interval, paired_differences
from .formats import group_cells, markdown, to_markdown
from .published import PAPER, published_rows, what_differs
from .table import Scores, over_seeds, tabulate

BASELINES = ("MSP", "ODIN", "Energy", "KNN", "SSD", "MoG")
BySeed = Sequence[Mapping[str, Mapping[str, Scores]]]


def report(
    pack: Pack, scores: BySeed, cached: BySeed, command: str, plane: Sequence[Trial] = ()
) -> str:
    """Returns the page.

    Args:
        scores: a seed each, {detector: {set: scores}} with the preset that the page is about.
        cached: the same of the detectors that learn, from the features alone.
        command: that prints the page.
        plane: trials in the plane; no section without them.
    """
    table, spread = over_seeds([tabulate(found, pack.ood) for found in scores])
    features_only, its_spread = over_seeds([tabulate(found, pack.ood) for found in cached])
    accuracy = pack.card.get("classifier", {}).get("test_accuracy")
    network = f"The classifier is right on {accuracy:.2%} of the ID test set. " if accuracy else ""
    parts = [
        f"# Results on {pack.title}",
        f"Printed by `{command}`; written by no hand.",
        f"{network}Mean and standard deviation over {len(scores)} seeds of what trains; FPR95 (ID+) / AUROC in percent. "
        "Settings were chosen by a criterion that sees ID images alone. No code reads OOD sets to choose; whoever ran it saw "
        "their figures beside the criterion.",
        "## Every detector",
        markdown(*group_cells(table, spread)),
        "## From the features alone",
        "No destroyed image is seen; the noise is a broad Gaussian.",
        markdown(*group_cells(features_only, its_spread)),
        *_published(pack),
        "## Where HEAT helps",
        *_comparison(pack, scores, "HEAT", ("MoG",)),
        "## Composed against the others",
        *_comparison(pack, scores, "Composed", (*BASELINES, "HEAT")),
        *_plane(plane),
        "## Every set, first seed",
        to_markdown(tabulate(scores[0], pack.ood)),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _published(pack: Pack) -> list[str]:
    """Returns the paper's table and why its numbers are others, where the paper has one for this ID set."""
    if (inside := pack.card.get("id", "")) not in PAPER:
        return []
    table = markdown(["Detector", "Near", "Mid", "Far", "Average"], published_rows(inside))
    return ["## The paper's numbers", what_differs(pack), table]


def _plane(found: Sequence[Trial]) -> list[str]:
    """Returns the section on training in the plane, held against the truth."""
    if not found:
        return []
    seeds = len({trial.seed for trial in found})
    said = (
        f"KL(true || model) in nats by quadrature on 300 x 300 points, over {seeds} seeds. `paper` is maximum likelihood with "
        "short Langevin chains, one budget for both: the EBM's begin at N(0, I), HEAT's at the Gaussians. That HEAT keeps "
        "modes which the EBM loses is a matter of that budget: `toy crosses9 EBM`, which needs no chains, keeps them."
    )
    return ["## In the plane, against the truth", said, markdown(*trial_rows(found))]


def _comparison(pack: Pack, scores: BySeed, name: str, others: Sequence[str]) -> list[str]:
    """Returns a table of paired differences of the seed on which `name` does worst, and what it says in words."""
    if name not in scores[0]:
        return [f"{name} is not among the detectors that this pack allows."]
    tables = [tabulate({name: found[name]}, pack.ood) for found in scores]
    worst = max(range(len(scores)), key=lambda seed: tables[seed].average(name).fpr95)
    heading = [
        "Against",
        "Group",
        "FPR95 difference (95 % interval)",
        "AUROC difference (95 % interval)",
    ]
    rows, said = [], []
    for other in (other for other in others if other in scores[worst]):
        found = paired_differences(scores[worst][name], scores[worst][other], pack.ood)
        rows += [
            [other, group, _interval(fpr), _interval(area)] for group, (fpr, area) in found.items()
        ]
        said.append(_said(name, other, found))
    lead = f"The seed on which {name} does worst ({worst}), in points; below 0 is better for FPR95, above 0 for AUROC. "
    return [
        lead + "The intervals are of a paired bootstrap over images.",
        markdown(heading, rows),
        " ".join(said),
    ]


def _said(name: str, other: str, found: Mapping[str, tuple[Interval, Interval]]) -> str:
    better = [group for group, (fpr, area) in found.items() if fpr.high < 0 and area.low > 0]
    worse = [group for group, (fpr, area) in found.items() if fpr.low > 0 or area.high < 0]
    open_ = [group for group in found if group not in better and group not in worse]
    parts = [
        f"better than {other} on {', '.join(better)}"
        if better
        else f"nowhere clearly better than {other}"
    ]
    parts += [f"worse on {', '.join(worse)}"] if worse else []
    parts += [f"not clearly different on {', '.join(open_)}"] if open_ else []
    return f"{name} is {'; '.join(parts)}."


def _interval(value: Interval) -> str:
    return f"{100 * value.mean:+.1f} ({100 * value.low:+.1f} to {100 * value.high:+.1f})"
