"""A decision on one half of the scores, judged on the other; a type keeps the two apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heat_core.arguments import check_seed
from heat_core.set_name import SetName

from .assessment import Assessment
from .id_only import AtRank
from .outcome import Array
from .proportion import Proportion
from .rule import Decision, ThresholdRule

if TYPE_CHECKING:
    from heat_core.scores import SetScores

Classes = NDArray[np.int64]
Rows = NDArray[np.int64]  # their numbers in a set


@dataclass(frozen=True, eq=False)
class CalibrationScores:
    """The scores that a threshold is chosen on.

    Args:
        inside: (N,) of ID.
        outside: {group: {set: (n,)}} of OOD.
        predicted: (N,) predicted class of each ID row, if it is known.
    """

    inside: Array
    outside: Mapping[str, Mapping[str, Array]]
    predicted: Classes | None = None


@dataclass(frozen=True, eq=False)
class TestScores:
    """The scores that a decision is judged on: no threshold was chosen on them.

    Args:
        inside, outside, predicted: as those of `CalibrationScores`.
        predicted_ood: {group: {set: (n,)}} predicted classes of OOD rows, if they are known.
    """

    __test__: ClassVar[bool] = False  # of pytest

    inside: Array
    outside: Mapping[str, Mapping[str, Array]]
    predicted: Classes | None = None
    predicted_ood: Mapping[str, Mapping[str, Classes]] | None = None


def split_scores(
    scores: SetScores,
    ood_names: Iterable[str] = (),
    predicted: Mapping[str, Classes] | None = None,
    seed: int = 0,
) -> tuple[CalibrationScores, TestScores]:
    """Returns the half of a detector's scores to choose on, and the half to judge on.

    ID to choose on is `val` where there is one, and then `test` judges; else `test` is split by a
    seeded shuffle. OOD sets that the rule may read are split so; the others judge whole.

    Args:
        scores: of the detector.
        ood_names: OOD sets that the rule may read.
        predicted: {set: (n,) predicted classes}, where they are known.
        seed: of the shuffles.

    Raises KeyError if a set has no scores.

    >>> from heat_core.scores import SetScores
    >>> scores = SetScores({"test": np.arange(10.0), "far_a": np.arange(6.0)})
    >>> halves = split_scores(scores, ["far_a"])
    >>> [(len(half.inside), len(half.outside["far"]["a"])) for half in halves]
    [(5, 3), (5, 3)]
    """
    chosen, judged = split_rows(scores, ood_names, seed)
    of = scores.calibration_name
    calibration = CalibrationScores(
        scores[of][chosen[of]],
        _by_group(scores, chosen),
        None if predicted is None else predicted[of][chosen[of]],
    )
    test = TestScores(
        scores.test[judged["test"]],
        _by_group(scores, judged),
        None if predicted is None else predicted["test"][judged["test"]],
        None if predicted is None else _by_group(predicted, judged),
    )
    return calibration, test


def split_rows(
    scores: SetScores, ood_names: Iterable[str] = (), seed: int = 0
) -> tuple[dict[str, Rows], dict[str, Rows]]:
    """Returns {set: rows (n,)} to choose on, and {set: rows (n,)} to judge on, each ascending.

    They are those of `split_scores`, whose arguments and error are the same.

    >>> from heat_core.scores import SetScores
    >>> chosen, judged = split_rows(SetScores({"test": np.arange(4.0)}))
    >>> sorted([*chosen["test"].tolist(), *judged["test"].tolist()])
    [0, 1, 2, 3]
    """
    read = set(ood_names)
    missing = read.difference(scores.ood_names)
    if missing:
        raise KeyError(f"there are no scores of {', '.join(sorted(missing))}.")
    chosen = _rows_to_choose_on(scores, read, seed)
    judged = {
        name: np.setdiff1d(np.arange(len(scores[name])), chosen.get(name, ()))
        for name in ("test", *scores.ood_names)
    }
    return chosen, judged


def _rows_to_choose_on(scores: SetScores, read: Collection[str], seed: int) -> dict[str, Rows]:
    """Returns {set: rows (n,)} to choose on: all of `val`, or half of `test`; half of OOD sets."""
    random = np.random.default_rng(check_seed(seed))
    rows = {}
    for name, values in scores.items():
        if name == scores.calibration_name or name in read:
            count = len(values) if name == "val" else len(values) // 2
            rows[name] = np.sort(random.permutation(len(values))[:count])
    return rows


def _by_group(
    arrays: Mapping[str, Any], rows: Mapping[str, Rows]
) -> dict[str, dict[str, NDArray[Any]]]:
    """Returns the rows of arrays of OOD sets, {group: {set: (n,)}}."""
    groups: dict[str, dict[str, NDArray[Any]]] = {}
    for text, of_set in rows.items():
        if text not in ("test", "val"):
            group, name = SetName.parse(text)
            groups.setdefault(group, {})[name] = arrays[text][of_set]
    return groups


def choose_and_assess(
    rule: ThresholdRule, calibration: CalibrationScores, test: TestScores, seed: int = 0
) -> Decision:
    """Returns the decision of a rule, with its interval and what it does to the test scores.

    Args:
        rule: what chooses.
        calibration: what it chooses on.
        test: what it is judged on.
        seed: of resamples.

    Raises:
        TypeError: the halves are not what they must be.
        ValueError: the scores do not allow the rule; in one line.

    >>> random = np.random.default_rng(0)
    >>> calibration = CalibrationScores(random.normal(size=1000), {})
    >>> test = TestScores(random.normal(size=300), {"far": {"a": random.normal(4, 1, size=50)}})
    >>> from heat_core.thresholds import Conformal
    >>> decision = choose_and_assess(Conformal(0.95), calibration, test)
    >>> print(decision.assessment.remark)
    92.3 % of 300 other ID rows are kept, within chance (92.0 to 97.7 %).
    """
    if not isinstance(calibration, CalibrationScores) or not isinstance(test, TestScores):
        raise TypeError(
            "a threshold is chosen on CalibrationScores and judged on TestScores, got "
            f"{type(calibration).__name__} and {type(test).__name__}."
        )
    decision = rule.fit(calibration.inside, calibration.outside, calibration.predicted)
    interval = rule.threshold_interval(calibration.inside, calibration.outside, seed=seed)
    return replace(decision, interval=interval, assessment=assess(decision, test))


def assess(decision: Decision, test: TestScores) -> Assessment:
    """Returns what a decision does to scores that it was not chosen on.

    Raises ValueError if a row's predicted class has no threshold, or is not known.
    """

    def flags(scores: Array, predicted: ArrayLike | None) -> NDArray[np.bool]:
        return decision.flags(scores, predicted)

    kept = Proportion.of(~flags(test.inside, test.predicted))
    predicted_ood = test.predicted_ood or {}
    caught = {
        group: {
            name: Proportion.of(flags(scores, predicted_ood.get(group, {}).get(name)))
            for name, scores in sets.items()
        }
        for group, sets in test.outside.items()
    }
    chance = None
    if isinstance(decision.rule, AtRank):
        chance = decision.rule.chance_interval(decision.n_calibration, kept.n)
    return Assessment(kept, caught, chance)
