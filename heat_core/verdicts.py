"""One picture of one's own: what the classifier takes it for, and what every detector of a pack makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .classifier import fingerprint, load
from .datasets import Images
from .extract import Extractor, extract
from .features import Features, Pack
from .metrics import percentile, threshold_keeping
from .study import Run


@dataclass(frozen=True)
class Verdict:
    """What a detector says of a picture.

    Args:
        detector: its name.
        score: larger means more out-of-distribution.
        percentile: the share of ID test images that score at most as much, in [0, 1].
        threshold: the smallest score that keeps the wanted share of ID images that nothing was fitted to.
    """

    detector: str
    score: float
    percentile: float
    threshold: float

    @property
    def out(self) -> bool:
        return self.score > self.threshold


@dataclass(frozen=True)
class Opinion:
    """What is made of a picture: pixels as the network sees them, class and its softmax probability, a verdict a detector."""

    pixels: NDArray[np.uint8]
    predicted: str
    probability: float
    verdicts: tuple[Verdict, ...]


class Judge:
    """A pack's network and detectors, ready for pictures.

    Args:
        pack: with the network's fingerprint on its card.
        weights: the network that the pack was extracted with.
        runs: {name: a detector fitted to the pack}.
        keep: the share of ID that thresholds keep.

    Raises ValueError if the weights are another network's, or cannot be read.
    """

    def __init__(self, pack: Pack, weights: Path, runs: Mapping[str, Run], keep: float = 0.95, device: str = "cpu") -> None:
        network, architecture, _ = load(weights)
        described = pack.card.get("classifier", {})
        if fingerprint(network) != described.get("weights"):
            raise ValueError(f"{weights} is not the network that {pack.title} was extracted with.")
        self.classes = tuple(pack.card.get("classes", ())) or tuple(str(c) for c in range(architecture.classes))
        self.extractor = Extractor(
            network, architecture, described.get("layer", ""), "std" in pack.train.views, "odin" in pack.train.views,
            pack.train.z.dtype, device,
        )  # fmt: skip
        self.head, self.runs = pack.train.head, runs
        self._inside = {name: run.score(pack.test) for name, run in runs.items()}
        self._thresholds = {name: threshold_keeping(run.score(pack.calibration), keep) for name, run in runs.items()}

    def __call__(self, pixels: NDArray[np.uint8]) -> Opinion:
        """Returns what is made of a picture of (size, size, 3) RGB pixels, as `pictures.read` gives them."""
        images = Images("own", "picture", pixels[None], np.zeros(1, np.int64), self.classes)
        features = replace(extract(self.extractor, images), y=None)
        probabilities = self._probabilities(features)
        predicted = int(probabilities.argmax())
        verdicts = tuple(self._verdict(name, run, features) for name, run in self.runs.items())
        return Opinion(pixels, self.classes[predicted], float(probabilities[predicted]), verdicts)

    def _probabilities(self, features: Features) -> torch.Tensor:
        if self.head is None:
            raise ValueError("the pack has no head (weight and bias), so nothing says what class a picture is.")
        return torch.softmax(features.z[0].double() @ self.head.weight.double().T + self.head.bias.double(), 0)

    def _verdict(self, name: str, run: Run, features: Features) -> Verdict:
        score = float(run.score(features)[0])
        return Verdict(name, score, float(percentile(self._inside[name], [score])[0]), self._thresholds[name])


def weights_of(pack: Path) -> Path:
    """Returns where the network of a pack lies: beside its folder, `NAME.classifier.safetensors`."""
    return pack.with_name(f"{pack.name}.classifier.safetensors")
