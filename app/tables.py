"""Pure: a benchmark's table as data frames to show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from heat_core.benchmark import Table
    from heat_core.features import Features, Pack
    from heat_core.thresholds import Objective, Outcome, Traffic
    from heat_core.verdicts import Opinion

Array = NDArray[np.float64]
FPR, AUROC = "FPR95 % ↓", "AUROC % ↑"
BEST = "font-weight: 700; background-color: rgba(0, 114, 178, 0.18)"  # reads on light and on dark


def averages(table: Table) -> Any:
    """Returns the paper's table in percent, styled: a line a detector, the best figure of each column in bold."""
    frame = pd.DataFrame(
        {
            (group.capitalize(), label): {name: 100 * getattr(table.average(name, group), figure) for name in table.detectors}
            for group in table.groups
            for label, figure in ((FPR, "fpr95"), (AUROC, "auroc"))
        }
    )
    style: Any = frame.style.format("{:.1f}")
    for column in frame.columns:
        pick = style.highlight_min if column[1] == FPR else style.highlight_max
        style = pick(subset=[column], props=BEST)
    return style


def sets(table: Table, titles: Mapping[str, str]) -> pd.DataFrame:
    """Returns a line a detector and set, in percent, with the half-width of the AUROC's 95 % interval."""
    return pd.DataFrame(
        {
            "Detector": row.detector, "Set": titles[f"{row.group}_{row.set}"], "Group": row.group, "Images": row.n,
            "FPR95 (ID+) %": round(100 * row.fpr95, 1), "AUROC %": round(100 * row.auroc, 1),
            "±": round(196 * row.auroc_error, 1), "AUPR %": round(100 * row.aupr, 1),
            "FPR95 (OOD+) %": round(100 * row.fpr95_ood, 1),
        }
        for row in table.rows
    )  # fmt: skip


def classifier(pack: Pack) -> str:
    """Returns what the card says of the classifier, in a sentence; nothing if it does not say it."""
    known = pack.card.get("classifier", {})
    architecture, accuracy = known.get("architecture"), known.get("test_accuracy")
    if not isinstance(architecture, dict) or not isinstance(accuracy, float):
        return ""
    return f"Classifier: timm {architecture.get('model')}, test accuracy {accuracy:.1%}."


def contents(pack: Pack) -> pd.DataFrame:
    """Returns a line a set of a pack: its role, rows and source, and what it stands in for."""
    described = pack.card.get("sets", {})
    return pd.DataFrame(
        {
            "set": pack.set_title(name), "role": name.partition("_")[0], "rows": len(features),
            "source": described.get(name, {}).get("source", ""), "licence": described.get(name, {}).get("licence", ""),
            "stands in for": described.get(name, {}).get("stands_in_for", ""),
        }
        for name, features in pack.sets()
    )  # fmt: skip


def counts(pack: Pack) -> str:
    """Returns how many rows a pack has, and whether they are all there are, in a phrase."""
    rows = len(pack.test) + sum(map(len, pack.outside.values()))
    drawn = pack.card.get("sets", {}).get("train", {}).get("moments_of", 0)
    of = f" of {drawn:,}" if isinstance(drawn, int) and drawn > len(pack.train) else ""
    return f"{len(pack.train):,}{of} training rows, {rows:,} scored, none left out"


def found(pack: Pack, absent: Mapping[str, str]) -> pd.DataFrame:
    """Returns what was found in a pack, part by part, and what follows from it.

    Args:
        absent: {detector: why this pack does not allow it}.
    """
    train, auxiliary, head, families = pack.train, pack.auxiliary, pack.train.head, pack.auxiliary.pseudo
    of_more = "means and covariances are of the larger set that these were drawn from" if train.moments else ""
    val, views = auxiliary.val, ", ".join(f"{name} ({view.shape[1]})" for name, view in train.views.items())
    lines = [
        ("Training features", f"{len(train):,} rows of {train.dim}, {len(train.classes)} classes", of_more),
        ("ID test", f"{len(pack.test):,} rows", "" if pack.test.y is not None else "no labels: nothing is said by class"),
        ("Held-out ID", "none" if val is None else f"{len(val):,} rows",
         "lines are chosen on the ID test rows themselves" if val is None else "lines are chosen on it"),
        *(_found_outside(pack, group) for group in ("near", "mid", "far")),
        ("Classifier's last layer", f"{len(head.weight)} x {head.weight.shape[1]}" if head else "none", ""),
        ("Other views", views or "none", ""),
        ("Pseudo-OOD families", f"{len(families)}, {sum(map(len, families.values())):,} rows" if families else "none",
         "HEAT, EBM and Composed learn from them" if families else "EBM and HEAT learn from the features alone"),
        ("Pictures", f"of {len(pack.thumbnails)} sets" if pack.thumbnails else "none",
         "" if pack.thumbnails else "rows are named, not shown"),
        *((f"{name} is absent", "", reason) for name, reason in absent.items()),
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=["Part", "Found", "So"])


def _found_outside(pack: Pack, group: str) -> tuple[str, str, str]:
    sizes = [len(features) for of, features in pack.outside.items() if of[0] == group]
    title = f"{group.capitalize()} OOD"
    if not sizes:
        return title, "none", "left out of the averages"
    return title, f"{len(sizes)} set{'s' * (len(sizes) != 1)}, {sum(sizes):,} rows", ""


def decisions(outcomes: Mapping[str, Outcome], traffic: Traffic) -> pd.DataFrame:
    """Returns what each detector's line does, a column a detector, as text with units."""

    def column(what: Outcome) -> dict[str, str]:
        counts = what.per_thousand(traffic.prevalence)
        groups = {f"{group} OOD caught": _percent(share) for group, share in what.groups.items()}
        return {
            "the line is at": f"{what.cut:.6g}", "ID kept": _percent(what.kept), **groups,
            "OOD caught, mean of the groups": _percent(what.outside), "OOD accepted, FPR (ID+)": _percent(what.accepted),
            "ID flagged, FPR (OOD+)": _percent(what.lost), "of 1000 inputs: ID kept": _count(counts.kept),
            "of 1000 inputs: ID flagged": _count(counts.flagged), "of 1000 inputs: OOD caught": _count(counts.caught),
            "of 1000 inputs: OOD missed": _count(counts.missed), "OOD among the flagged": _percent(counts.precision),
            "expected cost of 1000 inputs": _count(what.cost(traffic)),
        }  # fmt: skip

    return pd.DataFrame({name: column(what) for name, what in outcomes.items()})


def sets_at_the_line(table: Table, what: Outcome, titles: Mapping[str, str]) -> pd.DataFrame:
    """Returns a line an OOD set: what the line does to it, and what does not depend on the line. In percent."""
    return pd.DataFrame(
        {
            "Set": titles[f"{row.group}_{row.set}"], "Group": row.group, "Images": row.n,
            "Caught %": round(100 * what.caught[row.group][row.set], 1),
            "Accepted, FPR (ID+) %": round(100 - 100 * what.caught[row.group][row.set], 1),
            "FPR95 (ID+) %": round(100 * row.fpr95, 1), "FPR95 (OOD+) %": round(100 * row.fpr95_ood, 1),
            "AUROC %": round(100 * row.auroc, 1), "±": round(196 * row.auroc_error, 1),
        }
        for row in table.rows
    )  # fmt: skip


def nearest(
    pack: Pack, scores: Mapping[str, Array], cut: float, other: Mapping[str, NDArray[np.bool]] | None = None, count: int = 12
) -> pd.DataFrame:
    """Returns the rows whose scores are nearest the line, from the lowest score up.

    Args:
        scores: {file name: (n,) scores} of the sets to look in.
        other: {file name: (n,) whether another detector calls them out}.
    """
    features, names = dict(pack.sets()), list(scores)
    place = [(name, row) for name in names for row in range(len(scores[name]))]
    score = np.concatenate([scores[name] for name in names])
    close = np.argsort(np.abs(score - cut), kind="stable")[:count]
    lines = []
    for i in close[np.argsort(score[close], kind="stable")]:
        (name, row), value = place[i], float(score[i])
        line = {
            "Item": item(features[name], name, row), "Set": pack.set_title(name), "Class": _class_name(pack, name, row),
            "Score": value, "Above the line": value - cut, "Verdict": _verdict(value > cut, name),
        }  # fmt: skip
        lines.append(line if other is None else line | {"The other says": _verdict(bool(other[name][row]), name)})
    return pd.DataFrame(lines)


def item(features: Features, name: str, row: int) -> str:
    """Returns the global id of a row, `dataset/split/index`; `set/row` where the features do not know where they come from."""
    if features.index is None or not features.source:
        return f"{name}/{row}"
    return f"{features.source}/{int(features.index[row])}"


def opinion_finding(opinion: Opinion) -> str:
    """Returns what a picture is taken for, and how many detectors call it out."""
    out, many = sum(verdict.out for verdict in opinion.verdicts), len(opinion.verdicts)
    called = f"; {out} of {many} detectors call it out-of-distribution" if many else ""
    return f"Taken for {opinion.predicted} ({_percent(opinion.probability)}){called}.".replace(" %", "\u00a0%")


def verdicts(opinion: Opinion) -> pd.DataFrame:
    """Returns a line a detector: its score of a picture, where that lies among ID, and the verdict."""
    return pd.DataFrame(
        {
            "Detector": verdict.detector, "Score": verdict.score, "ID test at or below %": round(100 * verdict.percentile, 1),
            "Threshold": verdict.threshold, "Verdict": "out" if verdict.out else "in",
        }
        for verdict in opinion.verdicts
    )  # fmt: skip


def line_finding(outcomes: Mapping[str, Outcome]) -> str:
    """Returns what each detector's line does, in a sentence."""

    def part(name: str, what: Outcome) -> str:
        caught = f" and catches {_percent(what.outside)} of OOD" if what.caught else ""
        return f"{name} keeps {_percent(what.kept)} of ID{caught}"

    return f"{'; '.join(part(name, what) for name, what in outcomes.items())}.".replace(" %", "\u00a0%")


def how_chosen(rule: Objective | None, scores: Mapping[str, Array]) -> str:
    """Returns what put the line where it is, on which scores, and what that is worth."""
    if rule is None:
        return "You put the line here."
    if "val" in scores:
        base = f"Chosen on {len(scores['val']):,} validation scores; the numbers here are of the test set."
    else:
        base = (
            f"Chosen on the same {len(scores['test']):,} ID test scores that it is measured on: there is no validation split."
        )
    worry = " It also read the OOD sets that count: it is the best line for these, and promises nothing about others."
    return f"{rule.summary} {base}{worry if rule.needs_outside else ''}"


def _class_name(pack: Pack, name: str, row: int) -> str:
    if name != "test" or pack.test.y is None:
        return ""
    label, classes = int(pack.test.y[row]), pack.card.get("classes")
    return str(classes[label]) if isinstance(classes, list) and label < len(classes) else str(label)


def _verdict(out: bool, name: str) -> str:
    return ("flagged" if out else "kept") if name == "test" else ("caught" if out else "missed")


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.1f} %"


def _count(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:,.1f}"
