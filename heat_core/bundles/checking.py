"""Whether a bundle is what its settings, its seed and its rule give."""

from __future__ import annotations

import math

import numpy as np

from heat_core.pack import Pack
from heat_core.run import fit as fit_run
from heat_core.set_name import SetName
from heat_core.thresholds import CalibrationScores, Decision, ThresholdRule

from .bundle import Bundle, calibration_and_test, pack_fingerprint

TOLERANCE = 1e-5  # of a score fitted anew, in deviations of the calibration scores


def decision_differences(said: Decision, found: Decision, tolerance: float = 0.0) -> list[str]:
    """Returns in what one decision differs from another, a text each.

    Args:
        said, found: the decisions.
        tolerance: by which thresholds may differ.
    """
    differences = []
    if said.n_calibration != found.n_calibration:
        differences.append(
            f"n_calibration is {said.n_calibration:,}, and {found.n_calibration:,} by the scores"
        )
    thresholds = said.by_class or {-1: said.threshold}
    others = found.by_class or {-1: found.threshold}
    for label in sorted({*thresholds, *others}):
        one, other = thresholds.get(label, math.nan), others.get(label, math.nan)
        if not abs(one - other) <= tolerance:
            name = "threshold" if label == -1 else f"threshold of class {label}"
            differences.append(f"the {name} is {one:.9g}, and {other:.9g} by the rule")
    return differences


def fit_rule(rule: ThresholdRule, calibration: CalibrationScores) -> Decision:
    """Returns the decision of a rule on calibration scores. Raises ValueError as the rule does."""
    return rule.fit(calibration.inside, calibration.outside, calibration.predicted)


def check_bundle(bundle: Bundle, pack: Pack, device: str = "cpu") -> list[str]:
    """Returns in what a bundle differs from one that is made anew; nothing where it holds.

    The detector is fitted anew to the pack by the bundle's settings and seed, and the threshold is
    chosen anew.

    Args:
        bundle: what is checked.
        pack: that it was made of.
        device: to fit on.

    Raises ValueError if the detector cannot be fitted to the pack.
    """
    differences = []
    sha256 = pack_fingerprint(pack)
    if sha256 != bundle.pack_sha256:
        differences.append(
            f"the pack is another one: {bundle.pack_title} ({bundle.pack_sha256[:12]}) was wanted, "
            f"got {pack.title} ({sha256[:12]})"
        )
    run = fit_run(bundle.detector, pack.train, bundle.seed, device, extra=pack.extra)
    rule = bundle.decision.rule
    outside = bundle.calibration.outside
    names = [str(SetName(group, name)) for group, sets in outside.items() for name in sets]
    calibration, _ = calibration_and_test(run, pack, rule, names, bundle.split_seed)
    said = bundle.calibration.inside
    tolerance = TOLERANCE * float(said.std())
    if said.shape != calibration.inside.shape:
        count = len(calibration.inside)
        differences.append(f"there are {len(said):,} calibration scores, and {count:,} anew")
        return differences
    off = float(np.abs(said - calibration.inside).max())
    if not off <= tolerance:
        differences.append(f"scores of calibration rows differ by up to {off:.3g}")
    return differences + decision_differences(
        bundle.decision, fit_rule(rule, calibration), tolerance
    )
