"""Choosing between detectors on ID images alone.

No function here takes an OOD set, so none can be chosen on. A detector is judged on how well it
tells held-out ID images from destroyed ones, by kinds of destruction (`pseudo.KINDS`) that it was
not trained on. Families of one kind are held out together: a detector that learns a family's own
textures does well on its likes, and badly on OOD images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .detectors.choosing import Choosing, judging_families
from .detectors.closed_form import KNN
from .detectors.composed import Composed
from .detectors.detector import Detector, Shape
from .detectors.heat import EBM, HEAT
from .detectors.learned_energy import FromPseudoOOD, energies_within
from .energies import WeightedSum
from .features import Features
from .images.pseudo import TWO_FAMILIES, kind_of
from .metrics import auroc
from .pack import ExtraID
from .run import fit

FOLDS = 4  # the parts that kinds of families are dealt into
K_GRID = (1, 2, 5, 10, 20, 50, 100, 200)
LR_GRID = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
WEIGHT_GRID = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)

# -- the criterion ---------------------------------------------------------------------------------


def criterion(detector: Detector, train: Features, extra: ExtraID, seed: int = 0) -> float:
    """Returns the mean AUROC of held-out ID images against destroyed ones, in [0, 1].

    `val` is held against the families of `pseudoval`, each judged by a fit that never saw its kind.
    Images destroyed by two families in a row contain every kind, so they take no part. It compares
    settings of one detector: each fit saw fewer kinds than the final one will, so detectors that
    lean on what is not learned from families do better here than they would.

    Args:
        detector: what is judged.
        train, extra: as a pack has them.
        seed: of the fits.

    Raises:
        ValueError: there are no held-out images, or no families of two kinds.
    """
    aurocs: list[float] = []
    for fold in _folds(extra, detector.trains):
        run = fit(detector, train, seed, extra=fold.extra)
        inside = run.score(_held_out(extra))
        aurocs += [auroc(inside, run.score(extra.pseudoval[name])) for name in fold.judging]
    return float(np.mean(aurocs))


def best_detector(
    detectors: Mapping[str, Detector], train: Features, extra: ExtraID, seed: int = 0
) -> tuple[str, dict[str, float]]:
    """Returns the name of the detector with the largest `criterion`, and {name: criterion}.

    Raises ValueError as `criterion` does.
    """
    criteria = {
        name: criterion(detector, train, extra, seed) for name, detector in detectors.items()
    }
    return max(criteria, key=criteria.__getitem__), criteria


def _held_out(extra: ExtraID) -> Features:
    """Returns the held-out ID images. Raises ValueError if there are none."""
    if extra.val is None:
        raise ValueError("selecting needs the set val of held-out ID images, and there is none.")
    return extra.val


@dataclass(frozen=True)
class _Fold:
    """The families that judge a fit, and what the fit may see: those of the other kinds."""

    judging: Sequence[str]
    extra: ExtraID


def _folds(extra: ExtraID, trains: bool) -> list[_Fold]:
    """Returns the folds of the kinds of families.

    What does not train sees no family, so all of them judge it at once.

    Raises ValueError if there are too few kinds.
    """
    names = list(judging_families(extra))
    kinds = list(dict.fromkeys(map(kind_of, names)))
    least = 2 if trains else 1
    if len(kinds) < least:
        raise ValueError(
            f"selecting needs families of {least} kinds, made of held-out ID images; "
            f"got {len(kinds)}."
        )
    if not trains:
        return [_Fold(names, extra)]
    folds = []
    for fold in range(min(FOLDS, len(kinds))):
        judging = [name for name in names if kinds.index(kind_of(name)) % FOLDS == fold]
        hidden = {*judging, TWO_FAMILIES}
        pseudo = {name: family for name, family in extra.pseudo.items() if name not in hidden}
        pseudoval = {name: family for name, family in extra.pseudoval.items() if name in pseudo}
        folds.append(_Fold(judging, replace(extra, pseudo=pseudo, pseudoval=pseudoval)))
    return folds


# -- one setting of a detector ---------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """One setting of a detector, and values of it to compare.

    Args:
        name: what it is called, such as `k`.
        values: ascending.
        present: the detector's own value; None where it chooses one at fit.
        with_value: the detector with another value.
    """

    name: str
    values: tuple[float, ...]
    present: float | None
    with_value: Callable[[float], Detector]


def setting_of(detector: Detector, train: Features) -> Setting | None:
    """Returns the setting of a detector that the `criterion` can choose; None if it has none.

    That is `k` of KNN, what a closed form chooses itself at fit, and the learning rate of what
    learns from pseudo-OOD: how much the correction of HEAT learns.

    >>> setting = setting_of(KNN(), Features(torch.rand(60, 2)))
    >>> setting.name, setting.present, setting.values, setting.with_value(5).k
    ('k', 50, (1, 2, 5, 10, 20, 50), 5)
    """
    if isinstance(detector, KNN):
        values = tuple(k for k in K_GRID if k <= len(train))
        return Setting("k", values, detector.k, lambda k: replace(detector, k=int(k)))
    if isinstance(detector, Choosing):
        name = detector.setting
        values = tuple(sorted(set(detector.candidates(train))))
        present = getattr(detector, name)
        return Setting(name, values, present, lambda value: replace(detector, **{name: value}))
    if isinstance(detector, EBM) and isinstance(detector.learner, FromPseudoOOD):
        return _learning_rate(detector.learner, lambda learner: replace(detector, learner=learner))
    if isinstance(detector, HEAT) and isinstance(detector.correction, FromPseudoOOD):
        return _learning_rate(
            detector.correction, lambda learner: replace(detector, correction=learner)
        )
    return None


def _learning_rate(
    learner: FromPseudoOOD, with_learner: Callable[[FromPseudoOOD], Detector]
) -> Setting:
    """Returns the learning rate of a learner as a setting of the detector that has it."""

    def with_rate(lr: float) -> Detector:
        return with_learner(replace(learner, training=replace(learner.training, lr=lr)))

    return Setting("learning rate", LR_GRID, learner.training.lr, with_rate)


def setting_curve(
    setting: Setting,
    train: Features,
    extra: ExtraID,
    seed: int = 0,
    on_value: Callable[[float], None] = lambda share: None,
) -> dict[float, float]:
    """Returns {value of the setting: its `criterion`}, in the order of the values.

    Args:
        setting: of `setting_of`.
        train, extra: as a pack has them.
        seed: of the fits.
        on_value: told the share of values that are done.

    Raises ValueError as `criterion` does.
    """
    curve = {}
    for done, value in enumerate(setting.values, 1):
        curve[value] = criterion(setting.with_value(value), train, extra, seed)
        on_value(done / len(setting.values))
    return curve


# -- the weights of Composed -----------------------------------------------------------------------


def choose_weights(
    detector: Composed,
    train: Features,
    extra: ExtraID,
    seed: int = 0,
    grid: Sequence[float] = WEIGHT_GRID,
    rounds: int = 4,
) -> tuple[Composed, float]:
    """Returns the detector with the weights of largest `criterion`, and that criterion.

    Beware: the criterion compares settings within a term, and is no judge between terms. On three
    packs, 16 of 18 choices like this lost to equal weights (`HEAT`'s prior has those).

    Every term is fitted once a fold; then one weight at a time takes the best value of the grid, in
    the order of the terms. It begins with the first term alone.

    Args:
        detector: whose terms with a weight above 0 take part.
        train, extra: as a pack has them.
        seed: of the fits.
        grid: the values of a weight.
        rounds: through all weights, at most; it ends where nothing changes.

    Raises ValueError as `criterion` does.
    """
    names = detector.term_names(Shape.of(train))
    unweighted = detector.with_weights(dict.fromkeys(names, 1.0))
    folds = [
        _fold_terms(unweighted, train, extra, fold, seed)
        for fold in _folds(extra, unweighted.trains)
    ]
    weights = torch.zeros(len(names), dtype=torch.float64)
    weights[0] = 1.0
    best = _criterion_of(weights, folds)
    for _ in range(rounds):
        previous = weights
        for i in range(len(names)):
            for value in grid:
                candidate = weights.clone()
                candidate[i] = value
                if not candidate.any():
                    continue
                candidate_criterion = _criterion_of(candidate, folds)
                if candidate_criterion > best:
                    best, weights = candidate_criterion, candidate
        if weights is previous:
            break
    return detector.with_weights(dict(zip(names, weights.tolist(), strict=True))), best


@dataclass(frozen=True, eq=False)
class _FoldTerms:
    """What the terms of a fit say, with weights of 1.

    Args:
        weighted_sum: the fitted energy, which combines terms.
        inside: (N, terms) of held-out ID images.
        families: (M, terms) of each family that judges.
    """

    weighted_sum: WeightedSum
    inside: Tensor
    families: Sequence[Tensor]

    def aurocs(self, weights: Tensor) -> list[float]:
        """Returns the AUROC against each family, with weights (terms,)."""
        inside = self.weighted_sum.combine(self.inside * weights).numpy()
        return [
            auroc(inside, self.weighted_sum.combine(family * weights).numpy())
            for family in self.families
        ]


def _criterion_of(weights: Tensor, folds: Sequence[_FoldTerms]) -> float:
    """Returns the criterion with weights (terms,)."""
    return float(np.mean([area for fold in folds for area in fold.aurocs(weights)]))


def _fold_terms(
    detector: Composed, train: Features, extra: ExtraID, fold: _Fold, seed: int
) -> _FoldTerms:
    """Returns what the terms of a detector say that is fitted to a fold."""
    run = fit(detector, train, seed, extra=fold.extra)
    (weighted_sum,) = energies_within(run.energy, WeightedSum)

    @torch.inference_mode()
    def terms(features: Features) -> Tensor:
        inputs = run.inputs(features).to(weighted_sum.weights.dtype)
        return weighted_sum.term_values(inputs).double()

    families = [terms(extra.pseudoval[name]) for name in fold.judging]
    return _FoldTerms(weighted_sum, terms(_held_out(extra)), families)
