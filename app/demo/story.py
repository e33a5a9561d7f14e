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
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.plane.training import Layer
from heat_core.scores import SetScores

if TYPE_CHECKING:
    from heat_core.detectors.detector import Detector
    from heat_core.images.gallery import Gallery
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
class Example:
    """An input and what the classifier says of it.

    Args:
        set_name: its set.
        row: which row of it.
        predicted: the class that it is taken for.
        pixels: (32, 32, 3), where its image is at hand.
    """

    set_name: str
    row: int
    predicted: str
    pixels: NDArray[np.uint8] | None


@dataclass(frozen=True, eq=False)
class Story:
    """What the demo shows.

    Args:
        card: what it was made of.
        axis: (SIDE,) coordinates in the plane, the same in x and y.
        points: (POINTS, 2) training points in the plane.
        layers: {truth, prior, correction: (SIDE, SIDE) energies, the first axis y}.
        scores: {detector: its scores of the pack's sets}, float32; what is not ready is left out.
        strange: OOD inputs that the classifier is sure of, the surest first; none without a head.
        familiar: to each of them an ID test input of the class that it is taken for, or None.
    """

    card: StoryCard
    axis: NDArray[np.float32]
    points: NDArray[np.float32]
    layers: Mapping[str, Layer]
    scores: Mapping[str, SetScores]
    strange: Sequence[Example]
    familiar: Sequence[Example | None]

    @property
    def line_detector(self) -> str:
        """The detector whose line is dragged: the best of those that are ready; or nothing."""
        ready = [name for name in DETECTORS if name in self.scores]
        return ready[-1] if ready else ""

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

    def confidence_of(self, example: Example) -> float:
        """Returns the softmax probability of an example's predicted class."""
        return float(confidence(self.scores["MSP"][example.set_name][example.row]))

    @property
    def kind_scores(self) -> NDArray[np.float32]:
        """(n,) MSP of all inputs of the sets that examples come from."""
        scores = [self.scores["MSP"][name] for name in self.card.kinds]
        return np.concatenate(scores, dtype=np.float32)

    @property
    def confident_count(self) -> int:
        """How many of them the classifier is sure of."""
        return int(np.sum(confidence(self.kind_scores) > CONFIDENCE))


def confidence(scores: NDArray[Any]) -> NDArray[Any]:
    """Returns the softmax probability of the predicted class, from scores of MSP; same shape."""
    return -np.expm1(scores)


# -- made from a pack


def make(folder: Path = PACK, kinds: Mapping[str, str] = OOD_KINDS) -> Story:
    """Returns the story of a pack, computed anew: it trains HEAT three times, about a minute.

    Args:
        folder: of the pack.
        kinds: {OOD set with thumbnails: what its images show}.
    """
    from heat_core.images.gallery import Gallery
    from heat_core.pack import read_pack
    from heat_core.threads import torch_threads

    pack = read_pack(folder)
    with torch_threads(1):
        scores = _pack_scores(pack)
        plane = train_plane()
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
    strange, familiar = find_examples(pack, Gallery(pack), scores["MSP"], kinds)
    points = plane.points[:POINTS]
    return Story(card, plane.axis, points, plane.layers, scores, strange, familiar)


def story_of(
    pack: Pack, gallery: Gallery, scores: Mapping[str, SetScores], shipped: Story
) -> Story:
    """Returns the story of any pack, told with the scores that are ready.

    Args:
        gallery: of the pack's images.
        scores: {detector: its scores of the pack's sets}.
        shipped: the story that the plane is taken from; it is the same for every pack.
    """
    names = [str(name) for name in pack.ood]
    shown = [name for name in names if gallery.has(name)] or names
    kinds = {name: pack.title_of(name) for name in shown}
    has_head = pack.train.head is not None
    card = replace(
        shipped.card,
        pack_title=pack.title,
        pack_digest="",
        detectors={},
        prior=prior_of_heat(pack),
        kinds=kinds,
        classes=_class_names(pack) if has_head else [],
    )
    strange: Sequence[Example] = ()
    familiar: Sequence[Example | None] = ()
    if has_head and names and "MSP" in scores:
        strange, familiar = find_examples(pack, gallery, scores["MSP"], kinds)
    told = {name: scores[name] for name in DETECTORS if name in scores}
    return replace(shipped, card=card, scores=told, strange=strange, familiar=familiar)


def is_story_of(story: Story, pack: Pack) -> bool:
    """Returns whether a story can be of a pack: of this title, with as many rows a set."""
    rows = {name: len(scores) for name, scores in story.scores["MSP"].items()}
    sizes = {name: len(features) for name, features in pack.sets() if name in rows}
    return (story.card.pack_title, rows) == (pack.title, sizes)


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
    from heat_core.detectors.presets import PRESETS, domain_of

    heat = PRESETS[domain_of(pack.extra)]["modern"]["HEAT"]
    return in_words(heat.prior_part_titles(Shape.of(pack.train)))


def digest(folder: Path) -> str:
    """Returns what changes with a pack's card."""
    return hashlib.sha256((folder / "card.json").read_bytes()).hexdigest()


def find_examples(
    pack: Pack, gallery: Gallery, scores: SetScores, set_names: Iterable[str]
) -> tuple[list[Example], list[Example | None]]:
    """Returns OOD inputs that the classifier is sure of, and familiar ones for contrast.

    A familiar one is a test input of the class that the strange one is taken for, rightly
    classified, and about as sure; None where there is none.

    Args:
        scores: of MSP.
        set_names: of the OOD sets to look in.
    """
    strange_rows = confident_rows(scores, set_names)
    predicted = {name: _predicted(pack, name) for name in {"test", *dict(strange_rows)}}
    test_confidence = confidence(scores.test)
    is_right = np.ones(len(test_confidence), bool)
    if pack.test.y is not None:
        is_right = pack.test.y.numpy() == predicted["test"]
    strange, familiar = [], []
    used: set[int] = set()
    for name, row in strange_rows:
        label = predicted[name][row]
        candidates = np.flatnonzero(is_right & (predicted["test"] == label))
        candidates = candidates[~np.isin(candidates, list(used))]
        strange.append(_example(pack, gallery, name, row, label))
        if not candidates.size:
            familiar.append(None)
            continue
        apart = np.abs(test_confidence[candidates] - confidence(scores[name][row]))
        nearest = int(candidates[apart.argmin()])
        used.add(nearest)
        familiar.append(_example(pack, gallery, "test", nearest, label))
    return strange, familiar


def confident_rows(scores: SetScores, set_names: Iterable[str]) -> list[tuple[str, int]]:
    """Returns (set, row), up to IMAGES of them, of inputs that the classifier is sure of.

    They are every n-th of all such inputs, the surest first. Nobody picks them by hand. Where it is
    sure of none they are those that it is surest of.

    Args:
        scores: of MSP.
        set_names: of the sets to look in.
    """
    rows = [
        (float(score), name, row) for name in set_names for row, score in enumerate(scores[name])
    ]
    rows.sort(key=lambda row: row[0])
    is_sure = confidence(np.array([score for score, _, _ in rows], np.float32)) > CONFIDENCE
    among = rows[: is_sure.sum()] or rows[:IMAGES]
    count = min(IMAGES, len(among))
    positions = np.linspace(0, len(among) - 1, count).round().astype(int)
    return [among[position][1:] for position in positions]


def _predicted(pack: Pack, name: str) -> NDArray[np.int64]:
    """Returns the class that the classifier takes each row of a set for, (n,)."""
    head = pack.train.head
    assert head is not None
    return head.logits(dict(pack.sets())[name].z.double()).argmax(1).numpy()


def _example(pack: Pack, gallery: Gallery, name: str, row: int, label: int) -> Example:
    try:
        pixels = gallery.pixels(name, [row])[0]
    except (LookupError, ValueError):
        pixels = None
    return Example(name, row, pack.class_name(int(label)), pixels)


def _class_names(pack: Pack) -> list[str]:
    """Returns the names of the classes that the classifier knows."""
    head = pack.train.head
    assert head is not None
    return [pack.class_name(label) for label in range(len(head.weight))]


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


# -- on disk


def write(story: Story, path: Path = PATH) -> None:
    """Writes a story, whole or not at all: an npz without pickle.

    Raises:
        ValueError: an example has no image.
    """
    from heat_core.files import write_whole

    card = {key: getattr(story.card, field) for field, key in CARD_KEYS.items()}
    familiar = [example for example in story.familiar if example is not None]
    examples = [*story.strange, *familiar]
    pixels = [example.pixels for example in examples if example.pixels is not None]
    if len(pixels) < len(examples):
        raise ValueError(f"wanted an image of {len(examples)} examples, got {len(pixels)}.")
    text = {
        "about": card,
        "of": [example.set_name for example in examples],
        "taken_for": [example.predicted for example in examples],
        "contrasts": [i for i, example in enumerate(story.familiar) if example is not None],
    }
    arrays: dict[str, Any] = {
        "text": np.array(json.dumps(text)),
        "axis": story.axis,
        "points": story.points.astype(np.float16),
        "pixels": np.stack(pixels),
        "rows": np.array([example.row for example in examples]),
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
    values = zip(text["of"], arrays["rows"].tolist(), text["taken_for"], strict=True)
    examples = [
        Example(*value, pixels) for value, pixels in zip(values, arrays["pixels"], strict=True)
    ]
    count = len(examples) - len(text["contrasts"])
    contrasts = dict(zip(text["contrasts"], examples[count:], strict=True))
    return Story(
        card,
        axis=arrays["axis"],
        points=arrays["points"].astype(np.float32),
        layers={name: arrays[f"layer/{name}"].astype(np.float32) for name in LAYERS},
        scores={detector: SetScores(by_set) for detector, by_set in scores.items()},
        strange=examples[:count],
        familiar=[contrasts.get(i) for i in range(count)],
    )


if __name__ == "__main__":
    write(make())
    print(f"{PATH.name}: {PATH.stat().st_size:,} bytes")
