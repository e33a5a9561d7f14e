"""What is known of one image: its class, its energies spelled out, who is near, and every detector's verdict. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.pack.jobs import DetectorScores

if TYPE_CHECKING:
    from heat_core.energies import Normalized
    from heat_core.explain import ScoreTerms, Verdict
    from heat_core.features import Features
    from heat_core.pack import Pack


NEIGHBOURS = 12

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spelled:
    """An energy of several terms, spelled out.

    Args:
        how: what it is put together from.
        values: of the terms, in the order of `how.names`.
        ranks: the share of ID test rows that have at most as much, of each term and of the total.
        verdict: on the total.
    """

    how: ScoreTerms
    values: Array
    ranks: Array
    verdict: Verdict

    @property
    def rounded(self) -> Array:
        """The terms with two digits, so that they add up to the total with two digits; of no sum, each rounded by itself."""
        if not self.how.adds:
            return np.round(self.values, 2)
        cents = np.floor(100 * self.values)
        missing = int(round(100 * float(self.values.sum())) - cents.sum())
        cents[np.argsort(cents - 100 * self.values)[:missing]] += 1  # to those that lost the most
        return cents / 100

    @property
    def sentence(self) -> str:
        """`prior 1.31 + correction -0.04 = 1.27, verdict in: the threshold is 3.20`."""
        named = [
            f"{name} {value:.2f}" for name, value in zip(self.how.names, self.rounded, strict=True)
        ]
        spelled = f"{' + '.join(named)} =" if self.how.adds else f"{', '.join(named)}: together"
        verdict = "out" if self.verdict.out else "in"
        return f"{spelled} {self.verdict.score:.2f}, verdict {verdict}: the threshold is {self.verdict.threshold:.2f}"


@dataclass(frozen=True, eq=False)
class Insight:
    """What is known of one image of a pack.

    Args:
        place: (name of its set, row).
        label: its class, if the pack says so.
        predicted: (class, softmax probability) by the classifier's head, if there is one.
        near_classes: (class, Mahalanobis distance), nearest first.
        near_rows: training rows, nearest first, itself left out; `near_distances` beside them, of z / ||z||.
        verdicts: one a detector.
        spelled: {detector: its energy}, of those with several terms.
    """

    place: tuple[str, int]
    label: str
    predicted: tuple[str, float] | None
    near_classes: tuple[tuple[str, float], ...]
    near_rows: NDArray[np.int64]
    near_distances: Array
    verdicts: tuple[Verdict, ...]
    spelled: Mapping[str, Spelled]


def inspect_row(
    pack: Pack,
    fitted: Normalized,
    frames: Sequence[DetectorScores],
    place: tuple[str, int],
    cuts: Mapping[str, float],
) -> Insight:
    """Returns what is known of a row.

    Args:
        fitted: the classes, as `explain.classes` returns them.
        frames: of the scoring that are ready.
        place: (name of its set, row).
        cuts: {detector: threshold}.
    """
    import torch

    from heat_core import explain

    name, row = place
    features = dict(pack.sets())[name]
    one = features.take(torch.tensor([row]))
    rows, distances = explain.nearest_training_rows(pack.train, one, NEIGHBOURS + 1)
    others = rows[0] != row if name == "train" else np.arange(rows.shape[1]) < NEIGHBOURS
    apart = explain.class_distances(fitted, one)[0]
    labels = pack.train.classes.tolist()
    near = tuple((pack.class_name(labels[i]), float(apart[i])) for i in np.argsort(apart))
    said = {
        frame.detector: found
        for frame in frames
        if (found := _said(frame, name, row, one)) is not None
    }
    inside = {frame.detector: frame for frame in frames}
    verdicts = {
        who: explain.Verdict.of(who, score, inside[who].scores["test"], cuts[who])
        for who, (score, _) in said.items()
    }
    spelled = {
        who: _spelled(inside[who], values, verdicts[who])
        for who, (_, values) in said.items()
        if values is not None
    }
    label = "" if features.y is None else pack.class_name(int(features.y[row]))
    return Insight(
        place,
        label,
        _predicted(pack, one),
        near,
        rows[0][others],
        distances[0][others],
        tuple(verdicts.values()),
        spelled,
    )


def _said(
    frame: DetectorScores, name: str, row: int, one: Features
) -> tuple[float, Array | None] | None:
    """Returns (score, terms if several) of a row: those of the scoring, or by the fitted detector if it is at hand."""
    if frame.reason:
        return None
    if name in frame.scores:
        return float(frame.scores[name][row]), frame.terms[name][
            row
        ] if name in frame.terms else None
    if frame.run is None:
        return None
    from heat_core.explain import score_terms

    return float(frame.run.score(one)[0]), score_terms(frame.run, one)[0] if frame.terms else None


def _spelled(frame: DetectorScores, values: Array, verdict: Verdict) -> Spelled:
    from heat_core.metrics import percentile

    inside = frame.terms["test"]
    ranks = [float(percentile(inside[:, i], [value])[0]) for i, value in enumerate(values)]
    assert frame.how is not None
    return Spelled(frame.how, values, np.array([*ranks, verdict.percentile]), verdict)


def _predicted(pack: Pack, one: Features) -> tuple[str, float] | None:
    if pack.train.head is None:
        return None
    logits = pack.train.head.logits(one.z[0].double())
    probabilities = logits.softmax(0)
    best = int(probabilities.argmax())
    return pack.class_name(best), float(probabilities[best])
