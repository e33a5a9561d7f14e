"""An image of one's own: the class it is taken for, and every detector's verdict on it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .explain import Verdict
from .features import Features
from .images.datasets import Images
from .images.extract import extract
from .images.pack_network import extractor_of
from .metrics import threshold_keeping
from .pack import Pack
from .run import Run

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Opinion:
    """What the classifier and the detectors make of an image.

    Args:
        pixels: (size, size, 3) RGB, as the network sees them.
        predicted: the class it is taken for.
        probability: of that class, by the classifier's softmax.
        verdicts: one per detector.
    """

    pixels: Pixels
    predicted: str
    probability: float
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, eq=False)
class ScoredRun:
    """A run, and the scores of its pack's ID sets: what a verdict takes.

    Args:
        run: a detector fitted to the pack.
        test_scores: of the ID test set, (n,).
        calibration_scores: of ID images that nothing was fitted to, (m,).

    >>> import torch
    >>> from heat_core.detectors.closed_form import MoG
    >>> from heat_core.run import fit
    >>> run = fit(MoG(normalize=False), Features(torch.tensor([[-1.0], [1.0]])))
    >>> scored_run = ScoredRun(run, np.array([0.9, 1.0, 1.1]), np.array([0.9, 1.0]))
    >>> scored_run.verdict("MoG", Features(torch.tensor([[2.0]])), share=0.5).out
    True
    """

    run: Run
    test_scores: Array
    calibration_scores: Array

    @classmethod
    def of(cls, run: Run, pack: Pack) -> Self:
        """Returns a run with its scores on the pack that it was fitted to."""
        return cls(run, run.score(pack.test), run.score(pack.calibration))

    def verdict(self, name: str, features: Features, share: float) -> Verdict:
        """Returns the verdict on one row of features, whose z is (1, d).

        Args:
            name: of the detector.
            features: the row.
            share: of the calibration scores that the threshold keeps.
        """
        threshold = threshold_keeping(self.calibration_scores, share)
        score = float(self.run.score(features)[0])
        return Verdict.of(name, score, self.test_scores, threshold)


class Judge:
    """A pack's network, ready for images, from any thread.

    Args:
        pack: with the network's fingerprint on its card.
        weights: the network that the pack was extracted with.
        device: where the network runs.

    Images are read as the card says that the pack's images were: with their mirror images or
    without.

    Raises ValueError if the weights are another network's or cannot be read, the pack has no head,
    or it does not say of which layer its view `early` is.
    """

    def __init__(self, pack: Pack, weights: Path, device: str = "cpu") -> None:
        self.extractor = extractor_of(pack, weights, device)
        if pack.train.head is None:
            raise ValueError(
                "the pack has no head (weight and bias), so nothing says what class an image is."
            )
        self.head = pack.train.head
        numbers = tuple(str(number) for number in range(self.extractor.architecture.classes))
        self.classes = tuple(pack.card.get("classes", ())) or numbers
        self._lock = threading.Lock()  # the extractor's hooks see every pass

    def __call__(
        self, pixels: Pixels, scored_runs: Mapping[str, ScoredRun], share: float = 0.95
    ) -> Opinion:
        """Returns what is made of an image.

        Args:
            pixels: (size, size, 3) RGB, as `decoding.read_image` gives them.
            scored_runs: {name of the detector: its run on the same pack}.
            share: of ID that thresholds keep.
        """
        features = self.features(pixels)
        probabilities = self.head.logits(features.z[0].double()).softmax(0)
        predicted = int(probabilities.argmax())
        verdicts = tuple(
            scored_run.verdict(name, features, share) for name, scored_run in scored_runs.items()
        )
        return Opinion(pixels, self.classes[predicted], float(probabilities[predicted]), verdicts)

    def features(self, pixels: Pixels) -> Features:
        """Returns what the network sees of an image: z (1, d), and the views that the pack has.

        Args:
            pixels: (size, size, 3) RGB, as `decoding.read_image` gives them.
        """
        images = Images("own", "image", pixels[None], np.zeros(1, np.int64), self.classes)
        with self._lock:
            return replace(extract(self.extractor, images), y=None)


def classifier_file(pack: Path) -> Path:
    """Returns where the network of a pack lies: beside its folder, `NAME.classifier.safetensors`.

    >>> classifier_file(Path("packs/cifar10")).name
    'cifar10.classifier.safetensors'
    """
    return pack.with_name(f"{pack.name}.classifier.safetensors")
