"""Scores of the sets of a pack by one detector. Larger is more out-of-distribution."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .features import Features
    from .pack import Pack

Array = NDArray[np.float64]


class SetName(NamedTuple):
    """The name of an OOD set or of a pseudo-OOD family: its group and its own name.

    As text it is `near_cifar100`.

    >>> str(SetName("near", "cifar100")), SetName.parse("far_fashion-mnist")
    ('near_cifar100', SetName(group='far', name='fashion-mnist'))
    """

    group: str
    name: str

    def __str__(self) -> str:
        return f"{self.group}_{self.name}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Returns the name of a text; the group is what stands before the first underscore."""
        group, _, name = text.partition("_")
        return cls(group, name)


class SetScores(Mapping[str, Array]):
    """The scores of one detector: {set: (n,) scores}, with names for what the sets are for.

    `test` is the ID test set, `val` held-out ID where there is some; all others are OOD sets named `GROUP_NAME`.

    Args:
        scores: {set: (n,)}; `test` must be among them.

    Raises ValueError without scores of `test`.

    >>> scores = SetScores({"test": np.array([0.1]), "near_a": np.array([1.0]), "far_b": np.array([2.0])})
    >>> scores.ood(["near_a", "far_b"])
    {'near': {'a': array([1.])}, 'far': {'b': array([2.])}}
    """

    def __init__(self, scores: Mapping[str, Array]) -> None:
        if "test" not in scores:
            raise ValueError(f"wanted scores of the set test, got {', '.join(scores) or 'none'}.")
        self._scores = dict(scores)

    def __getitem__(self, name: str) -> Array:
        return self._scores[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._scores)

    def __len__(self) -> int:
        return len(self._scores)

    @property
    def test(self) -> Array:
        """(n,) scores of the ID test set."""
        return self._scores["test"]

    @property
    def calibration(self) -> Array:
        """(n,) scores of ID that nothing was fitted to: `val` where there is one, else `test`. Thresholds are chosen on them."""
        return self._scores[self.calibration_name]

    @property
    def calibration_name(self) -> str:
        """The set of the calibration scores: `val` where there is one, else `test`."""
        return "val" if "val" in self._scores else "test"

    @property
    def ood_names(self) -> tuple[str, ...]:
        """The names of the OOD sets, in order."""
        return tuple(name for name in self._scores if name not in ("test", "val"))

    def ood(self, names: Iterable[str] | None = None) -> dict[str, dict[str, Array]]:
        """Returns {group: {set: (n,) scores}} of OOD sets, by default of all."""
        groups: dict[str, dict[str, Array]] = {}
        for text in self.ood_names if names is None else names:
            group, name = SetName.parse(text)
            groups.setdefault(group, {})[name] = self._scores[text]
        return groups


def score_pack(pack: Pack, score: Callable[[Features], Array]) -> SetScores:
    """Returns the scores of the test set, every OOD set, and `val` where there is one.

    Args:
        score: of features, (N,) as `Run.score`.
    """
    sets = {
        "test": pack.test,
        **{str(SetName(*key)): features for key, features in pack.ood.items()},
    }
    if pack.extra.val is not None:
        sets["val"] = pack.extra.val
    return SetScores({name: score(features) for name, features in sets.items()})
