"""One picture of one's own: what the classifier takes it for, and what every detector of a pack makes of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .explain import Verdict
from .features import Features
from .images.classifier import fingerprint, load
from .images.datasets import Images
from .images.extract import EarlyLayer, Extractor, extract
from .metrics import threshold_keeping
from .pack import Pack
from .run import Run


@dataclass(frozen=True)
class Opinion:
    """What is made of a picture: pixels as the network sees them, class and its softmax probability, a verdict a detector."""

    pixels: NDArray[np.uint8]
    predicted: str
    probability: float
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, eq=False)
class FittedDetector:
    """A detector fitted to a pack, and its scores there.

    Args:
        run: the detector.
        inside: scores of the ID test set.
        calibration: scores of ID images that nothing was fitted to.
    """

    run: Run
    inside: NDArray[np.float64]
    calibration: NDArray[np.float64]

    @classmethod
    def of(cls, run: Run, pack: Pack) -> FittedDetector:
        return cls(run, run.score(pack.test), run.score(pack.calibration))

    def verdict(self, name: str, features: Features, keep: float) -> Verdict:
        """Returns what it says of one row of features; its threshold keeps a share of ID."""
        cut = threshold_keeping(self.calibration, keep)
        return Verdict.of(name, float(self.run.score(features)[0]), self.inside, cut)


class Judge:
    """A pack's network, ready for pictures, from any thread.

    Args:
        pack: with the network's fingerprint on its card.
        weights: the network that the pack was extracted with.

    Raises ValueError if the weights are another network's or cannot be read, or the pack has no head.
    """

    def __init__(self, pack: Pack, weights: Path, device: str = "cpu") -> None:
        network, architecture, _ = load(weights)
        described = pack.card.get("classifier", {})
        if fingerprint(network) != described.get("weights"):
            raise ValueError(
                f"{weights.name} is not the network that {pack.title} was extracted with."
            )
        if pack.train.head is None:
            raise ValueError(
                "the pack has no head (weight and bias), so nothing says what class a picture is."
            )
        self.classes = tuple(pack.card.get("classes", ())) or tuple(
            str(c) for c in range(architecture.classes)
        )
        self.extractor = Extractor(
            network,
            architecture,
            described.get("layer", ""),
            "std" in pack.train.views,
            "odin" in pack.train.views,
            pack.train.z.dtype,
            device,
            _early(pack),
        )
        self.head, self._one_at_a_time = (
            pack.train.head,
            threading.Lock(),
        )  # the extractor's hooks see every pass

    def __call__(
        self, pixels: NDArray[np.uint8], known: Mapping[str, FittedDetector], keep: float = 0.95
    ) -> Opinion:
        """Returns what is made of a picture.

        Args:
            pixels: (size, size, 3) RGB, as `decoding.read_image` gives them.
            known: {name: a detector of the same pack}.
            keep: the share of ID that thresholds keep.
        """
        images = Images("own", "picture", pixels[None], np.zeros(1, np.int64), self.classes)
        with self._one_at_a_time:
            features = replace(extract(self.extractor, images), y=None)
        probabilities = self.head.logits(features.z[0].double()).softmax(0)
        predicted = int(probabilities.argmax())
        verdicts = tuple(one.verdict(name, features, keep) for name, one in known.items())
        return Opinion(pixels, self.classes[predicted], float(probabilities[predicted]), verdicts)


def _early(pack: Pack) -> EarlyLayer | None:
    """Returns the earlier layer that the pack's view `early` is of, if it has that view."""
    layer = pack.card.get("classifier", {}).get("early")
    return (
        EarlyLayer.of(layer, pack.train.moments[f"unit {layer}"])
        if "early" in pack.train.views
        else None
    )


def weights_of(pack: Path) -> Path:
    """Returns where the network of a pack lies: beside its folder, `NAME.classifier.safetensors`."""
    return pack.with_name(f"{pack.name}.classifier.safetensors")
