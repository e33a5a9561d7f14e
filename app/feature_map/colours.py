"""Pure: what colour and symbol each point of a map has, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.feature_map.rendering import SYMBOLS, Points
from app.feature_map.tables import title_on_map
from app.figures import GREY, set_colours
from app.pack.layout import Layout, Mask
from app.pack.metadata import OTHER, MetadataColours
from app.text import number_text
from heat_core.polygons import Point
from heat_core.texts import one_line

if TYPE_CHECKING:
    from heat_core.pack import Pack

Array = NDArray[np.float64]
Indices = NDArray[np.uint8]  # rows of a palette, or indices into SYMBOLS
LegendEntry = tuple[str, str, str]  # colour, symbol, text

TRAIN_COLOUR = "#56B4E9"
CLASS_COLOURS = (
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
SEQUENTIAL = ("#3b5fa8", "#6d7f9a", "#9a9a7f", "#c9b85a", "#f2d83a")  # reads on white and on black
DIVERGING = ("#0072B2", "#b4bac1", "#D55E00")
FLIP_COLOURS = ("#aab6c2", "#D55E00", "#0072B2", "#8a6fae")
FLIP_SYMBOLS = "●▲▼●"  # of rows that both accept, the second rejects, the first rejects, both
MAX_LABEL = 40  # characters of a name on the map
UNKNOWN_SYMBOL = "○"
SCALE_STEPS = 48  # colours of a scale
SCALE_QUANTILE = 0.99  # of (absolute) values, at the ends of a scale
MAX_NAMED_CLASSES = 20  # whose names are written on the map

# The first colours of every palette: nothing, a row that is not selected, a row without a value.
CLEAR = 0
FAINT = 1
PLAIN = 2
FIRST_COLOURS = ((0, 0, 0, 0), (138, 150, 163, 70), (138, 150, 163, 150))

NOT_SCORED: LegendEntry = (
    GREY,
    "●",
    "training images are not scored: the detectors were fitted to them",
)


@dataclass(frozen=True, eq=False)
class Colouring:
    """How points are drawn, and what that means.

    Args:
        colours: {set: rows of the palette (n,)}.
        symbols: {set: indices into `SYMBOLS` (n,)}.
        palette: (colours, 4) RGBA.
        title: what the colours mean.
        entries: of the legend.
        scale: colours of a scale, in order.
        ends: the texts at the ends of the scale.
        names: {text: (x, y)} to write on the map, fractions of it.
        background: {set: which rows are drawn below the others (n,)}; none where it has no set.
    """

    colours: Mapping[str, Indices]
    symbols: Mapping[str, Indices]
    palette: Indices
    title: str
    entries: tuple[LegendEntry, ...] = ()
    scale: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    names: Mapping[str, Point] = field(default_factory=dict)
    background: Mapping[str, Mask] = field(default_factory=dict)

    def points(
        self, layout: Layout, set_names: Sequence[str], masks: Mapping[str, Mask] | None
    ) -> Points:
        """Returns the points of sets to draw; rows that are not selected are faint.

        Args:
            masks: {set: which of its rows are selected (n,)}; None without a selection.
        """
        if not set_names:
            return Points.empty()
        faint = {name: _unselected(layout, name, masks) for name in set_names}
        colours = [np.where(faint[name], FAINT, self.colours[name]) for name in set_names]
        below = [faint[name] | self.background.get(name, False) for name in set_names]
        return Points(
            np.concatenate([layout.positions[name] for name in set_names]),
            np.concatenate(colours).astype(np.uint8),
            np.concatenate([self.symbols[name] for name in set_names]),
            np.concatenate(below),
        )


def _unselected(layout: Layout, name: str, masks: Mapping[str, Mask] | None) -> Mask:
    """Returns which rows of a set are not selected, (n,); none without a selection."""
    rows = len(layout.coordinates[name])
    if masks is None:
        return np.zeros(rows, bool)
    return ~masks[name] if name in masks else np.ones(rows, bool)


# -- what colours stand for ------------------------------------------------------------------------


def by_set(pack: Pack, layout: Layout, set_names: Sequence[str]) -> Colouring:
    """Returns one family of colours per group of sets, and a shade and a symbol per set.

    Args:
        set_names: that are shown; the legend has no others.
    """
    palette_colours = []
    colours = {}
    entries = []
    colour_by_set = {**set_colours(layout.coordinates), "train": TRAIN_COLOUR}
    for i, name in enumerate(layout.coordinates):
        colour = colour_by_set[name]
        palette_colours.append(colour)
        rows = len(layout.coordinates[name])
        colours[name] = np.full(rows, len(FIRST_COLOURS) + i, np.uint8)
        if name in set_names:
            entries.append((colour, SYMBOLS[i % len(SYMBOLS)], title_on_map(pack, name)))
    return Colouring(
        colours, _symbols_by_set(layout), _palette(palette_colours), "", tuple(entries)
    )


def by_class(pack: Pack, layout: Layout) -> Colouring:
    """Returns one colour and symbol per class of the ID images; OOD images have none."""
    labels = _labels(pack)
    classes = pack.train.classes.tolist()
    colours = _plain_colours(layout)
    symbols = {name: np.zeros(len(rows), np.uint8) for name, rows in layout.coordinates.items()}
    for name, set_labels in labels.items():
        class_index = np.searchsorted(classes, set_labels)
        in_turn = class_index % len(CLASS_COLOURS)
        colours[name] = (len(FIRST_COLOURS) + in_turn).astype(np.uint8)
        symbols[name] = (class_index % len(SYMBOLS)).astype(np.uint8)
    few_classes = len(classes) <= MAX_NAMED_CLASSES
    return Colouring(
        colours,
        symbols,
        _palette(CLASS_COLOURS),
        "",
        _class_entries(pack, classes),
        names=_class_medians(pack, layout, labels, classes) if few_classes else {},
    )


def _labels(pack: Pack) -> dict[str, NDArray[np.int64]]:
    """Returns {ID set: the class of each row (n,)} of the sets that have labels."""
    labels = {"train": pack.train.y, "test": pack.test.y}
    return {name: y.cpu().numpy() for name, y in labels.items() if y is not None}


def _class_entries(pack: Pack, classes: Sequence[int]) -> tuple[LegendEntry, ...]:
    entries = [
        (
            CLASS_COLOURS[i % len(CLASS_COLOURS)],
            SYMBOLS[i % len(SYMBOLS)],
            pack.class_name(label),
        )
        for i, label in enumerate(classes[:MAX_NAMED_CLASSES])
    ]
    unnamed = len(classes) - MAX_NAMED_CLASSES
    more = f"{unnamed:,} more classes, in turn; " if unnamed > 0 else ""
    return (*entries, (GREY, "●", f"{more}no class: OOD"))


def _class_medians(
    pack: Pack,
    layout: Layout,
    labels: Mapping[str, NDArray[np.int64]],
    classes: Sequence[int],
) -> dict[str, Point]:
    """Returns {name of a class, short enough for the map: the median of its positions}."""
    all_positions = np.concatenate([layout.positions[name] for name in labels])
    all_labels = np.concatenate(list(labels.values()))
    medians = {}
    for label in classes:
        x, y = np.median(all_positions[all_labels == label], axis=0)
        medians[one_line(pack.class_name(label), MAX_LABEL)] = (float(x), float(y))
    return medians


def by_value(layout: Layout, values: Mapping[str, Array], title: str, signed: bool) -> Colouring:
    """Returns a scale of colours.

    Args:
        values: {set: (n,)}; a set without values is grey.
        signed: whether values lie around zero, where the scale has its middle; its ends are the
            99 % quantile of the absolute values. Else they are fractions from 0 to 1.
    """
    values = {name: values[name] for name in layout.coordinates if name in values}
    low, high = _signed_range(values) if signed else (0.0, 1.0)
    anchors = DIVERGING if signed else SEQUENTIAL
    return Colouring(
        _scale_colours(layout, values, low, high),
        _symbols_by_set(layout),
        _palette(_interpolated(anchors, SCALE_STEPS)),
        title,
        (NOT_SCORED,),
        anchors,
        (number_text(low, 2), number_text(high, 2, "+")) if signed else ("0 %", "100 %"),
    )


def _scale_colours(
    layout: Layout, values: Mapping[str, Array], low: float, high: float
) -> dict[str, Indices]:
    """Returns {set: rows of the palette of a scale (n,)}; what has no value is grey."""
    colours = _plain_colours(layout)
    for name, set_values in values.items():
        fraction = np.clip((set_values - low) / (high - low), 0, 1)
        is_known = ~np.isnan(fraction)
        steps = np.round(np.where(is_known, fraction, 0) * (SCALE_STEPS - 1))
        colours[name] = np.where(is_known, len(FIRST_COLOURS) + steps, PLAIN).astype(np.uint8)
    return colours


def by_metadata(layout: Layout, metadata: MetadataColours, set_names: Sequence[str]) -> Colouring:
    """Returns a scale of colours for numbers and dates, or a colour and a symbol per category.

    Args:
        set_names: that are shown; the legend counts no others.
    """
    shown = [metadata.values[name] for name in set_names]
    unknown = sum(int(np.isnan(values).sum()) for values in shown)
    entries: list[LegendEntry] = []
    if metadata.categories:
        colours, symbols, palette = _category_colours(layout, metadata)
        entries = _category_entries(metadata, shown)
        scale, ends = (), ()
    else:
        low, high = _metadata_range(metadata)
        values = {name: metadata.values[name] for name in layout.coordinates}
        colours, symbols = _scale_colours(layout, values, low, high), _symbols_by_set(layout)
        palette, scale = _interpolated(SEQUENTIAL, SCALE_STEPS), SEQUENTIAL
        ends = metadata.number_text(low), metadata.number_text(high)
    if unknown:
        entries.append((GREY, UNKNOWN_SYMBOL, f"not known: {unknown:,}"))
    background = {name: _says_little(metadata, name) for name in layout.coordinates}
    return Colouring(
        colours,
        symbols,
        _palette(palette),
        metadata.column,
        tuple(entries),
        scale,
        ends,
        background=background,
    )


def _says_little(metadata: MetadataColours, name: str) -> Mask:
    """Returns which rows of a set are of no known value, or of one too rare for a colour, (n,)."""
    values = metadata.values[name]
    if metadata.categories[-1:] != (OTHER,):
        return np.isnan(values)
    return np.isnan(values) | (values == len(metadata.categories) - 1)


def _category_style(metadata: MetadataColours, place: int) -> tuple[str, str]:
    """Returns the colour and the symbol of a category; `other` is as grey as it says little."""
    is_other = place == len(metadata.categories) - 1 and metadata.categories[place] == OTHER
    colour = GREY if is_other else CLASS_COLOURS[place % len(CLASS_COLOURS)]
    return colour, SYMBOLS[place % (len(SYMBOLS) - 1)]  # the last is of what is not known


def _category_colours(
    layout: Layout, metadata: MetadataColours
) -> tuple[dict[str, Indices], dict[str, Indices], list[str]]:
    """Returns ({set: rows of the palette (n,)}, {set: indices into `SYMBOLS` (n,)}, palette)."""
    styles = [_category_style(metadata, place) for place in range(len(metadata.categories))]
    symbol_indices = np.array([SYMBOLS.index(symbol) for _, symbol in styles], np.uint8)
    colours, symbols = {}, {}
    for name in layout.coordinates:
        is_known = ~np.isnan(metadata.values[name])
        places = np.where(is_known, metadata.values[name], 0).astype(np.intp)
        colours[name] = np.where(is_known, len(FIRST_COLOURS) + places, PLAIN).astype(np.uint8)
        unknown_symbol = np.uint8(SYMBOLS.index(UNKNOWN_SYMBOL))
        symbols[name] = np.where(is_known, symbol_indices[places], unknown_symbol)
    return colours, symbols, [colour for colour, _ in styles]


def _category_entries(metadata: MetadataColours, shown: Sequence[Array]) -> list[LegendEntry]:
    """Returns an entry per category with its rows in the sets that are shown, (n,) each."""
    places = np.concatenate([*shown, np.zeros(0)])
    places = places[~np.isnan(places)].astype(np.int64)
    counts = np.bincount(places, minlength=len(metadata.categories)).tolist()
    return [
        (*_category_style(metadata, place), f"{one_line(text, MAX_LABEL)}: {counts[place]:,}")
        for place, text in enumerate(metadata.categories)
    ]


def _metadata_range(metadata: MetadataColours) -> tuple[float, float]:
    """Returns the ends of the scale of numbers: few lie beyond them."""
    if not len(metadata.known):
        return 0.0, 1.0
    low, high = np.quantile(metadata.known, [1 - SCALE_QUANTILE, SCALE_QUANTILE])
    return float(low), float(max(high, low + 1e-9 * max(abs(low), 1.0)))


def by_flip(
    layout: Layout,
    rejections: Mapping[str, tuple[Mask, Mask]],
    pair: tuple[str, str],
    set_names: Sequence[str],
) -> Colouring:
    """Returns a colour and a symbol for what becomes of a row when one detector follows another.

    Args:
        rejections: {set: (which rows the first rejects (n,), which the second rejects (n,))}; a set
            without them is grey.
        pair: names of the first and the second detector.
        set_names: that are shown; the legend counts no others.
    """
    colours = _plain_colours(layout)
    symbols = {name: np.zeros(len(rows), np.uint8) for name, rows in layout.coordinates.items()}
    background = {name: np.ones(len(rows), bool) for name, rows in layout.coordinates.items()}
    symbol_indices = np.array([SYMBOLS.index(symbol) for symbol in FLIP_SYMBOLS], np.uint8)
    counts = np.zeros(len(FLIP_COLOURS), np.int64)
    for name, (first, second) in rejections.items():
        outcome = second + 2 * first.astype(np.uint8)
        colours[name] = (len(FIRST_COLOURS) + outcome).astype(np.uint8)
        symbols[name] = symbol_indices[outcome]
        background[name] = first == second
        if name in set_names:
            counts += np.bincount(outcome, minlength=len(FLIP_COLOURS))
    first_name, second_name = pair
    meanings = (
        "both accept",
        f"{first_name} accepts, {second_name} rejects",
        f"{first_name} rejects, {second_name} accepts",
        "both reject",
    )
    entries = [
        (FLIP_COLOURS[i], FLIP_SYMBOLS[i], f"{meanings[i]}: {counts[i]:,}") for i in (1, 2, 0, 3)
    ]
    return Colouring(
        colours,
        symbols,
        _palette(FLIP_COLOURS),
        "",
        (*entries, NOT_SCORED) if "train" in set_names else tuple(entries),
        background=background,
    )


def _signed_range(values: Mapping[str, Array]) -> tuple[float, float]:
    """Returns the ends of a scale around zero."""
    magnitudes = [abs(set_values) for set_values in values.values()] or [np.ones(1)]
    high = max(float(np.quantile(np.concatenate(magnitudes), SCALE_QUANTILE)), 1e-9)
    return -high, high


def _plain_colours(layout: Layout) -> dict[str, Indices]:
    return {name: np.full(len(rows), PLAIN, np.uint8) for name, rows in layout.coordinates.items()}


def _symbols_by_set(layout: Layout) -> dict[str, Indices]:
    """Returns {set: its own symbol, of every row (n,)}."""
    return {
        name: np.full(len(rows), i % len(SYMBOLS), np.uint8)
        for i, (name, rows) in enumerate(layout.coordinates.items())
    }


# -- palettes --------------------------------------------------------------------------------------


def _palette(colours: Sequence[str]) -> Indices:
    """Returns the first colours of every palette and these, (colours, 4) RGBA."""
    return np.array([*FIRST_COLOURS, *((*_rgb(colour), 255) for colour in colours)], np.uint8)


def _interpolated(anchors: Sequence[str], count: int) -> tuple[str, ...]:
    """Returns colours at even steps from the first anchor to the last."""
    positions = np.linspace(0, len(anchors) - 1, count)
    anchor_positions = np.arange(len(anchors))
    rgb = np.array([_rgb(colour) for colour in anchors])
    channels = [
        np.interp(positions, anchor_positions, rgb[:, channel]).round().astype(int)
        for channel in range(3)
    ]
    return tuple(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in zip(*channels, strict=True))


def _rgb(colour: str) -> tuple[int, int, int]:
    """Returns the channels of a colour.

    >>> _rgb("#0072B2")
    (0, 114, 178)
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue
