"""The paper's numbers, to be read beside ours: Lafon, Ramzi, Rambour, Thome 2022, tables 1 and 2.

Their network is a ResNet-34. Their near sets are CIFAR-100 (or CIFAR-10) and TinyImageNet, mid LSUN
and Places365, far Textures and SVHN; they train and fit on all 50,000 images of a network of 95 %
(CIFAR-10).
"""

from __future__ import annotations

from collections.abc import Mapping

from heat_core.pack import GROUPS, Pack

FIGURE_GROUPS = (*GROUPS, "average")
PAPER: Mapping[str, Mapping[str, tuple[tuple[float, float], ...]]] = {
    "CIFAR-10": {
        "MSP": ((57.0, 88.0), (51.6, 91.0), (36.0, 94.4), (48.2, 91.2)),
        "ODIN": ((45.3, 86.7), (34.1, 91.3), (18.6, 95.5), (32.6, 91.1)),
        "Energy": ((45.2, 87.6), (34.7, 91.8), (17.8, 96.0), (32.6, 91.8)),
        "KNN": ((42.3, 90.5), (37.0, 93.4), (16.7, 97.3), (32.9, 93.7)),
        "SSD": ((51.8, 89.3), (46.8, 91.8), (7.0, 98.8), (35.1, 93.3)),
        "EBM": ((44.5, 90.2), (33.5, 93.2), (15.7, 97.3), (31.3, 93.5)),
        "HEAT": ((47.5, 89.9), (41.0, 92.5), (8.7, 98.6), (32.4, 93.7)),
    },
    "CIFAR-100": {
        "MSP": ((79.2, 77.1), (82.3, 75.6), (67.1, 83.7), (76.1, 78.8)),
        "ODIN": ((80.1, 76.3), (84.4, 73.3), (71.6, 82.8), (78.6, 77.5)),
        "Energy": ((80.0, 76.7), (85.4, 73.2), (57.7, 87.1), (74.3, 79.0)),
        "KNN": ((78.5, 78.6), (85.8, 75.7), (47.7, 90.8), (70.7, 82.0)),
        "SSD": ((84.2, 75.3), (86.2, 74.2), (28.3, 94.4), (66.2, 81.3)),
        "EBM": ((80.9, 75.7), (85.3, 73.4), (63.0, 87.6), (76.4, 78.9)),
        "HEAT": ((82.9, 76.3), (85.2, 74.8), (27.0, 94.6), (65.0, 81.9)),
    },
}
"""{ID dataset: {detector: (FPR95, AUROC) of each of `FIGURE_GROUPS`}} in percent.

FPR95 is ID-positive.
"""


def published_rows(id_title: str) -> list[list[str]]:
    """Returns one row per detector: its name, then FPR95 / AUROC of each group, in percent.

    Raises ValueError if the paper has no table for this ID dataset.

    >>> published_rows("CIFAR-10")[-1]
    ['HEAT', '47.5 / 89.9', '41.0 / 92.5', '8.7 / 98.6', '32.4 / 93.7']
    """
    if id_title not in PAPER:
        raise ValueError(
            f"the paper has numbers for {' and '.join(PAPER)}; the pack's ID set is "
            f"{id_title or 'not named'}."
        )
    rows = []
    for name, figures in PAPER[id_title].items():
        cells = [f"{fpr95:.1f} / {auroc:.1f}" for fpr95, auroc in figures]
        rows.append([name, *cells])
    return rows


def what_differs(pack: Pack) -> str:
    """Returns why the paper's numbers and the pack's differ, in words."""
    classifier = pack.card.get("classifier", {})
    model = classifier.get("architecture", {}).get("model", "another network")
    accuracy = classifier.get("test_accuracy")
    ours = f"{model} of {accuracy:.1%}" if accuracy else model
    stand_ins = [
        f"{about['title']} for {about['stands_in_for']}"
        for about in pack.card.get("sets", {}).values()
        if "stands_in_for" in about
    ]
    sets = f"; stand-ins: {', '.join(stand_ins)}" if stand_ins else ""
    return (
        f"The paper's network is a ResNet-34 of about 95 %, the pack's a {ours}{sets}. The paper's "
        "HEAT has the MoG alone for its prior, as HEAT-GMM has here."
    )
