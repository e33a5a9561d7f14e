"""Pure: tables and sentences of the Threshold lab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.pack.items import PackRow, given_id, item_id
from app.pack.tables import Array, Mask, assignment, format_score, percent
from app.text import number_text
from heat_core.metadata import ID_COLUMN

if TYPE_CHECKING:
    from heat_core.pack import Pack
    from heat_core.results.table import Table
    from heat_core.scores import SetScores
    from heat_core.thresholds import Deployment, Outcome, ThresholdRule

READS_OOD = (
    "It also read the OOD sets that count: it is the best line for these, and promises nothing "
    "about others."
)
AT_ZERO = (
    "Scores are shown less their class's threshold, so that one line at 0 stands for all of them; "
    "it is not to be moved."
)


# -- sentences -------------------------------------------------------------------------------------


def threshold_finding(outcomes: Mapping[str, Outcome]) -> str:
    """Returns what each detector's threshold does, in a sentence."""
    parts = []
    for name, outcome in outcomes.items():
        part = f"{name} keeps {percent(outcome.kept)} of ID"
        if outcome.caught_by_set:
            part += f" and catches {percent(outcome.caught)} of OOD"
        parts.append(part)
    return f"{'; '.join(parts)}.".replace(" %", "\u00a0%")


def how_chosen(rule: ThresholdRule | None, scores: SetScores) -> str:
    """Returns what put the threshold where it is, on which scores, and what that is worth.

    Args:
        rule: that chose it; None if a hand did.
        scores: of the detector.
    """
    if rule is None:
        return "You put the line here."
    count = len(scores.calibration)
    if scores.calibration_name == "test":
        basis = (
            f"Chosen on the same {count:,} ID test scores that it is measured on: there is no "
            "held-out ID."
        )
    else:
        basis = (
            f"Chosen on {count:,} calibration scores, of held-out ID; the numbers here are of the "
            "test set."
        )
    parts = [rule.summary, basis]
    if rule.needs_ood:
        parts.append(READS_OOD)
    if rule.per_class:
        parts.append(AT_ZERO)
    return " ".join(parts)


def what_is_promised(rule: ThresholdRule | None, scores: SetScores) -> str:
    """Returns what a rule promises of new inputs, and what became of it on the test set.

    Nothing where the rule, or the hand, promises nothing.

    Args:
        rule: that chose the threshold; None if a hand did.
        scores: of the detector.
    """
    from heat_core.thresholds import CalibrationScores, TestScores, choose_and_assess

    if rule is None:
        return ""
    parts = [rule.guarantee] if rule.guarantee else []
    interval = line_interval(rule, scores)
    if interval is not None:
        chosen_on, judged_on = (
            CalibrationScores(scores.calibration, {}),
            TestScores(scores.test, {}),
        )
        decision = choose_and_assess(rule, chosen_on, judged_on)
        assert decision.assessment is not None
        low, high = interval
        if scores.calibration_name == "val":  # else it is judged on what it was chosen on
            parts.append(decision.assessment.remark)
        parts.append(
            f"Other calibration scores, as many, would put the line between {low:.3g} and "
            f"{high:.3g} (in 95 of 100 cases): the band behind the bars."
        )
    return " ".join(parts)


def line_interval(rule: ThresholdRule | None, scores: SetScores) -> tuple[float, float] | None:
    """Returns where other calibration scores, as many, would put the threshold in 95 of 100 cases.

    None of a rule that is not of one rank of them, whose interval needs resampling.

    Args:
        rule: that chose the threshold; None if a hand did.
        scores: of the detector.
    """
    from heat_core.thresholds import AtRank

    return rule.threshold_interval(scores.calibration) if isinstance(rule, AtRank) else None


def selected_finding(selected: Mapping[str, Array], total: int, threshold: float) -> str:
    """Returns how many of the selected images lie above the threshold.

    Args:
        selected: {set: (n,) scores of its rows that are selected} of the sets that are drawn.
        total: how many images are selected, drawn or not.
        threshold: the line.
    """
    drawn = sum(len(scores) for scores in selected.values())
    above = sum(int((scores > threshold).sum()) for scores in selected.values())
    if not drawn:
        finding = "Nothing of the selection is drawn here."
    elif drawn < total:
        finding = (
            f"Of the {total:,} selected, {drawn:,} are drawn here (the rest are training images, "
            f"or of sets that do not count), and {above:,} of these lie above the line."
        )
    else:
        finding = f"Of the {total:,} selected, {above:,} lie above the line."
    return f"{finding} The line itself is judged by all images."


def row_outcome(out: bool, set_name: str) -> str:
    """Returns what becomes of a row of a set, by the verdict on it."""
    if set_name == "test":
        return "flagged" if out else "kept"
    return "caught" if out else "missed"


def margin_texts(scores: Sequence[float], threshold: float) -> list[str]:
    """Returns how far scores, (N,), lie above a threshold, all with as many digits.

    That is three digits of the farthest, or powers of ten where it is very near or very far.

    >>> margin_texts([0.99794, 1.00002, 1.0012], 1.0)
    ['-0.00206', '+0.00002', '+0.00120']
    >>> margin_texts([-2e-6, 3.1e-7], 0.0)
    ['-2.0e-06', '+3.1e-07']
    """
    distances = np.asarray(scores, np.float64) - threshold
    farthest = float(np.abs(distances).max(initial=0.0))
    if farthest and not 1e-4 < farthest < 1e5:
        return [f"{distance:+.1e}" for distance in distances]
    digits = max(0, 2 - int(np.floor(np.log10(farthest)))) if farthest else 0
    return [f"{distance:+.{digits}f}" for distance in distances]


# -- the threshold in numbers ----------------------------------------------------------------------


def outcomes_table(outcomes: Mapping[str, Outcome], deployment: Deployment) -> pd.DataFrame:
    """Returns what each detector's threshold does, a column a detector, as text with units."""
    columns = {name: _outcome_cells(outcome, deployment) for name, outcome in outcomes.items()}
    return pd.DataFrame(columns)


def _outcome_cells(outcome: Outcome, deployment: Deployment) -> dict[str, str]:
    counts = outcome.per_thousand(deployment.prevalence)
    groups = {
        f"{group} OOD caught": percent(share) for group, share in outcome.caught_by_group.items()
    }
    return {
        "the line is at": format_score(outcome.threshold),
        "ID kept": percent(outcome.kept),
        **groups,
        "OOD caught, mean of the groups": percent(outcome.caught),
        "OOD missed, FPR (ID+)": percent(outcome.missed),
        "ID flagged, FPR (OOD+)": percent(outcome.false_alarms),
        "of 1000 inputs: ID kept": _count_text(counts.kept),
        "of 1000 inputs: ID flagged": _count_text(counts.false_alarms),
        "of 1000 inputs: OOD caught": _count_text(counts.caught),
        "of 1000 inputs: OOD missed": _count_text(counts.missed),
        "OOD among the flagged": percent(counts.precision),
        "expected cost of 1000 inputs": _count_text(outcome.cost(deployment)),
    }


def _count_text(value: float) -> str:
    return number_text(value, 1)


def sets_table_at_threshold(
    results: Table, outcome: Outcome, titles: Mapping[str, str], selected: Mapping[str, Array]
) -> pd.DataFrame:
    """Returns one row per OOD set: what the threshold does to it, and its other figures. In
    percent.

    Args:
        results: of one detector.
        outcome: of its threshold.
        titles: {set name: title} of the sets.
        selected: {set name: (n,) scores of its rows that are selected}; where there are none, no
            column speaks of them.
    """
    rows = []
    for result in results.rows:
        caught = outcome.caught_by_set[result.group][result.set]
        rows.append(
            {
                "Set": titles[result.set_name],
                "Group": result.group,
                "Images": result.n,
                "Caught %": round(100 * caught, 1),
                "Missed, FPR (ID+) %": round(100 - 100 * caught, 1),
                "FPR95 (ID+) %": round(100 * result.fpr95, 1),
                "FPR95 (OOD+) %": round(100 * result.fpr95_ood, 1),
                "AUROC %": round(100 * result.auroc, 1),
                "±": round(196 * result.auroc_error, 1),
            }
        )
    table = pd.DataFrame(rows)
    if selected:
        scores = [selected.get(result.set_name, np.empty(0)) for result in results.rows]
        counts = [len(values) for values in scores]
        caught_counts = [int((values > outcome.threshold).sum()) for values in scores]
        table.insert(4, "Selected", counts)
        table.insert(5, "of them caught", caught_counts)
    return table


def class_thresholds_table(
    pack: Pack,
    thresholds: Mapping[int, float],
    assigned_classes: Mapping[str, NDArray[np.int64]],
    margins: SetScores,
    ood_names: Sequence[str],
) -> pd.DataFrame:
    """Returns one row per assigned class: its threshold, calibration scores, and what it does.

    Args:
        pack: the data.
        thresholds: {class: its threshold}.
        assigned_classes: {set: (n,) the class that each row is assigned to}.
        margins: scores less their class's threshold.
        ood_names: OOD sets that count.
    """

    def share_out(set_names: Sequence[str], label: int) -> float:
        flags = [
            margins[set_name][assigned_classes[set_name] == label] > 0 for set_name in set_names
        ]
        together = np.concatenate(flags) if flags else np.empty(0)
        return float(np.mean(together)) if together.size else np.nan

    calibration_classes = assigned_classes[margins.calibration_name]
    return pd.DataFrame(
        {
            assignment(pack).capitalize(): pack.class_name(label),
            "Calibration scores": int((calibration_classes == label).sum()),
            "Threshold": format_score(threshold),
            "ID kept": percent(1 - share_out(["test"], label)),
            "OOD caught": percent(share_out(ood_names, label)),
        }
        for label, threshold in thresholds.items()
    )


# -- single rows -----------------------------------------------------------------------------------


def nearest_pack_rows(
    scores: Mapping[str, Array],
    threshold: float,
    count: int,
    masks: Mapping[str, Mask] | None = None,
) -> list[PackRow]:
    """Returns the (set, row) of the scores nearest a threshold, from the lowest score up.

    Args:
        scores: {set: (n,) scores} of the sets to look in.
        threshold: the line.
        count: how many to return at most.
        masks: {set: (n,) which rows count}, none of a set that is not in it; None for all.
    """
    rows = {}
    for set_name, values in scores.items():
        if masks is None:
            rows[set_name] = np.arange(len(values))
        else:
            rows[set_name] = np.flatnonzero(masks.get(set_name, ()))
    pack_rows = [(set_name, int(row)) for set_name, indices in rows.items() for row in indices]
    values = np.concatenate([scores[set_name][indices] for set_name, indices in rows.items()])
    nearest = np.argsort(np.abs(values - threshold), kind="stable")[:count]
    ascending = nearest[np.argsort(values[nearest], kind="stable")]
    return [pack_rows[i] for i in ascending]


def nearest_table(
    pack: Pack,
    scores: Mapping[str, Array],
    pack_rows: Sequence[PackRow],
    threshold: float,
    compared_out: Mapping[str, Mask] | None = None,
) -> pd.DataFrame:
    """Returns a table of rows of a pack: what each is, its score, and on which side it lies.

    Args:
        pack: the data.
        scores: {set: (n,) scores}.
        pack_rows: (set, row) of each.
        threshold: the line.
        compared_out: {set: (n,) whether the compared detector calls them out}, if there is
            one.
    """
    features = dict(pack.sets())
    has_ids = any(ID_COLUMN in features[set_name].metadata for set_name, _ in pack_rows)
    rows = []
    for set_name, row in pack_rows:
        score = float(scores[set_name][row])
        cells = {
            "Item": item_id(features[set_name], set_name, row),
            **({"Id": given_id(features[set_name], row)} if has_ids else {}),
            "Set": pack.title_of(set_name),
            "Class": _class_name(pack, set_name, row),
            "Score": score,
            "Above the line": score - threshold,
            "Outcome": row_outcome(score > threshold, set_name),
        }
        if compared_out is not None:
            cells["The other says"] = row_outcome(bool(compared_out[set_name][row]), set_name)
        rows.append(cells)
    return pd.DataFrame(rows)


def _class_name(pack: Pack, set_name: str, row: int) -> str:
    if set_name != "test" or pack.test.y is None:
        return ""
    return pack.class_name(int(pack.test.y[row]))
