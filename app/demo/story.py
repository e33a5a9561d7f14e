"""The demo's story, computed beforehand so that nobody waits: `python -m app.demo.story`.

No Streamlit here.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.plane.training import Layer
from heat_core.scores import SetScores

if TYPE_CHECKING:
    from heat_core.detectors.detector import Detector
    from heat_core.pack import Pack
    from heat_core.thresholds import Outcome

ASSETS = Path(__file__).resolve().parents[2] / "assets"
PACK = ASSETS / "packs" / "cifar10-resnet18"
PATH = ASSETS / "story.npz"
DETECTORS = ("MSP", "Energy", "MoG", "HEAT-GMM", "HEAT")
TOY = "crosses9"
SIDE = 100  # points a side of what is drawn in the plane
POINTS = 400  # training points drawn there
CONFIDENCE = 0.9  # of the classifier, at least, in every image
IMAGES = 12
LAYERS = ("truth", "prior", "correction")
MAX_ENERGY = 1000.0  # nats, where the true density is zero
OOD_KINDS = {"far_fashion-mnist": "clothes", "far_mnist": "handwritten digits"}


@dataclass(frozen=True)
class StoryCard:
    """What the story was made of.

    Args:
        pack_title: of the pack.
        pack_digest: of the pack's card, as `digest` returns it.
        detectors: {detector: its settings, as text}, and HEAT's of the plane.
        prior: what HEAT's prior adds up on the pack, in words.
        kinds: {OOD set: what its images show}, of the sets that images come from.
        classes: of the classifier.
        training_points: in the plane.
        total_variation: {detector: of its model in the plane from the truth}.
    """

    pack_title: str
    pack_digest: str
    detectors: Mapping[str, str]
    prior: str
    kinds: Mapping[str, str]
    classes: Sequence[str]
    training_points: int
    total_variation: Mapping[str, float]


CARD_KEYS = {
    "pack_title": "pack",
    "pack_digest": "digest",
    "detectors": "recipes",
    "prior": "prior",
    "kinds": "kinds",
    "classes": "classes",
    "training_points": "trained_on",
    "total_variation": "wrong",
}
"""{field of a `StoryCard`: its key on disk}."""


@dataclass(frozen=True, eq=False)
class Story:
    """What the demo shows.

    Args:
        card: what it was made of.
        axis: (SIDE,) coordinates in the plane, the same in x and y.
        points: (POINTS, 2) training points in the plane.
        layers: {truth, prior, correction: (SIDE, SIDE) energies, the first axis y}.
        scores: {detector: its scores of the pack's sets}, float32.
        pixels: (IMAGES, 32, 32, 3) OOD images that the classifier is sure of.
        image_sets: (IMAGES,) the OOD set of each.
        rows: (IMAGES,) its row there.
        predicted: (IMAGES,) the class that it is taken for.
    """

    card: StoryCard
    axis: NDArray[np.float32]
    points: NDArray[np.float32]
    layers: Mapping[str, Layer]
    scores: Mapping[str, SetScores]
    pixels: NDArray[np.uint8]
    image_sets: Sequence[str]
    rows: NDArray[np.int64]
    predicted: Sequence[str]

    @property
    def total(self) -> Layer:
        """(SIDE, SIDE) prior and correction added up."""
        return self.layers["prior"] + self.layers["correction"]

    @cached_property
    def outcomes(self) -> Mapping[str, Outcome]:
        """{detector: outcome of its threshold that keeps 95 % of ID}, as in the Threshold lab."""
        from heat_core.thresholds import KeepShare, choose_threshold, evaluate

        outcomes = {}
        for name, scores in self.scores.items():
            decision = choose_threshold(KeepShare(), scores)
            outcomes[name] = evaluate(decision.threshold, scores.test, scores.ood())
        return outcomes

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """(IMAGES,) softmax probability of each image's predicted class."""
        return confidence(self._image_scores("MSP"))

    def out(self, detector: str) -> NDArray[np.bool]:
        """Returns a detector's verdicts: which images lie above its threshold, (IMAGES,)."""
        return self._image_scores(detector) > self.outcomes[detector].threshold

    @property
    def kind_scores(self) -> NDArray[np.float32]:
        """(n,) MSP of all images of the sets that images come from."""
        scores = [self.scores["MSP"][name] for name in self.card.kinds]
        return np.concatenate(scores, dtype=np.float32)

    @property
    def confident_count(self) -> int:
        """How many of them the classifier is sure of."""
        return int(np.sum(confidence(self.kind_scores) > CONFIDENCE))

    def _image_scores(self, detector: str) -> NDArray[np.float32]:
        scores = self.scores[detector]
        images = zip(self.image_sets, self.rows, strict=True)
        return np.array([scores[name][row] for name, row in images], dtype=np.float32)


def confidence(scores: NDArray[Any]) -> NDArray[Any]:
    """Returns the softmax probability of the predicted class, (n,), from scores of MSP (n,)."""
    return -np.expm1(scores)


# -- made from a pack


def make(folder: Path = PACK, kinds: Mapping[str, str] = OOD_KINDS) -> Story:
    """Returns the story of a pack, computed anew: it trains HEAT three times, about a minute.

    Args:
        folder: of the pack.
        kinds: {OOD set with thumbnails: what its images show}.
    """
    from heat_core.pack import read_pack
    from heat_core.threads import torch_threads

    pack = read_pack(folder)
    with torch_threads(1):
        scores = _pack_scores(pack)
        plane = train_plane()
    image_sets, rows = confident_images(scores["MSP"], tuple(kinds))
    pixels, predicted = images_of(pack, image_sets, rows)
    card = StoryCard(
        pack_title=pack.title,
        pack_digest=digest(folder),
        detectors=described(pack),
        prior=prior_of_heat(pack),
        kinds=kinds,
        classes=list(pack.card["classes"]),
        training_points=len(plane.points),
        total_variation=plane.total_variation,
    )
    points = plane.points[:POINTS]
    return Story(
        card, plane.axis, points, plane.layers, scores, pixels, image_sets, rows, predicted
    )


def story_detectors(pack: Pack) -> dict[str, Detector]:
    """Returns {name: detector} that the story compares on a pack."""
    from heat_core.detectors.presets import domain_of, preset_detector

    domain = domain_of(pack.extra)
    return {name: preset_detector(name, "modern", domain) for name in DETECTORS}


def described(pack: Pack) -> dict[str, str]:
    """Returns {detector: its settings, as text}, and HEAT's in the plane."""
    from heat_core.detectors.presets import preset_detector

    texts = {name: repr(detector) for name, detector in story_detectors(pack).items()}
    texts["plane"] = repr(preset_detector("HEAT", "modern", "plane"))
    return texts


def prior_of_heat(pack: Pack) -> str:
    """Returns what HEAT's prior adds up on a pack, in words."""
    from heat_core.detectors.detector import Shape
    from heat_core.detectors.parts import in_words
    from heat_core.detectors.presets import domain_of, preset_detector

    heat = preset_detector("HEAT", "modern", domain_of(pack.extra))
    return in_words(heat.prior_part_titles(Shape.of(pack.train)))


def digest(folder: Path) -> str:
    """Returns what changes with a pack's card."""
    return hashlib.sha256((folder / "card.json").read_bytes()).hexdigest()


def confident_images(
    scores: SetScores, set_names: Iterable[str]
) -> tuple[list[str], NDArray[np.int64]]:
    """Returns the sets and rows, (IMAGES,) each, of images that the classifier is sure of.

    They are every n-th of all such images, the surest first. Nobody picks them by hand.

    Args:
        scores: of MSP.
        set_names: of the sets to look in.
    """
    images = []
    for name in set_names:
        for row in np.flatnonzero(confidence(scores[name]) > CONFIDENCE):
            images.append((float(scores[name][row]), name, int(row)))
    images.sort(key=lambda image: image[0])
    positions = np.linspace(0, len(images) - 1, IMAGES).round().astype(int)
    selected = [images[position] for position in positions]
    rows = np.array([row for _, _, row in selected], dtype=np.int64)
    return [name for _, name, _ in selected], rows


def _pack_scores(pack: Pack) -> dict[str, SetScores]:
    """Returns {detector: its scores}, float32."""
    from heat_core.run import fit
    from heat_core.scores import score_pack

    scores = {}
    for name, detector in story_detectors(pack).items():
        run = fit(detector, pack.train, 0, extra=pack.extra)
        by_set: dict[str, NDArray[Any]] = {}
        for key, values in score_pack(pack, run.score).items():
            by_set[key] = values.astype(np.float32)
        scores[name] = SetScores(by_set)
    return scores


@dataclass(frozen=True, eq=False)
class PlaneTraining:
    """HEAT trained in the plane.

    Args:
        axis: (SIDE,) coordinates, the same in x and y.
        points: (n, 2) training points.
        layers: {truth, prior, correction: (SIDE, SIDE)}, as precise as on disk.
        total_variation: {detector: from the truth} of MoG and HEAT.
    """

    axis: NDArray[np.float32]
    points: NDArray[np.float32]
    layers: Mapping[str, Layer]
    total_variation: Mapping[str, float]


def train_plane() -> PlaneTraining:
    """Returns what comes out of training HEAT in the plane."""
    from heat_core.detectors.presets import preset_detector
    from heat_core.plane.grid import Grid
    from heat_core.plane.toys import toy
    from heat_core.run import fit

    the_toy = toy(TOY)
    coarse = Grid(the_toy, SIDE)
    fine = Grid(the_toy)
    train = the_toy.features()
    prior, correction = fit(preset_detector("HEAT", "modern", "plane"), train).energy.addends()

    true_energy = np.minimum(-coarse.true_log_prob, MAX_ENERGY).reshape(SIDE, SIDE)
    energies = true_energy, coarse.evaluate(prior), coarse.evaluate(correction)
    layers = {}
    for name, energy in zip(LAYERS, energies, strict=True):
        layers[name] = energy.astype(np.float16).astype(np.float32)

    fine_prior = fine.evaluate(prior)
    total_variation = {
        "MoG": fine.distance(fine_prior).tv,
        "HEAT": fine.distance(fine_prior + fine.evaluate(correction)).tv,
    }
    return PlaneTraining(coarse.axis.astype(np.float32), train.z.numpy(), layers, total_variation)


def images_of(
    pack: Pack, image_sets: Sequence[str], rows: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], list[str]]:
    """Returns pixels (n, 32, 32, 3) and predicted classes (n,) of rows (n,) of sets (n,)."""
    from heat_core.images.gallery import Gallery

    gallery = Gallery(pack)
    features = dict(pack.sets())
    head = pack.train.head
    assert head is not None
    pixels = []
    predicted = []
    for name, row in zip(image_sets, rows.tolist(), strict=True):
        pixels.append(gallery.pixels(name, [row]))
        logits = head.logits(features[name].z[row].double())
        predicted.append(pack.card["classes"][int(logits.argmax())])
    return np.concatenate(pixels), predicted


# -- on disk


def write(story: Story, path: Path = PATH) -> None:
    """Writes a story, whole or not at all: an npz without pickle."""
    from heat_core.files import write_whole

    card = {key: getattr(story.card, field) for field, key in CARD_KEYS.items()}
    text = {"about": card, "of": list(story.image_sets), "taken_for": list(story.predicted)}
    arrays: dict[str, Any] = {
        "text": np.array(json.dumps(text)),
        "axis": story.axis,
        "points": story.points.astype(np.float16),
        "pixels": story.pixels,
        "rows": story.rows,
    }
    for name, layer in story.layers.items():
        arrays[f"layer/{name}"] = layer.astype(np.float16)
    for detector, scores in story.scores.items():
        for name, values in scores.items():
            arrays[f"score/{detector}/{name}"] = values
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_whole(path, content.getvalue())


def read(path: Path = PATH) -> Story:
    """Returns the story in a file.

    Raises:
        ValueError: there is none, or it is damaged; in one line.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        return _story(arrays)
    except FileNotFoundError:
        raise ValueError(
            f"{path.name} is not there; `python -m app.demo.story` makes it."
        ) from None
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path.name} is damaged ({error}); `python -m app.demo.story` makes it anew."
        ) from None


def _story(arrays: Mapping[str, NDArray]) -> Story:
    """Returns the story of the arrays of a file."""
    text = json.loads(str(arrays["text"]))
    card = StoryCard(**{field: text["about"][key] for field, key in CARD_KEYS.items()})
    scores: dict[str, dict[str, NDArray]] = {}
    for key, values in arrays.items():
        if key.startswith("score/"):
            _, detector, name = key.split("/", 2)
            scores.setdefault(detector, {})[name] = values
    return Story(
        card,
        axis=arrays["axis"],
        points=arrays["points"].astype(np.float32),
        layers={name: arrays[f"layer/{name}"].astype(np.float32) for name in LAYERS},
        scores={detector: SetScores(by_set) for detector, by_set in scores.items()},
        pixels=arrays["pixels"],
        image_sets=text["of"],
        rows=arrays["rows"],
        predicted=text["taken_for"],
    )


if __name__ == "__main__":
    write(make())
    print(f"{PATH.name}: {PATH.stat().st_size:,} bytes")
