"""A setting of a closed form, chosen at fit on ID images alone.

No OOD set comes here. A value is judged by how well the energy fitted with it tells held-out ID
images from destroyed ones, as `model_selection.criterion` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from heat_core.arguments import check_seed
from heat_core.energies import Energy, score
from heat_core.features import Features
from heat_core.images.pseudo import TWO_FAMILIES
from heat_core.metrics import auroc
from heat_core.pack import NO_EXTRA, ExtraID
from heat_core.splits import sample
from heat_core.threads import torch_threads
from heat_core.training.trainer import OnRecord, ignore

from .detector import Detector, Shape

HELD_OUT_ROWS = 1000  # of `val` that values are compared on, at most


@dataclass(frozen=True)
class Choosing(Detector):
    """A closed form of which one setting is chosen at fit, where it is None.

    The fitted energy has the value as a buffer of the setting's name. Where a pack has no held-out
    ID images or none that are destroyed, the value is the fallback.

    Attributes:
        setting: the name of the field.
        grid: the values that it may take, or what `candidates` makes them of; of equally good ones
            the first is taken.
        fallback: the value where nothing can be chosen.
    """

    setting: ClassVar[str]
    grid: ClassVar[tuple[float, ...]] = ()
    fallback: ClassVar[float] = 0.0

    @property
    def is_given(self) -> bool:
        """Whether the setting has a value, so that none is chosen."""
        return getattr(self, self.setting) is not None

    def value(self, shape: Shape) -> float:
        """Returns the setting as given, or its fallback on features of this shape."""
        return getattr(self, self.setting) if self.is_given else self.fallback_on(shape)

    def fallback_on(self, shape: Shape) -> float:
        """Returns the value on features of this shape where nothing can be chosen."""
        return self.fallback

    def candidates(self, train: Features) -> Sequence[float]:
        """Returns the values that the setting may take on these features, one at least."""
        return self.grid

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        check_seed(seed)
        self.blank(train)  # says what is wrong with the features before any work
        if self.is_given or extra.val is None or not can_choose(extra):
            return super().fit(train, seed, on_record, extra)
        judging = _Judging.of(sample(extra.val, HELD_OUT_ROWS), judging_families(extra))
        first, *others = self.candidates(train)
        with torch_threads(1):  # many small steps
            best = self.fit_with(first, train)
            most = judging.mean_auroc(best)
            for value in others:  # no more than two energies are held at a time
                energy = self.fit_with(value, train)
                area = judging.mean_auroc(energy)
                if area > most:
                    best, most = energy, area
        return best

    def fit_with(self, value: float, train: Features) -> Energy:
        """Returns the energy with a value of the setting, fitted to the features."""
        return replace(self, **{self.setting: value}).blank(train).fit(train)

    def chosen_settings(self, energy: Energy, shape: Shape) -> dict[str, float]:
        if self.is_given:
            return {}
        buffers = {name.rpartition(".")[2]: value for name, value in energy.named_buffers()}
        return {self.setting: float(buffers[self.setting])}


@dataclass(frozen=True, eq=False)
class _Judging:
    """The features that a setting is judged by, all in one array.

    Args:
        z: (N, d), held-out ID images first, then family by family.
        sizes: how many rows each of these has.
    """

    z: Tensor
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, held_out: Features, families: Mapping[str, Features]) -> Self:
        """Returns held-out ID images and families of destroyed ones as one array."""
        parts = [features.z for features in (held_out, *families.values())]
        return cls(torch.cat(parts), tuple(map(len, parts)))

    def mean_auroc(self, energy: Energy) -> float:
        """Returns the mean AUROC of held-out ID images against each family."""
        inside, *outside = np.split(score(energy, self.z), np.cumsum(self.sizes[:-1]))
        return float(np.mean([auroc(inside, family) for family in outside]))


def can_choose(extra: ExtraID) -> bool:
    """Returns whether there are held-out ID images, and destroyed ones, to choose a setting by."""
    return extra.val is not None and bool(judging_families(extra))


def choice_sentence(settings: Iterable[str], extra: ExtraID) -> str:
    """Returns which values settings have that were left open, in a sentence; nothing without any.

    Args:
        settings: each with its value, such as `SCALE percentile 65`.
        extra: what they were chosen by.

    >>> choice_sentence(["SCALE percentile 65"], NO_EXTRA)
    'By default, since there are no destroyed ID images to choose by: SCALE percentile 65.'
    """
    text = ", ".join(settings)
    if not text:
        return ""
    if can_choose(extra):
        return f"Chosen at fit, on ID data alone: {text}."
    return f"By default, since there are no destroyed ID images to choose by: {text}."


def judging_families(extra: ExtraID) -> dict[str, Features]:
    """Returns {name: destroyed held-out images} of the families that judge.

    Images destroyed in two ways contain every kind, so they take no part.
    """
    return {name: family for name, family in extra.pseudoval.items() if name != TWO_FAMILIES}
