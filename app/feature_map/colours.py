"""Pure: what colour and shape each point of a map has, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.feature_map.drawing import SHAPES, Points
from app.figures import COLOURS
from app.pack.layout import Layout, Mask

if TYPE_CHECKING:
    from heat_core.pack import Pack

Array = NDArray[np.float64]
Whole = NDArray[np.uint8]

TRAIN = "#56B4E9"
CLASSES = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#999933",
    "#AA4499",
    "#44AA99",
    "#BB5566",
)
RISING = ("#3b5fa8", "#6d7f9a", "#9a9a7f", "#c9b85a", "#f2d83a")  # legible on white and on black
SIGNED = ("#0072B2", "#b4bac1", "#D55E00")
LEVELS = 48  # of a scale of colours
NAMED = 20  # classes at most whose names are written on the map
CLEAR, FAINT, PLAIN = (
    0,
    1,
    2,
)  # the first rows of every palette: nothing, not selected, without a value
FIRST = [(0, 0, 0, 0), (138, 150, 163, 70), (138, 150, 163, 150)]


@dataclass(frozen=True, eq=False)
class Colouring:
    """How points are drawn.

    Args:
        colours: {name of a set: rows of the palette (n,)}.
        shapes: {name of a set: places in `SHAPES` (n,)}.
        palette: (colours, 4) RGBA.
        title: what the colours mean.
        entries: (colour, shape, text) of the legend.
        scale: colours of a scale, in order, and `ends` the texts at its ends.
        names: {text: (x, y)} to write on the map, fractions of it.
    """

    colours: Mapping[str, Whole]
    shapes: Mapping[str, Whole]
    palette: Whole
    title: str
    entries: tuple[tuple[str, str, str], ...] = ()
    scale: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    names: Mapping[str, tuple[float, float]] | None = None

    def points(
        self, layout: Layout, shown: Sequence[str], chosen: Mapping[str, Mask] | None
    ) -> Points:
        """Returns the points of the sets that are shown; what is not chosen is faint, if anything is chosen.

        Args:
            chosen: {name of a set: mask of its rows}; None if everything is.
        """
        nothing = {name: np.zeros(len(layout.spots[name]), bool) for name in shown}
        faint = [
            ~(chosen.get(name, nothing[name])) if chosen is not None else nothing[name]
            for name in shown
        ]
        colours = [
            np.where(dim, FAINT, self.colours[name]) for name, dim in zip(shown, faint, strict=True)
        ]
        if not shown:
            return Points(
                np.zeros((0, 2), np.float32),
                np.zeros(0, np.uint8),
                np.zeros(0, np.uint8),
                np.zeros(0, bool),
            )
        return Points(
            np.concatenate([layout.spots[name] for name in shown]),
            np.concatenate(colours).astype(np.uint8),
            np.concatenate([self.shapes[name] for name in shown]),
            np.concatenate(faint),
        )


def by_set(pack: Pack, layout: Layout, shown: Sequence[str]) -> Colouring:
    """Returns a colour a group of sets, and a shape a set; the legend has those that are shown."""
    names = list(layout.places)
    inks = [
        TRAIN if name == "train" else COLOURS.get(name.partition("_")[0], COLOURS["ID"])
        for name in names
    ]
    colours = {
        name: np.full(len(layout.places[name]), len(FIRST) + i, np.uint8)
        for i, name in enumerate(names)
    }
    every = enumerate(zip(inks, names, strict=True))
    entries = tuple(
        (ink, SHAPES[i % len(SHAPES)], set_title(pack, name))
        for i, (ink, name) in every
        if name in shown
    )
    return Colouring(colours, _set_shapes(layout), _palette(inks), "", entries)


def by_class(pack: Pack, layout: Layout) -> Colouring:
    """Returns a colour and a shape a class of the ID images; OOD images have none."""
    labels = {"train": pack.train.y, "test": pack.test.y}
    known = {name: y.cpu().numpy() for name, y in labels.items() if y is not None}
    classes = pack.train.classes.tolist()
    plain = {name: np.full(len(places), PLAIN, np.uint8) for name, places in layout.places.items()}
    rows = {name: np.searchsorted(classes, y) for name, y in known.items()}
    colours = plain | {
        name: (len(FIRST) + row % len(CLASSES)).astype(np.uint8) for name, row in rows.items()
    }
    shapes = {name: np.zeros(len(places), np.uint8) for name, places in layout.places.items()}
    shapes |= {name: (row % len(SHAPES)).astype(np.uint8) for name, row in rows.items()}
    entries = tuple(
        (CLASSES[i % len(CLASSES)], SHAPES[i % len(SHAPES)], pack.class_name(label))
        for i, label in enumerate(classes[:NAMED])
    )
    more = f"{len(classes) - NAMED:,} more classes, in turn; " if len(classes) > NAMED else ""
    entries = (*entries, ("#8a96a3", "●", f"{more}no class: OOD"))
    names = _middles(pack, layout, known, classes) if len(classes) <= NAMED else {}
    return Colouring(colours, shapes, _palette(CLASSES), "", entries, names=names)


def _middles(
    pack: Pack, layout: Layout, known: Mapping[str, NDArray], classes: Sequence[int]
) -> dict:
    """Returns {name of a class: the median of its spots}."""
    spots = np.concatenate([layout.spots[name] for name in known])
    labels = np.concatenate(list(known.values()))
    middles = {label: np.median(spots[labels == label], axis=0) for label in classes}
    return {pack.class_name(label): (float(x), float(y)) for label, (x, y) in middles.items()}


def by_value(layout: Layout, values: Mapping[str, Array], title: str, signed: bool) -> Colouring:
    """Returns a scale of colours.

    Args:
        values: {name of a set: (n,)}; a set without is grey. Fractions from 0 to 1, or `signed`: around zero, where the
            scale has its middle; its ends are the 99 % quantile of the absolute values.
    """
    anchors, low, high = (SIGNED if signed else RISING), 0.0, 1.0
    if signed:
        everything = np.concatenate(
            [abs(values[name]) for name in layout.places if name in values] or [np.ones(1)]
        )
        high = max(float(np.quantile(everything, 0.99)), 1e-9)
        low = -high
    scale = _between(anchors, LEVELS)
    colours = {
        name: np.full(len(places), PLAIN, np.uint8) for name, places in layout.places.items()
    }
    for name in (name for name in layout.places if name in values):
        share = np.clip((values[name] - low) / (high - low), 0, 1)
        colours[name] = (len(FIRST) + np.round(share * (LEVELS - 1))).astype(np.uint8)
    ends = (f"{low:.2f}", f"+{high:.2f}") if signed else ("0 %", "100 %")
    grey = (("#8a96a3", "●", "training images are not scored: the detectors were fitted to them"),)
    return Colouring(colours, _set_shapes(layout), _palette(scale), title, grey, anchors, ends)


def set_title(pack: Pack, name: str) -> str:
    """Returns what a set is called where ID sets stand beside each other."""
    suffix = {"train": " training", "test": " test"}.get(name, "")
    return f"{pack.set_title(name)}{suffix}" if pack.set_title(name) != name else name


def _set_shapes(layout: Layout) -> dict[str, Whole]:
    return {
        name: np.full(len(places), i % len(SHAPES), np.uint8)
        for i, (name, places) in enumerate(layout.places.items())
    }


def _palette(inks: Sequence[str]) -> Whole:
    return np.array([*FIRST, *((*_rgb(ink), 255) for ink in inks)], np.uint8)


def _between(anchors: Sequence[str], count: int) -> tuple[str, ...]:
    """Returns colours at even steps from the first anchor to the last."""
    at, stops = np.linspace(0, len(anchors) - 1, count), np.arange(len(anchors))
    channels = [
        np.interp(at, stops, [_rgb(ink)[i] for ink in anchors]).round().astype(int)
        for i in range(3)
    ]
    return tuple(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in zip(*channels, strict=True))


def _rgb(ink: str) -> tuple[int, int, int]:
    red, green, blue = (int(ink[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue
