"""What detectors on these features can hardly pass: `python -m benchmarks.ceiling [PACK]`.

A probe is trained, by cross-validation, to tell ID test images from those of one OOD set, which is
what a detector must never see: a logistic regression of the normalised features, their norm, and
the same of the std view. Printed in Markdown: FPR95 / AUROC by OOD set, of detectors and the probe.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heat_core.detectors.presets import supported_detectors
from heat_core.features import Features
from heat_core.metrics import auroc, fpr95
from heat_core.pack import Pack, read_pack
from heat_core.results.formats import markdown
from heat_core.run import fit
from heat_core.scores import SetScores, score_pack

from .study import PACK

DETECTORS = ("MSP", "Energy", "KNN", "MoG", "HEAT-GMM", "HEAT")
FOLDS = 5
INVERSE_PENALTY = 0.03  # C of the regression


def probe_inputs(features: Features) -> NDArray[np.float64]:
    """Returns what the probe reads of features, (N, columns)."""
    views = [features.z, *(v for name, v in features.views.items() if name == "std")]
    columns = []
    for view in views:
        values = view.double().numpy()
        norm = np.linalg.norm(values, axis=1, keepdims=True)
        unit = values / norm
        columns += [unit, np.log(norm)]
    return np.concatenate(columns, axis=1)


def probe_figures(inside: Features, outside: Features) -> tuple[float, float]:
    """Returns (FPR95, AUROC) of probes of two sets, each row scored by one that never saw it."""
    inputs = np.concatenate([probe_inputs(inside), probe_inputs(outside)])
    is_ood = np.repeat([0, 1], [len(inside), len(outside)])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    regression = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=300)
    probe = make_pipeline(StandardScaler(), regression)
    predicted = cross_val_predict(probe, inputs, is_ood, cv=folds, method="decision_function")
    scores = np.asarray(predicted)
    id_scores, ood_scores = scores[is_ood == 0], scores[is_ood == 1]
    return fpr95(id_scores, ood_scores), auroc(id_scores, ood_scores)


def table(pack: Pack) -> str:
    """Returns the figures of detectors and of the probe as Markdown."""
    detectors, _ = supported_detectors(pack, "modern", DETECTORS)
    scores: dict[str, SetScores] = {}
    for name, detector in detectors.items():
        scores[name] = SetScores(
            score_pack(pack, fit(detector, pack.train, extra=pack.extra).score)
        )
        print(f"{name} is fitted", file=sys.stderr)
    rows = []
    for name, features in pack.ood.items():
        both = [(set_scores.test, set_scores[str(name)]) for set_scores in scores.values()]
        pairs = [(fpr95(*id_and_ood), auroc(*id_and_ood)) for id_and_ood in both]
        pairs.append(probe_figures(pack.test, features))
        rows.append([str(name), *(f"{100 * fpr:.1f} / {100 * area:.1f}" for fpr, area in pairs)])
        print(f"{name} is probed", file=sys.stderr)
    return markdown(["OOD set", *scores, "Ceiling"], rows)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else PACK
    print(f"# Ceiling of {folder.name}\n")
    print(
        "Printed by `python -m benchmarks.ceiling`; FPR95 (ID+) / AUROC in percent, one seed. The "
        "ceiling is a linear probe of ID test images against those of the set, which no detector "
        "sees; what bends more than a line could lie higher still.\n"
    )
    print(table(read_pack(folder)))
