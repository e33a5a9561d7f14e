"""The results on a pack as one Markdown page: our table, the paper's, and where HEAT helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from heat_core.pack import Pack
from heat_core.plane.suite import Trial, trial_rows

from .bootstrap import FigureInterval, FigureIntervals, paired_differences
from .formats import group_cells, markdown, to_markdown
from .published import FIGURE_GROUPS, PAPER, published_rows, what_differs
from .table import AllScores, Table, over_seeds, tabulate

BySeed = Sequence[AllScores]


@dataclass(frozen=True)
class Results:
    """What a page is made of.

    Args:
        scores: a seed each, {detector: {set: (n,) scores}} with the preset that the page is about.
        features_only: the same of the detectors that learn, from the features alone; no section
            where no detector has any.
        plane: trials in the plane; no section without them.
        failures: {what has no figures: why}.
        unfinished: what an interrupt left undone; then nothing is compared.
        first_seed: of `scores`; the others follow it.
    """

    scores: BySeed
    features_only: BySeed = ()
    plane: Sequence[Trial] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    first_seed: int = 0


def report(pack: Pack, results: Results, command: str) -> str:
    """Returns the page.

    Args:
        pack: the data.
        results: on it, and in the plane.
        command: that prints the page.
    """
    scores = results.scores
    sections = [
        f"# Results on {pack.title}",
        f"Printed by `{command}`; written by no hand.",
        _introduction(pack, len(scores)),
        *_gaps(results),
        "## Every detector",
        _averages(pack, scores),
        *_features_only_sections(pack, results.features_only),
        *_paper_sections(pack),
    ]
    if not results.unfinished:
        sections += [
            "## What the correction adds",
            "HEAT-GMM against its prior, the MoG, and HEAT-EL against its prior, Energy.",
            *_comparison_sections(pack, results, "HEAT-GMM", ("MoG",)),
            *_comparison_sections(pack, results, "HEAT-EL", ("Energy",)),
            "## HEAT against the others",
            *_comparison_sections(
                pack, results, "HEAT", [name for name in scores[0] if name != "HEAT"]
            ),
        ]
    sections += [
        *_plane_sections(results.plane),
        "## Every set, first seed",
        to_markdown(_table(pack, scores[0]), note=pack.apart_sentence),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _gaps(results: Results) -> list[str]:
    """Returns a paragraph on each thing that failed, and one on what is not finished."""
    gaps = [f"**{name} failed**: {reason}" for name, reason in results.failures.items()]
    if results.unfinished:
        names = ", ".join(results.unfinished)
        gaps.append(f"**Interrupted**: not finished are {names}. Nothing is compared.")
    return gaps


def _features_only_sections(pack: Pack, features_only: BySeed) -> list[str]:
    """Returns the section on the detectors that learn from features alone, if there are any."""
    if not any(features_only):
        return []
    introduction = (
        "No destroyed image is seen: the EBM learns against midpoints, crossings and shuffled "
        "columns of training features, HEAT against the Gaussians of its prior, widened."
    )
    return ["## From the features alone", introduction, _averages(pack, features_only)]


def _introduction(pack: Pack, seeds: int) -> str:
    """Returns what the figures are of, and what they were chosen by."""
    accuracy = pack.card.get("classifier", {}).get("test_accuracy")
    passes = " in one pass" if pack.is_mirrored else ""
    network = ""
    if accuracy:
        network = f"The classifier is right on {accuracy:.2%} of the ID test set{passes}. "
    notes = "".join(f"{text} " for text in (pack.passes_sentence, pack.apart_sentence) if text)
    return (
        f"{network}{notes}"
        f"Mean and standard deviation over {seeds} seeds of what trains; FPR95 (ID+) / "
        "AUROC in percent. Settings were chosen by a criterion that sees ID images alone. No code "
        "reads OOD sets to choose; whoever ran it saw their figures beside the criterion."
    )


def _averages(pack: Pack, scores: BySeed) -> str:
    """Returns the table of averages over seeds."""
    table, std = over_seeds([_table(pack, seed_scores) for seed_scores in scores])
    return markdown(*group_cells(table, std))


def _table(pack: Pack, scores: AllScores) -> Table:
    return tabulate(scores, pack.ood, pack.averaged)


def _paper_sections(pack: Pack) -> list[str]:
    """Returns the paper's table and why its numbers are others, where it has one for this ID
    set."""
    id_title = pack.card.get("id", "")
    if id_title not in PAPER:
        return []
    heading = ["Detector", *(group.capitalize() for group in FIGURE_GROUPS)]
    table = markdown(heading, published_rows(id_title))
    return ["## The paper's numbers", what_differs(pack), table]


def _plane_sections(trials: Sequence[Trial]) -> list[str]:
    """Returns the section on training in the plane, held against the truth."""
    if not trials:
        return []
    seeds = len({trial.seed for trial in trials})
    text = (
        f"KL(true || model) in nats by quadrature on 300 x 300 points, over {seeds} seeds. `paper` "
        "is maximum likelihood with short Langevin chains, one budget for both: the EBM's begin at "
        "N(0, I), HEAT's at the Gaussians. That HEAT keeps modes which the EBM loses is a matter "
        "of that budget: `toy crosses9 EBM`, which needs no chains, keeps them."
    )
    return ["## In the plane, against the truth", text, markdown(*trial_rows(trials))]


def _comparison_sections(
    pack: Pack, results: Results, name: str, others: Sequence[str]
) -> list[str]:
    """Returns a table of paired differences of the seed on which `name` does worst, and in
    words."""
    scores = results.scores
    if name not in scores[0]:
        return [f"{name} has no figures on this pack."]
    worst = _worst_position(pack, scores, name)
    by_detector, seed = scores[worst], results.first_seed + worst
    rows, sentences = [], []
    for other in others:
        if other not in by_detector:
            continue
        differences = paired_differences(by_detector[name], by_detector[other], pack.averaged)
        for group, (fpr95, auroc) in differences.items():
            rows.append([other, group, _interval_text(fpr95), _interval_text(auroc)])
        sentences.append(_comparison_sentence(name, other, differences))
    introduction = (
        f"The seed on which {name} does worst ({seed}), in points; below 0 is better for FPR95, "
        "above 0 for AUROC. The intervals are of a paired bootstrap over images."
    )
    heading = [
        "Against",
        "Group",
        "FPR95 difference (95 % interval)",
        "AUROC difference (95 % interval)",
    ]
    return [introduction, markdown(heading, rows), " ".join(sentences)]


def _worst_position(pack: Pack, scores: BySeed, name: str) -> int:
    """Returns the position of the seed with the highest average FPR95 of a detector."""
    tables = [_table(pack, {name: seed_scores[name]}) for seed_scores in scores]
    return max(range(len(tables)), key=lambda position: tables[position].average(name).fpr95)


def _comparison_sentence(name: str, other: str, differences: Mapping[str, FigureIntervals]) -> str:
    """Returns on which groups a detector is better than another, worse, or neither."""
    better, worse, unclear = [], [], []
    for group, (fpr95, auroc) in differences.items():
        if fpr95.high < 0 and auroc.low > 0:
            better.append(group)
        elif fpr95.low > 0 or auroc.high < 0:
            worse.append(group)
        else:
            unclear.append(group)
    if better:
        parts = [f"better than {other} on {', '.join(better)}"]
    else:
        parts = [f"nowhere clearly better than {other}"]
    if worse:
        parts.append(f"worse on {', '.join(worse)}")
    if unclear:
        parts.append(f"not clearly different on {', '.join(unclear)}")
    return f"{name} is {'; '.join(parts)}."


def _interval_text(interval: FigureInterval) -> str:
    return (
        f"{100 * interval.observed:+.1f} ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"
    )
