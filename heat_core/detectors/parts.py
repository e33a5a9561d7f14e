"""Closed-form energies by name: the parts of HEAT's prior, and terms of `Composed`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from heat_core.energies import Energy, OnView, PrecomputedScore, WeightedSum
from heat_core.features import Features
from heat_core.pack import ExtraID
from heat_core.splits import sample

from .closed_form import KNN, EnergyLogits, MoG
from .detector import Detector, Normalizing, Shape

SCALE_ROWS = 4000  # training rows that set the parts' scales, where no other ID data is held out


@dataclass(frozen=True)
class PriorPart:
    """A closed-form energy of one view of the features.

    Args:
        title: what people call it.
        view: what it reads; `z` for the features themselves.
        detector: what builds it, of the view for z; None where the view is the score itself.
        needs: what the features must bring for it, in words without an article; nothing where z is
            enough.

    >>> PARTS["energy"].is_readable(Shape(dim=2, classes=3, rows=90, head=0))
    False
    """

    title: str
    view: str = "z"
    detector: Detector | None = None
    needs: str = ""

    def is_readable(self, shape: Shape) -> bool:
        """Returns whether features of a shape bring what it needs."""
        if self.view != "z":
            return self.view in shape.views
        return bool(shape.head) or not isinstance(self.detector, EnergyLogits)

    def unsupported_reason(self, shape: Shape, normalize: bool) -> str:
        """Returns why it cannot be fitted to features that bring what it needs, or nothing.

        Args:
            shape: of the features.
            normalize: as `build` takes it.
        """
        detector = self._detector_for(normalize)
        if detector is None:
            return ""
        return detector.unsupported_reason(replace(shape, dim=shape.width(self.view)))

    def build(self, shape: Shape, start: int, normalize: bool) -> Energy:
        """Returns the blank energy of the columns that it reads.

        Args:
            shape: of the features.
            start: the first column of the view in the energy's input.
            normalize: whether it sees v / ||v|| of a view v where it can, or v as it is.
        """
        width = shape.width(self.view)
        detector = self._detector_for(normalize)
        if detector is None:
            return OnView(PrecomputedScore(), self.view, start, width)
        return OnView(detector.build(replace(shape, dim=width)), self.view, start, width)

    def _detector_for(self, normalize: bool) -> Detector | None:
        """Returns the detector on v / ||v||, or on v as it is; None where the view is the score."""
        if isinstance(self.detector, Normalizing):
            return replace(self.detector, normalize=normalize)
        return self.detector


PARTS: Mapping[str, PriorPart] = {
    "mog": PriorPart("MoG", detector=MoG()),
    "std_view": PriorPart("MoG of the std view", "std", MoG(), needs="std-pooled view"),
    "energy": PriorPart(
        "Energy", detector=EnergyLogits(), needs="classifier's head (weight and bias)"
    ),
    "odin": PriorPart("ODIN", "odin", needs="score of ODIN"),
    "early_layer": PriorPart("early layer", "early", needs="score of an earlier layer"),
    "knn": PriorPart("KNN", detector=KNN()),
}
"""{name: part}: Gaussians on z and on the std-pooled view, the classifier's free energy, ODIN, the
Gaussians of an earlier layer's averages, and the distance to neighbours."""


def titles_of(names: Iterable[str]) -> str:
    """Returns the titles of parts, in words.

    >>> titles_of(["mog", "energy", "early_layer"])
    'MoG, Energy and early layer'
    """
    return in_words([PARTS[name].title for name in names])


def lack_of(needs: Sequence[str]) -> str:
    """Returns what is lacking, in words that follow `there is`.

    >>> lack_of(["std-pooled view", "score of ODIN"])
    'no std-pooled view and no score of ODIN'
    """
    return in_words([f"no {need}" for need in needs])


def in_words(items: Sequence[str]) -> str:
    """Returns items as a sentence has them: with commas, and an `and` before the last.

    >>> in_words(["a", "b", "c"]), in_words(["a"])
    ('a, b and c', 'a')
    """
    *others, last = items
    return f"{', '.join(others)} and {last}" if others else last


def check_parts(names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of a prior's parts as a tuple.

    Raises ValueError unless each is known and there once, and there is one at least.
    """
    if isinstance(names, str) or not names or len({*names} & {*PARTS}) < len(names):
        raise ValueError(
            f"the prior must be a tuple of some of {', '.join(PARTS)}, each once; got {names!r}."
        )
    return tuple(names)


def sum_of_parts(
    names: Sequence[str], shape: Shape, views: Sequence[str], normalize: bool
) -> Energy:
    """Returns the blank sum of parts on one scale; a single part is itself, on its own scale.

    Args:
        names: of the parts.
        shape: of the features.
        views: side by side in the energy's input.
        normalize: as `PriorPart.build` takes it.
    """
    starts = view_starts(shape, views)
    parts = [PARTS[name] for name in names]
    members = [part.build(shape, starts[part.view], normalize) for part in parts]
    return members[0] if len(members) == 1 else WeightedSum(members, [1.0] * len(members))


def members_of(energy: Energy) -> tuple[Energy, ...]:
    """Returns the parts of what `sum_of_parts` built, in order."""
    return energy.members if isinstance(energy, WeightedSum) else (energy,)


def view_starts(shape: Shape, views: Sequence[str]) -> dict[str, int]:
    """Returns the first column of each of several views side by side, {view: column}.

    >>> view_starts(Shape(dim=8, classes=2, rows=90, head=0, views={"std": 4}), ["z", "std"])
    {'z': 0, 'std': 8}
    """
    widths = [shape.width(view) for view in views]
    starts = list(accumulate(widths, initial=0))[:-1]
    return dict(zip(views, starts, strict=True))


def reference_features(train: Features, extra: ExtraID, seed: int) -> Features:
    """Returns the ID features that energies are put on one scale by.

    They are held-out ones where there are some, since nothing was fitted to those; else a sample of
    the training features.
    """
    return sample(train, SCALE_ROWS, seed) if extra.val is None else extra.val
