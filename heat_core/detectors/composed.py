"""The weighted sum of several detectors on one scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import ClassVar

from heat_core.diagnostics import ToDiagnose
from heat_core.energies import DirectionAndNorm, Energy, OnView, PrecomputedScore, WeightedSum
from heat_core.features import Features
from heat_core.pack import NO_EXTRA, ExtraID
from heat_core.training.trainer import OnRecord, ignore

from .closed_form import KNN, EnergyLogits, MoG
from .critic import Critic
from .detector import Detector, Shape


@dataclass(frozen=True)
class Composed(Detector):
    """Several energies, each in standard deviations of ID features that nothing was fitted to, weighted and summed.

    A part that the features have no data for (no head, no std-pooled view, no ODIN score) is left out. `selection.weigh`
    finds weights on ID images alone.

    Args:
        correction: the weight of E_theta, learned as `critic` says.
        mog, spread: of the MoG on z, and on the std-pooled view.
        energy: of the classifier's free energy (EnergyLogits).
        odin: of the ODIN score made at extraction.
        early: of the score of an earlier layer, made at extraction: Gaussians on its averages.
        knn: of the distance to the k-th neighbour.
        beta: 0 sums; otherwise logsumexp(beta e) / beta, inf the largest, -inf the smallest.
    """

    correction: float = 0.0
    mog: float = 1.0
    spread: float = 0.0
    energy: float = 1.0
    odin: float = 0.0
    early: float = 0.0
    knn: float = 1.0
    k: int = 50
    beta: float = 0.0
    critic: Critic = Critic()
    title: ClassVar[str] = "Composed"
    summary: ClassVar[str] = "several energies on one scale, added up"
    PARTS: ClassVar[tuple[str, ...]] = (
        "correction",
        "mog",
        "spread",
        "energy",
        "odin",
        "early",
        "knn",
    )
    STORED: ClassVar[tuple[str, ...]] = ("odin", "early")  # scores that were made at extraction

    def __post_init__(self) -> None:
        weights = tuple(getattr(self, part) for part in self.PARTS)
        if not any(weights) or min(weights) < 0:
            raise ValueError(
                f"the weights of Composed must be 0 or more, and one above 0; got {weights}."
            )

    @property
    def trains(self) -> bool:
        return self.correction > 0

    def parts(self, shape: Shape) -> tuple[str, ...]:
        """Returns the names of the parts that have a weight, and something to read in features of this shape."""
        blind = {"energy": not shape.head, "spread": "std" not in shape.views}
        blind |= {name: name not in shape.views for name in self.STORED}
        return tuple(
            part for part in self.PARTS if getattr(self, part) and not blind.get(part, False)
        )

    def input_views(self, shape: Shape) -> tuple[str, ...]:
        parts = self.parts(shape)
        std = "spread" in parts or ("correction" in parts and "std" in shape.views)
        return ("z", *(["std"] if std else []), *(name for name in self.STORED if name in parts))

    def unsupported_reason(self, shape: Shape) -> str:
        parts = self.parts(shape)
        if not parts:
            return "Composed has nothing to read: every part with a weight needs a head or a view that is not there."
        return KNN(k=self.k).unsupported_reason(shape) if "knn" in parts else ""

    def build(self, shape: Shape) -> Energy:
        parts = self.parts(shape)
        return WeightedSum(
            [self._part(name, shape) for name in parts],
            [getattr(self, name) for name in parts],
            self.beta,
        )

    def _part(self, name: str, shape: Shape) -> Energy:
        """Returns a blank part, of the columns that it reads."""
        if name == "correction":
            return self.critic.build(shape)
        views = self.input_views(shape)
        starts = dict(
            zip(views, accumulate((shape.width(view) for view in views), initial=0), strict=False)
        )
        if name in self.STORED:
            return OnView(PrecomputedScore(), name, starts[name], 1)
        detector, view = {
            "mog": (MoG(), "z"),
            "spread": (MoG(), "std"),
            "energy": (EnergyLogits(), "z"),
            "knn": (KNN(k=self.k), "z"),
        }[name]
        width = shape.width(view)
        return OnView(detector.build(replace(shape, dim=width)), view, starts[view], width)

    def to_diagnose(
        self, energy: Energy, train: Features, extra: ExtraID, seed: int
    ) -> ToDiagnose | None:
        if not self.correction:
            return None
        assert isinstance(energy, WeightedSum)
        correction = energy.members[0]
        assert isinstance(correction, DirectionAndNorm)
        return self.critic.to_diagnose(energy, correction, train, extra)

    def fit(
        self,
        train: Features,
        seed: int = 0,
        on_record: OnRecord = ignore,
        extra: ExtraID = NO_EXTRA,
    ) -> Energy:
        composition = super().fit(train, seed, on_record, extra)
        assert isinstance(composition, WeightedSum)
        if self.correction:
            correction = composition.members[0]
            assert isinstance(correction, DirectionAndNorm)
            if not extra.pseudo:
                raise ValueError(
                    "Composed with a correction needs pseudo-OOD families, and there are none."
                )
            self.critic.learn(correction, train, extra, seed, composition, on_record)
        judges = train if extra.val is None else extra.val
        return composition.standardise(judges.columns(self.input_views(Shape.of(train)))).eval()
