"""Pure: a benchmark's table as data frames to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.pack.items import item_of
from heat_core.metrics import separation

if TYPE_CHECKING:
    from app.pack.insight import Insight
    from heat_core.explain import Verdict
    from heat_core.features import Pack
    from heat_core.judge import Opinion
    from heat_core.results.table import Interval, Resamples, Table
    from heat_core.thresholds import ClassConformal, Objective, Outcome, Traffic

Array = NDArray[np.float64]
Mask = NDArray[np.bool]
Place = tuple[str, int]  # name of a set, row
FPR, AUROC = "FPR95 % ↓", "AUROC % ↑"
FIGURES = {FPR: "fpr95", AUROC: "auroc"}
SAME = {"background-color": "rgba(0, 114, 178, 0.16)"}
BEST = "font-weight: 700; background-color: rgba(0, 114, 178, 0.36)"  # reads on light and on dark


def written(score: float) -> str:
    """Returns a score as every place of a page writes it.

    >>> written(49.0), written(-3.4601749), written(1e-7)
    ('49', '-3.46017', '1e-07')
    """
    return f"{score:.6g}"


ON_TEST = (
    "As FPR95 is defined, this threshold is of the ID test images themselves. The Threshold lab chooses on validation images "
    "where there are some, as one does before shipping, so its line may lie a little off this one."
)


def in_digits(frame: pd.DataFrame) -> Any:
    """Returns a table to show in which every share in percent has one digit, 49.0 as well as 49.1, and counts are grouped."""
    shares = [name for name in frame.select_dtypes("float") if "%" in name or name == "±"]
    return frame.style.format("{:.1f}", subset=shares).format("{:,}", subset=list(frame.select_dtypes("integer")))


def apart(scores: Sequence[float], cut: float) -> list[str]:
    """Returns how far scores lie above a cut, all with as many digits, three of them of the farthest, or in powers of ten.

    >>> apart([0.99794, 1.00002, 1.0012], 1.0)
    ['-0.00206', '+0.00002', '+0.00120']
    >>> apart([-2e-6, 3.1e-7], 0.0)
    ['-2.0e-06', '+3.1e-07']
    """
    away = np.asarray(scores, np.float64) - cut
    farthest = float(np.abs(away).max(initial=0.0))
    if farthest and not 1e-4 < farthest < 1e5:
        return [f"{value:+.1e}" for value in away]
    digits = max(0, 2 - int(np.floor(np.log10(farthest)))) if farthest else 0
    return [f"{value:+.{digits}f}" for value in away]


def averages(table: Table, drawn: Resamples | None = None) -> Any:
    """Returns the paper's table in percent, styled: a line a detector, the best figure of each column in bold.

    With resamples, those that do not differ significantly from the best are tinted.
    """
    frame = pd.DataFrame(
        {
            (group.capitalize(), label): {name: 100 * getattr(table.average(name, group), figure) for name in table.detectors}
            for group in table.groups
            for label, figure in FIGURES.items()
        }
    )
    style: Any = frame.style.format("{:.1f}")
    for group in table.groups:
        for label, figure in FIGURES.items():
            column = (group.capitalize(), label)
            pick = style.highlight_min if label == FPR else style.highlight_max
            style = pick(subset=[column], props=BEST)
            if drawn is not None and (same := drawn.best(group, figure)[1]):
                style = style.set_properties(subset=(list(same), [column]), **SAME)
    return style


def average_finding(table: Table, drawn: Resamples | None) -> str:
    """Returns who lets the least OOD pass, who comes next, and whether that is more than chance."""
    ranked = sorted(table.detectors, key=lambda name: table.average(name).fpr95)
    best, *others = [f"{name} ({_percent(table.average(name).fpr95)})" for name in ranked[:3]]
    followers = f"; {' and '.join(others)} {'come' if len(others) > 1 else 'comes'} next" if others else ""
    same = drawn.best("average", "fpr95")[1] if drawn is not None else ()
    alike = f". Not significantly different from it: {', '.join(same)}" if same else ""
    none = ", significantly" if drawn is not None and others and not same else ""
    said = f"{best} lets the least OOD pass where 95 % of ID is kept{none}{followers}{alike}."
    return said.replace(" %", "\u00a0%")


def intervals(drawn: Resamples) -> pd.DataFrame:
    """Returns a line a detector: its averages with 95 % intervals, how far behind the best it is, and whether by chance."""
    best, same = drawn.best("average", "fpr95")

    def line(name: str) -> dict[str, str]:
        (fpr, area), (behind, _) = drawn.of(name)["average"], drawn.between(name, best)["average"]
        alike = "not significantly different" if name in same else "worse"
        return {
            "Detector": name, "FPR95 %": _between(fpr), "AUROC %": _between(area),
            f"FPR95 less that of {best}": "" if name == best else _between(behind, "+"),
            "So it is": "the best" if name == best else alike,
        }  # fmt: skip

    order = sorted(drawn.detectors, key=lambda name: drawn.of(name)["average"][0].mean)
    return pd.DataFrame(line(name) for name in order)


def _between(interval: Interval, sign: str = "") -> str:
    mean, low, high = (100 * value for value in (interval.mean, interval.low, interval.high))
    return f"{mean:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"


def roc_finding(areas: Mapping[str, float], on: str) -> str:
    """Returns whose area under the curve is the largest, and on what."""
    best = max(areas, key=areas.__getitem__)
    of = f"Of the {len(areas)} drawn, " if len(areas) > 1 else ""
    return f"{of}{best} has the largest area under its curve, {_percent(areas[best])}, on {on}.".replace(" %", "\u00a0%")


def curves(areas: Mapping[str, float], outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """Returns a line a detector: the area under its curve, and what its threshold does. In percent."""
    return pd.DataFrame(
        {
            "Detector": name, "AUROC %": round(100 * areas[name], 1), "ID kept %": round(100 * what.kept, 1),
            "OOD caught %": round(100 * what.outside, 1), "OOD accepted %": round(100 * what.accepted, 1),
        }
        for name, what in outcomes.items()
    )  # fmt: skip


def of_selection(scores: Mapping[str, Mapping[str, Array]], masks: Mapping[str, Mask]) -> pd.DataFrame:
    """Returns a line a detector, the fewest OOD accepted first: how it tells some OOD rows from all of ID test.

    The rows are put together. In percent, with the half-width of the AUROC's 95 % interval.

    Args:
        scores: {detector: {set: (n,)}}.
        masks: {OOD set: (n,) which of its rows}, at least one row in all.
    """
    found = {name: separation(by_set["test"], np.concatenate([by_set[of][mask] for of, mask in masks.items()]))
             for name, by_set in scores.items()}  # fmt: skip
    return pd.DataFrame(
        {
            "Detector": name, FPR: 100 * what.fpr95, AUROC: 100 * what.auroc, "±": 196 * what.auroc_error,
        }
        for name, what in sorted(found.items(), key=lambda entry: entry[1].fpr95)
    )  # fmt: skip


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
            "the line is at": written(what.cut), "ID kept": _percent(what.kept), **groups,
            "OOD caught, mean of the groups": _percent(what.outside), "OOD accepted, FPR (ID+)": _percent(what.accepted),
            "ID flagged, FPR (OOD+)": _percent(what.lost), "of 1000 inputs: ID kept": _count(counts.kept),
            "of 1000 inputs: ID flagged": _count(counts.flagged), "of 1000 inputs: OOD caught": _count(counts.caught),
            "of 1000 inputs: OOD missed": _count(counts.missed), "OOD among the flagged": _percent(counts.precision),
            "expected cost of 1000 inputs": _count(what.cost(traffic)),
        }  # fmt: skip

    return pd.DataFrame({name: column(what) for name, what in outcomes.items()})


def sets_at_the_line(table: Table, what: Outcome, titles: Mapping[str, str], selected: Mapping[str, Array]) -> pd.DataFrame:
    """Returns a line an OOD set: what the line does to it, and what does not depend on the line. In percent.

    Args:
        selected: {file name: (n,) scores of its rows that are selected}; where there are none, no column speaks of them.
    """
    rows = pd.DataFrame(
        {
            "Set": titles[f"{row.group}_{row.set}"], "Group": row.group, "Images": row.n,
            "Caught %": round(100 * what.caught[row.group][row.set], 1),
            "Accepted, FPR (ID+) %": round(100 - 100 * what.caught[row.group][row.set], 1),
            "FPR95 (ID+) %": round(100 * row.fpr95, 1), "FPR95 (OOD+) %": round(100 * row.fpr95_ood, 1),
            "AUROC %": round(100 * row.auroc, 1), "±": round(196 * row.auroc_error, 1),
        }
        for row in table.rows
    )  # fmt: skip
    if selected:
        picked = [selected.get(f"{row.group}_{row.set}", np.empty(0)) for row in table.rows]
        rows.insert(4, "Selected", [len(scores) for scores in picked])
        rows.insert(5, "of them caught", [int((scores > what.cut).sum()) for scores in picked])
    return rows


def closest(scores: Mapping[str, Array], cut: float, count: int, masks: Mapping[str, Mask] | None = None) -> list[Place]:
    """Returns the (set, row) of the scores nearest a cut, from the lowest score up.

    Args:
        scores: {file name: (n,) scores} of the sets to look in.
        masks: {file name: (n,) which rows count}; all if not given, none of a set that is not in it.
    """
    rows = {name: np.arange(len(s)) if masks is None else np.flatnonzero(masks.get(name, ())) for name, s in scores.items()}
    place = [(name, int(row)) for name, found in rows.items() for row in found]
    score = np.concatenate([scores[name][found] for name, found in rows.items()])
    close = np.argsort(np.abs(score - cut), kind="stable")[:count]
    return [place[i] for i in close[np.argsort(score[close], kind="stable")]]


def nearest(
    pack: Pack, scores: Mapping[str, Array], places: Sequence[Place], cut: float, other: Mapping[str, Mask] | None = None
) -> pd.DataFrame:
    """Returns a line a row: what it is, its score, and on which side of the cut.

    Args:
        scores: {file name: (n,) scores}.
        places: (file name, row) of each.
        other: {file name: (n,) whether another detector calls them out}.
    """
    features, lines = dict(pack.sets()), []
    for name, row in places:
        value = float(scores[name][row])
        line = {
            "Item": item_of(features[name], name, row), "Set": pack.set_title(name), "Class": _class_name(pack, name, row),
            "Score": value, "Above the line": value - cut, "Verdict": verdict(value > cut, name),
        }  # fmt: skip
        lines.append(line if other is None else line | {"The other says": verdict(bool(other[name][row]), name)})
    return pd.DataFrame(lines)


def opinion_finding(opinion: Opinion) -> str:
    """Returns what a picture is taken for, and how many detectors call it out."""
    out, many = sum(verdict.out for verdict in opinion.verdicts), len(opinion.verdicts)
    called = f"; {out} of {many} detectors call it out-of-distribution" if many else ""
    return f"Taken for {opinion.predicted} ({_percent(opinion.probability)}){called}.".replace(" %", "\u00a0%")


def verdicts(found: Sequence[Verdict]) -> pd.DataFrame:
    """Returns a line a detector: its score of an image, where that lies among ID, and the verdict."""
    return pd.DataFrame(
        {
            "Detector": verdict.detector, "Score": verdict.score, "ID test at or below %": round(100 * verdict.percentile, 1),
            "Threshold": verdict.threshold, "Verdict": "out" if verdict.out else "in",
        }
        for verdict in found
    )  # fmt: skip


def class_distances(insight: Insight) -> pd.DataFrame:
    """Returns a line a class, nearest first."""
    return pd.DataFrame({"Class": name, "Distance": round(away, 2)} for name, away in insight.near_classes)


def insight_finding(insight: Insight, title: str) -> str:
    """Returns what an image is, what it is taken for, and how many detectors call it out."""
    is_ = f"{title}, {insight.label}" if insight.label else title
    takes = f": taken for {insight.predicted[0]} ({_percent(insight.predicted[1])})" if insight.predicted else ""
    out, many = sum(verdict.out for verdict in insight.verdicts), len(insight.verdicts)
    called = f"; {out} of {many} detectors call it out-of-distribution" if many else ""
    return f"{is_}{takes}{called}.".replace(" %", "\u00a0%")


def flips_finding(accepts: str, rejects: str, counts: Mapping[str, tuple[int, int]]) -> str:
    """Returns how many images one detector accepts and another rejects: OOD that the second catches, ID that it loses."""
    caught, among = (sum(pair[i] for name, pair in counts.items() if name != "test") for i in (0, 1))
    lost, inside = counts.get("test", (0, 0))
    return (
        f"{accepts} accepts and {rejects} rejects {caught:,} of {among:,} OOD images ({_percent(caught / max(among, 1))}) "
        f"and {lost:,} of {inside:,} ID images ({_percent(lost / max(inside, 1))})."
    ).replace(" %", "\u00a0%")


def how_far(move: float, corrected: bool) -> str:
    """Returns how far an image was moved: in HEAT's energy, or in points of its rank among ID."""
    return f"{move:+.2f}" if corrected else f"{100 * move:+.1f} points"


def sampled(pack: Pack) -> str:
    """Returns which sets are samples of larger ones, as far as the card says, in a sentence."""
    described, found = pack.card.get("sets", {}), []
    for name, features in pack.sets():
        whole = described.get(name, {}).get("moments_of")
        if isinstance(whole, int) and whole > len(features) and name in ("train", "test"):
            found.append(f"The {'training' if name == 'train' else name} images are a sample, {len(features):,} of {whole:,}.")
    return " ".join(found)


def trusted(method: str, trust: float | None) -> str:
    """Returns what a map can be trusted with, in a sentence or two."""
    if trust is None:
        return f"Laid out by {method.upper()}; nobody has measured how far it can be trusted."
    near = "points that are near each other here are near in feature space, too" if trust >= 0.9 else (
        "many points that are near each other here are far apart in feature space")  # fmt: skip
    gaps = "; the gaps between clusters mean little" if method == "umap" else ""
    return f"Laid out by {method.upper()}. Trustworthiness {trust:.2f} (1 is perfect, 0.5 is chance): {near}{gaps}."


def selected_finding(masks: Mapping[str, NDArray[np.bool]], titles: Mapping[str, str]) -> str:
    """Returns how many are selected, and which set they are mostly of, in a sentence."""
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    total = sum(counts.values())
    if not total:
        return "Nothing that is shown is selected."
    most = max(counts, key=counts.__getitem__)
    if counts[most] == total:
        return f"{total:,} selected, all of them {titles[most]}."
    return f"{total:,} selected, {100 * counts[most] / total:.0f}\u00a0% of them {titles[most]}."


def selected(
    masks: Mapping[str, NDArray[np.bool]], titles: Mapping[str, str], scores: Mapping[str, Array], cut: float | None
) -> pd.DataFrame:
    """Returns a line a set: how many of how many are selected, and how many of those are above the cut.

    Args:
        masks: {set: which rows are selected (n,)}.
        scores: {set: (n,)}; a set without has no figure.
        cut: None if there is none.
    """

    def line(name: str, mask: NDArray[np.bool]) -> dict[str, str]:
        count = int(mask.sum())
        flagged = "–"
        if count and cut is not None and name in scores:
            flagged = _percent(float(np.mean(scores[name][mask] > cut)))
        share = _percent(count / len(mask))
        return {"Set": titles[name], "Selected": f"{count:,} of {len(mask):,}", "Share": share, "Flagged": flagged}

    return pd.DataFrame([line(name, mask) for name, mask in masks.items()], columns=["Set", "Selected", "Share", "Flagged"])


def tile_lines(pack: Pack, place: tuple[str, int], scorer: str, rank: float) -> tuple[str, ...]:
    """Returns the lines below an image: its class or its set, and where a detector puts it among ID."""
    name, row = place
    y = dict(pack.sets())[name].y
    known = name in ("train", "test") and y is not None
    first = pack.class_name(int(y[row])) if known and y is not None else pack.set_title(name)
    second = "training" if name == "train" else "" if np.isnan(rank) else f"{scorer} {100 * rank:.1f} %"
    return (first, second) if second else (first,)


def line_finding(outcomes: Mapping[str, Outcome]) -> str:
    """Returns what each detector's line does, in a sentence."""

    def part(name: str, what: Outcome) -> str:
        caught = f" and catches {_percent(what.outside)} of OOD" if what.caught else ""
        return f"{name} keeps {_percent(what.kept)} of ID{caught}"

    return f"{'; '.join(part(name, what) for name, what in outcomes.items())}.".replace(" %", "\u00a0%")


def how_chosen(rule: Objective | ClassConformal | None, scores: Mapping[str, Array]) -> str:
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


def class_lines(
    pack: Pack, cuts: Mapping[int, float], taken_for: Mapping[str, NDArray[np.int64]], above: Mapping[str, Array]
) -> pd.DataFrame:
    """Returns a line a class: its threshold, how many scores that was chosen on, and what becomes of inputs taken for it.

    Args:
        cuts: {class: its threshold}.
        taken_for: {set: (n,) the class of each row}.
        above: {set: (n,) scores less their class's threshold}; OOD is what is neither `val` nor `test`.
    """
    chosen = taken_for["val" if "val" in above else "test"]
    outside = [name for name in above if name not in ("val", "test")]

    def share_out(names: Sequence[str], label: int) -> float:
        rows = np.concatenate([above[name][taken_for[name] == label] for name in names]) if names else np.array([])
        return float(np.mean(rows > 0)) if rows.size else np.nan

    return pd.DataFrame(
        {
            "Taken for": pack.class_name(label), "Calibration scores": int((chosen == label).sum()), "Threshold": written(cut),
            "ID kept": _percent(1 - share_out(["test"], label)), "OOD caught": _percent(share_out(outside, label)),
        }
        for label, cut in cuts.items()
    )  # fmt: skip


def _class_name(pack: Pack, name: str, row: int) -> str:
    if name != "test" or pack.test.y is None:
        return ""
    return pack.class_name(int(pack.test.y[row]))


def verdict(out: bool, name: str) -> str:
    """Returns what becomes of a row of a set."""
    return ("flagged" if out else "kept") if name == "test" else ("caught" if out else "missed")


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.1f} %"


def _count(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:,.1f}"
