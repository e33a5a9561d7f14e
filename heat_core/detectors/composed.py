"""The weighted sum of several detectors on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from heat_core.diagnostics import ToDiagnose
from heat_core.energies import DirectionAndNorm, Energy, WeightedSum
from heat_core.features import Features
from heat_core.pack import NO_EXTRA, ExtraID
from heat_core.training.objectives import Objective
from heat_core.training.trainer import OnRecord, ignore

from .closed_form import KNN
from .detector import Detector, Shape
from .learned_energy import FitContext, FromPseudoOOD, energies_within
from .parts import PARTS, lack_of, reference_features, view_starts


@dataclass(frozen=True)
class Composed(Detector):
    """Several energies on one scale, weighted and summed: the usual ones, with one E_theta.

    Each term is in standard deviations of ID features that nothing was fitted to. A term that the
    features have no data for (no head, no std-pooled view, no ODIN score) is left out. HEAT needs
    no weights: those that `model_selection.choose_weights` finds on one network look better than
    they are, and lose to equal ones on others. `WeightedSumOf` adds up any detectors.

    Args:
        w_correction: the weight of E_theta, learned as `correction` says.
        w_mog: of the MoG on z.
        w_std_view: of the MoG on the std-pooled view.
        w_energy: of the classifier's free energy (EnergyLogits).
        w_odin: of the ODIN score made at extraction.
        w_early_layer: of the score of an earlier layer, made at extraction: Gaussians on its
            averages.
        w_knn: of the distance to the k-th neighbour.
        k: which neighbour.
        beta: 0 sums; otherwise logsumexp(beta w_i e_i) / beta, inf the largest, -inf the smallest.
        correction: the learner of E_theta from pseudo-OOD.

    Raises ValueError on weights that are negative, or all 0.

    >>> Composed(w_mog=2.0, w_energy=0.0).term_names(Shape(dim=2, classes=3, rows=90, head=0))
    ('mog', 'knn')
    """

    w_correction: float = 0.0
    w_mog: float = 1.0
    w_std_view: float = 0.0
    w_energy: float = 1.0
    w_odin: float = 0.0
    w_early_layer: float = 0.0
    w_knn: float = 1.0
    k: int = 50
    beta: float = 0.0
    correction: FromPseudoOOD = FromPseudoOOD()
    title: ClassVar[str] = "Composed"
    summary: ClassVar[str] = "several energies on one scale, added up"
    TERMS: ClassVar[tuple[str, ...]] = (
        "correction",
        "mog",
        "std_view",
        "energy",
        "odin",
        "early_layer",
        "knn",
    )
    """The terms by name, in order; the weight of each is the field `w_NAME`."""

    def __post_init__(self) -> None:
        weights = tuple(self.weight(name) for name in self.TERMS)
        if not any(weights) or min(weights) < 0:
            raise ValueError(
                f"the weights of Composed must be 0 or more, and one above 0; got {weights}."
            )

    def weight(self, term: str) -> float:
        """Returns the weight of a term by its name."""
        return getattr(self, f"w_{term}")

    def with_weights(self, weights: Mapping[str, float]) -> Self:
        """Returns the detector with other weights of the terms that are named."""
        return replace(self, **{f"w_{term}": weight for term, weight in weights.items()})

    @property
    def objective(self) -> Objective | None:
        return self.correction.objective if self.w_correction else None

    def term_names(self, shape: Shape) -> tuple[str, ...]:
        """Returns the terms with a weight and something to read in features of this shape."""
        return tuple(
            name
            for name in self.TERMS
            if self.weight(name) and (name == "correction" or PARTS[name].is_readable(shape))
        )

    def left_out(self, shape: Shape) -> str:
        terms = self.term_names(shape)
        missing = [name for name in self.TERMS if self.weight(name) and name not in terms]
        if not missing:
            return ""
        lack = lack_of([PARTS[name].needs for name in missing])
        return f"Composed is without {', '.join(missing)}: there is {lack}."

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        terms = self.term_names(shape)
        views = ["z"]
        if "correction" in terms:
            views += self.correction.input_views(shape)
        views += [PARTS[name].view for name in terms if name != "correction"]
        return tuple(dict.fromkeys(views))

    def unsupported_reason(self, shape: Shape) -> str:
        terms = self.term_names(shape)
        if not terms:
            return (
                "Composed has nothing to read: every term with a weight needs a head or a view "
                "that is not there."
            )
        return KNN(k=self.k).unsupported_reason(shape) if "knn" in terms else ""

    def build(self, shape: Shape) -> WeightedSum:
        terms = self.term_names(shape)
        energies = [self._build_term(name, shape) for name in terms]
        return WeightedSum(energies, [self.weight(name) for name in terms], self.beta)

    def _build_term(self, name: str, shape: Shape) -> Energy:
        """Returns a blank term, of the columns that it reads."""
        if name == "correction":
            return self.correction.build(shape)
        part = PARTS[name]
        if name == "knn":
            part = replace(part, detector=KNN(k=self.k))
        starts = view_starts(shape, self.input_views(shape))
        return part.build(shape, starts[part.view], normalize=True)

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        energy = super().fit(train, seed, on_record, extra)
        (weighted_sum,) = energies_within(energy, WeightedSum)
        if self.w_correction:
            (e_theta,) = energies_within(energy, DirectionAndNorm)
            context = FitContext(energy, train, extra, normalize=True)
            self.correction.fit(e_theta, context, seed, on_record)
        inputs = reference_features(train, extra, seed).columns(self.input_views(Shape.of(train)))
        return weighted_sum.standardise(inputs).eval()

    def to_diagnose(
        self, energy: Energy, train: Features, extra: ExtraID, seed: int
    ) -> ToDiagnose | None:
        if not self.w_correction:
            return None
        (e_theta,) = energies_within(energy, DirectionAndNorm)
        context = FitContext(energy, train, extra, normalize=True)
        return self.correction.to_diagnose(e_theta, context, seed)
