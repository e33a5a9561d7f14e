"""The demo's story, computed beforehand so that nobody waits: `python -m app.demo.story` makes it. No Streamlit here."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from heat_core.pack import Pack
    from heat_core.thresholds import Outcome

ASSETS = Path(__file__).resolve().parents[2] / "assets"
PACK, PATH = ASSETS / "packs" / "cifar10-resnet18", ASSETS / "story.npz"
DETECTORS = ("MSP", "Energy", "MoG", "HEAT")
TOY, SIDE, POINTS = (
    "crosses9",
    100,
    400,
)  # what is drawn in the plane: its name, points a side, training points
SURE, COUNT = (
    0.9,
    12,
)  # pictures of which the classifier is at least so sure; how many of them are shown
LAYERS = ("truth", "prior", "correction")
HIGHEST = 1000.0  # nats, where the true density is zero


@dataclass(frozen=True, eq=False)
class Story:
    """What the demo shows.

    Args:
        about: `pack` (its title), `digest` (of its card), `recipes`, `kinds` ({set: what its pictures show, in a word}),
            `classes`, `trained_on` (points in the plane), `wrong` ({detector: share of probability in the wrong place}).
        axis, points: of the plane, (SIDE,) and (POINTS, 2).
        layers: {truth, prior, correction: (SIDE, SIDE) energies, the first axis y}.
        scores: {detector: {set: (n,) scores}} of the pack.
        pixels: (COUNT, 32, 32, 3) pictures that the classifier is sure of and has never seen the like of.
        of, rows, taken_for: their sets, their rows there, and the class that each is taken for.
    """

    about: Mapping[str, Any]
    axis: NDArray[np.float32]
    points: NDArray[np.float32]
    layers: Mapping[str, NDArray[np.float32]]
    scores: Mapping[str, Mapping[str, NDArray[np.float32]]]
    pixels: NDArray[np.uint8]
    of: Sequence[str]
    rows: NDArray[np.int64]
    taken_for: Sequence[str]

    @property
    def total(self) -> NDArray[np.float32]:
        """Prior and correction added up."""
        return self.layers["prior"] + self.layers["correction"]

    @property
    def strange(self) -> tuple[str, ...]:
        """The OOD sets."""
        return tuple(name for name in self.scores["MSP"] if name not in ("test", "val"))

    @cached_property
    def outcomes(self) -> Mapping[str, Outcome]:
        """{detector: what its line does that keeps 95 % of ID}, as the Threshold lab has it."""
        from heat_core.thresholds import KeepShare, by_group, choose_threshold, evaluate

        def at_the_line(scores: Mapping[str, NDArray[np.float32]]) -> Outcome:
            return evaluate(
                choose_threshold(KeepShare(), scores, ()),
                scores["test"],
                by_group(scores, self.strange),
            )

        return {name: at_the_line(scores) for name, scores in self.scores.items()}

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """(COUNT,) softmax probability of each picture's class."""
        return -self._of_pictures("MSP")

    def caught(self, detector: str) -> NDArray[np.bool]:
        """Returns which pictures lie above a detector's line, (COUNT,)."""
        return self._of_pictures(detector) > self.outcomes[detector].cut

    @property
    def sure(self) -> tuple[int, int]:
        """How many pictures of the sets that pictures are shown of the classifier is sure of, and of how many."""
        scores = np.concatenate([self.scores["MSP"][name] for name in self.about["kinds"]])
        return int(np.sum(-scores > SURE)), len(scores)

    def _of_pictures(self, detector: str) -> NDArray[np.float32]:
        return np.array(
            [self.scores[detector][name][row] for name, row in zip(self.of, self.rows, strict=True)]
        )


def make(folder: Path = PACK, kinds: Mapping[str, str] | None = None) -> Story:
    """Returns the story of a pack, computed anew: HEAT is trained in the plane and on the pack, about a minute.

    Args:
        kinds: {OOD set with thumbnails: what its pictures show}.
    """
    from heat_core.detectors.presets import preset_detector, space_of
    from heat_core.pack import read_pack
    from heat_core.run import fit, torch_threads
    from heat_core.scores import score_pack

    pack = read_pack(folder)
    kinds = kinds or {"far_fashion-mnist": "clothes", "far_mnist": "handwritten digits"}
    recipes = {name: preset_detector(name, "modern", space_of(pack.extra)) for name in DETECTORS}
    with torch_threads(1):
        fitted = {
            name: fit(detector, pack.train, 0, extra=pack.extra)
            for name, detector in recipes.items()
        }
        scores = {name: _single(score_pack(pack, run.score)) for name, run in fitted.items()}
        axis, points, layers, wrong = _plane()
    of, rows = picked(scores["MSP"], tuple(kinds))
    about = {
        "pack": pack.title,
        "digest": digest(folder),
        "kinds": kinds,
        "wrong": wrong,
        "trained_on": len(points),
        "recipes": described(pack),
        "classes": list(pack.card["classes"]),
    }
    pixels, taken_for = _pictures(pack, of, rows)
    return Story(about, axis, points[:POINTS], layers, scores, pixels, of, rows, taken_for)


def described(pack: Pack) -> dict[str, str]:
    """Returns {detector: its recipe}, and HEAT's in the plane: what the story was computed with."""
    from heat_core.detectors.presets import preset_detector, space_of

    recipes = {
        name: repr(preset_detector(name, "modern", space_of(pack.extra))) for name in DETECTORS
    }
    return recipes | {"plane": repr(preset_detector("HEAT", "modern", "plane"))}


def digest(folder: Path) -> str:
    """Returns what changes with a pack's card."""
    return hashlib.sha256((folder / "card.json").read_bytes()).hexdigest()


def picked(
    scores: Mapping[str, NDArray[np.float32]], names: Sequence[str]
) -> tuple[list[str], NDArray[np.int64]]:
    """Returns sets and rows of pictures that the classifier is sure of: every n-th, the surest first. No hand picks them.

    Args:
        scores: {set: (n,) MSP}.
        names: of the sets to look in.
    """
    place = [(name, row) for name in names for row in np.flatnonzero(-scores[name] > SURE)]
    surest = sorted(place, key=lambda at: float(scores[at[0]][at[1]]))
    shown = [surest[i] for i in np.linspace(0, len(surest) - 1, COUNT).round().astype(int)]
    return [name for name, _ in shown], np.array([row for _, row in shown], dtype=np.int64)


def _single(scores: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float32]]:
    return {name: values.astype(np.float32) for name, values in scores.items()}


def _plane() -> tuple[
    NDArray[np.float32], NDArray[np.float32], dict[str, NDArray[np.float32]], dict[str, float]
]:
    """Returns axis, training points, energies and {detector: total variation} of HEAT trained in the plane."""
    from heat_core.detectors.presets import preset_detector
    from heat_core.plane.grid import Grid
    from heat_core.plane.toys import toy
    from heat_core.run import fit

    truth = toy(TOY)
    train, coarse, fine = truth.features(), Grid(truth, SIDE), Grid(truth)
    energy = fit(preset_detector("HEAT", "modern", "plane"), train).energy
    exact = np.minimum(-coarse.truth, HIGHEST).reshape(SIDE, SIDE)
    layers = dict(zip(LAYERS, (exact, *map(coarse.energy, energy.terms())), strict=True))
    parts = [fine.energy(term) for term in energy.terms()]
    wrong = {"MoG": fine.distance(parts[0]).tv, "HEAT": fine.distance(parts[0] + parts[1]).tv}
    half = {name: layer.astype(np.float16).astype(np.float32) for name, layer in layers.items()}
    return coarse.axis.astype(np.float32), train.z.numpy(), half, wrong


def _pictures(
    pack: Pack, of: Sequence[str], rows: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], list[str]]:
    from heat_core.images.gallery import Gallery

    gallery, sets, head = Gallery(pack), dict(pack.sets()), pack.train.head
    assert head is not None
    places = list(zip(of, rows.tolist(), strict=True))
    pixels = np.concatenate([gallery.pixels(name, [row]) for name, row in places])
    logits = [head.logits(sets[name].z[row].double()) for name, row in places]
    return pixels, [pack.card["classes"][int(logit.argmax())] for logit in logits]


# -- on disk -----------------------------------------------------------------------------------------------------------


def write(story: Story, path: Path = PATH) -> None:
    """Writes a story, whole or not at all: an npz without pickle."""
    from heat_core.files import write_whole

    text = {"about": story.about, "of": list(story.of), "taken_for": list(story.taken_for)}
    arrays: dict[str, Any] = {
        "text": np.array(json.dumps(text)),
        "axis": story.axis,
        "points": story.points.astype(np.float16),
        "pixels": story.pixels,
        "rows": story.rows,
        **{f"layer/{name}": layer.astype(np.float16) for name, layer in story.layers.items()},
        **{
            f"score/{name}/{key}": values
            for name, sets in story.scores.items()
            for key, values in sets.items()
        },
    }
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_whole(path, content.getvalue())


def read(path: Path = PATH) -> Story:
    """Returns the story in a file. Raises ValueError, in one line, if there is none or it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            arrays = {key: found[key] for key in found.files}
        text = json.loads(str(arrays["text"]))
        scores: dict[str, dict[str, NDArray[np.float32]]] = {}
        for key in arrays:
            kind, _, rest = key.partition("/")
            if kind == "score":
                scores.setdefault(rest.partition("/")[0], {})[rest.partition("/")[2]] = arrays[key]
        return Story(
            text["about"],
            arrays["axis"],
            arrays["points"].astype(np.float32),
            {name: arrays[f"layer/{name}"].astype(np.float32) for name in LAYERS},
            scores,
            arrays["pixels"],
            text["of"],
            arrays["rows"],
            text["taken_for"],
        )
    except FileNotFoundError:
        raise ValueError(
            f"{path.name} is not there; `python -m app.demo.story` makes it."
        ) from None
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path.name} is damaged ({error}); `python -m app.demo.story` makes it anew."
        ) from None


if __name__ == "__main__":
    write(make())
    print(f"{PATH.name}: {PATH.stat().st_size:,} bytes")
