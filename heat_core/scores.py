"""Scores of the sets of a pack by one detector. Larger is more out-of-distribution."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .arguments import finite_scores
from .set_name import SetName

if TYPE_CHECKING:
    from .features import Features
    from .pack import Pack

Array = NDArray[np.float64]


class SetScores(Mapping[str, Array]):
    """The scores of one detector on the sets of a pack: a mapping {set: (n,)}, with names of use.

    `test` is the ID test set, `val` held-out ID where there is some; all others are OOD sets, under
    the text of their `SetName`.

    Args:
        scores: {set: (n,)}; `test` must be among them.

    Raises:
        ValueError: there are no scores of `test`, a set has none, or one is not a finite number.

    >>> scores = SetScores({"test": np.array([0.1, 0.2]), "near_a": np.array([1.0])})
    >>> scores.calibration
    array([0.1, 0.2])
    >>> scores.ood()
    {'near': {'a': array([1.])}}
    """

    def __init__(self, scores: Mapping[str, Array]) -> None:
        if "test" not in scores:
            raise ValueError(f"wanted scores of the set test, got {', '.join(scores) or 'none'}.")
        for name, values in scores.items():
            finite_scores(name, values)
        self._scores = dict(scores)

    def __getitem__(self, name: str) -> Array:
        return self._scores[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._scores)

    def __len__(self) -> int:
        return len(self._scores)

    def __repr__(self) -> str:
        rows = ", ".join(f"{name}: {len(scores)}" for name, scores in self.items())
        return f"SetScores({rows})"

    @property
    def test(self) -> Array:
        """(n,) scores of the ID test set."""
        return self._scores["test"]

    @property
    def calibration(self) -> Array:
        """(n,) scores of ID that nothing was fitted to; thresholds are chosen on them."""
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
        """Returns the scores of OOD sets by group and short name, {group: {short name: (n,)}}.

        Args:
            names: of the sets, such as `near_cifar100`; all of them by default.

        Raises:
            KeyError: a set has no scores.
        """
        groups: dict[str, dict[str, Array]] = {}
        for text in self.ood_names if names is None else names:
            group, short_name = SetName.parse(text)
            groups.setdefault(group, {})[short_name] = self._scores[text]
        return groups


def score_pack(pack: Pack, score: Callable[[Features], Array]) -> SetScores:
    """Returns the scores of the test set, every OOD set, and `val` where there is one.

    Args:
        score: of features, (N,) as `Run.score` gives it.

    >>> import torch
    >>> from heat_core.features import Features
    >>> from heat_core.pack import NO_EXTRA, Pack
    >>> z = torch.tensor([[0.0], [1.0]])
    >>> train = Features(z, torch.tensor([0, 1]))
    >>> pack = Pack(train, Features(z), {("far", "b"): Features(9 * z)}, NO_EXTRA, {})
    >>> score_pack(pack, lambda features: features.z.double().numpy()[:, 0]).ood()
    {'far': {'b': array([0., 9.])}}
    """
    sets = {"test": pack.test}
    for name, features in pack.ood.items():
        sets[str(name)] = features
    if pack.extra.val is not None:
        sets["val"] = pack.extra.val
    return SetScores({name: score(features) for name, features in sets.items()})
