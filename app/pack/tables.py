"""Pure: tables and sentences that several pages of real features share."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.text import number_text
from heat_core.metadata import ID_COLUMN
from heat_core.texts import one_line

if TYPE_CHECKING:
    from app.pack.insight import Insight
    from heat_core.assumptions import Note
    from heat_core.explain import Verdict
    from heat_core.metadata import Metadata
    from heat_core.pack import Pack


Array = NDArray[np.float64]
Mask = NDArray[np.bool]

NO_OOD = "nothing says what detectors catch"
OOD_GROUPS = ("near", "mid", "far")


# -- numbers ---------------------------------------------------------------------------------------


def format_score(score: float) -> str:
    """Returns a score as every page writes it.

    >>> format_score(49.0), format_score(-3.4601749), format_score(1e-7)
    ('49', '-3.46', '1e-07')
    """
    return number_text(score)


def percent(share: float) -> str:
    """Returns a share in percent with one digit; a dash for no number.

    >>> percent(0.4912), percent(float("nan"))
    ('49.1 %', '–')
    """
    return "–" if np.isnan(share) else f"{100 * share:.1f} %"


def style_digits(table: pd.DataFrame) -> Any:
    """Returns a table to show: shares in percent with one digit, 49.0 as well as 49.1.

    Counts have their thousands grouped.
    """
    shares = [name for name in table.select_dtypes("float") if "%" in name or name == "±"]
    counts = list(table.select_dtypes("integer"))
    return table.style.format("{:.1f}", subset=shares).format("{:,}", subset=counts)


# -- a pack ----------------------------------------------------------------------------------------


def unique_titles(pack: Pack) -> dict[str, str]:
    """Returns {OOD set: its title}, or its name where another set has the same title.

    An asterisk marks sets that no average counts.
    """
    titles = {str(name): pack.marked_title_of(str(name)) for name in pack.ood}
    counts = Counter(titles.values())
    return {name: title if counts[title] == 1 else name for name, title in titles.items()}


def short_title(pack: Pack, longest: int = 28) -> str:
    """Returns a pack's title, or as many of its first clauses as fit."""
    beginnings = itertools.accumulate(pack.title.split(", "), "{}, {}".format)
    fitting = [clauses for clauses in beginnings if len(clauses) <= longest]
    return fitting[-1] if fitting else one_line(pack.title, longest)


def classifier_sentence(pack: Pack) -> str:
    """Returns what the card says of the classifier, in a sentence, or nothing."""
    classifier = pack.card.get("classifier", {})
    architecture = classifier.get("architecture")
    accuracy = classifier.get("test_accuracy")
    if not isinstance(architecture, dict) or not isinstance(accuracy, float):
        return ""
    passes = " in one pass" if pack.is_mirrored else ""
    return f"Classifier: timm {architecture.get('model')}, test accuracy {accuracy:.1%}{passes}."


def assignment(pack: Pack) -> str:
    """Returns in words how an image is assigned to a class: by the classifier's head, if there is
    one."""
    return "taken for" if pack.train.head else "nearest to"


def row_counts(pack: Pack) -> str:
    """Returns how many rows a pack has, and whether they are all there are, in a phrase."""
    to_test_on, available = _rows_to_test_on(pack)
    train = _count_of(len(pack.train), pack.available_rows("train"))
    none_left_out = ", none left out" if available == to_test_on else ""
    return f"{train} training rows, {_count_of(to_test_on, available)} to test on{none_left_out}"


def is_sampled(pack: Pack) -> bool:
    """Returns whether a pack holds only some of the rows that there are."""
    to_test_on, available = _rows_to_test_on(pack)
    return available > to_test_on or pack.available_rows("train") > len(pack.train)


def _rows_to_test_on(pack: Pack) -> tuple[int, int]:
    """Returns how many rows of ID test and OOD sets a pack has, and how many there are."""
    test_names = ("test", *map(str, pack.ood))
    to_test_on = len(pack.test) + sum(map(len, pack.ood.values()))
    return to_test_on, sum(pack.available_rows(name) for name in test_names)


def _count_of(rows: int, available: int) -> str:
    """Returns how many rows there are, and of how many, if they are a sample.

    >>> _count_of(1000, 1000), _count_of(1000, 5000)
    ('1,000', '1,000 of 5,000')
    """
    return f"{rows:,} of {available:,}" if available > rows else f"{rows:,}"


def pack_report(
    pack: Pack, unsupported_reasons: Mapping[str, str], notes: Sequence[Note] = ()
) -> pd.DataFrame:
    """Returns what was found in a pack, one row per part, and what follows from it.

    Args:
        unsupported_reasons: {detector: why this pack does not allow it}.
        notes: on what its figures rest on.
    """
    rows = [
        ("Training features", *_train_report(pack)),
        ("ID test", *_test_report(pack)),
        ("Held-out ID", *_val_report(pack)),
        *((f"{group.capitalize()} OOD", *_ood_report(pack, group)) for group in OOD_GROUPS),
        ("Classifier's last layer", _head_size(pack), ""),
        ("Other views", _view_sizes(pack), ""),
        ("Pseudo-OOD families", *_pseudo_report(pack)),
        ("Thumbnails", *_thumbnails_report(pack)),
        *_metadata_report(pack),
    ]
    rows += [(note.part, note.found, _consequence(note)) for note in notes]
    rows += [(f"{name} is absent", "", reason) for name, reason in unsupported_reasons.items()]
    return pd.DataFrame(rows, columns=["Part", "Found", "So"])


def _consequence(note: Note) -> str:
    """Returns what follows from a note; a doubt begins with a word that stands out."""
    return f"Warning: {note.so}".removesuffix(": ") if note.is_warning else note.so


def _train_report(pack: Pack) -> tuple[str, str]:
    train = pack.train
    consequence = ""
    if train.moments:
        consequence = "means and covariances are of the larger set that these were drawn from"
    return f"{len(train):,} rows of {train.dim}, {len(train.classes)} classes", consequence


def _test_report(pack: Pack) -> tuple[str, str]:
    consequence = "no labels: nothing is said by class" if pack.test.y is None else ""
    return f"{len(pack.test):,} rows", consequence


def _val_report(pack: Pack) -> tuple[str, str]:
    val = pack.extra.val
    if val is None:
        return "none", "thresholds are chosen on the ID test rows themselves"
    return f"{len(val):,} rows", "thresholds are chosen on it"


def _ood_report(pack: Pack, group: str) -> tuple[str, str]:
    sizes = [len(features) for (of, _), features in pack.ood.items() if of == group]
    if not sizes:
        return "none", "left out of the averages" if pack.ood else NO_OOD
    plural = "s" if len(sizes) != 1 else ""
    return f"{len(sizes)} set{plural}, {sum(sizes):,} rows", ""


def _head_size(pack: Pack) -> str:
    head = pack.train.head
    return f"{len(head.weight)} x {head.weight.shape[1]}" if head else "none"


def _view_sizes(pack: Pack) -> str:
    sizes = [f"{name} ({view.shape[1]})" for name, view in pack.train.views.items()]
    return ", ".join(sizes) or "none"


def _pseudo_report(pack: Pack) -> tuple[str, str]:
    families = pack.extra.pseudo
    if not families:
        return "none", "EBM and HEAT learn from the features alone"
    rows = sum(map(len, families.values()))
    return f"{len(families)}, {rows:,} rows", "HEAT and the EBM learn from them"


def _thumbnails_report(pack: Pack) -> tuple[str, str]:
    if not pack.thumbnails:
        return "none", "rows are named, not shown"
    return f"of {len(pack.thumbnails)} sets", ""


def _metadata_report(pack: Pack) -> list[tuple[str, str, str]]:
    """Returns a row on the metadata columns and one on the ids, where there are any."""
    rows = []
    if pack.metadata_columns:
        rows.append(("Metadata", ", ".join(pack.metadata_columns), "kept with their rows"))
    named = [name for name, features in pack.sets() if ID_COLUMN in features.metadata]
    if named:
        rows.append(("Ids", f"of {', '.join(map(pack.title_of, named))}", ""))
    return rows


# -- one image -------------------------------------------------------------------------------------


def metadata_sentence(metadata: Metadata, row: int) -> str:
    """Returns what is known of a row beside its id, such as `camera: B; day: 2026-01-01`."""
    texts = {name: values.text(row) for name, values in sorted(metadata.items())}
    texts.pop(ID_COLUMN, None)
    return "; ".join(f"{name}: {text}" for name, text in texts.items() if text)


def verdicts_table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Returns one row per detector: its score, where that lies among ID, and its verdict."""
    return pd.DataFrame(
        {
            "Detector": verdict.detector,
            "Score": verdict.score,
            "ID test at or below %": round(100 * verdict.percentile, 1),
            "Threshold": verdict.threshold,
            "Verdict": "out" if verdict.out else "in",
        }
        for verdict in verdicts
    )


def class_distances_table(insight: Insight) -> pd.DataFrame:
    """Returns one row per class: its Mahalanobis distance, nearest first."""
    return pd.DataFrame(
        {"Class": name, "Distance": distance} for name, distance in insight.nearest_classes
    )


def insight_finding(insight: Insight, title: str) -> str:
    """Returns what an image is, what it is taken for, and how many detectors call it out.

    Args:
        title: of its set.
    """
    sentence = f"{title}, {insight.label}" if insight.label else title
    if insight.predicted:
        name, probability = insight.predicted
        sentence += f": taken for {name} ({percent(probability)})"
    if insight.verdicts:
        out = sum(verdict.out for verdict in insight.verdicts)
        sentence += f"; {out} of {len(insight.verdicts)} detectors call it out-of-distribution"
    return f"{sentence}.".replace(" %", "\u00a0%")
