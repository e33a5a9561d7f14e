"""Pure: detectors under one line: their histograms, their thresholds, and what these catch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app import figures
from app.pack.items import Mask
from heat_core.metrics import percentile, rank_keeping, threshold_keeping
from heat_core.results.histogram import bin_edges
from heat_core.results.score_axis import ScoreUnit, Ticks, places, symlog_edges, ticks_at
from heat_core.set_name import SetName
from heat_core.thresholds import evaluate

if TYPE_CHECKING:
    from heat_core.scores import SetScores

Array = NDArray[np.floating]

BAR_COUNT = 60
PERCENTILE_BAR_COUNT = 50  # of 2 % of ID each
PERCENTS_KEPT: Array = np.round(np.append(np.arange(50, 90, 0.5), np.arange(90, 99.95, 0.1)), 1)
"""Where the line can be dragged to, in percent of ID kept."""


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
    """The scores of one detector on the axis of their histogram.

    Args:
        scores: of the detector.
        unit: of the axis: percentiles of ID test, or scores on an even or a symlog axis.
    """

    scores: SetScores
    unit: ScoreUnit

    @cached_property
    def values(self) -> dict[str, Array]:
        """{set: (n,) what its rows have on the axis} of ID test and the OOD sets."""
        sets = {name: scores for name, scores in self.scores.items() if name != "val"}
        return {name: self._on_axis(scores) for name, scores in sets.items()}

    @cached_property
    def edges(self) -> Array:
        """The edges of the bars, (bars + 1,), which are drawn equally wide.

        The first and the last bar hold all beyond the axis as well.
        """
        if self.unit == "ID percentile":
            return np.linspace(0, 100, PERCENTILE_BAR_COUNT + 1)
        if self.unit == "symlog":
            pooled = np.concatenate(list(self.values.values()))
            return symlog_edges(pooled, self.scores.test, BAR_COUNT)
        by_group = figures.scores_by_group(self.values)
        return bin_edges(by_group, threshold_keeping(self.scores.calibration, 0.99), BAR_COUNT)

    @property
    def ticks(self) -> Ticks:
        """The ticks of the axis."""
        if self.unit == "ID percentile":
            return [(percent / 100, f"{percent} %") for percent in (0, 25, 50, 75, 100)]
        return ticks_at(self.edges)

    def thresholds(self, percents: Array) -> Array:
        """Returns the smallest thresholds that keep these percentages of calibration, (K,)."""
        ascending = np.sort(self.scores.calibration)
        ranks = [rank_keeping(len(ascending), percent / 100) for percent in percents]
        return ascending[np.array(ranks) - 1]

    def places(self, thresholds: Array) -> Array:
        """Returns at which fractions of the axis thresholds lie, (K,)."""
        return places(self._on_axis(thresholds), self.edges)

    def counts(self, values: Array) -> list[int]:
        """Returns how many of (n,) values on the axis each bar holds."""
        counts, _ = np.histogram(np.clip(values, self.edges[0], self.edges[-1]), self.edges)
        return counts.tolist()

    def rows_in(self, bar: int) -> dict[str, Mask]:
        """Returns {set: (n,) which of its rows are in a bar}."""
        low, high = self._limits(bar)
        return {name: (values >= low) & (values < high) for name, values in self.values.items()}

    def bar_text(self, bar: int) -> str:
        """Returns which range a bar holds, such as `score 1.2 to 1.3`."""
        low, high = self._limits(bar)
        axis = self.unit if self.unit == "ID percentile" else "score"
        if np.isinf(low):
            return f"{axis} below {high:.4g}"
        if np.isinf(high):
            return f"{axis} from {low:.4g} up"
        return f"{axis} {low:.4g} to {high:.4g}"

    def _limits(self, bar: int) -> tuple[float, float]:
        is_last = bar == len(self.edges) - 2
        low = -np.inf if bar == 0 else self.edges[bar]
        return float(low), float(np.inf if is_last else self.edges[bar + 1])

    def _on_axis(self, scores: Array) -> Array:
        if self.unit == "ID percentile":
            return 100 * percentile(self.scores.test, scores)
        return scores


def ranked(
    scores_by_detector: Mapping[str, SetScores], share_to_keep: float, counted: Collection[str]
) -> list[str]:
    """Returns the detectors, those first that catch most where each keeps a share of ID.

    That is the mean over groups of the mean over sets. Without an OOD set they stay as they are.

    Args:
        share_to_keep: of the calibration scores.
        counted: names of the OOD sets that count.
    """
    caught = {}
    for name, scores in scores_by_detector.items():
        threshold = threshold_keeping(scores.calibration, share_to_keep)
        outside = scores.ood([each for each in scores.ood_names if each in counted])
        caught[name] = evaluate(threshold, scores.test, outside).caught if outside else 0.0
    return sorted(caught, key=lambda name: -caught[name])


# -- what the browser gets -------------------------------------------------------------------------


class LineSettings(NamedTuple):
    """What the line's component shows beside scores.

    Args:
        percent_kept: where the line is, in percent of the calibration scores.
        titles: {OOD set: its title}.
        counted: names of the OOD sets that count.
        selected: {set: (n,) which of its rows are selected} of sets that have any.
        notes: {detector: what its score is made of}.
    """

    percent_kept: float
    titles: Mapping[str, str]
    counted: Collection[str]
    selected: Mapping[str, Mask]
    notes: Mapping[str, str]


def lines_data(histograms: Mapping[str, ScoreHistogram], settings: LineSettings) -> dict[str, Any]:
    """Returns what the browser needs to draw all detectors and to count at every place of the line.

    About 7 KB a detector. Wherever rows are counted, it is those at or below a threshold.

    Args:
        histograms: {detector: its histogram}, in the order in which they are shown; at least one.
        settings: what else is shown.
    """
    scores = next(iter(histograms.values())).scores
    groups = dict.fromkeys(SetName.parse(name).group for name in settings.titles)
    selected_ood = sum(
        int(mask.sum()) for name, mask in settings.selected.items() if name in settings.titles
    )
    return {
        "percents": PERCENTS_KEPT.tolist(),
        "percent": settings.percent_kept,
        "unit": next(iter(histograms.values())).unit,
        "inside": {"n": len(scores.test), "colour": figures.GROUP_COLOURS["ID"]},
        "groups": [
            {
                "name": group,
                "colour": figures.GROUP_COLOURS[group],
                "dash": figures.DASHES[group],
            }
            for group in groups
        ],
        "sets": [
            {
                "name": name,
                "title": title,
                "group": SetName.parse(name).group,
                "n": len(scores[name]),
                "counted": name in settings.counted,
            }
            for name, title in settings.titles.items()
        ],
        "selected": {
            "n": selected_ood,
            "is_any": bool(settings.selected),
            "colour": figures.SELECTED,
        },
        "detectors": [
            _detector_data(name, histogram, settings) for name, histogram in histograms.items()
        ],
    }


def _detector_data(name: str, histogram: ScoreHistogram, settings: LineSettings) -> dict[str, Any]:
    """Returns what the browser needs of one detector."""
    thresholds = histogram.thresholds(PERCENTS_KEPT)
    now = histogram.thresholds(np.array([settings.percent_kept]))
    scores, values = histogram.scores, histogram.values
    selected_values = [values[of][mask] for of, mask in settings.selected.items()]
    selected_scores = [
        scores[of][mask] for of, mask in settings.selected.items() if of in settings.titles
    ]

    def counted(of_scores: Sequence[Array], of_values: Sequence[Array]) -> dict[str, Any]:
        ascending = np.sort(np.concatenate([*of_scores, np.empty(0)]))
        passed = np.searchsorted(ascending, thresholds, "right")
        return {
            "bars": histogram.counts(np.concatenate([*of_values, np.empty(0)])),
            "passed": np.diff(passed, prepend=0).tolist(),
            "passed_now": int(np.searchsorted(ascending, now[0], "right")),
        }

    return {
        "name": name,
        "note": settings.notes.get(name, ""),
        "edges": [float(f"{edge:.7g}") for edge in histogram.edges],
        "ticks": histogram.ticks,
        "thresholds": [float(f"{threshold:.6g}") for threshold in thresholds],
        "threshold_now": float(now[0]),
        "places": histogram.places(thresholds).round(4).tolist(),
        "place_now": float(histogram.places(now)[0]),
        "inside": counted([scores.test], [values["test"]]),
        "sets": [counted([scores[of]], [values[of]]) for of in settings.titles],
        "selected": counted(selected_scores, selected_values) if settings.selected else None,
    }
