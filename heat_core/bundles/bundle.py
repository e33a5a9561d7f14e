"""A fitted detector with its decision, and what that was made on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from heat_core.explain import assigned_classes
from heat_core.features import Features, Head
from heat_core.pack import Pack
from heat_core.run import Run
from heat_core.scores import score_pack
from heat_core.thresholds import (
    CalibrationScores,
    Decision,
    TestScores,
    ThresholdRule,
    choose_and_assess,
    p_values,
    split_scores,
)

from .decisions import Array, Classes, Decisions


@dataclass(frozen=True, eq=False, kw_only=True)
class Bundle(Run):
    """A run, the decision that was made for it, and what that was made on.

    Args:
        decision: of a threshold rule, with its interval and what it does to other rows.
        calibration: what it was chosen on.
        head: the classifier's last layer, if it is known.
        pack_title, pack_sha256: of the pack that it was fitted to.
        preset: the preset that the detector is of, if it is of one.
        split_seed: of the halves of sets that both choose and judge.
        created, code_version: when and by which version its files were written first; empty
            before.

    >>> from heat_core.detectors.closed_form import MoG
    >>> from heat_core.pack import NO_EXTRA
    >>> from heat_core.run import fit
    >>> from heat_core.thresholds import Conformal
    >>> z = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    >>> y = torch.arange(400) % 2
    >>> train, test = Features(z[:200], y[:200]), Features(z[200:], y[200:])
    >>> pack = Pack(train, test, {("far", "a"): Features(9 + z)}, NO_EXTRA, {})
    >>> bundle = bundle_of(fit(MoG(normalize=False), train), pack, Conformal(0.9))
    >>> bundle.decide([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]]).is_ood.tolist()
    [False, True]
    """

    decision: Decision
    calibration: CalibrationScores
    head: Head | None
    pack_title: str
    pack_sha256: str
    preset: str = ""
    split_seed: int = 0
    created: str = ""
    code_version: str = ""

    def decide(self, rows: Features | Tensor | Any, seed: int | None = None) -> Decisions:
        """Returns what the bundle says of each row.

        Args:
            rows: features, or an array (N, d) of z where the detector reads z alone.
            seed: smooths p-values, as `p_values` says.

        Raises ValueError, in one line, if the rows are not what the detector reads.
        """
        features = rows if isinstance(rows, Features) else Features(_as_tensor(rows))
        scores = self.score(features)
        predicted = None
        if self.head is not None:
            predicted = assigned_classes(Features(features.z[:1], None, self.head), features)
        thresholds = self.decision.row_thresholds(len(scores), predicted)
        p = self._p_values(scores, predicted, seed)
        return Decisions(scores, p, thresholds, predicted)

    def _p_values(self, scores: Array, predicted: Classes | None, seed: int | None) -> Array:
        """Returns the p-value of each score, (N,): within its class where these have thresholds."""
        calibration = self.calibration
        if not self.decision.by_class:
            return p_values(calibration.inside, scores, seed)
        assert predicted is not None  # `row_thresholds` has refused rows without a class
        assert calibration.predicted is not None
        p = np.empty(len(scores))
        for label in np.unique(predicted):
            rows, chosen = predicted == label, calibration.predicted == label
            p[rows] = p_values(calibration.inside[chosen], scores[rows], seed)
        return p


def bundle_of(
    run: Run,
    pack: Pack,
    rule: ThresholdRule,
    ood_names: Iterable[str] = (),
    preset: str = "",
    split_seed: int = 0,
) -> Bundle:
    """Returns the bundle of a run, with the decision of a rule for the sets of a pack.

    Args:
        run: fitted to the pack's training features.
        pack: whose held-out ID the threshold is chosen on (`val`, or else half of `test`).
        rule: what chooses the threshold.
        ood_names: OOD sets that the rule may read, each by half; the rest judges.
        preset: the preset that the detector is of, if it is of one.
        split_seed: of the halves.

    Raises:
        ValueError: the scores do not allow the rule, or a set is not there; in one line.
    """
    if rule.per_class and pack.train.head is None:
        raise ValueError(
            f"{rule.title} needs the classifier's head, by which new inputs get their class, and "
            "the pack has none."
        )
    calibration, test = calibration_and_test(run, pack, rule, ood_names, split_seed)
    decision = choose_and_assess(rule, calibration, test, split_seed)
    return Bundle(
        run.detector,
        run.seed,
        run.shape,
        run.energy,
        run.history,
        run.diagnosis,
        decision=decision,
        calibration=calibration,
        head=pack.train.head,
        pack_title=pack.title,
        pack_sha256=pack_fingerprint(pack),
        preset=preset,
        split_seed=split_seed,
    )


def calibration_and_test(
    run: Run, pack: Pack, rule: ThresholdRule, ood_names: Iterable[str] = (), seed: int = 0
) -> tuple[CalibrationScores, TestScores]:
    """Returns the scores that a rule chooses on, and those that it is judged on.

    Args:
        run, pack, rule, ood_names: as `bundle_of` takes them.
        seed: of the halves.

    Raises ValueError if an OOD set is not there.
    """
    names = tuple(ood_names)
    unknown = [name for name in names if name not in map(str, pack.ood)]
    if unknown:
        known = ", ".join(map(str, pack.ood)) or "none"
        raise ValueError(f"the pack has no OOD set {unknown[0]}; it has {known}.")
    scores = score_pack(pack, run.score)
    predicted = None
    if rule.per_class:
        sets = dict(pack.sets())
        predicted = {name: assigned_classes(pack.train, sets[name]) for name in scores}
    return split_scores(scores, names, predicted, seed)


def _as_tensor(rows: Any) -> Tensor:
    tensor = torch.as_tensor(np.asarray(rows))
    return tensor if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())


def pack_fingerprint(pack: Pack) -> str:
    """Returns the SHA-256 of a pack's arrays, in hex: names, shapes and values of every set."""
    digest = hashlib.sha256()
    for name, features in pack.sets():
        arrays = {"z": features.z, "y": features.y, **features.views}
        if features.head is not None:
            arrays |= {"weight": features.head.weight, "bias": features.head.bias}
        for key, array in arrays.items():
            if array is not None:
                digest.update(f"{name}/{key}{tuple(array.shape)}{array.dtype}".encode())
                digest.update(array.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()
