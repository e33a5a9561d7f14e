"""What is known of one row of a pack: its class, its neighbours, its terms, every verdict on it.

No Streamlit here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.pack.items import PackRow
from app.pack.work import DetectorScores
from app.text import common_decimals

if TYPE_CHECKING:
    from heat_core.energies import Normalized
    from heat_core.explain import ScoreTerms, Verdict
    from heat_core.features import Features
    from heat_core.pack import Pack


NEIGHBOURS = 12  # training rows shown

Array = NDArray[np.float64]
RowIndices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RowTerms:
    """What each term adds to a row's score.

    Args:
        terms: what the score is put together from.
        values: (terms,), in the order of `terms.names`.
        percentiles: (terms + 1,) share of ID test rows that have at most as much, of each term and
            of the total.
        verdict: on the total.
        part_values: (parts,) what each part of the prior adds, in the order of `terms.prior_parts`;
            empty where it has not several.
    """

    terms: ScoreTerms
    values: Array
    percentiles: Array
    verdict: Verdict
    part_values: Array = field(default_factory=lambda: np.empty(0))

    @property
    def rounded(self) -> Array:
        """(terms,) values with a few digits, which add up to the total with as many.

        Of terms that are not added up, each is rounded by itself.
        """
        if not self.terms.adds:
            return np.round(self.values, self.decimals)
        scale = 10**self.decimals
        units = np.floor(scale * self.values)
        missing = int(round(scale * float(self.values.sum())) - units.sum())
        most_lost = np.argsort(units - scale * self.values)[:missing]
        units[most_lost] += 1
        return units / scale

    @property
    def decimals(self) -> int:
        """How many digits after the point its values have, the total and the threshold, too."""
        return common_decimals([*self.values, self.verdict.score, self.verdict.threshold])

    @property
    def sentence(self) -> str:
        """`prior 1.31 + correction -0.04 = 1.27, verdict in: the threshold is 3.20`."""
        named_values = [
            f"{name} {value:.{self.decimals}f}"
            for name, value in zip(self.terms.names, self.rounded, strict=True)
        ]
        if self.terms.adds:
            equation = f"{' + '.join(named_values)} ="
        else:
            equation = f"{', '.join(named_values)}: together"
        verdict = "out" if self.verdict.out else "in"
        return (
            f"{equation} {self.verdict.score:.{self.decimals}f}, verdict {verdict}: "
            f"the threshold is {self.verdict.threshold:.{self.decimals}f}"
        )


@dataclass(frozen=True, eq=False)
class Insight:
    """What is known of one row of a pack.

    Args:
        pack_row: (set, row).
        label: its class, if the pack says so.
        predicted: (class, softmax probability) by the classifier's head, if there is one.
        nearest_classes: (class, Mahalanobis distance), nearest first.
        nearest_rows: (k,) training rows, nearest first, without the row itself; k is at most
            `NEIGHBOURS`.
        nearest_distances: (k,) their distances, of z / ||z||.
        verdicts: one per detector.
        row_terms: {detector: what its terms add}, of those with several terms.
    """

    pack_row: PackRow
    label: str
    predicted: tuple[str, float] | None
    nearest_classes: tuple[tuple[str, float], ...]
    nearest_rows: RowIndices
    nearest_distances: Array
    verdicts: tuple[Verdict, ...]
    row_terms: Mapping[str, RowTerms]


def inspect_row(
    pack: Pack,
    class_mahalanobis: Normalized,
    all_detector_scores: Sequence[DetectorScores],
    pack_row: PackRow,
    thresholds: Mapping[str, float],
) -> Insight:
    """Returns what is known of a row.

    Args:
        class_mahalanobis: as `explain.class_mahalanobis` returns it.
        all_detector_scores: of the detectors that are ready.
        pack_row: (set, row).
        thresholds: {detector: threshold}.
    """
    import torch

    from heat_core.explain import Verdict

    name, row = pack_row
    features = dict(pack.sets())[name]
    one_row = features.take(torch.tensor([row]))
    verdicts = []
    row_terms = {}
    for detector_scores in all_detector_scores:
        score = _row_score(detector_scores, pack_row, one_row)
        if score is None:
            continue
        threshold = thresholds[detector_scores.detector]
        verdict = Verdict.of(
            detector_scores.detector, score, detector_scores.scores["test"], threshold
        )
        verdicts.append(verdict)
        if detector_scores.terms is not None and detector_scores.term_values:
            values = _term_values(detector_scores, pack_row, one_row)
            percentiles = np.array([*_percentiles(detector_scores, values), verdict.percentile])
            row_terms[detector_scores.detector] = RowTerms(
                detector_scores.terms,
                values,
                percentiles,
                verdict,
                _part_values(detector_scores, pack_row, one_row),
            )
    nearest_rows, nearest_distances = _nearest_rows(pack, pack_row, one_row)
    return Insight(
        pack_row,
        "" if features.y is None else pack.class_name(int(features.y[row])),
        _predicted_class(pack, one_row),
        _nearest_classes(pack, class_mahalanobis, one_row),
        nearest_rows,
        nearest_distances,
        tuple(verdicts),
        row_terms,
    )


def _row_score(
    detector_scores: DetectorScores, pack_row: PackRow, one_row: Features
) -> float | None:
    """Returns a row's score, by the fitted detector where its set was not scored.

    None without a score of any kind.
    """
    name, row = pack_row
    if detector_scores.missing_reason:
        return None
    if name in detector_scores.scores:
        return float(detector_scores.scores[name][row])
    return None if detector_scores.run is None else float(detector_scores.run.score(one_row)[0])


def _term_values(detector_scores: DetectorScores, pack_row: PackRow, one_row: Features) -> Array:
    """Returns what each term adds to a row's score, (terms,)."""
    from heat_core.explain import term_values

    name, row = pack_row
    if name in detector_scores.term_values:
        return detector_scores.term_values[name][row]
    assert detector_scores.run is not None
    return term_values(detector_scores.run, one_row)[0]


def _part_values(detector_scores: DetectorScores, pack_row: PackRow, one_row: Features) -> Array:
    """Returns what each part of the prior adds to a row's score, (parts,).

    Empty where the prior has not several.
    """
    from heat_core.explain import prior_part_values

    name, row = pack_row
    if not detector_scores.part_values:
        return np.empty(0)
    if name in detector_scores.part_values:
        return detector_scores.part_values[name][row]
    assert detector_scores.run is not None
    return prior_part_values(detector_scores.run, one_row)[0]


def _percentiles(detector_scores: DetectorScores, values: Array) -> list[float]:
    """Returns the share of ID test rows that have at most as much of each term."""
    from heat_core.metrics import percentile

    test_values = detector_scores.term_values["test"]
    return [float(percentile(test_values[:, i], [value])[0]) for i, value in enumerate(values)]


def _nearest_rows(pack: Pack, pack_row: PackRow, one_row: Features) -> tuple[RowIndices, Array]:
    """Returns the nearest training rows and their distances, (k,) each, without the row itself.

    k is `NEIGHBOURS`, or all the others where there are fewer.
    """
    from heat_core.explain import nearest_training_rows

    name, row = pack_row
    (rows,), (distances,) = nearest_training_rows(pack.train, one_row, NEIGHBOURS + 1)
    if name == "train":
        is_other = rows != row  # where many rows lie on it, it may not be among the nearest
        rows, distances = rows[is_other], distances[is_other]
    return rows[:NEIGHBOURS], distances[:NEIGHBOURS]


def _nearest_classes(
    pack: Pack, class_mahalanobis: Normalized, one_row: Features
) -> tuple[tuple[str, float], ...]:
    """Returns (class, Mahalanobis distance) of every class, nearest first."""
    from heat_core.explain import class_distances

    distances = class_distances(class_mahalanobis, one_row)[0]
    labels = pack.train.classes.tolist()
    return tuple((pack.class_name(labels[i]), float(distances[i])) for i in np.argsort(distances))


def _predicted_class(pack: Pack, one_row: Features) -> tuple[str, float] | None:
    """Returns (class, softmax probability) by the classifier's head; None without a head."""
    head = pack.train.head
    if head is None:
        return None
    logits = head.logits(one_row.z[0].double())
    probabilities = logits.softmax(0)
    best = int(probabilities.argmax())
    return pack.class_name(best), float(probabilities[best])
